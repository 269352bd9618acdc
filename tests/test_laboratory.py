"""The augmentation laboratory: planted truths for its statistics, refusals, and whole experiments, killed too."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from textgan import grammar
from textgan.augmentation.audit import Lexicon, load_lexicon, shares, total_variation
from textgan.cli import main
from textgan.errors import InputError
from textgan.evaluation import evaluate
from textgan.generators import LSTM
from textgan.laboratory import cells, checks, figures, statistics
from textgan.laboratory.arms import ARMS, PROTOCOL, as_long, edited, noisy, shuffled_words
from textgan.laboratory.cells import training_jobs
from textgan.laboratory.lab import Lab, Place, Training
from textgan.laboratory.opening import BINS, _swapped, _written, groups_written, line_nats
from textgan.laboratory.page import page
from textgan.laboratory.running import freeze, one_job, open_test, run_study, write_report
from textgan.laboratory.splits import make_splits, refuse_overlap
from textgan.laboratory.standing import so_far, standing
from textgan.laboratory.study import SPLITS, Games, Selection, Study, Texts, read_study, study_of
from textgan.lm import load_lm, nll, pretrain_small
from textgan.metrics import Frechet, Mauve
from textgan.metrics.intervals import half_width
from textgan.text import read_text, save_tokenizer, train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
SMOKE = ROOT / "benchmarks" / "augmentation" / "smoke.yaml"
SENTENCES = [f"the {a} {b} the {c}" for a in ("cat", "dog", "owl") for b in ("sees", "likes", "eats") for c in "abcdef"]


# -- the configuration


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"arm": ["real"]}, "there is no option arm; did you mean arms?"),
        ({"arms": ["real", "matched", "duplicated", "selectd"]}, "'selectd' is not one of"),
        ({"arms": ["gan"]}, "real, matched, duplicated must be among them"),
        ({"ratio": -1}, "ratio -1 is out of range"),
        ({"lines": "many"}, "lines: got 'many', which is of another type"),
        ({"lines": [5]}, "lines: 5 is too few"),
        ({"selection": {"share": 2}}, "selection.share 2 is no share"),
        ({"selection": {"hows": "drs"}}, "there is no option selection.hows; did you mean how?"),
        ({"regimes": []}, "regimes: one or more"),
        ({"selection": {"how": "topk"}}, "selection.how: 'topk' is not one of drs, mh, top, resample"),
        ({"selection": {"how": "mh"}}, "mh keeps one of 21 sentences; give games.surplus 25 or more, not 4"),
        ({"selection": {"body": "bert"}}, "selection.body: 'bert' is not one of cnn, encoder, mean"),
        ({"selection": {"body": "mean"}}, "selection.encoder: body mean wants one"),
        ({"selection": {"calibration": "isotonc"}}, "selection.calibration: 'isotonc' is not one of"),
        ({"games": {"tokens": "word"}}, "games.tokens: 'word' is not one of words, treebank, characters, bpe"),
        ({"games": {"temperatures": []}}, "games.temperatures: one or more numbers above 0"),
        ({"tuning": {"learning_rates": []}}, "tuning.learning_rates: one or more numbers above 0"),
        ({"writing": {"temperatures": [0.9, 1.1]}}, "writing.temperatures: two or more were wanted, 1.0 among them"),
        ({"texts": {"given": {"train": "x"}, "nearly": 1}}, "there is no option texts.nearly; did you mean near?"),
        ({"arms": ["real", "matched", "duplicated", "fresh", "fresh"]}, "arms: one or more, each once, were wanted"),
        ({"texts": {"seed": -1}}, "texts.seed: -1 is too few"),
        ({"texts": 3}, "texts: options of its own were wanted, got 3"),
        ({"writing": {"n": -1}}, "writing.n: -1 is too few"),
        ({"tuning": {"tokens_per_step": 0}}, "tuning.tokens_per_step: 0 is too few"),
        ({"selection": {"min_words": 9, "max_words": 8}}, "selection.max_words: 8 is too few; give 9 or more"),
        ({"games": {"surplus": float("nan")}}, "games.surplus: nan is too few; give 1 or more"),
        ({"base": {"lora": 0}}, "base.lora: 0 is too few"),
        ({"lines": [20], "ratio": 0.01}, "ratio 0.01 of 20 lines is no line"),
        ({"fresh_ratios": [-1]}, "ratio -1 is out of range"),
        (
            {"arms": ["real", "matched", "duplicated", "gan-replacing"]},
            "arms: gan-replacing at ratio 1 leaves no real line; give ratios under 1, or drop it",
        ),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_in_one_line(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        study_of({"name": "x", "texts": {}} | changed, "c.yaml")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert str(refused.value).startswith("c.yaml: ")


def test_numbers_that_yaml_takes_for_text_are_numbers_and_the_hash_follows_every_value(tmp_path: Path) -> None:
    written = "name: x\ntexts: {}\ntuning: {learning_rates: [1e-4]}\ngames: {fields: {kl: 1e-1}}\n"
    (tmp_path / "c.yaml").write_text(written)
    study = read_study(tmp_path / "c.yaml")
    assert study.tuning.learning_rates == (1e-4,) and study.games.fields == {"kl": 0.1}
    assert study.arms == tuple(PROTOCOL) and set(PROTOCOL) < set(ARMS)
    other = dataclasses.replace(study, tuning=dataclasses.replace(study.tuning, learning_rates=(2e-4,)))
    assert study != other == study_of(other.to_json(), "again")


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "augmentation").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_configuration_that_we_ship_is_one(path: Path) -> None:
    """Eight seeds, but for the smoke test and a first look that another configuration repeats on eight fresh ones."""
    study = read_study(path)
    fewer = {"smoke": 2, "teacher": 4, "chosen": 4, "stopped": 4, "stopped-game": 4, "smollm": 3}
    assert study.seeds >= fewer.get(path.stem, 8)
    assert len(study.recipes()) == 2


# -- the splits


def test_splits_that_share_a_line_or_nearly_one_are_refused_and_shown() -> None:
    apart = {"train": ["a b c d e", "f g h i j"], "test": ["k l m n o"]}
    refuse_overlap(apart, 0.8)
    for line, near in (("A  b c d e", None), ("e d c b a", 0.8)):
        with pytest.raises(InputError, match=r"train 'a b c d e' and test '.* b c?.*'|train 'a b c d e'"):
            refuse_overlap(apart | {"test": [line]}, near)
    refuse_overlap(apart | {"test": ["e d c b a"]}, None)  # another order is another line where only copies count


def test_splits_come_from_one_text_without_overlap_or_are_said_to_lack_lines() -> None:
    sizes = {"train": 100, "valid": 20, "test": 20, "fresh": 100, "judge": 100, "control": 20}
    texts = Texts(divide=("grammar:500:3",), lines=sizes, near=0.99)
    study = Study("x", texts, lines=(100,), selection=Selection(held=0.4))
    splits = make_splits(study)
    assert {name: len(lines) for name, lines in splits.items()} == sizes
    assert len({line for lines in splits.values() for line in lines}) == sum(sizes.values())
    with pytest.raises(InputError, match="split fresh has 100 lines, and 300 are needed"):
        make_splits(dataclasses.replace(study, sweep=(3.0,)))
    with pytest.raises(InputError, match="the split judge is missing"):
        few = {name: n for name, n in sizes.items() if name != "judge"}
        make_splits(dataclasses.replace(study, texts=dataclasses.replace(texts, lines=few)))


def test_two_sources_that_are_one_draw_from_a_known_language_are_refused() -> None:
    """Independent draws may share lines, and the same draw under two names shares them all."""
    given = {"train": "grammar:300:5", "fresh": "grammar:300:6", "judge": "grammar:120:7"}
    given |= {"valid": "grammar:60:8", "test": "grammar:60:5", "control": "grammar:60:9"}
    with pytest.raises(InputError, match="grammar:300:5 and grammar:60:5 are one draw; give each a seed of its own"):
        make_splits(small(texts=Texts(given=given, near=None)))
    made = make_splits(small(texts=Texts(given=given | {"test": "grammar:60:10"}, near=None)))
    assert len(made["test"]) == 60
    sizes = dict.fromkeys(SPLITS, 100)
    with pytest.raises(InputError, match="are one draw"):
        make_splits(small(texts=Texts(divide=("grammar:600:7", "grammar:500:7"), lines=sizes, near=None)))


def test_a_base_that_has_read_the_test_text_and_a_d_of_too_few_lines_are_refused(tmp_path: Path) -> None:
    study = small()
    line = make_splits(study)["test"][3]
    (tmp_path / "base.txt").write_text(f"another line\n{line}\n")
    base = dataclasses.replace(study.base, text=str(tmp_path / "base.txt"), shuffled=False)
    with pytest.raises(InputError, match=r"base.text: 1 lines of the validation and test text .* the base must not"):
        make_splits(dataclasses.replace(study, base=base))
    few = dataclasses.replace(study.selection, held=0.3)
    with pytest.raises(InputError, match=r"held 0.3 of N = 100 leaves D 30 real lines, and 40 are needed; give 0.4"):
        make_splits(dataclasses.replace(study, selection=few))
    alone = dataclasses.replace(study, selection=few, arms=("real", "matched", "duplicated", "gan"), swept=())
    assert make_splits(alone)  # no arm asks D


def test_splits_that_are_not_those_that_were_frozen_are_refused(tmp_path: Path) -> None:
    freeze(small(), tmp_path)
    for name, check in (("test", lambda: open_test(Lab(tmp_path), {})), ("train", lambda: freeze(small(), tmp_path))):
        path = tmp_path / "splits" / f"{name}.txt"
        check()
        path.write_text(path.read_text() + "one more line\n")
        with pytest.raises(InputError, match=rf"splits/{name}.txt is not what was frozen; restore it"):
            check()


# -- the arms


def test_lines_are_chosen_to_be_as_long_as_others_each_once_and_nearest() -> None:
    """Lengths 1, 2, 2, 4, 6: for 2 the first of two, for 5 (as near to 4 as to 6) the longer, for 3 what is left."""
    lines = ["a", "b c", "d e", "f g h i", "j k l m n o"]
    assert as_long(lines, ["x x", "x x x x x", "x x x"]) == ["b c", "j k l m n o", "f g h i"]
    assert sorted(as_long(lines, lines[::-1])) == sorted(lines)
    with pytest.raises(ValueError, match="5 lines cannot stand for 6"):
        as_long(lines, [*lines, "x"])


def test_the_negative_control_keeps_each_lines_words_and_noise_keeps_most_of_them() -> None:
    shuffled = shuffled_words(SENTENCES, seed=1)
    assert [sorted(line.split()) for line in shuffled] == [sorted(line.split()) for line in SENTENCES]
    assert shuffled != SENTENCES and shuffled == shuffled_words(SENTENCES, seed=1)
    made = noisy(SENTENCES, 100, seed=1)
    assert len(made) == 100 and all(line.strip() for line in made)
    assert all(old != new for old, new in zip(SENTENCES * 2, made, strict=False))
    assert noisy(["aa"], 2, seed=1) == ["aa", "aa"]  # which cannot be changed
    assert made[:10] == noisy(SENTENCES, 10, seed=1)
    kept = [len(line.split()) for line in noisy(["a b c d e f g h i j"], 3000, seed=2)]
    assert np.mean(np.array(kept) == 9) == pytest.approx(1 / 2, abs=0.04)  # a lone letter has none to swap with
    kept = [len(line.split()) for line in noisy(["aa b c d e f g h i j".replace(" ", "x ")], 3000, seed=2)]
    assert np.mean(np.array(kept) == 9) == pytest.approx(1 / 3, abs=0.04)


def test_edits_keep_the_length_in_tokens_and_change_each_line_by_what_the_model_finds_likely(tmp_path: Path) -> None:
    lm = load_lm(pretrain_small(SENTENCES, tmp_path, layers=1, width=32, vocab_size=300, steps=60), device="cpu")
    lines = edited(lm, SENTENCES, 80, seed=0)
    again = edited(lm, SENTENCES, 80, seed=0)
    assert lines == again and len(lines) == 80
    assert np.mean([a != b for a, b in zip(lines, SENTENCES * 2, strict=False)]) > 0.9
    known = {word for line in SENTENCES for word in line.split()}
    assert np.mean([word in known for line in lines for word in line.split()]) > 0.5
    long = " ".join(SENTENCES[:20])  # more than the model's context holds
    made = edited(lm, [SENTENCES[0], long], 3, seed=0)
    assert len(made) == 3 and len(made[1].split()) > 60 > len(made[2].split())


# -- the statistics


def rows_of(effects: dict[str, float], *, seeds: int = 8, noise: float = 0.001, n: int = 100) -> list[dict[str, Any]]:
    """Rows with a planted difference to arm `real`, at NLL 1 a byte; seeds differ much, pairs little."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        level = 1 + 0.1 * rng.standard_normal()
        for arm, effect in {"real": 0.0, "matched": 0.01, "duplicated": 0.02, **effects}.items():
            name, _, ratio = arm.partition("@")
            nll = level + effect + noise * rng.standard_normal()
            rows.append({
                "name": f"{arm}-{seed}", "arm": name, "n": n, "seed": seed, "ratio": float(ratio or 1),
                "regime": "steps", "nll_per_byte": nll, "valid_nll_per_byte": nll, "written": [],
            })  # fmt: skip
    return rows


