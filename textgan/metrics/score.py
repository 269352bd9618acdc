"""What a figure is: its value, its direction, its size and everything that makes it comparable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from ..errors import InputError
from .reasons import Unmeasurable
from .sets import Sets

Better = Literal["higher", "lower", "match"]
Needs = Literal["", "reference", "half", "train"]

#: Parts of a signature that two comparable figures may differ in: the draw and the name of nothing that is measured.
FREE = ("seed",)


class Score(NamedTuple):
    """One measured figure.

    `better` says which way is better ("match": the nearer to real text). `n` is the number of lines that were scored.
    `signature` is "name|key:value|...": all that must agree before two figures may be compared.
    `low` and `high` are a 95 % interval where one is valid, else None.
    """

    name: str
    value: float
    better: Better
    n: int
    signature: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Metric(ABC):
    """A way to score a text. A frozen dataclass: its fields are its settings, and they are printed in its signature.

    A subclass has a `name`, says which way is `better`, which second text it `needs` ("": none, "reference": all of
    the reference, "half": a disjoint half of it, "train": the training text), and writes `measure`, or `per_line` when
    it is a mean over lines with a fixed second text. An undefined figure raises `Unmeasurable`, and is never 0 or NaN.
    """

    better: ClassVar[Better] = "match"
    needs: ClassVar[Needs] = ""
    family: ClassVar[str] = ""
    aspect: ClassVar[Literal["quality", "diversity", "likeness", "copying"]] = "likeness"
    #: What it means to be significantly below and above real text's own value.
    below: ClassVar[str] = "below real text"
    above: ClassVar[str] = "above real text"
    #: True: repeated lines change it, so intervals come from leaving groups out, never from the bootstrap.
    set_valued: ClassVar[bool] = True
    #: Raised when what is measured changes. It is in the signature, so old figures are not compared with new ones.
    definition: ClassVar[int] = 1
    #: Why there is no interval, where none is known to be valid.
    no_interval: ClassVar[str] = ""
    #: True: takes seconds rather than milliseconds on 10,000 lines, and is measured only where it is asked for.
    slow: ClassVar[bool] = False

    @property
    def name(self) -> str:
        order = getattr(self, "order", None)
        return self.family if order is None else f"{self.family}-{order}"

    @abstractmethod
    def measure(self, sets: Sets) -> float:
        """The value on these texts, finite; raises Unmeasurable with the reason where there is none."""

    def standard_error(self, sets: Sets) -> float | None:
        """The error of the value by a formula; None where there is none (a jackknife serves what is `set_valued`)."""
        return None

    def caution(self, sets: Sets) -> str | None:
        """Why this value should be taken with care on these texts, or None."""
        return None

    def settings(self) -> dict[str, object]:
        """What the signature says about this metric besides its name and the sizes."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "order"}

    def score(self, sets: Sets) -> Score:
        """Measure and sign."""
        return Score(self.name, float(self.measure(sets)), self.better, self.size(sets), self.sign(sets))

    def size(self, sets: Sets) -> int:
        """Lines that are scored."""
        return len(sets.half_text if self.needs == "half" else sets.text)

    def sign(self, sets: Sets) -> str:
        """ "name|n:..|refs:..|setting:value|..|tokens:words|case:kept|seed:..|textgan.metrics:1"."""
        parts: list[tuple[str, object]] = [("n", self.size(sets))]
        if self.needs:
            kind = "train" if self.needs == "train" else "reference"
            parts.append(("train" if kind == "train" else "refs", sets.references(self.needs)))
            parts += [(f"{kind}-sha256", sets.marks[kind])] if kind in sets.marks else []
            parts += [("half-seed", sets.marks["half"])] if self.needs == "half" and "half" in sets.marks else []
        parts += self.settings().items()
        parts += [("tokens", sets.text.tokenise), ("case", "kept"), ("seed", sets.seed)]
        parts += [("textgan.metrics", self.definition)]
        return self.name + "".join(signed(key, value) for key, value in parts)


def signed(key: str, value: object) -> str:
    """One setting of a signature, "|key:value"; a bar in the value would begin another."""
    return f"|{key}:{str(value).replace('|', '/')}"


class MeanMetric(Metric):
    """A mean over lines with a fixed second text, so that its interval is that of a mean."""

    set_valued: ClassVar[bool] = False
    #: True: each line's value is 0 or 1.
    share: ClassVar[bool] = False

    @abstractmethod
    def per_line(self, sets: Sets) -> np.ndarray:
        """(n,) float: the value of each line."""

    def measure(self, sets: Sets) -> float:
        values = self.per_line(sets)
        if not len(values):
            raise Unmeasurable(f"{self.name} is a mean over lines and there are none")
        return float(values.mean())

    def standard_error(self, sets: Sets) -> float | None:
        values = self.per_line(sets)
        return share_error(values) if self.share else float(values.std(ddof=1)) / len(values) ** 0.5


def share_error(values: np.ndarray) -> float:
    """Standard error of a share that stays above 0 when all or none have it. Agresti & Coull 1998."""
    n = len(values) + 4
    share = (float(values.sum()) + 2) / n
    return (share * (1 - share) / n) ** 0.5


def parse_signature(signature: str) -> tuple[str, dict[str, str]]:
    """The name and the settings of a signature."""
    name, *parts = signature.split("|")
    return name, dict(part.split(":", 1) for part in parts)


def why_incomparable(one: Score, other: Score) -> str | None:
    """The reason why two figures may not be compared, or None when they may."""
    if one.name != other.name:
        return f"{one.name} and {other.name} are different metrics"
    if one.n != other.n:
        return (
            f"{one.name} was measured on {one.n} and on {other.n} lines, and its value depends on the number;"
            f" measure both at n = {min(one.n, other.n)}"
        )
    _, left = parse_signature(one.signature)
    _, right = parse_signature(other.signature)
    for key in left.keys() | right.keys():
        mine, theirs = left.get(key, "nothing"), right.get(key, "nothing")
        if key not in FREE and mine != theirs:
            return f"{one.name} was measured with {key} = {mine} and with {key} = {theirs}; use the same for both"
    return None


def require_comparable(one: Score, other: Score) -> None:
    """Raise InputError with the reason when two figures may not be compared."""
    if reason := why_incomparable(one, other):
        raise InputError(reason)
