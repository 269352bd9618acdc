"""A language model of others as generator: the same probabilities under other ids, a run like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from textgan import Run, fit, grammar
from textgan.adoption import FOLDER, reordered
from textgan.batches import TextSettings
from textgan.cli import main
from textgan.errors import InputError
from textgan.generators import LSTM, CausalLM, Pretrained
from textgan.lm import finetune, load_lm, nll, pretrain_small
from textgan.lm.likelihood import pieces
from textgan.recipes import DPGAN, GAD, MLE, SentiGAN, TextGAIL
from textgan.runs import log_probs
from textgan.sequences import BOS, EOS, PAD
from textgan.text import encode

LINES = grammar.sample(120, seed=1)
SMALL = {"judge_steps": 2, "adversarial_steps": 2, "batch": 8}


def foreign(out: Path, *, tied: bool = True, context: int = 64) -> Path:
    """A GPT-2 as others make it: byte pairs, and one mark alone, at the end of the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    end = "<|endoftext|>"
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end)
    wrapped.save_pretrained(out)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(wrapped) + 3, n_positions=context, n_embd=16, n_layer=2, n_head=2, tie_word_embeddings=tied,
        bos_token_id=wrapped.bos_token_id, eos_token_id=wrapped.eos_token_id, initializer_range=0.3,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(out)
    return out


