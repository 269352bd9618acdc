"""Synthetic text: a pool that knows where it came from, a mix in the stated proportion, a fair comparison."""

import hashlib
import io
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from textgan import grammar
from textgan.augmentation import (
    MixPlan,
    append_pool,
    blend,
    compare,
    compare_seeds,
    mix,
    pool_rows,
    read_pool,
    write_pool,
)
from textgan.augmentation.compare import differences, finding
from textgan.augmentation.mix import pool_texts, weighted_texts
from textgan.errors import InputError
from textgan.lm import pretrain_small
from textgan.text import read_text

ODD = ["a\u2028b", "c\u2029d", "e\x85f", '"quoted" \\ text', "\U0001f600 \u6625\u7720", "a\u2028b"]


def rows(texts: list[str], **given: Any) -> list[dict[str, Any]]:
    return list(pool_rows(texts, **{"source": "gan", "seed": 7, **given}))


# The pool


def test_a_pool_comes_back_as_it_was_written_whatever_separators_its_texts_hold(tmp_path: Path) -> None:
    made = rows(ODD, generator={"name": "seqgan", "sha256": "ab"}, run="run-1", temperature=0.9)
    assert write_pool(iter(made), tmp_path / "p.jsonl") == 6
    data = (tmp_path / "p.jsonl").read_bytes()
    assert data.count(b"\n") == 6
    assert data.endswith(b"\n")
    assert "a\u2028b".encode() in data  # not escaped
    assert list(read_pool(tmp_path / "p.jsonl")) == made


def test_a_row_says_where_its_text_came_from() -> None:
    row = rows(["x", "y"], generator={"name": "seqgan", "sha256": "ab"}, run="run-1", temperature=0.9)[1]
    key = '["y", "gan", 7, 1]'  # text, source, seed, index
    assert row == {
        "id": hashlib.sha256(key.encode()).hexdigest(), "text": "y", "source": "gan",
        "generator": {"name": "seqgan", "sha256": "ab"}, "run": "run-1", "seed": 7, "index": 1, "temperature": 0.9,
        "scores": {}, "flags": [], "selected": True, "weight": 1.0,
    }  # fmt: skip


def test_ids_differ_by_text_source_seed_and_index() -> None:
    ids = {row["id"] for given in ({}, {"seed": 8}, {"source": "mle"}) for row in rows(["x", "x", "y"], **given)}
    assert len(ids) == 9


def test_duplicates_are_flagged_and_blank_texts_are_not_selected() -> None:
    made = rows(["x", "y", "x", " ", " "])
    assert [row["flags"] for row in made] == [[], [], ["duplicate"], ["blank"], ["duplicate", "blank"]]
    assert [row["selected"] for row in made] == [True, True, True, False, False]


