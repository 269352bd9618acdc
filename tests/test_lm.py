"""Language models: exact likelihoods, honest training steps, samples from the whole distribution, safe loading."""

import json
import math
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textgan import grammar
from textgan.errors import InputError, NotFinite
from textgan.lm import Lm, finetune, line_nll, load_lm, nll, pretrain_small, write_text
from textgan.lm.feeding import Batches
from textgan.lm.likelihood import IGNORE, pieces
from textgan.lm.loading import quiet
from textgan.lm.training import Schedule, train
from textgan.text import encode, save_tokenizer, train_tokenizer

REAL, VALID, TEST = (grammar.sample(n, seed) for n, seed in ((200, 0), (40, 1), (40, 2)))


def make(folder: Path, lines: list[str], *, level: str = "words", context: int = 32, **sizes: Any) -> Lm:
    """A tiny random GPT-2 with a tokenizer for `lines`, written to `folder` and loaded again."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    save_tokenizer(train_tokenizer(lines, level=level, vocab_size=sizes.pop("vocab_size", None)), folder)
    vocab = len(AutoTokenizer.from_pretrained(folder))
    config = GPT2Config(vocab_size=vocab, n_positions=context, n_embd=16, n_layer=2, n_head=2,
                        bos_token_id=1, eos_token_id=2, pad_token_id=0, **sizes)  # fmt: skip
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(20)  # far from uniform, so that a wrong target shows
    with quiet():
        model.save_pretrained(folder)
    return load_lm(folder)


def by_hand(lm: Lm, line: str) -> list[float]:
    """-log p of each token of a line, each from a forward pass of its own over BOS and what came before."""
    ids = [1, *lm.tokenizer.encode(line, add_special_tokens=False), 2]
    with torch.no_grad():
        logits = [lm.model(torch.tensor([ids[:t]])).logits[0, -1].double() for t in range(1, len(ids))]
    for row in logits:
        row[lm.model.generation_config.suppress_tokens or []] = -math.inf  # what the model never writes
    return [-torch.log_softmax(row, -1)[ids[t + 1]].item() for t, row in enumerate(logits)]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Lm:
    return make(tmp_path_factory.mktemp("words"), REAL)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain_small(REAL, tmp_path_factory.mktemp("base"), layers=1, width=16, steps=30, tokens_per_step=128)


def flat(lm: Lm) -> Lm:
    """The same model with all weights 0: every token is equally likely."""
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.zero_()
    return lm


# Likelihood


def test_nll_is_the_sum_of_every_token_after_bos_eos_included(words: Lm) -> None:
    lines = ["a man", "a dog is sleeping in the snow .", "a"] + TEST[:3]
    expected = [x for line in lines for x in by_hand(words, line)]
    found = nll(words.model, words.tokenizer, lines)
    assert found.total == pytest.approx(sum(expected), rel=1e-5)
    assert found.tokens == len(expected) == sum(len(line.split()) + 1 for line in lines)
    figures = found.figures()
    assert figures["nll_per_token"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert figures["perplexity"] == pytest.approx(math.exp(np.mean(expected)), rel=1e-4)


def test_nll_of_a_generator_of_ours_is_its_own_log_probability(tmp_path: Path) -> None:
    """PAD and BOS, which it never writes, have no probability in either reading."""
    from textgan.generators import LSTM
    from textgan.runs import log_probs

    tokenizer = train_tokenizer(REAL)
    torch.manual_seed(0)
    generator = LSTM(8, 12).build(tokenizer.get_vocab_size(), 40).eval()
    generator.save(tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    lm = load_lm(tmp_path)
    data = encode(tokenizer, TEST)
    own, _ = log_probs(lambda tokens: generator.log_probs(tokens).double().sum(1), data, generator.chosen)
    assert nll(lm.model, lm.tokenizer, TEST).total == pytest.approx(-own.sum())
    assert line_nll(lm.model, lm.tokenizer, TEST) == pytest.approx(-own)  # in the lines' own order


def test_nll_is_measured_without_dropout_and_leaves_the_mode_alone(tmp_path: Path) -> None:
    lm = make(tmp_path, REAL, resid_pdrop=0.5, embd_pdrop=0.5)
    still = nll(lm.model, lm.tokenizer, TEST)
    lm.model.train()
    assert nll(lm.model, lm.tokenizer, TEST) == still
    assert lm.model.training


def test_nll_per_byte_counts_the_file_that_the_lines_make(tmp_path: Path) -> None:
    lines = ["\u6625 \u7720", "a\u2028b"]  # 3 + 1 + 3 bytes and a newline; 1 + 3 + 1 bytes and a newline
    lm = flat(make(tmp_path, lines, level="characters"))
    found = nll(lm.model, lm.tokenizer, lines)
    assert (found.bytes, found.tokens) == (8 + 6, 4 + 4)
    vocab = len(lm.tokenizer)
    assert found.total == pytest.approx(8 * math.log(vocab))
    assert found.figures()["nll_per_byte"] == pytest.approx(8 * math.log(vocab) / 14)
    assert found.figures()["perplexity"] == pytest.approx(vocab)


def test_a_line_longer_than_the_context_is_measured_whole_in_overlapping_windows(tmp_path: Path) -> None:
    lm = make(tmp_path, REAL, context=8)
    line = "a man and a dog are sleeping in the snow . two people"  # 13 words, 14 targets
    found = pieces(lm.model, lm.tokenizer, [line])
    # windows start at 0, 4, 8 with 8 inputs each (6 in the last); a window after the first predicts its later half
    assert [(len(p.inputs), p.first) for p in found] == [(8, 0), (8, 4), (6, 4)]
    whole = [1, *lm.tokenizer.encode(line, add_special_tokens=False), 2]
    targets = [t for p in found for t in p.targets[p.first :].tolist()]
    assert targets == whole[1:]
    expected = 0.0
    with torch.no_grad():
        for p in found:
            logs = torch.log_softmax(lm.model(torch.tensor(p.inputs)[None]).logits[0].double(), -1)
            expected -= sum(logs[t, p.targets[t]].item() for t in range(p.first, len(p.inputs)))
    measured = nll(lm.model, lm.tokenizer, [line])
    assert measured.total == pytest.approx(expected, rel=1e-5)
    assert measured.tokens == 14


def test_nll_does_not_depend_on_the_company_a_line_is_in(words: Lm) -> None:
    alone = sum(nll(words.model, words.tokenizer, [line]).total for line in TEST)
    assert nll(words.model, words.tokenizer, TEST).total == pytest.approx(alone, rel=1e-5)


def test_unknown_words_are_counted_as_such(words: Lm) -> None:
    # "zyx" and "qq" are unknown: 2 of 3 + 1 tokens
    assert nll(words.model, words.tokenizer, ["zyx a qq"]).unk_rate == 0.5
    assert nll(words.model, words.tokenizer, REAL).unk_rate == 0


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    lm = make(tmp_path, REAL)
    with torch.no_grad():
        lm.model.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(NotFinite, match="weights are broken"):
        nll(lm.model, lm.tokenizer, TEST)


# Steps of exactly so many tokens


def test_a_step_predicts_exactly_its_tokens_and_a_pass_predicts_each_target_once(words: Lm) -> None:
    found = pieces(words.model, words.tokenizer, REAL[:20])
    total = sum(len(p.inputs) for p in found)
    tokens = next(n for n in range(7, total) if total % n == 0)
    assert total // tokens > 1
    batches = Batches(found, steps=2 * total // tokens, tokens=tokens, seed=3)
    seen: Counter[tuple[int, ...]] = Counter()
    for step in range(len(batches)):
        batch = batches[step]
        assert int((batch["labels"] != IGNORE).sum()) == tokens
        columns = (batch[name].tolist() for name in ("input_ids", "attention_mask", "labels"))
        for ids, mask, labels in zip(*columns, strict=True):
            assert ids[0] == 1  # every row is one sentence from its BOS on, so its context is whole
            for t, label in enumerate(labels):
                if label != IGNORE:
                    assert mask[: t + 1] == [1] * (t + 1)
                    seen[*ids[: t + 1], label] += 1
    targets = Counter((*p.inputs[: t + 1].tolist(), int(p.targets[t])) for p in found for t in range(len(p.inputs)))
    assert seen == Counter({key: 2 * n for key, n in targets.items()})


def test_the_order_of_sentences_follows_from_the_seed_and_changes_every_pass(words: Lm) -> None:
    found = pieces(words.model, words.tokenizer, REAL[:20])
    total = sum(len(p.inputs) for p in found)
    one, same, other = (Batches(found, steps=2, tokens=total, seed=s).steps for s in (0, 0, 1))

    def order(steps: list[Any]) -> list[list[int]]:
        return [[id(part[0]) for part in parts] for parts in steps]

    assert order(one) == order(same)
    assert order(one) != order(other)
    assert order(one)[0] != order(one)[1]


def test_the_training_loss_is_the_nll_per_token_and_not_a_share_of_it(tmp_path: Path) -> None:
    """Trainer's own loss for GPT2LMHeadModel was (L-1)/L of it."""
    lm = make(tmp_path, REAL, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    before = nll(lm.model, lm.tokenizer, REAL[:20])
    schedule = Schedule(steps=1, tokens_per_step=before.tokens, lr=1e-4, seed=0, eval_every=1, patience=None)
    done = train(lm, REAL[:20], valid=[], schedule=schedule, scratch=tmp_path, stage="test")
    assert done.curve[-1]["loss"] == pytest.approx(before.figures()["nll_per_token"], rel=1e-5)


def test_a_text_whose_lines_pass_the_context_can_be_trained_on(tmp_path: Path) -> None:
    lm = make(tmp_path, REAL, context=8)
    schedule = Schedule(steps=3, tokens_per_step=50, lr=1e-3, seed=0, eval_every=1, patience=None)
    done = train(lm, [" ".join(REAL[:4])], valid=TEST[:2], schedule=schedule, scratch=tmp_path, stage="test")
    assert done.steps == 3


# Fine-tuning


def test_finetune_lowers_the_held_out_nll_and_says_all_about_it(base: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    done = finetune(
        base, REAL, valid=VALID, test=TEST, out=tmp_path, steps=20, tokens_per_step=100, on_progress=rows.append
    )
    assert done.nll_per_token < done.before["nll_per_token"]
    assert (done.steps, done.tokens, done.measured_on) == (20, 2000, "test")
    assert done.lm.startswith("small GPT-2 made here: 1 layers x 16, ")
    assert "pre-trained on 200 given lines (30 steps)" in done.lm
    assert done.perplexity == pytest.approx(math.exp(done.nll_per_token))
    known = set(REAL)
    assert done.overlap == {name: sum(x in known for x in lines) for name, lines in (("valid", VALID), ("test", TEST))}
    assert [row["step"] for row in rows] == list(range(21))
    assert all(row["stage"] == "fine-tuning" and row["steps"] == 20 for row in rows)
    assert [row["step"] for row in done.curve] == list(range(0, 21, 2))
    written = json.loads((tmp_path / "finetune.json").read_text())
    assert written == json.loads(json.dumps(done.to_json()))
    assert {"lm", "steps", "tokens", "nll_per_token", "nll_per_byte", "perplexity", "best_step"} <= written.keys()


def test_held_out_lines_in_the_training_text_are_counted_in_whatever_case_and_wherever_they_were_read(
    base: Path, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"steps": 1, "tokens_per_step": 100}
    valid = ["  Two CATS sleep .", "it rains .", "nobody came ."]
    done = finetune(base, [*REAL, "two cats sleep ."], valid=valid, out=tmp_path / "a", **how)
    assert done.overlap == {"valid": 1}
    read = {"base_text": [*REAL, "it rains ."], "base_steps": 1}
    done = finetune("small:1x16", [*REAL, "two cats sleep ."], valid=valid, out=tmp_path / "b", **read, **how)
    assert done.overlap == {"valid": 2}


def test_the_folder_is_a_hugging_face_model_with_the_reported_nll(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = finetune(base, REAL, valid=VALID, out=tmp_path, steps=5, tokens_per_step=100)
    with quiet():
        model, tokenizer = (auto.from_pretrained(tmp_path) for auto in (AutoModelForCausalLM, AutoTokenizer))
    assert nll(model, tokenizer, VALID).figures()["nll_per_token"] == pytest.approx(done.nll_per_token, abs=1e-9)
    assert done.measured_on == "valid"
    settings = model.generation_config
    assert (settings.do_sample, settings.top_k, settings.top_p, settings.eos_token_id) == (True, 0, 1.0, 2)
    assert load_lm(tmp_path).name == f"{done.lm}, fine-tuned before"
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix not in (".json", ".safetensors")) == []


def test_the_same_seed_gives_the_same_model_and_another_seed_another(base: Path, tmp_path: Path) -> None:
    def figures(seed: int, out: str) -> tuple[float, list[str]]:
        done = finetune(base, REAL, valid=VALID, out=tmp_path / out, steps=5, seed=seed, tokens_per_step=100)
        return done.nll_per_token, write_text(done.path, 5, seed=seed)

    assert figures(0, "a") == figures(0, "b")
    assert figures(0, "c") != figures(1, "d")


def test_a_model_that_is_there_is_not_written_over(base: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"valid": VALID, "steps": 2, "tokens_per_step": 50}
    finetune(base, REAL, out=tmp_path / "tuned", **how)
    with pytest.raises(InputError, match="tuned already holds a model; give another --out"):
        finetune(base, REAL[:20], out=tmp_path / "tuned", **how)
    with pytest.raises(InputError, match="tuned already holds another model"):
        finetune(base, REAL[:20], out=tmp_path / "tuned", resume=True, **how)
    assert finetune(base, REAL, out=tmp_path / "tuned", resume=True, **how).steps == 2  # the same one is done
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    for resume in (False, True):
        with pytest.raises(InputError, match="run already holds a run; give another --out"):
            finetune(base, REAL, out=tmp_path / "run", resume=resume, **how)


def test_training_and_writing_leave_the_callers_random_states_alone(base: Path, tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), torch.rand(()).item()  # noqa: NPY002

    def seed() -> None:
        random.seed(5), np.random.seed(5), torch.manual_seed(5)  # noqa: NPY002

    seed()
    expected = draw()
    seed()
    finetune(base, REAL, valid=VALID, out=tmp_path, steps=2, tokens_per_step=100)
    write_text(base, 3)
    assert draw() == expected


def test_the_weights_of_the_lowest_validation_nll_are_kept(base: Path, tmp_path: Path) -> None:
    """At this rate every step does harm, so the untuned weights are the best and come back unchanged."""
    harm: dict[str, Any] = {"steps": 6, "lr": 1.0, "eval_every": 2, "tokens_per_step": 100}
    done = finetune(base, REAL, valid=VALID, test=TEST, out=tmp_path, **harm)
    assert done.best_step == 0
    assert done.curve[-1]["valid_nll"] > done.curve[0]["valid_nll"]
    assert done.nll_per_token == done.before["nll_per_token"]


def test_patience_stops_a_training_that_does_not_gain(base: Path, tmp_path: Path) -> None:
    harm: dict[str, Any] = {"steps": 50, "lr": 1.0, "eval_every": 2, "tokens_per_step": 50}
    done = finetune(base, REAL, valid=VALID, out=tmp_path, patience=2, **harm)
    assert (done.steps, done.tokens) == (4, 200)


def test_a_loss_that_is_not_finite_stops_the_training_and_nothing_is_written(base: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match="lower lr 1e\\+30|weights are broken"):
        finetune(base, REAL, valid=VALID, out=tmp_path, steps=20, lr=1e30, eval_every=20, tokens_per_step=100)
    assert not list(tmp_path.glob("*"))


def test_small_is_made_from_the_text_and_the_result_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n".join(REAL))
    done = finetune("small:1x16", tmp_path / "t.txt", valid=VALID, out=tmp_path / "o", steps=2, base_steps=3)
    assert "1 layers x 16, " in done.lm
    assert "pre-trained on 200 lines of t.txt (3 steps)" in done.lm
    assert (tmp_path / "o/base/pretrained.json").is_file()


def test_a_generator_of_ours_is_a_language_model_too(tmp_path: Path) -> None:
    from textgan.generators import LSTM

    tokenizer = train_tokenizer(REAL)
    torch.manual_seed(0)
    LSTM(embedding=8, hidden=8, dropout=0.0).build(tokenizer.get_vocab_size(), 20).save(tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    lm = load_lm(tmp_path)
    found = nll(lm.model, lm.tokenizer, TEST[:5])
    assert found.total == pytest.approx(sum(x for line in TEST[:5] for x in by_hand(lm, line)), rel=1e-5)
    done = finetune(tmp_path, REAL, valid=VALID, out=tmp_path / "o", steps=3, lr=0.01, tokens_per_step=100)
    assert done.nll_per_token < done.before["nll_per_token"]


# Writing


def test_text_is_drawn_from_the_whole_distribution_and_not_from_the_top_50(tmp_path: Path) -> None:
    """A flat model over 400 words: 2,000 draws leave each out with chance 0.7 %; top-k 50 would show 50 of them."""
    lm = flat(make(tmp_path, [" ".join(f"w{i}" for i in range(400))]))
    lm.model.generation_config.top_k, lm.model.generation_config.top_p = 50, 0.5
    lines = write_text(lm, 100, max_tokens=20)
    assert len({word for line in lines for word in line.split()}) > 350


def test_the_end_of_a_sentence_is_learned(tmp_path: Path) -> None:
    text = ["a man", "two dogs are sleeping"] * 10
    folder = pretrain_small(text, tmp_path, layers=1, width=32, steps=150, lr=0.01, tokens_per_step=64)
    lines = write_text(folder, 100, max_tokens=60)
    assert sum(line in text for line in lines) >= 90


def test_temperature_sharpens(base: Path) -> None:
    cold, warm = (write_text(base, 50, temperature=t, max_tokens=12) for t in (0.05, 1.0))
    assert len(set(cold)) < len(set(warm))


def test_each_text_is_one_clean_line(tmp_path: Path) -> None:
    """A flat byte-level model writes every byte, newlines and control characters among them."""
    lm = flat(make(tmp_path, REAL, level="bpe", vocab_size=300))
    lines = write_text(lm, 30, max_tokens=30)
    assert len(lines) == 30
    assert not any(ord(c) < 32 and c != "\t" for line in lines for c in line)


# Loading, and what is refused


def test_weights_that_are_pickles_are_never_loaded(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "m"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError) as error:
        load_lm(folder)
    assert str(error.value) == (
        f"{folder}: only pickled weights (pytorch_model.bin), which can run code; give a folder with model.safetensors"
    )


def damage(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "config":
        config.write_text("{")
    elif how == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    elif how == "more layers":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"n_layer": 2}))
    elif how == "no eos":
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        del settings["eos_token"]
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    elif how == "remote code":
        auto = {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"}
        changed = {"model_type": "other", "auto_map": auto}
        config.write_text(json.dumps(json.loads(config.read_text()) | changed))
        (folder / "evil.py").write_text(f"open({str(folder / 'canary')!r}, 'w')")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", "cannot be loaded as a causal language model: "),
        ("config", "cannot be loaded as a causal language model: "),
        ("tokenizer", "cannot be loaded as a causal language model: "),
        ("more layers", "its weights lack 12 tensors (transformer.h.1.attn.c_attn.bias, ...); give the whole model"),
        ("no eos", "its tokenizer has no end-of-sentence token; give a model whose tokenizer has one"),
        ("remote code", "cannot be loaded as a causal language model: "),
    ],
)
def test_a_damaged_folder_is_one_line_of_error(base: Path, tmp_path: Path, how: str, said: str) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "m"))
    damage(folder, how)
    with pytest.raises(InputError) as error:
        load_lm(folder)
    assert str(error.value).startswith(f"{folder}: {said}")
    assert "\n" not in str(error.value)
    assert not (folder / "canary").exists()


