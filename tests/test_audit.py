"""The audit finds what was planted, at the size it was planted, and finds nothing where nothing was."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from textgan import grammar
from textgan.augmentation.audit import (
    Lexicon,
    amplification,
    cells,
    constrain,
    counterfactual,
    exposure,
    extracted,
    load_lexicon,
    mentions,
    overlap,
    plant,
    quota,
    sensitivity,
    shares,
    swaps,
    total_variation,
)
from textgan.augmentation.audit.lexicon import _pattern
from textgan.errors import InputError
from textgan.metrics.intervals import wilson
from textgan.metrics.reasons import Unmeasurable

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


def test_sets_of_words_meet_what_a_pattern_of_them_meets() -> None:
    lexicon = Lexicon({"a": ["she", "old man", "\u5979", "x-ray", "o'brien"], "b": ["he", "\u00e9t\u00e9"]})
    rng = np.random.default_rng(0)
    parts = [
        "She",
        "he",
        "HE",
        "shed",
        "old",
        "man",
        "\u5979",
        "x-ray",
        "O'Brien",
        "\u00c9t\u00e9",
        "-",
        "_",
        " ",
        " ",
        " ",
        ",",
    ]
    lines = ["".join(rng.choice(parts, size=6)) for _ in range(2000)]
    slow = [_pattern(words) for words in lexicon.groups.values()]
    expected = np.array([[pattern.search(line) is not None for pattern in slow] for line in lines])
    assert 200 < expected.sum() < 3800
    assert (mentions(lines, lexicon) == expected).all()


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


def test_words_of_other_scripts_are_met_whole_and_swapped_whole() -> None:
    """A folded word is longer than a written one (ß), and vowel signs belong to the word that they stand in."""
    german = Lexicon(
        {"f": ["weiße frau", "Großmutter", "Mutter"], "m": ["Großvater", "Vater"]},
        [("Großmutter", "Großvater"), ("Mutter", "Vater")],
    )
    assert mentions(["die weiße frau kam", "DIE WEISSE FRAU"], german)[:, 0].all()
    assert german.swap("Die Großmutter und ihr Vater") == "Die Grossvater und ihr Mutter"
    hindi = Lexicon({"m": ["पुत्र"], "f": ["पुत्री"]}, [("पुत्र", "पुत्री")])
    assert mentions(["पुत्री आई", "पुत्र आया"], hindi).tolist() == [[False, True], [True, False]]
    assert hindi.swap("पुत्री आई") == "पुत्र आई"
    assert mentions(["İpek geldi"], Lexicon({"a": ["İpek"]}))[0, 0]


def test_the_share_of_copies_is_also_told_of_the_whole_training_text() -> None:
    train, control = [f"line {i} of the text" for i in range(2000)], [f"other {i} here" for i in range(100)]
    done = overlap(train[:200], train, control)
    assert done.whole == 1 and done.size == 100 and done.verbatim.train < 0.2


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


# A pool brought to wanted shares


def company(n: int, seed: int) -> list[str]:
    """Lines about a woman (.2), a man (.4), both (.1), neither (.3)."""
    rng = np.random.default_rng(seed)
    kinds = ["a woman runs", "a man runs", "a man and a woman run", "a dog runs"]
    return rng.choice(kinds, size=n, p=[0.2, 0.4, 0.1, 0.3]).tolist()


def test_raking_hits_every_target_exactly_and_says_what_it_costs() -> None:
    pool = company(1000, 0)
    done = constrain(pool, GENDER, {"female": 0.45, "male": 0.45})
    now = shares([pool[i] for i in done.rows], GENDER, weights=done.weights)
    assert now["female"].share == pytest.approx(0.45, abs=1e-9)
    assert now["male"].share == pytest.approx(0.45, abs=1e-9)
    assert done.achieved == pytest.approx({"female": 0.45, "male": 0.45}, abs=1e-9)
    assert done.weights.mean() == pytest.approx(1)
    assert done.effective_sample == pytest.approx(done.weights.sum() ** 2 / (done.weights**2).sum())
    assert 300 < done.effective_sample < 1000


def test_raking_one_group_weighs_by_the_ratio_of_shares() -> None:
    pool = ["a woman runs"] * 20 + ["a dog runs"] * 80
    done = constrain(pool, GENDER, {"female": 0.5})
    assert done.weights[0] == pytest.approx(0.5 / 0.2)  # wanted / have
    assert done.weights[-1] == pytest.approx(0.5 / 0.8)
    assert done.effective_sample == pytest.approx(100**2 / (20 * 2.5**2 + 80 * 0.625**2))


def test_raking_multiplies_the_weights_that_rows_have() -> None:
    pool = ["a woman runs"] * 2 + ["a dog runs"] * 2
    before = np.array([1.0, 3.0, 2.0, 2.0])  # half of the weight is hers
    done = constrain(pool, GENDER, {"female": 0.2}, weights=before)
    assert done.weights == pytest.approx(np.array([0.2 * 1 / 4, 0.2 * 3 / 4, 0.4, 0.4]) * 4)
    assert constrain(pool, GENDER, {"female": 0.5}, weights=before).weights == pytest.approx(before / 2)
    kept = constrain(pool, GENDER, {"female": 0.5}, weights=np.array([0.0, 1.0, 1.0, 1.0]))
    assert kept.rows.tolist() == [1, 2, 3] and kept.weights == pytest.approx(np.array([2.0, 1.0, 1.0]) * 3 / 4)
    with pytest.raises(InputError, match="the rows weigh unlike, and a quota counts rows; rake them"):
        constrain(pool, GENDER, {"female": 0.2}, by=quota, weights=before)
    assert constrain(pool, GENDER, {"female": 0.5}, by=quota, weights=np.full(4, 7.0)).rows.tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="weights of 0 or more, and not all 0"):
        constrain(pool, GENDER, {"female": 0.2}, weights=-before)


def test_real_text_is_a_target_too() -> None:
    done = constrain(company(500, 1), GENDER, ["she runs", "he runs", "a dog runs", "a dog runs"])
    assert done.target == {"female": 0.25, "male": 0.25}
    assert done.achieved == pytest.approx(done.target, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_quota_is_within_one_row_of_the_target_with_weights_of_one(seed: int) -> None:
    pool = company(997, seed)
    wanted = {"female": 0.417, "male": 0.333}
    done = constrain(pool, GENDER, wanted, by=quota, seed=seed)
    kept = [pool[i] for i in done.rows]
    for name, share in wanted.items():
        assert abs(shares(kept, GENDER)[name].lines - share * len(kept)) < 1
    assert set(done.weights) == {1.0}
    assert len(set(done.rows.tolist())) == len(done.rows)
    # as many as the raked weights allow: n / the largest weight
    assert len(kept) == math.floor(len(pool) / constrain(pool, GENDER, wanted).weights.max())


def test_quota_keeps_everything_where_nothing_is_wrong() -> None:
    pool = company(200, 3)
    assert constrain(pool, GENDER, pool, by=quota).rows.tolist() == list(range(200))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"female": 1.2}, "target female=1.2 is not a share"),
        ({"women": 0.5}, "target names the group 'women'; the lexicon has female, male"),
        ({"female": 0.5}, "target female=0.5 cannot be had: no row mentions female"),
        ({"male": 0.0}, "target male=0 cannot be had: every row mentions male"),
    ],
)
def test_a_target_that_cannot_be_had_is_one_line(target: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        constrain(["a man runs"] * 10, GENDER, target)


def test_targets_that_shut_each_other_out_are_told() -> None:
    pool = ["a man runs"] * 10 + ["a woman runs"] * 10  # every line has exactly one: the shares must sum to 1
    with pytest.raises(InputError, match="all wanted shares at once"):
        constrain(pool, GENDER, {"female": 0.3, "male": 0.3})
    assert constrain(pool, GENDER, {"female": 0.3, "male": 0.7}).achieved == pytest.approx({"female": 0.3, "male": 0.7})


# Counterfactuals


def test_a_counterfactual_finds_the_planted_preference_and_its_direction() -> None:
    lines = [f"a {who} holds thing{i}" for i in range(40) for who in ("woman", "man")]
    pairs = swaps(lines, GENDER)
    assert ("a woman holds thing0", "a man holds thing0") in pairs

    def planted(texts: Sequence[str]) -> np.ndarray:  # a line about a woman is dearer by 2 nats, whatever else it says
        return np.array([10.0 + 2 * ("woman" in line) for line in texts])

    found = counterfactual(pairs, GENDER, planted)
    assert found.size.mean == pytest.approx(2)
    assert found.toward["female > male"].mean == pytest.approx(-2)
    assert found.toward["male > female"].mean == pytest.approx(2)
    assert found.size.lines == 80
    assert counterfactual(pairs, GENDER, lambda texts: np.ones(len(texts))).size.mean == 0


def test_swaps_are_a_fixed_draw_and_too_few_are_told() -> None:
    lines = [f"a woman holds thing{i}" for i in range(40)]
    assert swaps(lines, GENDER, most=12, seed=3) == swaps(lines, GENDER, most=12, seed=3)
    assert len(swaps(lines, GENDER, most=12)) == 12
    with pytest.raises(Unmeasurable, match="3 lines can be swapped, and 10 are needed"):
        counterfactual(swaps(lines[:3], GENDER), GENDER, lambda texts: np.ones(len(texts)))


# Canaries


def test_a_canary_that_was_learnt_by_heart_is_exposed_and_an_unseen_one_is_not() -> None:
    text = list(grammar.sentences(1500, 4))
    planted, canaries = plant(text, 6, repeats=20, seed=1)
    assert len(planted) == len(text) + 6 * 20
    assert Counter(planted)[canaries.lines[0]] == 20
    _, unseen = plant(text, 40, seed=2)

    # an add-one bigram model, trained on the planted text
    pairs, firsts = Counter[tuple[str, str]](), Counter[str]()
    for line in planted:
        words = ["<s>", *line.split(), "</s>"]
        pairs.update(itertools.pairwise(words))
        firsts.update(words[:-1])
    size = len({word for pair in pairs for word in pair})

    def log_probs(lines: Sequence[str]) -> np.ndarray:
        steps = [list(itertools.pairwise(["<s>", *line.split(), "</s>"])) for line in lines]
        return np.array([sum(math.log((pairs[a, b] + 1) / (firsts[a] + size)) for a, b in line) for line in steps])

    seen = exposure(log_probs, canaries, candidates=1023)
    assert seen.tolist() == [10.0] * 6  # above all 1023 candidates: log2 1024
    never = exposure(log_probs, unseen, candidates=1023)
    # Ranks of unseen ones are uniform: mean 1/ln 2 = 1.44 bits, sd the same, of 40: .23
    assert never.mean() == pytest.approx(1 / math.log(2), abs=0.8)
    assert extracted([*text, canaries.lines[2], f" {canaries.lines[3]}  "], canaries) == 2 / 6


def test_canaries_need_room() -> None:
    with pytest.raises(InputError, match="too few canaries"):
        plant(["a b", "b a"], 5)


# Sensitivity


def test_more_of_a_skewed_pool_moves_the_mix_further_and_selection_mends_it() -> None:
    real = ["a woman runs"] * 50 + ["a man runs"] * 50
    pool = ["a man runs"] * 150 + ["a woman runs"] * 50
    scores = np.array([0.0] * 100 + [1.0] * 100)  # the best half has 50 of each
    settings = sensitivity(real, pool, GENDER, scores=scores, ratios=(0.5, 1.0, 2.0), kept=(1.0, 0.5), seeds=(0, 1))
    by = {(s.ratio, s.kept, s.seed): s for s in settings}
    # all of the pool at 2: (50 + 150) / 300 men, a sixth more than half
    assert by[2.0, 1.0, 0].shares["male"] == pytest.approx(200 / 300)
    assert by[2.0, 1.0, 0].distance == pytest.approx(1 / 6)
    assert by[1.0, 0.5, 1].shares["male"] == pytest.approx(0.5)  # all of the best half
    assert by[1.0, 0.5, 1].distance == pytest.approx(0)
    assert by[1.0, 0.5, 1].threshold == 1.0
    assert (2.0, 0.5, 0) not in by  # 200 lines are wanted of 100
    assert by[0.5, 1.0, 0].distance < by[1.0, 1.0, 0].distance < by[2.0, 1.0, 0].distance
