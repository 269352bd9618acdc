"""The n-gram index gives exactly what NLTK and the definitions give, in linear time, for degenerate texts too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_ngrams as slow
from textgan.errors import InputError
from textgan.metrics import (
    BLEU,
    METRICS,
    BackwardBLEU,
    Distinct,
    NgramIndex,
    NovelNgrams,
    SelfBLEU,
    Sets,
    sentence_bleu,
)

LINES = st.lists(st.lists(st.sampled_from("abcd"), max_size=9), min_size=1, max_size=7)
TWO_LINES = st.lists(st.lists(st.sampled_from("ab"), max_size=9), min_size=2, max_size=7)
CAT = "the cat sat on the mat"

# hypothesis, references, BLEU-2..5; every number is derived beside it
GOLDEN = [
    # all n-grams match and c = r: every precision is 1
    ("identical", CAT, [CAT], [1.0, 1.0, 1.0, 1.0]),
    ("nothing in common", "a b c", ["d e f"], [0.0, 0.0, 0.0, 0.0]),
    ("empty hypothesis", "", ["a b"], [0.0, 0.0, 0.0, 0.0]),
    ("empty reference", "a b", [""], [0.0, 0.0, 0.0, 0.0]),
    # c = 1 < r = 2: BP = e^-1; p = 1, then .1/1 for each order that the line is too short for
    ("shorter than n", "a", ["a b"], [np.exp(-1) * 0.1 ** (k / (k + 1)) for k in (1, 2, 3, 4)]),
    # "the" is clipped at 2 of 7 (Papineni's example); no bigram: .1/6, .1/5, .1/4, .1/3; c = 7 > r = 6
    (
        "clipping",
        "the the the the the the the",
        [CAT],
        [
            (2 / 7 * 0.1 / 6) ** (1 / 2),
            (2 / 7 * 0.1 / 6 * 0.1 / 5) ** (1 / 3),
            (2 / 7 * 0.1 / 6 * 0.1 / 5 * 0.1 / 4) ** (1 / 4),
            (2 / 7 * 0.1 / 6 * 0.1 / 5 * 0.1 / 4 * 0.1 / 3) ** (1 / 5),
        ],
    ),
    # lengths 1 and 3 are equally near to 2; the shorter is taken, so BP = 1
    ("tie of lengths", "a b", ["a", "a b c"], [1.0, 0.1 ** (1 / 3), 0.01 ** (1 / 4), 0.001 ** (1 / 5)]),
]


def nltk_bleu(references: list[list[str]], hypothesis: list[str], order: int) -> float:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    method1 = SmoothingFunction().method1
    return float(sentence_bleu(references, hypothesis, [1 / order] * order, smoothing_function=method1))


@pytest.mark.parametrize(("hypothesis", "references", "expected"), [g[1:] for g in GOLDEN], ids=[g[0] for g in GOLDEN])
def test_bleu_equals_the_golden_table(hypothesis: str, references: list[str], expected: list[float]) -> None:
    scores = sentence_bleu(NgramIndex([hypothesis]), NgramIndex(references))[1:, 0]
    assert scores == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(LINES, LINES)
def test_bleu_equals_nltk(text: list[list[str]], reference: list[list[str]]) -> None:
    ours = sentence_bleu(NgramIndex(text), NgramIndex(reference))
    for i, line in enumerate(text):
        for order in (2, 3, 4, 5):
            assert ours[order - 1, i] == pytest.approx(nltk_bleu(reference, line, order), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(TWO_LINES)
def test_self_bleu_equals_nltk_with_the_line_left_out(text: list[list[str]]) -> None:
    index = NgramIndex(text)
    ours = sentence_bleu(index, index, own=np.arange(len(text)))
    for i, line in enumerate(text):
        for order in (2, 3, 4, 5):
            assert ours[order - 1, i] == pytest.approx(nltk_bleu(text[:i] + text[i + 1 :], line, order), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(TWO_LINES, LINES)
def test_metrics_equal_their_slow_twins(text: list[list[str]], reference: list[list[str]]) -> None:
    sets = Sets(NgramIndex(text), reference=NgramIndex(reference), train=NgramIndex(reference))
    for order in (2, 3, 4, 5):
        forward = np.mean([slow.bleu(reference, line, order) for line in text])
        backward = np.mean([slow.bleu(text, line, order) for line in reference])
        assert BLEU(order).measure(sets) == pytest.approx(forward, abs=1e-12)
        assert BackwardBLEU(order).measure(sets) == pytest.approx(backward, abs=1e-12)
        assert SelfBLEU(order).measure(sets) == pytest.approx(slow.self_bleu(text, order), abs=1e-12)
    for order in (1, 2, 3, 4):
        if any(len(line) >= order for line in text):
            assert Distinct(order).measure(sets) == pytest.approx(slow.distinct(text, order), abs=1e-12)
            assert NovelNgrams(order).measure(sets) == pytest.approx(slow.novel(text, reference, order), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(TWO_LINES, LINES, st.randoms(use_true_random=False))
def test_a_selection_of_lines_equals_an_index_of_those_lines(text: list, reference: list, random: object) -> None:
    rows = np.array(sorted(random.sample(range(len(text)), len(text) // 2)))  # type: ignore[attr-defined]
    chosen, fresh = NgramIndex(text).select(rows), NgramIndex([text[row] for row in rows])
    other = NgramIndex(reference)
    assert np.array_equal(sentence_bleu(chosen, other), sentence_bleu(fresh, other))
    assert np.array_equal(sentence_bleu(other, chosen), sentence_bleu(other, fresh))
    assert chosen.texts() == fresh.texts()
    assert [chosen.words(i) for i in range(len(rows))] == [text[row] for row in rows]
    for order in range(1, 6):
        assert np.array_equal(np.sort(chosen.runs(order).totals), np.sort(fresh.runs(order).totals))


def test_bleu_equals_sacrebleu_with_its_floor() -> None:
    # sacrebleu stops at orders that a line is too short for and floors unigrams too, so lines have 5 words and a match
    import sacrebleu

    rng = np.random.default_rng(0)
    draw = lambda: ["a", *rng.choice(list("abcdefgh"), size=rng.integers(4, 12)).tolist()]  # noqa: E731
    text, reference = [draw() for _ in range(40)], [draw() for _ in range(6)]
    ours = sentence_bleu(NgramIndex(text), NgramIndex(reference))[3]
    settings = {"smooth_method": "floor", "smooth_value": 0.1, "tokenize": "none", "force": True}
    theirs = sacrebleu.BLEU(effective_order=False, **settings)
    for line, value in zip(text, ours, strict=True):
        expected = theirs.sentence_score(" ".join(line), [" ".join(words) for words in reference]).score / 100
        assert value == pytest.approx(expected, abs=1e-9)


def test_all_identical_lines_have_self_bleu_one() -> None:
    sets = Sets(NgramIndex(["a b c d e"] * 5))
    assert [SelfBLEU(order).measure(sets) for order in (2, 3, 4, 5)] == [1.0] * 4


def test_a_real_line_is_never_its_own_reference() -> None:
    lines = ["a b c d e", "f g h i j", "k l m n o"]
    index = NgramIndex(lines)
    rows = np.array([0, 2])
    assert BLEU(2).measure(Sets(index.select(rows), reference=index, own=rows)) == 0.0


def test_one_line_has_no_self_bleu_and_says_why() -> None:
    with pytest.raises(InputError, match="at least 2"):
        SelfBLEU(2).measure(Sets(NgramIndex(["a b c"])))


def test_no_ngram_means_no_distinct_and_says_why() -> None:
    with pytest.raises(InputError, match="no line has 4 words"):
        Distinct(4).measure(Sets(NgramIndex(["a b", ""])))


def test_strings_are_cut_at_any_whitespace_and_word_lists_are_kept() -> None:
    assert NgramIndex(["a\tb  c"]).words(0) == ["a", "b", "c"]
    assert NgramIndex([["a b", "c"]]).words(0) == ["a b", "c"]
    assert NgramIndex(["ab c"], tokenise="characters").words(0) == ["a", "b", " ", "c"]
    with pytest.raises(InputError, match="tokenise 'letters' is not known"):
        NgramIndex(["a"], tokenise="letters")


def test_every_metric_has_its_own_name() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)


def test_an_index_is_freed_at_once_when_nobody_holds_it() -> None:
    import gc
    import weakref

    gc.disable()  # in a training loop large arrays would pile up until the collector happened to run
    try:
        index, reference = NgramIndex(["a b c", "a b d"]), NgramIndex(["a b"])
        sets = Sets(index, reference=reference, half=reference, train=reference)
        sentence_bleu(index.select(np.array([0])), reference)
        for order in (1, 2):
            BLEU(order).measure(sets), NovelNgrams(order).measure(sets)
        gone = [weakref.ref(index), weakref.ref(reference)]
        del index, reference, sets
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
