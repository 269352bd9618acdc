"""The splits of an experiment: six texts that share no line and no near-duplicate, and each seed's draw from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain, combinations

import numpy as np

from textgan.augmentation.density import FEWEST
from textgan.errors import InputError
from textgan.laboratory.arms import ARMS
from textgan.laboratory.study import SPLITS, Study, Texts, source
from textgan.lm.finetuning import is_small
from textgan.oracle import Truth, truth_of
from textgan.text import near_duplicates, read_text, split

SHOWN = 3  # lines of an overlap
BEGIN = 20  # lines by which two draws are told apart


def make_splits(study: Study) -> dict[str, list[str]]:
    """Name -> lines. Errors: InputError for texts that overlap, for a split that is missing or too small."""
    texts = study.texts
    if bool(texts.divide) == bool(texts.given):
        raise InputError("texts: either `divide` with `lines`, or `given` was wanted")
    named: Mapping[str, object] = texts.lines if texts.divide else texts.given
    if unknown := sorted(set(named) - set(SPLITS)):
        raise InputError(f"texts: {unknown[0]!r} is no split; they are {', '.join(SPLITS)}")
    if lacking := [name for name in SPLITS if name in _needed(study) and name not in named]:
        raise InputError(f"texts: the split {lacking[0]} is missing ({SPLITS[lacking[0]]})")
    independent = texts.near is None and known_truth(texts) is not None
    if texts.divide and not independent:
        made = split([source(text) for text in texts.divide], texts.lines, seed=texts.seed, near=texts.near).parts
    else:
        sources = texts.divide or tuple(texts.given.values())
        parts = [list(read_text(source(text)).lines) for text in sources]
        if independent:
            _refuse_one_draw(sources, parts)
        made = _drawn(texts, parts) if texts.divide else dict(zip(texts.given, parts, strict=True))
        if not independent:
            refuse_overlap(made, texts.near)
    for name, wanted in _needed(study).items():
        if len(made[name]) < wanted:
            raise InputError(f"texts: split {name} has {len(made[name])} lines, and {wanted} are needed")
    _enough_for_d(study)
    if is_small(study.base.lm) and study.base.text and not study.base.shuffled:
        read = set(read_text(source(study.base.text)).lines)
        if shared := [line for name in ("valid", "test") for line in made[name] if line in read]:
            raise InputError(
                f"base.text: {len(shared)} lines of the validation and test text stand in it, as {shared[0][:80]!r}; "
                "the base must not have read what it is measured on"
            )
    return made


def known_truth(texts: Texts) -> Truth | None:
    """Who knows the language that all splits are drawn from; None where nobody does."""
    truths = [truth_of(source(text)) for text in (texts.divide or tuple(texts.given.values()))]
    known = {truth.sha256: truth for truth in truths if truth is not None}
    return next(iter(known.values())) if len(known) == 1 and None not in truths else None


def _refuse_one_draw(sources: Sequence[str], read: Sequence[Sequence[str]]) -> None:
    """Errors: InputError where two sources from a known language begin alike: they are one draw, and no two."""
    for (one, lines), (other, more) in combinations(zip(sources, read, strict=True), 2):
        if all(a == b for a, b in zip(lines[:BEGIN], more[:BEGIN], strict=False)):
            raise InputError(f"texts: {one} and {other} are one draw; give each a seed of its own")


def _drawn(texts: Texts, read: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """The splits of draws from a known language as they come: lines that are alike stay, for without them the test text
    is no draw from the language (that of the grammar has .8 nats a line too many), and no KL can be had of it."""
    lines = list(chain.from_iterable(read))
    if len(lines) < (wanted := sum(texts.lines.values())):
        raise InputError(f"texts: {wanted} lines are wanted, and there are {len(lines)}")
    lines = draw(lines, wanted, texts.seed)
    ends = np.cumsum([0, *texts.lines.values()])
    return {name: lines[a:b] for name, a, b in zip(texts.lines, ends, ends[1:], strict=False)}


def _enough_for_d(study: Study) -> None:
    """Errors: InputError where D, which learns after the games, would have too few real lines."""
    if not any(ARMS[arm].judged for arm in study.arms):
        return
    few, least = min(study.lines), 2 * FEWEST
    if (held := round(study.selection.held * few)) < least:
        raise InputError(
            f"selection.held {study.selection.held:g} of N = {few} leaves D {held} real lines, and {least} are needed; "
            f"give {math.ceil(100 * least / few) / 100:g} or more, or a larger N"
        )


def refuse_overlap(splits: Mapping[str, Sequence[str]], near: float | None) -> None:
    """Errors: InputError that shows lines which two splits share, or nearly share."""
    where = np.repeat(np.arange(len(splits)), [len(lines) for lines in splits.values()])
    lines = [line for part in splits.values() for line in part]
    if near is None:
        known: dict[str, int] = {}
        cluster = np.array([known.setdefault(" ".join(line.casefold().split()), i) for i, line in enumerate(lines)])
    else:
        cluster = near_duplicates(lines, threshold=near)
    names, shared = list(splits), []
    order = np.lexsort((where, cluster))
    for one, other in zip(order, order[1:], strict=False):
        if cluster[one] == cluster[other] and where[one] != where[other]:
            shared.append(f"{names[where[one]]} {lines[one][:80]!r} and {names[where[other]]} {lines[other][:80]!r}")
    if shared:
        more = f" and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
        raise InputError(
            f"texts: splits share lines or near-duplicates: {'; '.join(shared[:SHOWN])}{more}; take them out, or let "
            "`divide` make the splits"
        )


def draw(lines: Sequence[str], n: int, seed: int) -> list[str]:
    """n of the lines by the seed; fewer are the first of more."""
    order = np.random.default_rng([seed, 21]).permutation(len(lines))[:n]
    return [lines[row] for row in order]


def _needed(study: Study) -> dict[str, int]:
    """The lines that each split must have at least."""
    most = max(study.lines)
    needed = {"train": most, "valid": 20, "test": 20}
    if "fresh" in study.arms:
        needed["fresh"] = round(most * study.ratios("fresh")[-1])
    if study.writing.n or (is_small(study.base.lm) and not study.base.text):
        needed["judge"] = 100
    return needed | {"control": 20}
