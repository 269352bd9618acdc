"""Selection: with the true ratio a biased proposal is mended; the learnt ratio points the same way; it says how far."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textgan import grammar
from textgan.augmentation.bodies import Encoded
from textgan.augmentation.calibration import auc, brier, calibration_error, effective_size, isotonic, log_odds, platt
from textgan.augmentation.density import DensityRatio, cross_fit, diagnose, fold_of
from textgan.augmentation.select import (
    DRS,
    MH,
    All,
    Chosen,
    Resample,
    Selector,
    Threshold,
    TopK,
    Weights,
    acceptance,
    choose,
)
from textgan.errors import InputError
from textgan.oracle import load
from textgan.text import save_tokenizer, train_tokenizer

EXACT = [DRS(share=None), MH(steps=30), Resample(4000), Weights(flatten=1, high=math.inf)]


def mean_and_error(values: np.ndarray, chosen: Chosen) -> tuple[float, float]:
    """The mean of the taken values and its standard error, for independent draws worth `effective_sample`."""
    mean = float(np.average(values[chosen.index], weights=chosen.weights))
    spread = float(np.average((values[chosen.index] - mean) ** 2, weights=chosen.weights))
    return mean, math.sqrt(spread / chosen.effective_sample)


# The truth is known


@cache
def proposals() -> tuple[np.ndarray, np.ndarray, float]:
    """Of 12,000 sentences of an oracle at temperature 1.3: log p and log p - log q, exact; and E_p[log p]."""
    language = load("random-30x8-0").generator(5)
    rng = torch.Generator().manual_seed(1)

    def log_p(tokens: torch.Tensor, temperature: float = 1.0) -> np.ndarray:
        with torch.no_grad():
            return language.log_probs(tokens, temperature=temperature).double().sum(1).numpy()

    wide = language.sample(12_000, temperature=1.3, rng=rng).tokens
    true = language.sample(12_000, rng=rng).tokens
    return log_p(wide), log_p(wide) - log_p(wide, 1.3), float(log_p(true).mean())


@pytest.mark.parametrize("how", EXACT, ids=lambda how: type(how).__name__)
def test_the_true_ratio_mends_a_proposal_that_is_too_warm(how: Selector) -> None:
    log_p, log_ratio, true = proposals()
    before, error = mean_and_error(log_p, choose(np.ones(len(log_p)), how=All()))
    assert abs(before - true) > 20 * error  # it is biased, beyond any doubt
    after, error = mean_and_error(log_p, choose(np.exp(log_ratio), how=how))
    assert abs(after - true) < 4 * error
    assert error < abs(before - true) / 4  # and the interval is narrow enough to tell


@cache
def far_proposals() -> tuple[np.ndarray, np.ndarray, float]:
    """Of 24,000 sentences, nine in ten of which the grammar cannot say: how many habits each has, p / q but for a
    factor, and E_p[habits].

    A sentence x is drawn with b(x), in proportion to p(x) / true_ratio(x), and with chance .9 written backwards. No
    sentence reads backwards (the full stop would come first), so q(x) = .1 b(x) where p(x) > 0, and p / q is in
    proportion to true_ratio(x) there, and 0 elsewhere.
    """

    def habits(lines: list[str]) -> np.ndarray:
        return np.array([float(sum(habit in line for habit in HABITS)) for line in lines])

    rng = random.Random(1)
    said = [line if rng.random() < 0.1 else " ".join(line.split()[::-1]) for line in biased(24_000, 1)]
    possible = np.isfinite([grammar.log_prob(line) for line in said])
    ratio = np.where(possible, [true_ratio(line) for line in said], 0.0)
    return habits(said), ratio, float(habits(grammar.sample(100_000, 99)).mean())


@pytest.mark.parametrize(
    "how", [DRS(share=None), MH(steps=150), Resample(4000), Weights(flatten=1, high=math.inf)],
    ids=lambda how: type(how).__name__,
)  # fmt: skip
def test_the_true_ratio_mends_a_proposal_of_which_a_tenth_is_grammatical(how: Selector) -> None:
    habits, ratio, true = far_proposals()
    before, error = mean_and_error(habits, choose(np.ones(len(habits)), how=All()))
    assert abs(before - true) > 50 * error
    chosen = choose(ratio, how=how)
    assert ratio[chosen.index[chosen.weights > 0]].min() > 0  # nothing that the grammar cannot say
    after, error = mean_and_error(habits, chosen)
    assert abs(after - true) < 3 * error
    assert error < abs(before - true) / 6  # and the interval is narrow enough to tell


def test_chains_that_are_too_short_keep_what_they_began_with() -> None:
    """As many as meet no grammatical proposal in 1 + 20 draws end at an ungrammatical one."""
    habits, ratio, true = far_proposals()
    chosen = choose(ratio, how=MH(20))
    left, chance = float((ratio[chosen.index] == 0).mean()), float((ratio == 0).mean()) ** 21
    assert left == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / len(chosen.index)))
    after, error = mean_and_error(habits, chosen)
    assert true - after > 10 * error  # and the others have not gone far


def test_a_share_trades_bias_for_texts() -> None:
    log_p, log_ratio, true = proposals()
    away, taken = [], []
    for share in (0.2, 0.5, 0.8):
        chosen = choose(np.exp(log_ratio), how=DRS(share))
        taken.append(chosen.acceptance)
        away.append(abs(mean_and_error(log_p, chosen)[0] - true))
    assert taken == pytest.approx([0.2, 0.5, 0.8], abs=0.02)  # 4 sd of a binomial share of 12,000
    assert away == sorted(away)


def test_exact_rejection_accepts_by_the_ratio_over_its_greatest() -> None:
    ratio = np.array([0.5, 1.0, 2.0])
    assert acceptance(ratio, None) == pytest.approx([0.25, 0.5, 1.0])
    assert acceptance(ratio, 0.35) == pytest.approx([0.15, 0.3, 0.6])  # a share below 7/12: thinned, in proportion
    eased = acceptance(ratio, 0.75)
    assert eased.mean() == pytest.approx(0.75)
    # sigmoid(log(u / (1 - u)) - gamma): the odds of the unsure ones, 1/3 and 1, are multiplied alike
    odds = eased[:2] / (1 - eased[:2])
    assert odds[1] / odds[0] == pytest.approx(3)


def test_each_selector_takes_what_it_says() -> None:
    ratio = np.array([0.5, 4.0, 1.0, 2.0])
    assert choose(ratio, how=All()).index.tolist() == [0, 1, 2, 3]
    assert choose(ratio, how=TopK(0.5)).index.tolist() == [1, 3]
    assert choose(ratio, how=Threshold(1.0)).index.tolist() == [1, 2, 3]
    weighted = choose(ratio, how=Weights(flatten=0.5, high=10))
    assert weighted.weights == pytest.approx(np.sqrt(ratio) / np.sqrt(ratio).mean())
    clipped = choose(ratio, how=Weights(flatten=1, low=1, high=1.5))
    assert clipped.weights == pytest.approx(np.array([1, 3, 1, 2]) / 1.75)  # 4 is held to 1.5 times the mean, 2
    drawn = choose(ratio, how=Resample(1000))
    assert len(drawn.index) == 1000 and drawn.acceptance == 1.0
    # (sum w)^2 / sum w^2 of the shares 1:8:2:4 of 15 is 225 / 85
    assert drawn.effective_sample == pytest.approx(225 / 85, rel=0.1)
    ends = choose(np.ones(100), how=MH(9)).index
    assert len(ends) == len(set(ends)) == 10


def test_chains_stay_where_no_proposal_is_likelier_by_far() -> None:
    ratio = np.array([1e-9] * 10 + [1.0])  # one chain of eleven links must end at the one likely text
    assert choose(ratio, how=MH(10)).index.tolist() == [10]


@pytest.mark.parametrize("how", [TopK(0.3), DRS(0.3), MH(3), Resample(20)], ids=lambda how: type(how).__name__)
def test_a_selection_follows_from_the_seed(how: Selector) -> None:
    ratio = np.random.default_rng(0).integers(1, 4, 400)  # many are equal: of those the draw decides
    one, same, other = (choose(ratio, how=how, seed=seed).index.tolist() for seed in (0, 0, 1))
    assert one == same != other


def test_a_selection_that_rests_on_few_texts_says_so() -> None:
    lone = np.array([1.0] * 999 + [1000.0])  # (1999)^2 / 1000999 = 4 texts of 1000
    warned = choose(lone, how=DRS(None)).warnings
    assert warned[0].startswith("the ratios rest on few texts: the effective sample size is 0.4 % of 1000 (under 10 %)")
    assert warned[1].endswith("% of the texts were taken (under 2 %): much is made in vain")
    assert choose(np.ones(1000), how=DRS(0.5)).warnings == ()


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda: TopK(0), "share 0 must be above 0 and at most 1: a share of the texts"),
        (lambda: DRS(1.5), "share 1.5 must be above 0 and at most 1: a share of the texts"),
        (lambda: DRS(math.nan), "share nan must be above 0 and at most 1: a share of the texts"),
        (lambda: Threshold(-1), "threshold -1 must be a ratio, 0 or more"),
        (lambda: MH(0), "steps 0 must be at least 1"),
        (lambda: Weights(flatten=2), "flatten 2 must be from 0 (no weights) to 1 (the ratio itself)"),
        (
            lambda: choose([1.0, 2.0], how=Threshold(9)),
            "no ratio reaches the threshold 9; the highest is 2: lower it",
        ),
        (
            lambda: choose([1.0, -1.0], how=All()),
            "ratios p_data / p_G of 0 or more, and not all 0, were wanted; mend them",
        ),
        (
            lambda: choose([1.0, math.nan], how=All()),
            "ratios p_data / p_G of 0 or more, and not all 0, were wanted; mend them",
        ),
        (lambda: choose([], how=All()), "ratios of shape (n,), n at least 1, were wanted, got (0,)"),
        (lambda: choose([1.0], how=MH(3)), "1 texts are too few for one chain of 3 steps; lower the steps"),
    ],
)
def test_what_cannot_be_selected_is_one_line_of_error(do: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        do()
    assert str(error.value) == said


# Calibration


def test_isotonic_odds_are_those_of_the_pools() -> None:
    # Sorted by score: 0 1 0 | 1 1 with one real text put below and one written text above: the fit is over
    # 1' 0 1 0 1 1 0', whose least-squares ascent is 1/2 (1' 0), 1/2 (1 0), 2/3 (1 1 0').
    scores, real = np.array([1.0, 2, 3, 4, 5]), np.array([False, True, False, True, True])
    centre, odds = isotonic(scores, real)
    assert odds == pytest.approx([0.0, 0.0, math.log(2)] if len(odds) == 3 else [0.0, math.log(2)], abs=1e-12)
    assert log_odds((centre, odds), [-99, 99]) == pytest.approx([0, math.log(2)])
    assert centre[-1] == pytest.approx(4.5)


@pytest.mark.parametrize("calibrate", [isotonic, platt])
def test_a_distorted_logit_is_put_right(calibrate: Callable[..., Any]) -> None:
    # Two normal laws a distance 2 apart have log odds 2 x; the scorer says 5 x + 3 instead.
    rng = np.random.default_rng(0)
    real = np.arange(20_000) < 10_000
    x = rng.normal(np.where(real, 1, -1))
    found = calibrate(5 * x + 3, real)
    inside = np.linspace(-1.5, 1.5, 7)
    assert log_odds(found, 5 * inside + 3) == pytest.approx(2 * inside, abs=0.35)
    chance = 1 / (1 + np.exp(-log_odds(found, 5 * x + 3)))
    raw = 1 / (1 + np.exp(-(5 * x + 3)))
    good, by_chance = calibration_error(chance, real)
    assert good < 2 * by_chance < 0.02 < calibration_error(raw, real)[0]
    assert brier(chance, real) < brier(raw, real)


def test_a_scorer_that_is_wrong_tells_nothing_after_calibration() -> None:
    real = np.arange(200) < 100
    for calibrate in (isotonic, platt):
        odds = log_odds(calibrate(np.where(real, 0.0, 1.0), real), [0.0, 1.0])
        assert odds == pytest.approx([0, 0], abs=0.02)


def test_no_ratio_is_infinite_where_the_scorer_never_errs() -> None:
    real = np.arange(200) < 100
    # 100 written texts and the one real text below them: odds 1 / 100; and the mirror image
    assert log_odds(isotonic(np.where(real, 1.0, 0.0), real), [0.0, 1.0]) == pytest.approx(
        [-math.log(100), math.log(100)]
    )


def test_a_d_that_tells_nothing_is_well_calibrated_in_whatever_order_its_texts_come() -> None:
    real = np.arange(900) < 450
    assert calibration_error(np.full(900, 0.5), real)[0] == 0  # all say .5, and half of them are real
    # One bin of 900: sqrt(2 / 4 / (900 pi))
    assert calibration_error(np.full(900, 0.5), real)[1] == pytest.approx(math.sqrt(1 / (1800 * math.pi)))
    chance = np.repeat([0.2, 0.8], 450)
    told, order = np.concatenate([np.arange(450) < 90, np.arange(450) < 270]), np.random.default_rng(0).permutation(900)
    expected = pytest.approx((0 + 0.2) / 2)  # the second half of them says .8 where .6 is so
    assert calibration_error(chance, told)[0] == expected == calibration_error(chance[order], told[order])[0]


def test_a_generator_that_d_cannot_tell_is_not_called_badly_calibrated() -> None:
    """Scores that have nothing to do with what is real: pooled, nearly all have one probability."""
    is_real, warned = np.arange(1000) < 500, 0
    for row in range(20):
        rng = np.random.default_rng(row)
        found = diagnose(rng.normal(size=1000), is_real, rng.integers(5, size=1000), "isotonic")
        warned += any("badly calibrated" in line for line in found.warnings())
    assert warned <= 3


def test_auc_counts_pairs_and_ties_half() -> None:
    # Of 2 x 2 pairs (real 3, 1; written 1, 0): 3 > 1, 3 > 0, 1 = 1, 1 > 0 -> 3.5 / 4
    assert auc(np.array([3.0, 1, 1, 0]), np.array([True, True, False, False])) == pytest.approx(3.5 / 4)
    assert effective_size(np.array([1.0, 1, 0, 0])) == 2


# The learnt ratio

HABITS = (" is ", " on ", " in ", " with ", " and ")


def true_ratio(line: str) -> float:
    return math.prod(3.0 for habit in HABITS if habit in line)


def biased(n: int, seed: int) -> list[str]:
    """Sentences of the grammar, each accepted with probability 1 / true_ratio: p / q is true_ratio but for a factor."""
    rng = random.Random(seed)
    lines = (line for line in grammar.sentences(100 * n, seed) if rng.random() < 1 / true_ratio(line))
    return [line for line, _ in zip(lines, range(n), strict=False)]


@pytest.fixture(scope="module")
def learnt() -> DensityRatio:
    return DensityRatio.fit(grammar.sample(1000, 1), biased(1500, 2), folds=2, calibration="platt")


def test_the_learnt_ratio_goes_the_way_of_the_true_one(learnt: DensityRatio) -> None:
    new = biased(1500, 3)
    true = np.log([true_ratio(line) for line in new])
    assert np.corrcoef(learnt.log_ratio(new), true)[0, 1] > 0.6
    bayes = auc(np.log([true_ratio(x) for x in [*grammar.sample(1000, 1), *biased(1500, 2)]]), np.arange(2500) < 1000)
    assert 0.6 < learnt.diagnostics.auc < bayes + 0.03
    assert learnt.diagnostics.mean == pytest.approx(1, abs=0.15)  # E_q[p / q] = 1, whatever the numbers of texts
    for how in (TopK(0.5), DRS(0.5), MH(4), Resample(700), Weights()):
        chosen = choose(learnt.ratio(new), how=how)
        assert np.average(true[chosen.index], weights=chosen.weights) > true.mean() + 0.1


def test_texts_that_d_was_trained_on_are_judged_as_fairly_as_new_ones(learnt: DensityRatio) -> None:
    """An over-fitted D knows its own texts; each is asked only about texts of the fold that it left out."""
    seen, new = (np.mean(learnt.log_ratio(lines)) for lines in (biased(1500, 2), biased(1500, 3)))
    spread = learnt.log_ratio(biased(1500, 3)).std()
    assert abs(seen - new) < 4 * spread * math.sqrt(2 / 1500)


def test_where_there_is_nothing_to_tell_the_ratio_is_one() -> None:
    same = DensityRatio.fit(grammar.sample(300, 1), grammar.sample(300, 2), folds=2, calibration="platt")
    assert abs(same.diagnostics.auc - 0.5) < 0.12  # 4 sd: 1 / sqrt(12) sqrt(2 / 300)
    assert np.abs(same.log_ratio(grammar.sample(200, 3))).mean() < 0.25


def test_a_ratio_comes_back_as_it_was_saved(learnt: DensityRatio, tmp_path: Path) -> None:
    learnt.save(tmp_path / "d")
    back = DensityRatio.load(tmp_path / "d")
    lines = [*biased(50, 4), "", "words that nobody knows"]
    assert np.array_equal(back.log_ratio(lines), learnt.log_ratio(lines))
    assert back.diagnostics == learnt.diagnostics
    (tmp_path / "d" / "fold-1" / "d.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"fold-1/d.safetensors: cannot be read as this discriminator"):
        DensityRatio.load(tmp_path / "d")
    with pytest.raises(InputError, match=r"no density.json; give a folder that DensityRatio.save has written"):
        DensityRatio.load(tmp_path)


def test_copies_share_a_fold_and_folds_are_of_like_size() -> None:
    lines = grammar.sample(2000, 0)
    fold = fold_of(lines, 4, 0)
    assert np.array_equal(fold, fold_of([f"  {line.upper()} " for line in lines], 4, 0))
    distinct = fold_of(sorted(set(lines)), 4, 0)
    assert np.bincount(distinct).min() > 0.2 * len(distinct)
    assert not np.array_equal(fold, fold_of(lines, 4, 1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"body": "svm"}, "body 'svm' is not one of cnn, encoder, mean"),
        ({"body": "encoder"}, "body encoder needs an encoder: a local Hugging Face folder of a sentence encoder"),
        ({"encoder": "x"}, "body cnn reads no encoder; give body encoder or mean, or leave the encoder out"),
        ({"calibration": "none"}, "calibration 'none' is not one of isotonic, platt"),
        ({"folds": 1}, "folds 1 must be at least 2: each D is asked about texts that it has not seen"),
        ({"folds": 9}, "100 real texts are too few for 9 folds; give 180 or more, or fewer folds"),
    ],
)
def test_a_ratio_that_cannot_be_fitted_is_one_line_of_error(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        DensityRatio.fit(grammar.sample(100, 1), grammar.sample(200, 2), **options)
    assert str(error.value) == said


def counting(lines: list[str]) -> np.ndarray:
    """An encoder that knows what the bias is made of: (n, 6) which habits a line has, and noise."""
    return np.array([[float(habit in line) for habit in HABITS] + [len(line) % 7] for line in lines])


def test_a_net_on_an_encoder_learns_what_the_encoder_knows() -> None:
    """The log ratio is linear in these features, so the ratio must be found nearly whole."""
    texts = [*grammar.sample(1200, 1), *biased(1200, 2)]
    is_real, fold = np.arange(2400) < 1200, fold_of(texts, 2, 0)
    judges = cross_fit(Encoded(counting), texts, is_real, fold, 0)
    new = biased(800, 3)
    for judge in judges:
        logits = judge.logits(new)
        assert np.corrcoef(logits, np.log([true_ratio(line) for line in new]))[0, 1] > 0.9


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence encoder, untrained, as a Hugging Face folder."""
    from transformers import BertConfig, BertModel

    folder, tokenizer = tmp_path_factory.mktemp("encoder"), train_tokenizer(grammar.sample(100, 0))
    save_tokenizer(tokenizer, folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes)).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("body", ["encoder", "mean"])
def test_a_ratio_on_an_encoder_comes_back_from_its_folder(body: str, encoder: Path, tmp_path: Path) -> None:
    fitted = DensityRatio.fit(grammar.sample(60, 1), biased(60, 2), body=body, encoder=encoder, folds=2)
    fitted.save(tmp_path / "d")
    lines = [*biased(20, 2), *biased(20, 9)]  # some that the encoder has read in fitting, and some new
    assert DensityRatio.load(tmp_path / "d").log_ratio(lines) == pytest.approx(fitted.log_ratio(lines), abs=1e-5)
    with pytest.raises(InputError, match="no encoder at nowhere"):
        DensityRatio.load(tmp_path / "d", encoder="nowhere")
