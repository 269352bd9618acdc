"""What the benchmarks on known languages share: every recipe's game for some seconds, its start, its controls.

A game begins with its seed's maximum likelihood, unless its paper has no pre-training; a recipe that has a generator of
its own, or classes, begins with as much maximum likelihood of its own (RECIPE-start, which is a row beside it). A game
has as many rounds as its seconds of one processor pay for, timed in a trial of some rounds and written into the result.
"mle-equal" is maximum likelihood for the seconds that its seed's game of EQUAL took, on top of that of the start.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("TEXTGAN_DATA", str(ROOT.parent / "shared" / "data"))

from textgan import Run, Schedule, fit, recipes  # noqa: E402
from textgan.controls import CONTROLS  # noqa: E402
from textgan.experiment import Job, read_results, seconds_a_step, seconds_of_phases, steps_within  # noqa: E402
from textgan.generators import GeneratorSpec  # noqa: E402

SEEDS = (0, 1, 2)
CONTROLLED = ("seqgan", "relgan")
OWN = "-start"  # a recipe's own maximum likelihood
EQUAL = "seqgan"  # the game whose seconds maximum likelihood at equal compute has
VARIANTS: Mapping[str, Mapping[str, Any]] = {  # of the games that begin as the papers do, where they have the fields
    "": {},
    "-no-baseline": {"fields": {"baseline": False}},  # as in the papers: rewards above 0 sharpen G, whoever D likes
    "-no-baseline-constant": {"fields": {"baseline": False}, "control": "constant"},
    "-no-baseline-shuffled": {"fields": {"baseline": False}, "control": "shuffled"},
    "-long": {"times": 10},
    "-judged": {"times": 5, "fields": {"judge_steps": 3000, "discriminator_updates": 30}},
}
NEVER = Schedule(log_every=1, eval_every=10**6, save_every=10**6)


def known_fields(recipe: Any) -> set[str]:
    """The names of a recipe's fields."""
    return {field.name for field in dataclasses.fields(recipe)}


