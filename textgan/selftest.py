"""Does a recipe learn at all? A language that a discriminator sees through at once, and controls that learn nothing.

Real text says "yes" and hardly ever "no"; the generator begins as noise over both. Without any pre-training the game
alone has to bring it to "yes", and the same game in which D tells G a constant must not. Under two minutes. Where
sentences have classes, one of them says "aye", and the generator has to say what its class says. What would teach G
without D (replayed or demonstrated real sentences, maximum likelihood in between) is left out. A recipe whose game
cannot begin with noise (`from_noise`) has maximum likelihood first, of text that says either word alike.

Nor must a D that takes the same steps at a rate of 0. As its seed made it, it prefers yes or no by luck, and G learns
what it prefers: so the game is played at the first of some seeds at which such a D does not bring G to "yes". Where
real sentences enter G's own objective (RankGAN's ranks, TextGAN's features) any D does at all seeds. There D is asked
for itself: alone against the untrained G, its own loss has to fall.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from textgan import recipes
from textgan.controls import judges_of
from textgan.errors import NotFinite
from textgan.generators import LSTM, Leak, Transformer
from textgan.runs import Run
from textgan.training import Schedule, fit
from textgan.updates import Recipe

REAL = ["yes yes yes", "yes yes"] * 40 + ["no no no", "no no"]
PATTERN = "yes"
CLASSES = {"a": "yes", "b": "aye"}  # what each says instead
EITHER = 4  # times that each sentence of words stands in the text that says all alike
SAMPLED = 500  # sentences
SEEDS = 5  # the asked one and those after it
LEARNT, GAIN = 0.9, 0.2  # share of "yes" that is enough; how far it must have risen, over the start and the controls
FALL = 0.5  # of D's own loss, alone, of that of a D that never learns
SMALL = {  # fields of recipes and their nets, where they have them
    "batch": 32, "mle_steps": 0, "judge_steps": 60, "adversarial_steps": 120, "rollouts": 4,
    "discriminator_updates": 2, "generator_lr": 0.01, "discriminator_lr": 0.002, "sentences": 160,
    "group": 32, "replay": 0.0, "mle_every": 1000, "demonstrations": 0.0,
    "first_temperature": 1.0,  # from 5, soft words are all alike for most of so few rounds: D judges softness alone
}  # fmt: skip
SIZES = {
    "embedding": 16, "hidden": 16, "width": 16, "layers": 1, "representations": 4, "widths": (1, 2, 3),
    "filters": (16, 16, 16), "dropout": 0.0,
}  # fmt: skip
ATTENTION = {"generator_lr": 0.002}  # of a transformer, which at five times this rate forgets all but one sentence
# Of LeakGAN's, which at the usual rate outruns D: of three seeds one ended where the manager's first goals pointed.
SLOW = {"generator_lr": 0.001, "adversarial_steps": 200, "rollouts": 2}
LIKELIHOOD = {"mle_steps": 150, "mle_lr": 0.02}  # of a recipe that is nothing else


class SelfTest(NamedTuple):
    """Shares of the pattern in a generator's words: untrained, trained, and trained under the two controls."""

    recipe: str
    before: float
    after: float
    control: float | None  # D's word made constant; None where there is no discriminator to be silenced
    fixed: float | None  # a D that never learns; None where none ever does
    seed: int  # at which all these were played
    seconds: float
    reason: str = ""  # why the recipe's game needs pre-training, where it does
    losses: tuple[float, float] | None = None  # D's own, alone: of one that never learns and of one that does

    @property
    def undecided(self) -> bool:
        """G learns above a silent D, but at no seed less under one that never learns, and D's own loss stays."""
        return self._learnt and not self._d_learns

    @property
    def passed(self) -> bool:
        """Learnt, and not by the mere motion that a control makes as well."""
        return self._learnt and self._d_learns

    @property
    def _d_learns(self) -> bool:
        fallen = self.losses is not None and self.losses[1] < FALL * self.losses[0]
        return tells(self.fixed) or fallen  # the former is GAIN below what is learnt

    @property
    def _learnt(self) -> bool:
        return self.after >= max(LEARNT, self.before + GAIN, (self.control or 0.0) + GAIN)

    def __str__(self) -> str:
        wanted = f"{LEARNT:.0%} was wanted, and {GAIN:.0%} above start and controls"
        luck = f"so it does with a D that never learns (at each of {SEEDS} seeds), and D's own loss does not fall"
        failed = f"G learns, but {luck}" if self.undecided else f"does NOT learn ({wanted})"
        controls = "no discriminator" if self.control is None else f"{self.control:.1%} with a constant reward"
        controls += "" if self.fixed is None else f", {self.fixed:.1%} with a D that never learns"
        if self.losses is not None:
            controls += "; D's own loss {:.2f} there, {:.2f} where it learns".format(*self.losses)
        shares = f"words of the pattern: {self.before:.1%} untrained, {self.after:.1%} trained, {controls}"
        verdict = "learns" if self.passed else failed
        said = f"{self.recipe}: {verdict}; {shares}; seed {self.seed}, {self.seconds:.0f} s"
        return f"{said}; {self.reason}" if self.reason and not (self.passed or self.undecided) else said


def tells(fixed: float | None) -> bool:
    """Whether G can learn so much more from a D that learns than from one that does not: the latter's share."""
    return fixed is None or fixed <= LEARNT - GAIN


