"""`select`: the whole way from a pool to a chosen one; every row keeps its fate, and another judge looks."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from textgan import grammar
from textgan.augmentation import mix, pool_rows, read_pool, verify_pool, write_pool
from textgan.augmentation.density import DensityRatio
from textgan.augmentation.filters import Copies, PerplexityBand
from textgan.augmentation.folder import data_card, seal_pool, write_shards
from textgan.augmentation.opinion import MOST, opinion_of, placements, second_opinion, second_scores
from textgan.augmentation.select import DRS, MH, All, Resample, Threshold, TopK, Weights
from textgan.cli import main
from textgan.errors import InputError
from textgan.report.funnel import funnel_plot
from textgan.selection import Selection, select
from textgan.text.rows import REJECTED

HABITS = (" is ", " on ", " in ", " with ", " and ")
DIRT = [
    "",
    "a",
    "a dog dog dog dog in a field .",
    "<script>alert(1)</script> in a field of grass .",
    "=1+1 in a field .",
]


def true_ratio(line: str) -> float:
    return math.prod(3.0 for habit in HABITS if habit in line)


def biased(n: int, seed: int) -> list[str]:
    """Sentences of the grammar, each accepted with probability 1 / true_ratio."""
    rng = random.Random(seed)
    lines = (line for line in grammar.sentences(100 * n, seed) if rng.random() < 1 / true_ratio(line))
    return [line for line, _ in zip(lines, range(n), strict=False)]


REAL = grammar.sample(800, 1)
QUICK: dict[str, Any] = {"ratio": {"folds": 2, "calibration": "platt"}}


class Done(NamedTuple):
    pool: Path
    out: Path
    found: Selection


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("selection")
    texts = [*biased(700, 2), *DIRT]
    write_shards(pool_rows([*texts, texts[0]], source="gan", seed=7), folder, "jsonl")
    seal_pool(folder, {"plan": {}}, ["a card"])
    out = folder.parent / "out"
    options = {"train": grammar.sample(100, 5), "judge": grammar.sample(150, 6), "blocked": ["purple"], **QUICK}
    found = select(folder, REAL, out, how=DRS(0.4), **options)
    return Done(folder, out, found)


def test_every_row_is_there_with_its_verdict_and_the_funnel_adds_up(done: Done) -> None:
    before, after = list(read_pool(done.pool)), list(read_pool(done.out))
    same = ("id", "text", "source", "seed", "index")
    at_its_place = sorted(after, key=lambda row: row["index"])
    assert [[row[key] for key in same] for row in before] == [[row[key] for key in same] for row in at_its_place]
    assert all(row["selected"] == ("reason" not in row) == (row["weight"] > 0) for row in after)
    fates = Counter(row.get("reason", "chosen").partition(":")[0] for row in after)
    stages = dict(done.found.funnel)
    left = list(stages.values())
    assert left == sorted(left, reverse=True) and stages["generated"] == len(after) == sum(fates.values())
    assert fates["blank"] == 1 == stages["generated"] - stages["candidates"]
    assert fates["not chosen by drs"] == stages["perplexity"] - stages["chosen by drs"]
    assert fates["chosen"] == stages["chosen by drs"] == sum(row["selected"] for row in after)
    reasons = {row["text"]: row.get("reason", "") for row in after}
    assert [reasons[text].partition(":")[0] for text in DIRT] == ["blank", "length", "repetition", "charset", "charset"]
    assert at_its_place[-1]["reason"] == "duplicate"
    assert [row["selected"] for row in after] == sorted((row["selected"] for row in after), reverse=True)
    # a share of .4 of the texts that passed, to 4 sd
    assert fates["chosen"] / stages["perplexity"] == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / stages["perplexity"]))


def test_what_is_chosen_is_likelier_under_the_truth(done: Done) -> None:
    rows = [row for row in read_pool(done.out) if "ratio" in row["scores"]]
    true = np.log([true_ratio(row["text"]) for row in rows])
    chosen = np.array([row["selected"] for row in rows])
    assert np.corrcoef(np.log([row["scores"]["ratio"] for row in rows]), true)[0, 1] > 0.5
    gap = true[chosen].mean() - true[~chosen].mean()
    assert gap > 4 * true.std() / math.sqrt(len(rows) / 4)


def test_the_folder_is_a_sound_pool_that_says_where_it_came_from(done: Done) -> None:
    assert verify_pool(done.out) == []
    made = json.loads((done.out / "provenance.json").read_text())
    assert made["plan"]["how"] == {"name": "drs", "share": 0.4}
    assert made["inputs"]["real"]["lines"] == len(REAL) and len(made["inputs"]["pool"]["sha256"]) == 64
    assert made["diagnostics"]["auc"] == done.found.ratio.diagnostics.auc  # type: ignore[union-attr]
    assert set(mix(["real"], done.out, ratio=100)) <= {
        "real",
        *(r["text"] for r in read_pool(done.out) if r["selected"]),
    }


def test_the_page_shows_the_funnel_and_stays_inert(done: Done) -> None:
    page = (done.out / "funnel.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert all(f"{name}: " in page for name, _ in done.found.funnel)
    assert page.count("<svg viewBox") >= 1 and "nan" not in page.lower().replace("nance", "")
    assert "3 left" in funnel_plot([("all", 5), ("some", 3)])


def test_the_same_arguments_give_the_same_bytes(done: Done, tmp_path: Path) -> None:
    pool, found = done.pool, done.found
    for name in ("one", "two"):
        select(pool, REAL, tmp_path / name, how=TopK(0.2), ratio=found.ratio, judge=grammar.sample(30, 8))
    assert [p.name for p in sorted((tmp_path / "one").iterdir())] == [
        "MANIFEST.json", "README.md", "funnel.html", "provenance.json", "rejected-00000.jsonl", "rows-00000.jsonl",
    ]  # fmt: skip
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_what_datasets_loads_is_what_was_chosen(done: Done, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra `data`)")
    rows = list(read_pool(done.out))
    for name, chosen in (("default", True), ("rejected", False)):
        data = datasets.load_dataset(str(done.out), name, split="train", cache_dir=str(tmp_path))
        assert list(data["text"]) == [row["text"] for row in rows if row["selected"] is chosen]
        assert set(data["selected"]) == {chosen}
        assert ("reason" in data.column_names) is not chosen


def test_no_rows_make_no_shard_and_no_configuration(tmp_path: Path) -> None:
    assert write_shards(iter(()), tmp_path, "jsonl", lambda row: REJECTED) == 0 and not list(tmp_path.iterdir())
    card = data_card("t", about=[], rows=3, form="jsonl", licence=None, funnel=[("generated", 3)])
    assert card.count("- config_name: default") == 1 and not any("rejected" in line for line in card)


@pytest.mark.parametrize("how", [All(), MH(4), Resample(900), Weights()], ids=lambda how: type(how).__name__)
def test_weights_say_how_often_a_row_was_taken(done: Done, how: Any, tmp_path: Path) -> None:
    found = select(done.pool, REAL, tmp_path / "x", how=how, ratio=done.found.ratio, judge=grammar.sample(30, 8))
    rows = [row for row in read_pool(tmp_path / "x") if row["selected"]]
    assert sum(row["weight"] for row in rows) == pytest.approx(len(found.chosen.index))
    assert found.chosen.uneven == (len({round(row["weight"], 9) for row in rows}) > 1)
    if isinstance(how, Resample):
        assert {row["weight"] for row in rows} <= set(range(1, 900)) and max(row["weight"] for row in rows) > 1


# What a row's scores say


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    "how",
    [TopK(0.5), Threshold(0.5), DRS(0.5), MH(4), Resample(300), Weights(), All()],
    ids=lambda how: type(how).__name__,
)
def test_a_row_has_every_score_that_was_reckoned_of_it(done: Done, form: str, how: Any, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra `data`)")
    train, ratio = grammar.sample(100, 5), done.found.ratio
    assert ratio is not None
    options: dict[str, Any] = {"train": train, "judge": grammar.sample(9, 8), "form": form}
    select(done.pool, REAL, tmp_path / "x", how=how, ratio=ratio, **options)
    rows = list(read_pool(tmp_path / "x"))
    judged = [row for row in rows if row["selected"] or row["reason"].startswith("not chosen")]
    assert len(judged) > 300
    wanted = ratio.scores([row["text"] for row in judged])
    for name in ("d", "d_calibrated", "ratio"):
        assert [row["scores"][name] for row in judged] == pytest.approx(wanted[name].tolist(), rel=1e-5, abs=1e-5)
    assert wanted["ratio"] == pytest.approx(wanted["d_calibrated"] / (1 - wanted["d_calibrated"]))
    copies, band = Copies(train), PerplexityBand(REAL)
    for measure, stage in ((copies, "copy of train"), (band, "perplexity")):
        seen = [row for row in rows if measure.score in row["scores"]]
        values = measure.measure([row["text"] for row in seen])
        assert [row["scores"][measure.score] for row in seen] == pytest.approx(values.tolist())
        dropped = [row for row in rows if row.get("reason", "").startswith(stage)]
        assert all(row in seen for row in [*judged, *dropped])  # what it was dropped by, too
    assert {name for row in rows for name in row["scores"]} == {"longest_copy", "nll_lm", *wanted}
    early = [row for row in rows if row.get("reason", "").partition(":")[0] in ("blank", "length", "charset")]
    assert early and all(not row["scores"] for row in early)


def test_scores_cost_no_second_look(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text that passed the filters is asked about once, and measured once by each filter."""
    asked: Counter[str] = Counter()
    ratio = done.found.ratio
    assert ratio is not None

    class Counting:
        def logits(self, lines: Sequence[str]) -> np.ndarray:
            asked.update(lines)
            return np.zeros(len(lines))

    monkeypatch.setattr(ratio, "judges", [Counting(), Counting()])
    measured: Counter[str] = Counter()
    once = PerplexityBand.measure
    monkeypatch.setattr(PerplexityBand, "measure", lambda self, lines: (measured.update(lines), once(self, lines))[1])
    select(done.pool, REAL, tmp_path / "x", how=TopK(0.5), ratio=ratio, judge=grammar.sample(9, 8))
    passed = {row["text"] for row in read_pool(tmp_path / "x") if "ratio" in row["scores"]}
    assert set(asked) == passed and set(asked.values()) == {1}
    assert passed and all(measured[text] == 1 for text in passed - set(REAL))


