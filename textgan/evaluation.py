"""Scores a text against real text, with the row of held-out real text at the same n beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, nearest
from .metrics import METRICS, USUAL, Metric, NgramIndex, Score, Sets, Unmeasurable
from .metrics.encoders import AnyEncoder, as_encoder
from .metrics.intervals import (
    FEWEST,
    GROUPS,
    LEVEL,
    MOST,
    degrees_of_freedom,
    half_width,
    holm,
    standard_errors,
    two_sided_p,
)
from .metrics.protocols import PROTOCOLS, Protocol
from .metrics.tables import Evaluation
from .text import Text, read_text, same_form

Source = str | Path | Sequence[str] | Text
Measured = dict[Metric, tuple[Score, float | None]]  # with the standard error where there is one
__all__ = ["SAME", "Evaluation", "Reference", "choose_metrics", "choose_protocol", "draw", "evaluate"]

SAME = "not told from real text"
SEEN = 1000  # lines that are looked at for their script
SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")  # Thai to Han


class Reference:
    """Real text, read and indexed once, to score many texts against (in a training loop, say).

    Half of it, drawn by the seed, serves metrics that compare two samples; its other half is real text's row there.
    """

    def __init__(
        self,
        reference: Source,
        *,
        train: Source | None = None,
        seed: int = 0,
        tokenise: str = "words",
        encoder: AnyEncoder | None = None,
        references: int | None = None,
    ) -> None:
        """references: draw so many lines of each by the seed, where it has more; None takes all."""
        read = _drawn(_read(reference, "reference"), references, [seed, 5])
        self.name, self.seed, self.tokenise, self.lines = read.name, seed, tokenise, read.lines
        self.index = NgramIndex(read.lines, tokenise=tokenise)
        self.marks = {"reference": read.sha256[:8], "half": str(seed)}
        self.texts = [(read.name, read.lines)]  # that a scored text must be of the form of
        self.train: NgramIndex | None = None
        self.encoder = None if encoder is None else as_encoder(encoder)
        self._fitted: dict[object, Any] = {}
        self._real: dict[object, Measured] = {}
        if train is not None:
            train_text = _drawn(_read(train, "training text"), references, [seed, 6])
            self.texts.append((train_text.name, train_text.lines))
            self.train = NgramIndex(train_text.lines, tokenise=tokenise)
            self.marks["train"] = train_text.sha256[:8]
        order = np.random.default_rng([seed, 3]).permutation(len(self.index))
        self._first, self._second = order[: len(order) // 2], order[len(order) // 2 :]
        self.half = self.index.select(self._first) if len(self._first) else None

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def known(self) -> set[str]:
        """The reference's lines as their words."""
        return set(self.index.spelled())

    def sets_for(self, lines: list[str], seed: int) -> Sets:
        """The texts that score `lines`; two-sample metrics see a half of the reference and as many of the lines."""
        text = NgramIndex(lines, tokenise=self.tokenise)
        rows = draw(len(text), min(len(text), len(self._first)), [seed, 4])
        return self._sets(text, None, text.select(rows), seed)

    def sets_for_real(self, n: int, seed: int) -> Sets:
        """The texts that score n lines of the reference itself, each against the other lines."""
        rows = draw(len(self), n, [seed, 2])
        half_text = self.index.select(self._second[: min(n, len(self._first))])
        return self._sets(self.index.select(rows), rows, half_text, seed)

    def measured(
        self, chosen: tuple[Metric, ...], n: int, seed: int, groups: int, progress: Callable[[str], None] | None
    ) -> Measured:
        """Real text's own row, worked out once however many texts it stands beside."""
        key = (chosen, n, seed, groups)
        if key not in self._real:
            self._real[key] = _measure(chosen, self.sets_for_real(n, seed), groups, {}, progress)
        return self._real[key]

    def _sets(self, text: NgramIndex, own: np.ndarray | None, half_text: NgramIndex, seed: int) -> Sets:
        return Sets(
            text,
            reference=self.index,
            own=own,
            half=self.half,
            half_text=half_text,
            train=self.train,
            seed=seed,
            marks=self.marks,
            encoder=self.encoder,
            fitted=self._fitted,
        )


def _read(source: Source, role: str) -> Text:
    """Read; lines that came without a file are called by their role."""
    read = read_text(source)
    return read if isinstance(source, str | Path | Text) else read._replace(name=f"the {role}")


def _drawn(text: Text, most: int | None, seed: Sequence[int]) -> Text:
    """The text, or `most` of its lines with a hash of their own."""
    if most is not None and most < 2:
        raise InputError(f"--references {most} must be at least 2")
    if most is None or len(text.lines) <= most:
        return text
    return read_text([text.lines[row] for row in draw(len(text.lines), most, seed)])._replace(name=text.name)


def draw(size: int, n: int, seed: Sequence[int]) -> np.ndarray:
    """n of `size` rows without replacement, ascending; never simply the first n, since files are not shuffled."""
    return np.sort(np.random.default_rng(list(seed)).permutation(size)[:n])


