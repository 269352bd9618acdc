"""The `textgan` command: whatever happens inside, the terminal gets at most one line about it, and an exit code.

Exit codes: 0 done, 1 failed with one line on standard error, 2 usage, 130 or 143 interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from textgan.cli_usage import complain, respell
from textgan.errors import InputError, Interrupted, NotFinite

FULL = ("out of memory", "can't allocate memory")  # how torch says it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _run(arguments))


def guarded(work: Callable[[], object]) -> int:
    """Do it and give the exit code. Nothing is raised: what goes wrong is one line on standard error.

    For every program that is run by hand, the benchmarks too.
    """
    with _quiet(), _terminable():
        try:
            _prepare_output()
            try:
                work()
                code = 0
            except SystemExit as stop:  # --help, or a usage error that has been told
                code = int(stop.code or 0)
            sys.stdout.flush()
            return code
        except BaseException as error:
            if os.getenv("TEXTGAN_TRACEBACK"):
                raise
            return _explain(error)


def _run(arguments: list[str]) -> None:
    if arguments[:1] == ["train"]:
        from textgan.cli_train import train

        train(arguments[1:])
    else:
        from textgan.cli_commands import build_parser

        options = build_parser().parse_args([respell(a, "_", "-") for a in arguments])
        options.command(options)


def _prepare_output() -> None:
    """A terminal that lacks a sign shows its number; what is said to a closed stream goes nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _explain(error: BaseException) -> int:
    """Say what happened, in one line, and give the exit code."""
    match error:
        case Interrupted():
            complain(f"textgan: {error}")
            return error.code
        case KeyboardInterrupt():
            code = 143 if isinstance(error, _Terminated) else 130
            complain(f"textgan: {'terminated' if code == 143 else 'interrupted'}")
            return code
        case BrokenPipeError():  # the reader of standard output has gone, as `| head` does
            _abandon_output()
            return 0
        case InputError() | NotFinite():
            said = str(error)
        case OSError():
            _abandon_output()
            said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        case MemoryError() | RuntimeError() if isinstance(error, MemoryError) or any(w in str(error) for w in FULL):
            said = "out of memory; give smaller numbers (--batch, --n, the sizes of the nets) or less text"
        case _:
            said = f"unexpected {type(error).__name__}: {error} (TEXTGAN_TRACEBACK=1 shows where)"
    complain(f"textgan: error: {said}")
    return 1


def _abandon_output() -> None:
    """What is left in the buffer of standard output goes nowhere, without a second error at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the command as control-C does: files half written are removed, and one line says so."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Libraries keep their warnings to themselves, unless -W or a variable of theirs asks for them."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # or it warns when a process forks
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield
