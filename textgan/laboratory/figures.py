"""The secondary figures of a row of the results, each a function of the row: None where the row has none.

A figure that could not be measured is absent from its row, and rows of before a figure was measured lack it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Figure = Callable[[Row], float | None]

DISTANCE, LEAN = "total_variation", "amplification"  # of the groups in what a model writes


def score(written: Row, name: str) -> float | None:
    """A score of what a model wrote at one temperature."""
    return written.get("scores", {}).get(name)


def plain(row: Row) -> Row:
    """What the model wrote at T = 1; empty where there is nothing."""
    return next((written for written in row["written"] if written["temperature"] == 1.0), {})


def copied(n: int) -> Figure:
    """Copies of the N real lines over the lines that were counted: those of n that are not blank, where as many
    judges' lines are there."""

    def value(row: Row) -> float | None:
        written = plain(row)
        count, counted = score(written, "copies"), written.get("scored", n - written.get("blank", 0))
        return None if count is None or not counted else count / counted

    return value


def likeness(name: str) -> Figure:
    """MAUVE or Frechet of what the model wrote to the judges' text."""
    return lambda row: score(plain(row), name)


def floor(name: str) -> Figure:
    """Real text's own MAUVE or Frechet, at as many lines."""
    return lambda row: plain(row).get("real", {}).get(name)


def share(group: str, of: str = "written") -> Figure:
    """Share of the lines that mention a group: those `written`, `real` ones (the judges' text), the N `learnt`."""
    return lambda row: plain(row).get("groups", {}).get(group, {}).get(of)


def audited(name: str, of: str = "written") -> Figure:
    """DISTANCE or LEAN of the lines `written`, or of as many `real` ones, from the judges' text."""
    return lambda row: plain(row).get(name, {}).get(of)


def swapped(row: Row) -> float | None:
    """Mean |change of NLL| of test lines with their groups exchanged, nats a line."""
    return row.get("swapped", {}).get("size")


def group_shift(group: str) -> Figure:
    """Share of the arm's synthetic lines that mention a group, minus that of the N real ones."""

    def value(row: Row) -> float | None:
        found = row.get("groups", {}).get(group)
        return None if found is None else found["synthetic"] - found["real"]

    return value


def column(key: str) -> Figure:
    """What stands in the row itself."""
    return lambda row: row.get(key)


def groups_of(rows: Sequence[Row]) -> list[str]:
    """The groups that any row speaks of."""
    return sorted({group for row in rows for found in (row, plain(row)) for group in found.get("groups", {})})


def of_groups(rows: Sequence[Row]) -> dict[str, tuple[Figure, Figure]]:
    """By name, the figures of the groups in a tuned model that any row has (H4), each with real text's own."""
    found: dict[str, tuple[Figure, Figure]] = {
        f"written lines on {group}": (share(group), share(group, "real")) for group in groups_of(rows)
    }
    found |= {
        "total variation of the written": (audited(DISTANCE), audited(DISTANCE, "real")),
        "amplification in the written": (audited(LEAN), audited(LEAN, "real")),
        "swapped groups, nats a line": (swapped, lambda row: None),
    }
    return {name: pair for name, pair in found.items() if any(pair[0](row) is not None for row in rows)}
