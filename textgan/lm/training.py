"""The training loop: transformers' Trainer, fed with steps of an exact number of predicted tokens."""

import contextlib
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from textgan import machine
from textgan.errors import InputError
from textgan.lm.feeding import Feed, feed, predicted
from textgan.lm.likelihood import pieces
from textgan.lm.loading import Lm, quiet
from textgan.lm.watching import Progress, Saving, Schedule, Trained, Watch

WARMUP, WEIGHT_DECAY, CLIP = 0.1, 0.01, 1.0


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
    precision: str = "no", on_progress: Progress | None = None, saving: Saving | None = None,
) -> Trained:  # fmt: skip
    """Train `lm.model` in place on lines or a Feed.

    With `valid` it ends with the weights of its lowest validation NLL (step 0 included). AdamW, linear warm-up and
    decay, gradients clipped at norm 1. A loss or gradient that is not finite raises NotFinite. Same seed, text, threads
    and machine give the same weights. With `saving` a training that was stopped, however, goes on as if it had not
    been; SIGINT and SIGTERM then finish the step, save and raise Interrupted.
    """
    batches = feed(lm, text, steps=schedule.steps, tokens=schedule.tokens_per_step, seed=schedule.seed)
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(machine.signals()) if saving else []
        watch = Watch(lm, valid, schedule, stage, on_progress, saving, asked)
        del batches.steps[: watch.step]
        stack.enter_context(seeded(schedule.seed, lm.model.device))
        stack.enter_context(quiet())
        stack.enter_context(machine.suited_threads(lm.model.num_parameters()))
        _trainer(lm, batches, watch, scratch, precision).train()
    lm.model.eval()
    return watch.finish()


def _trainer(lm: Lm, batches: torch.utils.data.Dataset, watch: Watch, scratch: Path, precision: str) -> Any:
    """A Trainer for the steps that are left. Its classes are made here, as transformers takes seconds to import.

    It resumes nothing by itself: its checkpoints hold pickles.
    """
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    schedule = watch.schedule

    class Steps(Trainer):
        def compute_loss(self, model: Any, inputs: dict[str, Tensor], *_: Any, **__: Any) -> Tensor:
            return watch.loss(model, inputs)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            return super().create_scheduler(schedule.steps, optimizer)  # of the whole training

    class Callback(TrainerCallback):
        on_train_begin, on_step_begin = staticmethod(watch.on_train_begin), staticmethod(watch.on_step_begin)
        on_pre_optimizer_step, on_step_end = (
            staticmethod(watch.on_pre_optimizer_step), staticmethod(watch.on_step_end)
        )  # fmt: skip

    on_cpu = lm.model.device.type == "cpu"
    arguments = TrainingArguments(
        output_dir=str(scratch), max_steps=schedule.steps - watch.step, per_device_train_batch_size=1,
        train_sampling_strategy="sequential", learning_rate=schedule.lr, warmup_steps=WARMUP,
        weight_decay=WEIGHT_DECAY, max_grad_norm=CLIP, seed=schedule.seed, use_cpu=on_cpu, save_strategy="no",
        bf16=precision == "bf16",
        logging_strategy="no", eval_strategy="no", report_to=[], disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=False, logging_nan_inf_filter=False, average_tokens_across_devices=False,
    )  # fmt: skip
    arguments._n_gpu = min(arguments.n_gpu, 1)  # more would split a step among replicas and average their means
    trainer = Steps(
        model=lm.model, args=arguments, train_dataset=batches, data_collator=lambda rows: rows[0], callbacks=[Callback]
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