STUDY = Study("planted", Texts(), lines=(100,), sweep=(0.5, 2.0))


@pytest.mark.parametrize(
    ("effect", "noise", "seeds", "said"),
    [
        (-0.02, 0.002, 8, "helps"), (0.02, 0.002, 8, "hurts"), (0.0, 0.001, 8, "makes no difference"),
        (0.0, 0.05, 8, "inconclusive"), (-0.02, 0.002, 2, "no claim, under 3 seeds"),
    ],
)  # fmt: skip
def test_a_planted_effect_is_found_with_its_sign(effect: float, noise: float, seeds: int, said: str) -> None:
    found = statistics.contrasts(STUDY, rows_of({"selected": effect}, noise=noise, seeds=seeds), 100, "steps")
    assert [statistics.verdict(one) for one in found] == [said]
    if found[0].low is not None and found[0].high is not None:
        assert found[0].low < effect < found[0].high


def test_a_study_without_a_game_has_its_sentences_too() -> None:
    study = dataclasses.replace(STUDY, arms=("real", "matched", "duplicated", "before", "before-selected", "fresh"))
    rows = rows_of({"before": -0.02, "before-selected": -0.03, "fresh": -0.05}, noise=0.001)
    said = statistics.sentences(study, rows)
    assert len(said) == 2 and said[0].startswith("N = 100, equal steps: a generator's text at ratio 1 helps: ")
    assert [(c.a, c.b) for c in statistics.contrasts(study, rows, 100, "steps")][2] == ("before-selected", "before")


@pytest.mark.parametrize(
    ("arms", "claimed"),
    [(("before", "gan", "before-as-long"), ["gan", "before"]), (("two-stage",), ["two-stage"]), (("noise",), ["noise"]),
     (("self", "fresh"), ["self"]), (("fresh",), [])],
)  # fmt: skip
def test_whatever_arms_a_study_has_it_says_what_it_has_measured(arms: tuple[str, ...], claimed: list[str]) -> None:
    study = dataclasses.replace(STUDY, arms=("real", "matched", "duplicated", *arms))
    rows = rows_of(dict.fromkeys(arms, -0.02))
    said = statistics.sentences(study, rows)
    assert statistics.claimed(study) == claimed and len(said) == len(claimed) and all(" helps: " in x for x in said)
    html = page(study, "abc", rows, {}, [], said, {}, {})
    assert "Nothing is measured yet" not in html and all(f"{arm}, H1" in html for arm in claimed)
    assert "Nothing is measured yet" in page(study, "abc", [], {}, [], [], {}, {})


def test_the_interval_of_a_pair_covers_and_knows_nothing_of_what_seeds_have_in_common() -> None:
    rows = rows_of({"selected": -0.02, "before": -0.02})
    one = statistics.paired(STUDY, rows, "selected", "real", 100, "steps", 1.0)
    assert one is not None and one.high is not None and one.low is not None
    assert one.high - one.low < 0.01  # the seeds' own spread is .1
    assert one.wilcoxon is not None and one.wilcoxon < 0.01 and one.b == "real"
    two = statistics.contrasts(STUDY, rows, 100, "steps")
    assert [c.adjusted for c in two] == pytest.approx([2 * two[0].p, two[1].p], rel=1e-9)  # type: ignore[operator]


def test_the_interval_for_other_lines_is_students_where_lines_are_alike() -> None:
    rows = rows_of({"selected": -0.02})
    nats = {row["name"]: np.full(200, row["nll_per_byte"] * 10) for row in rows}  # 10 bytes a line
    one = statistics.paired(STUDY, rows, "selected", statistics.BEST, 100, "steps", 1.0, nats=nats)
    assert one is not None and None not in (one.low, one.high, one.wide_low, one.wide_high)
    assert (one.wide_low, one.wide_high) == pytest.approx((one.low, one.high))


@pytest.mark.parametrize("seeds", [3, 8])
def test_the_intervals_cover_what_they_say_with_few_seeds(seeds: int) -> None:
    """Student's for other lines too, and the jackknife's of the exchange rate, on planted truths; 95 % of 400."""
    rng, hits = np.random.default_rng(4), np.zeros(2)
    study = dataclasses.replace(STUDY, sweep=())
    for _ in range(400):
        gaps = -0.02 + 0.03 * rng.standard_normal((1, 60)) + 0.02 * rng.standard_normal((seeds, 1))
        gaps = (gaps + 0.01 * rng.standard_normal((seeds, 60))) / 60
        half = half_width(statistics._wide_error(gaps), seeds - 1)
        hits[0] += abs(gaps.sum(1).mean() + 0.02) < half
        own, fresh = 0.02 + 0.005 * rng.standard_normal(seeds), 0.1 + 0.01 * rng.standard_normal(seeds)
        rows = [
            {"name": f"{arm}-{s}", "arm": arm, "n": 100, "seed": s, "ratio": 1.0, "regime": "steps",
             "nll_per_byte": 1 - gain[s], "valid_nll_per_byte": 1.0, "written": []}
            for arm, gain in (("real", np.zeros(seeds)), ("selected", own), ("fresh", fresh)) for s in range(seeds)
        ]  # fmt: skip
        found = statistics.exchange(study, rows, "selected", 100, "steps", 1.0)
        assert found is not None and found.low is not None and found.high is not None
        hits[1] += found.low <= 200 <= found.high
    assert (hits >= 0.92 * 400).all()  # a percentile bootstrap: 75 % at three seeds, 89 % at eight
    assert (hits < 400).all()