def choose_metrics(metrics: str | Iterable[str | Metric] | None) -> tuple[Metric, ...]:
    """The metrics meant: None: the usual ones; names ("BLEU-4"), families ("BLEU"), metrics, "quick" or "all"."""
    chosen: list[Metric] = []
    items = USUAL if metrics is None else metrics.split(",") if isinstance(metrics, str) else metrics
    for item in items:
        found = (
            [item] if isinstance(item, Metric) else [metric for metric in METRICS if _is_meant(metric, item.strip())]
        )
        if not found:
            raise InputError(_no_metric(str(item).strip()))
        chosen += [metric for metric in found if metric not in chosen]
    names = [metric.name for metric in chosen]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two of the metrics are called {twice[0]!r}, and figures go by their names; give one of them")
    return tuple(chosen)


def _no_metric(item: str) -> str:
    known = {name.casefold(): name for metric in METRICS for name in (metric.name, metric.family)}
    if near := nearest(item.casefold(), known):
        return f"there is no metric {item!r}; did you mean {known[near]}?"
    names = ", ".join(dict.fromkeys(metric.family for metric in METRICS))
    return f"there is no metric {item!r}; there are {names}, and each with its order, as in BLEU-4"


def _is_meant(metric: Metric, item: str) -> bool:
    return item in (metric.name, metric.family, "all") or (item == "quick" and not metric.slow)


def choose_protocol(name: str) -> Protocol | None:
    """The named protocol; None for "default", which is ours."""
    if name == "default":
        return None
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    names = ", ".join(["default", *(protocol.name for protocol in PROTOCOLS)])
    raise InputError(f"there is no protocol {name!r}; there are {names}")