def test_without_d_and_without_training_text_a_row_has_what_there_is(done: Done, tmp_path: Path) -> None:
    select(done.pool, REAL, tmp_path / "x", how=All(), judge=grammar.sample(9, 8))
    assert {tuple(row["scores"]) for row in read_pool(tmp_path / "x")} == {(), ("nll_lm",)}


# The second judge


@pytest.fixture(scope="module")
def looked() -> tuple[np.ndarray, np.ndarray]:
    """A judge's scores of 400 real lines, and of 300 others of which a word-shuffled copy stands behind each."""
    rng, good = random.Random(0), grammar.sample(300, 111)
    spoilt = [" ".join(rng.sample(words, len(words))) for words in map(str.split, good)]
    found = second_scores(grammar.sample(400, 11), [*good, *spoilt])
    assert found is not None
    return found


def test_a_second_judge_calls_a_random_half_better_or_worse_in_a_twentieth_of_the_cases(looked: Any) -> None:
    rng = np.random.default_rng(1)
    said = [opinion_of(*looked, (rng.permutation(600) < 300).astype(float)) for _ in range(300)]
    claims = [one.verdict != "no difference is shown" for one in said if one]
    # 2 standard errors leave .046 outside: 14 of 300, sd 3.7
    assert len(claims) == 300 and 3 <= sum(claims) <= 28


