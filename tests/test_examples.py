"""The examples run as they stand, and what they print is what they say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from textgan.generators import GENERATORS

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def test_every_example_is_run_by_a_test() -> None:
    tests = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'run("{path.stem}"' not in tests] == []


def test_an_own_metric_finds_the_planted_share_and_signs_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    said = run("own_metric", capsys)
    assert re.search(r"^finished  0\.750 ± 0\.\d+  1\.0000", said, re.MULTILINE)  # each fourth line is broken off
    assert "breaks off more often than real text: finished" in said
    assert said.splitlines()[-1].startswith("finished|n:400|marks:.!?|")


def test_an_own_recipe_trains_as_it_is_and_under_a_control(capsys: pytest.CaptureFixture[str]) -> None:
    said = run("own_recipe", capsys)
    told = re.findall(r"^control (\w+): held-out NLL (\d+\.\d+) nats a token, reward 0\.\d+$", said, re.MULTILINE)
    assert [word for word, _ in told] == ["None", "shuffled"]
    assert told[0][1] != told[1][1] and all(float(nll) < 5 for _, nll in told)  # a uniform word of 299 has 5.7


def test_an_own_generator_plays_and_is_loaded_by_the_auto_classes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GENERATORS, "gru", object)  # is put back, so that other tests do not see the example's
    said = run("own_generator", capsys).splitlines()
    assert said[-1].startswith("GRUForCausalLM <bos> ")
