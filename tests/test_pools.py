"""A pool as a folder: the same bytes however it came to be written, read alike by all, and no change goes unnoticed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textgan import pools
from textgan.augmentation import mix, read_pool, verify_pool
from textgan.augmentation.folder import FORMS, read_folder, seal_pool, write_shards
from textgan.augmentation.pool import pool_rows, write_pool
from textgan.cli import main
from textgan.errors import InputError
from textgan.generators import LSTM
from textgan.manifest import write_manifest
from textgan.pools import generate
from textgan.recipes import MLE
from textgan.runs import Run
from textgan.text import read_text
from textgan.training import fit

ODD = ["a\u2028b", "c\u2029d", "e\x85f", '"quoted" \\ text', "\U0001f600 \u6625\u7720", "=SUM(A1)", "<b>&amp;"]
SHARD = 1024  # of these tests: a block of sentences
N = 2 * SHARD + 300


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [f"{a} {b} {c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx"]
    out = tmp_path_factory.mktemp("runs") / "run"
    return fit(MLE(mle_steps=2, batch=8, generator=LSTM(8, 16)), lines, out=out, progress=False).path


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "SHARD", SHARD)


@pytest.fixture(scope="module")
def whole(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pools") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "SHARD", SHARD)
        generate(run, N, folder, seed=5, licence="CC0-1.0")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Writing


def test_a_pool_in_bfloat16_is_another_pool_and_says_so(run: Path, tmp_path: Path) -> None:
    """Rounding moves some draws, not all of them; the same arguments still give the same bytes."""
    for name in ("one", "two"):
        generate(run, N, tmp_path / name, seed=6, licence="CC0-1.0", precision="bf16")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    rounded, plain = [row["text"] for row in read_pool(tmp_path / "one")], Run.open(run).sample_text(N, seed=6)
    same = sum(a == b for a, b in zip(rounded, plain, strict=True)) / N
    assert 0.5 < same < 1
    plan = json.loads((tmp_path / "one" / "provenance.json").read_text())["plan"]
    assert plan["precision"] == "bf16"
    (tmp_path / "one" / "MANIFEST.json").unlink()
    with pytest.raises(InputError, match="holds a pool with another precision"):
        generate(run, N, tmp_path / "one", seed=6, licence="CC0-1.0")
    measured = [Run.open(run, precision=word).log_probs(plain[:9])[0].tolist() for word in ("no", "bf16")]
    assert measured[0] == measured[1]


def test_shards_hold_the_sentences_of_one_stream(run: Path, whole: Path) -> None:
    assert sorted(contents(whole)) == [
        "MANIFEST.json", "README.md", "provenance.json", "rows-00000.jsonl", "rows-00001.jsonl", "rows-00002.jsonl",
    ]  # fmt: skip
    found = list(read_pool(whole))
    assert [row["text"] for row in found] == Run.open(run).sample_text(N, seed=5)
    assert [row["index"] for row in found] == list(range(N)) and {row["seed"] for row in found} == {5}
    assert len({row["id"] for row in found}) == N


DIES = """
import os, signal, sys
from textgan import pools

def dying(rows, path):
    def some():
        for place, row in enumerate(rows):
            if path.name == "rows-00001.jsonl" and place == 500:
                os.kill(os.getpid(), signal.SIGKILL)
            yield row
    return form.write(some(), path)