@pytest.mark.parametrize("apart", [0.3, 2.0])
def test_an_opinion_errs_as_often_as_it_says_however_rows_are_taken_at_random(apart: float) -> None:
    ways = {
        "tenth": lambda rng: rng.permutation(800) < 80,
        "again and again": lambda rng: rng.multinomial(800, np.full(800, 1 / 800)),
        "weights": lambda rng: rng.exponential(size=800),
    }
    for name, way in ways.items():
        claims = 0
        for row in range(300):
            rng = np.random.default_rng([row, round(10 * apart)])
            seen = opinion_of(rng.normal(apart, 1, 300), rng.normal(0, 1, 800), way(rng).astype(float))
            claims += seen is not None and seen.verdict != "no difference is shown"
        assert 3 <= claims <= 28, name  # as above


def test_a_second_judge_tells_a_better_selection_and_a_worse_one(looked: Any) -> None:
    intact = np.arange(600) < 300
    most = intact | (np.arange(600) % 3 < 2)  # a third of what is spoilt was left out
    better, milder, worse = (opinion_of(*looked, taken.astype(float)) for taken in (intact, most, ~intact))
    assert better and milder and worse
    assert better.verdict == milder.verdict == "the selection looks more like real text"
    assert worse.verdict == "the selection looks less like real text"
    assert better.nearer > milder.nearer > 4 * milder.nearer_error
    assert abs(better.after - 0.5) < 4 * better.after_error  # intact sentences are real text
    assert better.before == worse.before > 0.6


