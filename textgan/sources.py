"""Corpora that are made, not read: a registered `NAME:...` may stand wherever the name of a text file may.

`import textgan` registers `grammar:` and `oracle:`, each by the `lines` of its module, which loads when it is asked.
"""

from collections.abc import Callable, Iterable

from textgan.errors import InputError

Maker = Callable[[str], Iterable[str]]
_MAKERS: dict[str, Maker] = {}


def register(name: str, make: Maker) -> None:
    """Let `NAME:...` be a corpus; a second registration of a name replaces the first.

    make: from the whole word as it was given ("toy:100") to the sentences, one by one. The same word must give the same
    sentences, since a run asks several times and records the word alone; one that it cannot read raises InputError.
    """
    if not name.isidentifier() or len(name) < 2:
        raise InputError(f"a corpus name of letters and digits, two at least, was wanted, got {name!r}")
    _MAKERS[name] = make


def made(source: str) -> Iterable[str] | None:
    """The sentences of a registered corpus; None for anything else, such as a file's name."""
    name, colon, _ = source.partition(":")
    return _MAKERS[name](source) if colon and name in _MAKERS else None
