"""Filters: each drops what it says, with the reason, and leaves real text alone; nothing is lost from the books."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from textgan import grammar
from textgan.augmentation.filters import (
    Blocklist,
    Charset,
    Copies,
    Duplicates,
    Filter,
    Length,
    NearDuplicates,
    PerplexityBand,
    Repetition,
    screen,
    usual_filters,
)
from textgan.augmentation.held_out import HeldOut, withhold
from textgan.errors import InputError
from textgan.text import Text, first_of_near_duplicates, read_text

TRAIN = ["the cat sat on the mat .", "a dog ran in the park ."]


def test_lines_that_stand_twice_leave_the_band_where_it_was() -> None:
    """Halved as they come, each half would be the other: the band would be that of lines known by heart."""
    lines = grammar.sample(600, 0)
    once, twice = PerplexityBand(lines), PerplexityBand([line for line in lines for _ in range(2)])
    assert (once.low, once.high) == (twice.low, twice.high)
    dropped = sum(reason is not None for reason in twice(grammar.sample(300, 5)))
    assert dropped <= 15  # of .5 % at each end 3 are expected, and a band that is drawn after 300 lines errs


@pytest.mark.parametrize(
    ("check", "lines", "said"),
    [
        (Length(2, 3), ["a", "a b", "a b c", "a b c d"], ["length: 1 words", None, None, "length: 4 words"]),
        (Charset(frozenset("ab")), ["a b", "a\tb", "abc?", "\u202ea"], [None, None, "charset: ?c", "charset: \u202e"]),
        (Repetition(2, 0.3), ["a a b", "a a a b", "a b a b a b", ""],
         [None, "repetition: a 3 times in a row", "repetition: 60 % of the pairs of words", None]),
        (Duplicates(), ["a b", "A  b", "c", "a b"], [None, "duplicate", None, "duplicate"]),
        # 4 of 5 words are common: .8; b is like a and c like b, but c shares 3 of 5 words with a, and stays
        (NearDuplicates(0.8), ["p q r s", "p q r s t", "q r s t"], [None, "near-duplicate: p q r s", None]),
        (Copies(TRAIN), ["The cat sat", "the cat sat on a dog", "sat on the mat ."],
         ["copy of train: 3 of 3 words", None, "copy of train: 5 of 5 words"]),
        (Copies(TRAIN, span=4), ["see the cat sat on a dog", "see the cat sat in it"],
         ["copy of train: 4 of 7 words", None]),
        (Copies(TRAIN, share=0.5), ["so the cat sat by"], ["copy of train: 3 of 5 words"]),
        (Blocklist(["bad word", "c++"]), ["a Bad  WORD here", "a bad wordy one", "in C++ .", "cc++"],
         ["blocklist: Bad WORD", None, "blocklist: C++", None]),
        # a full stop is no word; 4 of 5 words are common, 3 of 5 are not enough; a copy is one after a near one, too
        (HeldOut(["a b c e .", "a b c d ."]), ["A b  c d .", "a b c d", "a b c d f", "a b c x y"],
         ["copy of test", "near-copy of test: a b c d .", "near-copy of test: a b c d .", None]),
    ],
    ids=lambda value: type(value).__name__ if callable(value) else "",
)  # fmt: skip
def test_each_filter_drops_what_it_says_with_its_reason(
    check: Filter, lines: list[str], said: list[str | None]
) -> None:
    assert list(check(lines)) == said


def test_a_line_is_dropped_by_the_first_filter_that_finds_fault_and_the_funnel_adds_up() -> None:
    lines = ["a b c", "a", "a b c", "z z z", "A B C"]
    done = screen(lines, [Length(2), Charset(frozenset("abcABC")), Duplicates()])
    assert done.reasons == [None, "length: 1 words", "duplicate", "charset: z", "duplicate"]
    assert done.kept.tolist() == [0]
    assert done.funnel == [("candidates", 5), ("length", 4), ("charset", 3), ("duplicates", 1)]


def test_filters_after_an_empty_stage_have_nothing_to_do() -> None:
    done = screen(["a"], [Length(2), Copies(TRAIN), Duplicates(), NearDuplicates()])
    assert done.kept.tolist() == [] and done.funnel[-1] == ("near-duplicates", 0)


def test_near_duplicates_of_kept_lines_are_all_that_is_dropped() -> None:
    """Against the slow twin that compares each line with every kept one before it."""
    rng = random.Random(0)
    lines = [" ".join(rng.choices("abcdefgh", k=rng.randint(1, 7))) for _ in range(300)]
    for threshold in (0.5, 0.8, 1.0):
        kept: list[int] = []
        slow = []
        for row, line in enumerate(lines):
            words = set(line.split())
            like = [at for at in kept if _jaccard(words, set(lines[at].split())) >= threshold - 1e-9]
            slow.append(like[0] if like else row)
            kept += [] if like else [row]
        assert first_of_near_duplicates(lines, threshold=threshold).tolist() == slow


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def test_the_band_of_perplexity_is_that_of_other_real_text() -> None:
    band = PerplexityBand(grammar.sample(3000, 0), outside=0.01)
    fresh = band(grammar.sample(2000, 1))
    # a share of .02 lies outside; 4 sd of 2,000 draws and of the 1,500 that drew the bounds are .02
    assert np.mean([reason is not None for reason in fresh]) < 0.045
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(line.split(), len(line.split()))) for line in grammar.sample(300, 2)]
    assert np.mean([reason is not None for reason in band(shuffled)]) > 0.9
    assert str(band(shuffled)[0]).startswith("perplexity: ")


def test_the_usual_filters_leave_real_text_alone_and_drop_planted_faults() -> None:
    real, fresh = grammar.sample(4000, 0), list(dict.fromkeys(grammar.sample(500, 1)))
    spare = grammar.sample(2000, 3)
    fresh = [fresh[row] for row in np.unique(first_of_near_duplicates(fresh))]
    filters = usual_filters(real, train=spare[:50], blocked=["purple"])
    assert [check.name for check in filters] == [
        "length", "charset", "repetition", "blocklist", "duplicates", "near-duplicates", "copies of train",
        "perplexity",
    ]  # fmt: skip
    planted = [
        "a", "two cats \u20ac in a field .", "a dog dog dog dog in a field .", "a purple cat sits in a field .",
        fresh[0], spare[0], "in a the sits dog cows field wearing .",
    ]  # fmt: skip
    done = screen([*fresh, *planted], filters)
    words = [str(reason).partition(":")[0] for reason in done.reasons[len(fresh) :]]
    assert words == ["length", "charset", "repetition", "blocklist", "duplicate", "copy of train", "perplexity"]
    dropped = [str(reason) for reason in done.reasons[: len(fresh)] if reason and "uplicate" not in reason]
    assert len(dropped) < 0.05 * len(fresh)  # 1 % by length, 1 % by perplexity, and few copies
    assert done.funnel[-1][1] == len(done.kept) == sum(reason is None for reason in done.reasons)


def text(lines: list[str], name: str) -> Text:
    return read_text(lines)._replace(name=name)


def test_the_test_text_is_kept_out_of_every_text_by_name() -> None:
    test, pool = text(["the cat sat on the mat .", "a dog ran ."], "t.txt"), ["x y", "a  DOG ran"]
    free = {"real": text(["one line"], "r.txt"), "train": text(["another one"], "tr.txt")}
    assert withhold({"real": test}, pool, where="p") == ({"real": test}, [], [])  # without a test text: as they came
    assert withhold({**free, "test": test}, ["x y"], where="p") == ({**free, "test": test}, [], [])
    with pytest.raises(InputError) as error:
        withhold({**free, "test": test}, pool, where="p.jsonl")
    assert str(error.value) == (
        "1 of 2 lines of p.jsonl stand in the --test text, or nearly (the first: line 2, 'a  DOG ran'); "
        "no model may see them: take another test text, or drop them with --test-copies drop"
    )
    for role, why in (("real", "D must not"), ("judge", "the judge must not"), ("train", "the generator has learnt")):
        held = text(["a line", "the cat sat on the mat", "A dog ran ."], "h.txt")
        said = rf"2 of 3 lines of --{role} h.txt stand in the --test text, or nearly \(the first: line 2, '.*'\); {why}"
        with pytest.raises(InputError, match=said):
            withhold({**free, role: held, "test": test}, ["x"], where="p")
        kept, filters, warnings = withhold({**free, role: held, "test": test}, ["x"], where="p", drop=True)
        assert kept[role].lines == (held.lines if role == "train" else ["a line"])
        assert len(warnings) == 1 and warnings[0].startswith(f"2 of 3 lines of --{role} h.txt stand in the --test text")
        assert [check.name for check in filters] == ["copies of test"]
    with pytest.raises(
        InputError, match="2 of 2 lines of --real t.txt stand in the --test text, or nearly; give other"
    ):
        withhold({"real": test, "test": test}, ["x"], where="p", drop=True)


def test_a_lower_jaccard_index_keeps_more_out() -> None:
    test = {"real": text(["z"], "r"), "test": text(["a b c d e f"], "t")}
    withhold(test, ["a b c d"], where="p")  # 4 of 6 words
    with pytest.raises(InputError, match="1 of 1 lines of p stand"):
        withhold(test, ["a b c d"], where="p", near=0.6)


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda: Length(5, 2), "lengths from 5 to 2 words: 1 <= least <= most was wanted"),
        (lambda: Repetition(0), "repetition: a run of 0 and a share of 0.25; 1 or more and 0 to 1"),
        (lambda: Copies(["a"], share=2), "copies: share 2 within (0, 1] and a span of 1 word or more were wanted"),
        (lambda: Blocklist([" "]), "the blocklist is empty; give one word or phrase a line"),
        (lambda: PerplexityBand(["a"]), "a perplexity band is drawn after real lines; give 2 or more that differ"),
        (lambda: NearDuplicates(0)(["a"]), "threshold 0 must be within (0, 1]"),
    ],
)
def test_a_filter_that_makes_no_sense_is_one_line_of_error(do: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        do()
    assert str(error.value) == said


def test_reasons_are_given_line_by_line() -> None:
    checks: Sequence[Filter] = usual_filters(grammar.sample(200, 0), train=grammar.sample(50, 1))
    for check in checks:
        assert len(check(grammar.sample(30, 2))) == 30
