"""Fine-tuning a language model on a text, and making a small one where none is at hand."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from textgan.checkpoints import checkpoints, forget, locked
from textgan.errors import InputError
from textgan.lm.adapters import LR as LORA_LR
from textgan.lm.adapters import adapted, merged
from textgan.lm.feeding import Feed
from textgan.lm.likelihood import nll
from textgan.lm.loading import Lm, count_parameters, load_lm, save_lm, settle
from textgan.lm.training import plan, seeded, train
from textgan.lm.watching import Progress, Saving
from textgan.machine import check_precision, pick_device
from textgan.text import Text, folded, make_folder, read_text, save_tokenizer, train_tokenizer

Source = str | Path | Sequence[str] | Text
MADE_HERE = "small GPT-2 made here"
SMALL = re.compile(r"small(?::(\d+)x(\d+))?")
STEER = 2000  # first lines of the validation text, which choose the step; more cost more than training a small model
DEFINITIONS = {
    "nll_per_token": "summed -log p (nats) of all tokens of the held-out lines, each line after BOS and with its EOS, "
    "divided by the tokens, EOS included",
    "nll_per_byte": "the same sum divided by the UTF-8 bytes of the lines, with one newline each (what EOS stands for)",
    "perplexity": "exp(nll_per_token)",
}


class FineTuned(NamedTuple):
    """A fine-tuned model and its held-out figures.

    path: a Hugging Face folder. lm: which model was fine-tuned, in plain words. steps, tokens: optimiser steps done and
    tokens predicted in them. best_step: the step whose weights were kept (lowest validation NLL; 0: the untuned ones).
    nll_per_token, nll_per_byte, perplexity: see DEFINITIONS. measured_on: "test", or "valid" where no test is given.
    before: the same figures of the untuned model. unk_rate: share of the measured tokens that are unknown words; above
    0 the figures flatter the model. overlap: lines of valid and of test that are in the training text, or in that
    of a small model's pre-training, too, in whatever case and spaces.
    curve: one dict an evaluation (step, loss, valid_nll). settings: all that was chosen.
    """

    path: Path
    lm: str
    steps: int
    tokens: int
    best_step: int
    nll_per_token: float
    nll_per_byte: float
    perplexity: float
    measured_on: str
    before: dict[str, float]
    unk_rate: float
    overlap: dict[str, int]
    curve: list[dict[str, float]]
    settings: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything but the path, with the definitions of the figures."""
        return {**{k: v for k, v in self._asdict().items() if k != "path"}, "definitions": DEFINITIONS}


