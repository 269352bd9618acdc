"""Frechet, MAUVE, precision and recall, and Vendi equal closed forms, brute force and the reference libraries."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from textgan.errors import InputError
from textgan.evaluation import Reference, evaluate
from textgan.grammar import sample
from textgan.metrics import (
    BLEU,
    Coverage,
    Density,
    Duplicates,
    Frechet,
    Mauve,
    Metric,
    NgramIndex,
    NgramVendi,
    Precision,
    Recall,
    SelfBLEU,
    Sets,
    Unmeasurable,
    Vendi,
)
from textgan.metrics.clusters import k_means, mauve
from textgan.metrics.embeddings import frechet_distance
from textgan.metrics.encoders import LSA, Function, HuggingFace, as_encoder
from textgan.metrics.intervals import standard_errors

RNG = np.random.default_rng(0)


def cloud(n: int, d: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(n + d).standard_normal((n, d)) @ np.diag(np.linspace(0.5, 2, d)) + shift


def sets_of(text: np.ndarray, real: np.ndarray) -> Sets:
    """Sets whose lines are row numbers and whose encoder looks the rows up."""
    rows = {f"t {i}": row for i, row in enumerate(text)} | {f"r {i}": row for i, row in enumerate(real)}
    encoder = Function(lambda lines: np.array([rows[line] for line in lines]), "a table")
    lines = list(rows)
    return Sets(NgramIndex(lines[: len(text)]), half=NgramIndex(lines[len(text) :]), encoder=encoder)


def test_frechet_equals_the_square_root_of_the_matrix_product() -> None:
    from scipy.linalg import sqrtm

    one, other = cloud(200, 6), cloud(150, 6, 0.3) @ np.linalg.qr(RNG.standard_normal((6, 6)))[0]
    first, second = np.cov(one.T), np.cov(other.T)
    gap = one.mean(0) - other.mean(0)
    expected = gap @ gap + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet_distance(one, other) == pytest.approx(expected, abs=1e-8)


def test_frechet_of_a_shifted_cloud_is_the_squared_shift() -> None:
    one = cloud(300, 4)
    assert frechet_distance(one, one + 2.0) == pytest.approx(4 * 4.0)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)
    flat = np.ones((50, 4))  # no spread at all: singular covariances
    assert frechet_distance(flat, flat + 1) == pytest.approx(4.0)


def test_mauve_of_equal_and_of_disjoint_histograms() -> None:
    p = np.array([3.0, 1.0, 4.0])
    assert mauve(p, p, 5.0) == pytest.approx(1.0)
    # disjoint: KL(q, r) = -log(1 - w), so the curve is ((1 - w)^5, w^5): far below the diagonal
    assert mauve(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 5.0) < 0.01
    assert mauve(p, p[::-1], 5.0) == pytest.approx(mauve(p[::-1], p, 5.0))


def test_mauve_equals_mauve_text_on_the_same_histograms() -> None:
    library = pytest.importorskip("mauve.compute_mauve", reason="mauve-text (GPLv3, optional) is not installed")
    for k in (5, 50):
        p, q = RNG.dirichlet(np.ones(k)), RNG.dirichlet(np.ones(k))
        weights = np.linspace(1e-6, 1 - 1e-6, 25)
        curve = library.get_divergence_curve_for_multinomials(p, q, weights, 5)
        x, y = curve.T
        by_x, by_y = np.argsort(x), np.argsort(y)
        theirs = 0.5 * (np.trapezoid(y[by_x], x[by_x]) + np.trapezoid(x[by_y], y[by_y]))
        assert mauve(p, q, 5.0) == pytest.approx(theirs, abs=1e-6)


def rings(n: int, seed: int) -> np.ndarray:
    """(n, 2) draws of one distribution: three clouds of unlike weight."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) + rng.choice(3, size=n, p=[0.6, 0.3, 0.1])[:, None] * 4.0


@pytest.mark.parametrize("metric", [Mauve(added=0.5), Recall(3), Coverage(3), Frechet()], ids=lambda m: m.name)
def test_the_error_of_a_set_of_vectors_is_the_spread_over_independent_sets(metric: Metric) -> None:
    real = rings(200, 999)
    found = [sets_of(rings(200, seed), real) for seed in range(40)]
    true = np.std([metric.measure(sets) for sets in found], ddof=1)
    claimed = np.mean([standard_errors([metric], sets)[metric] for sets in found[:6]])
    assert 0.6 < claimed / true < 2.0  # 40 sets know a spread to 11 %; the jackknife errs on the wide side


def test_mauve_sees_a_missing_mode() -> None:
    real = np.concatenate([cloud(150, 3, 5.0), cloud(150, 3, -5.0)])
    same = np.concatenate([cloud(149, 3, 5.0), cloud(151, 3, -5.0)])
    assert Mauve().measure(sets_of(cloud(300, 3, 5.0), real)) < 0.6 < Mauve().measure(sets_of(same, real))


