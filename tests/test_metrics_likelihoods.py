"""The Kneser-Ney model is a probability, equals its slow twin and NLTK's, and the scores say what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slow_kneserney import SlowKneserNey
from textgan.errors import InputError
from textgan.grammar import entropy, sample
from textgan.metrics import LMScore, ModelNLL, NgramIndex, ReverseLMScore, Sets, Unmeasurable
from textgan.metrics.grammatical import GrammarCoverage, GrammarNLL, Grammaticality, divergence, reverse_divergence
from textgan.metrics.kneserney import KneserNey, Marked

LINES = st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(LINES, LINES, st.integers(1, 4))
def test_it_equals_its_slow_twin_for_seen_and_unseen_words(train: list, text: list, order: int) -> None:
    text = [*text, ["a", "new", "b"]]
    slow, (logs, tokens) = SlowKneserNey(train, order), KneserNey(train, order=order).log_probs(text)
    assert logs == pytest.approx([slow.log_prob(line) for line in text], abs=1e-9)
    assert tokens.tolist() == [len(line) + 1 for line in text]
    wide, real = SlowKneserNey(train, order, {"a", "new", "b"} | {w for line in text for w in line}), Marked(text)
    logs, _ = KneserNey.covering(train, real, order=order).log_probs(real)
    assert logs == pytest.approx([wide.log_prob(line) for line in text], abs=1e-9)


@pytest.mark.parametrize("context", [[], ["a"], ["a", "b"], ["b", "b"], ["new"]])
def test_the_words_after_any_context_sum_to_one(context: list[str]) -> None:
    model = KneserNey(["a b a", "b b c", "a b c a", "c"], order=3)

    def prob(words: list[str]) -> float:  # of the last word: log p(words, end) has two more factors than wanted
        slow = SlowKneserNey([line.split() for line in ["a b a", "b b c", "a b c a", "c"]], 3)
        marked = ["<s>", *words]
        return slow.prob(words[-1], tuple(marked[-3:-1]))

    assert model.order == 3
    total = sum(prob([*context, word]) for word in ["a", "b", "c", "</s>", "never seen"])
    assert total == pytest.approx(1.0, abs=1e-9)


def test_all_lines_of_an_enumerable_language_have_probability_below_one_in_sum() -> None:
    from itertools import product

    model = KneserNey(["a b", "b", "a", "b a"], order=2)
    lines = [list(words) for length in range(9) for words in product(["a", "b", "?"], repeat=length)]
    total = float(np.exp(model.log_probs(lines)[0]).sum())
    assert 0.9 < total < 1.0  # what is missing are lines of more than 8 words


def test_it_equals_nltk_where_both_define_the_same_model() -> None:
    # NLTK: bigrams, one discount, the words' own level without discount; so D = 0 there and .1 everywhere above
    from nltk.lm import KneserNeyInterpolated
    from nltk.lm.preprocessing import padded_everygram_pipeline

    train = [line.split() for line in ["a b a c", "b a", "c a b", "a a b c"]]
    theirs = KneserNeyInterpolated(2, discount=0.1)
    theirs.fit(*padded_everygram_pipeline(2, train))
    text = [line.split() for line in ["a b", "b c a", "c c", "a a a"]]
    logs, _ = KneserNey(train, order=2, discounts=[(0, 0, 0), (0.1, 0.1, 0.1)]).log_probs(text)
    for line, log in zip(text, logs, strict=True):
        marked = ["<s>", *line, "</s>"]
        expected = sum(math.log(theirs.score(marked[i], [marked[i - 1]])) for i in range(1, len(marked)))
        assert log == pytest.approx(expected, abs=1e-9)


def test_it_learns_the_grammar_and_more_text_helps() -> None:
    held_out = sample(300, 9)
    small, large = (KneserNey(sample(n, 1)).nll_per_token(held_out) for n in (100, 3000))
    assert large < small < math.log(150)


def test_no_line_or_order_zero_is_refused() -> None:
    with pytest.raises(InputError):
        KneserNey([])
    with pytest.raises(InputError, match="order is 0"):
        KneserNey(["a"], order=0)


def test_shuffled_words_are_less_fluent_and_cover_less() -> None:
    rng = np.random.default_rng(0)
    half = NgramIndex(sample(400, 1))
    fluent = Sets(NgramIndex(sample(400, 2)), half=half)
    shuffled = Sets(NgramIndex([rng.permutation(line.split()).tolist() for line in sample(400, 2)]), half=half)
    for metric in (LMScore(), ReverseLMScore()):
        assert metric.measure(shuffled) > metric.measure(fluent) + 0.5


def test_few_words_do_not_make_real_text_cheap() -> None:
    half = NgramIndex(sample(400, 1))
    real, *poor = (
        ReverseLMScore().measure(Sets(NgramIndex(lines), half=half))
        for lines in (sample(400, 2), ["x"] * 400, [sample(1, 2)[0]] * 400, sample(8, 2) * 50)
    )
    assert min(poor) > real + 0.5


def test_a_model_is_scored_over_tokens_not_over_padding() -> None:
    metric = ModelNLL(lambda lines: (np.array([-6.0, -2.0]), np.array([3, 1])), "a toy", label="NLL_oracle")
    sets = Sets(NgramIndex(["a b", ""]))
    assert metric.measure(sets) == pytest.approx(8 / 4)
    assert "|model:a toy|" in metric.score(sets).signature
    never = ModelNLL(lambda lines: (np.array([-np.inf]), np.array([1])), "one that excludes it")
    with pytest.raises(Unmeasurable, match="probability 0"):
        never.measure(Sets(NgramIndex(["a"])))


def test_grammar_metrics_tell_grammatical_from_broken_and_sharpened_text() -> None:
    lines = sample(400, 1)
    whole = Sets(NgramIndex(lines), reference=NgramIndex(sample(50, 2)))
    assert Grammaticality().measure(whole) == 1.0
    assert GrammarNLL().measure(whole) == pytest.approx(entropy(), abs=4 * GrammarNLL().standard_error(whole))
    broken = Sets(NgramIndex([*lines[:300], *(" ".join(reversed(line.split())) for line in lines[300:])]))
    assert Grammaticality().measure(broken) == 0.75
    likely = Sets(NgramIndex([min(lines, key=len)] * 400))
    assert GrammarNLL().measure(likely) < GrammarNLL().measure(whole)
    assert GrammarCoverage().measure(likely) < GrammarCoverage().measure(whole)
    with pytest.raises(Unmeasurable, match="not text of the embedded grammar"):
        Grammaticality().measure(Sets(NgramIndex(lines), reference=NgramIndex(["a b"])))


def test_few_grammatical_lines_have_no_interval_and_groups_are_not_parsed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from textgan import grammar
    from textgan.evaluation import evaluate

    lines = [f"no such line {i}" for i in range(97)] + sample(3, 1)
    found = evaluate(lines, sample(200, 2), metrics=[GrammarNLL(), Grammaticality()])
    assert found.scores[0].low is None
    assert found.verdicts.keys() == {"grammaticality"}
    calls = []
    monkeypatch.setattr(grammar, "log_prob", lambda line, known=grammar.log_prob: calls.append(line) or known(line))
    covered = evaluate(sample(100, 3), sample(200, 2), metrics=[GrammarCoverage()])
    assert covered.scores[0].low is not None
    assert 0 < len(calls) <= 200  # a line of the text and one of the real text each once, not once a group


def test_divergences_from_the_grammar_are_exact_for_a_known_model() -> None:
    from textgan.grammar import log_prob

    lines = sample(50, 1)
    halved = [log_prob(line) - math.log(2) for line in lines]  # a model that wastes half its probability
    assert reverse_divergence(halved, lines) == pytest.approx((math.log(2), 0.0), abs=1e-9)
    assert divergence([log_prob(line) for line in lines], lines) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert divergence([-1.0], ["not of the grammar"])[0] == math.inf