def test_appending_twice_is_appending_once(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    assert append_pool(rows(["x", "y"]), path) == 2
    more = rows(["y", "z"], seed=8)
    assert (append_pool(more, path), append_pool(more, path)) == (2, 0)
    assert [(row["text"], row["seed"], row["flags"]) for row in read_pool(path)] == [
        ("x", 7, []), ("y", 7, []), ("y", 8, ["duplicate"]), ("z", 8, []),
    ]  # fmt: skip


def test_a_pool_that_could_not_be_written_whole_is_not_written_at_all(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_pool(rows(["x"]), path)
    before = path.read_bytes()

    def breaking() -> Iterator[dict[str, Any]]:
        yield from rows(["y"])
        raise OSError("the disk went away")

    for write in (write_pool, append_pool):
        with pytest.raises(InputError, match="the disk went away"):
            write(breaking(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reading_streams(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"text": "x"}\nnonsense\n')
    stream = read_pool(path)
    assert next(stream)["text"] == "x"
    with pytest.raises(InputError, match="p.jsonl:2: not JSON"):
        next(stream)


def test_rows_made_elsewhere_get_defaults_and_keep_their_own_keys(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "x", "mine": 3}\r\n\n')
    (row,) = read_pool(path)
    assert (row["mine"], row["selected"], row["weight"], row["flags"]) == (3, True, 1.0, [])
    assert row["id"] == rows(["x"], source="unknown", seed=None)[0]["id"]


WANTED = 'wanted one JSON object a line with a "text" string'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[1]\n", f"1: no text; {WANTED}"),
        (b'{"text": 3}\n', f"1: no text; {WANTED}"),
        (b'{"text": "x"}\n{"text": "\xff"}\n', f"2:11: not UTF-8; {WANTED}"),
        (b'{"text": "\xff"}\n', f"1:11: not UTF-8; {WANTED}"),
        (b'{"text": "a \\ud800"}\n', "1: a half of a character (U+D800) stands in the text; mend the row"),
        (b'{"text": "x", "weight": NaN}\n', f"1: not JSON; {WANTED}"),
        (b"[" * 100_000 + b"\n", f"1: not JSON; {WANTED}"),
        (b'{"text": "x", "selected": "no"}\n', '1: "selected" must be true or false; mend the row'),
        (b'{"text": "x", "flags": [1]}\n', '1: "flags" must be a list of strings; mend the row'),
        (b'{"text": "x", "scores": [1]}\n', '1: "scores" must be an object; mend the row'),
    ],
)
def test_a_bad_row_is_one_line_of_error(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        list(read_pool(path))
    assert str(error.value) == f"{path}:{said}"


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda p: rows(["x", "a\nb"]), "text 1 of the pool holds a newline; give one sentence each, without newlines"),
        (lambda p: rows([3]), "text 0 of the pool is a int, not a string; give one string each"),  # type: ignore[list-item]
        (lambda p: rows(["\ud800"]), "text 0 of the pool is not valid Unicode: surrogates not allowed; decode it anew"),
        (
            lambda p: write_pool([{"text": "x", "weight": math.inf}], p / "x"),
            "row 1 of the pool holds what JSON cannot (NaN, infinity, an object); mend it",
        ),
    ],
)
def test_texts_that_make_no_pool_are_one_line_of_error(tmp_path: Path, do: Callable[[Path], Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        do(tmp_path)
    assert str(error.value) == said


# The mix

REAL = [f"real {i}" for i in range(10)]
POOL = [f"made {i}" for i in range(100)]


@pytest.mark.parametrize(
    ("ratio", "made"), [(0, 0), (0.1, 1), (0.25, 3), (0.5, 5), (0.75, 8), (1, 10), (3, 30), (10, 100)]
)
def test_the_ratio_is_synthetic_lines_per_real_line(ratio: float, made: int) -> None:
    """All real lines once, floor(10 r + 1/2) synthetic ones, none twice."""
    mixed = mix(REAL, rows(POOL), ratio=ratio)
    assert Counter(line for line in mixed if line.startswith("real")) == Counter(REAL)
    drawn = [line for line in mixed if line.startswith("made")]
    assert len(drawn) == len(set(drawn)) == made


def test_the_mix_follows_from_the_seed() -> None:
    one, same, other = (mix(REAL, POOL, ratio=1, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert set(one) != set(other)
    assert one[:10] != REAL  # shuffled


def test_a_larger_ratio_draws_the_smaller_ones_lines_and_more() -> None:
    small, large = (set(mix(REAL, POOL, ratio=ratio, seed=3)) for ratio in (1, 3))
    assert small < large


@pytest.mark.parametrize(
    ("said", "used"),
    [({}, True), ({"selected": None}, True), ({"selected": True}, True), ({"selected": False}, False),
     ({"weight": 0}, False), ({"weight": None}, True), ({"selected": "no"}, None), ({"selected": math.nan}, None)],
)  # fmt: skip
def test_every_reader_of_rows_uses_the_same_ones(tmp_path: Path, said: dict[str, Any], used: bool | None) -> None:
    rows = [{"text": "one", "weight": 2.0}, {"text": "two", **said}]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    readers: tuple[Callable[[], Any], ...] = (
        lambda: read_text(file).lines, lambda: pool_texts(rows), lambda: pool_texts(file),
        lambda: weighted_texts(rows)[0], lambda: weighted_texts(file)[0],
    )  # fmt: skip
    for read in readers:
        if used is None:
            with pytest.raises(InputError):
                read()
        else:
            assert list(read()) == (["one", "two"] if used else ["one"])


def test_only_selected_rows_are_drawn(tmp_path: Path) -> None:
    made = rows(POOL)
    for row in made[10:]:
        row["selected"] = False
    write_pool(made, tmp_path / "p.jsonl")
    for pool in (made, iter(made), tmp_path / "p.jsonl"):
        assert set(mix(REAL, pool, ratio=1)) == {*REAL, *POOL[:10]}


def test_a_pool_is_known_by_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = rows(POOL[:20])
    made[0]["selected"] = False
    write_pool(made, tmp_path / "p.jsonl")
    expected = mix(REAL, made, ratio=1)
    (tmp_path / "p.txt").write_bytes((tmp_path / "p.jsonl").read_bytes())
    (tmp_path / "plain.txt").write_text("\n".join(POOL[1:20]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "p.jsonl").read_bytes())))
    for pool in (tmp_path / "p.jsonl", str(tmp_path / "p.txt"), tmp_path / "plain.txt", "-"):
        assert mix(REAL, pool, ratio=1) == expected


def test_the_budget_is_kept_and_the_proportion_on_average() -> None:
    found = blend(REAL, POOL, MixPlan(ratio=10, tokens=44))
    assert found.tokens == sum(len(line.split()) for line in found.lines) == 44  # two words a line
    assert (len(found.lines), found.real + len(found.synthetic), found.pool) == (22, 22, 100)
    assert found.lines == mix(REAL, POOL, ratio=10)[:22]
    assert blend(REAL, POOL, MixPlan(1, tokens=60), count=len).tokens <= 60


def test_synthetic_lines_that_equal_a_real_line_are_counted() -> None:
    found = blend(REAL, [*REAL[:4], "new"], MixPlan(0.5))
    assert found.overlap == 4


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (
            lambda: mix(REAL, rows(POOL), ratio=10.1),
            "the pool holds 100 selected lines, 101 are wanted (ratio 10.1 x 10 real lines); "
            "generate more or lower the ratio",
        ),
        (
            lambda: mix(REAL, POOL, ratio=-0.5),
            "ratio -0.5 is not a share; give synthetic lines per real line, 0 or more (1 adds as many)",
        ),
        (
            lambda: mix(REAL, POOL, ratio=math.nan),
            "ratio nan is not a share; give synthetic lines per real line, 0 or more (1 adds as many)",
        ),
        (
            lambda: mix(REAL, POOL, ratio=math.inf),
            "ratio inf is not a share; give synthetic lines per real line, 0 or more (1 adds as many)",
        ),
        (lambda: mix(REAL, POOL, ratio=1, tokens=0), "a budget of 0 tokens holds no line; give 1 or more, or None"),
        (lambda: mix(REAL, POOL, ratio=1, tokens=1), "a budget of 1 tokens holds no line (the first has 2); give more"),
        (
            lambda: mix(REAL, [{"text": "a\nb"}], ratio=0),
            "selected text 1 of the pool holds a newline; give one sentence each",
        ),
    ],
)
def test_a_mix_that_cannot_be_made_is_one_line_of_error(do: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        do()
    assert str(error.value) == said


# The comparison

TRAIN, VALID, TEST, MADE = (grammar.sample(n, seed) for n, seed in ((150, 0), (40, 1), (60, 2), (150, 3)))
QUICK: dict[str, Any] = {"lm": "small:1x16", "base_steps": 20, "tokens_per_step": 100, "n": 40}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("compared")
    told: list[dict[str, Any]] = []
    result = compare(
        TRAIN, rows(MADE), valid=VALID, test=TEST, out=out, ratio=0.5, steps=10, on_progress=told.append, **QUICK
    )
    return out, result, told


Compared = tuple[Path, dict[str, Any], list[dict[str, Any]]]


def test_the_arms_are_equal_in_everything_but_their_text(compared: Compared) -> None:
    out, result, _ = compared
    real, mixed = result["arms"]
    assert [arm["name"] for arm in result["arms"]] == ["real only", "real + synthetic"]
    assert (real["steps"], real["tokens"]) == (mixed["steps"], mixed["tokens"]) == (10, 1000)
    assert real["before"] == mixed["before"]  # the same weights to begin with
    assert real["curve"][0] == mixed["curve"][0]
    assert real["nll_per_byte"] != mixed["nll_per_byte"]
    notes = [json.loads((out / name / "finetune.json").read_text()) for name in ("real-only", "real-synthetic")]
    settings = [note["settings"] for note in notes]
    texts = [chosen.pop("texts") for chosen in settings]
    assert settings[0] == settings[1]
    assert [text["text"]["lines"] for text in texts] == [150, 225]
    assert texts[0]["test"] == texts[1]["test"]


def test_the_comparison_is_written_whole_and_says_which_model_and_what_it_may_claim(compared: Compared) -> None:
    out, result, told = compared
    assert json.loads((out / "augmentation.json").read_text()) == json.loads(json.dumps(result))
    assert result["lm"].startswith("small GPT-2 made here: 1 layers x 16")
    assert (result["ratio"], result["seed"]) == (0.5, 0)
    assert result["finding"].startswith("At ratio 0.5 (synthetic lines per real line) the held-out NLL per byte went ")
    assert result["finding"].endswith(" One seed: no claim.")
    assert (result["synthetic"]["lines"], result["synthetic"]["of"]) == (75, 150)
    assert {row["stage"] for row in told} == {
        "pre-training", "fine-tuning on real only", "fine-tuning on real + synthetic",
    }  # fmt: skip


def test_each_models_own_text_is_scored_beside_real_text(compared: Compared) -> None:
    out, result, _ = compared
    names = [{score["name"] for score in arm["scores"]} for arm in result["arms"]]
    assert names[0] & {score["name"] for score in result["real"]} == names[0]
    assert {"BLEU-4", "self-BLEU-4", "distinct-2", "novel-4-grams"} <= names[0]
    assert names[0] == names[1]
    for arm, folder in zip(result["arms"], ("real-only", "real-synthetic"), strict=True):
        lines = (out / folder / "text.txt").read_text().split("\n")[:-1]
        assert len(lines) == 40
        assert arm["samples"] == lines[:20]
        assert {score["n"] for score in arm["scores"] if score["name"] == "BLEU-4"} == {40 - arm["blank"]}
    mixed = (out / "real-synthetic" / "train.txt").read_text().split("\n")[:-1]
    assert mixed == mix(TRAIN, MADE, ratio=0.5)


def test_fresh_real_sentences_help_and_shuffled_ones_do_not_stand_in_for_them(tmp_path: Path) -> None:
    """The instrument's own check: text that must help does, and its words in random order fall far behind."""
    real, fresh = grammar.sample(150, 0), grammar.sample(450, 5)
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(words, len(words))) for words in map(str.split, fresh)]
    base = pretrain_small(real, tmp_path / "base", layers=1, width=32, steps=120, tokens_per_step=256, lr=0.01)
    tests = {"valid": VALID, "test": grammar.sample(100, 2)}
    small: dict[str, Any] = {"lm": base, "ratio": 3, "steps": 60, "tokens_per_step": 256, "lr": 2e-3, "n": 10}
    found = [
        compare(real, pool, out=tmp_path / name, **tests, **small)["arms"]
        for name, pool in (("fresh", fresh), ("shuffled", shuffled))
    ]
    assert found[0][0]["nll_per_byte"] == found[1][0]["nll_per_byte"]  # the real-only arm does not see the pool
    alone, helped, harmed = found[0][0]["nll_per_byte"], found[0][1]["nll_per_byte"], found[1][1]["nll_per_byte"]
    assert helped < 0.95 * alone
    assert helped < 0.95 * harmed