def test_k_means_finds_separate_clouds_and_equal_rows() -> None:
    rows = np.concatenate([cloud(40, 3) * 0.1 + centre for centre in (0, 10, 20)])
    label = k_means(rows, 3, 0)
    assert [len(set(part)) for part in np.split(label, 3)] == [1, 1, 1]
    assert len(set(label)) == 3
    assert len(k_means(np.zeros((7, 2)), 3, 0)) == 7


def test_precision_recall_density_and_coverage_equal_brute_force() -> None:
    text, real, k = cloud(60, 3, 0.5), cloud(50, 3), 3

    def radius(points: np.ndarray, i: int) -> float:
        return float(np.sort(np.linalg.norm(points - points[i], axis=1))[k])

    distance = np.linalg.norm(text[:, None] - real[None], axis=2)
    in_real = np.array([[distance[i, j] <= radius(real, j) for j in range(50)] for i in range(60)])
    in_text = np.array([[distance[i, j] <= radius(text, i) for j in range(50)] for i in range(60)])
    sets = sets_of(text, real)
    assert Precision(k).measure(sets) == pytest.approx(in_real.any(1).mean())
    assert Recall(k).measure(sets) == pytest.approx(in_text.any(0).mean())
    assert Density(k).measure(sets) == pytest.approx(in_real.sum() / (k * 60))
    assert Coverage(k).measure(sets) == pytest.approx(in_real.any(0).mean())


def test_ngram_vendi_counts_lines_that_share_no_word_and_equals_its_kernel() -> None:
    apart = ["a b", "c d", "e f", "g h"]
    assert NgramVendi().measure(Sets(NgramIndex(apart))) == pytest.approx(4.0)
    assert NgramVendi().measure(Sets(NgramIndex(["a b c"] * 7))) == pytest.approx(1.0)
    assert NgramVendi().measure(Sets(NgramIndex(["a", "b"]))) == pytest.approx(2.0)  # no bigram: unlike each other
    # "a b" and "a c": cosine 1/2 of words, 0 of bigrams, so K = [[1, 1/4], [1/4, 1]] and K / 2 has 5/8 and 3/8
    expected = np.exp(-(5 / 8 * np.log(5 / 8) + 3 / 8 * np.log(3 / 8)))
    assert NgramVendi().measure(Sets(NgramIndex(["a b", "a c"]))) == pytest.approx(expected)
    assert NgramVendi(lines=2).measure(Sets(NgramIndex(apart))) == pytest.approx(2.0)


def test_vendi_counts_orthogonal_kinds() -> None:
    kinds = np.eye(6)
    assert Vendi().measure(sets_of(kinds, kinds)) == pytest.approx(6.0)
    assert Vendi().measure(sets_of(kinds[[0] * 9 + [1] * 9], kinds)) == pytest.approx(2.0)
    assert Vendi().measure(sets_of(kinds[[0] * 9], kinds)) == pytest.approx(1.0)
    wide, tall = cloud(5, 20), cloud(20, 5)
    for rows in (wide, tall):  # both forms have the eigenvalues of the kernel
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        values = np.linalg.eigvalsh(unit @ unit.T / len(rows))
        values = values[values > 1e-12]
        assert Vendi().measure(sets_of(rows, wide)) == pytest.approx(np.exp(-(values * np.log(values)).sum()))


def test_too_few_lines_have_no_value_and_say_why() -> None:
    with pytest.raises(Unmeasurable, match="5 nearest"):
        Precision(5).measure(sets_of(cloud(4, 2), cloud(9, 2)))
    with pytest.raises(Unmeasurable, match="20 lines"):
        Mauve().measure(sets_of(cloud(9, 2), cloud(9, 2)))


def test_the_offline_encoder_is_reproducible_and_tells_texts_apart() -> None:
    lines = sample(300, 1)
    one, other = LSA(lines), LSA(lines)
    assert np.array_equal(one(lines[:20]), other(lines[:20]))
    vectors = one([lines[0], lines[0], "xyzzy plugh"])
    assert vectors[0] @ vectors[1] == pytest.approx(1.0)
    assert np.linalg.norm(vectors[2]) == pytest.approx(1.0) and abs(vectors[2] @ vectors[0]) < 0.2
    with pytest.raises(InputError, match="give more reference text"):
        LSA(["a", "b"])


def test_an_encoder_is_a_folder_or_a_function_and_is_named_in_the_signature(tmp_path: object) -> None:
    with pytest.raises(InputError, match="config.json is missing"):
        HuggingFace(str(tmp_path))
    with pytest.raises(InputError, match=r"gave \(2,\) for 2 lines"):
        as_encoder(Function(lambda lines: np.zeros(len(lines)), "zeros"))(["a", "b"])
    with pytest.raises(InputError, match="give Function"):
        as_encoder(lambda lines: np.zeros((len(lines), 2)))

    def lengths(lines: list[str]) -> np.ndarray:
        return np.array([[len(line), line.count("a")] for line in lines], dtype=float)

    found = evaluate(sample(80, 1), sample(80, 2), metrics="Frechet", encoder=lengths).scores[0]
    assert found.signature.endswith("|encoder:lengths")
    assert found.n == 40


