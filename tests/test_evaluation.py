"""evaluate: the same n for text and real text, seeded draws, honest absences, and JSON that others can read."""

from __future__ import annotations

import json
import math
import random

import pytest

from textgan.errors import InputError
from textgan.evaluation import Evaluation, Reference, evaluate

NOUNS = ["dog", "cat", "man", "woman", "horse", "bird", "child"]
VERBS = ["sits", "runs", "sleeps", "stands"]
PLACES = ["house", "tree", "road", "sea"]


def captions(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    extra = ["", " in the rain", " near a fence", " with a red ball", " at night"]
    pick = rng.choice
    return [
        f"a {pick(NOUNS)} {pick(VERBS)} by the {pick(PLACES)}{pick(extra)} and a {pick(NOUNS)} {pick(VERBS)}"
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(captions(300, 1), captions(300, 2), train=captions(300, 3))


def names(scores: list) -> list[str]:
    return [score.name for score in scores]


def test_json_has_the_promised_keys_and_no_nan(evaluation: Evaluation) -> None:
    data = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert {"text", "reference", "n", "seed", "scores", "real"} <= data.keys()
    assert {"name", "value", "better", "n", "signature"} <= data["scores"][0].keys()
    wanted = [f"{name}-{k}" for name in ("BLEU", "self-BLEU") for k in (2, 3, 4, 5)]
    wanted += [f"distinct-{k}" for k in (1, 2, 3, 4)]
    assert set(wanted) <= {score["name"] for score in data["scores"]}
    assert {score["better"] for score in data["scores"]} <= {"higher", "lower", "match"}


def test_real_text_is_scored_by_the_same_metrics_at_the_same_n(evaluation: Evaluation) -> None:
    assert names(evaluation.scores) == names(evaluation.real)
    assert [score.n for score in evaluation.scores] == [score.n for score in evaluation.real]
    assert all(f"|n:{score.n}|" in score.signature for score in evaluation.scores)


def test_n_is_the_smaller_size_and_lines_are_drawn_not_the_first() -> None:
    text = ["first words here"] * 50 + captions(50, 1)
    small = evaluate(text, captions(40, 2), metrics="distinct")
    assert small.n == 40
    assert small.value("distinct-1") != evaluate(text[:40], captions(40, 2), metrics="distinct").value("distinct-1")


def test_the_same_seed_gives_the_same_scores_and_another_seed_others() -> None:
    text, reference = captions(200, 1), captions(200, 2)
    one, same = (evaluate(text, reference, n=50, seed=4, metrics="BLEU") for _ in range(2))
    other = evaluate(text, reference, n=50, seed=5, metrics="BLEU")
    assert one.scores == same.scores
    assert one.scores != other.scores


def test_a_fitted_reference_gives_the_same_evaluation() -> None:
    text, reference, train = captions(100, 1), captions(100, 2), captions(100, 3)
    fitted = Reference(reference, train=train)
    assert evaluate(text, fitted).scores == evaluate(text, reference, train=train).scores


def test_a_copier_has_no_novelty() -> None:
    train = list(dict.fromkeys(captions(150, 3)))
    copied = evaluate(train, captions(150, 2), train=train)
    assert copied.value("novelty") == 0.0
    assert copied.value("novel-4-grams") == 0.0
    assert copied.value("copies") == copied.n


def test_lines_that_stand_in_the_reference_are_counted_in_a_warning() -> None:
    reference = [f"line number {i} of the reference" for i in range(20)]
    text = reference[:3] + [f"text number {i} of another kind" for i in range(17)]
    assert any(warning.startswith("3 of the 20 scored lines") for warning in evaluate(text, reference).warnings)


@pytest.mark.parametrize(
    ("text", "reference", "options", "message"),
    [
        ([], ["a b"], {}, "holds no text"),
        (["a b"], [], {}, "holds no text"),
        (["a b"], ["a b"], {"n": 2}, "n is 2, but"),
        (["a b"], ["a b"], {"n": 0}, "n is 0; give a positive number of lines, at most 1"),
        (["a b"], ["a b"], {"metrics": "BLUE-4"}, "there is no metric 'BLUE-4'; did you mean BLEU-4?"),
        (["a b"], ["a b"], {"tokenise": "letters"}, "tokenise 'letters' is not known; take one of words, characters"),
        (["a b"], Reference(["a b"]), {"tokenise": "characters"}, "'characters' came beside a Reference of 'words'"),
    ],
)
def test_bad_input_is_one_line_that_mends(text: list, reference: list | Reference, options: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate(text, reference, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (["a"], ["b"]),
        (["a b c"], ["d e f", "g"]),
        (["a"] * 9, ["b"] * 9),
        (["a b c d e f"] * 9, ["a b c d e f"] * 9),
        ([f"w{i}" for i in range(9)], [f"v{i}" for i in range(9)]),
        (["x" * 100_000, "y"], ["y", "x " * 50_000]),
    ],
    ids=["one line each", "no overlap", "one word", "all identical", "shorter than n", "very long lines"],
)
def test_degenerate_texts_have_finite_values_or_a_reason(text: list[str], reference: list[str]) -> None:
    evaluation = evaluate(text, reference, train=reference)
    json.dumps(evaluation.to_json(), allow_nan=False)
    assert all(math.isfinite(score.value) for score in evaluation.scores + evaluation.real)
    assert all(reason and "\n" not in reason for reason in evaluation.absent.values())
    assert not set(evaluation.absent) & set(names(evaluation.scores))
    assert evaluation.to_table()


def test_chinese_with_spaces_at_its_commas_is_told_too() -> None:
    from textgan.evaluation import unspaced
    from textgan.metrics import NgramIndex

    verse = ["白日依山尽，黄河入海流。", "欲穷千里目，更上一层楼。"]
    assert unspaced(NgramIndex([line.replace("，", "， ") for line in verse]))
    assert not unspaced(NgramIndex([" ".join(line) for line in verse]))
    assert not unspaced(NgramIndex(["Donaudampfschifffahrtsgesellschaft fährt heute", "a b c"]))
