"""The audit finds what was planted, at the size it was planted, and finds nothing where nothing was."""

import math
from pathlib import Path

import numpy as np
import pytest

from textgan import grammar
from textgan.augmentation.audit import (
    Lexicon,
    amplification,
    cells,
    load_lexicon,
    overlap,
    shares,
    total_variation,
)
from textgan.errors import InputError
from textgan.metrics.intervals import wilson

GENDER = Lexicon({"female": ["she", "woman"], "male": ["he", "man"]}, [("she", "he"), ("woman", "man")])


def skewed(n: int, female: float, male: float, seed: int) -> list[str]:
    """Lines about a woman, a man or a dog, drawn with these chances."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(["a woman runs", "a man runs", "a dog runs"], size=n, p=[female, male, 1 - female - male])
    return drawn.tolist()


# Words


def test_a_word_is_met_whole_in_any_case_and_beside_punctuation() -> None:
    lines = ["She's here.", "the shed", "MAN!", "a woman, a man", "manly women", "he_man"]
    # she in 1; man in 3 and 4; woman in 4; "shed", "manly", "women" and "he_man" are other words
    assert shares(lines, GENDER)["female"].lines == 2
    assert shares(lines, GENDER)["male"].lines == 2


def test_a_phrase_meets_any_white_space_and_ideographs_need_no_gap() -> None:
    lexicon = Lexicon({"old": ["old man"], "\u5979": ["\u5979"]})
    found = shares(["an old  man", "old, man", "\u90a3\u662f\u5979\u7684\u4e66"], lexicon)
    assert [found["old"].lines, found["\u5979"].lines] == [1, 1]


def test_a_swap_keeps_case_and_goes_both_ways_and_an_ambiguous_word_is_left() -> None:
    lexicon = load_lexicon()
    assert lexicon.swap("A Man helps the WOMAN; he smiles.") == "A Woman helps the MAN; she smiles."
    assert lexicon.swap("he rode his bike") == "she rode her bike"
    assert lexicon.swap("she rode her bike") is None  # her: his or him
    assert lexicon.swap("a dog") is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("groups: {a: [], b: [x]}", "group 'a' is empty; give it at least one word"),
        ("groups: {a: , b: [x]}", "group 'a' is empty; give it at least one word"),
        ("groups: {a: [no]}", "YAML reads False as a bool; put the word in quotes"),
        ("groups: {a: [x], b: [X]}", "'x' stands in two groups; leave it in one"),
        ("groups: {a: x}", "a list of words was wanted, got str"),
        ("groups: {}", "1 to 16 groups were wanted, got 0"),
        ("group: {a: [x]}", "groups: {name: [word, ...], ...} and, if wanted, swaps: [[word, word], ...] was wanted"),
        ("groups: {a: [x]}\nswaps: [[x]]", "swaps must be pairs of words"),
        ("groups: {a: [x", "is not YAML"),
        ("groups: {a: [' ']}", "has the blank word ' '; remove it"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_a_lexicon_that_cannot_be_used_is_one_line(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "groups.yaml").write_text(written)
    with pytest.raises(InputError) as caught:
        load_lexicon(tmp_path / "groups.yaml")
    assert said in str(caught.value)
    assert "groups.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


# Shares


def test_wilsons_interval_is_the_published_one() -> None:
    # z = 1.959964: 0 of 10 -> z^2 / (10 + z^2) = 3.8415 / 13.8415; 5 of 10 -> .5 -+ .2634
    assert wilson(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson(0.5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert wilson(1, 10) == pytest.approx((1 - 0.27753, 1), abs=1e-5)


def test_a_known_skew_is_covered_by_its_interval_as_often_as_promised() -> None:
    covered = 0
    for seed in range(400):
        share = shares(skewed(200, 0.07, 0.3, seed), GENDER)["female"]
        covered += share.low <= 0.07 <= share.high
    assert 0.92 <= covered / 400 <= 0.98  # .95 and three standard errors of .011


def test_weights_move_the_share_and_widen_the_interval() -> None:
    lines = ["a woman runs"] * 10 + ["a dog runs"] * 90
    heavy = shares(lines, GENDER, weights=np.r_[np.full(10, 9.0), np.ones(90)])["female"]
    assert heavy.share == pytest.approx(0.5)  # 90 of 180
    # (180)^2 / (10 * 81 + 90) = 36 lines' worth
    assert (heavy.low, heavy.high) == pytest.approx(wilson(0.5, 36))


def test_total_variation_is_the_planted_one_and_chance_is_said() -> None:
    one, other = skewed(4000, 0.1, 0.1, 1), skewed(4000, 0.1, 0.3, 2)
    far, near = total_variation(one, other, GENDER), total_variation(one, skewed(4000, 0.1, 0.1, 3), GENDER)
    assert far.value == pytest.approx(0.2, abs=0.03)  # man up by .2, dog down by .2: half of .4
    assert far.value > 5 * far.chance
    assert near.value < near.chance < 0.03


def test_the_cells_divide_the_lines() -> None:
    found = np.array([[True, True], [True, False], [False, False], [False, False]])
    assert cells(found, GENDER) == {"none": 0.5, "female": 0.25, "female+male": 0.25}


def leaning(n: int, lean: float, seed: int) -> list[str]:
    """Half the lines about a man; ten things stand with men in a share `lean` of their lines, ten others with women."""
    rng = np.random.default_rng(seed)
    thing, man = rng.integers(20, size=n), rng.random(n)
    return [
        f"a {'man' if m < (lean if t < 10 else 1 - lean) else 'woman'} with thing{t}"
        for t, m in zip(thing.tolist(), man.tolist(), strict=True)
    ]


def test_amplification_is_the_planted_change_of_lean() -> None:
    real = leaning(20_000, 0.6, 0)
    more = amplification(real, leaning(20_000, 0.8, 1), GENDER)
    same = amplification(real, leaning(20_000, 0.6, 2), GENDER)
    assert more is not None
    assert same is not None
    # b goes from .6 to .8 for each thing; "a" and "with" lean nowhere and stay
    assert more.words == 22
    assert more.value == pytest.approx(0.2 * 20 / 22, abs=0.02)
    assert more.low < 0.2 * 20 / 22 < more.high
    assert abs(same.value) < 0.02
    assert amplification(real, leaning(200, 0.6, 2), Lexicon({"male": ["man"]})) is None


# Overlap with the training text


def test_leaked_lines_show_above_the_control_and_a_fresh_real_sample_does_not() -> None:
    lines = list(grammar.sentences(6000, 1))
    train, control, fresh = lines[:2000], lines[2000:4000], lines[4000:5000]
    honest = overlap(fresh, train, control)
    assert honest.verbatim.train > 0  # the language repeats itself: overlap alone is no leak
    assert honest.verbatim.low < 0 < honest.verbatim.high
    leaked = overlap(fresh[:800] + train[:200], train, control)
    assert leaked.verbatim.above
    assert leaked.ngram is not None
    assert leaked.ngram.above
    # 200 of 1000 lines were taken from train, where a fresh line is as likely to be in either
    assert leaked.verbatim.difference == pytest.approx(0.2 * (1 - honest.verbatim.control), abs=0.05)
    assert set(leaked.copied) <= set(train) - set(control)


def test_a_fresh_sample_is_cleared_as_often_as_promised() -> None:
    accused = 0
    for seed in range(60):
        lines = list(grammar.sentences(1500, 100 + seed))
        accused += overlap(lines[:500], lines[500:1000], lines[1000:], n=6).verbatim.above
    assert accused <= 6  # one-sided .025 of 60 is 1.5; 7 or more have a chance of .001


def test_no_overlap_at_all_still_has_an_interval() -> None:
    texts = [[f"{word}{i} x y z" for i in range(50)] for word in "abc"]
    found = overlap(texts[0], texts[1], texts[2], n=4)
    assert found.verbatim.difference == 0
    assert found.verbatim.low < 0 < found.verbatim.high
    assert math.isfinite(found.verbatim.low)
    assert overlap(texts[0], texts[1], texts[2], n=5).ngram is None  # no line has 5 words


def test_overlap_says_what_it_lacks() -> None:
    with pytest.raises(InputError, match="20 lines of each text on; got 3 synthetic, 50 training, 50 control"):
        overlap(["x"] * 3, ["y"] * 50, ["z"] * 50)
