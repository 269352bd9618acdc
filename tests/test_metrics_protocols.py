"""The named protocols print what the systems print, and say what is wrong with it."""

from __future__ import annotations

import pytest

import slow_ngrams as slow
from textgan.errors import InputError
from textgan.evaluation import evaluate
from textgan.grammar import sample


@pytest.fixture(scope="module")
def lines() -> tuple[list[str], list[str]]:
    return sample(230, 1), sample(60, 2)


def split(lines: list[str]) -> list[list[str]]:
    return [line.split() for line in lines]


def test_relgan_prints_self_bleu_one_for_any_text_and_says_so(lines: tuple[list[str], list[str]]) -> None:
    evaluation = evaluate(*lines, protocol="relgan")
    assert [evaluation.value(f"self-BLEU-{k}") for k in (2, 3, 4, 5)] == [1.0] * 4
    assert "is 1 for every text" in evaluation.notes[0]
    expected = [slow.bleu(split(lines[1]), line, 2) for line in split(lines[0][:200])]
    assert evaluation.value("BLEU-2") == pytest.approx(sum(expected) / 200)


def test_textgan_pytorch_scores_200_lines_against_the_others(lines: tuple[list[str], list[str]]) -> None:
    evaluation = evaluate(*lines, protocol="textgan-pytorch")
    others = split(lines[0][200:])
    expected = [slow.bleu(others, line, 3) for line in split(lines[0][:200])]
    assert evaluation.value("self-BLEU-3") == pytest.approx(sum(expected) / 200)
    assert evaluation.scores[-1].n == 200


def test_texygen_knows_the_first_500_lines_only() -> None:
    text, reference = sample(510, 1), sample(510, 2)
    evaluation = evaluate(text, reference, protocol="texygen")
    changed = evaluate(text[:500] + ["a b c"] * 10, reference[:500] + ["d e f"] * 10, protocol="texygen")
    assert evaluation.value("self-BLEU-2") == changed.value("self-BLEU-2")
    assert "|refs:500|" in evaluation.scores[0].signature
    assert evaluation.scores[0].n == 510


def test_gansfallingshort_equals_ours_where_all_lines_fit() -> None:
    text, reference = sample(100, 1), sample(100, 2)
    ours, theirs = (
        evaluate(text, reference, metrics="BLEU,self-BLEU"),
        evaluate(text, reference, protocol="gansfallingshort"),
    )
    assert {s.name: s.value for s in theirs.scores} == pytest.approx({s.name: s.value for s in ours.scores})


def test_a_protocol_is_in_the_signature_and_takes_its_own_lines(lines: tuple[list[str], list[str]]) -> None:
    assert "|protocol:relgan|" in evaluate(*lines, protocol="relgan").scores[0].signature
    with pytest.raises(InputError, match="leave n out"):
        evaluate(*lines, protocol="relgan", n=5)
    with pytest.raises(InputError, match="there is no protocol 'nltk'; there are default, texygen"):
        evaluate(*lines, protocol="nltk")
