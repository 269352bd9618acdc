"""The errors that textgan raises on purpose; each message is one line that says how to mend it."""


class InputError(ValueError):
    """The user's input cannot be used: what came, what was wanted, how to mend it."""


class NotFinite(ArithmeticError):
    """A loss, gradient, reward or logit became NaN or infinite; no weight was changed."""


class Interrupted(Exception):
    """A run stopped before its end, its state saved. `code`: the exit status, 130 or 143 by a signal, 3 by collapse."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
