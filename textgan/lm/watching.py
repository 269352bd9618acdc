"""What happens beside a training: the loss, the held-out NLL, the best weights, checkpoints, reports."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from textgan.checkpoints import checkpoints, clean, load_checkpoint, optimizer_tensors, restore_optimizer
from textgan.checkpoints import save_checkpoint as write_checkpoint
from textgan.errors import InputError, Interrupted, NotFinite
from textgan.lm.likelihood import IGNORE, by_length, measured, prepared, summed_nll
from textgan.lm.loading import Lm

Progress = Callable[[dict[str, Any]], None]
SECONDS = 60.0  # between checkpoints, where no number of steps is given


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


class Saving(NamedTuple):
    """How a training survives its end: checkpoints in `folder`, and what a resumed one must share with the stopped one.

    same: flat and JSON-ready. every: steps between checkpoints; None: once a minute. resume: go on where one is.
    """

    folder: Path
    same: dict[str, Any]
    every: int | None = None
    resume: bool = False

    def found(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], list[str]]:
        """The newest good checkpoint; ({}, {}, []) where there is none. Errors: InputError, if it may not be used."""
        if not self.folder.is_dir():
            return {}, {}, []
        clean(self.folder)
        if checkpoints(self.folder) and not self.resume:
            raise InputError(f"{self.folder} holds a training that was stopped; give --resume, or another --out")
        tensors, state, skipped = load_checkpoint(self.folder)
        if state:
            old = state["same"]
            changes = [f"{k} {old.get(k)} -> {new}" for k, new in self.same.items() if old.get(k) != new]
            if changes:
                raise InputError(
                    f"{self.folder}: --resume with other settings than it began with: {'; '.join(changes)}; "
                    "use another --out"
                )
        return tensors, state, skipped


class Watch:
    """Computes the loss, evaluates, keeps the best weights, saves and reports; `train` lets Trainer call it.

    Its state is `tensors` and `to_json` (and the optimiser's): a training that is resumed from them equals an unbroken
    one bit for bit on the CPU.
    """

    def __init__(
        self, lm: Lm, valid: Sequence[str], schedule: Schedule, stage: str, on_progress: Progress | None,
        saving: Saving | None, asked: list[int],
    ) -> None:  # fmt: skip
        self.lm, self.schedule, self.stage = lm, schedule, stage
        self.say = on_progress or (lambda row: None)
        self.saving, self.asked, self.saved_at = saving, asked, time.monotonic()
        self.valid = prepared(lm.model, lm.tokenizer, valid) if valid else None
        self.step, self.last_loss = 0, math.nan
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.curve: list[dict[str, float]] = []
        self.kept: tuple[dict[str, dict[str, Tensor]], dict[str, Any]] = ({}, {})
        if saving:
            tensors, state, skipped = saving.found()
            self.kept = (tensors, state)
            for line in skipped:
                self.say({"stage": stage, "skipped": line})
        if self.kept[1]:
            self._go_on(*self.kept)

    def weights(self) -> dict[str, Tensor]:
        """What the training changes, by name; the tensors themselves."""
        return {name: x.detach() for name, x in self.lm.model.named_parameters() if x.requires_grad}

    def _go_on(self, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        self.step, self.last_loss, self.curve = state["step"], state["last_loss"], state["curve"]
        put(self.weights(), tensors["model"])
        if state["best"]:
            self.best = (*state["best"], tensors["best"])

    def save(self, optimizer: Any, scheduler: Any) -> None:
        """A checkpoint of this moment, between two steps."""
        assert self.saving is not None
        moments, groups = optimizer_tensors(optimizer)
        rng = {"cpu": torch.get_rng_state()}
        if self.lm.model.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.lm.model.device)
        tensors = {"model": self.weights(), "optimizer": moments, "rng": rng}
        if self.best:
            tensors["best"] = self.best[2]
        state = {
            "step": self.step, "last_loss": self.last_loss, "curve": self.curve, "same": self.saving.same,
            "best": self.best and self.best[:2], "groups": groups, "scheduler": scheduler.last_epoch,
        }  # fmt: skip
        write_checkpoint(self.saving.folder, self.step, tensors, state)
        self.saved_at = time.monotonic()

    def loss(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """The step's mean NLL a token, each token times its line's weight where there are weights."""
        # Trainer's own loss for GPT2LMHeadModel divides by all L labels, though only L - 1 are predicted
        tokens = (inputs["labels"] != IGNORE).sum()
        total = torch.zeros((), device=tokens.device)
        for part in by_length(inputs) if tokens.device.type == "cpu" else [inputs]:
            labels, weights = part.pop("labels"), part.pop("weights", None)
            total = total + summed_nll(model(**part).logits, labels, weights)
        loss = total / tokens
        self.last_loss = loss.item()
        if not math.isfinite(self.last_loss):
            raise NotFinite(f"the loss became {self.last_loss} at step {self.step + 1}; lower lr {self.schedule.lr:g}")
        return loss

    def on_train_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, lr_scheduler: Any = None, **_: Any
    ) -> None:
        """The first evaluation, or the optimiser as it was."""
        tensors, kept = self.kept
        if not kept:
            return self.evaluate(control)
        restore_optimizer(optimizer.optimizer, tensors["optimizer"], kept["groups"])
        lr_scheduler.last_epoch = kept["scheduler"]
        return None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Random states as they were; not earlier, as Trainer's data loader draws from them once before."""
        if rng := self.kept[0].get("rng"):
            torch.set_rng_state(rng["cpu"])
            if "cuda" in rng:
                torch.cuda.set_rng_state(rng["cuda"], self.lm.model.device)
        self.kept = ({}, {})

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Nothing is changed by a gradient that is not finite."""
        sums = [p.grad.sum() for p in self.lm.model.parameters() if p.grad is not None]
        if not torch.isfinite(torch.stack(sums)).all():
            raise NotFinite(f"a gradient became infinite or NaN at step {self.step + 1}; lower lr {self.schedule.lr:g}")

    def on_step_end(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, lr_scheduler: Any = None, **_: Any
    ) -> None:
        """Evaluate, tell, save; stop where a signal has asked for it."""
        self.step += 1
        if self.step % self.schedule.eval_every == 0 or self.step == self.schedule.steps:
            self.evaluate(control)
        else:
            self.say(self.row())
        if self.saving is None or control.should_training_stop or self.step == self.schedule.steps:
            return
        every = self.saving.every
        due = self.step % every == 0 if every else time.monotonic() - self.saved_at > SECONDS
        if due or self.asked:
            self.save(optimizer.optimizer, lr_scheduler)
        if self.asked:
            raise Interrupted(
                f"{self.saving.folder}: stopped at step {self.step}; saved, --resume goes on", 128 + self.asked[0]
            )

    def row(self) -> dict[str, Any]:
        """What is told of a step."""
        row: dict[str, Any] = {"stage": self.stage, "step": self.step, "steps": self.schedule.steps}
        return row if math.isnan(self.last_loss) else {**row, "loss": self.last_loss}

    def evaluate(self, control: Any) -> None:
        """The held-out NLL, the best weights, and whether there is any patience left."""
        row = self.row()
        if self.valid:
            row["valid_nll"] = measured(self.lm.model, self.valid).figures()["nll_per_token"]
            if self.best is None or row["valid_nll"] < self.best[0]:
                self.best = (row["valid_nll"], self.step, {k: x.cpu().clone() for k, x in self.weights().items()})
            elif self._out_of_patience():
                control.should_training_stop = True
        self.curve.append({key: value for key, value in row.items() if key not in ("stage", "steps")})
        self.say(row)

    def _out_of_patience(self) -> bool:
        assert self.best is not None
        patience = self.schedule.patience
        return bool(patience) and self.step - self.best[1] >= (patience or 0) * self.schedule.eval_every

    def finish(self) -> Trained:
        """Give the model its best weights back."""
        if self.best is None:
            return Trained(self.step, self.step, self.curve)
        put(self.weights(), self.best[2])
        return Trained(self.step, self.best[1], self.curve)


@torch.no_grad()
def put(into: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Copy values into tensors of the same names."""
    for name, tensor in into.items():
        tensor.copy_(values[name])
