"""Holes in given lines: filled after the text on both sides, and nothing else of a line is touched."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from textgan import filling
from textgan.batches import TextSettings
from textgan.cli import main
from textgan.errors import InputError
from textgan.filling import HOLE, fill
from textgan.generators import LSTM, Infill
from textgan.recipes import MLE, MaskGAN
from textgan.recipes.maskgan import Holes, log_probs
from textgan.runs import Run
from textgan.training import fit

LINES = ["a b a", "c d c", "e f e"] * 40  # the last word tells the first two


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    small = Infill(embedding=16, hidden=24, context=16, dropout=0.0)
    recipe = MaskGAN(
        batch=24, mle_steps=200, judge_steps=0, adversarial_steps=0, mle_lr=0.02, mask_rate=0.25, generator=small
    )
    return fit(recipe, LINES, valid=LINES[:3], out=tmp_path_factory.mktemp("fill") / "run", progress=False)


def test_a_hole_is_filled_after_the_text_on_both_sides(run: Run) -> None:
    found = list(fill(run, ["___ b a", "c  ___ c", "e f ___"], n=50, temperature=0.5))
    wanted = [line for line in ("a b a", "c  d c", "e f e") for _ in range(50)]  # two spaces stay two
    assert sum(a == b for a, b in zip(found, wanted, strict=True)) > 140
    assert list(fill(run, ["c  ___ c"], n=3, seed=4)) == list(fill(run, ["c  ___ c"], n=3, seed=4))


def test_fillings_follow_the_run_s_likelihood_without_the_end_and_unknown_words(run: Run) -> None:
    """Of [a ___ c], a line that no one wrote: shares of 4,000 fillings against p(word | a, _, c) over the words."""
    n, size = 4000, run.generator.vocab_size
    drawn = Counter(line.split()[1] for line in fill(run, ["a ___ c"], n=n, temperature=2.0))
    (ids,), (hole,) = filling.given_lines(run, ["a ___ c"])
    visible = ids.masked_fill(hole | (ids == 0), size)
    words = range(4, size)
    each = torch.stack([ids.masked_fill(hole, word) for word in words])
    given = Holes(each, hole.expand_as(each), visible.expand_as(each))
    with torch.no_grad():
        p = (log_probs(run.generator, given).sum(1) / 2.0).softmax(0)  # at T = 2
    assert set(drawn) <= {run.tokenizer.decode([word]) for word in words}
    for word, share in zip(words, p.tolist(), strict=True):
        count = drawn[run.tokenizer.decode([word])]
        assert abs(count / n - share) < 4 * math.sqrt(share * (1 - share) / n) + 1e-3


def test_blocks_give_what_one_would(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(fill(run, ["a ___ a", "___ d c"], n=3, temperature=0.01))
    monkeypatch.setattr(filling, "ROWS", 2)
    assert list(fill(run, ["a ___ a", "___ d c"], n=3, temperature=0.01)) == whole == ["a b a"] * 3 + ["c d c"] * 3


def test_what_cannot_be_filled_is_one_line(run: Run, tmp_path: Path) -> None:
    plain = fit(
        MLE(mle_steps=1, generator=LSTM(8, 8, dropout=0.0)), LINES, valid=LINES, out=tmp_path / "plain", progress=False
    )
    pieces = fit(
        MaskGAN(mle_steps=1, judge_steps=0, adversarial_steps=0, generator=Infill(8, 8, 8)), LINES, valid=LINES,
        out=tmp_path / "bpe", text=TextSettings(tokens="bpe"), progress=False,
    )  # fmt: skip
    for which, lines, said in (
        (plain, ["a ___ a"], "plain: its generator reads no text around a hole; train maskgan, whose does"),
        (pieces, ["a ___ a"], "bpe: a hole is a word, and its tokens are bpe; train with --tokens words"),
        (run, ["a ___ a", "a b a"], "line 2: has no hole; write ___ for each word that is to be filled in"),
        (run, [" ".join(["a"] * 99 + [HOLE])], "line 1: has 100 tokens; "),
    ):
        with pytest.raises(InputError, match=said):
            fill(which, lines)


def test_the_command_fills_a_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text := tmp_path / "lines.txt").write_text("a ___ a\nc ___ c\n")
    assert main(["fill", str(run.path), str(text), "-n", "2", "--temperature", "0.01"]) == 0
    assert capsys.readouterr().out == "a b a\na b a\nc d c\nc d c\n"
