"""A graphics card played by the CPU, in two ways; neither says how fast it would be.

A tape is a CUDA graph: a replay reads the places, repeats each recorded operation with the numbers it had then, and
leaves its outputs where they stood then; Python is not run again. So whatever a work takes from the host, or leaves in
other memory than before, goes wrong here as it would there.

A far card is torch's meta device, whose tensors have shapes and no values: what a card would be waited for cannot be
had there at all, and what comes from the host is seen to come.
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
from textgan.generators import CausalLM
from textgan.graphs import Recording, Work
from textgan.processes import Noise

aten = torch.ops.aten
WAITING = {  # the shape of the result, or what Python does next, depends on values
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.is_nonzero,
    aten.equal, aten.repeat_interleave,
}  # fmt: skip
BY_INDEX = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
OPTIMISERS = {aten._fused_adam_, aten._fused_adamw_}
FROM_HOST = {aten.lift_fresh, aten.lift_fresh_copy}  # torch.tensor(a number)


class Waits(Exception):
    """What a card would be waited for."""


class NoWaiting(TorchDispatchMode):
    """Inside, an operation that reads a value on the host, or takes one that comes from it, raises `Waits`."""

    def __init__(self) -> None:
        super().__init__()
        self.brought: list[Tensor] = []  # alive, so that no other tensor gets their memory

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        packet, keywords = function.overloadpacket, keywords or {}
        taken = [x for x in tree_leaves((arguments, keywords)) if isinstance(x, Tensor)]
        by_mask = packet in BY_INDEX and any(x is not None and x.dtype == torch.bool for x in arguments[1])
        sized = packet is aten.repeat_interleave and "output_size" in keywords
        if (packet in WAITING or by_mask) and not sized:
            raise Waits(str(function))
        if packet in FROM_HOST:
            self.brought += taken
        elif {_storage(x) for x in taken} & {_storage(x) for x in self.brought}:
            raise Waits(f"{function} of a tensor made of a number")
        if packet in OPTIMISERS and taken[0].is_meta:
            return None  # they have no form without values
        out = function(*arguments, **keywords)
        devices = {x.device.type for x in [*taken, *tree_leaves(out)] if isinstance(x, Tensor)}
        if devices == {"cpu", "meta"}:
            raise Waits(f"{function} of tensors here and there")
        return out


def _storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


class Tape(NoWaiting):
    """The operations done inside, with the very tensors they read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any, bool]] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        out = super().__torch_dispatch__(function, types, arguments, keywords)
        self.done.append((function, arguments, keywords or {}, out, torch.is_grad_enabled()))
        return out

    def replay(self) -> None:
        for function, arguments, keywords, out, grad in self.done:
            given = {_storage(x) for x in tree_leaves((arguments, keywords)) if isinstance(x, Tensor)}
            with torch.set_grad_enabled(grad), torch._C._AutoDispatchBelowAutograd():  # some look at the mode
                again = function(*arguments, **keywords)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and _storage(old) not in given:
                        old.copy_(new)


class Card:
    """How a test speaks of the card that it plays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.busy = monkeypatch, False
        self.tapes: list[tuple[str, Tape]] = []  # with the names of their works

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

    def far(self) -> None:
        """From now on nets may be on the meta device, and a batch's noise is there."""
        self.fixed()
        set_ = self.monkeypatch.setattr
        set_("transformers.utils.import_utils.is_cuda_stream_capturing", lambda: True)
        set_(sys.modules["torch.optim.optimizer"], "_get_fused_kernels_supported_devices", lambda: ["meta", "cpu"])
        set_(CausalLM, "_head_is_linear", lambda generator: True)
        set_(Noise, "__init__", lambda noise, n, rng, device: setattr(noise, "rows", n))
        set_(Noise, "uniform", lambda noise, *shape, **_: torch.empty(noise.rows, *shape, device="meta"))

    def _record(self, work: Work, inputs: Sequence[Tensor]) -> Recording:
        """The work on a tape. Recording does it once, which stands for the first replay."""
        tape, places, first = Tape(), [x.clone() for x in inputs], True
        self.tapes.append((work.__qualname__, tape))
        self.busy = True
        try:
            with tape:
                outputs = work(*places)
        finally:
            self.busy = False

        def replay() -> None:
            nonlocal first
            if not first:
                tape.replay()
            first = False

        return Recording(places, replay, outputs)
