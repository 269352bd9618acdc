"""compare and fronts: equal texts are not told apart, planted differences are, and one run supports no claim."""

from __future__ import annotations

import json

import numpy as np
import pytest

from textgan.comparisons import Swept, compare, compare_sweeps, sweep
from textgan.errors import InputError
from textgan.evaluation import Reference, choose_metrics, evaluate
from textgan.grammar import sample
from textgan.metrics import RarefiedDistinct
from textgan.metrics.fronts import Point, adjusted, interpolate, matched, shared_range

REFERENCE = Reference(sample(200, 99))


def collapsed(n: int, seed: int, kinds: int = 40) -> list[str]:
    return (sample(kinds, seed) * n)[:n]


def test_two_draws_of_one_language_are_not_told_apart() -> None:
    found = [compare(sample(200, 2 * k), sample(200, 2 * k + 1), REFERENCE) for k in range(8)]
    assert sum("do not tell" in one.sentence for one in found) >= 6  # 95 % of them, by Holm


def test_a_collapsed_text_is_further_from_real_text_in_diversity() -> None:
    found = compare(sample(200, 1), collapsed(200, 2), REFERENCE, names=("full", "collapsed"))
    rows = {d.name: d for d in found.differences}
    assert rows["self-BLEU-4"].difference > 0 > rows["distinct-2"].difference
    assert rows["self-BLEU-4"].p < 0.05
    assert rows["self-BLEU-4"].low < rows["self-BLEU-4"].difference < rows["self-BLEU-4"].high
    assert "further from real text in" in found.sentence
    assert "self-BLEU-4" in found.sentence
    json.dumps(found.to_json(), allow_nan=False)
    row = next(line for line in found.to_table().splitlines() if line.startswith("self-BLEU-4"))
    assert " * " in row


def test_the_interval_of_several_runs_is_between_runs() -> None:
    a, b = tuple(sample(120, k) for k in (1, 2, 3)), tuple(collapsed(120, k) for k in (4, 5, 6))
    found = compare(a, b, REFERENCE, metrics="distinct-2,BLEU-4")
    row = next(d for d in found.differences if d.name == "distinct-2")
    values = [
        [evaluate(text, REFERENCE, n=120, metrics="distinct-2").value("distinct-2") for text in s] for s in (a, b)
    ]
    from scipy.stats import ttest_ind

    welch = ttest_ind(values[1], values[0], equal_var=False)
    assert found.runs == (3, 3)
    assert row.difference == pytest.approx(np.mean(values[1]) - np.mean(values[0]))
    assert row.low == pytest.approx(welch.confidence_interval().low, abs=0.05 * abs(row.difference))
    assert row.between is not None
    assert "3 and 3 runs" in found.sentence


def test_one_text_is_no_two_runs() -> None:
    a, b, real = (sample(60, seed=s) for s in range(3))
    with pytest.raises(InputError, match="one text stands twice among the runs of a side; give each run once"):
        compare((a, a), (b, b), real, metrics="distinct-2")


def test_an_encoders_name_may_hold_what_parts_a_signature() -> None:
    def encoder(lines: list[str]) -> np.ndarray:
        return np.array([[len(line), line.count("a"), line.count(" ")] for line in lines], dtype=float)

    encoder.__name__ = "bert|mean"
    found = compare(sample(60, 1), sample(60, 2), Reference(sample(120, 3), encoder=encoder), metrics="Frechet,density")
    assert len(found.differences) == 2


def test_texts_of_unlike_size_are_compared_at_the_smaller() -> None:
    assert compare(sample(150, 1), sample(60, 2), REFERENCE, metrics="distinct").n == 60


def test_a_training_text_unlike_the_reference_is_warned_of() -> None:
    strange = [line.replace("a ", "some quite odd ") for line in sample(200, 5)]
    reference = Reference(sample(200, 99), train=strange)
    found = compare(collapsed(200, 1, 150), sample(200, 2), reference)
    assert any("training text and reference differ by more" in warning for warning in found.warnings)