def finetune(
    lm: str | Path,
    text: Source | Feed,
    *,
    valid: Source | None = None,
    out: str | Path,
    test: Source | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    real_passes: float | None = None,
    seed: int = 0,
    tokens_per_step: int = 512,
    lr: float | None = None,
    eval_every: int | None = None,
    patience: int | None = None,
    base_text: Source | None = None,
    base_steps: int | None = None,
    lora: int | None = None,
    resume: bool = False,
    save_every: int | None = None,
    device: str = "auto",
    precision: str = "no",
    on_progress: Progress | None = None,
) -> FineTuned:
    """Fine-tune a causal language model on a text and measure it on held-out text; the result is the folder `out`.

    text: lines (of rows their texts, whatever they weigh), or an `augmentation.Mixture` or `augmentation.mix.Weighed`,
    whose schedule and weights are followed: whatever they are, each step predicts tokens_per_step tokens. A line's
    weight multiplies the loss of its tokens; the divisor stays the number of tokens, so that the gradient is that of
    the weighted text and does not hang on which lines meet in a step.
    lm: a hub name, a local folder, a .gguf file, or "small" ("small:LAYERSxWIDTH"): a GPT-2 of that size (2x128) with a
    byte-level BPE of its own, pre-trained in out/base on `base_text` for `base_steps`. base_text None: `text`; of a
    mixture all the real text that it was blended from, so that with and without synthetic lines, in whatever
    proportion, a training starts from the same weights. A Feed without real text is an InputError then.
    The budget is steps; or tokens, of which whole steps are made; or real_passes, the steps in which each real line is
    seen so many times; or none of them, three passes over the text (20 to 3,000 steps).
    lr: None means 5e-5, or 1e-3 for a model made here; it warms up over a tenth of the steps and falls to 0. The
    validation NLL is taken every `eval_every` steps (None: a tenth of them) and the weights of its lowest value are
    kept; with `patience` training stops after so many evaluations without gain. Without `valid` the last weights are
    kept and measured on `test`. The folder gets model, tokenizer and,
    last, finetune.json.
    lora: train adapters of this rank (lr None: 2e-4) instead of all weights; the folder gets the merged model.
    precision: "bf16" computes the steps in bfloat16 where that is safe (weights and sums stay float32); all that is
    measured is measured in float32.
    resume: go on from the checkpoint that a stopped training left in `out` (none: begin; finished: give the result):
    the end is that of an unbroken one, bit for bit on the CPU. There is a checkpoint every save_every steps (None: once
    a minute), gone when the training is done. SIGINT and SIGTERM save and raise Interrupted; in the last step they
    take effect when the training is done. While it works, another process that wants the same folder is refused
    (InputError).
    """
    mixture = text if isinstance(text, Feed) else None
    lines = read_text(mixture.lines)._replace(name="mixture") if mixture else read_text(text)  # type: ignore[arg-type]
    held_out = {"valid": valid, "test": test}
    texts = {"text": lines} | {name: read_text(source) for name, source in held_out.items() if source is not None}
    if len(texts) == 1:
        raise InputError("there is no text to measure on; give valid, test or both")
    steering = texts["valid"].lines if "valid" in texts else []
    if mixture and real_passes is not None and mixture.made.all():
        raise InputError("real_passes cannot be counted, as the mixture holds no real line; give steps or tokens")
    base = _base(base_text, mixture, lines) if is_small(lm) else lines
    check_precision(precision)
    budget = chosen_budget(tokens_per_step, steps=steps, tokens=tokens, real_passes=real_passes)
    out = make_folder(out)
    with locked(out):
        if resume:
            settle(out, "finetune.json")
        if (out / "recipe.json").exists() or (not resume and (out / "config.json").exists()):
            raise InputError(f"{out} already holds a {_what(out)}; give another --out")
        if is_small(lm):
            layers, width = small_size(str(lm))
            lm = pretrain_small(
                base, out / "base", layers=layers, width=width, steps=base_steps, seed=seed, device=device,
                valid=texts.get("valid"), tokens_per_step=tokens_per_step, resume=resume, save_every=save_every,
                on_progress=on_progress,
            )  # fmt: skip
        base_lm = load_lm(lm, device=device)
        rate = lr if lr is not None else 1e-3 if base_lm.name.startswith(MADE_HERE) else LORA_LR if lora else 5e-5
        schedule = plan(
            base_lm, texts["text"].lines, **budget, tokens_per_step=tokens_per_step, lr=rate, seed=seed,
            eval_every=eval_every, patience=patience,
        )  # fmt: skip
        held = "test" if "test" in texts else "valid"
        before = nll(base_lm.model, base_lm.tokenizer, texts[held].lines)
        settings = {
            **schedule._asdict(), "device": base_lm.model.device.type, "texts": _about(texts),
            **({"mixture": mixture.to_json()} if mixture else {}), **({"lora": lora} if lora is not None else {}),
            **({"precision": precision} if precision != "no" else {}),
        }  # fmt: skip
        same = _same({"lm": base_lm.name, "before": before.figures(), **settings})
        if resume and (old := _finished(out, same)):
            return old
        if (out / "config.json").exists() and not checkpoints(out):  # resume goes on with nothing else
            raise InputError(f"{out} already holds another model; give another --out")
        if lora is not None:
            with seeded(seed, base_lm.model.device):
                base_lm = adapted(base_lm, lora)
        done = train(
            base_lm, mixture or texts["text"].lines, valid=steering[:STEER], schedule=schedule, scratch=out,
            stage="fine-tuning", precision=precision, on_progress=on_progress,
            saving=Saving(out, same, save_every, resume),
        )  # fmt: skip
        if lora is not None:
            base_lm = merged(base_lm)
        after = nll(base_lm.model, base_lm.tokenizer, texts[held].lines)
        result = FineTuned(
            out, base_lm.name, done.steps, done.steps * tokens_per_step, done.best_step, **after.figures(),
            measured_on=held, before=before.figures(), unk_rate=after.unk_rate, overlap=_overlap(texts, base),
            curve=done.curve, settings=settings,
        )  # fmt: skip
        save_lm(base_lm, out, "finetune.json", result.to_json())
        forget(out)
        return result


def chosen_budget(
    tokens_per_step: int, *, steps: int | None, tokens: int | None, real_passes: float | None
) -> dict[str, Any]:
    """steps, passes and bounds for `plan` from the one budget that is given, or from none."""
    given = {name: value for name, value in (("steps", steps), ("tokens", tokens), ("real_passes", real_passes))
             if value is not None}  # fmt: skip
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are two budgets; give one of steps, tokens and real_passes")
    if tokens is not None:
        if not 1 <= tokens_per_step <= tokens:
            raise InputError(f"{tokens} tokens make no step of {tokens_per_step}; give more tokens or a smaller step")
        steps = tokens // tokens_per_step
    if real_passes is None:
        return {"steps": steps, "passes": 3, "bounds": (20, 3000)}
    if not (math.isfinite(real_passes) and real_passes > 0):
        raise InputError(f"real_passes {real_passes} trains nothing; give a number above 0")
    # whatever the schedule, a pass over the whole mixture shows each real line once
    return {"steps": None, "passes": real_passes, "bounds": (1, math.inf)}