def test_several_seeds_share_the_base_model_and_are_put_together(tmp_path: Path) -> None:
    done = compare_seeds(
        TRAIN, iter(rows(MADE)), valid=VALID, test=TEST, out=tmp_path, seeds=[0, 1], ratio=1.0, steps=4, **QUICK
    )
    each = [json.loads((tmp_path / f"augmentation-seed-{seed}.json").read_text()) for seed in (0, 1)]
    assert each[0]["arms"][0]["before"] == each[1]["arms"][0]["before"]
    assert each[0]["arms"][0]["nll_per_byte"] != each[1]["arms"][0]["nll_per_byte"]
    changes = [one["arms"][1]["nll_per_byte"] - one["arms"][0]["nll_per_byte"] for one in each]
    assert done["differences"]["nll_per_byte"]["values"] == pytest.approx(changes, abs=1e-12)
    assert done["finding"].endswith(" Two seeds: no claim.")
    assert json.loads((tmp_path / "comparison.json").read_text()) == json.loads(json.dumps(done))


def test_a_comparison_that_was_stopped_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks off in the second arm of the second seed; what was done by then is not done again."""
    monkeypatch.setattr("textgan.lm.watching.SECONDS", 0.0)  # a checkpoint at each step
    told: list[tuple[str, int]] = []

    def tell(row: dict[str, Any]) -> None:
        told.append((row["stage"], row["step"]))
        if told.count(("fine-tuning on real + synthetic", 4)) == 2:
            raise KeyboardInterrupt

    same: dict[str, Any] = {"valid": VALID, "test": TEST, "seeds": [0, 1], "steps": 6, **QUICK}
    whole = compare_seeds(TRAIN, rows(MADE), out=tmp_path / "whole", **same)
    with pytest.raises(KeyboardInterrupt):
        compare_seeds(TRAIN, rows(MADE), out=tmp_path / "cut", on_progress=tell, **same)
    with pytest.raises(InputError, match="holds a comparison, done or stopped; give resume=True to go on"):
        compare_seeds(TRAIN, rows(MADE), out=tmp_path / "cut", **same)
    told = []
    assert compare_seeds(TRAIN, rows(MADE), out=tmp_path / "cut", resume=True, on_progress=tell, **same) == whole
    assert {stage for stage, _ in told} == {"fine-tuning on real + synthetic"} and told[0][1] >= 3
    for name in ("comparison.json", "augmentation-seed-1.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def made_up(changes: list[float]) -> list[dict[str, Any]]:
    """Results whose arms differ in NLL per byte by so much, around 1."""
    return [
        {
            "ratio": 1.0,
            "arms": [
                {"nll_per_byte": x, "nll_per_token": x, "perplexity": x, "scores": []} for x in (1.0, 1.0 + change)
            ],
        }
        for change in changes
    ]


def test_differences_carry_the_t_interval_of_their_pairs() -> None:
    found = differences(made_up([-0.1, -0.2, -0.3]))["nll_per_byte"]
    assert (found["mean"], found["sd"]) == (pytest.approx(-0.2), pytest.approx(0.1))
    half = 4.302653 * 0.1 / math.sqrt(3)  # the 97.5 % point of t with two degrees of freedom
    assert (found["low"], found["high"]) == (pytest.approx(-0.2 - half), pytest.approx(-0.2 + half))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([-0.3], "no claim"),
        ([-0.3, -0.3], "no claim"),
        ([-0.30, -0.31, -0.32], "it helps"),
        ([0.30, 0.31, 0.32], "it hurts"),
        ([-0.30, 0.01, 0.32], "the arms are not told apart"),
    ],
)
def test_the_finding_claims_no_more_than_the_seeds_support(changes: list[float], said: str) -> None:
    verdicts = {"no claim", "it helps", "it hurts", "the arms are not told apart"}
    assert [verdict for verdict in verdicts if verdict in finding(made_up(changes))] == [said]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "n 0 sentences cannot be scored; give 1 or more"),
        (
            {"ratio": 2},
            "the pool holds 150 selected lines, 300 are wanted (ratio 2 x 150 real lines); "
            "generate more or lower the ratio",
        ),
        ({"lm": "small:x"}, "small:x: no such model; give small or small:LAYERSxWIDTH, as small:2x128"),
    ],
)
def test_what_cannot_be_compared_is_one_line_of_error(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        compare(TRAIN, MADE, **{"valid": VALID, "test": TEST, "out": tmp_path, **options})
    assert str(error.value) == said


def test_seeds_must_differ(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seeds \[1, 1\] cannot be compared; give one or more, each once"):
        compare_seeds(TRAIN, MADE, valid=VALID, test=TEST, out=tmp_path, seeds=[1, 1])
