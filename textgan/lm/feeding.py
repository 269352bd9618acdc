"""What a training is fed: sentences cut into steps of an exact number of predicted tokens, and which kind when."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from textgan.lm.likelihood import Piece, collate, pieces
from textgan.lm.loading import Lm
from textgan.text import Text

Part = tuple[Piece, int, int]  # predict the targets a to b of a piece


@runtime_checkable
class Feed(Protocol):
    """Real and synthetic lines with a plan of when they are seen and what they count; `augmentation.Mixture` is one.

    made: (lines,) bool, which are synthetic. weights: (lines,) float64, what its tokens count in the loss, or None.
    base: the real text, in its own order, that a small model is pre-trained on before it sees the lines; its lines may
    be none.
    doses(overall, steps, tokens): synthetic tokens of each step, (steps,) int64, where `overall` is their share in the
    lines; None: the kinds are not told apart.
    """

    @property
    def lines(self) -> Sequence[str]: ...
    @property
    def made(self) -> np.ndarray: ...
    @property
    def weights(self) -> np.ndarray | None: ...
    @property
    def base(self) -> Text: ...
    def doses(self, overall: float, steps: int, tokens: int) -> np.ndarray | None: ...
    def to_json(self) -> dict[str, Any]: ...


class Batches(torch.utils.data.Dataset):
    """Step after step, the next `tokens` targets of a stream of sentences: a new seeded order every pass.

    A sentence that a step's end cuts is finished in the next step, its beginning given as context, so every target is
    predicted once a pass and a step has exactly `tokens` of them. The order depends on the seed and the number of
    sentences only. With `doses` (steps,) there are two such streams, and step s takes doses[s] of its targets from
    `synthetic`.
    """

    def __init__(
        self, found: Sequence[Piece], *, steps: int, tokens: int, seed: int, synthetic: Sequence[Piece] = (),
        doses: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        if doses is None:
            doses = np.zeros(steps, np.int64)
        real, made = taken(found, tokens - doses, (seed,)), taken(synthetic, doses, (seed, 1))
        self.steps = [[*one, *other] for one, other in zip(real, made, strict=True)]
        self.weighted = any(piece.weight != 1 for piece in (*found, *synthetic))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        parts = self.steps[step]
        batch = collate(parts)
        if self.weighted:
            batch["weights"] = torch.tensor([piece.weight for piece, _, _ in parts])  # (B,)
        return batch


def taken(found: Sequence[Piece], amounts: np.ndarray, key: tuple[int, ...]) -> Iterator[list[Part]]:
    """For each amount, so many targets more of the sentences: an endless stream, in a new order every pass."""
    stream = _endless(found, key)
    piece, a = None, 0
    for amount in amounts.tolist():
        parts: list[Part] = []
        while amount:
            if piece is None:
                piece = next(stream)
                a = piece.first
            b = min(len(piece.inputs), a + amount)
            parts.append((piece, a, b))
            amount -= b - a
            piece, a = (None if b == len(piece.inputs) else piece), b
        yield parts


def _endless(found: Sequence[Piece], key: tuple[int, ...]) -> Iterator[Piece]:
    seed, *kind = key
    epoch = 0
    while True:
        for index in np.random.default_rng([seed, epoch, *kind]).permutation(len(found)):
            yield found[index]
        epoch += 1


def feed(lm: Lm, text: Sequence[str] | Feed, *, steps: int, tokens: int, seed: int) -> Batches:
    """The steps of a training on lines, or on what a Feed says."""
    if not isinstance(text, Feed):
        return Batches(pieces(lm.model, lm.tokenizer, text), steps=steps, tokens=tokens, seed=seed)
    weights = np.ones(len(text.lines)) if text.weights is None else text.weights
    kinds: tuple[list[Piece], list[Piece]] = ([], [])
    found = pieces(lm.model, lm.tokenizer, text.lines, weights)
    for piece in found:
        kinds[int(text.made[piece.line])].append(piece)
    sizes = [predicted(kind) for kind in kinds]
    doses = text.doses(sizes[1] / sum(sizes), steps, tokens)
    if doses is None:
        return Batches(found, steps=steps, tokens=tokens, seed=seed)
    return Batches(kinds[0], synthetic=kinds[1], doses=doses, steps=steps, tokens=tokens, seed=seed)


def predicted(found: Sequence[Piece]) -> int:
    """Targets that a pass over the pieces predicts."""
    return sum(len(piece.inputs) - piece.first for piece in found)
