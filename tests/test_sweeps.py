"""Fronts over temperatures: models grouped by their settings, matched with maximum likelihood, real text beside."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from textgan import grammar
from textgan.errors import InputError
from textgan.evaluation import Reference, evaluate
from textgan.generators import LSTM
from textgan.judges import LSTMScore
from textgan.metrics.fronts import Matched
from textgan.recipes import MLE
from textgan.runs import Run
from textgan.sequences import mask_of
from textgan.sweeps import _model_of, agreement, sweep_runs
from textgan.text import encode
from textgan.training import fit


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two seeds of one small model and one seed of a smaller one."""
    folder = tmp_path_factory.mktemp("runs")
    lines = grammar.sample(800)
    sizes = {"a": (32, 0), "b": (32, 1), "c": (8, 0)}
    return [
        fit(MLE(batch=32, mle_steps=120, mle_lr=0.01, generator=LSTM(16, hidden, dropout=0.0)), lines,
            out=folder / name, seed=seed, progress=False)
        for name, (hidden, seed) in sizes.items()
    ]  # fmt: skip


def test_log_probs_of_a_run_are_its_generators(runs: list[Run]) -> None:
    lines = grammar.sample(30, seed=9)
    sums, tokens = runs[0].log_probs(lines)
    data = encode(runs[0].tokenizer, lines, max_len=runs[0].generator.max_len)
    for i in range(len(lines)):
        one = torch.from_numpy(data.batch([i]))
        assert sums[i] == pytest.approx(runs[0].generator.log_probs(one).sum().item(), abs=1e-4)
        assert tokens[i] == int(mask_of(one).sum())


def test_a_sweep_groups_seeds_matches_models_and_keeps_real_text(runs: list[Run]) -> None:
    swept = sweep_runs(
        runs, grammar.sample(400, seed=5), temperatures=(0.6, 1.0, 1.5), n=150,
        metrics="BLEU-4,self-BLEU-4,LM-score", judges=[runs[2]],
    )  # fmt: skip
    assert [(m.name, len(m.evaluations[1.0])) for m in swept.models] == [("mle (1)", 2), ("mle (2)", 1)]
    # Along the front: a sharpened model repeats itself more and looks better by both kinds of quality.
    for name, falls in {"self-BLEU-4": True, "BLEU-4": True, "LM-score": False, "LSTM-score": False}.items():
        along = [np.mean([e.value(name) for e in swept.models[0].evaluations[t]]) for t in (0.6, 1.0, 1.5)]
        assert along == sorted(along, reverse=falls), name
    assert {s.name for s in swept.real} == {"BLEU-4", "self-BLEU-4", "LM-score", "LSTM-score", "NLL-c"}
    assert set(swept.matched["mle (2)"]) == {"BLEU-4", "LM-score", "LSTM-score", "NLL-c"}
    judged = [s for s in swept.models[0].evaluations[1.0][0].scores if s.name == "NLL-c"]
    assert [score.better for score in judged] == ["lower"]  # the less likely text was once called better
    assert "real text" in swept.to_table()
    json.dumps(swept.to_json(), allow_nan=False)


def test_the_nuclei_of_maximum_likelihood_are_one_more_model(runs: list[Run]) -> None:
    swept = sweep_runs(
        runs, grammar.sample(400, seed=5), temperatures=(0.6, 1.0, 1.5), top_p=(0.5, 0.8, 1.0), n=150,
        metrics="BLEU-4,self-BLEU-4",
    )  # fmt: skip
    assert [(m.name, m.knob, len(m.evaluations[1.0])) for m in swept.models] == [
        ("mle (1)", "T", 2), ("mle (1), top-p", "p", 2), ("mle (2)", "T", 1),
    ]  # fmt: skip
    likely, cut, _ = swept.models
    assert cut.evaluations[1.0][0].value("BLEU-4") == likely.evaluations[1.0][0].value("BLEU-4")  # all of it
    along = [np.mean([e.value("self-BLEU-4") for e in cut.evaluations[p]]) for p in (0.5, 0.8, 1.0)]
    assert along == sorted(along, reverse=True)
    assert "BLEU-4" in swept.matched["mle (1), top-p"]
    assert "p = 0.5" in swept.to_table() and "mle (1), top-p, p = 0.5" in swept.to_html()


