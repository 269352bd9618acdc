"""A test text is kept out of all that a selection reads, so that nothing which is made of the selection has seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from textgan.augmentation.filters import Filter, Reasons
from textgan.errors import InputError
from textgan.text import Text, folded, near_copies

DROP = "--test-copies drop"
SPLIT = "give text without them, as `textgan split` makes it"
MENDS = {
    "pool": f"no model may see them: take another test text, or drop them with {DROP}",
    "real": f"D must not learn them: {SPLIT}, or leave them out with {DROP}",
    "judge": f"the judge must not learn them: {SPLIT}, or leave them out with {DROP}",
    "train": f"the generator has learnt them: train it on text without them, or go on with {DROP}, which warns",
}


class HeldOut:
    """A filter: lines of the test text, in whatever case and spaces, and near-duplicates of them.

    near: Jaccard index of the sets of words from which on two lines are near-duplicates.
    """

    name = "copies of test"

    def __init__(self, test: Sequence[str], near: float = 0.8) -> None:
        self.test, self.near, self.exact = test, near, frozenset(map(folded, test))

    def __call__(self, lines: Sequence[str]) -> Reasons:
        like = near_copies(lines, self.test, threshold=self.near).tolist()
        return [None if row < 0 else self._reason(line, row) for line, row in zip(lines, like, strict=True)]

    def _reason(self, line: str, row: int) -> str:
        return "copy of test" if folded(line) in self.exact else f"near-copy of test: {self.test[row]}"


class Withheld(NamedTuple):
    """texts: what D and the second judge may read. filters: what drops copies from the pool. warnings: a line each."""

    texts: dict[str, Text]
    filters: list[Filter]
    warnings: list[str]


def withhold(
    texts: Mapping[str, Text], lines: Sequence[str], *, where: str, near: float = 0.8, drop: bool = False
) -> Withheld:
    """Keep texts["test"], where there is one, out of the pool's lines (`where`) and of the other texts, by their roles.

    Without drop a line that is one of the test text, or nearly, is an InputError, whosever it is: real corpora too may
    share short lines, and then the user has to say so. With drop such lines are left out of "real" and "judge" and
    dropped from the pool. In "train" they have been learnt already, which no dropping mends: that is a warning.
    """
    if "test" not in texts:
        return Withheld(dict(texts), [], [])
    check, kept, warnings = HeldOut(texts["test"].lines, near), dict(texts), []
    for role in [role for role in ("real", "judge", "train") if role in texts]:
        text, name = texts[role], f"--{role} {texts[role].name}"
        reasons = check(text.lines)
        if not any(reasons):
            continue
        if not drop:
            raise refusal(text.lines, reasons, name, MENDS[role])
        found = _count(text.lines, reasons, name)
        if role == "train":
            warnings.append(f"{found}: the generator has seen them, and figures on that text flatter it")
            continue
        free = [line for line, reason in zip(text.lines, reasons, strict=True) if reason is None]
        if not free:
            raise InputError(f"{found}; give other text")
        kept[role] = text._replace(lines=free)
        warnings.append(f"{found}: they were left out")
    if drop:
        return Withheld(kept, [check], warnings)
    if any(reasons := check(lines)):
        raise refusal(lines, reasons, where, MENDS["pool"])
    return Withheld(kept, [], warnings)


def refusal(lines: Sequence[str], reasons: Reasons, where: str, mend: str) -> InputError:
    """The error for lines that `HeldOut` has found, in one line: how many, the first one, and how to mend it."""
    row = next(row for row, reason in enumerate(reasons) if reason)
    return InputError(f"{_count(lines, reasons, where)} (the first: line {row + 1}, {lines[row]!r}); {mend}")


def _count(lines: Sequence[str], reasons: Reasons, where: str) -> str:
    many = sum(reason is not None for reason in reasons)
    return f"{many} of {len(lines)} lines of {where} stand in the --test text, or nearly"