def selftest(name: str, *, seed: int = 0) -> SelfTest:
    """Train a recipe of that name on the pattern, small and short. Errors: InputError for an unknown recipe.

    seed: the first of those that are tried (`telling`).
    """
    began = time.monotonic()
    recipe: Any = small(recipes.find_recipe(name))
    control = fixed = None
    if judges := judges_of(recipe.players(SAMPLED, SAMPLED)):
        if any(judge.optimizer for judge in judges):
            seed, fixed = telling(recipe, seed)
        control = _share(recipe, seed, control="constant")
    still = dataclasses.replace(recipe, **dict.fromkeys(_steps(recipe), 0))
    before, after = _share(still, seed), _share(recipe, seed)
    reason = getattr(recipe, "from_noise", "")
    losses = None if tells(fixed) else (own_loss(_idle(recipe), seed), own_loss(recipe, seed))
    return SelfTest(name, before, after, control, fixed, seed, time.monotonic() - began, reason, losses)


def telling(recipe: Any, seed: int) -> tuple[int, float]:
    """The first of SEEDS at which a D that never learns teaches G nothing, else the first of all; and G's share there.

    D takes the steps of the real game at a rate of 0: the same sentences are drawn, and a D that is broken ends alike.
    """
    idle, shares = _idle(recipe), {}
    for tried in range(seed, seed + SEEDS):
        shares[tried] = _share(idle, tried)
        if tells(shares[tried]):
            return tried, shares[tried]
    return seed, shares[seed]


def _idle(recipe: Any) -> Any:
    return dataclasses.replace(recipe, discriminator_lr=0.0)


def own_loss(recipe: Any, seed: int) -> float:
    """D's own loss, the mean of the last half of its steps alone; infinite where it is none."""
    alone, losses = dataclasses.replace(recipe, adversarial_steps=0), []
    with TemporaryDirectory() as folder, suppress(NotFinite):
        _trained(alone, seed, Path(folder), log_every=1, on_log=lambda row: losses.append(row.get("d_loss")))
    told = [loss for loss in losses if loss is not None]
    return statistics.mean(told[len(told) // 2 :]) if told else math.inf


def small(kind: type) -> Recipe:
    """A recipe of a second or a minute: its own families of nets, small ones, and a game without pre-training."""
    usual: Any = kind()
    known = {field.name: getattr(usual, field.name) for field in dataclasses.fields(kind)}
    wanted = SMALL if "adversarial_steps" in known else SMALL | LIKELIHOOD
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if name in known}
    for net in recipes.FAMILIES:
        if net in known:
            sizes = {field.name for field in dataclasses.fields(known[net])}
            changes[net] = dataclasses.replace(known[net], **{k: v for k, v in SIZES.items() if k in sizes})
    if isinstance(changes.get("generator"), LSTM):
        changes["generator"] = LSTM(8, 16, dropout=0.0)
    for family, own in ((Transformer, ATTENTION), (Leak, SLOW)):
        if isinstance(changes.get("generator"), family):
            changes |= {name: value for name, value in own.items() if name in known}
    return kind(**(known | changes))


def _steps(recipe: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(recipe) if field.name.endswith("_steps")]


def _share(recipe: Recipe, seed: int, *, control: str | None = None) -> float:
    """The share of the pattern's word among the words that the recipe's generator ends with; 0 where a loss is none."""
    with TemporaryDirectory() as folder:
        try:
            run = _trained(recipe, seed, Path(folder), control=control)
        except NotFinite:
            return 0.0
        wanted: dict[str | None, str] = dict(_classes(recipe).items()) or {None: PATTERN}
        said = {name: " ".join(run.sample_text(SAMPLED, seed=seed, label=name)).split() for name in wanted}
    return sum(said[name].count(word) for name, word in wanted.items()) / max(1, sum(map(len, said.values())))


def _trained(recipe: Any, seed: int, folder: Path, *, log_every: int = 10**6, **options: Any) -> Run:
    """The recipe's run on the pattern; after maximum likelihood of either word where it cannot begin with noise."""
    seldom = Schedule(log_every=log_every, eval_every=10**6, save_every=10**6, keep=1)
    real, valid, classes = REAL, ["yes yes"], _classes(recipe)
    if classes:
        real, valid = ([said for line in lines for said in _labelled(line)] for lines in (real, valid))
    usual: dict[str, Any] = {
        "valid": valid, "seed": seed, "device": "cpu", "threads": 1, "schedule": seldom, "progress": False
    }  # fmt: skip
    if hasattr(recipe, "from_noise"):
        none = dict.fromkeys(_steps(recipe), 0)
        first: Any = dataclasses.replace(recipe, **none | LIKELIHOOD)
        usual["start"] = fit(first, _either(classes), out=folder / "first", **usual).path
    return fit(recipe, real, out=folder / "run", **usual, **options)


def _classes(recipe: Any) -> dict[str, str]:
    return CLASSES if getattr(recipe, "classes", False) else {}


def _either(classes: dict[str, str]) -> list[str]:
    """All sentences of two or three words, each alike, of each class; the words as frequent in order as in REAL, whose
    ids they share."""
    words = [*(classes.values() or [PATTERN]), "no"]
    lines = [" ".join(chosen) for n in (2, 3) for chosen in product(words, repeat=n)] * EITHER + words[:-1]
    return [f"{name}\t{line}" for line in lines for name in classes] if classes else lines


def _labelled(line: str) -> list[str]:
    return [f"{name}\t{line.replace(PATTERN, word)}" for name, word in CLASSES.items()]
