"""An experiment's folder: its configuration, its splits, where each model and result lies, and what was chosen so far.

OUT/study.json  splits/  results/ (a JSON a job)  work/ (a folder a cell, which may be deleted in the end)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from textgan.errors import InputError
from textgan.laboratory.arms import REAL_ARMS, TEMPERED
from textgan.laboratory.splits import draw
from textgan.laboratory.study import Study, source, study_of
from textgan.lm.finetuning import is_small
from textgan.text import read_lines

SHORTER = 0.5  # real-only may also take so many of the steps


class Place(NamedTuple):
    """What stands in one row of the results: an arm, N, a seed, a ratio and a regime. `real` has but one of each."""

    arm: str
    n: int
    seed: int
    ratio: float
    regime: str

    @property
    def name(self) -> str:
        """Of its job and its result."""
        return f"test-{self.arm}-r{self.ratio:g}-{self.regime}-N{self.n}-s{self.seed}"


class Training(NamedTuple):
    """One fine-tuning.

    rate, temperature: a candidate's; None where another job's choice is taken over. share: of the steps, for
    candidates of real-only, which may also take fewer steps.
    """

    arm: str
    n: int
    seed: int
    ratio: float = 0.0
    regime: str = "steps"
    rate: float | None = None
    temperature: float | None = None
    share: float = 1.0

    @property
    def name(self) -> str:
        """Of its job, its result and its folder; what does not tell it from others is left out."""
        how = "" if self.arm == "real" else f"-r{self.ratio:g}-{self.regime}"
        candidates = (("lr", self.rate), ("x", self.share if self.share != 1 else None), ("T", self.temperature))
        return f"{self.arm}{how}-N{self.n}-s{self.seed}" + "".join(f"-{k}{v:g}" for k, v in candidates if v is not None)


def rate_in(training: str) -> float | None:
    """The learning rate in a candidate's name, None in that of another training."""
    found = re.search(r"-lr(\d[\d.]*(?:e[+-]\d+)?)", training)
    return float(found[1]) if found else None


class Lab:
    """A study in its folder: OUT/study.json, splits, results, and work, which may be deleted in the end."""

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.results, self.work = self.out / "results", self.out / "work"

    @cached_property
    def frozen(self) -> dict[str, Any]:
        """{"hash", "study", "recipes", "texts"}, as `running.freeze` wrote them. Errors: InputError without a study."""
        try:
            found = json.loads((self.out / "study.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.out}: no study.json, so it is no experiment; give the folder of one") from error
        if not isinstance(found, dict) or not {"hash", "study", "texts"} <= found.keys():
            raise InputError(f"{self.out}/study.json: is not what was frozen; restore it, or use another --out")
        return found

    @cached_property
    def study(self) -> Study:
        """The configuration."""
        return study_of(self.frozen["study"], f"{self.out}/study.json")

    def split(self, name: str) -> list[str]:
        """The lines of a split, by a name of `study.SPLITS`."""
        return list(read_lines(self.out / "splits" / f"{name}.txt"))

    def real(self, n: int, seed: int) -> list[str]:
        """The N real lines of a seed, which its generator, its D and every arm see."""
        return draw(self.split("train"), n, seed)

    def cell(self, n: int, seed: int) -> Path:
        """The folder of all that is made from one seed's N lines."""
        return self.work / f"N{n}-s{seed}"

    def model(self, training: Training) -> Path:
        """The folder of a tuned model."""
        return self.cell(training.n, training.seed) / "models" / training.name

    @property
    def base(self) -> str | Path:
        """What every fine-tuning begins with: a folder, a file or a hub name."""
        return self.work / "base" if is_small(self.study.base.lm) else source(self.study.base.lm)

    @property
    def judge(self) -> Path:
        """The folder of the judge's run."""
        return self.work / "judge"

    def valid_nll(self, training: Training) -> float:
        """What a done training has reached on the validation text, nats a byte; infinite for a lost candidate."""
        return nll_of(self.result(training))

    def result(self, training: Training) -> dict[str, Any]:
        """What a done training has given."""
        return json.loads((self.results / f"{training.name}.json").read_text(encoding="utf-8"))

    def best(self, candidates: Sequence[Training]) -> Training:
        """The candidate of the least validation NLL. Errors: InputError where all are lost."""
        best = min(candidates, key=self.valid_nll)
        if lost := self.result(best).get("lost"):
            raise InputError(f"no candidate is left ({best.name}: {lost})")
        return best

    def candidates(self, place: Place) -> list[Training]:
        """The trainings of which one, chosen on the validation text, stands for the arm."""
        study, (arm, n, seed, ratio, regime) = self.study, place
        if arm == "real" or (arm == "matched" and regime == "steps"):
            shares = (1.0, SHORTER) if arm == "real" else (1.0,)
            return [Training("real", n, seed, rate=r, share=s) for s in shares for r in study.tuning.learning_rates]
        one = Training(arm, n, seed, ratio, regime)
        if arm == "matched":
            return [one._replace(rate=r) for r in study.tuning.learning_rates]
        if arm in TEMPERED and place == self.main(arm, n, seed):
            return [one._replace(temperature=t) for t in study.games.temperatures]
        return [one]

    def main(self, arm: str, n: int, seed: int) -> Place:
        """Where an arm's temperature is chosen: the main ratio, the first regime."""
        return Place(arm, n, seed, self.study.ratio, self.study.regimes[0])

    def served(self, place: Place) -> bool:
        """Whether a candidate is left of those that are done."""
        return any(
            not (self.results / f"{one.name}.json").exists() or "lost" not in self.result(one)
            for one in self.candidates(place)
        )

    def training(self, place: Place) -> Training:
        """The training that stands for an arm; its candidates must be done."""
        found = self.candidates(place)
        return found[0] if len(found) == 1 else self.best(found)

    def real_training(self, n: int, seed: int) -> Training:
        """The training that stands for arm 0, real lines only."""
        return self.training(Place("real", n, seed, 0.0, "steps"))

    def tuned(self, n: int, seed: int, ratio: float, regime: str) -> Place:
        """Where the learning rate of an arm is chosen: real lines only, for as many steps as it has."""
        return Place("matched", n, seed, ratio if regime == "passes" else 0.0, regime)

    def rate(self, n: int, seed: int, ratio: float, regime: str) -> float:
        """The learning rate of all arms of that ratio and regime: `matched`'s best."""
        rate = self.training(self.tuned(n, seed, ratio, regime)).rate
        assert rate is not None
        return rate

    def temperature(self, arm: str, n: int, seed: int) -> float:
        """The one that a tempered arm was found best at."""
        found = self.candidates(self.main(arm, n, seed))
        chosen = (found[0] if len(found) == 1 else self.best(found)).temperature
        assert chosen is not None
        return chosen

    def places(self) -> list[Place]:
        """All that is measured on the test text in the end."""
        study, found = self.study, []
        for n in study.lines:
            for seed in range(study.first_seed, study.first_seed + study.seeds):
                found.append(Place("real", n, seed, 0.0, "steps"))
                for regime in study.regimes:
                    arms = sorted((arm for arm in study.arms if arm != "real"), key=lambda arm: arm not in REAL_ARMS)
                    for ratio in sorted({ratio for arm in arms for ratio in study.ratios(arm, regime)}):
                        at = [arm for arm in arms if ratio in study.ratios(arm, regime)]
                        found += [Place(arm, n, seed, ratio, regime) for arm in at]
        return found


def nll_of(found: Mapping[str, Any]) -> float:
    """The validation NLL in a training's result, infinite where the training is lost."""
    return math.inf if "lost" in found else float(found["valid_nll_per_byte"])
