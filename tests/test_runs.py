"""Sentences of a run come block by block: the same whatever their number, none twice, and never all in memory."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from textgan.augmentation import read_pool, write_pool
from textgan.errors import InputError
from textgan.generators import LSTM
from textgan.processes import tile_seed
from textgan.recipes import MLE
from textgan.runs import Run, block_seed
from textgan.training import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    lines = [f"{a} {b} {c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx"]
    recipe = MLE(mle_steps=2, batch=8, generator=LSTM(8, 16))
    return fit(recipe, lines, out=tmp_path_factory.mktemp("runs") / "run", progress=False)


def test_fewer_sentences_are_the_first_blocks_of_more(run: Run) -> None:
    many = run.sample_text(2 * 1024 + 300, seed=5)
    assert run.sample_text(2 * 1024, seed=5) == many[:2048]
    assert run.sample_text(1024, seed=5) == many[:1024]
    assert run.sample_text(2 * 1024 + 300, seed=5) == many  # the last block's number counts, too
    assert many[:300] != many[1024:1324] and many[:300] != many[2048:]
    assert run.sample_text(1024, seed=block_seed(5, 1)) == many[1024:2048]  # any block alone


def test_no_two_sentences_of_a_seed_or_of_near_seeds_are_drawn_alike() -> None:
    """A hundred million sentences are 6,250,000 tiles of noise; seeds 0 to 79."""
    first = (np.arange(6_250_000, dtype=np.uint64) * 0x9E3779B1) % (1 << 32)
    assert int(first[64 * 12345 + 7]) == tile_seed(block_seed(0, 12345), 7)
    apart = np.diff(np.sort(first))
    assert apart.min() >= 80 and int(first.min()) + (1 << 32) - int(first.max()) >= 80


def test_a_pools_rows_are_of_the_weights_that_wrote_them(run: Run, tmp_path: Path) -> None:
    """A training that goes on puts others in their place."""
    shutil.copytree(run.path, tmp_path / "run")
    other = fit(MLE(mle_steps=3, batch=8, generator=LSTM(8, 16)), ["a b", "c d"] * 20, out=tmp_path / "other",
                progress=False)  # fmt: skip
    opened = Run.open(tmp_path / "run")
    before = opened.sample_text(3)
    shutil.rmtree(tmp_path / "run" / "generator")
    shutil.copytree(other.path / "generator", tmp_path / "run" / "generator")
    rows = list(opened.pool_rows(3))
    assert [row["text"] for row in rows] == before
    assert rows[0]["generator"]["sha256"] == run.weights_sha256 != other.weights_sha256


def test_sentences_are_drawn_as_they_are_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    sample = type(run.generator).sample_from
    monkeypatch.setattr(
        type(run.generator), "sample_from", lambda *a, **k: (drawn.append(len(a[1])), sample(*a, **k))[1]
    )
    stream = run.stream_text(10**9)
    assert len([next(stream) for _ in range(1025)]) == 1025 and drawn == [1024, 1024]
    with pytest.raises(InputError, match="-n 0 must be at least 1"):
        run.stream_text(0)


def test_a_pool_that_is_broken_off_leaves_the_one_before_and_begins_anew(run: Run, tmp_path: Path) -> None:
    pool, rows = tmp_path / "pool.jsonl", list(run.pool_rows(1500, seed=1))
    write_pool(iter(rows[:10]), pool)
    before = pool.read_bytes()

    def broken():
        yield from rows[:1200]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pool(broken(), pool)
    assert pool.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]
    assert write_pool(run.pool_rows(1500, seed=1), pool) == 1500 and list(read_pool(pool)) == rows
    assert [row["text"] for row in rows] == run.sample_text(1500, seed=1)