def test_all_metrics_of_a_small_text_are_finite_and_the_reference_is_encoded_once() -> None:
    calls: list[int] = []

    def encoder(lines: list[str]) -> np.ndarray:
        calls.append(len(lines))
        return np.array([[len(line), line.count("a"), line.count("e")] for line in lines], dtype=float)

    reference = Reference(sample(120, 2), train=sample(120, 3), encoder=encoder)
    for seed in (0, 1):
        evaluation = evaluate(sample(120, 4 + seed), reference, metrics="all", groups=4)
        json.dumps(evaluation.to_json(), allow_nan=False)
    assert len(calls) <= 5  # the half, each text, and real text: never again for a group
    assert "MAUVE wants at least 5000 lines of each text and has 60: it is biased" in evaluation.notes


def test_frechet_of_shuffled_topics_is_above_the_floor() -> None:
    evaluation = evaluate(
        [line.replace("a ", "some odd ") for line in sample(400, 1)], sample(400, 2), metrics="Frechet"
    )
    assert evaluation.verdicts == {"Frechet": "unlike real text"}
    assert evaluation.scores[0].value > 1.5 * evaluation.real[0].value


def test_a_hugging_face_folder_pools_over_real_tokens_only(tmp_path: object) -> None:
    transformers = pytest.importorskip("transformers")
    from textgan.text import save_tokenizer, train_tokenizer

    lines = sample(50, 1)
    tokenizer = train_tokenizer(lines)
    save_tokenizer(tokenizer, tmp_path)
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    transformers.BertModel(config).eval().save_pretrained(str(tmp_path))
    encoder = HuggingFace(str(tmp_path))
    together, alone = encoder(lines[:5]), np.concatenate([encoder([line]) for line in lines[:5]])
    assert together == pytest.approx(alone, abs=1e-5)  # padding beside a longer line changes nothing


def test_made_up_words_are_far_from_real_text_for_the_offline_encoder() -> None:
    """They used to be invisible: a line of them alone stood in the midst of the real ones."""
    rng = random.Random(0)
    real, text = sample(600, 1), sample(300, 2)

    def spoilt(line: str) -> str:
        return " ".join("".join(rng.choices("bcdfgklm", k=6)) if rng.random() < 0.5 else word for word in line.split())

    found = {
        name: {score.name: score for score in evaluate(lines, real, metrics="precision,density").scores}
        for name, lines in (("real", text), ("spoilt", [*map(spoilt, text)]))
    }
    assert found["real"]["precision"].value > 0.9
    assert found["spoilt"]["precision"].value < 0.6 and found["spoilt"]["density"].value < 0.4


def test_what_a_sentence_transformers_folder_says_of_itself_is_done(tmp_path: Path) -> None:
    import transformers

    folder = tmp_path / "encoder"
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=20, **sizes)).save_pretrained(folder)
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdef"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    plain = HuggingFace(folder)
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Normalize")]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 3}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    told = HuggingFace(folder)
    assert np.linalg.norm(told(["a b c"])[0]) == pytest.approx(1) != np.linalg.norm(plain(["a b c"])[0])
    assert np.allclose(told(["a b c"]), told(["a b c d e"])) and plain.name != told.name
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": false}')
    with pytest.raises(InputError, match="pools otherwise than by the mean"):
        HuggingFace(folder)


def test_the_error_of_ngram_vendi_is_its_spread() -> None:
    """Of 100 lines drawn of 600; groups of all lines would hold unlike numbers of the drawn ones."""
    metric = NgramVendi(lines=100)
    sets = [Sets(NgramIndex(sample(600, 50 + seed)), seed=seed) for seed in range(25)]
    spread = np.std([metric.measure(one) for one in sets], ddof=1)
    error = np.mean([metric.standard_error(one) for one in sets[:6]])
    assert 0.5 * spread < error < 1.7 * spread


def test_settings_that_there_is_one_of_cannot_be_given_otherwise() -> None:
    for make in (lambda: BLEU(smoothing="method3"), lambda: SelfBLEU(hypothesis="x"), lambda: Mauve(buckets="500")):
        with pytest.raises(TypeError):
            make()
    one, other = (evaluate(sample(80, 1), Reference(sample(80, 2), seed=seed), metrics="Frechet") for seed in (0, 1))
    assert one.scores[0].signature != other.scores[0].signature  # the half that it is compared with is another
    assert "|half-seed:0" in one.scores[0].signature


def test_no_repeated_line_is_no_certainty() -> None:
    error = Duplicates().standard_error(Sets(NgramIndex([f"line {i}" for i in range(400)])))
    assert error is not None and 0.002 < error < 0.01