def test_placements_and_errors_are_delongs() -> None:
    """Real 1 and 3; written 0, 2, 3 with weights 1, 1, 2. Below 1 lies 0; below 3 lie 0, 2 and half of 3."""
    real, written, weights = np.array([1.0, 3.0]), np.array([0.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0])
    assert placements(real, written, np.ones(3)) == pytest.approx([1 / 3, 2.5 / 3])
    assert placements(real, written, weights) == pytest.approx([1 / 4, 3 / 4])
    rng = np.random.default_rng(0)
    real, written = rng.normal(1, 1, 60), rng.normal(0, 1, 90)
    seen = opinion_of(real, written, np.ones(90))
    assert seen is not None and seen.before == seen.after and seen.nearer == seen.nearer_error == 0
    below = (written[None] < real[:, None]).astype(float)  # (60, 90)
    assert seen.before == pytest.approx(below.mean())
    variance = below.mean(1).var(ddof=1) / 60 + below.mean(0).var(ddof=1) / 90
    assert seen.before_error == pytest.approx(math.sqrt(variance))
    assert opinion_of(real, written, (np.arange(90) < 19).astype(float)) is None
    assert second_opinion(["a"], ["b"] * 99, weights) is None


def test_below_chance_is_no_nearer_to_real_text_than_as_far_above() -> None:
    real, written = np.zeros(200), np.repeat([-1.0, 1.0], 200)  # half below all real texts, half above
    seen = opinion_of(real, written, (written > 0).astype(float))
    assert seen is not None and (seen.before, seen.after) == (0.5, 0)
    assert seen.verdict == "the selection looks less like real text"


def test_a_second_judge_draws_its_real_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are sorted: the first lines of one are no sample of it."""
    read: list[list[str]] = []

    class Reading:
        def train(self, real: list[str], fake: list[str], *, seed: int) -> Any:
            read.append([*real])
            return self

        def logits(self, lines: list[str]) -> np.ndarray:
            return np.zeros(len(lines))

    monkeypatch.setattr("textgan.augmentation.bodies.SECOND", Reading())
    real = [f"{row:05} real" for row in range(3 * MOST)]
    second_scores(real, [f"{row:05} made" for row in range(50)])
    places = [int(line[:5]) for lines in read for line in lines]
    assert len(places) == MOST and np.mean(places) == pytest.approx(1.5 * MOST, rel=0.05)  # sd .58 / sqrt(4000)


# What will not do


def test_copies_of_the_test_text_are_an_error_or_dropped(tmp_path: Path) -> None:
    texts = [*biased(200, 3), "purple horses never sleep here at noon", "purple horses never sleep here"]
    write_pool(pool_rows(texts, source="gan"), tmp_path / "p.jsonl")
    test, free = ["Purple horses never sleep here at noon .", "unseen"], grammar.sample(30, 9)
    with pytest.raises(
        InputError, match=r"^2 of 202 lines of .*p.jsonl stand in the --test text, or nearly \(the first"
    ):
        select(tmp_path / "p.jsonl", REAL, tmp_path / "x", how=All(), test=test, judge=free, near=0.7)
    assert not (tmp_path / "x").exists()
    found = select(
        tmp_path / "p.jsonl", REAL, tmp_path / "x", how=All(), test=test, drop_test_copies=True, judge=free, near=0.7
    )
    reason = f"near-copy of test: {test[0]}"
    assert [row["text"] for row in read_pool(tmp_path / "x") if row.get("reason") == reason] == texts[-2:]
    assert dict(found.funnel)["candidates"] - dict(found.funnel)["copies of test"] == 2
    assert not any("--test" in line for line in found.warnings)


def test_d_does_not_learn_from_the_test_text(done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What 10,000 captions share with 10,000 others, short lines, is an error until the user says: leave them out."""
    lines = ["a purple horse sleeps at noon .", "nobody came to the old house today"]
    (tmp_path / "test.txt").write_text("\n".join(lines))
    (tmp_path / "real.txt").write_text("\n".join([*REAL[:300], "A purple horse sleeps at noon"]))
    (tmp_path / "judge.txt").write_text("\n".join([*grammar.sample(150, 6), lines[1]]))
    base = f"select {done.pool} --test {tmp_path / 'test.txt'} --folds 2 --calibration platt --out {tmp_path / 'x'} "
    for given, where, row in (
        ("--real {}/test.txt", "2 of 2 lines of --real test.txt", 1),
        ("--real {}/real.txt", "1 of 301 lines of --real real.txt", 301),
        ("--real grammar:400 --judge {}/judge.txt", "1 of 151 lines of --judge judge.txt", 151),
        ("--real grammar:400 --train {}/test.txt", "2 of 2 lines of --train test.txt", 1),
    ):
        assert main([*base.split(), *given.format(tmp_path).split()]) == 1
        said = capsys.readouterr().err
        wanted = f"textgan: error: {where} stand in the --test text, or nearly (the first: line {row}, "
        assert said.startswith(wanted) and said.count("\n") == 1 and "--test-copies drop" in said
        assert not (tmp_path / "x").exists()
    read: list[Sequence[str]] = []
    given = f"--real {tmp_path}/real.txt --judge {tmp_path}/judge.txt --train {tmp_path}/test.txt --test-copies drop"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "textgan.selection.DensityRatio.fit", lambda real, fake, **_: read.append(real) or done.found.ratio
        )
        patch.setattr("textgan.selection.second_opinion", lambda real, *_, **__: read.append(real))
        assert main([*base.split(), *given.split()]) == 0
    for text in read:
        assert len(text) >= 150 and not any("purple" in line or "nobody" in line for line in text)
    said = capsys.readouterr().out
    assert "warning: 1 of 301 lines of --real real.txt stand in the --test text, or nearly: they were left out" in said
    assert "warning: 2 of 2 lines of --train test.txt stand in the --test text, or nearly: the generator has" in said
    inputs = json.loads((tmp_path / "x" / "provenance.json").read_text())["inputs"]
    assert inputs["real"]["lines"] == 301  # the file as it came, by its hash


