"""Text with classes: `label<TAB>text` or JSON lines with "label" and "text"; a label is a token of its own.

It is the last of the vocabulary's tokens, stands in BOS's place, and is never generated. In a batch of labelled text
it is the first column (`sequences.parted`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textgan.errors import InputError
from textgan.text import Encoded, Text

if TYPE_CHECKING:
    from torch import Generator, Tensor

LOOKED_AT = 100  # lines that decide whether a text without labels was meant
WANTED = 'label<TAB>text, or JSON with "label" and "text"'


class Labelled(NamedTuple):
    """One line in two."""

    label: str
    text: str


def read_label(line: str) -> Labelled | None:
    """The label and the text of a line, or None where it has none."""
    if line.startswith("{"):
        try:
            row = json.loads(line)
        except ValueError:
            return None
        label, text = row.get("label"), row.get("text")
        if not isinstance(text, str) or not isinstance(label, str | int) or not text.strip():
            return None
        return Labelled(str(label), " ".join(text.split()))
    label, tab, text = line.partition("\t")
    return Labelled(label.strip(), text) if tab and label.strip() and text.strip() else None


def unlabelled(text: Text, recipe: str) -> Text:
    """The text as it came, for a recipe without classes. Errors: InputError where the text is one of labels."""
    first = list(islice(text.lines, LOOKED_AT))
    if first and all(map(read_label, first)):
        raise InputError(
            f"{text.name} holds labelled text, and {recipe} has no classes; give the text alone, a recipe with classes "
            "(sentigan, catgan), or --prompt given where prompts were meant"
        )
    return text


def labels_of(text: Text, recipe: str) -> list[Labelled]:
    """All lines in two. Errors: InputError that names the first line without a label."""
    rows = []
    for number, line in enumerate(text.lines, 1):
        row = read_label(line)
        if row is None:
            raise InputError(f"{text.name}:{number}: {recipe} has classes and wants {WANTED} on each line")
        rows.append(row)
    return rows


def count_labels(rows: Iterable[Labelled]) -> dict[str, int]:
    """How often each label stands there, by name. Errors: InputError for fewer than two."""
    counts = Counter(row.label for row in rows)
    if len(counts) < 2:
        raise InputError(f"the text has the one label {next(iter(counts), '')!r}; at least 2 are wanted")
    return dict(sorted(counts.items()))


def token_of(label: str) -> str:
    """How a label is spelt in the vocabulary."""
    return f"<label:{label}>"


def with_labels(data: Encoded, rows: Sequence[Labelled], first_id: int, names: Sequence[str]) -> Encoded:
    """The sentences, each with its label's id before it. Errors: InputError for a label that is none of the names."""
    known = {name: first_id + i for i, name in enumerate(names)}
    if strange := next((row.label for row in rows if row.label not in known), None):
        raise InputError(f"--valid has the label {strange!r}, which the training text lacks ({', '.join(names)})")
    ids = np.fromiter((known[row.label] for row in rows), dtype=np.int32, count=len(rows))
    offsets = data.offsets + np.arange(len(data.offsets))
    return Encoded(np.insert(data.ids, data.offsets[:-1], ids), offsets, data.truncated, data.unk_rate)


def draw_labels(counts: Mapping[str, int], n: int, vocab_size: int, rng: Generator) -> Tensor | None:
    """The ids of n labels in the training text's proportions, (n,) int64; None where there are no labels."""
    import torch

    if not counts:
        return None
    shares = torch.tensor(list(counts.values()), dtype=torch.float, device=rng.device)
    return vocab_size - len(counts) + shares.multinomial(n, replacement=True, generator=rng)


def id_of(label: str, counts: Mapping[str, int], vocab_size: int) -> int:
    """The id of a label's token. Errors: InputError where the run has no such label."""
    if not counts:
        raise InputError(f"--label {label!r}: the run was trained without labels; leave it out")
    if label not in counts:
        raise InputError(f"--label {label!r} is not one of {', '.join(counts)}")
    return vocab_size - len(counts) + list(counts).index(label)


def label_facts(settings: Mapping[str, Any]) -> dict[str, int]:
    """A run's labels and how often each was seen in training, from its recipe.json; empty without classes."""
    return dict(settings.get("labels", {}))