HUB = (
    "no folder of that name here, and the hub did not give it (offline, or no such model); "
    'give a local model folder, or "small" for a GPT-2 made here'
)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lm": "no-such/model"}, f"no-such/model: {HUB}"),
        ({"lm": "small:2"}, "small:2: no such model; give small or small:LAYERSxWIDTH, as small:2x128"),
        ({"lm": "small:0x8"}, "small:0x8: no such model; give small or small:LAYERSxWIDTH, as small:2x128"),
        ({"steps": 0}, "steps 0 trains nothing; give 1 or more"),
        ({"eval_every": 0}, "eval_every 0 trains nothing; give 1 or more"),
        ({"patience": -1}, "patience -1 trains nothing; give 1 or more"),
        ({"tokens_per_step": 0}, "tokens_per_step 0 trains nothing; give 1 or more"),
        ({"lr": float("nan")}, "lr nan cannot train; give a number above 0, as 5e-5"),
        ({"lr": 0.0}, "lr 0.0 cannot train; give a number above 0, as 5e-5"),
        ({"device": "tpu"}, "--device tpu is not one of auto, cpu, cuda"),
        ({"device": "cuda"}, "--device cuda, but no CUDA device was found; give --device cpu"),
    ],
)
def test_bad_choices_are_one_line_of_error(base: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError) as error:
        finetune(**{"lm": base, "text": REAL, "valid": VALID, "out": tmp_path, **options})
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "n 0, batch 128 and max_tokens 128 must each be 1 or more"),
        ({"temperature": 0.0}, "temperature 0.0 cannot be sampled at; give a number above 0 (1 = as trained)"),
        ({"temperature": float("inf")}, "temperature inf cannot be sampled at; give a number above 0 (1 = as trained)"),
    ],
)
def test_bad_wishes_for_text_are_one_line_of_error(base: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        write_text(base, **{"n": 1, **options})
    assert str(error.value) == said


def test_other_bad_places_are_one_line_of_error(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    cases = {
        tmp_path: f"{tmp_path}: no config.json, so it is no model folder; give one with config.json and safetensors",
        tmp_path / "m.gguf": f"{tmp_path / 'm.gguf'}: reading GGUF needs the gguf package; pip install 'textgan[gguf]'",
    }
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for lm, said in cases.items():
        with pytest.raises(InputError) as error:
            load_lm(lm)
        assert str(error.value) == said
    with pytest.raises(InputError, match="there is no text to measure on; give valid, test or both"):
        finetune(base, REAL, out=tmp_path / "out")
    with pytest.raises(InputError, match=r"file/x: cannot be written \(Not a directory\); give a folder that can"):
        finetune(base, REAL, valid=VALID, out=tmp_path / "file/x")


@pytest.fixture(autouse=True)
def _silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing here may write to the terminal: progress goes through on_progress."""
    yield
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
