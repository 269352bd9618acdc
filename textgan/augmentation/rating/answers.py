"""Filled sheets, read strictly: CSV, the page's JSON, Label Studio's exports (JSON, JSON-MIN, CSV).

What does not fit the key is refused.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textgan.augmentation.rating.formats import CHOICES
from textgan.errors import InputError

CODES = ("1", "2", "0")


class Answer(NamedTuple):
    """One rating; choice is 1 (left), 2 (right) or 0 (neither)."""

    rater: str
    item: str
    choice: int


class _Row(NamedTuple):
    where: str
    sheet: str
    rater: str
    item: str
    choice: str


def read_answers(path: str | Path, sheet: str, key: Mapping[str, Any]) -> tuple[list[Answer], int]:
    """The answers of one file, and how many of its cells are blank.

    A rater is named by the file's "rater", or by the file. Raises InputError, naming file and line, for answers to
    another sheet, unknown items, choices other than 1, 2, 0 and blank, and an item that one rater answers twice.
    """
    path = Path(path)
    found, blank, seen = [], 0, set[tuple[str, str]]()
    for row in _rows(path):
        if row.sheet != sheet:
            theirs = row.sheet[:12] or "nothing"
            raise InputError(
                f"{row.where}: answers sheet {theirs}, the key is of {sheet[:12]}; give the folder of this sheet"
            )
        if row.item not in key:
            raise InputError(f"{row.where}: item {row.item[:40]!r} is not in the sheet; leave the ids as they are")
        if row.choice == "":
            blank += 1
            continue
        if row.choice not in CODES:
            raise InputError(f"{row.where}: choice {row.choice[:40]!r} is none of 1 (left), 2 (right), 0 (neither)")
        if (row.rater, row.item) in seen:
            raise InputError(f"{row.where}: {row.rater[:40]!r} answers item {row.item} twice; leave one answer")
        seen.add((row.rater, row.item))
        found.append(Answer(row.rater, row.item, int(row.choice)))
    return found, blank


def _rows(path: Path) -> Iterator[_Row]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a filled sheet, CSV or JSON") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8; save the sheet as UTF-8 CSV or JSON") from None
    if path.suffix == ".json":
        yield from _json_rows(path, text)
    else:
        yield from _csv_rows(path, text)


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    first = text.partition("\n")[0]
    between = ";" if first.count(";") > first.count(",") else ","  # as some spreadsheets save it
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=between)
    try:
        if lacking := {"sheet", "item", "choice"} - set(reader.fieldnames or ()):
            raise InputError(f"{path}: has no column {sorted(lacking)[0]!r}; wanted sheet, item and choice")
        for row in reader:
            yield _flat(f"{path}:{reader.line_num}", row, path.stem)
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: is no CSV ({error}); save the sheet as UTF-8 CSV") from None


def _flat(where: str, row: Mapping[str, Any], unnamed: str) -> _Row:
    """A row of a table, ours or Label Studio's (CSV, JSON-MIN)."""
    names = ("sheet", "item", "choice", "rater", "annotator")
    cells = {name: "" if (cell := row.get(name)) is None else str(cell).strip() for name in names}  # 0 is a choice
    rater = cells["rater"] or cells["annotator"] or unnamed
    return _Row(where, cells["sheet"], rater, cells["item"], CHOICES.get(cells["choice"], cells["choice"]))


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is not JSON; give the page's export or Label Studio's") from None
    try:
        if isinstance(read, dict):  # of the page
            for place, one in enumerate(read["ratings"], start=1):
                rater = str(read.get("rater") or path.stem)
                yield _Row(f"{path}: rating {place}", str(read["sheet"]), rater, str(one["item"]), str(one["choice"]))
        else:
            yield from _label_studio(path, read)
    except (KeyError, TypeError, AttributeError, IndexError):
        raise InputError(f"{path}: is neither the page's export nor Label Studio's; export it again") from None


def _label_studio(path: Path, tasks: list[dict[str, Any]]) -> Iterator[_Row]:
    """An export of tasks with their annotations; a rater is who completed one. Skipped tasks count as blank."""
    for place, task in enumerate(tasks, start=1):
        if "annotations" not in task and "item" in task:
            yield _flat(f"{path}: task {place}", task, path.stem)
            continue
        for annotation in task["annotations"]:
            chosen = [one["value"]["choices"][0] for one in annotation["result"] if one["from_name"] == "choice"]
            choice = CHOICES.get(chosen[0], chosen[0]) if chosen and not annotation.get("was_cancelled") else ""
            who = annotation.get("completed_by", path.stem)
            rater = str(who.get("email", who.get("id")) if isinstance(who, dict) else who)
            data = task["data"]
            yield _Row(f"{path}: task {place}", str(data["sheet"]), rater, str(data["item"]), str(choice))