def test_a_front_needs_two_temperatures_and_a_baseline(runs: list[Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--temperatures has 1 value\(s\); a front needs at least 2"):
        sweep_runs(runs[:1], grammar.sample(100), temperatures=(1.0, 1.0))
    alone = Run(runs[0].path, runs[0].settings | {"recipe": "seqgan"})
    other = grammar.sample(200, seed=5)
    swept = sweep_runs([alone], other, temperatures=(0.8, 1.2), n=50, metrics="BLEU-4,self-BLEU-4")
    assert swept.matched == {}
    assert "no mle run was given" in swept.absent["all"]


def test_a_swept_run_writes_as_finely_as_it_is_told(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(Run, "sample_text", lambda run, n, **_: opened.append(run) or ["a man is here"] * n)
    how: dict[str, Any] = {"temperatures": (0.8, 1.2), "n": 50, "metrics": "BLEU-4,self-BLEU-4"}
    sweep_runs([runs[0].path], grammar.sample(200, seed=5), precision="bf16", **how)
    assert {(run.precision, run.device.type) for run in opened} == {("bf16", "cpu")}
    with pytest.raises(InputError, match="--device nowhere is not one of auto, cpu, cuda"):
        sweep_runs([runs[0].path], grammar.sample(200, seed=5), device="nowhere", **how)


def test_an_lstm_judge_is_reproducible_and_finds_shuffled_words_less_fluent() -> None:
    rng = np.random.default_rng(0)
    real = grammar.sample(500, seed=1)
    shuffled = [" ".join(rng.permutation(line.split())) for line in grammar.sample(250, seed=2)]
    before = torch.get_rng_state()
    made_up = [" ".join("zyx" if place % 3 == 0 else word for place, word in enumerate(line.split())) for line in real]
    found = [evaluate(text, Reference(real), metrics=[LSTMScore()], n=200) for text in (real, real, shuffled, made_up)]
    assert torch.equal(before, torch.get_rng_state())
    one, same, worse, strange = (e.value("LSTM-score") for e in found)
    assert one == same
    assert worse > one + 1.5 and strange > one + 1  # an unknown word is no cheaper than a rare one
    assert found[0].real[0].value < worse - 1.5
    assert "model:LSTM 64/128" in found[0].scores[0].signature
    few = evaluate(real[:20], real[:30], metrics=[LSTMScore()])
    assert few.absent["LSTM-score"] == "an LSTM judge is trained on at least 20 lines, and there are 15"


def claim(word: str) -> Matched:
    return Matched([0.1, 0.2], [0.0, 0.0], None, None, 0.01, None, None, 0.0, 0.0, 4, "", word)


def test_a_judge_that_cannot_be_trained_leaves_the_other_figures() -> None:
    odd = [f"w{i}" for i in range(80)]
    found = evaluate(odd, odd, metrics=[LSTMScore(), "distinct-1"])
    assert found.value("distinct-1") == 1.0
    assert "words that stand twice" in found.absent["LSTM-score"]


def test_a_control_or_another_text_is_not_a_seed_of_the_same_model() -> None:
    def model(seed: int, text: str = "a", **more: Any) -> str:
        said = {"recipe": "seqgan", "fields": {"rollouts": 8}, "tokens": {}, "corpus": {"sha256": text}, "seed": seed}
        return _model_of(SimpleNamespace(settings=said | more, weights=Path("run/generator")))  # type: ignore[arg-type]

    assert model(0) == model(1)
    assert model(0, start={"sha256": "x"}) == model(1, start={"sha256": "y"})
    others = [model(1, control="shuffled"), model(1, "b"), model(1, start={"sha256": "x"})]
    assert len({model(0), *others}) == 4
    assert others[0].startswith("seqgan-shuffled ")


def test_one_run_given_twice_is_refused_and_blank_sentences_are_drawn_again(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twins have no spread and would make any difference a claim; a weak model writes many blanks."""
    how: dict[str, Any] = {"temperatures": (0.8, 1.2), "n": 50, "metrics": "BLEU-4,self-BLEU-4"}
    with pytest.raises(InputError, match="are one model with one seed, 0; give each once"):
        sweep_runs([runs[0], runs[0]], grammar.sample(200, seed=5), **how)
    kept = Run.sample_text
    monkeypatch.setattr(Run, "sample_text", lambda run, n, **o: ["", " ", *kept(run, n, **o)[: n // 3]][:n])
    swept = sweep_runs(runs[:1], grammar.sample(200, seed=5), **how)
    assert swept.n == 50 and swept.models[0].evaluations[0.8][0].n == 50
    monkeypatch.setattr(Run, "sample_text", lambda run, n, **_: [""] * n)
    with pytest.raises(InputError, match=r"a at temperature 0.8: 410 of 410 sentences have no word; leave it out"):
        sweep_runs(runs[:1], grammar.sample(200, seed=5), **how)


def test_a_gain_in_fluency_needs_both_judges() -> None:
    def said(one: str, other: str) -> list[str]:
        return agreement({"gan": {"LM-score": claim(one), "LSTM-score": claim(other)}})

    assert said("", "") == []
    assert said("better", "better") == ["Both judges (LM-score and LSTM-score) call gan better at matched diversity."]
    for pair in (("better", ""), ("", "better"), ("better", "worse")):
        assert said(*pair)[0].endswith("no claim of fluency.")
    assert agreement({"gan": {"LM-score": claim("better")}}) == []


@pytest.mark.parametrize(("gap", "warned"), [({"LM-score": 1e9}, True), ({"LM-score": 0.0}, False)])
def test_a_claim_smaller_than_the_training_texts_distance_is_warned_of(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch, gap: dict[str, float], warned: bool
) -> None:
    monkeypatch.setattr("textgan.sweeps.training_gap", lambda *_: gap)
    other = Run(runs[2].path, runs[2].settings | {"recipe": "seqgan"})
    # two runs a model without spread, so that every difference is a claim
    pairs = [Run(run.path, run.settings | {"seed": seed}) for run in (runs[0], other) for seed in (0, 1)]
    swept = sweep_runs(
        pairs, grammar.sample(200, seed=5), temperatures=(0.7, 1.4), n=80, metrics="self-BLEU-4,LM-score"
    )
    assert swept.matched["seqgan"]["LM-score"].claim
    said = [w for w in swept.warnings if "differ by more than the claim in LM-score of seqgan" in w]
    assert bool(said) == warned
