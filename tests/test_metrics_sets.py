"""Metrics of a whole set, of likeness and of copying equal their slow twins and their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import slow_ngrams as slow
from textgan.metrics import (
    EAD,
    CopiedSpan,
    Copies,
    CorrectedEntropy,
    Duplicates,
    Entropy,
    MSJaccard,
    NearestTraining,
    NgramIndex,
    Novelty,
    RarefiedDistinct,
    Sets,
    Unmeasurable,
    Zipf,
    spans,
)
from textgan.metrics.lengths import wasserstein

LINES = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(LINES, st.data())
def test_rarefied_distinct_is_the_mean_over_all_choices_of_lines(text: list, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, len(text)))
    for order in (1, 2):
        if any(len(line) >= order for line in text):
            ours = RarefiedDistinct(order, lines=m).measure(Sets(NgramIndex(text)))
            assert ours == pytest.approx(slow.rarefied_distinct(text, order, m), abs=1e-9)


def test_rarefied_distinct_compares_texts_of_unlike_size() -> None:
    # "a", "b", "c" in turn: two of three lines always hold 2 types of 2 words; two of six lines hold
    # 2 - P(same word) = 2 - 1/5 types
    assert RarefiedDistinct(1, lines=2).measure(Sets(NgramIndex(["a", "b", "c"]))) == pytest.approx(1.0)
    assert RarefiedDistinct(1, lines=2).measure(Sets(NgramIndex(["a", "b", "c"] * 2))) == pytest.approx(1.8 / 2)


@settings(max_examples=60, deadline=None)
@given(LINES, LINES)
def test_ms_jaccard_equals_its_slow_twin(one: list, other: list) -> None:
    assume(any(len(line) >= 2 for line in one + other))
    sets = Sets(NgramIndex(one), half=NgramIndex(other))
    assert MSJaccard(2).measure(sets) == pytest.approx(slow.ms_jaccard(one, other, 2), abs=1e-12)


def test_ms_jaccard_of_a_text_with_itself_is_one() -> None:
    index = NgramIndex(["a b c d e", "b c d"])
    assert MSJaccard(4).measure(Sets(index, half=index)) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(LINES, LINES, st.integers(1, 40))
def test_copying_equals_its_slow_twins_in_any_chunks(text: list, train: list, cells: int) -> None:
    sets = Sets(NgramIndex(text), train=NgramIndex(train))
    before = spans.CELLS, spans.COLUMNS, spans.INDEXED
    spans.CELLS, spans.COLUMNS, spans.INDEXED = cells, max(1, cells // 3), 1 + cells % 4
    try:
        nearest, copied = NearestTraining().per_line(sets), CopiedSpan().per_line(sets)
    finally:
        spans.CELLS, spans.COLUMNS, spans.INDEXED = before
    assert sorted(nearest) == pytest.approx(sorted(slow.nearest(line, train) for line in text), abs=1e-6)
    assert copied.tolist() == [slow.longest_span(line, train) for line in text]


def test_frequent_words_are_counted_by_a_product_and_rare_ones_by_lists_with_the_same_result() -> None:
    rng = np.random.default_rng(0)
    lines = [[f"w{int(w)}" for w in rng.zipf(1.5, 8) % 40] for _ in range(60)]
    sets = Sets(NgramIndex(lines[:30]), train=NgramIndex(lines[30:]))
    expected = sorted(slow.nearest(line, lines[30:]) for line in lines[:30])
    assert sorted(NearestTraining().per_line(sets)) == pytest.approx(expected, abs=1e-6)


def test_entropy_of_equal_counts_is_the_logarithm_and_the_correction_adds_its_first_term() -> None:
    sets = Sets(NgramIndex(["a b c d", "a b c d"]))
    assert Entropy(1).measure(sets) == pytest.approx(math.log(4))
    assert CorrectedEntropy(1).measure(sets) == pytest.approx(math.log(4) + 3 / 16)  # (K - 1) / 2N, K = 4, N = 8


def test_ead_is_one_for_as_many_types_as_uniform_draws_would_give() -> None:
    # V = 2 reference words, C = 2 words drawn: 2 (1 - 1/4) = 1.5 types expected
    sets = Sets(NgramIndex(["a b"]), reference=NgramIndex(["a b"]))
    assert EAD().measure(sets) == pytest.approx(2 / 1.5)
    assert EAD().measure(Sets(NgramIndex(["a"]), reference=NgramIndex(["a"]))) == pytest.approx(1.0)


def test_zipf_finds_the_slope_of_a_power_law() -> None:
    counts = [1200 // rank for rank in (1, 2, 3, 4, 5, 6)]  # exactly 1200 / rank
    assert Zipf().measure(Sets(NgramIndex([[f"w{i}"] * c for i, c in enumerate(counts)]))) == pytest.approx(-1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1), st.lists(st.integers(0, 30), min_size=1))
def test_length_difference_equals_scipy(one: list[int], other: list[int]) -> None:
    from scipy.stats import wasserstein_distance

    ours = wasserstein(np.array(one), np.array(other))
    assert ours == pytest.approx(wasserstein_distance(one, other), abs=1e-9)


def test_duplicates_are_the_lines_that_were_there_before() -> None:
    assert Duplicates().measure(Sets(NgramIndex(["a", "b", "a", "a"]))) == pytest.approx(0.5)


def test_spacing_makes_no_other_line() -> None:
    sets = Sets(NgramIndex(["a cat sat", " a  cat sat", "a dog"]), train=NgramIndex(["a  cat\tsat ", "a cow"]))
    assert Copies().measure(sets) == 2
    assert Novelty().measure(sets) == pytest.approx(1 / 3)
    assert Duplicates().measure(sets) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "measure",
    [
        lambda sets: Entropy(2).measure(sets),
        lambda sets: Zipf().measure(sets),
        lambda sets: RarefiedDistinct(1, lines=5).measure(sets),
        lambda sets: MSJaccard(3).measure(sets),
    ],
    ids=["entropy", "Zipf", "rarefied", "MS-Jaccard"],
)
def test_what_is_not_defined_raises_with_the_reason(measure: Callable[[Sets], float]) -> None:
    with pytest.raises(Unmeasurable):
        measure(Sets(NgramIndex(["a"]), half=NgramIndex(["b"])))