@dataclass(frozen=True)
class Ground:
    """A language to play on, and what every game on it has.

    runs, results: folders. word: what the names of its jobs begin with. train, valid: sources; labelled: those for
    recipes with classes, which sit out without them. settings: a recipe's word -> the recipe at its settings here.
    generator: what all have that can have it. likelihoods: name -> fields; the games begin with "mle", those of
    `papers` with "mle-papers" as well, in all VARIANTS. own: a recipe's word -> fields of its own start that differ
    from those of "mle"; steps of D alone are there for a D that G reads, and then are not in the game. also: name ->
    what `game` is given of further ones. budget: fields of games, where they have them. seconds: of a game. measured:
    a run and a seed -> what is told of it.
    """

    runs: Path
    results: Path
    word: str
    train: str
    valid: str
    settings: Callable[[str], Any]
    generator: GeneratorSpec
    likelihoods: Mapping[str, Mapping[str, Any]]
    budget: Mapping[str, Any]
    seconds: float
    eval_every: int
    measured: Callable[[Run, int], dict[str, Any]]
    labelled: tuple[str, str] | None = None
    papers: Sequence[str] = field(default_factory=tuple)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def recipe(self, name: str, **changes: Any) -> Any:
        """The recipe as it is played here, with these fields where it has them."""
        base = self.settings(name)
        if type(type(base)().generator) is type(self.generator):
            changes["generator"] = self.generator
        known = known_fields(base)
        return dataclasses.replace(base, **{key: value for key, value in changes.items() if key in known})

    def fit(self, recipe: Any, seed: int, out: Path, **options: Any) -> Run:
        train, valid = (self.labelled or ("", "")) if hasattr(recipe, "classes") else (self.train, self.valid)
        options = {"schedule": Schedule(eval_every=self.eval_every, save_every=10**6, keep=1)} | options
        return fit(recipe, train, valid=valid, out=out, seed=seed, device="cpu", threads=1, progress=False, **options)

    def start_of(self, recipe: str, begins: str = "mle") -> str | None:
        """The likelihood that a recipe's game begins with; None where that is noise."""
        usual = self.recipe(recipe)
        if not getattr(usual, "mle_steps", 0):
            return None
        shared = usual.generator == self.generator and not hasattr(usual, "classes")
        return begins if shared else recipe + OWN

    def started(self, name: str, seed: int) -> Run:
        """The run of a likelihood; trained, to the same bytes, where its result came from another machine."""
        recipe, out = name.removesuffix(OWN), self.runs / f"{self.word}{name}-{seed}"
        own = {**self.likelihoods["mle"], "judge_steps": 0, "adversarial_steps": 0, **self.own.get(recipe, {})}
        alone = self.recipe("mle", **self.likelihoods[name]) if name in self.likelihoods else self.recipe(recipe, **own)
        return self.fit(alone, seed, out, resume=out.exists())

    def likelihood(self, name: str, seed: int) -> dict[str, Any]:
        """Maximum likelihood alone, whose run folder the games begin with."""
        return self.measured(self.started(name, seed), seed)

    def equal(self, seed: int) -> dict[str, Any]:
        """Maximum likelihood for as long as the seed's game of EQUAL and its judge's steps took."""
        name = f"{self.word}{EQUAL}-{seed}"
        seconds = read_results(self.results, name)[name]["game_seconds"]
        alone = dict(self.likelihoods["mle"])
        per_step = self.timed(self.recipe("mle", **alone | {"mle_steps": 8}), "mle")
        steps = alone.pop("mle_steps") + steps_within(seconds, per_step)
        with tempfile.TemporaryDirectory() as folder:
            run = self.fit(self.recipe("mle", mle_steps=steps, **alone), seed, Path(folder) / "run")
            return {"extra_seconds": seconds, "steps": steps} | self.measured(run, seed)

    def game(
        self, recipe: str, seed: int, control: str | None = None, begins: str = "mle", times: int = 1,
        fields: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """A recipe for so many times its seconds, from its seed's maximum likelihood or from its own; fields: beside
        the budget's."""
        start = self.start_of(recipe, begins)
        options = {"start": self.started(start, seed).path if start else None, "control": control}
        budget = {**self.budget, "mle_steps": 0, **(fields or {})}
        if "judge_steps" in self.own.get(recipe, {}):
            budget["judge_steps"] = 0
        trial = budget | {"judge_steps": 0, "adversarial_steps": 4}
        rounds = steps_within(times * self.seconds, self.timed(self.recipe(recipe, **trial), "adversarial", **options))
        chosen = self.recipe(recipe, **budget | {"adversarial_steps": rounds})
        rows: list[tuple[str, float]] = []
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            run = self.fit(chosen, seed, Path(folder) / "run", **options,
                           on_log=lambda row: rows.append((row["phase"], time.process_time())))  # fmt: skip
            spent = seconds_of_phases(rows, began)
            spent.pop("mle", None)  # the start's evaluation
            return {"game_seconds": sum(spent.values()), "rounds": rounds} | self.measured(run, seed)

    def timed(self, recipe: Any, phase: str, **options: Any) -> float:
        """Processor seconds a step of a phase, from a short trial; evaluations are left out."""
        rows: list[tuple[str, float]] = []
        with tempfile.TemporaryDirectory() as folder:
            self.fit(
                recipe, 0, Path(folder) / "run", schedule=NEVER,
                on_log=lambda row: "valid_nll" in row or rows.append((row["phase"], time.process_time())), **options,
            )  # fmt: skip
        return seconds_a_step(rows, phase)

    def jobs(self) -> list[Job]:
        """In the order in which they are worth most: a seed at a time."""
        owns = [start for name in self.games() if (start := self.start_of(name)) not in (None, "mle")]
        cells = [(name, self.likelihood, {"name": name}, "") for name in (*self.likelihoods, *owns)]
        cells += [(name, self.game, {"recipe": name}, "mle") for name in self.games()]
        cells += [
            (f"{name}-{control}", self.game, {"recipe": name, "control": control}, "mle")
            for name in CONTROLLED
            for control in CONTROLS
        ]
        cells += [
            (f"{name}-from-papers{word}", self.game, {"recipe": name, "begins": "mle-papers"} | more, "mle-papers")
            for name in self.papers
            for word, more in VARIANTS.items()
            if set(more.get("fields", ())) <= known_fields(self.settings(name))
        ]
        cells += [(name, self.game, dict(given), "mle") for name, given in self.also.items()]
        cells.append(("mle-equal", self.equal, {}, EQUAL))
        job = self.word + "{}-{}"
        return [
            Job(job.format(name, seed), work, {"seed": seed} | cell, (job.format(needs, seed),) if needs else ())
            for seed in SEEDS
            for name, work, cell, needs in cells
        ]

    def games(self) -> list[str]:
        """The recipes that are played here."""
        kinds = [kind for kind in recipes.RECIPES if self.labelled or not hasattr(kind, "classes")]
        return [kind.name for kind in kinds if kind.name != "mle"]  # type: ignore[attr-defined]
