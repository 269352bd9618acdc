"""What the commands' lines share: one-line usage errors, guesses at misspelt options, and types of values."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from textgan.errors import guess

WIDTH = 29  # of the column of options in the help
MOST_LINES = 10_000_000  # of one command; they are held in memory
LAST_SEED = 2**32 - 1  # numpy takes no larger one
MOST_THREADS = 4096
DEVICES, PRECISIONS = ("auto", "cpu", "cuda"), ("no", "bf16")


class Parser(argparse.ArgumentParser):
    """Usage errors take one line, name the option, and end with exit code 2."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, formatter_class=Help, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        usage_error(self.prog, message.removeprefix("argument "))

    def parse_known_args(self, *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
        """Refuse here what the command does not know, so that the message bears its name."""
        found, unknown = super().parse_known_args(*args, **kwargs)
        if unknown:
            self.error(unknown_option(unknown, self._option_string_actions))
        return found, []

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = list(action.choices or ())
        if choices and value not in choices:
            raise argparse.ArgumentError(action, f"{value!r} is not one of {', '.join(choices)}{guess(value, choices)}")


class Help(argparse.HelpFormatter):
    """Options in one column wide enough for most of them; each line of a description is a paragraph."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=WIDTH)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(super(Help, self)._fill_text(line, width, indent) for line in text.splitlines())


def usage_error(prog: str, message: str) -> NoReturn:
    """One line on standard error, exit code 2."""
    complain(f"{prog}: error: {message} (see {prog} --help)")
    raise SystemExit(2)


def unknown_option(given: Sequence[str], known: Iterable[str]) -> str:
    """What is wrong with arguments that no option took."""
    flag = next((word for word in given if word.startswith("-") and word != "-"), None)
    if flag is None:
        return f"{given[0]!r} is one argument too many"
    flag = flag.partition("=")[0]
    return f"there is no option {flag}{guess(flag, known)}"


def once_from_standard_input(prog: str, *sources: str | None) -> None:
    """Standard input can be read once."""
    if sources.count("-") > 1:
        usage_error(prog, "- is standard input, which can be read only once")


def apart(prog: str, outputs: Iterable[str | None], *inputs: str | None) -> None:
    """What is written takes the place of no text that is read, nor of another output."""
    taken = {os.path.realpath(path) for path in inputs if path and path != "-" and os.path.exists(path)}
    for path in outputs:
        if path and path != "-" and (os.path.isfile(path) or not os.path.exists(path)):  # /dev/null holds nothing
            if (real := os.path.realpath(path)) in taken:
                usage_error(prog, f"{path} is read, or written by another option; give another file")
            taken.add(real)


def own_files(run: str) -> list[str]:
    """The files of a run that say what it is: nothing else may be written in their place."""
    names = ("recipe.json", "log.jsonl", "heldout.txt", "prompts.safetensors")
    inside = [os.path.join(run, place) for place in ("generator", "best")]
    return [os.path.join(run, name) for name in names] + [
        os.path.join(place, name) for place in inside if os.path.isdir(place) for name in os.listdir(place)
    ]


def read_prompts(path: str) -> Any:
    """The prompts of a file, a line each; blank ones are left out, and said."""
    from textgan.text import read_text

    text = read_text(path)
    if text.blank:
        complain(f"warning: {path}: {text.blank} blank lines are left out, so that prompts and lines differ in number")
    return text


def complain(line: str) -> None:
    """One line on standard error, whatever is in it."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(line.split()))
    with contextlib.suppress(OSError):  # standard error may be closed or full, too
        print(shown, file=sys.stderr)


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of a whole number within bounds, checked before anything is read or loaded."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if least <= int(text) <= most:
                return int(text)
        raise argparse.ArgumentTypeError(f"a whole number from {least} to {most:,} was wanted, got {text!r}")

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """The type of a number within bounds; NaN is in none."""

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            if least <= float(text) <= most:
                return float(text)
        raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:g} was wanted, got {text!r}")

    return parse


def file(text: str) -> str:
    """The type of a file to be written; that it cannot be is found out before the work, not after it."""
    above = os.path.dirname(text)
    if not text or os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"a file was wanted, got {f'the folder {text}' if text else 'nothing'}")
    if text != "-" and above and not os.path.isdir(above):
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {above}")
    return text


def folder(text: str) -> str:
    """The type of a folder to be written in."""
    if not text or (os.path.exists(text) and not os.path.isdir(text)):
        raise argparse.ArgumentTypeError(f"a folder was wanted, got {f'the file {text}' if text else 'nothing'}")
    return text


seed = whole(0, LAST_SEED)
count = whole(1, MOST_LINES)


def respell(argument: str, old: str, new: str) -> str:
    """--base_text means --base-text, or the other way round; the value after "=" is left alone."""
    flag, equals, value = argument.partition("=")
    return "--" + flag[2:].replace(old, new) + equals + value if argument.startswith("--") else argument