def test_rows_without_scores_are_chosen_from_and_a_newline_is_refused_before_anything_is_trained(
    done: Done, tmp_path: Path
) -> None:
    rows = [{"text": text, "scores": None, "generator": None} for text in biased(60, 3)]
    write_pool(rows, tmp_path / "p.jsonl")
    select(tmp_path / "p.jsonl", REAL, tmp_path / "x", how=TopK(0.5), ratio=done.found.ratio, judge=["a"])
    assert all("ratio" in row["scores"] for row in read_pool(tmp_path / "x") if row["selected"])
    write_pool([*rows, {"text": "a man\nis here ."}], tmp_path / "n.jsonl")
    with pytest.raises(InputError, match="selected text 61 of the pool holds a newline; give one sentence each"):
        select(tmp_path / "n.jsonl", REAL, tmp_path / "y", how=TopK(0.5), **QUICK)


def test_text_without_spaces_is_warned_of(tmp_path: Path) -> None:
    solid = ["".join(line.split()) for line in grammar.sample(160, 3)]
    write_pool(pool_rows(solid[:80], source="gan"), tmp_path / "p.jsonl")
    found = select(tmp_path / "p.jsonl", solid[80:], tmp_path / "x", how=All())
    for name, said in zip(("real", "candidate"), found.warnings, strict=False):
        assert said.startswith(f"nearly all {name} lines are one word, and filters and D go by words; put spaces")


def test_the_writer_and_the_licence_stay_with_a_pool_however_often_it_is_chosen_from(tmp_path: Path) -> None:
    source = {"run": "r", "recipe": "mle", "sha256": "ab" * 32, "corpus": {"name": "c.txt", "sha256": "cd" * 32}}
    (tmp_path / "0").mkdir()
    write_shards(pool_rows(biased(120, 3), source="gan"), tmp_path / "0", "jsonl")
    seal_pool(tmp_path / "0", {"plan": {"source": source, "licence": "cc-by-4.0"}}, ["a card"])
    for before, after in ("01", "12"):
        select(tmp_path / before, REAL, tmp_path / after, how=All())
        plan = json.loads((tmp_path / after / "provenance.json").read_text())["plan"]
        assert plan["source"] == source and plan["licence"] == "cc-by-4.0"
        card = (tmp_path / after / "README.md").read_text()
        assert "license: cc-by-4.0" in card and f"weights sha256 {'ab' * 32}" in card and "trained on c.txt" in card
    select(tmp_path / "2", REAL, tmp_path / "3", how=All(), licence="mit")
    assert "license: mit" in (tmp_path / "3" / "README.md").read_text()


def test_real_text_that_the_generator_has_seen_is_warned_of(done: Done, tmp_path: Path) -> None:
    found = select(done.pool, REAL, tmp_path / "x", how=All(), train=REAL[:30], judge=grammar.sample(30, 8))
    same = sum(line in set(REAL[:30]) for line in REAL)
    assert found.warnings[0].startswith(f"{same} of {len(REAL)} real lines stand in the training text: D takes what")


