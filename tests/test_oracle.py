"""Oracles: the published figures of SeqGAN's LSTM, exact NLLs, and a corpus whose sentences have no end."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from textgan import Run, Schedule, fit, grammar, oracle
from textgan.errors import InputError
from textgan.generators import LSTM
from textgan.recipes import MLE
from textgan.text import read_text

SMALL = "@random-5x4-3"
DATA = Path(os.environ.get("TEXTGAN_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.mark.skipif(not (DATA / oracle.FILE).exists(), reason="SeqGAN's published oracle is not here (TEXTGAN_DATA)")
def test_seqgans_oracle_has_the_figures_that_are_told_of_it() -> None:
    """5.756 of its own sentences at length 20, 5.740 at length 40, 11.446 of uniform tokens, each within 4 errors."""
    truth = oracle.load(str(DATA / oracle.FILE))
    for length, told in ((20, 5.756), (40, 5.740)):
        lines = truth.sample(1000, length, seed=0)
        each = [truth.nll([line]) for line in lines[:200]]
        assert truth.nll(lines) == pytest.approx(told, abs=4 * np.std(each) / math.sqrt(len(lines)))
    noise = np.random.default_rng(0).integers(0, 5000, (1000, 20))
    lines = [" ".join(map(str, row)) for row in noise]
    each = [truth.nll([line]) for line in lines[:200]]
    assert truth.nll(lines) == pytest.approx(11.446, abs=4 * np.std(each) / math.sqrt(len(lines)))


def test_an_oracle_is_a_distribution_over_sentences_of_its_length() -> None:
    """All 5 ^ 3 sentences: probabilities sum to one, and its samples have the frequencies that it says."""
    truth = oracle.load("random-5x4-3")
    every = [" ".join(words) for words in itertools.product("01234", repeat=3)]
    probs = np.exp([-3 * truth.nll([line]) for line in every])
    assert probs.sum() == pytest.approx(1, abs=1e-5)
    drawn = truth.sample(20_000, 3, seed=1)
    shares = np.array([drawn.count(line) for line in every]) / len(drawn)
    assert np.abs(shares - probs).max() < 4 * math.sqrt(0.25 / len(drawn))
    assert drawn == truth.sample(20_000, 3, seed=1) != truth.sample(20_000, 3, seed=2)


def test_a_drawn_oracle_is_known_by_its_name_and_a_file_by_its_tensors(tmp_path: Path) -> None:
    truth = oracle.load("random-5x4-3")
    assert oracle.load("random-5x4-4").sha256 != truth.sha256
    save_file(truth._tensors, tmp_path / "o.safetensors")
    assert oracle.load(str(tmp_path / "o.safetensors")).sha256 == truth.sha256
    assert read_text(f"oracle:7:3{SMALL}").lines == truth.sample(7, 3)
    assert read_text(f"oracle:7:3:1{SMALL}").lines == truth.sample(7, 3, seed=1)


@pytest.mark.parametrize("source", ["oracle:", "oracle:3", "oracle:0:3", "oracle:3:0", "oracle:3:2000", "oracle:x:3"])
def test_a_misspelt_oracle_is_answered_with_how_it_is_spelt(source: str) -> None:
    with pytest.raises(InputError, match="oracle:N:LENGTH, oracle:N:LENGTH:SEED or either with @ORACLE was wanted"):
        read_text(source)


def test_an_oracle_that_is_not_there_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEXTGAN_DATA", raising=False)
    oracle.load.cache_clear()
    with pytest.raises(InputError, match="let TEXTGAN_DATA name the folder that holds oracle/seqgan_oracle_lstm"):
        oracle.load()
    (tmp_path / "bad").write_text("no tensors")
    with pytest.raises(InputError, match="cannot be read as safetensors; an oracle holds embedding.weight"):
        oracle.load(str(tmp_path / "bad"))
    save_file({"head.weight": torch.zeros(2, 2)}, tmp_path / "few")
    with pytest.raises(InputError, match="lacks 'embedding.weight'"):
        oracle.load(str(tmp_path / "few"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = MLE(batch=32, mle_steps=60, mle_lr=0.02, generator=LSTM(8, 16, dropout=0.0))
    return fit(
        recipe, f"oracle:300:6{SMALL}", valid=f"oracle:100:6:1{SMALL}", out=tmp_path_factory.mktemp("o") / "run",
        schedule=Schedule(eval_every=30), progress=False,
    )  # fmt: skip


def test_a_run_on_an_oracle_writes_sentences_of_its_length_and_logs_their_nll(run: Run) -> None:
    truth = oracle.load("random-5x4-3")
    assert run.settings["oracle"] == {"name": "random-5x4-3", "sha256": truth.sha256}
    assert run.settings["tokens"]["max_len"] == 6 and run.settings["corpus"]["truncated"] == 0
    first, *_, last = (row["nll_oracle"] for row in run.log if "nll_oracle" in row)
    assert last < first - 0.3
    assert {len(line.split()) for line in run.sample_text(200, temperature=3)} == {6}
    assert set(" ".join(run.sample_text(200, temperature=3)).split()) == set("01234")


def test_both_sides_are_of_the_distribution_that_was_sampled(run: Run) -> None:
    """Over all 5 ^ 6 sentences nothing is left to chance: NLL_oracle and NLL_div are expectations under p_T."""
    truth = oracle.load("random-5x4-3")
    test = truth.sample(500, 6, seed=9)
    every = [" ".join(words) for words in itertools.product("01234", repeat=6)]
    from textgan.text import encode

    ids = torch.from_numpy(encode(run.tokenizer, every, max_len=6).batch(np.arange(len(every))))
    p = -truth.generator(6).log_probs(torch.from_numpy(truth.ids(every))).sum(1).detach()
    for temperature in (1.0, 0.5):
        found = oracle.sides(run, truth, test, n=4000, temperature=temperature, seed=1)
        q = run.generator.log_probs(ids, temperature=temperature).sum(1).detach()
        assert q.exp().sum() == pytest.approx(1, abs=1e-4)
        assert found.nll_div == pytest.approx((-(q.exp() * q).sum() / 6).item(), abs=0.03)
        assert found.nll_oracle == pytest.approx(((q.exp() * p).sum() / 6).item(), abs=0.03)
        assert found.nll_div < found.nll_oracle  # the difference is a divergence
        held = torch.tensor([q[every.index(line)] for line in test])
        assert found.nll_test == pytest.approx(-held.mean().item() / 6, abs=1e-4)
    front = oracle.front(run, truth, test, (0.3, 1.0, 3.0), n=1000)
    assert front == [oracle.sides(run, truth, test, n=1000, temperature=t) for t in (0.3, 1.0, 3.0)]
    assert oracle.tuned(front).temperature == 1.0


def test_the_grammar_is_an_oracle_too(tmp_path: Path) -> None:
    truth = oracle.truth_of("grammar:5")
    assert truth is not None and oracle.truth_of("text.txt") is None
    lines = grammar.sample(20)
    wanted = -sum(map(grammar.log_prob, lines)) / sum(len(line.split()) + 1 for line in lines)
    assert truth.figures(lines) == {"grammatical": 1.0, "nll_oracle": pytest.approx(wanted)}
    assert truth.figures([*lines, "a a a"])["grammatical"] == pytest.approx(20 / 21)
    assert truth.figures(["a a a"]) == {"grammatical": 0.0}


def test_an_oracles_sentences_take_no_other_words_or_lengths(tmp_path: Path) -> None:
    from textgan.batches import TextSettings

    with pytest.raises(InputError, match="leave --tokens, --vocab_size, --min_count and --max_len out"):
        fit("mle", f"oracle:9:3{SMALL}", out=tmp_path / "a", text=TextSettings(max_len=4))
    with pytest.raises(InputError, match="--valid must hold sentences of 3 tokens"):
        fit("mle", f"oracle:9:3{SMALL}", valid=f"oracle:9:4{SMALL}", out=tmp_path / "b")
    with pytest.raises(InputError, match=r"of the numbers 0\.\.4, were wanted"):
        fit("mle", f"oracle:9:3{SMALL}", valid=["1 2 7"], out=tmp_path / "c")
