"""The grammar's numbers are the truth that others are measured against, so they are proved here, not sampled."""

import itertools
import math
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from textgan import grammar
from textgan.errors import InputError

# Straight from the table, so that the tests do not lean on the parser that they test.
RULES = grammar._rules()


@cache
def _futures(stack: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """Leftmost expansion until a word stands first: stack -> in how many ways."""
    if not stack or stack[0] not in RULES:
        return Counter([stack])
    return sum((_futures(body + stack[1:]) for _, body in RULES[stack[0]]), Counter())


@cache
def _count_sentences(state: frozenset[tuple[str, ...]]) -> int:
    """Distinct sentences of a state of the determinised grammar; fails where two derivations share words and future."""
    by_word: dict[str, Counter[tuple[str, ...]]] = {}
    for stack in state:
        for future, ways in _futures(stack).items():
            if future:
                by_word.setdefault(future[0], Counter())[future[1:]] += ways
    assert all(ways == 1 for futures in by_word.values() for ways in futures.values()), by_word
    return (() in state) + sum(_count_sentences(frozenset(futures)) for futures in by_word.values())


def _derive(stack: tuple[str, ...]) -> list[tuple[float, tuple[str, ...]]]:
    """Every derivation of a stack of symbols, with its probability."""
    if not stack:
        return [(1.0, ())]
    heads = [(1.0, stack[:1])]
    if stack[0] in RULES:
        heads = [(p * q, words) for p, body in RULES[stack[0]] for q, words in _derive(body)]
    return [(p * q, head + tail) for p, head in heads for q, tail in _derive(stack[1:])]


def test_alternatives_sum_to_one_and_lead_to_words() -> None:
    for name, bodies in RULES.items():
        assert math.fsum(p for p, _ in bodies) == pytest.approx(1, abs=1e-12), name
        assert all(p > 0 and body for p, body in bodies), name
    words = grammar.vocabulary()
    assert 150 <= len(words) <= 300
    assert [w for w in words if not re.fullmatch(r"[a-z]+|[.,]", w)] == []  # a name without rules would be left over
    used = {symbol for bodies in RULES.values() for _, body in bodies for symbol in body}
    assert set(RULES) - used == {"S"}


def test_the_grammar_is_unambiguous_so_derivations_are_sentences() -> None:
    # A determinised walk over all prefixes counts distinct strings; the recursion over rules counts derivations.
    assert _count_sentences(frozenset([("S",)])) == grammar.derivations() > 10**9


@pytest.mark.parametrize(
    ("path", "part", "size"),
    [
        (  # 5 single things, 5 * 4 pairs, 5 * 4 * 3 triples
            [("S", "Still ."), ("Still", "Room[bedroom]"),
             ("Room[bedroom]", "there is Hall[bedroom] with Items[bedroom]"), ("Hall[bedroom]", "a clean bedroom")],
            "there is a clean bedroom with Items[bedroom] .",
            5 + 20 + 60,
        ),
        (  # 3 nouns, 4 prepositions, 6 marks with a or the, an umbrella, 6 counts of 6 crowds, 4 seats
            [("S", "People ."), ("People", "Scene[f]"), ("Scene[f]", "Who[f] Mod[f] Do[fin,f]"), ("Who[f]", "the N[f]"),
             ("Mod[f]", "who is Near"), ("Do[fin,f]", "sits Seat")],
            "the N[f] who is Near sits Seat .",
            3 * 4 * (6 * 2 + 1 + 6 * 6) * 4,
        ),
    ],
)  # fmt: skip
def test_log_prob_over_an_enumerated_part_of_the_language_is_exact_and_sums_to_its_probability(
    path: list[tuple[str, str]], part: str, size: int
) -> None:
    share = math.prod(next(p for p, b in RULES[name] if b == tuple(body.split())) for name, body in path)
    sentences = _derive(tuple(part.split()))
    assert len({words for _, words in sentences}) == len(sentences) == size
    for p, words in sentences:
        assert grammar.log_prob(" ".join(words)) == pytest.approx(math.log(p * share), abs=1e-12)
    total = math.fsum(math.exp(grammar.log_prob(" ".join(words))) for _, words in sentences)
    assert total == pytest.approx(share, rel=1e-12)


def test_log_prob_equals_nltks_inside_chart_parser() -> None:
    from nltk.parse import InsideChartParser

    parser = InsideChartParser(grammar.pcfg())
    short = sorted(grammar.sample(100, seed=3), key=len)[:12]
    long = ["two girls fly red and blue kites .", "a train that is near the bus travels down the tracks ."]
    for sentence in short + long:
        trees = list(parser.parse(sentence.split()))
        assert len(trees) == 1
        assert grammar.log_prob(sentence) == pytest.approx(math.log(sum(t.prob() for t in trees)), abs=1e-9)


def test_entropy_and_mean_length_are_those_of_the_samples() -> None:
    sentences = grammar.sample(4000, seed=11)
    for exact, values in [
        (grammar.entropy(), [-grammar.log_prob(s) for s in sentences]),
        (grammar.mean_length(), [len(s.split()) for s in sentences]),
    ]:
        assert abs(statistics.fmean(values) - exact) < 4 * statistics.stdev(values) / math.sqrt(len(values))


def test_entropy_of_a_small_part_equals_the_sum_over_its_sentences() -> None:
    # -sum p log p over every derivation of a symbol, against the recursion over rules.
    for symbol in ("Tail[n]", "Hall[kitchen]", "Near", "Foods"):
        probs = [p for p, _ in _derive((symbol,))]
        count, nats, _ = grammar._facts(symbol)
        assert count == len(probs)
        assert nats == pytest.approx(-math.fsum(p * math.log(p) for p in probs), abs=1e-12)


def test_next_words_chain_to_log_prob_and_sum_to_one() -> None:
    for sentence in grammar.sample(50, seed=5):
        words, total = sentence.split(), 0.0
        for i, word in enumerate([*words, ""]):
            probs = grammar.next_words(" ".join(words[:i]))
            assert math.fsum(probs.values()) == pytest.approx(1, abs=1e-12)
            total += math.log(probs[word])
        assert total == pytest.approx(grammar.log_prob(sentence), abs=1e-9)
    assert grammar.next_words("a man is .") == {}


def test_samples_are_in_the_language_and_shaped_like_captions() -> None:
    sentences = grammar.sample(5000, seed=2)
    assert all(grammar.accepts(s) for s in sentences)
    assert all(s.endswith(" .") and s == s.lower() == " ".join(s.split()) for s in sentences)
    lengths = [len(s.split()) for s in sentences]
    assert min(lengths) >= 5
    assert statistics.fmean(5 <= n <= 18 for n in lengths) > 0.99
    assert len(set(sentences)) > 0.9 * len(sentences)
    counts = sorted(Counter(w for s in sentences for w in s.split()).values(), reverse=True)
    assert sum(counts[:10]) > 0.4 * sum(counts)  # a few words are half of the text
    assert sum(c < 0.001 * sum(counts) for c in counts) > 50  # and many are rare


def test_a_shorter_sample_is_a_prefix_of_a_longer_one_and_seeds_differ() -> None:
    assert grammar.sample(1000, seed=7)[:10] == grammar.sample(10, seed=7)
    assert grammar.sample(10, seed=7) != grammar.sample(10, seed=8)
    assert grammar.sample(0) == []


def test_samples_are_the_same_in_another_process_and_stay_what_they_were() -> None:
    code = "from textgan import grammar; print(*grammar.sample(3), sep='\\n')"
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert printed.splitlines() == grammar.sample(3) == GOLDEN


GOLDEN = [
    "a black and brown plane is flying through the sky .",
    "several cows are sleeping by the water .",
    "a big boat is floating down the river .",
]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("two women who are near a bus wait for a train .", "two women who are near a bus waits for a train ."),
        ("the man who is next to the fence eats pizza .", "the man who is next to the fence eat pizza ."),
        ("a dog that is behind four cows runs up a hill .", "a dog that is behind four cows run up a hill ."),
        ("a girl in a red coat walks her dog .", "a girl in a red coat walks his dog ."),
        ("a boy is sitting on the grass with his dog .", "a boy is sitting on the grass with her dog ."),
        ("a lady reads a book as she talks on a phone .", "a lady reads a book as he talks on a phone ."),
        ("two men ride a wave as they wait for a bus .", "two men ride a wave as they waits for a bus ."),
        ("a man flying a red , blue and green kite .", "a man flying a red , blue and red kite ."),
        ("a man flying a blue and red kite .", "a man flying a blue and blue kite ."),
        ("a kitchen with a stove , an oven and a sink .", "a kitchen with a stove , a bed and a sink ."),
        ("there are three dogs eating grass .", "there is three dogs eating grass ."),
        ("an old man standing under a tree .", "a old man standing under a tree ."),
    ],
)
def test_agreement_at_a_distance_decides_what_is_a_sentence(right: str, wrong: str) -> None:
    assert grammar.accepts(right)
    assert grammar.log_prob(right) > -math.inf
    assert not grammar.accepts(wrong)
    assert grammar.log_prob(wrong) == -math.inf


@pytest.mark.parametrize("sentence", ["", ".", "a man", "a man eating pizza . .", "<unk> .", "A man eating pizza ."])
def test_what_is_no_sentence_has_probability_zero(sentence: str) -> None:
    assert not grammar.accepts(sentence)
    assert grammar.log_prob(sentence) == -math.inf


def test_no_list_names_a_thing_twice() -> None:
    for name in grammar.LISTS:
        for _, words in _derive((name,)):
            items = re.split(" , | and ", " ".join(words))
            assert len(set(items)) == len(items) <= 3
    singles = len(grammar.LISTS["Colours"].split())
    assert grammar._facts("Colours")[0] == sum(math.perm(singles, k) for k in (1, 2, 3))


def test_every_probability_of_the_table_is_a_plain_number() -> None:
    assert all(isinstance(p, float) for p, _ in itertools.chain(*RULES.values()))


@pytest.mark.parametrize("arguments", [{"n": -1}, {"n": 1, "seed": -1}])
def test_negative_arguments_are_refused_in_one_line(arguments: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"^grammar\.sample got n=-?\d+, seed=-?\d+; both must be 0 or more$"):
        grammar.sample(**arguments)
