"""What a graphics card wants of a hot path: shapes that never change, no waiting for a value, one launch for many.

`fixed_shapes` tells the parts which form to take: on a CPU a row leaves the batch as it ends, which spares work; on a
card the same rows stay to the end, which spares the wait for how many have ended. Both forms give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from textgan.processes import share

WARM = 3  # calls before a graph is recorded: libraries choose their kernels and allocate in them


def fixed_shapes(device: torch.device) -> bool:
    """Whether shapes must not depend on values there."""
    return device.type == "cuda"


class Graphed:
    """Calls work(*tensors) -> dict of tensors; on a card, from the fourth call with like shapes on, as a CUDA graph.

    The first calls are real ones, on a stream of their own, as recording asks for. `work` must take fixed shapes, read
    no value on the host, and draw random numbers from the card's default generator alone (dropout does); whatever it
    changes (weights, an optimiser's state with capturable=True) it must change in place. Under autocast, whose copies
    of the weights outlive a step, and among several processes it is called as it is. Not yet run on a card.
    """

    def __init__(self, work: Callable[..., dict[str, Any]]) -> None:
        self.work = work
        self.calls: dict[Any, int] = {}
        self.recorded: dict[Any, tuple[Any, list[Tensor], dict[str, Any]]] = {}

    def __call__(self, *inputs: Tensor) -> dict[str, Any]:
        if not inputs[0].is_cuda or share().world > 1 or torch.is_autocast_enabled("cuda"):
            return self.work(*inputs)
        key = tuple((x.shape, x.dtype) for x in inputs)
        self.calls[key] = self.calls.get(key, 0) + 1
        if self.calls[key] <= WARM:
            return self._aside(inputs)
        if key not in self.recorded:
            self.recorded[key] = self._record([x.clone() for x in inputs])
        graph, places, outputs = self.recorded[key]
        for place, x in zip(places, inputs, strict=True):
            place.copy_(x)
        graph.replay()
        return {name: value.clone() for name, value in outputs.items()}

    def _aside(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            outputs = self.work(*inputs)
        here.wait_stream(aside)
        return outputs

    def _record(self, places: list[Tensor]) -> tuple[Any, list[Tensor], dict[str, Any]]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self.work(*places)
        return graph, places, outputs