def test_a_seed_that_lacks_an_arm_does_not_choose_what_is_to_be_beaten() -> None:
    rows = rows_of({"selected": -0.01, "fresh@1": -0.02, "fresh@2": -0.03}, noise=1e-6)
    hardest = max((row for row in rows if row["arm"] == "real"), key=lambda row: row["nll_per_byte"])["seed"]
    rows = [row for row in rows if (row["arm"], row["seed"]) != ("duplicated", hardest)]
    one = statistics.paired(STUDY, rows, "selected", statistics.BEST, 100, "steps", 1.0)
    assert one is not None and one.b == f"{statistics.BEST} (real)" and one.seeds == 8
    there = statistics.exchange(STUDY, rows, "selected", 100, "steps", 1.0)
    assert there is not None and np.isfinite(there.value)
    for row in rows:  # it is best on the one seed that it has
        row["valid_nll_per_byte"] -= row["arm"] == "duplicated"
    one = [row for row in rows if row["arm"] != "duplicated" or row["seed"] == (hardest + 1) % 8]
    found = statistics.paired(STUDY, one, "selected", statistics.BEST, 100, "steps", 1.0)
    assert found is not None and found.b == f"{statistics.BEST} (real)" and found.seeds == 8


def test_copies_are_those_that_the_tuned_model_writes() -> None:
    rows = rows_of({"selected": 0.0})
    for row in rows:
        count = {"real": 4, "selected": 7}.get(row["arm"], 0) + row["seed"] % 2
        lines = 50 if row["arm"] == "selected" else 100  # the others were blank: a share of what there is
        row["written"] = [{"temperature": t, "scored": lines, "scores": {"copies": count * t}} for t in (0.8, 1.0)]
    found = statistics.gap(rows, "selected", 100, "steps", 1.0, figures.copied(100))
    assert found is not None and found.seeds == 8
    assert found.difference == pytest.approx(np.mean([(7 + s % 2) / 50 - (4 + s % 2) / 100 for s in range(8)]))


def test_the_arm_to_beat_is_chosen_on_the_validation_text() -> None:
    rows = rows_of({"selected": -0.02})
    for row in rows:
        if row["arm"] == "duplicated":
            row["valid_nll_per_byte"] -= 1  # best there, and worst on the test text
    one = statistics.paired(STUDY, rows, "selected", statistics.BEST, 100, "steps", 1.0)
    assert one is not None and one.b == f"{statistics.BEST} (duplicated)"
    assert one.difference == pytest.approx(-0.04, abs=0.002)


def test_an_arm_to_beat_that_was_run_at_more_ratios_is_taken_at_the_nearest() -> None:
    rows = rows_of({"selected": -0.05, "duplicated@3": -0.1}, noise=1e-6)
    for at, b in ((1.0, "real"), (3.0, "duplicated")):
        found = [row | ({"ratio": at} if row["arm"] == "selected" else {}) for row in rows]
        one = statistics.paired(STUDY, found, "selected", statistics.BEST, 100, "steps", at)
        assert one is not None and one.b == f"{statistics.BEST} ({b})"


def test_a_ratio_without_an_arm_to_beat_is_left_out_of_the_curve() -> None:
    study = dataclasses.replace(STUDY, regimes=("passes",), arms=("real", "matched", "duplicated", "selected", "fresh"))
    rows = rows_of({"selected": -0.01, "fresh@0.5": -0.01, "fresh": -0.02})
    rows = [row | {"regime": "passes"} for row in rows if row["arm"] not in ("real", "duplicated")]
    found = statistics.exchange(study, rows, "selected", 100, "passes", 1.0)
    assert found is not None and (found.most, found.bound) == (1000.0, "at most")
    assert statistics.sentences(study, rows) and page(study, "abc", rows, {}, [], [], {}, {})


@pytest.mark.parametrize(("ratios", "bound"), [((1.0,), "at most "), ((0.1, 0.3, 1.0), "")])
def test_below_what_was_measured_of_a_curve_that_flattens_there_is_but_a_bound(
    ratios: tuple[float, ...], bound: str
) -> None:
    """Gains of .1 sqrt(lines / N): 25 more lines have a gain of .05, as of 50 on the chord to 100."""
    study = dataclasses.replace(STUDY, sweep=(), fresh_ratios=ratios)
    fresh = {f"fresh@{ratio:g}": -0.1 * ratio**0.5 for ratio in ratios}
    rows = rows_of(fresh | {"selected": -0.05}, noise=1e-4)
    found = statistics.exchange(study, rows, "selected", 100, "steps", 1.0)
    assert found is not None and found.value == pytest.approx(500 if bound else 250, abs=10)
    said = statistics.sentences(study, rows)[0]
    assert re.search(rf"are worth {bound}\d+ \(\d+ to \d+\) fresh real ones\.$", said)
    rows = rows_of(fresh | {"selected": 0.02}, noise=1e-4)
    assert "1000 of its sentences do at most the harm of losing " in statistics.sentences(study, rows)[0]


@pytest.mark.parametrize(
    ("gain", "worth"),
    [(0.01, 500.0), (0.02, 1000.0), (0.04, 2000.0), (0.1, 2000.0), (-0.01, -500.0), (-1.0, -2000.0), (0.0, 0.0)],
)
def test_the_exchange_rate_reads_the_curve_of_fresh_lines(gain: float, worth: float) -> None:
    """Fresh lines gain .02 for each 100 lines, in proportion: 100 lines with a gain of .01 are worth 50 real ones."""
    fresh = {f"fresh@{ratio:g}": -0.02 * ratio for ratio in (0.5, 1.0, 2.0)}
    rows = rows_of(fresh | {"selected": -gain}, noise=1e-9)
    found = statistics.exchange(STUDY, rows, "selected", 100, "steps", 1.0)
    assert found is not None and found.value == pytest.approx(worth, abs=1) and found.most == 2000
    if found.low is None or found.high is None:
        assert abs(worth) == 2000  # cut: what was not looked at has no interval
    else:
        assert found.low - 1 <= found.value <= found.high + 1


def test_no_rate_is_given_where_real_lines_gain_nothing() -> None:
    rows = rows_of({"fresh@0.5": 0.01, "fresh@1": 0.01, "fresh@2": 0.01, "selected": -0.01}, noise=1e-9)
    found = statistics.exchange(STUDY, rows, "selected", 100, "steps", 1.0)
    assert found is not None and np.isnan(found.value) and found.low is None
    assert "worth" not in statistics.sentences(STUDY, rows)[0]


def test_a_harm_beyond_what_was_looked_at_is_called_neither_bound() -> None:
    """Fresh lines gain .02 for each 100, looked at up to 100: a loss of .5 is by the chord that of losing 2500."""
    study = dataclasses.replace(STUDY, sweep=(), fresh_ratios=(0.5,))
    rows = rows_of({"fresh@0.5": -0.01, "fresh": -0.02, "selected": 0.5}, noise=1e-9)
    found = statistics.exchange(study, rows, "selected", 100, "steps", 1.0)
    assert found is not None and (found.value, found.bound, found.low) == (-1000, "cut at", None)
    said = statistics.sentences(study, rows)[0]
    assert said.endswith("worth by the chord -1000 or fewer fresh real ones (no interval: beyond what was looked at).")
    html = page(study, "abc", rows, {}, [], [said], {}, {})
    assert "cut at \u22121,000" in html and "at least \u2212" not in html
    rows = rows_of({"fresh@0.5": -0.01, "fresh": -0.02, "selected": -0.5}, noise=1e-9)
    assert "worth at least 1000 fresh real ones (no interval:" in statistics.sentences(study, rows)[0]


@pytest.mark.parametrize("effect", [-0.01, 0.01, 0.5])
def test_under_three_seeds_no_worth_is_claimed(effect: float) -> None:
    rows = rows_of({"fresh@0.5": -0.01, "fresh": -0.02, "fresh@2": -0.04, "selected": effect}, noise=1e-9, seeds=2)
    study = dataclasses.replace(STUDY, seeds=2)
    said = statistics.sentences(study, rows)
    assert (
        len(said) == 1
        and said[0].endswith("(2 seeds: no claim).")
        and "Exchange rate" not in page(study, "abc", rows, {}, [], said, {}, {})
    )
    three = rows_of({"fresh@0.5": -0.01, "fresh": -0.02, "fresh@2": -0.04, "selected": effect}, noise=1e-9, seeds=3)
    assert [one.seeds for one in statistics.worths(study, three, 100, "steps")] == [3]


# -- what a sceptic asks


def tuned_at(*chosen: float, grid: tuple[float, ...] = (5e-4, 1e-3, 2e-3)) -> tuple[Study, list[dict[str, Any]]]:
    """A study whose real-only arm chose these rates, a seed each; the other arms have 1e-3."""
    study = dataclasses.replace(STUDY, tuning=dataclasses.replace(STUDY.tuning, learning_rates=grid))
    rows = rows_of({"selected": -0.02}, seeds=len(chosen))
    for row in rows:
        row["rate"] = chosen[row["seed"]] if row["arm"] == "real" else 1e-3
    return study, rows