pools.SHARD, form = 1024, pools.FORMS["jsonl"]
pools.FORMS["jsonl"] = form._replace(write=dying)
pools.generate(sys.argv[1], int(sys.argv[2]), sys.argv[3], seed=5, licence="CC0-1.0")
"""


def test_a_pool_that_is_killed_goes_on_and_ends_with_the_same_bytes(run: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool"
    done = subprocess.run([sys.executable, "-c", DIES, str(run), str(N), str(out)])
    assert done.returncode == -signal.SIGKILL
    assert any(path.suffix == ".tmp" for path in out.iterdir())  # half a shard is left behind
    assert [path.name for path in out.glob("rows-*")] == ["rows-00000.jsonl"]
    first = (out / "rows-00000.jsonl").stat().st_mtime_ns
    with pytest.raises(InputError, match="is not finished; repeat the command that writes it"):
        read_pool(out)
    generate(run, N, out, seed=5, licence="CC0-1.0")
    assert contents(out) == contents(whole)
    assert (out / "rows-00000.jsonl").stat().st_mtime_ns == first  # it was not written twice
    generate(run, N, out, seed=5, licence="CC0-1.0")  # a finished one is left alone
    assert (out / "rows-00000.jsonl").stat().st_mtime_ns == first and contents(out) == contents(whole)


def test_a_shard_that_was_damaged_is_told_and_can_be_written_again(run: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool"
    generate(run, N, out, seed=5, licence="CC0-1.0")
    (out / "rows-00001.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match=r"rows-00001.jsonl: has 0 bytes, .*; delete that file and MANIFEST.json"):
        generate(run, N, out, seed=5, licence="CC0-1.0")
    (out / "rows-00001.jsonl").unlink()
    (out / "MANIFEST.json").unlink()
    generate(run, N, out, seed=5, licence="CC0-1.0")
    assert contents(out) == contents(whole)


def test_provenance_and_card_say_where_it_came_from(run: Path, whole: Path) -> None:
    import yaml

    made = json.loads((whole / "provenance.json").read_text())
    settings = json.loads((run / "recipe.json").read_text())
    assert made["plan"]["source"]["sha256"] == Run.open(run).weights_sha256
    assert made["plan"]["source"]["corpus"]["sha256"] == settings["corpus"]["sha256"]
    rows = list(read_pool(whole))
    written, unknown = sum(row["selected"] for row in rows), sum("unknown word" in row["flags"] for row in rows)
    assert unknown == sum("<unk>" in row["text"] for row in rows) > 0
    assert made["funnel"] == {"generated": N, "not blank": written} and made["unknown"] == unknown
    assert f"- {unknown:,} of the sentences have an unknown word" in (whole / "README.md").read_text()
    head = yaml.safe_load((whole / "README.md").read_text().split("---")[1])
    assert head["license"] == "CC0-1.0" and head["configs"][0]["data_files"] == "rows-*.jsonl"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 6}, "holds a pool with another seed; give another --out"),
        ({"n": N + 1}, "holds a pool with another n; give another --out"),
        ({"form": "parquet"}, "holds a pool with another format; give another --out"),
    ],
)
def test_another_pool_is_not_written_over(run: Path, whole: Path, options: dict[str, Any], said: str) -> None:
    before = contents(whole)
    with pytest.raises(InputError) as error:
        generate(run, out=whole, **{"n": N, "seed": 5, "licence": "CC0-1.0", **options})
    assert str(error.value) == f"{whole}: {said}"
    assert contents(whole) == before


def test_other_files_are_not_written_over(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds mine.txt, which is of no pool; give a new folder as --out"):
        generate(run, 10, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


# Checking


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda p: flip(p / "rows-00000.jsonl"), "rows-00000.jsonl: sha256 differs from the MANIFEST"),
        (
            lambda p: (p / "rows-00000.jsonl").write_bytes((p / "rows-00000.jsonl").read_bytes()[:-7]),
            "rows-00000.jsonl: has {} bytes, and the MANIFEST says {}",
        ),
        (lambda p: (p / "README.md").unlink(), "README.md: is missing, or is not a file of this folder"),
        (lambda p: (p / "rows-00001.jsonl").write_text(""), "rows-00001.jsonl: is not in the MANIFEST"),
        (lambda p: (p / "MANIFEST.json").write_text("{"), "MANIFEST.json: cannot be read (JSONDecodeError)"),
        (lambda p: (p / "MANIFEST.json").write_text("[]"), "MANIFEST.json: cannot be read (ValueError)"),
        (
            lambda p: (p / "MANIFEST.json").write_text('{"../x": {}}'),
            "../x: is missing, or is not a file of this folder",
        ),
    ],
)
def test_every_change_is_one_line_and_exit_code_one(
    tmp_path: Path, harm: Callable[[Path], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(pool_rows(ODD, source="gan"), tmp_path, "jsonl")
    seal_pool(tmp_path, {"plan": {}}, ["a card"])
    assert verify_pool(tmp_path) == [] and main(["verify", str(tmp_path)]) == 0
    size = (tmp_path / "rows-00000.jsonl").stat().st_size
    harm(tmp_path)
    line = said.format(size - 7, size)
    assert line in verify_pool(tmp_path)
    capsys.readouterr()
    assert main(["verify", str(tmp_path)]) == 1
    assert f"{tmp_path}/{line}\n" in capsys.readouterr().err
    for use in (read_pool, lambda pool: mix(["real"], pool, ratio=1)):
        with pytest.raises(InputError, match="; (restore the pool or make it|take it out, or make the pool) anew"):
            list(use(tmp_path))


def test_what_is_no_pool_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder; give a pool"):
        verify_pool(tmp_path / "x")
    (tmp_path / "a").write_text("a")
    write_manifest(tmp_path)
    assert verify_pool(tmp_path) == ["MANIFEST.json: lists no shard; this is no pool"]


# Reading


@pytest.fixture(params=FORMS)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, list[dict[str, Any]]]:
    """A pool of odd texts in each format: its format, its folder and its rows."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="parquet is written by pyarrow, of the extra `data`")
    made = list(pool_rows(ODD, source="gan", generator={"name": "g", "sha256": "ab"}, seed=7, temperature=0.9))
    made[1] |= {"selected": False, "reason": "length", "scores": {"ratio": 0.25, "mine": 1.0}, "note": ["x"]}
    write_shards(iter(made), tmp_path, request.param)
    seal_pool(tmp_path, {"plan": {}}, ["a card"])
    return request.param, tmp_path, made


def test_rows_come_back_as_they_were_written(odd: tuple[str, Path, list[dict[str, Any]]]) -> None:
    _, folder, made = odd
    assert list(read_folder(folder)) == list(read_pool(folder)) == made
    assert sorted(mix(["real"], folder, ratio=6)) == sorted(["real", *(r["text"] for r in made if r["selected"])])


