"""What a person sees during long work: a bar on standard error, and TensorBoard where asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from textgan.errors import InputError

T = TypeVar("T")
SHOWN = {"g_loss": "G", "d_loss": "D", "d_accuracy": "D acc", "reward": "reward", "valid_nll": "held-out NLL"}


def counted(items: Iterable[T], total: int, unit: str) -> Iterator[T]:
    """The items, with a bar on standard error where a person watches and it takes more than a second."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    bar = tqdm(items, total=total, unit=f" {unit}", file=sys.stderr, disable=not shown, dynamic_ncols=True, delay=1)
    return iter(bar)


class Progress:
    """A bar over all steps of a run with losses, held-out NLL, D accuracy, sentences a second and time left."""

    def __init__(self, total: int, *, batch: int, shown: bool, tensorboard: Path | None = None) -> None:
        from tqdm import tqdm

        quiet = not sys.stderr.isatty()
        self.bar = tqdm(
            total=total, disable=not shown, file=sys.stderr, unit=" steps", mininterval=30 if quiet else 0.2,
            maxinterval=60 if quiet else 10, dynamic_ncols=True, smoothing=0.1, delay=0.5,
        )  # fmt: skip
        self.batch, self.writer = batch, None
        self.latest: dict[str, str] = {}
        if tensorboard is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise InputError("--tensorboard needs the extra: pip install 'textgan[tracking]'") from error
            self.writer = SummaryWriter(str(tensorboard))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()

    def start(self, step: int) -> None:
        """Where a resumed run begins."""
        self.bar.update(step)
        self.bar.unpause()

    def step(self, phase: str) -> None:
        """One step done."""
        self.bar.set_description(phase, refresh=False)
        self.bar.update(1)

    def row(self, row: dict[str, Any]) -> None:
        """Show a row of the log; its warning gets a line of its own."""
        self.latest |= {word: f"{row[key]:.3g}" for key, word in SHOWN.items() if key in row}
        rate = self.bar.format_dict.get("rate")
        speed = {"sentences/s": f"{rate * self.batch:.0f}"} if rate else {}
        self.bar.set_postfix(self.latest | speed, refresh=False)
        if warning := row.get("warning"):
            self.say(f"step {row['step']}: {warning}")
        if self.writer is not None:
            for key, value in row.items():
                if isinstance(value, float):
                    self.writer.add_scalar(key, value, row["step"])

    def hint(self, line: str) -> None:
        """`say` where a person watches; a file is spared what recipe.json holds."""
        if sys.stderr.isatty():
            self.say(line)

    def say(self, line: str) -> None:
        """One line above the bar."""
        if not self.bar.disable:
            self.bar.write(line, file=sys.stderr)
            self.bar.delay = 0  # it is on the screen now, so that its end ends its line, too