def gguf_file(path: Path, *, width: int = 16, inner: int = 32) -> Path:
    """A Llama of one layer as llama.cpp writes it, with the byte pairs of `foreign`."""
    gguf = pytest.importorskip("gguf")
    state = json.loads(Tokenizer.from_file(str(foreign(path.parent / "pairs") / "tokenizer.json")).to_str())
    words = sorted(state["model"]["vocab"] | {e["content"]: e["id"] for e in state["added_tokens"]}, key=len)
    end = words.index("<|endoftext|>")
    writer, rng = gguf.GGUFWriter(str(path), "llama"), np.random.default_rng(0)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(words))
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    square, narrow = (width, width), (width,)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(words), width), "output_norm": narrow}
    shapes |= dict.fromkeys(("blk.0.attn_norm", "blk.0.ffn_norm"), narrow)
    shapes |= dict.fromkeys(("blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v", "blk.0.attn_output"), square)
    shapes |= {"blk.0.ffn_gate": (inner, width), "blk.0.ffn_up": (inner, width), "blk.0.ffn_down": (width, inner)}
    for name, shape in shapes.items():
        values = np.ones(shape) if shape == narrow else rng.normal(0, 0.3, shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_generator_of_our_own_is_no_pretrained_one(tmp_path: Path) -> None:
    run = fit(MLE(mle_steps=1, batch=8, generator=LSTM(4, 4)), LINES, out=tmp_path / "run", progress=False)
    ours = MLE(mle_steps=1, batch=8, generator=Pretrained(str(run.path / "generator")))
    with pytest.raises(InputError, match="is a generator of textgan's own; give its run as --start"):
        fit(ours, LINES, out=tmp_path / "other", progress=False)


def test_a_gguf_file_plays_the_game_and_takes_adapters(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What it becomes is a folder like any other: it loads again with the same probabilities, and nothing is said."""
    path = gguf_file(tmp_path / "m.gguf")
    capfd.readouterr()
    run = train(MLE(mle_steps=2, batch=8, generator=Pretrained(str(path))), tmp_path / "run")
    again = Run.open(tmp_path / "run")
    assert np.array_equal(run.log_probs(LINES[:4])[0], again.log_probs(LINES[:4])[0])
    pytest.importorskip("peft")
    tuned = finetune(path, LINES[:40], valid=LINES[40:60], out=tmp_path / "lm", steps=2, lora=2)
    model, tokenizer, _ = load_lm(tmp_path / "lm", device="cpu")
    measured = nll(model, tokenizer, LINES[40:60]).figures()["nll_per_byte"]
    assert measured == pytest.approx(tuned.nll_per_byte, rel=1e-5)
    assert capfd.readouterr() == ("", "")


def train(recipe: Any, out: Path, **options: Any) -> Run:
    return fit(recipe, LINES, out=out, device="cpu", threads=1, progress=False, **options)


@pytest.mark.parametrize("tied", [True, False])
def test_other_ids_leave_every_probability_but_for_the_marks_that_are_never_written(tmp_path: Path, tied: bool) -> None:
    """Ours forbids PAD and BOS and adds UNK, each with at most the mean row's probability; the rest is the old one."""
    path = foreign(tmp_path / "lm", tied=tied)
    run = train(MLE(mle_steps=0, batch=8, generator=Pretrained(str(path))), tmp_path / "run")
    lm = load_lm(path, device="cpu")
    size, lines = len(lm.tokenizer), LINES[:20]
    theirs = []
    for piece in pieces(lm.model, lm.tokenizer, lines):
        logits = lm.model(torch.tensor(piece.inputs)[None]).logits[0, :, :size].double()
        taken = logits.log_softmax(-1).gather(1, torch.tensor(piece.targets)[:, None])
        mean = logits.softmax(-1).log().mean(-1).exp()  # of the mean row, at most: exp(mean log p)
        theirs.append((taken.sum().item(), len(piece.targets), mean.sum().item()))
    score, data = lambda x: run.generator.log_probs(x).double().sum(1), encode(run.tokenizer, lines)
    ours, tokens = log_probs(score, data, run.generator.chosen)
    for (logp, n, slack), found, count in zip(theirs, ours, tokens, strict=True):
        assert count == n
        assert logp - 2 * slack - 1e-3 <= found <= logp + 1e-3


def test_an_adopted_run_is_a_hugging_face_folder_with_marks_in_front_and_resumes(tmp_path: Path) -> None:
    path = foreign(tmp_path / "lm")
    recipe = TextGAIL(mle_steps=2, generator=Pretrained(str(path)), **SMALL)
    run = train(recipe, tmp_path / "run")
    assert run.settings["fields"]["generator"] == {"kind": "pretrained", "path": str(path)}
    assert run.settings["tokens"]["level"] == "pretrained"
    assert run.settings["pretrained"]["name"].startswith("local folder lm (gpt2")
    tokenizer = AutoTokenizer.from_pretrained(run.path / "generator")
    model = AutoModelForCausalLM.from_pretrained(run.path / "generator")
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (PAD, BOS, EOS)
    assert model.config.vocab_size == len(tokenizer) == run.generator.vocab_size
    assert [tokenizer.decode(tokenizer(line).input_ids, skip_special_tokens=True) for line in LINES[:9]] == LINES[:9]
    assert run.sample_text(5, seed=3) == train(recipe, tmp_path / "again").sample_text(5, seed=3)
    log = (run.path / "log.jsonl").read_text()
    assert train(recipe, tmp_path / "run", resume=True).sample_text(5, seed=3) == run.sample_text(5, seed=3)
    assert (run.path / "log.jsonl").read_text() == log


def test_a_small_gpt2_of_ours_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("\n".join(LINES) + "\n")
    pretrain_small(tmp_path / "text.txt", tmp_path / "lm", layers=1, width=16, steps=3, seed=0)
    flags = "--generator pretrained --mle_steps 0 --judge_steps 1 --adversarial_steps 1 --batch 8 --device cpu"
    line = f"train textgail {tmp_path / 'text.txt'} --out {tmp_path / 'run'} {flags} --generator.path {tmp_path / 'lm'}"
    assert main(line.split()) == 0, capsys.readouterr().err
    tokenizer = load_lm(tmp_path / "lm", device="cpu").tokenizer
    assert reordered(tokenizer)[1] == list(range(len(tokenizer)))
    assert main(["sample", str(tmp_path / "run"), "-n", "2"]) == 0
    assert (tmp_path / "run" / FOLDER / "model.safetensors").exists()


def test_labels_are_rows_behind_the_models_tokens(tmp_path: Path) -> None:
    path = foreign(tmp_path / "lm")
    labelled = [f"{'ab'[i % 2]}\t{line}" for i, line in enumerate(LINES)]
    recipe = SentiGAN(mle_steps=1, rollouts=1, generator=Pretrained(str(path)), **SMALL)
    run = fit(recipe, labelled, out=tmp_path / "run", device="cpu", threads=1, progress=False)
    assert run.generator.labels == 2 and len(run.sample_text(4, label="b")) == 4


@pytest.mark.parametrize("how", ["given", "3"])
def test_prompts_end_with_a_row_behind_the_models_tokens(how: str, tmp_path: Path) -> None:
    path = foreign(tmp_path / "lm")
    text = ["\t".join(line.split(" ", 1)) for line in LINES] if how == "given" else LINES
    recipe = GAD(mle_steps=1, group=8, generator=Pretrained(str(path)), **SMALL)
    settings = TextSettings(prompt=how)
    run = fit(recipe, text, out=tmp_path / "run", text=settings, device="cpu", threads=1, progress=False)
    assert run.generator.vocab_size == run.generator.mark + 1 == run.tokenizer.get_vocab_size()
    assert all(line.startswith("a man") for line in run.sample_text(6, prompts=["a man"]))
    assert how != "given" or all(line.startswith(tuple(x.split()[0] for x in LINES)) for line in run.sample_text(6))


def test_what_cannot_be_adopted_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = str(foreign(tmp_path / "lm")), "--generator.path: a folder or a name on the hub"

    def refused(match: str, recipe: Any, corpus: Any = LINES, **options: Any) -> None:
        with pytest.raises(InputError, match=match):
            fit(recipe, corpus, out=tmp_path / "run", device="cpu", progress=False, **options)

    from textgan.batches import TextSettings

    refused(other, MLE(generator=Pretrained()))
    refused("no folder of that name here", MLE(generator=Pretrained(str(tmp_path / "nothing"))))
    refused("leave --tokens, --vocab_size and --min_count out", MLE(generator=Pretrained(path)),
            text=TextSettings(tokens="characters"))  # fmt: skip
    refused("--max_len 80 must be at most 63", MLE(generator=Pretrained(path)), text=TextSettings(max_len=80))
    refused("give both the same path", DPGAN(generator=LSTM(), judge=Pretrained(path)))
    refused("no pretrained generator speaks", MLE(generator=Pretrained(path)), "oracle:20:4@random-9x4-0")
    line = f"train {{}} grammar:50 --out {tmp_path / 'x'} --generator pretrained --generator.path {path}"
    for recipe, only in (("leakgan", "leak"), ("maskgan", "infill")):
        assert main(line.format(recipe).split()) == 1
        assert f"{recipe} plays with --generator {only} alone" in capsys.readouterr().err


def test_another_model_after_a_start_that_failed_is_the_one_that_is_trained(tmp_path: Path) -> None:
    """The first leaves RUN/adopted and no run."""
    wide, narrow = foreign(tmp_path / "wide"), foreign(tmp_path / "narrow", tied=False)
    with pytest.raises(InputError, match="must be at most 63"):
        fit(MLE(mle_steps=1, generator=Pretrained(str(wide))), LINES, out=tmp_path / "run", device="cpu",
            text=TextSettings(max_len=80), progress=False)  # fmt: skip
    run = train(MLE(mle_steps=1, generator=Pretrained(str(narrow)), batch=8), tmp_path / "run")
    assert run.settings["pretrained"]["name"].startswith("local folder narrow")
    assert not run.generator.model.config.tie_word_embeddings and "path" not in run.settings["pretrained"]


@pytest.mark.parametrize("kind", ["Gemma2", "XGLM"])
def test_a_model_whose_embedding_scales_is_the_same_in_the_game(kind: str) -> None:
    import transformers

    sizes = {
        "Gemma2": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                   "num_key_value_heads": 1, "head_dim": 8},
        "XGLM": {"d_model": 16, "ffn_dim": 16, "num_layers": 1, "attention_heads": 2},
    }[kind]  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=30, max_position_embeddings=32, **sizes)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    generator = CausalLM(model, 30, 12).eval()
    generator.check_past()
    tokens = torch.randint(4, 30, (3, 9))
    with torch.no_grad():
        theirs = model(input_ids=torch.cat([torch.full((3, 1), BOS), tokens[:, :-1]], 1)).logits.log_softmax(-1)
        one_hot = torch.nn.functional.one_hot(tokens, 30).float()
        soft, hard = generator._embed(one_hot), generator._embed(tokens)
    assert torch.allclose(soft, hard, atol=1e-5)
    wanted = theirs.gather(2, tokens[..., None]).squeeze(2)
    allowed = theirs.exp()[..., [i for i in range(30) if i not in (PAD, BOS)]].sum(-1).log()  # marks are never written
    assert torch.allclose(generator.log_probs(tokens).detach(), wanted - allowed, atol=1e-4)


def test_a_model_whose_past_is_not_keys_and_values_is_refused() -> None:
    """It was sampled without its past, in silence."""
    from transformers import MambaConfig, MambaForCausalLM, OpenAIGPTConfig, OpenAIGPTLMHeadModel

    torch.manual_seed(0)
    old = OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=30, n_positions=16, n_embd=16, n_layer=1, n_head=2))
    state = MambaForCausalLM(MambaConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, state_size=4))
    for model in (old, state):
        with pytest.raises(InputError, match=f"a {type(model).__name__} cannot be sampled here: its past is not keys"):
            CausalLM(model.eval(), 30, 8).check_past()