def test_pandas_pyarrow_and_datasets_read_the_same_texts(
    odd: tuple[str, Path, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra `data`)")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.json
    import pyarrow.parquet

    form, folder, made = odd
    shard = folder / f"rows-00000.{form}"
    if form == "jsonl":
        frame, table = pandas.read_json(shard, lines=True), pyarrow.json.read_json(shard)
        with shard.open(encoding="utf-8", newline="\n") as file:
            assert [json.loads(line) for line in file] == made
    else:
        frame, table = pandas.read_parquet(shard), pyarrow.parquet.read_table(shard)
    cache = tmp_path_factory.mktemp("cache")
    data = datasets.load_dataset(
        {"jsonl": "json"}.get(form, form), data_files=str(shard), split="train", cache_dir=str(cache)
    )
    for key in ("text", "id", "selected", "weight", "index"):
        wanted = [row[key] for row in made]
        assert frame[key].tolist() == table[key].to_pylist() == list(data[key]) == wanted


def test_a_file_that_was_put_beside_the_shards_is_no_text_of_the_pool(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "pool")
    (tmp_path / "pool" / "rows-99999.jsonl").write_text('{"text": "not listed"}\n')
    with pytest.raises(InputError, match=r"rows-99999.jsonl: is not in the MANIFEST.json; take it out"):
        read_text(tmp_path / "pool")


def test_the_card_leads_datasets_to_the_rows(whole: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra `data`)")
    data = datasets.load_dataset(str(whole), split="train", cache_dir=str(tmp_path))
    assert list(data["text"]) == [row["text"] for row in read_pool(whole)]


def test_a_parquet_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra `data`")
    (tmp_path / "x.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="x.parquet: cannot be read as a parquet pool"):
        list(read_pool(tmp_path / "x.parquet"))


def test_the_command_tells_what_it_wrote(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pool"
    assert main(["generate", str(run), "-n", "20", "--out", str(out)]) == 0
    assert f"{out}: 20 sentences, " in capsys.readouterr().err
    assert main(["verify", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: sound\n"
    assert main(["mix", "grammar:10", str(out), "--ratio", "1", "--out", str(tmp_path / "mixed.txt")]) == 0
    assert len((tmp_path / "mixed.txt").read_text().splitlines()) == 20


def test_parquet_rows_from_elsewhere_get_the_defaults_and_the_checks_of_json_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra `data`")
    from pyarrow import parquet

    def read(name: str, columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
        write_pool(rows, tmp_path / f"{name}.jsonl")
        both = [list(read_pool(tmp_path / f"{name}.{form}")) for form in ("jsonl", "parquet")]
        for row in both[1]:
            assert row.pop("scores") == row.pop("generator") == {}  # a parquet pool has these columns always
        assert both[0] == both[1]
        return both[1]

    plain = read("plain", {"text": ["a b", "c"]})
    assert [(row["selected"], row["weight"], row["flags"], row["index"]) for row in plain] == [
        (True, 1.0, [], 0), (True, 1.0, [], 1),
    ]  # fmt: skip
    assert read("more", {"text": ["a"], "page": [3], "selected": [False]})[0]["page"] == 3
    with pytest.raises(InputError, match=r'wrong.parquet:1: "scores" must be an object; mend the row'):
        parquet.write_table(pyarrow.table({"text": ["a"], "scores": ["high"]}), tmp_path / "wrong.parquet")
        list(read_pool(tmp_path / "wrong.parquet"))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_pool_of_a_nucleus_says_so_in_each_row(run: Path, tmp_path: Path, form: str) -> None:
    generate(run, 50, tmp_path / "pool", seed=1, form=form, top_p=0.5)
    rows = list(read_pool(tmp_path / "pool"))
    assert {row["top_p"] for row in rows} == {0.5}
    assert [row["text"] for row in rows] == Run.open(run).sample_text(50, seed=1, top_p=0.5)
    assert [row["text"] for row in rows] != Run.open(run).sample_text(50, seed=1)
    assert "top\\_p 0.5" in (tmp_path / "pool" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="holds a pool with another top_p"):
        generate(run, 50, tmp_path / "pool", seed=1, form=form)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_prompted_pool_says_what_each_sentence_began_with(run: Path, tmp_path: Path, form: str) -> None:
    """In turn, over the bounds of shards too; the same prompts go on with it, others do not."""
    prompts = ["a i", "b", "c j"]
    generate(run, 1500, tmp_path / "pool", seed=1, form=form, prompts=prompts)
    rows = list(read_pool(tmp_path / "pool"))
    assert [row["prompt"] for row in rows] == [prompts[i % 3] for i in range(1500)]
    assert all(row["text"].startswith(row["prompt"]) for row in rows)
    generate(run, 1500, tmp_path / "pool", seed=1, form=form, prompts=prompts)
    with pytest.raises(InputError, match="holds a pool with another prompts"):
        generate(run, 1500, tmp_path / "pool", seed=1, form=form, prompts=prompts[:2])