def evaluate(
    text: Source,
    reference: Source | Reference,
    *,
    train: Source | None = None,
    n: int | None = None,
    seed: int = 0,
    metrics: str | Iterable[str | Metric] | None = None,
    tokenise: str | None = None,
    protocol: str = "default",
    encoder: AnyEncoder | None = None,
    groups: int = GROUPS,
    references: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score `text` against `reference` and the reference against itself, at the same n.

    n lines (default: as many as the smaller of both has) are drawn by the seed from the text and, for the row of real
    text, from the reference. Each scored line is compared with all reference lines, a real line with all others, so no
    line is its own reference; metrics that compare two samples use disjoint halves of the reference.
    text, reference, train: a path, "-", "grammar:N", or lines; reference may be a `Reference`, fitted once.
    tokenise: "words" (default: those of a fitted Reference) or "characters", for text without spaces.
    protocol: "default", or another system's way ("texygen", ...), faults included, which chooses its own lines.
    encoder: of the metrics on sentence vectors: a local Hugging Face folder, or a function of lines; default: LSA,
    trained on the reference half. groups: of the jackknife; 0 leaves out intervals and verdicts. references: draw so
    many lines of a larger reference, and of a larger train, by the seed: memory grows with the lines compared with, not
    with the files (each Score says how many there were). progress: called with the name of each slow metric.
    Raises InputError when a text has no lines or fewer than n.
    """
    named = choose_protocol(protocol)
    chosen = choose_metrics(metrics)
    if not isinstance(reference, Reference):
        reference = Reference(
            reference, train=train, seed=seed, tokenise=tokenise or "words", encoder=encoder, references=references
        )
    elif train is not None or encoder is not None or references is not None:
        raise InputError("train, encoder or references came beside a fitted Reference; give it to Reference(...)")
    elif tokenise not in (None, reference.tokenise):
        raise InputError(
            f"tokenise {tokenise!r} came beside a Reference of {reference.tokenise!r}; give it to Reference(...)"
        )
    read = _read(text, "text")
    for name, lines in reference.texts:
        same_form(name, lines, read.lines)
    if named is not None:
        return _as_published(named, read, reference, n, seed)
    n = _size(n, len(read.lines), read.name, len(reference), reference.name)
    lines = [read.lines[row] for row in draw(len(read.lines), n, [seed, 1])]
    absent: dict[str, str] = {}
    sets = reference.sets_for(lines, seed)
    ours = _measure(chosen, sets, groups, absent, progress)
    real = reference.measured(chosen, n, seed, groups, progress)
    notes = [caution for metric in ours if (caution := metric.caution(sets))]
    if groups and n >= FEWEST:
        notes += [f"{m.name} has no interval: {m.no_interval}" for m in ours if m.no_interval]
    if groups and n < FEWEST:
        notes.append(f"intervals and verdicts need at least {FEWEST} lines, and n is {n}")
    if groups and n > MOST:
        notes.append(f"metrics of the whole set have no interval above {MOST} lines; give n of at most that for one")
    return Evaluation(
        scores=[score for score, _ in ours.values()],
        real=[score for score, _ in real.values()],
        text=read.name,
        reference=reference.name,
        n=n,
        seed=seed,
        warnings=_warnings(sets.text, read.blank, reference),
        absent=absent,
        verdicts=_verdicts(ours, real, groups),
        notes=notes,
    )


def _as_published(protocol: Protocol, read: Text, reference: Reference, n: int | None, seed: int) -> Evaluation:
    if n is not None:
        raise InputError(f"n came beside protocol {protocol.name}, which takes its own number of lines; leave n out")
    text = NgramIndex(read.lines, tokenise=reference.tokenise)
    scores = protocol.scores(text, reference.index, reference.marks)
    if reference.train is None:  # real text against itself would be 1, so only its self-BLEU is left
        real = protocol.scores(reference.index, None, {})
    else:
        real = protocol.scores(reference.train, reference.index, reference.marks)
    absent = {}
    if not any(score.name.startswith("self") for score in scores):
        absent = {f"self-BLEU-{k}": "the protocol leaves no other line to compare with" for k in (2, 3, 4, 5)}
    return Evaluation(
        scores=scores,
        real=real,
        text=read.name,
        reference=reference.name,
        n=len(text),
        seed=seed,
        warnings=_warnings(text, read.blank, reference),
        absent=absent,
        verdicts={},
        notes=[protocol.note],
        protocol=protocol.name,
    )


def _size(n: int | None, lines: int, name: str, references: int, reference: str) -> int:
    most = min(lines, references)
    if n is None:
        return most
    if n < 1:
        raise InputError(f"n is {n}; give a positive number of lines, at most {most}")
    if n > most:
        few, who = min((lines, name), (references, reference))
        raise InputError(f"n is {n}, but {who} has {few} lines; give n of at most {most}, or a longer file")
    return n


def _measure(
    chosen: Iterable[Metric],
    sets: Sets,
    groups: int,
    absent: dict[str, str],
    progress: Callable[[str], None] | None = None,
) -> Measured:
    """Each metric's score and standard error; why there is none goes to `absent`."""
    scores: dict[Metric, Score] = {}
    for metric in chosen:
        if metric.needs == "train" and sets.train is None:
            continue
        if metric.slow and progress is not None:
            progress(metric.name)
        try:
            if metric.needs == "half" and (sets.half is None or not len(sets.half_text)):
                raise Unmeasurable("it compares two samples, so the reference must have at least 2 lines")
            scores[metric] = metric.score(sets)
        except Unmeasurable as reason:
            absent[metric.name] = str(reason)
    errors = standard_errors(list(scores), sets, groups=groups)
    measured: Measured = {}
    for metric, score in scores.items():
        error = errors.get(metric)
        if error is not None:
            half = half_width(error, degrees_of_freedom(metric, score.n, groups))
            score = score._replace(low=score.value - half, high=score.value + half)
        measured[metric] = (score, error)
    return measured


def _verdicts(ours: Measured, real: Measured, groups: int) -> dict[str, str]:
    """What each difference to real text supports, with the chance of any false one held at 5 % (Holm)."""
    tested: list[tuple[Metric, float, float]] = []
    for metric, (score, error) in ours.items():
        beside, real_error = real.get(metric, (None, None))
        if beside is None or error is None or real_error is None:
            continue
        difference = score.value - beside.value
        freedom = degrees_of_freedom(metric, score.n, groups)
        tested.append((metric, difference, two_sided_p(difference, math.hypot(error, real_error), freedom)))
    adjusted = holm([p for _, _, p in tested])
    return {
        metric.name: SAME if p > LEVEL else metric.below if difference < 0 else metric.above
        for (metric, difference, _), p in zip(tested, adjusted, strict=True)
    }


def unspaced(text: NgramIndex) -> bool:
    """Whether no spaces part the words: nine lines of ten are one word of several characters, or most characters are
    of a script that has none (Chinese, Japanese, Thai, ...) and words are longer than its words are."""
    lines = text.texts()
    if float((text.lengths <= 1).mean()) > 0.9 and float(np.mean([len(line) for line in lines])) > 5:
        return True
    characters = "".join("".join(lines[:SEEN]).split())
    long = len(characters) > 3 * max(1, int(text.lengths[:SEEN].sum()))
    return long and len(SPACELESS.findall(characters)) > 0.5 * len(characters)


def _warnings(text: NgramIndex, blank: int, reference: Reference) -> list[str]:
    warnings = []
    for name, index in (("scored", text), ("reference", reference.index)):
        if reference.tokenise == "words" and unspaced(index):
            warnings.append(f"nearly all {name} lines are one word; tokenise by characters what has no spaces")
    if blank:
        warnings.append(f"{blank} blank lines of the text were left out; a model that writes them is flattered")
    known = reference.known
    if shared := sum(line in known for line in text.spelled()):
        warnings.append(
            f"{shared} of the {len(text)} scored lines stand in the reference word for word, so BLEU is too high"
            " if it was taken from there; the reference should be held out"
        )
    if reference.train is not None and (shared := len(known.intersection(reference.train.spelled()))):
        warnings.append(
            f"{shared} distinct lines of the reference stand in the training text too, so it is not wholly held out;"
            " `textgan split` makes disjoint parts"
        )
    return warnings
