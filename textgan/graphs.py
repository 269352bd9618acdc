"""What a graphics card wants of a hot path: shapes that never change, no waiting for a value, one launch for many.

`fixed_shapes` tells the parts which form to take: on a CPU a row leaves the batch as it ends, which spares work; on a
card the same rows stay to the end, which spares the wait for how many have ended. Both forms give the same numbers.
`Graphs` records works of fixed shapes as CUDA graphs: a work is a step of a player, or the writing of one token.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from textgan.processes import share

WARM = 3  # calls before a graph is recorded: libraries choose their kernels and allocate in them; math.inf: no graphs

Work = Callable[..., dict[str, Any]]


def fixed_shapes(device: torch.device) -> bool:
    """Whether shapes must not depend on values there."""
    return device.type == "cuda"


def keep_recurrent(net: nn.Module) -> None:
    """Leave a net's LSTMs and GRUs in training mode, whatever mode it is in: cuDNN refuses their backward pass in the
    other. Ours have no dropout between layers, which is all that the mode would change in them.
    """
    for part in net.modules():
        if isinstance(part, nn.RNNBase):
            part.train(True)


def recordable(device: torch.device) -> bool:
    """Whether what the caller does next can be recorded, and is not part of a recording already.

    Not under autocast, whose copies of the weights outlive a step, nor among several processes, which talk.
    """
    card = device.type == "cuda" and not torch.cuda.is_current_stream_capturing()
    return card and share().world == 1 and not torch.is_autocast_enabled("cuda")


class Recording(NamedTuple):
    """A recorded work: the places it reads its inputs from, what does it again, and where its outputs then stand."""

    places: list[Tensor]
    replay: Callable[[], None]
    outputs: dict[str, Any]


class Graphs:
    """Works of one net or player; on a card each becomes a CUDA graph once it has been done WARM times.

    graphs(name, work, *tensors) gives what work(*tensors) does, a dict of tensors. `name` must say all that a recording
    holds fast: the nets and their modes, and every number that is no tensor. A work takes fixed shapes, reads no value
    on the host, brings none from it, and draws random numbers from the card's default generator alone (dropout does);
    what outlives it (weights, an optimiser's state with capturable=True) it changes in place. times: that many times
    in a row, for a work that changes its own tensors in place; they are the caller's to give away. A copy knows no
    works, since they are those of another net. Nothing was recorded on a card yet; tests/tape.py is its twin.
    """

    def __init__(self) -> None:
        self.calls: dict[Hashable, int] = {}
        self.recordings: dict[Hashable, Recording] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Graphs:
        return Graphs()

    def __call__(self, name: Hashable, work: Work, *inputs: Tensor, times: int = 1) -> dict[str, Any]:
        if not recordable(inputs[0].device):
            return _repeat(work, inputs, times)
        key = name, tuple((x.shape, x.dtype) for x in inputs)
        if self.calls.get(key, 0) < WARM:
            self.calls[key] = self.calls.get(key, 0) + times
            return aside(work, inputs, times)
        if key in self.recordings:
            torch._foreach_copy_(self.recordings[key].places, inputs)
        else:
            self.recordings[key] = record(work, inputs)
        _, replay, outputs = self.recordings[key]
        for _ in range(times):
            replay()
        return {name: value.clone() for name, value in outputs.items()}


def _repeat(work: Work, inputs: Sequence[Tensor], times: int) -> dict[str, Any]:
    for _ in range(times):
        outputs = work(*inputs)
    return outputs


def aside(work: Work, inputs: Sequence[Tensor], times: int) -> dict[str, Any]:
    """Real calls on a stream of their own, as recording asks for."""
    here, other = torch.cuda.current_stream(), torch.cuda.Stream()
    other.wait_stream(here)
    with torch.cuda.stream(other):
        outputs = _repeat(work, inputs, times)
    here.wait_stream(other)
    return outputs


def record(work: Work, inputs: Sequence[Tensor]) -> Recording:
    """The work as a CUDA graph that reads copies of its inputs; nothing is done until it is replayed."""
    graph, places = torch.cuda.CUDAGraph(), [x.clone() for x in inputs]
    with torch.cuda.graph(graph):
        outputs = work(*places)
    return Recording(places, graph.replay, outputs)