@pytest.mark.parametrize(
    ("chosen", "warned"),
    [
        ((5e-4,) * 8, ["(0.0005 on 8 of 8 seeds): it may not be tuned; add a smaller one."]),
        ((5e-4,) * 4 + (1e-3,) * 4, ["(0.0005 on 4 of 8 seeds): it may not be tuned; add a smaller one."]),
        ((5e-4,) * 3 + (1e-3,) * 3 + (2e-3,) * 2, []),
        ((1e-3, 2e-3, 2e-3), ["(0.002 on 2 of 3 seeds): it may not be tuned; add a larger one."]),
        ((5e-4, 2e-3), ["(0.0005 on 1 of 2 seeds): it may not be tuned; add a smaller one.",
                        "(0.002 on 1 of 2 seeds): it may not be tuned; add a larger one."]),
    ],
)  # fmt: skip
def test_a_rate_at_the_edge_of_its_grid_is_warned_of(chosen: tuple[float, ...], warned: list[str]) -> None:
    study, rows = tuned_at(*chosen)
    first, *warnings = checks.noted(study, rows, {})
    start = "Warning, N = 100: the real-only arm's rate is at the edge of its grid "
    assert warnings == [start + end for end in warned]
    assert first.startswith("N = 100: learning rate of real-only ") and f"of {len(chosen)} seeds" in first
    for rate in set(chosen):
        assert re.search(rf"\b{rate:g} on {chosen.count(rate)}\b", first)
    html = page(study, "abc", rows, {}, [], ["said"], {}, {}, noted=[first, *warnings])
    assert all(end in html for end in warned) and first in html.replace("&#x27;", "'")


def test_one_candidate_and_the_rate_of_the_other_arms_are_warned_of_too() -> None:
    study, rows = tuned_at(1e-3, 1e-3, 1e-3, grid=(1e-3,))
    assert checks.tuned(study, rows)[1].endswith("add a smaller one and a larger one.")
    study, rows = tuned_at(2e-3, 2e-3, 2e-3, grid=(1e-3, 2e-3, 4e-3))
    assert [line.partition("rate")[0] for line in checks.tuned(study, rows)[1:]] == [
        "Warning, N = 100: the other arms' "
    ]


def test_rows_that_were_kept_without_rates_have_them_in_the_names_of_their_trainings() -> None:
    study, rows = tuned_at(*(5e-4, 1e-5, 1e-5))
    for row in rows:
        rate = row.pop("rate")
        row["training"] = Training("real", 100, row["seed"], rate=rate, share=0.5).name
        if row["arm"] != "real":
            row["training"] = f"{row['arm']}-r1-steps-N100-s{row['seed']}"
    assert checks.rates(rows, 100) == {1e-5: 2, 5e-4: 1} and checks.rates(rows, 100, checks.FOLLOWERS) == {}
    assert checks.noted(study, rows_of({"selected": 0.0}), {}) == []  # of what rows do not say nothing is said


def test_unequal_budgets_are_told_and_equal_ones_shown() -> None:
    study, rows = tuned_at(1e-3, 1e-3, 1e-3)
    for row in rows:
        half = row["arm"] == "real" and row["seed"] == 0  # as its tuning may have it
        row |= {"steps": 200 // (1 + half), "tokens": 76_800 // (1 + half), "best_step": 100 + row["seed"]}
        row |= {"regime": "steps", "ratio": 0.0} if row["arm"] == "real" else {}
    html = page(study, "abc", rows, {}, [], ["said"], {}, {})
    found = html[html.index("Budgets at equal steps: equal to the token, but for real-only") :]
    cells_of = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in found.split("</tr>")[1:5]]
    assert ["real", "3", "100 to 200", "38,400 to 76,800", "100 to 102", "0.001"] in cells_of
    assert ["selected", "3", "200", "76,800", "100 to 102", "0.001"] in cells_of
    assert checks.unequal(study, rows) == []
    next(row for row in rows if row["arm"] == "selected")["tokens"] += 1
    assert "budgets at equal steps are not equal: 76,800 tokens in 200 steps matched" in checks.unequal(study, rows)[0]
    assert "equal steps: they are not equal" in page(study, "abc", rows, {}, [], ["said"], {}, {})


def test_what_speaks_against_ds_choice_is_shown() -> None:
    d = {"auc": 0.4, "ece": 0.2, "effective_sample": 0.031}
    pool = {"funnel": {"generated": 300, "selected": 100}, "diagnostics": d}
    against = ["D orders unseen texts <no> better than chance", "the effective sample size is 3.1 %"]
    trained = {"select-gan-N100-s0": pool | {"warnings": against}, "select-gan-N100-s1": pool | {"warnings": []}}
    assert checks.noted(STUDY, [], trained) == [
        "Warning: something speaks against D's choice in 1 of 2 pools: gan-N100-s0 (2); the page says what."
    ]
    html = page(STUDY, "abc", [], {}, [], [], {}, trained)
    assert "<b>gan-N100-s0</b>: D orders unseen texts &lt;no&gt; better" in html and "the effective sample size" in html
    assert html.count("3.1 %</td>") == 2 and checks.doubtful({"select-gan-N100-s1": pool | {"warnings": []}}) == []


def test_diversity_is_compared_at_the_quality_of_real_only_and_never_beyond_a_curve() -> None:
    rows = rows_of({"selected": 0.0})
    for row in rows:  # self-BLEU = 5 - LM-score, and .3 less for the arm: at equal quality the difference is -.3
        less = 0.3 if row["arm"] == "selected" else 0.0
        shift = 0.1 * (row["arm"] == "selected")  # its temperatures reach other qualities
        row["written"] = [
            {"temperature": t, "scores": {"LM-score": q + shift, "self-BLEU-4": 5 - q - shift - less}}
            for t, q in ((0.8, 3.0), (1.0, 3.5), (1.2, 4.0))
        ]
    found = statistics.at_equal_quality(STUDY, rows, "selected", 100, "steps", 1.0)
    assert found["self-BLEU-4"].difference == pytest.approx(-0.3, abs=1e-9) and set(found) == {"self-BLEU-4"}
    assert found["self-BLEU-4"].seeds == 8 and found["self-BLEU-4"].low is not None
    lost = [row | ({"written": []} if (row["arm"], row["seed"]) == ("selected", 3) else {}) for row in rows]
    fewer = statistics.at_equal_quality(STUDY, lost, "selected", 100, "steps", 1.0)["self-BLEU-4"]
    assert (fewer.seeds, fewer.low, fewer.p) == (7, None, None)  # the seeds that are left are no fair draw
    for row in rows:
        if row["arm"] == "selected":
            far = [{"LM-score": 9.0 + i, "self-BLEU-4": 0.1} for i in range(3)]
            row["written"] = [w | {"scores": scores} for w, scores in zip(row["written"], far, strict=True)]
    assert statistics.at_equal_quality(STUDY, rows, "selected", 100, "steps", 1.0) == {}


def test_the_page_is_inert_and_counts_what_failed() -> None:
    study = dataclasses.replace(STUDY, name="<script>alert(1)</script>")
    failed = {"gan-r1": "InputError: <img src=x>"}
    html = page(study, "abc", rows_of({"selected": -0.02}), failed, ["<b>"], ["said"], {}, {})
    assert "<script" not in html and "<img" not in html and "1 jobs failed" in html
    assert "&lt;b&gt;</b>: not measured" in html
    assert "share, on average, 25 % at N = 100 of them" in page(
        dataclasses.replace(STUDY, texts=Texts(lines={"train": 400})), "abc", [], {}, [], [], {}, {}
    )
    assert "helps" in html and "nan" not in html.casefold().replace("finance", "")


def test_shares_of_copies_stand_under_their_own_heads_and_count_a_text_once() -> None:
    rows = rows_of({"gan": 0.0, "gan@2": 0.0, "selected": 0.0})
    for row in rows:
        if row["arm"] in ("gan", "selected"):
            row |= {"distinct": 0.75, "in_test": 0.0, "overlap": {"lines": {"train": 0.5, "control": 0.25}}}
            if row["arm"] == "gan":
                row["overlap"] |= {"8-grams": {"train": 0.125, "control": 0.0625}}
    study = dataclasses.replace(STUDY, arms=("real", "matched", "duplicated", "gan", "selected"))
    html = page(study, "abc", rows, {}, [], ["said"], {}, {})
    found = html[html.index("copies of the training lines") :]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", found)[:7]
    assert heads[:5] == ["arm", "8-grams control", "8-grams train", "lines control", "lines train"]
    shown = {name: re.findall(r"<td[^>]*>([^<]*)</td>", found[found.index(f"{name}, N = 100") :])[:4]
             for name in ("gan", "selected")}  # fmt: skip
    assert [float(cell.split()[0]) for cell in shown["gan"]] == [0.0625, 0.125, 0.25, 0.5]
    assert [float(cell.split()[0]) for cell in shown["selected"][2:]] == [0.25, 0.5]


def written_of(row: dict[str, Any], women: float, mauve: float) -> dict[str, Any]:
    """The row with what its model wrote at T = 1, the judges' text and the N lines having .5 and .4 women."""
    plain = {
        "temperature": 1.0, "blank": 0, "scored": 100, "scores": {"MAUVE": mauve, "Frechet": 2 - mauve},
        "real": {"MAUVE": 0.96, "Frechet": 1.0}, "groups": {"women": {"written": women, "real": 0.5, "learnt": 0.4}},
        "total_variation": {"written": 0.5 - women, "real": 0.03, "chance": 0.07},
        "amplification": {"written": 0.3 - women, "real": -0.02},
    }  # fmt: skip
    return row | {"written": [{"temperature": 0.8, "scores": {"MAUVE": 0.1}}, plain], "swapped": {"size": women}}