def line(slope: float, shift: float, noise: float = 0.0) -> list[Point]:
    """Quality = shift + slope * diversity^2, at six temperatures."""
    return [Point(t, d, shift + slope * d * d + noise) for t, d in enumerate(np.linspace(0.2, 0.9, 6).tolist())]


def test_interpolation_is_exact_at_the_points_and_keeps_their_order() -> None:
    points = line(1.0, 0.0)
    at = np.array([p.diversity for p in points])
    assert interpolate(points, at) == pytest.approx([p.quality for p in points])
    between = interpolate(points, np.linspace(0.2, 0.9, 200))
    assert (np.diff(between) >= 0).all()
    with pytest.raises(InputError, match="never extrapolated"):
        interpolate(points, np.array([0.95]))


def test_a_shift_of_the_whole_front_is_found_and_dominates() -> None:
    ours = [line(1.0, -0.1, noise) for noise in (0.0, 0.01, -0.01, 0.005)]
    base = [line(1.0, 0.0, noise) for noise in (0.0, 0.012, -0.009, 0.004)]
    found = matched(ours, base, better="lower", quality="NLL")
    assert found.area == pytest.approx(-0.1, abs=0.005)
    assert (found.better, found.worse) == (1.0, 0.0)
    assert "is better than" in found.sentence
    assert "everywhere" in found.sentence
    assert "is worse than" in matched(ours, base, better="higher").sentence


def test_moving_along_the_same_front_is_no_gain() -> None:
    # a sharpened model is the same curve at other temperatures
    rng = np.random.default_rng(0)
    base = [line(1.0, 0.0, noise) for noise in rng.normal(0, 0.01, 5)]
    sharpened = [[p for p in line(1.0, 0.0, noise) if p.diversity > 0.3] for noise in rng.normal(0, 0.01, 5)]
    found = matched(sharpened, base, better="lower")
    assert "not told apart" in found.sentence


def test_one_run_supports_no_claim_and_disjoint_curves_are_refused() -> None:
    found = matched([line(1.0, -1.0)], [line(1.0, 0.0)], better="lower")
    assert found.area_low is None
    assert found.sentence.endswith("no claim.")
    far = [Point(0, 2.0, 1.0), Point(1, 3.0, 2.0)]
    with pytest.raises(InputError, match="share no diversity"):
        shared_range([line(1.0, 0.0), far])
    with pytest.raises(InputError, match="at least 2 temperatures"):
        matched([[Point(1, 0.5, 1.0)]], [line(1.0, 0.0)], better="lower")


def test_unequal_numbers_of_runs_do_not_make_claims_of_noise() -> None:
    rng = np.random.default_rng(3)
    claims = 0
    for _ in range(200):
        ours, base = ([line(1.0, 0.0, noise) for noise in rng.normal(0, 0.01, runs)] for runs in (5, 2))
        claims += bool(matched(ours, base, better="lower").claim)
    assert 0 < claims <= 24  # 5 % of 200 and four standard errors; the mean of the two, taken as known, gives 22 %
    far = matched([line(1.0, -0.2, x / 99) for x in range(5)], [line(1.0, 0.0, x / 99) for x in (0, 1)], better="lower")
    assert (far.claim, far.runs) == ("better", 2)
    assert "Under 4 runs" in far.sentence
    lone = matched([line(1.0, -1.0, noise) for noise in (0.0, 0.1, 0.2)], [line(1.0, 0.0)], better="lower")
    assert lone.area_low is None
    assert lone.claim == ""


def test_fronts_of_unlike_diversity_figures_are_refused() -> None:
    long = Reference(sample(400, 98))

    def swept(n: int) -> Swept:
        texts = {t: [collapsed(n, 7, kinds)] for t, kinds in ((0.5, 40), (1.0, 80))}
        return sweep(texts, long, metrics="LM-score,self-BLEU-4")

    with pytest.raises(InputError, match="self-BLEU-4 was measured on 200 and on 400 lines"):
        compare_sweeps(swept(200), swept(400))  # LM-score sees half of the reference, 200 lines, in both


