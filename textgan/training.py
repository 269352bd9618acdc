"""Runs the phases of a recipe: logs, checkpoints, resumes. What no paper mentions is here.

Only this file writes a run folder:

    RUN/recipe.json  log.jsonl  heldout.txt  samples/  generator/  best/  ckpt-000120/
    RUN/text/ (a large corpus, as ids)  adopted/ (a language model of others, in our order)
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from textgan import machine
from textgan.adoption import adopt
from textgan.batches import Batches, Data, Source, TextSettings, prepare
from textgan.checkpoints import (
    Tensors,
    checkpoints,
    clean,
    load_checkpoint,
    locked,
    optimizer_tensors,
    replace_folder,
    restore_optimizer,
    save_checkpoint,
)
from textgan.controls import check_control, frozen_phases, spoil_answers
from textgan.errors import InputError, Interrupted
from textgan.generators import Generator
from textgan.graphs import fixed_shapes
from textgan.labels import draw_labels
from textgan.oracle import FIRST, Oracle
from textgan.processes import Share, average, gather, sharing
from textgan.progress import Progress
from textgan.runs import BEST, Run
from textgan.sequences import Samples
from textgan.settings import choose, refuse_other_settings, settings_of
from textgan.text import decode, make_folder, read_text, save_tokenizer, write_json, write_lines
from textgan.updates import Logs, Phase, Players, Recipe, check_recipe
from textgan.watch import SELDOM, Best, Watch, held_out_nll

SAMPLED = 200  # sentences drawn at each evaluation
MANY = 1000  # and for the metrics that are seldom measured
COLLAPSED = 3  # exit status of a run that the collapse watch has stopped


@dataclass(frozen=True)
class Schedule:
    """How often a run speaks and saves, in steps.

    Args:
        log_every: steps between rows of log.jsonl (means over the steps between)
        eval_every: steps between held-out NLL, joint score, samples and the collapse watch
        metrics_every: steps between the costlier metrics, on 1000 samples (and once at the end); 0: never
        save_every: steps between checkpoints
        keep: checkpoints to keep
        collapse_stop: stop after so many evaluations in a row that look like collapse (0: only warn)
    """

    log_every: int = 10
    eval_every: int = 100
    metrics_every: int = 1000
    save_every: int = 500
    keep: int = 2
    collapse_stop: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name in ("metrics_every", "collapse_stop") else 1
            if value < least:
                raise InputError(f"--{name} {value} must be at least {least}")


def fit(
    recipe: Recipe | str,
    corpus: Source,
    *,
    out: str | Path,
    valid: Source | None = None,
    start: str | Path | None = None,
    preset: str | None = None,
    control: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "no",
    threads: int | None = None,
    resume: bool = False,
    text: TextSettings | None = None,
    schedule: Schedule | None = None,
    progress: bool = True,
    tensorboard: bool = False,
    on_log: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Train a recipe on a corpus and write a run folder; resume=True goes on from the newest good checkpoint.

    start: a finished run whose generator this one begins with: one maximum-likelihood run can serve many games (give
    the recipe mle_steps=0). Its text settings, family and sizes must be the same.
    preset: the name of the settings that the recipe has (where its name alone is given) or began from; recorded, with
    the fields that have left it.
    control: a word of `controls.CONTROLS`; the same game, in which what D tells G is spoilt (with several processes
    constant and frozen alone).
    The resumed run equals the unbroken one bit for bit on the CPU. SIGINT and SIGTERM finish the step, save, and raise
    Interrupted, and so does the end of another process of the run, which saves nothing. The caller's global random
    state is left alone. Of several processes (torchrun), each plays its rows of every batch, and all together one
    process's run, to rounding and up to dropout, whose masks are each process's own.
    Errors: InputError (bad input, a folder in use, other settings than the run's), NotFinite (the last checkpoint
    stands).
    """
    text, schedule = text or TextSettings(), schedule or Schedule()
    chosen, facts = choose(recipe, preset)
    check_recipe(chosen)
    if control is not None:
        check_control(control)
        facts["control"] = control
    folder = Path(out)
    if not resume and (folder / "recipe.json").exists():
        raise InputError(f"{folder} already holds a run; give --resume to go on with it or another --out")
    errors = text.encoding_errors
    read, held = read_text(corpus, errors=errors), None if valid is None else read_text(valid, errors=errors)
    make_folder(folder)
    accelerator = machine.accelerator(device, precision)
    if chosen.batch % accelerator.num_processes:
        several = f"{accelerator.num_processes} processes, which share it evenly"
        raise InputError(f"--batch {chosen.batch} must be a multiple of the {several}")
    if control is not None:
        check_control(control, accelerator.num_processes)
    main = accelerator.is_main_process
    board = folder / "tensorboard" if tensorboard and main else None
    with locked(folder) if main else nullcontext():
        with accelerator.main_process_first():  # what the first one keeps in the folder, the others find there
            classes = getattr(chosen, "classes", False)
            adopted = adopt(chosen, folder)
            facts |= adopted.facts
            data = prepare(
                read, held, text, folder=folder / "text", recipe=chosen.name, classes=classes,
                tokenizer=adopted.tokenizer,
            )  # fmt: skip
        del read, held  # a text that does not fit into memory leaves the disk
        with machine.threads(threads), torch.random.fork_rng(), machine.signals() as asked, machine.enough_memory():
            training = _Training(chosen, adopted.recipe, data, folder, seed, schedule, accelerator, on_log, control)
            training.settings |= facts
            if start is not None:
                training.begin_with(Run.open(start))
            size = max(training.settings["parameters"].values())
            with (
                machine.suited_threads(size, machine.USUAL_THREADS) as n,
                Progress(training.total, batch=chosen.batch, shown=progress and main, tensorboard=board) as bar,
            ):
                training.settings["threads"] = n
                try:
                    training.run(bar, asked)
                except ConnectionError as error:
                    raise Interrupted(f"{folder}: {error}; {training.standing()}, --resume goes on", 1) from error
                except OSError as error:
                    problem = f"{folder}: cannot write ({error.strerror or error})"
                    raise InputError(f"{problem}; {training.standing()}; mend that, then --resume") from error
    return Run.open(folder)