def biased_rows(effects: dict[str, float]) -> list[dict[str, Any]]:
    """Rows of models that write .4 women, less by their effect; MAUVE is .9, less by it; seeds differ, pairs hardly."""
    rng, rows = np.random.default_rng(1), []
    level = 0.05 * rng.standard_normal(8)
    for row in rows_of(dict.fromkeys(effects, 0.0)):
        less = effects.get(row["arm"], effects.get(f"{row['arm']}@{row['ratio']:g}", 0.0))
        at = level[row["seed"]] + 0.001 * rng.standard_normal()
        rows.append(written_of(row, 0.4 + at - less, 0.9 + at - less))
    return rows


def test_what_a_tuned_model_writes_of_whom_is_set_beside_what_the_best_real_only_model_writes() -> None:
    rows = biased_rows({"selected": 0.1, "fresh": 0.0})
    known = {"women": figures.share("women"), "far": figures.audited("total_variation"), "swaps": figures.swapped,
             "lean": figures.audited("amplification"), "MAUVE": figures.likeness("MAUVE")}  # fmt: skip
    found = {name: statistics.gap(rows, "selected", 100, "steps", 1.0, value) for name, value in known.items()}
    for name, sign in (("women", -1), ("far", 1), ("swaps", -1), ("lean", 1), ("MAUVE", -1)):
        one = found[name]
        assert one is not None and one.low is not None and one.high is not None and one.seeds == 8
        assert one.low < 0.1 * sign < one.high and one.high - one.low < 0.01, name  # the seeds' own spread is .05
    own = statistics.gap(rows, "fresh", 100, "steps", 1.0, figures.share("women"))
    assert own is not None and own.low is not None and own.high is not None and own.low < 0 < own.high
    for row in rows:
        if (row["arm"], row["seed"]) == ("selected", 3):
            row["written"] = []
    fewer = statistics.gap(rows, "selected", 100, "steps", 1.0, figures.share("women"))
    assert fewer is not None and (fewer.seeds, fewer.low, fewer.p) == (7, None, None)


def cells_of(html: str, caption: str, row: str) -> list[str]:
    """The words of a row of a page's table."""
    table = html[html.index(f"<caption><span>{caption}") :].split("</table>")[0]
    line = next(one for one in table.split("<tr")[1:] if row in one)
    return [re.sub(r"<[^>]*>", " ", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]


def test_the_page_tells_groups_at_every_ratio_and_likeness_beside_real_texts_own() -> None:
    study = dataclasses.replace(STUDY, arms=("real", "matched", "duplicated", "selected", "fresh"))
    rows = biased_rows({"selected@1": 0.1, "selected@2": 0.2, "fresh": 0.0})
    html = page(study, "abc", rows, {}, [], ["said"], {}, {})
    question = cells_of(html, "The four questions", "selected, H4: written lines on women")
    assert float(question[1].replace("\u2212", "-")) == pytest.approx(-0.1, abs=0.002) and question[2] == "8"
    for name in ("total variation of the written", "amplification in the written", "swapped groups"):
        assert f"selected, H4: {name}" in html
    table = html[html.index("<caption><span>Groups in the tuned models") :].split("</table>")[0]
    lines = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)[:2] for line in table.split("<tr")[1:]]
    assert [line[1] for line in lines if line[0] == "selected"] == ["1", "2"]
    assert re.search(r"stays below 0?\.07\d* 95 times", table)
    own = cells_of(html, "Groups in the tuned models", "real text")[3:6]
    assert own == ["0.5000", "0.0300", "\u22120.0200"]
    assert "Groups, over how much is added" in html
    near = cells_of(html, "Likeness of what models write", ">selected<")
    assert near[3] == "0.9600" and near[6] == "1"
    gaps = [float(cell.replace("\u2212", "-").split()[0]) for cell in (near[4], near[7])]
    assert gaps == pytest.approx([-0.1, 0.1], abs=0.002)
    assert cells_of(html, "Likeness of what models write", ">real<")[4] == "\u2013"  # it is what is to be beaten


def test_rows_that_lack_a_figure_have_it_nowhere_on_the_page_and_never_as_0() -> None:
    """Rows of before it was measured, or of too few lines for it."""
    rows = rows_of({"selected": -0.02})
    bare = page(STUDY, "abc", rows, {}, [], ["said"], {}, {})
    for name in ("MAUVE", "total variation", "amplification", "swapped groups", "Groups in the"):
        assert name not in bare
    few = [written_of(row, 0.4, 0.9) for row in rows]
    for row in few:
        row["written"][1] |= {"amplification": {}, "scores": {"Frechet": 1.0}, "real": {"Frechet": 1.0}}
        del row["swapped"]
    html = page(STUDY, "abc", few, {}, [], ["said"], {}, {})
    assert "H4: amplification" not in html and "H4: swapped" not in html and "H4: total variation" in html
    assert cells_of(html, "Likeness of what models write", ">selected<")[2:5] == ["\u2013"] * 3


# -- what is measured on the test text

PEOPLE = Lexicon({"female": ["zara"], "male": ["zeno"]}, [("zara", "zeno")])


def people(n: int, women: float, seed: int) -> list[str]:
    """Lines of which a share speaks of Zara, who sings, and .3 of Zeno, who dances; one of five the other way."""
    rng = np.random.default_rng(seed)
    who = rng.choice(["zara", "zeno", "one"], size=n, p=[women, 0.3, 0.7 - women]).tolist()
    odd = (rng.random(n) < 0.2).tolist()
    does = [("sings", "dances")[(name == "zeno") ^ turn] for name, turn in zip(who, odd, strict=True)]
    return [f"{name} {verb} {place}" for place, (name, verb) in enumerate(zip(who, does, strict=True))]


def test_groups_written_are_told_from_the_judges_text_as_far_as_they_are_and_a_fair_draw_is_not() -> None:
    judge, test, learnt = people(2000, 0.2, 1), people(900, 0.2, 2), people(100, 0.2, 3)
    fair = groups_written(people(600, 0.2, 4), judge, learnt, test, PEOPLE, 0)
    skewed = groups_written(people(600, 0.05, 5), judge, learnt, test, PEOPLE, 0)
    found = skewed["groups"]["female"]
    assert found["written"] == pytest.approx(0.05, abs=0.03) and found["real"] == pytest.approx(0.2, abs=0.03)
    assert found["learnt"] == sum("zara" in line for line in learnt) / 100
    far, near = skewed["total_variation"], fair["total_variation"]
    assert far["written"] == pytest.approx(0.15, abs=0.04) and far["chance"] < far["written"]
    assert near["written"] < 0.06 and near["real"] < 0.06 and far["real"] == near["real"]  # one draw of the test text
    always = [line.replace("zara dances", "zara sings").replace("zeno sings", "zeno dances") for line in
              people(600, 0.2, 6)]  # fmt: skip
    lean = groups_written(always, judge, learnt, test, PEOPLE, 0)["amplification"]
    assert lean["written"] > 0.15 > 0.05 > abs(lean["real"])  # from 4 of 5 to all: .2
    few = groups_written(people(30, 0.2, 7), judge, learnt, test[:20], PEOPLE, 0)
    assert few["amplification"] == {} and set(few["total_variation"]) == {"written", "chance"}


def test_swapped_lines_move_a_language_model_by_the_mean_of_each_pairs_own_difference(tmp_path: Path) -> None:
    lines = people(60, 0.4, 1)
    lm = load_lm(pretrain_small(lines, tmp_path, layers=1, width=16, vocab_size=300, steps=20), device="cpu")
    found = _swapped(lm, PEOPLE, [*lines, lines[0]])["swapped"]
    other = {"zara": "zeno", "zeno": "zara"}
    pairs = [(line, " ".join(other.get(word, word) for word in line.split())) for line in lines]
    moved = [
        abs(np.subtract(*(nll(lm.model, lm.tokenizer, [line]).total for line in pair)))
        for pair in pairs if pair[0] != pair[1]
    ]  # fmt: skip
    assert found["lines"] == len(moved) and found["size"] == pytest.approx(np.mean(moved), rel=1e-4)
    assert set(found["toward"]) == {"female > male", "male > female"}
    assert _swapped(lm, PEOPLE, ["one sings", *lines[:5]]) == {}


def test_tokens_that_a_model_never_writes_have_no_probability_on_the_test_text_either(tmp_path: Path) -> None:
    """As on the validation text. An untrained LSTM gives PAD and BOS about 2 / V each, so that a slip shows."""
    tokenizer = train_tokenizer(SENTENCES)
    torch.manual_seed(0)
    LSTM(8, 12).build(tokenizer.get_vocab_size(), 12).eval().save(tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    lm, lines = load_lm(tmp_path, device="cpu"), SENTENCES[:7]
    nats, sure, right = [], [], []
    for line in lines:  # each on its own, by hand
        ids = torch.tensor([1, *lm.tokenizer.encode(line, add_special_tokens=False), 2])
        with torch.no_grad():
            logs = lm.model(ids[None, :-1]).logits[0].double().index_fill(1, torch.tensor([0, 1]), -torch.inf)
        logs = logs.log_softmax(1)
        nats.append(-logs.gather(1, ids[1:, None]).sum().item())
        sure += logs.exp().max(1).values.tolist()
        right += (logs.argmax(1) == ids[1:]).tolist()
    found, tokens, error = line_nats(lm, lines)
    assert found == pytest.approx(np.array(nats), rel=1e-5) and tokens == len(right)
    assert found.sum() == pytest.approx(nll(lm.model, lm.tokenizer, lines).total, rel=1e-6)
    bins = (np.array(sure) * BINS).astype(int)
    gaps = [abs(np.sum(np.array(right)[bins == b]) - np.sum(np.array(sure)[bins == b])) for b in set(bins.tolist())]
    assert error == pytest.approx(sum(gaps) / tokens, rel=1e-5)


# -- whole experiments


def small(**changes: Any) -> Study:
    """The smoke configuration with what the tests below need of it."""
    study = read_study(SMOKE)
    return dataclasses.replace(study, **changes)


JUDGE = {"mle_steps": 30, "generator": {"kind": "lstm", "embedding": 16, "hidden": 24}}  # what it says does not matter


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    out = tmp_path_factory.mktemp("smoke") / "an experiment"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "JUDGE", JUDGE)
        report = run_study(small(), out)
    assert report.failed == {}
    return Lab(out)


