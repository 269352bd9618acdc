"""A language model that learns from its own text, generation after generation."""

import json
from pathlib import Path
from typing import Any

import pytest

from textgan import grammar
from textgan.errors import InputError
from textgan.lm import finetune, pretrain_small
from textgan.loop import finding, learned_from, loop
from textgan.report.loops import curve

REAL, TEST = grammar.sample(150, 0), grammar.sample(100, 1)
QUICK: dict[str, Any] = {"test": TEST, "generations": 2, "lm": "small:1x32", "steps": 60, "tokens_per_step": 256}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("loop")
    return out, loop(REAL, out=out, **QUICK)


def test_what_a_generation_learns_from() -> None:
    real, one, two = (["real"] * 4, ["one"] * 4, ["two"] * 4)
    for regime in ("replace", "accumulate", "accumulate_subsample"):
        assert learned_from(real, [], regime, 0) == real
    assert learned_from(real, [one, two], "replace", 0) == two
    assert sorted(learned_from(real, [one, two], "accumulate", 0)) == sorted(real + one + two)
    drawn = learned_from(real, [one, two], "accumulate_subsample", 0)
    assert len(drawn) == 4
    assert set(drawn) <= {"real", "one", "two"}


def test_replacing_costs_more_than_accumulating(done: tuple[Path, dict[str, Any]]) -> None:
    _, result = done
    ends = {r: curve(result["generations"], r, "nll_per_byte")[2][0] for r in ("replace", "accumulate")}
    first = curve(result["generations"], "replace", "nll_per_byte")[0][0]
    assert ends["replace"] > first
    assert ends["replace"] - first > 1.5 * (ends["accumulate"] - first)


def test_all_is_written_and_the_page_has_a_plot_for_each_figure(done: tuple[Path, dict[str, Any]]) -> None:
    out, result = done
    assert json.loads((out / "loop.json").read_text()) == result
    cells = [(row["regime"], row["generation"], row["lines"]) for row in result["generations"]]
    assert cells == [
        ("first", 0, 150), ("replace", 1, 150), ("replace", 2, 150), ("accumulate", 1, 300), ("accumulate", 2, 450),
    ]  # fmt: skip
    html = (out / "loop.html").read_text()
    assert html.count("<figure") == 4
    for sentence in result["findings"]:
        assert sentence in html


def test_what_is_done_is_not_done_again_and_more_generations_go_on(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    import shutil

    out = Path(shutil.copytree(done[0], tmp_path / "loop"))
    (out / "jobs" / "seed-0-accumulate-02.json").unlink()
    at = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert loop(REAL, out=out, **QUICK) == done[1]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == at
    longer = loop(REAL, out=out, **{**QUICK, "generations": 3, "regimes": ("replace",)})
    assert [row for row in longer["generations"] if row["generation"] < 3] == done[1]["generations"][:3]


def test_each_generation_fine_tunes_a_model_of_others_anew(tmp_path: Path) -> None:
    """The second one's weights are those of the same fine-tuning by hand of the first one's text."""
    base = pretrain_small(REAL, tmp_path / "base", layers=1, width=32, steps=20)
    options = QUICK | {"lm": str(base), "steps": 5, "generations": 1, "regimes": ("replace",), "n": 40}
    result = loop(REAL, out=tmp_path / "loop", **options)
    assert [row["lines"] for row in result["generations"]] == [150, 40]
    text = tmp_path / "loop" / "seed-0-first" / "text.txt"
    tuned = finetune(base, text, test=TEST, out=tmp_path / "tuned", steps=5, tokens_per_step=256, seed=1000)
    assert result["generations"][1]["nll_per_byte"] == pytest.approx(tuned.nll_per_byte, rel=1e-9)


def test_a_finding_is_the_figures() -> None:
    rows = [
        {"regime": regime, "generation": k, "nll_per_byte": 1 + k, "entropy": 20 - k, "distinct-2": 0.5,
         "self-BLEU-4": 0.1, "duplicates": 0.0}
        for regime, k in (("first", 0), ("replace", 1))
    ]  # fmt: skip
    assert finding(rows, "replace") == (
        "replace: over 1 generations the held-out NLL a byte went from 1.0000 to 2.0000 (+100.0 %), the entropy of a "
        "sentence from 20.00 to 19.00 nats, distinct-2 from 0.5000 to 0.5000."
    )


def test_a_model_that_collapses_to_one_word_is_told_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text of one word has no 2-gram: its figure is absent, on the page too, and the rest is there."""
    monkeypatch.setattr("textgan.loop.written", lambda lm, n, **_: ["a"] * n)
    how: dict[str, Any] = {"generations": 1, "regimes": ("replace",), "seeds": (0,), "steps": 2, "lm": "small:1x16"}
    result = loop(REAL[:60], test=REAL[60:90], out=tmp_path / "loop", n=20, **how)
    assert result["generations"][0]["distinct-2"] is None
    assert "distinct-2 to what has none" in result["findings"][0]
    with pytest.raises(InputError, match="test has 1 lines, which is too few"):
        loop(REAL[:60], test=REAL[60:61], out=tmp_path / "other", n=20, **how)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"regimes": ("add",)}, "regime 'add' is unknown; choose accumulate, replace, accumulate_subsample"),
        ({"regimes": ()}, "regimes (none): give one or more, each once"),
        ({"seeds": (1, 1)}, "seeds 1, 1: give one or more, each once"),
        ({"generations": 0}, "generations 0 is too few; give 1 or more"),
        ({"lm": "small:2"}, "small:2: no such model; give small or small:LAYERSxWIDTH, as small:2x128"),
        ({"lora": 4}, "lora 4: small:1x32 is trained from scratch; give a pretrained --lm"),
        ({"n": 0}, "n 0 is too few; give 2 or more"),
        ({"temperature": 0.0}, "temperature 0.0 cannot be sampled at; give a number above 0 (1 = as trained)"),
    ],
)
def test_what_is_no_loop_is_one_line_of_error(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        loop(REAL, out=tmp_path, **{**QUICK, **options})
    assert str(error.value) == said


def test_a_folder_holds_one_loop(done: tuple[Path, dict[str, Any]]) -> None:
    out, _ = done
    with pytest.raises(InputError, match=r"holds a loop with other settings \(steps 60 -> 61\); give another --out"):
        loop(REAL, out=out, **{**QUICK, "steps": 61})
    with pytest.raises(InputError, match="holds a loop on other text; give another --out"):
        loop(REAL[1:], out=out, **QUICK)
