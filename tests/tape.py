"""A CUDA graph on the CPU: what a recording would do again, operation by operation, in the same memory.

`record` is `graphs.record`'s twin. As a CUDA graph does, a replay reads the places, repeats each recorded operation with
the numbers it had then, and leaves its outputs where they stood then; Python is not run again. So whatever a work takes
from the host, or leaves in other memory than before, goes wrong here as it would there. While a work is recorded,
operations that a card would be waited for, or that bring a value from the host, raise `Waits`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from textgan import graphs
from textgan.graphs import Recording, Work

aten = torch.ops.aten
WAITING = {  # the shape of the result, or what Python does next, depends on values
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.is_nonzero,
    aten.equal, aten.repeat_interleave,
}  # fmt: skip
FROM_HOST = {aten.lift_fresh, aten.lift_fresh_copy}  # torch.tensor(a number)


class Waits(Exception):
    """What a card would be waited for."""


def forbid(function: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> None:
    """Waits for an operation that reads a value on the host or brings one."""
    packet = function.overloadpacket
    by_mask = packet in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_) and any(
        isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8) for x in arguments[1]
    )
    sized = packet is aten.repeat_interleave and "output_size" in keywords
    if (packet in WAITING or by_mask) and not sized or packet in FROM_HOST:
        raise Waits(str(function))


class NoWaiting(TorchDispatchMode):
    """Inside, `forbid` holds."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        forbid(function, arguments, keywords or {})
        return function(*arguments, **(keywords or {}))


class Tape(TorchDispatchMode):
    """The operations done inside, with the very tensors they read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        forbid(function, arguments, keywords)
        out = function(*arguments, **keywords)
        self.done.append((function, arguments, keywords, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for function, arguments, keywords, out in self.done:
            given = {x.untyped_storage()._cdata for x in tree_leaves((arguments, keywords)) if isinstance(x, Tensor)}
            again = function(*arguments, **keywords)
            for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.untyped_storage()._cdata not in given:
                    old.copy_(new)


def record(work: Work, inputs: Sequence[Tensor]) -> Recording:
    """The work on a tape. Recording does it once, which stands for the first replay."""
    tape, places, first = Tape(), [x.clone() for x in inputs], True
    with tape:
        outputs = work(*places)

    def replay() -> None:
        nonlocal first
        if not first:
            tape.replay()
        first = False

    return Recording(places, replay, outputs)


class Card:
    """How a test speaks of the card that it plays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.recorded, self.busy = monkeypatch, 0, False

    def fixed(self) -> None:
        """From now on every part takes the form of a card, and is called as it is."""
        for name, module in list(sys.modules.items()):
            if name.startswith("textgan") and hasattr(module, "fixed_shapes"):
                self.monkeypatch.setattr(module, "fixed_shapes", lambda device: True)

    def recording(self) -> None:
        """From now on works are recorded too."""
        self.fixed()
        self.monkeypatch.setattr(graphs, "recordable", lambda device: not self.busy)
        self.monkeypatch.setattr(graphs, "aside", graphs._repeat)
        self.monkeypatch.setattr(graphs, "record", self._record)
        self.monkeypatch.setattr("transformers.utils.import_utils.is_cuda_stream_capturing", lambda: self.busy)

    def _record(self, work: Work, inputs: Sequence[Tensor]) -> Recording:
        self.recorded, self.busy = self.recorded + 1, True
        try:
            return record(work, inputs)
        finally:
            self.busy = False
