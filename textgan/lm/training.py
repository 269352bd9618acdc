"""The training loop: transformers' Trainer, fed with steps of an exact number of predicted tokens."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textgan import machine
from textgan.errors import InputError, NotFinite
from textgan.lm.feeding import Feed, feed, predicted
from textgan.lm.likelihood import IGNORE, nll, pieces, summed_nll
from textgan.lm.loading import Lm, quiet

Progress = Callable[[dict[str, Any]], None]
WARMUP, WEIGHT_DECAY, CLIP = 0.1, 0.01, 1.0


class Schedule(NamedTuple):
    """What is chosen for a training. tokens_per_step: predicted tokens, EOS among them, the same in every step."""

    steps: int
    tokens_per_step: int
    lr: float
    seed: int
    eval_every: int
    patience: int | None


class Trained(NamedTuple):
    """steps done; best_step, whose weights the model now has; curve: a dict (step, loss, valid_nll) an evaluation."""

    steps: int
    best_step: int
    curve: list[dict[str, float]]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run under `seed`, then give every global random state back as it was (Trainer and generate use global ones)."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda = [device.index or 0] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def plan(
    lm: Lm, lines: Sequence[str], *, steps: int | None, passes: float, bounds: tuple[int, float], tokens_per_step: int,
    lr: float, seed: int, eval_every: int | None = None, patience: int | None = None,
) -> Schedule:  # fmt: skip
    """A checked Schedule; steps None means `passes` over the lines, within `bounds`."""
    if tokens_per_step < 1:
        raise InputError(f"tokens_per_step {tokens_per_step} trains nothing; give 1 or more")
    if steps is None:
        tokens = predicted(pieces(lm.model, lm.tokenizer, lines))
        steps = int(min(max(math.ceil(passes * tokens / tokens_per_step), bounds[0]), bounds[1]))
    if eval_every is None:
        eval_every = max(1, steps // 10)
    for name, value in (("steps", steps), ("eval_every", eval_every), ("patience", patience)):
        if value is not None and value < 1:
            raise InputError(f"{name} {value} trains nothing; give 1 or more")
    if not (math.isfinite(lr) and lr > 0):
        raise InputError(f"lr {lr} cannot train; give a number above 0, as 5e-5")
    return Schedule(steps, tokens_per_step, lr, seed, eval_every, patience)


def train(
    lm: Lm, text: Sequence[str] | Feed, *, valid: Sequence[str], schedule: Schedule, scratch: Path, stage: str,
    on_progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Train `lm.model` in place on lines or a Feed.

    With `valid` it ends with the weights of its lowest validation NLL (step 0 included). AdamW, linear warm-up and
    decay, gradients clipped at norm 1. A loss or gradient that is not finite raises NotFinite. Same seed, text, threads
    and machine give the same weights.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class Steps(Trainer):
        def compute_loss(self, model: Any, inputs: dict[str, Tensor], *_: Any, **__: Any) -> Tensor:
            return watch.loss(model, inputs)

    batches = feed(lm, text, steps=schedule.steps, tokens=schedule.tokens_per_step, seed=schedule.seed)
    watch = make_watch(lm, valid, schedule, stage, on_progress)
    with seeded(schedule.seed, lm.model.device), quiet(), machine.suited_threads(lm.model.num_parameters()):
        arguments = TrainingArguments(
            output_dir=str(scratch), max_steps=schedule.steps, per_device_train_batch_size=1,
            train_sampling_strategy="sequential", learning_rate=schedule.lr, warmup_steps=WARMUP,
            weight_decay=WEIGHT_DECAY, max_grad_norm=CLIP, seed=schedule.seed, use_cpu=lm.model.device.type == "cpu",
            save_strategy="no", logging_strategy="no", eval_strategy="no", report_to=[], disable_tqdm=True,
            remove_unused_columns=False, dataloader_pin_memory=False, logging_nan_inf_filter=False,
            average_tokens_across_devices=False,
        )  # fmt: skip
        arguments._n_gpu = min(arguments.n_gpu, 1)  # more would split a step among replicas and average their means
        trainer = Steps(
            model=lm.model, args=arguments, train_dataset=batches, data_collator=lambda rows: rows[0],
            callbacks=[watch],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    lm.model.eval()
    return watch.finish()


def make_watch(lm: Lm, valid: Sequence[str], schedule: Schedule, stage: str, on_progress: Progress | None) -> Any:
    """The Trainer callback that computes the loss, evaluates, keeps the best weights and reports.

    Made in a function because its base class needs transformers, which takes seconds to import.
    """
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.step, self.last_loss = 0, math.nan
            self.best: tuple[float, int, dict[str, Tensor]] | None = None
            self.curve: list[dict[str, float]] = []

        def loss(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
            # Trainer's own loss for GPT2LMHeadModel divides by all L labels, though only L - 1 are predicted
            labels, weights = inputs.pop("labels"), inputs.pop("weights", None)
            loss = summed_nll(model(**inputs).logits, labels, weights) / (labels != IGNORE).sum()
            self.last_loss = loss.item()
            if not math.isfinite(self.last_loss):
                raise NotFinite(f"the loss became {self.last_loss} at step {self.step + 1}; lower lr {schedule.lr:g}")
            return loss

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.evaluate(control)

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            sums = [p.grad.sum() for p in lm.model.parameters() if p.grad is not None]
            if not torch.isfinite(torch.stack(sums)).all():
                raise NotFinite(f"a gradient became infinite or NaN at step {self.step + 1}; lower lr {schedule.lr:g}")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.step = state.global_step
            if self.step % schedule.eval_every == 0 or self.step == schedule.steps:
                self.evaluate(control)
            elif on_progress:
                on_progress(self.row())

        def row(self) -> dict[str, Any]:
            row: dict[str, Any] = {"stage": stage, "step": self.step, "steps": schedule.steps}
            return row if math.isnan(self.last_loss) else {**row, "loss": self.last_loss}

        def evaluate(self, control: Any) -> None:
            row = self.row()
            if valid:
                row["valid_nll"] = nll(lm.model, lm.tokenizer, valid).figures()["nll_per_token"]
                if self.best is None or row["valid_nll"] < self.best[0]:
                    weights = {name: x.detach().cpu().clone() for name, x in lm.model.state_dict().items()}
                    self.best = (row["valid_nll"], self.step, weights)
                elif schedule.patience and self.step - self.best[1] >= schedule.patience * schedule.eval_every:
                    control.should_training_stop = True
            self.curve.append({key: value for key, value in row.items() if key not in ("stage", "steps")})
            if on_progress:
                on_progress(row)

        def finish(self) -> Trained:
            if self.best is None:
                return Trained(self.step, self.step, self.curve)
            lm.model.load_state_dict(self.best[2])
            return Trained(self.step, self.best[1], self.curve)

    return Watch()