def results(lab: Lab) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in lab.results.glob("*.json")}


def rows_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_arm_is_measured_on_every_seed_at_its_ratios(done: Lab) -> None:
    rows = rows_in(done.out)
    assert {(row["arm"], row["seed"]) for row in rows} == {(arm, seed) for arm in PROTOCOL for seed in (0, 1)}
    assert {row["ratio"] for row in rows if row["arm"] == "fresh"} == {0.3, 0.5, 1.0}


def test_a_row_has_its_budget_and_what_d_chose_from(done: Lab) -> None:
    rows, found = rows_in(done.out), results(done)
    for row in rows:
        given = found[row["training"]]
        assert [row[key] for key in ("steps", "tokens", "best_step")] == [
            given[key] for key in ("steps", "tokens", "best_step")
        ]
        place = Place(*(row[key] for key in Place._fields))
        assert row["rate"] == (done.training(place).rate or done.rate(*place[1:]))
        assert ("selection" in row) == ARMS[row["arm"]].judged
    one = next(row for row in rows if row["arm"] == "before-two-stage")
    from_d = found[f"select-before-N{one['n']}-s{one['seed']}"]
    assert one["selection"]["funnel"] == from_d["funnel"] and one["selection"]["warnings"] == from_d["warnings"]
    assert one["selection"]["auc"] == from_d["diagnostics"]["auc"]
    tokens = {row["tokens"] for row in rows if row["arm"] != "real"}
    assert tokens == {done.study.tuning.steps * done.study.tuning.tokens_per_step}
    noted = write_report(done.out).noted  # a grid of two always ends at what was chosen
    assert any("at the edge of its grid" in line for line in noted) and "against D's choice" in noted[-1]
    html = (done.out / "report.html").read_text().replace("&#x27;", "'")
    assert all(line in html for line in noted) and "Budgets at equal steps: equal to the token" in html


def test_a_report_is_of_the_configuration_that_is_given(done: Lab, tmp_path: Path, capsys: Any) -> None:
    def report(content: Any) -> str:
        (tmp_path / "c.yaml").write_text(json.dumps(content))
        code = main(["experiment", str(tmp_path / "c.yaml"), "--out", str(done.out), "--report"])
        said, problem = capsys.readouterr()
        assert code == (1 if problem else 0) and len(problem.splitlines()) == bool(problem)
        return str(said + problem)

    before = (done.out / "report.html").read_bytes()
    same = small().to_json()
    assert "at the edge of its grid" in report(same)
    assert "there is no option armes; did you mean arms?" in report(same | {"armes": ["real"]})
    assert "'gann' is not one of" in report(same | {"arms": [*same["arms"][:-1], "gann"]})
    assert "holds an experiment with other settings: seeds 2 -> 3" in report(same | {"seeds": 3})
    (tmp_path / "none").mkdir()
    assert main(["experiment", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "none"), "--report"]) == 1
    assert (done.out / "report.html").read_bytes() == before and list((tmp_path / "none").iterdir()) == []


def test_arms_have_equal_tokens_in_one_regime_and_equal_real_tokens_in_the_other(unbroken: Lab) -> None:
    rows, found, study = rows_in(unbroken.out), results(unbroken), unbroken.study
    shown = [row for row in rows if row["arm"] != "real" and row["ratio"] == study.ratio]
    tokens = {found[row["training"]]["tokens"] for row in shown if row["regime"] == "steps"}
    assert tokens == {study.tuning.steps * study.tuning.tokens_per_step}
    lengths = set()
    for row in shown:
        if row["regime"] == "passes":
            real, place = unbroken.real(row["n"], row["seed"]), Place(*(row[key] for key in Place._fields))
            path = unbroken.model(unbroken.training(place)) / "synthetic.txt"
            more = path.read_text().splitlines() if path.exists() else real[: round(study.ratio * row["n"])]
            lm = load_lm(unbroken.base, device="cpu")
            whole, own = (nll(lm.model, lm.tokenizer, lines).tokens for lines in ([*real, *more], real))
            growth = whole / own
            assert found[row["training"]]["steps"] == round(study.tuning.steps * growth), row["arm"]
            lengths.add(growth)
    assert len(lengths) > 2  # synthetic lines are longer and shorter than real ones, and their passes alike


def test_what_each_arm_writes_is_set_beside_the_judges_text_by_the_packages_own_measures(done: Lab) -> None:
    lexicon, judge = load_lexicon(), done.split("judge")
    for row in rows_in(done.out):
        plain = figures.plain(row)
        place = Place(*(row[key] for key in Place._fields))
        lines = read_text(done.model(done.training(place)) / "written.txt").lines
        women = shares(lines, lexicon)["female"].share
        assert plain["groups"]["female"]["written"] == women and plain["scored"] == len(lines) == 30
        assert plain["groups"]["female"]["real"] == shares(judge, lexicon)["female"].share > 0
        assert plain["total_variation"]["written"] == total_variation(lines, judge, lexicon).value
        assert 0 < plain["scores"]["MAUVE"] <= 1 and plain["scores"]["Frechet"] > 0 < row["swapped"]["size"]
        assert set(plain["real"]) == {"MAUVE", "Frechet"} and not {"real", "groups"} & row["written"][0].keys()
    alone = evaluate(lines, judge, metrics=(Mauve(), Frechet()), groups=0)  # of the last one
    for scores, name in ((alone.scores, "scores"), (alone.real, "real")):
        for score in scores:
            assert plain[name][score.name] == pytest.approx(score.value, rel=1e-9)
    html = (done.out / "report.html").read_text()
    assert "Likeness of what models write" in html and "Groups in the tuned models" in html


def test_of_too_few_lines_there_is_no_mauve(done: Lab) -> None:
    lab = Lab(done.out)
    lab.__dict__["study"] = dataclasses.replace(done.study, writing=dataclasses.replace(done.study.writing, n=12))
    lm, real = load_lm(lab.base, device="cpu"), lab.real(100, 0)
    plain = _written(lab, load_lexicon(), lm, real, lab.split("test"), lab.work, 0)[1]
    assert "MAUVE" not in plain["scores"] and set(plain["real"]) == {"Frechet"} and plain["amplification"] == {}


def test_arms_of_a_pair_share_their_real_lines_and_no_other_seed_has_them(done: Lab) -> None:
    one, other = (done.real(done.study.lines[0], seed) for seed in (0, 1))
    assert one == done.real(done.study.lines[0], 0) and set(one) != set(other)
    assert done.real(50, 0) == one[:50]  # fewer lines are the first of more


def test_the_control_has_arm_sevens_words_and_two_stage_has_arm_eights_text(done: Lab) -> None:
    def text(arm: str) -> list[str]:
        place = Place(arm, done.study.lines[0], 0, done.study.ratio, "steps")
        return (done.model(done.training(place)) / "synthetic.txt").read_text().splitlines()

    assert sorted(" ".join(text("word-shuffled")).split()) == sorted(" ".join(text("gan")).split())
    assert text("two-stage") == text("selected") != text("gan")
    assert len(text("gan")) == done.study.lines[0]