def test_nothing_is_written_over_and_nothing_half_done_is_left(done: Done, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in done.out.iterdir()}
    with pytest.raises(InputError, match="is there already; give a new folder as --out"):
        select(done.pool, REAL, done.out, how=All())
    assert {path.name: path.read_bytes() for path in done.out.iterdir()} == before
    (tmp_path / "p.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(InputError, match=r"no text passes the filters \(candidates 1, length 0, "):
        select(tmp_path / "p.jsonl", REAL, tmp_path / "x", how=All())
    (tmp_path / "blank.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(InputError, match="holds no selected text"):
        select(tmp_path / "blank.jsonl", REAL, tmp_path / "x", how=All())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blank.jsonl", "p.jsonl"]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--share 2", 2, "--share: a number from 0 to 1 was wanted, got '2'"),
        ("--share 0", 1, "share 0 must be above 0 and at most 1: a share of the texts"),
        ("--how mh --share .5", 2, "--share is no option of --how mh"),
        ("--how resample", 2, "--how resample needs -n, the number of draws"),
        ("--exact --share .5", 2, "--exact is for --how drs without --share"),
        ("--how best", 2, "--how: 'best' is not one of all, top,"),
        ("--ratio r --folds 3", 2, "--ratio is fitted already; leave --folds out"),
        ("--ratio r --calibration platt", 2, "--ratio is fitted already; leave --calibration out"),
        ("--ratio r --body cnn", 2, "--ratio is fitted already; leave --body out"),
        ("--how all --save-ratio r", 2, "--how all fits no ratio; leave --save-ratio out, or give another --how"),
        ("--body encoder", 1, "body encoder needs an encoder: a local Hugging Face folder of a sentence encoder"),
        ("--encoder nowhere", 1, "no encoder at nowhere: config.json is missing"),
        ("--ratio nowhere", 1, "nowhere: no density.json; give a folder that DensityRatio.save has written"),
        ("--block nowhere", 1, "nowhere: no such file"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(
    done: Done, tmp_path: Path, line: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["select", str(done.pool), "--real", "grammar:400", "--out", str(tmp_path / "x"), *line.split()]
    assert main(command) == code
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_the_command_tells_the_funnel_and_keeps_the_ratio(
    done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert done.found.ratio is not None
    done.found.ratio.save(tmp_path / "ratio")
    command = f"select {done.pool} --real grammar:{len(REAL)}:1 --out {tmp_path / 'x'} --how top --share .25 --near .9 "
    assert main([*command.split(), "--ratio", str(tmp_path / "ratio"), "--judge", "grammar:30:9"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["generated", "706"] and any(line.startswith("There were too few texts") for line in said)
    assert any(line.startswith("D: AUC 0.") for line in said)
    assert DensityRatio.load(tmp_path / "ratio").diagnostics == done.found.ratio.diagnostics


@pytest.mark.parametrize("how", ["all", "weights", "resample -n 200"])
def test_the_last_line_says_what_uses_the_weights(
    done: Done, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert done.found.ratio is not None
    done.found.ratio.save(tmp_path / "ratio")
    command = f"select {done.pool} --real grammar:400 --out {tmp_path / 'x'} --how {how} --ratio {tmp_path / 'ratio'}"
    assert main([*command.split(), "--judge", "grammar:9:9"]) == 0
    assert ("--weight-by density_ratio" in capsys.readouterr().out.splitlines()[-1]) is (how != "all")


@pytest.mark.parametrize("n", [7, 8, 9])
def test_each_kind_of_row_has_shards_of_its_own_however_they_mix(n: int, tmp_path: Path, monkeypatch: Any) -> None:
    """Shards of 2 rows: the last of a kind may be full, or not."""
    monkeypatch.setattr("textgan.augmentation.folder.SHARD", 2)
    rows = list(pool_rows([f"line {i}" for i in range(n)], source="gan"))
    assert write_shards(iter(rows), tmp_path, "jsonl", lambda row: REJECTED if row["index"] % 3 else "rows") == n
    seal_pool(tmp_path, {"plan": {}}, ["a card"])
    wanted = sorted(range(n), key=lambda i: (i % 3 > 0, i))
    assert [row["index"] for row in read_pool(tmp_path)] == wanted
    assert len(list(tmp_path.glob("rejected-*"))) == -(-(n - -(-n // 3)) // 2)
