"""Runs the phases of a recipe: logs, checkpoints, resumes. What no paper mentions is here.

Only this file writes a run folder:

    RUN/recipe.json  log.jsonl  heldout.txt  samples/  generator/  best/  ckpt-000120/
    RUN/text/ (a large corpus, as ids)  adopted/ (a language model of others, in our order)  prompts.safetensors
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from textgan import machine
from textgan.adoption import adopt
from textgan.batches import Data, Source, TextSettings, cautions, prepare, read_corpus
from textgan.checkpoints import checkpoints, clean, load_checkpoint, locked, replace_folder, save_checkpoint
from textgan.controls import check_control
from textgan.errors import InputError, Interrupted
from textgan.generators import Generator
from textgan.graphs import fixed_shapes
from textgan.labels import draw_labels
from textgan.manifest import write_manifest
from textgan.processes import average, gather, sharing
from textgan.progress import Progress
from textgan.prompts import FILE as PROMPTS
from textgan.prompts import check_prompt, save_prompts
from textgan.runs import BEST, Run
from textgan.sequences import Samples
from textgan.settings import Schedule, check_start, choose, cold_start, refuse_other_settings, settings_of
from textgan.state import State
from textgan.text import decode, make_folder, save_tokenizer, write_json, write_lines
from textgan.updates import Logs, Phase, Recipe, check_recipe
from textgan.watch import SELDOM, Best, Watch, held_out_nll

SAMPLED = 200  # sentences drawn at each evaluation
MANY = 1000  # and for the metrics that are seldom measured
LOOKS = 10  # at the held-out text in a phase that is stopped early, at least
COLLAPSED = 3  # exit status of a run that the collapse watch has stopped


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
    if not isinstance(text, TextSettings):
        raise InputError(f"text {text!r} must be text settings, as textgan.TextSettings(tokens='characters')")
    if not 0 <= seed < 1 << 32:
        raise InputError(f"--seed {seed} must be from 0 to {(1 << 32) - 1}")
    chosen, facts = choose(recipe, preset)
    check_recipe(chosen)
    check_prompt(str(text.prompt), chosen)
    if control is not None:
        check_control(control)
        facts["control"] = control
    if start is not None:
        check_start(Run.open(start), chosen)
    folder = Path(out)
    if not resume and (folder / "recipe.json").exists():
        raise InputError(f"{folder} already holds a run; give --resume to go on with it or another --out")
    classes = getattr(chosen, "classes", False)
    read = read_corpus(corpus, text, classes=classes)
    held = None if valid is None else read_corpus(valid, text, classes=classes)
    make_folder(folder)
    accelerator = machine.accelerator(device, precision)
    if chosen.batch % accelerator.num_processes:
        several = f"{accelerator.num_processes} processes, which share it evenly"
        raise InputError(f"--batch {chosen.batch} must be a multiple of the {several}")
    if control is not None:
        check_control(control, accelerator.num_processes)
    main, anew = accelerator.is_main_process, resume and not (folder / "recipe.json").exists()
    board = folder / "tensorboard" if tensorboard and main else None
    with locked(folder) if main else nullcontext():
        with accelerator.main_process_first():  # what the first one keeps in the folder, the others find there
            adopted = adopt(chosen, folder)
            facts |= adopted.facts
            data = prepare(
                read, held, text, folder=folder / "text", recipe=chosen.name, classes=classes,
                tokenizer=adopted.tokenizer,
            )  # fmt: skip
        del read, held  # a text that does not fit into memory leaves the disk
        with machine.threads(threads), torch.random.fork_rng(), machine.signals() as asked, machine.enough_memory():
            state = State(chosen, adopted.recipe, data, seed=seed, accelerator=accelerator, control=control)
            settings = settings_of(
                chosen, state.players, data.facts, seed=seed, schedule=vars(schedule), accelerator=accelerator
            )
            numbered = hashlib.sha256(data.tokenizer.to_str().encode()).hexdigest()
            settings |= {"text": vars(text), "tokenizer": numbered} | facts
            if start is not None:
                settings["start"] = state.begin_with(Run.open(start), data.tokenizer)
            elif resume and (began := _began(folder)):
                settings["start"] = began
            training = _Training(state, data, folder, settings, schedule, accelerator, on_log)
            size = max(settings["parameters"].values())
            with (
                machine.suited_threads(size, machine.USUAL_THREADS) as n,
                Progress(training.total, batch=chosen.batch, shown=progress and main, tensorboard=board) as bar,
            ):
                settings["threads"] = n
                if anew:
                    bar.say(f"nothing to resume in {folder}; it begins anew")
                if not resume and (cold := cold_start(chosen, settings)):
                    bar.say(f"warning: {cold}")
                try:
                    training.run(bar, asked)
                except ConnectionError as error:
                    raise Interrupted(f"{folder}: {error}; {training.standing()}, --resume goes on", 1) from error
                except OSError as error:
                    problem = f"{folder}: cannot write ({error.strerror or error})"
                    raise InputError(f"{problem}; {training.standing()}; mend that, then --resume") from error
    return Run.open(folder)


def _began(folder: Path) -> dict[str, Any] | None:
    """What recipe.json says of the run that one began with; once there is a checkpoint, that one is not needed."""
    if not checkpoints(folder) or not (folder / "recipe.json").exists():
        return None
    found: dict[str, Any] | None = Run.open(folder).settings.get("start")
    return found


class _Training:
    """One run in progress: its state, and the files that tell of it."""

    def __init__(
        self,
        state: State,
        data: Data,
        folder: Path,
        settings: dict[str, Any],
        schedule: Schedule,
        accelerator: Any,
        on_log: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.state, self.data, self.folder, self.settings, self.schedule = state, data, folder, settings, schedule
        self.accelerator, self.on_log = accelerator, on_log
        self.watch = Watch(data, SAMPLED)
        self.total = state.total
        self.begun = bool({"start", "pretrained"} & settings.keys())  # with weights that may be the best ones
        self.keeps_joint = not all(phase.keep_best for phase in state.phases)

    def run(self, bar: Progress, asked: list[int]) -> None:
        """All phases from wherever the newest checkpoint stands."""
        state = self.state
        self.restore(bar)
        n, size = self.settings["threads"], max(self.settings["parameters"].values())
        bar.hint(f"{n} thread{'s' * (n > 1)}; the largest net has {size:,} parameters (--threads N overrides)")
        bar.start(state.step)
        if state.step == 0:
            for line in cautions(self.data.facts):
                bar.say(f"warning: {line}")
            self.record(state.phases[0], bar, evaluate=True)
        first = 0
        for phase in state.phases:
            for step in range(state.step - first, phase.steps):
                with self.accelerator.autocast(), sharing(state.share):
                    logs = self._averaged(phase.update(step, state.batches))
                state.step += 1
                bar.step(phase.name)
                for key, value in logs.items():
                    total, count = state.window.get(key, (0.0, 0))
                    state.window[key] = (total + value, count + 1)
                self.after(phase, bar, step + 1)
                if self._stop(asked):
                    self._interrupt("", 128 + asked[0])
                if 0 < self.schedule.collapse_stop <= state.collapsing:
                    self._interrupt(f" ({state.collapsing} evaluations in a row looked like collapse)", COLLAPSED)
            first += phase.steps
        self.save()

    def _interrupt(self, why: str, code: int) -> None:
        self.save()
        raise Interrupted(f"{self.folder}: stopped at step {self.state.step}{why}; saved, --resume goes on", code)

    def after(self, phase: Phase, bar: Progress, done: int) -> None:
        """What is due once so many of the phase's steps are done: a row of the log, an evaluation, a checkpoint."""
        state, costly, ends = self.state, self.schedule.metrics_every, done == phase.steps
        fully = costly > 0 and (state.step == self.total or state.step % costly == 0)
        evaluate = ends or fully or state.step % self.schedule.eval_every == 0
        if ends and phase.keep_best:
            self.keep_best(phase, bar)
        elif phase.keep_best and not evaluate and done % min(self.schedule.eval_every, phase.steps // LOOKS or 1) == 0:
            self.look()
        if evaluate or state.step % self.schedule.log_every == 0:
            self.record(phase, bar, evaluate=evaluate, fully=fully)
        if ends:
            state.best = Best()
        if state.step % self.schedule.save_every == 0 and state.step < self.total:
            self.save()

    def look(self) -> None:
        """Measure the held-out NLL for early stopping alone: a short phase may end before its first evaluation."""
        state = self.state
        state.check()
        state.best.offer(held_out_nll(state.generator, self.data.held_out), state.step, state.generator)

    def keep_best(self, phase: Phase, bar: Progress) -> None:
        """The weights of the phase's lowest held-out NLL, its last step among them: the last row and samples are of
        these."""
        state = self.state
        self.look()
        if state.best.weights:  # none where every NLL was no number
            state.generator.load_state_dict(state.best.weights)
            bar.say(f"{phase.name}: kept step {state.best.step}, held-out NLL {state.best.score:.4f} nats a token")

    def record(self, phase: Phase, bar: Progress, *, evaluate: bool, fully: bool = False) -> None:
        """One row of log.jsonl; with evaluate also held-out scores, samples, and the collapse watch."""
        state = self.state
        row: dict[str, Any] = {"step": state.step, "phase": phase.name}
        state.check()
        row |= {key: float(total) / count for key, (total, count) in state.window.items()}
        state.window = {}
        if evaluate:
            row["valid_nll"] = held_out_nll(state.generator, self.data.held_out)
            samples = self._draw(SAMPLED)
            lines = self._lines(samples)
            row |= self.watch.measure(samples, row["valid_nll"]) | self.watch.scores(lines)
            if self.data.truth is not None:
                row |= self.data.truth.figures(lines)
            if fully and state.step:
                row |= self.watch.scores(self._lines(self._draw(MANY)), SELDOM)
            if state.step or self.begun:
                self._judge(phase, row)
        if not self.accelerator.is_main_process:
            return
        if evaluate:
            write_lines(self.folder / "samples" / f"{state.step:06d}.txt", lines)
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        bar.row(row)
        if self.on_log is not None:
            self.on_log(row)

    def _averaged(self, logs: Logs) -> Logs:
        """The means over the processes, as numbers where that waits for no card."""
        device = self.accelerator.device
        if self.state.share.world == 1:
            return logs if fixed_shapes(device) else {key: float(value) for key, value in logs.items()}
        values = torch.stack([torch.as_tensor(x, dtype=torch.float64, device=device) for x in logs.values()])
        return dict(zip(logs, average([values])[0].tolist(), strict=True))

    def _judge(self, phase: Phase, row: dict[str, Any]) -> None:
        """Warn of what looks like collapse, and keep the weights where a score is the best so far."""
        state = self.state
        if warning := self.watch.warning(row):
            row["warning"] = warning
        state.collapsing = state.collapsing + 1 if warning else 0
        if phase.keep_best:
            state.best.offer(row["valid_nll"], state.step, state.generator)
        if self.keeps_joint:
            state.joint.offer(row["joint"], state.step, state.generator)

    def _draw(self, n: int) -> Samples:
        generator = self.state.generator
        rng = torch.Generator(generator.device).manual_seed(self.state.seed * 1_000_003 + self.state.step)
        context = draw_labels(self.data.labels, n, generator.vocab_size, rng)
        return generator.sample(n, context=context, rng=rng)

    def _lines(self, samples: Samples) -> list[str]:
        return decode(self.data.tokenizer, samples.tokens.cpu().numpy())

    def _stop(self, asked: list[int]) -> bool:
        """Whether any process has been signalled; all of them stop at the same step."""
        if self.state.share.world == 1:
            return bool(asked)
        with sharing(self.state.share):
            signalled = int(gather(torch.tensor(asked[:1] or [0], device=self.accelerator.device)).max())
        if signalled and not asked:
            asked.append(signalled)
        return signalled > 0

    def save(self) -> None:
        """A checkpoint of the state, and RUN/generator and RUN/best as Hugging Face folders."""
        self.state.check()
        tensors, values = self.state.to_checkpoint()
        if not self.accelerator.is_main_process:
            return
        log = self.folder / "log.jsonl"
        values["log_bytes"] = log.stat().st_size if log.exists() else 0
        with open(log, "a", encoding="utf-8") as file:
            os.fsync(file.fileno())
        save_checkpoint(self.folder, self.state.step, tensors, values, keep=self.schedule.keep)
        replace_folder(self.folder / "generator", lambda folder: self._write(self.state.generator, folder))
        if (best := self.state.best_generator()) is not None:
            replace_folder(self.folder / BEST, lambda folder: self._write(best, folder))

    def _write(self, generator: Generator, folder: Path) -> None:
        try:
            generator.save(folder)
        except SafetensorError as error:  # what safetensors makes of a full disk
            raise OSError(str(error)) from error
        save_tokenizer(self.data.tokenizer, folder)
        write_manifest(folder)

    def restore(self, bar: Progress) -> None:
        """Take up the newest good checkpoint, or begin: heldout.txt, prompts, then recipe.json; an empty log."""
        main = self.accelerator.is_main_process
        if main:
            clean(self.folder)
        self.accelerator.wait_for_everyone()
        tensors, values, skipped = load_checkpoint(self.folder)
        for line in skipped:
            bar.say(f"skipped {line}")
        if main:
            if known := (self.folder / "recipe.json").exists():
                refuse_other_settings(Run.open(self.folder).settings, self.settings)
            if not known or not (self.folder / "heldout.txt").exists():
                write_lines(self.folder / "heldout.txt", self.data.held_out_lines)
            if self.data.prompts is not None and not (known and (self.folder / PROMPTS).exists()):
                save_prompts(self.data.prompts, self.folder)
            if not known:  # last: with it the folder is a run
                write_json(self.folder / "recipe.json", self.settings)
            (self.folder / "samples").mkdir(exist_ok=True)
            if (lost := cut_log(self.folder / "log.jsonl", values.get("log_bytes", 0))) > 0:
                bar.say(f"log.jsonl has lost {lost} bytes that the checkpoint knows of; it goes on with the rest")
        if values:
            self.state.take_up(tensors, values)
            if 0 < self.schedule.collapse_stop <= self.state.collapsing:
                self.state.collapsing = 0  # whoever goes on with what looked like collapse is not stopped at once

    def standing(self) -> str:
        """Which checkpoint a failure has left."""
        found = checkpoints(self.folder)
        return f"{found[0].name} stands" if found else "no checkpoint yet"


def cut_log(path: Path, known: int) -> int:
    """Leave the rows of the log that a checkpoint knows of, so many bytes; how many of these are lost."""
    with open(path, "a+b") as log:
        whole = known
        if log.tell() < known:  # it was shortened, perhaps within a row
            log.seek(0)
            whole = log.read().rfind(b"\n") + 1
        log.truncate(whole)
    return known - whole
