"""Blind sheets: pairs of sentences without their sources, and the key, apart, that knows them."""

import hashlib
import json
import random
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from textgan.augmentation.mix import pool_texts
from textgan.augmentation.rating.formats import write_sheet
from textgan.errors import InputError
from textgan.text import Text, make_folder, read_text, same_form, write_json

Source = str | Path | Sequence[str] | Text
QUESTION = "Which sentence is more likely to have been written by a person?"
ORDERS = (
    ("Please choose this sentence.", "Please do not choose this sentence."),
    ("This is a check that you are reading: choose this one.", "This is a check that you are reading: not this one."),
    ("Take this side, whatever you think of it.", "Leave this side, whatever you think of it."),
)
SHARE = 10  # one attention item, and one control, for so many pairs
RATERS, KEY = "for-raters", "key.json"


class Item(NamedTuple):
    """A row of the sheet as the rater sees it."""

    id: str
    left: str
    right: str


class Sheet(NamedTuple):
    """What `make` wrote. items: in the rater's order. key: by item {"kind": pair, attention or control, "left": a, b
    or real, or "answer": 1 or 2}. sha256: of the question and the items, which ties sheets and key together.
    """

    items: list[Item]
    key: dict[str, dict[str, Any]]
    sha256: str
    question: str


def make(
    a: Source,
    b: Source,
    *,
    n: int,
    out: str | Path,
    real: Source | None = None,
    seed: int = 0,
    attention: int | None = None,
    controls: int | None = None,
    question: str = QUESTION,
) -> Sheet:
    """Draw n pairs of a line of A and a line of B, and write the sheet and its key into `out`.

    out/for-raters has the sheet three times: sheet.html (one page that works from a file), sheet.csv, label-studio.json
    with its labelling set-up label-studio.xml. out/key.json knows which side is which: keep it from the raters.
    Sides, order and draw follow the seed. Hidden among the pairs are attention items (two lines that say which to
    choose; default one for ten pairs, at least 3) and, where `real` is given, controls (two real lines, so that any
    preference is for a side; as many). No line comes twice. Errors: too few distinct lines, n
    below 1, a folder with the key of another sheet.
    """
    if n < 1:
        raise InputError(f"-n {n} pairs cannot be rated; give 1 or more")
    usual = max(3, n // SHARE)
    attention = usual if attention is None else attention
    controls = (0 if real is None else usual) if controls is None else controls
    if attention < 0 or controls < 0:
        raise InputError(f"{attention} attention items and {controls} controls: numbers of at least 0 were wanted")
    if controls and real is None:
        raise InputError(f"{controls} controls need real text; give --real")
    texts = {"a": _read(a), "b": _read(b)} | ({} if real is None else {"real": _read(real)})
    for one, other in permutations(texts.values(), 2):
        same_form(one.name, one.lines, other.lines)
    rng = random.Random(f"rating {seed}")
    taken: set[str] = set()
    lines_a, lines_b = (_draw(texts[name], n, taken, rng, f"text {name.upper()}") for name in ("a", "b"))
    rows: list[tuple[str, str, dict[str, Any]]] = []
    for pair in zip(lines_a, lines_b, strict=True):
        left = rng.randrange(2)
        rows.append((pair[left], pair[1 - left], {"kind": "pair", "left": "ab"[left]}))
    for place in range(attention):
        order, left = ORDERS[place % len(ORDERS)], rng.randrange(2)
        rows.append((order[left], order[1 - left], {"kind": "attention", "answer": 1 + left}))
    if controls:
        lines = _draw(texts["real"], 2 * controls, taken, rng, "the real text")
        rows += [(one, other, {"kind": "control"}) for one, other in zip(lines[::2], lines[1::2], strict=True)]
    rng.shuffle(rows)
    width = len(str(len(rows)))
    items = [Item(f"i{place:0{width}}", left, right) for place, (left, right, _) in enumerate(rows, start=1)]
    key = {item.id: facts for item, (_, _, facts) in zip(items, rows, strict=True)}
    sheet = Sheet(items, key, digest(question, items), question)
    about = {name: {"name": text.name, "sha256": text.sha256, "lines": len(text.lines)} for name, text in texts.items()}
    folder = make_folder(out)
    if (folder / KEY).exists() and sheet.sha256.encode() not in (folder / KEY).read_bytes():
        raise InputError(f"{folder}: holds the key of another sheet, which its answers need; give a new folder")
    write_sheet(sheet.items, sheet.sha256, sheet.question, make_folder(folder / RATERS))
    write_json(folder / KEY, {"sheet": sheet.sha256, "seed": seed, "question": question, "texts": about, "items": key})
    return sheet


def digest(question: str, items: Sequence[Item]) -> str:
    """sha256 (hex) of what a rater sees."""
    return hashlib.sha256(json.dumps([question, items], ensure_ascii=False).encode()).hexdigest()


def _read(source: Source) -> Text:
    """A text, or the selected texts of a pool."""
    text = read_text(pool_texts(source))
    return text._replace(name=Path(source).name) if isinstance(source, str | Path) else text


def _draw(text: Text, n: int, taken: set[str], rng: random.Random, what: str) -> list[str]:
    """n distinct lines that are not taken yet."""
    lines = [line for line in dict.fromkeys(line.strip() for line in text.lines) if line not in taken]
    if len(lines) < n:
        raise InputError(f"{what} ({text.name}) has {len(lines)} distinct unused lines, {n} are wanted; lower -n")
    drawn = rng.sample(lines, n)
    taken.update(drawn)
    return drawn
