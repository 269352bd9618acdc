"""Whether real and generated text are of one form: a column that one of them lacks is all that is compared."""

from __future__ import annotations

from collections.abc import Sequence

from textgan.errors import InputError

MOST, FEW = 0.5, 0.05  # of the lines of a text: above and below which a tab is its form, or none of it


def same_form(name: str, real: Sequence[str], written: Sequence[str]) -> None:
    """Errors: InputError where most real lines hold a tab, as label<TAB>text and prompt<TAB>text do, and nearly none of
    the written ones does. name: of the real text, for the message."""
    if real and written and _tabs(real) > MOST and _tabs(written) < FEW:
        raise InputError(
            f"{name} is label<TAB>text or prompt<TAB>text, and the generated text has no tabs: the tab alone would "
            "tell them apart; give the texts alone (labels: cut -f2-; prompts: tr '\\t' ' ')"
        )


def _tabs(lines: Sequence[str]) -> float:
    return sum("\t" in line for line in lines) / len(lines)
