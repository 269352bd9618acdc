"""Controls of an adversarial claim: the same game, in which what D tells G is taken away or spoilt.

A discriminator in training mode learns, in evaluation mode it answers G (as `updates` and all recipes have it), so
the answers alone can be changed, without a word in any recipe. A reward that is worth something beats all four.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from textgan.discriminators import Discriminator
from textgan.errors import InputError
from textgan.updates import Logs, Phase, Player, Players

Spoil = Callable[[Tensor, torch.Generator], Tensor]  # rows, one a sentence -> rows of the same shape


def _constant(rows: Tensor, rng: torch.Generator) -> Tensor:
    return torch.zeros_like(rows)


def _random(rows: Tensor, rng: torch.Generator) -> Tensor:
    """Noise of the same mean and spread."""
    noise = torch.randn(rows.shape, generator=rng).to(rows)
    return rows.mean() + noise * rows.std(correction=0)


def _shuffled(rows: Tensor, rng: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=rng).to(rows.device)]


SPOILS: dict[str, Spoil] = {"constant": _constant, "random": _random, "shuffled": _shuffled}
CONTROLS = {
    "constant": "D tells G the same of every sentence",
    "random": "D tells G noise of the mean and spread of its answers",
    "shuffled": "D's answers go to other sentences of the batch",
    "frozen": "D stops learning when the game begins",
}
METHODS = ("forward", "features", "step_logits", "sentence_logits", "log_probs")  # the last of a language model


def check_control(control: str) -> None:
    """Errors: InputError for a word that is none of CONTROLS."""
    if control not in CONTROLS:
        raise InputError(f"--control {control!r} is not one of {', '.join(CONTROLS)}")


def spoil_answers(players: Players, control: str, rng: torch.Generator) -> None:
    """Make every discriminator answer by the control from now on; to be called before the phases are built.

    Hard tokens: the rows of an answer (logits, features) are replaced. Soft tokens: the answer stands and the gradient
    that flows back to each sentence is replaced, since that is what D tells G there. Errors: InputError where the
    recipe has no discriminator.
    """
    nets = {id(player.net): player.net for player in _judges(players)}
    if not nets:
        raise InputError("--control changes what a discriminator tells the generator, and this recipe has none")
    for net in nets.values() if control in SPOILS else ():
        _spoil(net, SPOILS[control], rng)


def frozen_phases(phases: tuple[Phase, ...], players: Players, control: str) -> tuple[Phase, ...]:
    """The phases, in which D no longer learns once the phase named "judge" is over, where the control is "frozen"."""
    if control != "frozen":
        return phases
    judges = _judges(players)
    return tuple(phase if phase.name == "judge" else _without_learning(phase, judges) for phase in phases)


def _judges(players: Players) -> list[Player[Any]]:
    """Those whose net is a discriminator, and the one of that name, which may be a language model."""
    return [
        player
        for name, player in players.items()
        if isinstance(player.net, Discriminator) or name == "discriminator"
    ]


def _without_learning(phase: Phase, judges: list[Player[Any]]) -> Phase:
    def update(step: int, batches: Any) -> Logs:
        for player in judges:
            player.frozen = True
        try:
            return phase.update(step, batches)
        finally:
            for player in judges:
                player.frozen = False

    return phase._replace(update=update)


def _spoil(net: nn.Module, spoil: Spoil, rng: torch.Generator) -> None:
    """Put the spoilt answers in the place of the net's own methods; a call within a call is left alone."""
    inside = False

    def spoilt(answer: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(answer)
        def call(x: Tensor, *arguments: Any) -> Tensor:
            nonlocal inside
            if net.training or inside:
                return answer(x, *arguments)
            inside = True
            try:
                if x.dtype == torch.int64:
                    return spoil(answer(x, *arguments), rng)
                return answer(_SpoiltGradient.apply(x, spoil, rng), *arguments)
            finally:
                inside = False

        return call

    for name in METHODS:
        if hasattr(net, name):
            setattr(net, name, spoilt(getattr(net, name)))


class _SpoiltGradient(torch.autograd.Function):
    """The identity, whose gradient is spoilt."""

    @staticmethod
    def forward(context: Any, x: Tensor, spoil: Spoil, rng: torch.Generator) -> Tensor:
        context.spoil, context.rng = spoil, rng
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return context.spoil(grads[0], context.rng), None, None