class _Training:
    """One run in progress. `step` counts over all phases; everything else that must survive is in `save`."""

    def __init__(
        self,
        recipe: Recipe,
        built: Recipe,
        data: Data,
        folder: Path,
        seed: int,
        schedule: Schedule,
        accelerator: Any,
        on_log: Callable[[dict[str, Any]], None] | None,
        control: str | None,
    ) -> None:
        self.data, self.folder, self.seed, self.schedule = data, folder, seed, schedule
        self.accelerator, self.on_log = accelerator, on_log
        device, self.share = accelerator.device, Share(accelerator.process_index, accelerator.num_processes)
        torch.manual_seed(seed)  # every process builds the same weights ...
        classes = {"labels": len(data.labels)} if data.labels else {}
        self.players: Players = built.players(data.tokenizer.get_vocab_size(), data.max_len, **classes)
        for player in self.players.values():
            player.to(device)
            if isinstance(player.net, Generator):
                player.net.labels = len(data.labels)
            if isinstance(player.net, Generator) and isinstance(data.truth, Oracle):
                player.net.first_id = FIRST  # neither an end nor an unknown word
        self.rng = torch.Generator().manual_seed(seed)  # on the CPU: no card is waited for
        if control is not None:
            spoil_answers(self.players, control, self.rng)
        self.phases = replace(recipe, batch=recipe.batch // self.share.world).phases(self.players, self.rng)  # type: ignore[type-var]
        if control is not None:
            self.phases = frozen_phases(self.phases, self.players, control)
        torch.manual_seed(seed + self.share.rank)  # ... and then draws its own dropout
        self.generator: Generator = self.players["generator"].net
        width = data.max_len + bool(data.labels) if fixed_shapes(device) else 0
        self.batches = Batches(data.train, recipe.batch, seed=seed, device=device, share=self.share, width=width)
        self.watch = Watch(data, SAMPLED)
        self.total = sum(phase.steps for phase in self.phases)
        self.step = 0
        self.window: dict[str, tuple[float | Tensor, int]] = {}  # sums and counts since the last row of the log
        self.best = Best()  # by held-out NLL, of the running keep_best phase
        self.joint = Best()  # by the joint score, of a run that has other phases too
        self.keeps_joint = not all(phase.keep_best for phase in self.phases)
        self.collapsing = 0  # evaluations in a row that looked like collapse
        self.settings = settings_of(
            recipe, self.players, data.facts, seed=seed, schedule=vars(schedule), accelerator=accelerator
        )

    def begin_with(self, run: Run) -> None:
        """Take over the generator of another run; InputError where its tokens or sizes are not ours."""
        if run.tokenizer.to_str() != self.data.tokenizer.to_str():
            raise InputError(
                f"--start {run.path} was trained on other tokens; train both on the same text and settings"
            )
        try:
            self.generator.load_state_dict(run.generator.state_dict())
        except RuntimeError as error:
            raise InputError(
                f"--start {run.path} has a generator of another family or size; give it those fields"
            ) from error
        self.settings["start"] = {"run": run.path.name, "sha256": run.weights_sha256}

    def run(self, bar: Progress, asked: list[int]) -> None:
        """All phases from wherever the newest checkpoint stands."""
        self.restore(bar)
        n, size = self.settings["threads"], max(self.settings["parameters"].values())
        bar.hint(f"{n} thread{'s' * (n > 1)}; the largest net has {size:,} parameters (--threads N overrides)")
        bar.start(self.step)
        if self.step == 0:
            self.record(self.phases[0], bar, evaluate=True)
        first = 0
        for phase in self.phases:
            for step in range(self.step - first, phase.steps):
                with self.accelerator.autocast(), sharing(self.share):
                    logs = self._averaged(phase.update(step, self.batches))
                self.step += 1
                bar.step(phase.name)
                for key, value in logs.items():
                    total, count = self.window.get(key, (0.0, 0))
                    self.window[key] = (total + value, count + 1)
                self.after(phase, bar, ends=step + 1 == phase.steps)
                if self._stop(asked):
                    self._interrupt("", 128 + asked[0])
                if 0 < self.schedule.collapse_stop <= self.collapsing:
                    self._interrupt(f" ({self.collapsing} evaluations in a row looked like collapse)", COLLAPSED)
            first += phase.steps
        self.save()

    def _interrupt(self, why: str, code: int) -> None:
        self.save()
        raise Interrupted(f"{self.folder}: stopped at step {self.step}{why}; saved, --resume goes on", code)

    def after(self, phase: Phase, bar: Progress, *, ends: bool) -> None:
        """What is due once a step is done: a row of the log, an evaluation, a checkpoint."""
        costly = self.schedule.metrics_every
        fully = costly > 0 and (self.step == self.total or self.step % costly == 0)
        evaluate = ends or fully or self.step % self.schedule.eval_every == 0
        if evaluate or self.step % self.schedule.log_every == 0:
            self.record(phase, bar, evaluate=evaluate, fully=fully)
        if ends and self.best.weights:
            self.generator.load_state_dict(self.best.weights)
            bar.say(f"{phase.name}: kept step {self.best.step}, held-out NLL {self.best.score:.4f} nats a token")
            self.best = Best()
        if self.step % self.schedule.save_every == 0 and self.step < self.total:
            self.save()

    def record(self, phase: Phase, bar: Progress, *, evaluate: bool, fully: bool = False) -> None:
        """One row of log.jsonl; with evaluate also held-out scores, samples, and the collapse watch."""
        row: dict[str, Any] = {"step": self.step, "phase": phase.name}
        self._check()
        row |= {key: float(total) / count for key, (total, count) in self.window.items()}
        self.window = {}
        if evaluate:
            row["valid_nll"] = held_out_nll(self.generator, self.data.held_out)
            samples = self._draw(SAMPLED)
            lines = self._lines(samples)
            row |= self.watch.measure(samples, row["valid_nll"]) | self.watch.scores(lines)
            if self.data.truth is not None:
                row |= self.data.truth.figures(lines)
            if fully and self.step:
                row |= self.watch.scores(self._lines(self._draw(MANY)), SELDOM)
            if self.step:
                self._judge(phase, row)
        if not self.accelerator.is_main_process:
            return
        if evaluate:
            write_lines(self.folder / "samples" / f"{self.step:06d}.txt", lines)
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        bar.row(row)
        if self.on_log is not None:
            self.on_log(row)

    def _averaged(self, logs: Logs) -> Logs:
        """The means over the processes, as numbers where that waits for no card."""
        device = self.accelerator.device
        if self.share.world == 1:
            return logs if fixed_shapes(device) else {key: float(value) for key, value in logs.items()}
        values = torch.stack([torch.as_tensor(x, dtype=torch.float64, device=device) for x in logs.values()])
        return dict(zip(logs, average([values])[0].tolist(), strict=True))

    def _judge(self, phase: Phase, row: dict[str, Any]) -> None:
        """Warn of what looks like collapse, and keep the weights where a score is the best so far."""
        if warning := self.watch.warning(row):
            row["warning"] = warning
        self.collapsing = self.collapsing + 1 if warning else 0
        if phase.keep_best:
            self.best.offer(row["valid_nll"], self.step, self.generator)
        if self.keeps_joint:
            self.joint.offer(row["joint"], self.step, self.generator)

    def _draw(self, n: int) -> Samples:
        rng = torch.Generator(self.generator.device).manual_seed(self.seed * 1_000_003 + self.step)
        context = draw_labels(self.data.labels, n, self.generator.vocab_size, rng)
        return self.generator.sample(n, context=context, rng=rng)

    def _lines(self, samples: Samples) -> list[str]:
        return decode(self.data.tokenizer, samples.tokens.cpu().numpy())

    def _stop(self, asked: list[int]) -> bool:
        """Whether any process has been signalled; all of them stop at the same step."""
        if self.share.world == 1:
            return bool(asked)
        with sharing(self.share):
            signalled = int(gather(torch.tensor(asked[:1] or [0], device=self.accelerator.device)).max())
        if signalled and not asked:
            asked.append(signalled)
        return signalled > 0

    def _check(self) -> None:
        """NotFinite where a player has passed over a step."""
        for player in self.players.values():
            player.check()

    def save(self) -> None:
        """A checkpoint of everything, and RUN/generator and RUN/best as Hugging Face folders."""
        self._check()
        states = self._random_states()
        if not self.accelerator.is_main_process:
            return
        tensors: Tensors = {"random": states, "best": self.best.weights, "joint": self.joint.weights}
        groups, seen = {}, set()
        for name, player in self.players.items():
            if id(player.net) not in seen:
                tensors[f"net-{name}"] = player.net.state_dict()
                seen.add(id(player.net))
            if player.optimizer is not None:
                tensors[f"optimizer-{name}"], groups[name] = optimizer_tensors(player.optimizer)
        log = self.folder / "log.jsonl"
        state = {
            "step": self.step,
            "batches": self.batches.cursor,
            "window": {key: (float(total), count) for key, (total, count) in self.window.items()},
            "best": self.best.facts,
            "joint": self.joint.facts,
            "collapsing": self.collapsing,
            "optimizers": groups,
            "log_bytes": log.stat().st_size if log.exists() else 0,
        }
        with open(log, "a", encoding="utf-8") as file:
            os.fsync(file.fileno())
        save_checkpoint(self.folder, self.step, tensors, state, keep=self.schedule.keep)
        replace_folder(self.folder / "generator", lambda folder: self._write(self.generator, folder))
        if self.joint.weights:
            best = copy.deepcopy(self.generator)
            best.load_state_dict(self.joint.weights)
            replace_folder(self.folder / BEST, lambda folder: self._write(best, folder))

    def _write(self, generator: Generator, folder: Path) -> None:
        try:
            generator.save(folder)
        except SafetensorError as error:  # what safetensors makes of a full disk
            raise OSError(str(error)) from error
        save_tokenizer(self.data.tokenizer, folder)

    def _random_states(self) -> dict[str, Tensor]:
        """The states of dropout's and the sampler's random generators, (processes, bytes); the sampler's are alike."""
        device = self.accelerator.device
        states = {"dropout": torch.get_rng_state(), "sampler": self.rng.get_state()}
        if device.type == "cuda":
            states["dropout_cuda"] = torch.cuda.get_rng_state(device)
        with sharing(self.share):
            return {key: gather(state.to(device)[None]).cpu() for key, state in states.items()}

    def restore(self, bar: Progress) -> None:
        """Take up the newest good checkpoint, or begin: recipe.json and heldout.txt first, an empty log."""
        main = self.accelerator.is_main_process
        if main:
            clean(self.folder)
        self.accelerator.wait_for_everyone()
        tensors, state, skipped = load_checkpoint(self.folder)
        for line in skipped:
            bar.say(f"skipped {line}")
        if main and (self.folder / "recipe.json").exists():
            refuse_other_settings(Run.open(self.folder).settings, self.settings)
        elif main:
            write_json(self.folder / "recipe.json", self.settings)
            write_lines(self.folder / "heldout.txt", self.data.held_out_lines)
        if main:
            (self.folder / "samples").mkdir(exist_ok=True)
            with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
                log.truncate(state.get("log_bytes", 0))
        if not state:
            return
        self.step, self.batches.cursor = state["step"], state["batches"]
        self.collapsing = state.get("collapsing", 0)  # runs of older versions lack it and the joint score
        self.window = {key: tuple(value) for key, value in state["window"].items()}
        self.best = Best(**state["best"], weights=tensors["best"])
        self.joint = Best(**state.get("joint", {}), weights=tensors.get("joint"))
        for name, player in self.players.items():
            if f"net-{name}" in tensors:
                player.net.load_state_dict(tensors[f"net-{name}"])
            if player.optimizer is not None:
                restore_optimizer(player.optimizer, tensors[f"optimizer-{name}"], state["optimizers"][name])
                player.to(self.accelerator.device)
        self._restore_random_states(tensors["random"])

    def _restore_random_states(self, states: dict[str, Tensor]) -> None:
        """The inverse of `_random_states`; another number of processes than before draws other masks of dropout."""
        self.rng.set_state(states["sampler"][0])
        if len(states["dropout"]) != self.share.world:
            torch.manual_seed(self.seed * 1_000_003 + self.step + self.share.rank)
            return
        mine = {key: state[self.share.rank].clone() for key, state in states.items()}  # torch forgets a view's offset
        torch.set_rng_state(mine["dropout"])
        if "dropout_cuda" in mine:
            torch.cuda.set_rng_state(mine["dropout_cuda"], self.accelerator.device)

    def standing(self) -> str:
        """Which checkpoint a failure has left."""
        found = checkpoints(self.folder)
        return f"{found[0].name} stands" if found else "no checkpoint yet"