def test_other_mixes_of_the_same_text_are_what_their_plans_say(tmp_path: Path, monkeypatch: Any) -> None:
    """The same lines in all; less and less of them, in the place of real lines, or weighted by D."""
    fed: dict[str, Any] = {}
    true = cells.finetune

    def finetune(lm: Any, text: Any, *, out: Path, **options: Any) -> Any:
        fed[out.name.split("-r0.5")[0]] = (text, options["steps"])
        return true(lm, text, out=out, **options)

    monkeypatch.setattr(cells, "finetune", finetune)
    arms = ("real", "matched", "duplicated", "gan", "gan-annealed", "gan-replacing", "gan-weighted", "fresh")
    quick = small(seeds=1, arms=arms, sweep=(), ratio=0.5, fresh_ratios=(), regimes=("passes",))
    report = run_study(dataclasses.replace(quick, writing=dataclasses.replace(quick.writing, n=0)), tmp_path)
    assert report.failed == {} and {row["arm"] for row in report.rows} == set(arms)
    n, real = quick.lines[0], set(Lab(tmp_path).real(quick.lines[0], 0))
    text, steps = fed["gan"]
    assert len(text.synthetic) == n // 2 and text.real == n
    rates = {row["arm"]: row["rate"] for row in report.rows}
    tried = {
        t.rate: results(Lab(tmp_path))[t.name] for t in Lab(tmp_path).candidates(Place("matched", n, 0, 0.5, "passes"))
    }
    assert set(tried) == set(quick.tuning.learning_rates) and all(
        one["steps"] > quick.tuning.steps for one in tried.values()
    )
    best = min(tried, key=lambda rate: tried[rate]["valid_nll_per_byte"])
    assert {rates[arm] for arm in arms[1:]} == {best}  # tuned for as many steps as they have
    for arm in arms[4:7]:
        assert sorted(fed[arm][0].synthetic) == sorted(text.synthetic)
    assert fed["gan-annealed"][0].plan.schedule == "anneal" and fed["gan-annealed"][1] == steps > quick.tuning.steps
    replacing, weighted = fed["gan-replacing"], fed["gan-weighted"]
    assert len(replacing[0].lines) == n and sum(line in real for line in replacing[0].lines) == n - n // 2
    sizes = [sum(len(line.split()) + 1 for line in lines) for lines in (replacing[0].lines, real)]
    assert replacing[1] == pytest.approx(quick.tuning.steps * sizes[0] / sizes[1], rel=0.15) and replacing[1] < steps
    weights = weighted[0].weights[weighted[0].made]
    assert weighted[1] == steps and weights.mean() == pytest.approx(1) and np.ptp(weights) > 0.01
    assert [row for row in report.rows if row["arm"] == "gan-weighted"][0]["selection"]["auc"] > 0


def test_a_known_language_gives_the_distance_to_its_truth(done: Lab) -> None:
    rows = rows_in(done.out)
    assert all(row["kl_per_line"] > 0 and row["entropy_per_line"] > 5 for row in rows)
    size = sum(len(line.encode()) + 1 for line in done.split("test"))
    for row in rows:  # KL + entropy is the cross-entropy
        whole = (row["kl_per_line"] + row["entropy_per_line"]) * len(done.split("test"))
        assert whole == pytest.approx(row["nll_per_byte"] * size, rel=1e-6)


def test_the_report_can_be_made_anew_and_other_settings_are_refused(done: Lab) -> None:
    before = (done.out / "report.html").read_bytes()
    write_report(done.out)
    assert (done.out / "report.html").read_bytes() == before
    with pytest.raises(InputError, match=r"other settings: ratio 1.0 -> 2.0"):
        run_study(small(ratio=2.0), done.out)


def test_a_candidate_that_comes_to_nothing_is_passed_over_and_said(tmp_path: Path) -> None:
    """A rate at which the loss is no number, or a temperature whose text is screened away, is not chosen."""
    rates = dataclasses.replace(small().tuning, learning_rates=(1e-3, 1e300))
    config = small(seeds=1, arms=("real", "matched", "duplicated", "fresh"), sweep=(), tuning=rates)
    config = dataclasses.replace(config, writing=dataclasses.replace(config.writing, n=0))
    report = run_study(config, tmp_path)
    found = results(Lab(tmp_path))
    lost = [name for name, result in found.items() if "lost" in result]
    assert lost and all("lr1e+300" in name for name in lost) and report.failed == {}
    assert {row["arm"] for row in report.rows} == set(config.arms)

    lab = Lab(tmp_path)
    for rate in (1e-3, 1e300):
        for share in ("", "-x0.5"):
            path = lab.results / f"real-N100-s0-lr{rate:g}{share}.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"lost": "too few lines"}))
    place = next(place for place in lab.places() if place.arm == "real")
    assert not lab.served(place)
    with pytest.raises(InputError, match=r"no candidate is left \(real-N100-s0-lr.*: too few lines\)"):
        lab.training(place)
    for path in lab.results.glob("test-real*"):
        path.unlink()
    again = write_report(tmp_path)
    assert again.failed == {place.name: "no candidate is left (too few lines)"}
    assert "too few lines" in (tmp_path / "report.html").read_text()
    with pytest.raises(InputError, match="its training has failed or is lost; --report says why"):
        one_job(tmp_path, place.name)


@pytest.mark.parametrize(("passing", "draws"), [(2, 1), (8, 3), (10**9, 7)])  # one in so many; 3 draws of 3 n hold n
def test_arm_0s_model_draws_until_screening_leaves_enough_or_the_surplus_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passing: int, draws: int
) -> None:
    seeds: list[int] = []

    def writes(lm: Any, n: int, *, seed: int) -> list[str]:
        seeds.append(seed)
        return [f"line {len(seeds)} {place}" for place in range(n)]

    def passes(lab: Any, path: Path, n: int, seed: int) -> tuple[list[str], dict[str, int]]:
        return read_text(path).lines[::passing], {}

    for name, stub in (("write_text", writes), ("screened", passes), ("load_lm", lambda *_, **__: None)):
        monkeypatch.setattr(cells, name, stub)
    (tmp_path / "N100-s7").mkdir()
    lab: Any = SimpleNamespace(
        model=lambda training: tmp_path, real_training=lambda n, seed: None,
        cell=lambda n, seed: tmp_path / f"N{n}-s{seed}", study=SimpleNamespace(games=Games(surplus=20)),
    )  # fmt: skip
    lines = cells._own_text(lab, Training("self", 100, 7, 1.0), 100)
    assert len(seeds) == draws == len(set(seeds)) and seeds[0] == 7
    assert (len(lines) >= 100) is (passing < 10**9)


def test_lines_of_one_length_need_no_end_mark(tmp_path: Path) -> None:
    """Lines of 12 words: with max_len 12 a generator has never seen an end; without, it must learn where to put one."""
    study = Study(
        name="fixed length",
        texts=Texts(("oracle:900:12@random-20x8-0",), dict.fromkeys(SPLITS, 100), near=None),
        lines=(60,),
        seeds=1,
        selection=Selection(held=0.7),
        games=Games(mle={"mle_steps": 60, "mle_lr": 0.02}, recipe="mle", fields={"mle_steps": 0}, surplus=3.0),
    )
    whole = {}
    for name, most in (("fixed", 12), ("free", None)):
        one = dataclasses.replace(study, games=dataclasses.replace(study.games, max_len=most))
        freeze(one, tmp_path / name)
        cells.play(tmp_path / name, 60, 0)
        lines = read_text(Lab(tmp_path / name).cell(60, 0) / "before-T1.txt").lines
        whole[name] = sum(len(line.split()) == 12 for line in lines) / len(lines)
    assert whole["fixed"] > 0.8 > 0.5 > whole["free"]


def test_a_file_that_has_changed_since_it_was_frozen_is_told(tmp_path: Path) -> None:
    words = tmp_path / "groups.yaml"
    words.write_text("groups: {a: [man], b: [woman]}")
    config = small(lexicon=str(words))
    freeze(config, tmp_path / "out")
    words.write_text("groups: {a: [man], b: [cat]}")
    with pytest.raises(InputError, match=r"a file of this experiment has changed since: lexicon"):
        freeze(config, tmp_path / "out")
    with pytest.raises(InputError, match=r"no.yaml: cannot be read"):
        freeze(small(lexicon=str(tmp_path / "no.yaml")), tmp_path / "other")
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "model.safetensors").write_bytes(b"one")
    config = small(selection=dataclasses.replace(small().selection, body="encoder", encoder=str(encoder)))
    freeze(config, tmp_path / "encoded")
    (encoder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match=r"has changed since: selection.encoder/model.safetensors"):
        freeze(config, tmp_path / "encoded")
    (tmp_path / "encoded" / "study.json").write_text("{}")
    with pytest.raises(InputError, match=r"study.json: is not what was frozen"):
        freeze(config, tmp_path / "encoded")
    other = dataclasses.replace(small().games, fields={"adversarial_steps": 4})
    with pytest.raises(InputError, match="games: the generators of mle and fields differ"):
        freeze(small(games=other), tmp_path / "other")


def test_draws_from_a_known_language_are_split_as_they_come() -> None:
    """Without the lines that are alike the test text would be none of the language: its entropy shows it."""
    lines = {"train": 6000, "valid": 100, "test": 6000, "control": 100, "judge": 100, "fresh": 200}
    texts = Texts(divide=("grammar:12500:3",), lines=lines, near=None)
    made = make_splits(small(texts=texts))
    assert set(made["train"]) & set(made["test"])
    truth, fresh = (np.array([grammar.log_prob(x) for x in lines]) for lines in (made["test"], grammar.sample(6000, 9)))
    assert abs(truth.mean() - fresh.mean()) < 4 * np.hypot(truth.std(), fresh.std()) / 6000**0.5
    alone = [grammar.log_prob(line) for line in set(made["test"]) - set(made["train"])]
    assert np.mean(alone) < truth.mean() - 0.5


def test_a_game_whose_defaults_have_moved_is_another_experiment(tmp_path: Path) -> None:
    """The configuration names few of a recipe's fields; the others count as much."""
    config = dataclasses.replace(small(), games=Games(mle={"mle_steps": 1}, recipe="gad", fields={"kl": 0.5}))
    first = freeze(config, tmp_path)
    assert freeze(config, tmp_path) == first
    path = tmp_path / "study.json"
    frozen = json.loads(path.read_text())
    assert frozen["recipes"]["gad"]["kl"] == 0.5 and frozen["recipes"]["gad"]["clip"] == 0.2
    frozen["recipes"]["gad"]["clip"] = 0.3
    path.write_text(json.dumps(frozen))
    with pytest.raises(InputError, match=r"other settings: gad.clip 0.3 -> 0.2; use another --out"):
        freeze(config, tmp_path)


