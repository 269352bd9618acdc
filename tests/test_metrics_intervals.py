"""Standard errors are those of independent sets, and verdicts keep to their error rate."""

from __future__ import annotations

import numpy as np
import pytest

from textgan.errors import InputError
from textgan.evaluation import SAME, Evaluation, evaluate
from textgan.grammar import sample
from textgan.metrics import BLEU, Distinct, NgramIndex, SelfBLEU, Sets, require_comparable
from textgan.metrics.intervals import holm, standard_errors, two_sided_p
from textgan.metrics.score import share_error

N = 200


@pytest.fixture(scope="module")
def sets() -> list[Sets]:
    lines = sample(60 * N, 3)
    reference = NgramIndex(sample(1000, 4))
    return [Sets(NgramIndex(lines[i * N : (i + 1) * N]), reference=reference) for i in range(60)]


@pytest.mark.parametrize("metric", [BLEU(4), SelfBLEU(4), Distinct(2)], ids=lambda metric: metric.name)
def test_the_standard_error_is_the_spread_over_independent_sets(metric: BLEU, sets: list[Sets]) -> None:
    true = np.std([metric.measure(one) for one in sets], ddof=1)
    claimed = np.mean([standard_errors([metric], one)[metric] for one in sets[:12]])
    # 60 sets know a spread to 10 %; the jackknife of a U-statistic errs on the wide side (Efron & Stein 1981)
    assert 0.7 < claimed / true < 1.7


def test_a_bootstrap_would_be_wrong_for_a_metric_of_the_set(sets: list[Sets]) -> None:
    text = sets[0].text
    drawn = np.random.default_rng(0).integers(len(text), size=len(text))
    again = Sets(NgramIndex([text.texts()[row] for row in drawn]))
    honest = SelfBLEU(4).measure(sets[0])
    assert SelfBLEU(4).measure(again) > honest + 5 * standard_errors([SelfBLEU(4)], sets[0])[SelfBLEU(4)]


def test_holm_equals_the_worked_example() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, made monotone
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []


def test_equal_values_without_spread_are_the_same_and_unequal_ones_are_not() -> None:
    assert two_sided_p(0.0, 0.0, 10) == 1.0
    assert two_sided_p(0.1, 0.0, 10) == 0.0
    assert two_sided_p(2.228, 1.0, 10) == pytest.approx(0.05, abs=1e-4)  # Student's table, 10 degrees of freedom


def test_a_share_of_nothing_still_has_an_error() -> None:
    assert share_error(np.zeros(96)) == pytest.approx((0.02 * 0.98 / 100) ** 0.5)  # (0 + 2) / (96 + 4)


def flagged(evaluation: Evaluation) -> dict[str, str]:
    return {name: verdict for name, verdict in evaluation.verdicts.items() if verdict != SAME}


def test_an_independent_sample_of_the_same_language_is_seldom_flagged() -> None:
    runs = [evaluate(sample(150, 2 * k), sample(150, 2 * k + 1), seed=k) for k in range(20)]
    # each run is flagged with a chance of at most 5 %: 4 or more of 20 come by chance in 1.6 % of all cases
    assert sum(bool(flagged(run)) for run in runs) <= 3


def test_a_copier_is_flagged_as_copied() -> None:
    train = sample(400, 1)
    found = flagged(evaluate(train[:200], sample(200, 2), train=train))
    assert found["copies"].startswith("copied")
    assert found["novel-4-grams"].startswith("copied")


def test_a_collapsed_text_is_flagged_as_less_diverse() -> None:
    found = flagged(evaluate(sample(20, 1) * 10, sample(200, 2)))
    assert {found[name] for name in ("self-BLEU-4", "distinct-2", "entropy-2")} == {"less diverse than real text"}
    assert found["duplicates"] == "repeats itself more than real text"


def test_few_lines_have_neither_interval_nor_verdict_and_it_is_said() -> None:
    evaluation = evaluate(sample(10, 1), sample(10, 2))
    assert not evaluation.verdicts
    assert all(score.low is None for score in evaluation.scores)
    assert evaluation.notes == ["intervals and verdicts need at least 40 lines, and n is 10"]


def test_unlike_figures_are_not_compared_and_the_reason_is_given() -> None:
    text, reference = sample(60, 1), sample(60, 2)
    one, small = (evaluate(text, reference, n=n, metrics="BLEU-4,self-BLEU-4").scores for n in (60, 50))
    characters = evaluate(text, reference, metrics="BLEU-4", tokenise="characters").scores
    other = evaluate(text, sample(60, 3), metrics="BLEU-4").scores
    again = evaluate(text, reference, metrics="BLEU-4", seed=9).scores
    require_comparable(one[0], again[0])
    for pair, reason in [
        ((one[0], small[0]), "on 60 and on 50 lines"),
        ((one[0], one[1]), "different metrics"),
        ((one[0], characters[0]), "tokens = words and with tokens = characters"),
        ((one[0], other[0]), "reference-sha256"),
    ]:
        with pytest.raises(InputError, match=reason):
            require_comparable(*pair)