def pretrain_small(
    text: Source,
    out: str | Path,
    *,
    layers: int = 2,
    width: int = 128,
    vocab_size: int = 2000,
    context: int = 256,
    vocabulary: Source | None = None,
    steps: int | None = None,
    seed: int = 0,
    valid: Source | None = None,
    tokens_per_step: int = 512,
    lr: float | None = None,
    resume: bool = False,
    save_every: int | None = None,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Path:
    """A small GPT-2 with a byte-level BPE of its own, both made from `text`; gives its folder, `out`.

    vocabulary: the text that the BPE is made from instead.
    steps: None means ten passes (200 to 2,000 steps). lr: None means 0.32 / width, at most 5e-3. With `valid` the
    weights of its lowest NLL are kept. The folder's pretrained.json says in plain words what the model is, and so does
    everything that is made from it. resume, save_every: as in `finetune`.
    """
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    given, held = read_text(text), [] if valid is None else read_text(valid).lines[:STEER]
    lines = given.lines
    if min(layers, width) < 1 or context < 2 or vocab_size < 4:
        raise InputError(f"{layers} layers x {width}, context {context}, vocabulary {vocab_size}: too small; give more")
    out = make_folder(out)
    words = given if vocabulary is None else read_text(vocabulary)
    with locked(out):
        if resume:
            settle(out, "pretrained.json")
        save_tokenizer(train_tokenizer(words.lines, level="bpe", vocab_size=vocab_size), out)
        tokenizer = AutoTokenizer.from_pretrained(str(out), trust_remote_code=False)
        heads = next(h for h in range(max(1, width // 32), 0, -1) if width % h == 0)
        config = GPT2Config(
            vocab_size=len(tokenizer), n_positions=context, n_embd=width, n_layer=layers, n_head=heads,
            pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        with seeded(seed, torch.device("cpu")):
            fresh = Lm(GPT2LMHeadModel(config).to(pick_device(device)), tokenizer, MADE_HERE)
        schedule = plan(
            fresh, lines, steps=steps, passes=10, bounds=(200, 2000), tokens_per_step=tokens_per_step, seed=seed,
            lr=min(0.32 / width, 5e-3) if lr is None else lr,
        )  # fmt: skip
        same = _same({
            "layers": layers, "width": width, "vocab_size": vocab_size, "context": context, **schedule._asdict(),
            "text": given.sha256, "words": words.sha256, "valid": None if valid is None else read_text(valid).sha256,
        })  # fmt: skip
        if resume and _note(out / "pretrained.json").get("began") == same:
            return out
        done = train(
            fresh, lines, valid=held, schedule=schedule, scratch=out, stage="pre-training", on_progress=on_progress,
            saving=Saving(out, same, save_every, resume),
        )  # fmt: skip
        what = "given lines" if given.name == "lines" else f"lines of {given.name}"
        about = (
            f"{MADE_HERE}: {layers} layers x {width}, {count_parameters(fresh.model)} parameters, byte-level BPE of "
            f"{len(tokenizer)}, pre-trained on {len(lines):,} {what} ({done.best_step} steps)"
        )
        note = {"lm": about, "curve": done.curve, "settings": schedule._asdict(), "began": same}
        save_lm(fresh, out, "pretrained.json", note)
        forget(out)
        return out


def is_small(lm: str | Path) -> bool:
    """Whether `lm` asks for a model made here."""
    return str(lm).partition(":")[0] == "small"


def small_size(lm: str) -> tuple[int, int]:
    """Layers and width of "small" or "small:LAYERSxWIDTH"."""
    match = SMALL.fullmatch(lm)
    layers, width = (int(match[1] or 2), int(match[2] or 128)) if match else (0, 0)
    if layers < 1 or width < 1:
        raise InputError(f"{lm}: no such model; give small or small:LAYERSxWIDTH, as small:2x128")
    return layers, width


def _base(chosen: Source | None, mixture: Feed | None, lines: Text) -> Text:
    """What a small model is pre-trained on: real text alone."""
    if chosen is not None:
        return read_text(chosen)
    if mixture is None:
        return lines
    if not mixture.base.lines:
        raise InputError("a small model has no real text to be pre-trained on in this mixture; give base_text")
    return mixture.base


def _same(chosen: dict[str, Any]) -> dict[str, Any]:
    """What a resumed training must share with the stopped one, as it comes back from JSON."""
    found: dict[str, Any] = json.loads(json.dumps(chosen))
    found.pop("device", None)
    return found


def _note(path: Path) -> dict[str, Any]:
    """A note of ours, {} where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _finished(out: Path, same: dict[str, Any]) -> FineTuned | None:
    """The result of a training that began like this and is done."""
    note = _note(out / "finetune.json")
    if _same({"lm": note.get("lm"), "before": note.get("before"), **note.get("settings", {})}) != same:
        return None
    return FineTuned(path=out, **{name: note[name] for name in FineTuned._fields if name != "path"})


def _what(out: Path) -> str:
    return "run" if (out / "recipe.json").exists() else "model"


def _about(texts: dict[str, Text]) -> dict[str, Any]:
    return {name: {"name": text.name, "sha256": text.sha256, "lines": len(text.lines)} for name, text in texts.items()}


def _overlap(texts: dict[str, Text], base: Text) -> dict[str, int]:
    known = {folded(line) for text in (texts["text"], base) for line in text.lines}
    held = {name: texts[name].lines for name in ("valid", "test") if name in texts}
    return {name: sum(folded(line) in known for line in lines) for name, lines in held.items()}