FEW: dict[str, Any] = {
    "seeds": 1, "arms": ("real", "matched", "duplicated", "gan", "fresh"), "sweep": (), "fresh_ratios": (),
    "regimes": ("steps", "passes"),
}  # fmt: skip

WATCHED = """
import json, sys
from pathlib import Path
from textgan.laboratory import cells, running
from textgan.laboratory.study import study_of
out, early, cells.JUDGE = Path(sys.argv[1]), [], json.loads(sys.argv[3])
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("splits/test.txt") and "r" in str(arguments[1] or "r"):
        early.append((out / "opened.json").exists())
running.freeze(study_of(json.loads(sys.argv[2]), "argument"), out)
sys.addaudithook(hook)
opened = (out / "opened.json").exists()
report = running.run_study(study_of(json.loads(sys.argv[2]), "argument"), out, sealed=True)
assert opened or (not early and not (out / "opened.json").exists() and report.so_far and not report.rows)
running.run_study(study_of(json.loads(sys.argv[2]), "argument"), out)
print(early)
"""


def start(out: Path, study: Study, script: str = WATCHED) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(out), json.dumps(study.to_json()), json.dumps(JUDGE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A whole experiment of few arms, in which the test text is read last."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    said, problem = start(out, small(**FEW)).communicate(timeout=300)
    reads = json.loads(said.strip().splitlines()[-1].casefold())
    assert all(reads), problem  # never before opened.json stood there
    assert len(reads) == 1 + len(rows_in(out)), problem  # once for its hash, and by each job that measures on it
    return Lab(out)


def test_killed_three_times_it_ends_as_if_unbroken(unbroken: Lab, tmp_path: Path) -> None:
    rng, out, whole = random.Random(5), tmp_path / "broken", len(results(unbroken))
    for written in sorted(rng.sample(range(1, whole - 4), 3)):
        process = start(out, unbroken.study)
        while len(list((out / "results").glob("*.json"))) < written:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))  # somewhere in a later job
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert len(results(Lab(out))) < whole
    process = start(out, unbroken.study)
    said, problem = process.communicate(timeout=300)
    assert process.returncode == 0, problem
    one, other = ((folder / "results.jsonl").read_bytes() for folder in (unbroken.out, out))
    assert one == other and len(one.splitlines()) == 9


def test_before_the_test_text_the_report_says_how_the_arms_stand_on_the_validation_text(tmp_path: Path) -> None:
    """Seeds of unlike level, .5 and .6: gan is .05 below real-only on both, fresh .11 above on the one that it has."""
    freeze(small(**(FEW | {"seeds": 2, "regimes": ("steps",)})), tmp_path)
    lab, trained = Lab(tmp_path), dict[str, Any]()
    assert standing(lab, trained, 0) is None
    above = {"real": 0.0, "duplicated": 0.0, "gan": -0.05, "fresh": 0.11}
    for training in (t for place in lab.places() for t in lab.candidates(place)):
        worse = 0.2 if (training.temperature or 1.0) != 1.0 else 0.0  # the best candidate stands for its arm
        value = 0.5 + 0.1 * training.seed + above[training.arm] + worse
        trained[training.name] = {"valid_nll_per_byte": value}
    del trained[Training("fresh", 100, 1, 1.0, "steps").name]
    found = standing(lab, trained, 3)
    assert found is not None
    arms = {arm.arm: arm for arm in found.arms}
    assert arms["gan"].relative == pytest.approx(-0.05 / 0.55) and arms["gan"].against == "real"
    assert arms["fresh"].relative == pytest.approx(0.11 / 0.5) and (arms["fresh"].seeds, arms["fresh"].wanted) == (1, 2)
    lines = found.lines()
    assert "supports no claim" in lines[0] and "3 failed" in lines[0]
    assert any(" gan " in line and line.endswith("\u22129.09 % (real)") for line in lines)
    assert checks.rates(so_far(lab, trained), 100) == {1e-3: 2}  # of candidates that are alike the first


def test_at_equal_passes_one_arm_is_called_the_best(tmp_path: Path) -> None:
    freeze(small(**(FEW | {"seeds": 1, "regimes": ("passes",)})), tmp_path)
    lab, nll = Lab(tmp_path), {"real": 0.5, "matched": 0.49}
    every = (t for place in lab.places() for t in lab.candidates(place))
    found = standing(lab, {t.name: {"valid_nll_per_byte": nll.get(t.arm, 0.6)} for t in every}, 0)
    assert found is not None
    assert [arm.arm for arm in found.arms if arm.cells()[-1] == "the best"] == ["matched"]


INTERRUPTED = """
import sys
from textgan.cli import main
reads = []
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("splits/test.txt") and "r" in str(arguments[1] or "r"):
        reads.append(arguments[0])
sys.addaudithook(hook)
code = main(["experiment", sys.argv[1], "--out", sys.argv[2]])
main(["experiment", sys.argv[1], "--out", sys.argv[2], "--report"])
print(code, len(reads))
"""


def test_an_experiment_that_is_broken_off_leaves_a_report_and_the_test_text_unread(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps(small(**FEW).to_json()))
    freeze(small(**FEW), tmp_path / "out")  # writes the splits and reads them once, for their hashes
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "c.yaml"), str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 240
    while len(list((tmp_path / "out" / "results").glob("real-*.json"))) < 4 and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, problem = process.communicate(timeout=120)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "So far, on the validation text" in page and "the best" in page, problem
    assert "validation NLL a byte" in said and said.splitlines()[-1] == "130 0", problem
    assert not (tmp_path / "out" / "opened.json").exists() and "test NLL" not in said


def test_a_single_job_waits_for_what_it_needs_and_the_test_text_for_all(tmp_path: Path) -> None:
    freeze(small(**FEW), tmp_path)
    names = [job.name for job in training_jobs(tmp_path)]
    with pytest.raises(InputError, match="base must be done before"):
        one_job(tmp_path, names[2])
    with pytest.raises(InputError, match="trainings are to be done before the test text"):
        one_job(tmp_path, "test-real-r0-steps-N100-s0")
    with pytest.raises(InputError, match="no job of this experiment|trainings are to be done"):
        one_job(tmp_path, "nonsense")


# -- what is kept of an experiment


@pytest.fixture(scope="module")
def script() -> Any:
    """benchmarks/augmentation/run.py."""
    spec = importlib.util.spec_from_file_location("kept_experiments", SMOKE.parent / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        spec.loader.exec_module(module)
    return module


def test_what_was_frozen_and_the_page_are_kept_without_a_machines_folders(
    done: Lab, tmp_path: Path, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMOLLM2", "/models/it.gguf")
    monkeypatch.setattr(script, "ROOT", done.out.parent)
    reason = f"InputError: /models/it.gguf and {done.out}/x are not there"
    script.keep(done.out, tmp_path / "smoke-100.0-1", {"failed": {"a job": reason}, "configuration": "abc"})
    kept = {path.name.removeprefix("smoke-100.0-1"): path.read_text() for path in tmp_path.iterdir()}
    assert set(kept) == {".jsonl", ".study.json", ".json", ".html"}
    frozen = json.loads(kept[".study.json"])
    digest = frozen.pop("hash")
    assert hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()[:16] == digest
    assert study_of(frozen["study"], "kept") == done.study and digest in kept[".html"]
    assert json.loads(kept[".json"])["failed"]["a job"] == f"InputError: $SMOLLM2 and ./{done.out.name}/x are not there"
    assert not any(folder in text for text in kept.values() for folder in (str(done.out), str(ROOT), str(Path.home())))
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    monkeypatch.setattr(script, "POOLED", ())
    rows, facts = script.kept()["smoke-100"]
    assert script.study_kept("smoke-100", rows, facts + facts).seeds == 4  # two parts
    lines, said = script.rows()
    assert lines[2].startswith("| `smoke-100` | 2 | ") and any("against D's choice in 4 of 4 pools" in x for x in said)
    monkeypatch.setattr(script, "LARGEST", 1000)
    script.keep(done.out, tmp_path / "larger-100", {})
    assert not (tmp_path / "larger-100.html").exists() and (tmp_path / "larger-100.study.json").exists()


@pytest.mark.parametrize("path", sorted(SMOKE.parent.glob("*.yaml")), ids=lambda p: p.stem)
def test_no_configuration_that_we_ship_names_a_folder_of_a_machine(path: Path) -> None:
    study = read_study(path)
    assert '"/' not in json.dumps([study.to_json(), study.recipes()])


def test_the_table_says_on_how_many_seeds_it_rests_at_which_rates_and_what_each_arm_is_worth(script: Any) -> None:
    lines, said = script.rows()
    rows = {line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]}
    assert rows["stopped-game-500"][1] == "4 (before-selected, selected 3)" and rows["cpu-100"][1] == "8"
    assert rows["teacher-again-100"][2] == "0.0005 on 8 (lacks a smaller one)" and rows["chosen-500"][2] == "0.001 on 4"
    of_game = [line for line in said if line.startswith("* **stopped-game-500**")]
    assert any("before 245 (165 to 325)" in line and "selected 311 (165 to 457) on 3 seeds" in line for line in of_game)
    edge = "the real-only arm's rate is at the edge of its grid (0.0005 on 8 of 8 seeds): it may not be tuned; add a "
    assert any(edge + "smaller one" in line for line in said if line.startswith("* **teacher-again-100**"))
