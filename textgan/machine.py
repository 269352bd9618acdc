"""What a run asks of the machine: a device and its processes, threads, and what to do when told to stop."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch

from textgan.errors import InputError
from textgan.processes import ALONE, Share, sharing

SMALL = 3_000_000  # parameters; no net below gained from a second thread where it was measured (benchmarks/SPEED.md)
USUAL_THREADS = 4  # for nets of this package unless more are asked for; more were not measured
WAIT = timedelta(days=7)  # of a process for a slower one, which writes a shard or prepares the text
CPU = torch.device("cpu")
PRECISIONS = ("no", "bf16")  # "no": float32 throughout

_ASKED: ContextVar[bool] = ContextVar("asked", default=False)  # whether `threads` has been told how many


def accelerator(device: str, precision: str) -> Any:
    """accelerate's view of device, precision and processes. Errors: a device that is not there, an unknown word."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    cpu = pick_device(device).type == "cpu"
    check_precision(precision)
    AcceleratorState._reset_state(reset_partial_state=False)  # a process may train twice with other settings
    patience = InitProcessGroupKwargs(timeout=WAIT)  # a dead process closes its connection, which is seen at once
    return Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[patience])


def pick_device(device: str) -> torch.device:
    """auto: a CUDA device where there is one, else the CPU. Errors: another word, a card that is not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {device} is not one of auto, cpu, cuda")
    if device == "cpu":  # without waking a card, which each `Run.open` would do
        return CPU
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda":
        raise InputError("--device cuda, but no CUDA device was found; give --device cpu")
    return CPU


def check_precision(precision: str) -> None:
    """Errors: InputError for a word that is none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise InputError(f"--precision {precision} is not one of {', '.join(PRECISIONS)}")


def keep_memory() -> None:
    """Memory that tensors free stays with this process, up to 256 MB, where the C library is glibc.

    By default glibc hands back each block over some megabytes and gets it again as zeroed pages; a step of maximum
    likelihood with 5,000 words takes half the time without that (benchmarks/SPEED.md). It holds for the whole process,
    so the command line calls it and `training.fit` leaves it to its caller.
    """
    with suppress(OSError, AttributeError, TypeError):  # another C library, or none that can be named
        mallopt = ctypes.CDLL(None).mallopt
        for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            mallopt(option, 1 << 28)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, here or on the card."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def enough_memory() -> Iterator[None]:
    """What cannot be allocated inside is an InputError in one line, which says what to lower."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        asked = re.search(r"allocate ([\d.]+ ?\w+)", str(error))
        raise InputError(
            f"the memory does not suffice{f' ({asked[1]} at once)' if asked else ''}; lower --batch, --max_len, "
            "--vocab_size or the sizes of the nets"
        ) from error


@contextmanager
def threads(n: int | None) -> Iterator[None]:
    """torch runs on n threads inside (None: as it was), and on as many as before afterwards."""
    before, asked = torch.get_num_threads(), _ASKED.set(_ASKED.get() or n is not None)
    try:
        if n is not None:
            if n < 1:
                raise InputError(f"--threads {n} must be at least 1")
            torch.set_num_threads(n)
        yield
    finally:
        torch.set_num_threads(before)
        _ASKED.reset(asked)


@contextmanager
def suited_threads(parameters: int, most: int | None = None) -> Iterator[int]:
    """torch runs inside on as many threads as pay for a net of so many parameters: the number.

    1 below SMALL, else as many as there were, but no more than `most`. Small products lose on threads, and lose a
    multiple where others use the machine. `threads` or OMP_NUM_THREADS, where given, have the word.
    """
    n = before = torch.get_num_threads()
    if not (_ASKED.get() or os.environ.get("OMP_NUM_THREADS")):
        n = 1 if parameters < SMALL else min(before, most or before)
        torch.set_num_threads(n)
    try:
        yield n
    finally:
        torch.set_num_threads(before)


@contextmanager
def together() -> Iterator[Share]:
    """Inside, all processes that torchrun has started share the work, on their processors; without torchrun, alone."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    found = accelerator("cpu", "no")
    with sharing(part := Share(found.process_index, found.num_processes)):
        yield part


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM; a second one does what it did before. Handlers are put back.

    One that the work inside has not answered by an exception, since it came at the very end, is sent again when they
    are: it is not lost on whoever waits for that work.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: Any) -> None:
        asked.append(number)
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield asked
    finally:
        restore()
    if asked:
        signal.raise_signal(asked[0])
