"""`textgan mix`, `pairs`, `finetune` and `loop` as they are typed: what comes out, and one line for what is wrong."""

import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from textgan import grammar
from textgan.cli import main
from textgan.lm import pretrain_small

BASE = "finetune base grammar:30 --valid grammar:9:1"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    return pretrain_small("grammar:30", out, layers=1, width=16, steps=3, tokens_per_step=64)


@pytest.fixture(autouse=True)
def _here(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base").symlink_to(base)


def run(command: str) -> int:
    try:
        return main(shlex.split(command))
    except SystemExit as done:
        return int(done.code or 0)


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_mix_as_rows_says_what_each_line_is_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mix grammar:10 grammar:10:1 --ratio 0.4 --regime replace --schedule two_stage --out m.jsonl") == 0
    found = rows("m.jsonl")
    assert [row["source"] for row in found] == ["synthetic"] * 4 + ["real"] * 6
    Path("p.jsonl").write_text("".join(json.dumps(row | {"weight": i}) + "\n" for i, row in enumerate(found[:4], 1)))
    assert run("mix grammar:8 p.jsonl --ratio 0.5 --weight-by density_ratio --out w.jsonl") == 0
    weights = {row["text"]: row["weight"] for row in rows("w.jsonl") if row["source"] == "synthetic"}
    assert weights == {row["text"]: i / 2.5 for i, row in enumerate(found[:4], 1)}
    assert run("mix grammar:10 grammar:10:1 --ratio 0.4 --regime replace --schedule two_stage --out m.txt") == 0
    assert Path("m.txt").read_text().splitlines() == [row["text"] for row in found]


def weighed(path: str, *, least: int = 1) -> list[dict[str, Any]]:
    """Six rows of weights from `least` on, written there."""
    made = [{"text": text, "weight": float(i)} for i, text in enumerate(grammar.sample(6, 1), least)]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in made))
    return made


@pytest.mark.parametrize(
    "command", ["mix grammar:30 {} --ratio .2 --out m.txt", f"{BASE} --pool {{}} --ratio .2 --steps 1 --out o"]
)
def test_weights_that_are_not_used_are_told_of(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = weighed("p.jsonl")
    said = "warning: p.jsonl: its rows weigh unlike, and each counts 1; use --weight-by density_ratio"
    assert run(command.format("p.jsonl")) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if "weigh" in line] == [said]
    Path("even.jsonl").write_text("".join(json.dumps(row | {"weight": 2.0}) + "\n" for row in made))
    for pool in ("even.jsonl", "grammar:9:1"):
        assert run(command.format(pool).replace("--out o", f"--out {pool}-o")) == 0
        assert "weigh" not in capsys.readouterr().err


def test_a_row_that_weighs_nothing_is_no_synthetic_line(capsys: pytest.CaptureFixture[str]) -> None:
    made = weighed("p.jsonl", least=0)
    for how in ("", "--weight-by density_ratio"):
        assert run(f"mix grammar:5 p.jsonl --ratio 1 {how} --out m.jsonl") == 0
        texts = {row["text"] for row in rows("m.jsonl") if row["source"] == "synthetic"}
        assert texts == {row["text"] for row in made[1:]}
        capsys.readouterr()
        assert run(f"mix grammar:6 p.jsonl --ratio 1 {how} --out m.jsonl") == 1
        assert "the pool holds 5 selected lines, 6 are wanted" in capsys.readouterr().err


def test_finetune_follows_the_weights_that_a_mix_has_written() -> None:
    """The rows on their way through a file train what the pool trains by itself, to the byte."""
    weighed("p.jsonl")
    how = "--ratio .2 --weight-by density_ratio"
    assert run(f"mix grammar:30 p.jsonl {how} --out m.jsonl") == 0
    assert run("mix grammar:30 p.jsonl --ratio .2 --out m.txt") == 0
    tuned = {}
    for name, text in (("pool", f"grammar:30 --pool p.jsonl {how}"), ("rows", "m.jsonl"), ("plain", "m.txt")):
        assert run(f"finetune base {text} --valid grammar:9:1 --steps 3 --out {name}") == 0
        tuned[name] = Path(name, "model.safetensors").read_bytes()
    assert tuned["pool"] == tuned["rows"] != tuned["plain"]
    kept = json.loads(Path("rows", "finetune.json").read_text())["settings"]["mixture"]
    # 30 real lines of 1, and 1 to 6 over their mean, 3.5: 36^2 / (30 + 91 / 3.5^2)
    assert kept["rows"] == "m.jsonl" and kept["effective_sample"] == pytest.approx(36**2 / (30 + 91 / 12.25))


def test_a_small_model_is_pre_trained_on_the_text_without_the_pool() -> None:
    for name, pool in (("alone", ""), ("mixed", "--pool grammar:30:3 --ratio 1 --schedule two_stage")):
        assert run(f"finetune small:1x8 grammar:30 {pool} --valid grammar:9:1 --steps 1 --out {name}") == 0
    base = [Path(name, "base", "model.safetensors").read_bytes() for name in ("alone", "mixed")]
    assert base[0] == base[1]


def test_standard_input_is_read_alike_with_weights_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed("p.jsonl")
    for name, how in (("plain", ""), ("weighed", "--weight-by density_ratio")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("p.jsonl").read_bytes())))
        assert run(f"mix grammar:6 - --ratio 1 {how} --out {name}.jsonl") == 0
    assert [row["text"] for row in rows("plain.jsonl")] == [row["text"] for row in rows("weighed.jsonl")]
    assert {row["weight"] for row in rows("weighed.jsonl")} == {1.0, *(i / 3.5 for i in range(1, 7))}


def test_pairs_mends_the_pool_as_it_mends_the_real_text() -> None:
    Path("pool.txt").write_bytes(b"a dog \xff runs\n")
    assert run("pairs grammar:9 pool.txt --out o.jsonl") == 1
    assert run("pairs grammar:9 pool.txt --encoding-errors replace --out o.jsonl") == 0
    assert rows("o.jsonl")[0]["rejected"] == "a dog \ufffd runs"


def test_finetune_mixes_by_itself_stops_at_its_budget_and_is_not_done_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = f"{BASE} --pool grammar:30:3 --ratio 0.5 --schedule anneal --tokens 2100 --out new --json new.json"
    assert run(command) == 0
    said = capsys.readouterr().out
    found = json.loads(Path("new.json").read_text())
    assert (found["steps"], found["tokens"]) == (4, 2048)
    mixture = found["settings"]["mixture"]
    assert (mixture["schedule"], mixture["real"], mixture["synthetic"]) == ("anneal", 30, 15)
    at = Path("new/model.safetensors").stat().st_mtime_ns
    assert run(f"{command} --resume") == 0
    assert capsys.readouterr().out == said
    assert Path("new/model.safetensors").stat().st_mtime_ns == at


def test_pairs_and_loop(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pairs grammar:40 grammar:40:1 --prefix 1 --n 5 --out p.jsonl") == 0
    assert capsys.readouterr().err == "5 pairs\n"
    assert [set(row) for row in rows("p.jsonl")] == [{"prompt", "chosen", "rejected"}] * 5
    assert run("loop grammar:30 --test grammar:30:1 --out l --generations 1 --lm small:1x16 --steps 20") == 0
    assert capsys.readouterr().out.startswith("replace: over 1 generations the held-out NLL a byte went from ")
    assert {path.name for path in Path("l").glob("loop.*")} == {"loop.json", "loop.html"}


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("mix grammar:9 grammar:9 --ratio 1 --schedule late --out m.txt", 2,
         "textgan mix: error: --schedule: 'late' is not one of mixed, two_stage, anneal (see textgan mix --help)"),
        ("mix grammar:9 grammar:9 --ratio 1 --weight-by density_ratio --out m.txt", 2,
         "textgan mix: error: --weight-by: plain lines hold no weights; give --out FILE.jsonl "
         "(see textgan mix --help)"),
        ("mix grammar:9 grammar:19:1 --ratio 2 --regime replace --out m.txt", 1,
         "textgan: error: ratio 2 replaces more lines than there are; give 1 or less, or accumulate"),
        (f"{BASE} --ratio 2 --out new", 2,
         "textgan finetune: error: --ratio is about synthetic lines; give --pool POOL (see textgan finetune --help)"),
        (f"{BASE} --steps 3 --tokens 4 --out new", 2,
         "textgan finetune: error: --tokens: not allowed with argument --steps (see textgan finetune --help)"),
        (f"{BASE} --pool grammar:3 --ratio 1 --out new", 1,
         "textgan: error: the pool holds 3 selected lines, 30 are wanted (ratio 1 x 30 real lines); generate more or "
         "lower the ratio"),
        ("pairs grammar:9 grammar:9 --out p.jsonl", 1,
         "textgan: error: no real and no selected generated text differ; give a smaller prefix or a larger pool"),
        ("loop grammar:9 --test grammar:9:1 --regimes swap --out l", 1,
         "textgan: error: regime 'swap' is unknown; choose accumulate, replace, accumulate_subsample"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(command: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == code
    assert capsys.readouterr().err == f"{said}\n"
    assert not list(Path().glob("*.txt"))