def test_a_sweep_evaluates_each_temperature_and_run_at_one_n() -> None:
    def texts(shift: int) -> dict[float, list[list[str]]]:
        return {k / 10: [collapsed(100, shift + k + run, 10 * k) for run in (0, 1)] for k in (2, 4, 8)}

    ours, base = (
        sweep(texts(s), REFERENCE, metrics="BLEU-4,self-BLEU-4", name=name) for s, name in ((0, "a"), (50, "b"))
    )
    assert sorted(ours.evaluations) == [0.2, 0.4, 0.8]
    assert {one.n for runs in ours.evaluations.values() for one in runs} == {100}
    assert [len(points) for points in ours.points("BLEU-4", "self-BLEU-4")] == [3, 3]
    assert compare_sweeps(ours, base, quality="BLEU-4").runs == 2
    with pytest.raises(InputError, match="was not measured in a"):
        compare_sweeps(ours, base, quality="Frechet")
    other = sweep(texts(50), REFERENCE, n=90, metrics="BLEU-4,self-BLEU-4")
    with pytest.raises(InputError, match="on 100 and on 90 lines"):
        compare_sweeps(ours, other, quality="BLEU-4")
    with pytest.raises(InputError, match="got none"):
        sweep({}, REFERENCE)
    assert isinstance(ours, Swept)


def test_a_sharpened_text_gains_quality_loses_diversity_and_is_called_a_trade() -> None:
    from textgan.grammar import log_prob

    full = sample(1200, 7)
    likely = sorted(full, key=log_prob)[-300:]  # what a low temperature does: the likelier sentences only
    found = compare(full[:200], likely[:200], REFERENCE, metrics="BLEU,self-BLEU,distinct,grammar-NLL")
    rows = {d.name: d for d in found.differences}
    assert rows["BLEU-4"].difference > 0 < rows["self-BLEU-4"].difference
    assert rows["grammar-NLL"].difference < 0
    assert found.sentence.endswith("a temperature does that too, so compare fronts before a claim.")


def test_of_many_comparisons_of_noise_hardly_one_makes_a_claim() -> None:
    """Eight models by four judges, no difference: alone each claims with a chance of 5 %, together nearly surely."""
    rng = np.random.default_rng(0)
    alone = held = 0
    for _ in range(20):
        found = {
            f"m{i}": {
                f"q{j}": matched(*([line(1.0, 0.0, e) for e in rng.normal(0, 1, 4)] for _ in "ab"), better="lower")
                for j in range(4)
            }
            for i in range(8)
        }
        alone += any(one.claim for row in found.values() for one in row.values())
        counted = adjusted(found, "mle")
        held += any(one.claim for row in counted.values() for one in row.values())
    assert alone >= 12 and held <= 4  # 80 % and 5 % of 20; 4 and more have a chance of .02
    assert "among 32 comparisons" in counted["m0"]["q0"].sentence


def test_a_figure_without_a_better_side_makes_no_model_better() -> None:
    with pytest.raises(InputError, match="neither better high nor low"):
        matched([line(1.0, 0.0)] * 2, [line(1.0, 1.0)] * 2, better="match")


def test_two_metrics_of_one_name_are_refused() -> None:
    two = [RarefiedDistinct(1, lines=100), RarefiedDistinct(1, lines=1000)]
    with pytest.raises(InputError, match="two of the metrics are called 'rarefied-distinct-1'"):
        choose_metrics(two)


def test_texts_on_either_side_of_real_text_are_different_and_neither_is_called_nearer() -> None:
    real = sample(900, 1)
    short, long = sample(300, 2), [f"{line} grass grass" for line in sample(300, 3)]
    middle = [f"{line} grass" for line in real]
    found = compare(short, long, middle, metrics="length")
    assert "different in length" in found.sentence
    assert "nearer" not in found.sentence and "further" not in found.sentence


def test_runs_that_tie_are_not_sure_of_it() -> None:
    once = [[f"{word} {i}" for i in range(200)] for word in "abcd"]
    twice = [[*lines[:199], lines[0]] for lines in once[2:]]
    found = compare(tuple(once[:2]), tuple(twice), sample(300, 9), metrics="duplicates,length")
    assert {d.name for d in found.differences} == set()
    assert found.absent["duplicates"] == "it has no standard error here"
