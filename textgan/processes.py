"""One batch over several processes: each holds its rows of it, and together they do what one process would do.

The trainer runs each update inside `sharing`. A recipe's batch is then this process's rows of the whole batch, in order
of rank. Three things make the result that of one process, to rounding: `Noise` gives a row the same random numbers
whoever holds it; `gather` brings the others' rows for a statistic or a loss over the whole batch; and `Player.minimise`
takes the mean of the gradients. Outside `sharing` all of them act alone, without a word to another process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist

from textgan.errors import InputError

TILE = 16  # rows that share a stream of noise; at most so many are drawn in vain at either end of a process's rows


class Share(NamedTuple):
    """Which of `world` equal parts of the work this process does."""

    rank: int = 0
    world: int = 1


ALONE = Share()

_SHARE: ContextVar[Share] = ContextVar("share", default=ALONE)


def share() -> Share:
    """This process's share where the caller stands."""
    return _SHARE.get()


@contextmanager
def sharing(part: Share) -> Iterator[None]:
    """Inside, this process does its share of the work; with ALONE all of it."""
    before = _SHARE.set(part)
    try:
        yield
    finally:
        _SHARE.reset(before)


def gather(x: Tensor) -> Tensor:
    """The whole batch's rows: (B, ...) here -> (world B, ...). The shape must be the same on every process.

    A loss in which rows meet is reckoned over all that it needs, gathered, and so is the same on every process. The
    gradient runs to the own rows, times `world`: its mean over the processes is then the whole batch's.
    """
    rank, world = share()
    if world == 1:
        return x
    mine = x.detach().contiguous()
    rows = [torch.empty_like(mine) for _ in range(world)]
    _together(dist.all_gather, rows, mine)
    rows[rank] = mine + world * (x - mine) if x.requires_grad else mine
    return torch.cat(rows)


def part(n: int, what: str = "sentences") -> int:
    """How many of n sentences are this process's own. Errors: InputError where they cannot be shared evenly."""
    world = share().world
    if n % world:
        raise InputError(f"{n} {what} cannot be shared evenly by {world} processes; give a multiple of {world}")
    return n // world


def average(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The mean over the processes of each tensor, without a gradient; one message for all of them."""
    world = share().world
    if world == 1:
        return list(tensors)
    flat = torch.cat([x.detach().flatten() for x in tensors])
    _together(dist.all_reduce, flat)
    parts = (flat / world).split([x.numel() for x in tensors])
    return [part.view_as(x) for part, x in zip(parts, tensors, strict=True)]


def widest(width: int, device: torch.device) -> int:
    """The largest of the processes' widths."""
    if share().world == 1:
        return width
    most = torch.tensor(width, device=device)
    _together(dist.all_reduce, most, dist.ReduceOp.MAX)
    return int(most)


def _together(call: Callable[..., Any], *arguments: Any) -> None:
    """One call of torch.distributed. Errors: ConnectionError where another process has ended."""
    try:
        call(*arguments)
    except RuntimeError as error:
        raise ConnectionError("another process of this run has ended") from error


def tile_seed(seed: int, tile: int) -> int:
    """The seed of a tile of noise, 32 bits, which is what torch's generator of the CPU takes in.

    Multiples of 2^32 / golden ratio keep apart: no two of 2^32 tiles are equal, and those of seeds that differ by less
    than 80 share none within a hundred million rows.
    """
    return (seed + tile * 0x9E3779B1) % (1 << 32)


class Noise:
    """Uniform numbers for the n rows of a batch that are here: a row's own, whoever holds it and whatever others do.

    One draw of `rng` seeds it, which must be in the same state on every process; what is drawn afterwards leaves `rng`
    alone, so a process may stop early where its sentences have ended. The whole batch is cut into tiles of TILE rows
    with a stream each, so that no process draws the numbers of all rows.
    """

    def __init__(
        self, n: int, rng: torch.Generator | None, device: torch.device, *, seed: int | None = None
    ) -> None:
        """seed: that of the first tile, in the place of one that rng gives; `tile_seed` gives those of the others."""
        if seed is None:
            seed = int(torch.randint(1 << 31, (), generator=rng, device=rng.device if rng is not None else "cpu"))
        first = share().rank * n
        tiles = range(first // TILE, -(-(first + n) // TILE))
        self.streams = [torch.Generator(device).manual_seed(tile_seed(seed, tile)) for tile in tiles]
        self.rows, self.device = slice(first % TILE, first % TILE + n), device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """The next numbers of each row: (n, *shape) float32 in [low, high)."""
        tiles = torch.empty(len(self.streams), TILE, *shape, device=self.device)
        for tile, stream in zip(tiles, self.streams, strict=True):
            tile.uniform_(low, high, generator=stream)
        return tiles.flatten(0, 1)[self.rows]
