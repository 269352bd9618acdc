"""The errors that textgan raises on purpose; each message is one line that says how to mend it."""

from collections.abc import Iterable


class InputError(ValueError):
    """The user's input cannot be used: what came, what was wanted, how to mend it."""


class NotFinite(ArithmeticError):
    """A loss, gradient, reward or logit became NaN or infinite; no weight was changed."""


class Interrupted(Exception):
    """A run stopped before its end, its state saved. `code`: the exit status, 130 or 143 by a signal, 3 by collapse."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one, or nothing."""
    import difflib

    words = list(known)
    near = [w for w in words if word and w.startswith(word)] or difflib.get_close_matches(word, words, 1, 0.7)
    return near[0] if near else ""


def guess(word: str, known: Iterable[str]) -> str:
    """A question that names the nearest known word, or nothing."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""
