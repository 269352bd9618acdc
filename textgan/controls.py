"""Controls of an adversarial claim: the same game, in which what D tells G is taken away or spoilt.

A discriminator in training mode learns, in evaluation mode it answers G (as `updates` and all recipes have it), so
the answers alone can be changed, without a word in any recipe. A reward that is worth something beats all four.
PG-BLEU's BLEU is such a judge, too, but for "frozen", since it learns nothing.

Noise and answers that change places have no mean over a call: one call holds finished sentences and another one
completions, sorted by length, and a mean of each is what D thinks of length, which G would learn in full. Nor has any
odd function of them a mean, as G hears sigmoid(logit) - 1/2 or 2 sigmoid(logit) - 1: each answer has a random sign, for
without it the mean of a sigmoid of skewed answers told 5 to 15 % of D's word on length. What is not odd (SentiGAN's
softmax of classes, RankGAN's rank) still tells how far D's answers differ at a length, though not which way.

Where a generator reads D's features (LeakGAN), they are part of p(tokens): noise or another sentence's features in
their place would be another policy at each reading, and no step could be taken on what was sampled. So the copy of D
inside the generator is kept as it began instead, an untrained reader of the text, and nothing of D reaches it.

MaskGAN's critic reads D's states. What it foretells is a baseline: it changes the noise of a step and not its mean.

Of several processes, each holds its rows: what is constant or frozen is so on all of them. Noise of the spread of D's
answers, and answers that change places, are of a whole call of D, and the processes' calls differ in length (roll-outs
are as long as the own longest sentence): K processes could not do what one does, and are refused.
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
    """Noise of the same spread."""
    return torch.randn(rows.shape, generator=rng).to(rows) * rows.std(correction=0)


def _shuffled(rows: Tensor, rng: torch.Generator) -> Tensor:
    """Other sentences' answers, less their mean, turned round or not by a coin for each row."""
    moved = rows[torch.randperm(len(rows), generator=rng).to(rows.device)] - rows.mean(0)
    coins = torch.randint(2, (len(rows), *[1] * (rows.dim() - 1)), generator=rng)
    return moved * (2 * coins - 1).to(moved)


SPOILS: dict[str, Spoil] = {"constant": _constant, "random": _random, "shuffled": _shuffled}
CONTROLS = {
    "constant": "D tells G the same of every sentence",
    "random": "D tells G noise of the spread of its answers",
    "shuffled": "D's answers, less their mean and of random sign, go to other sentences of the batch",
    "frozen": "D stops learning when the game begins",
}
GAME = "adversarial"  # the phase of that name
JUDGES = ("discriminator", "reward")  # players of these names, whatever their nets: a language model, BLEU
SHARED = ("constant", "frozen")  # those that several processes may play
METHODS = ("forward", "features", "step_logits", "sentence_logits", "class_logits", "log_probs")  # the last of a model


def check_control(control: str, processes: int = 1) -> None:
    """Errors: InputError for a word that is none of CONTROLS, and for one that so many processes cannot play."""
    if control not in CONTROLS:
        raise InputError(f"--control {control!r} is not one of {', '.join(CONTROLS)}")
    if processes > 1 and control not in SHARED:
        raise InputError(
            f"--control {control} mixes the answers of a whole batch and is for one process; start it without torchrun "
            f"(several can play {' and '.join(SHARED)})"
        )


def spoil_answers(players: Players, control: str, rng: torch.Generator) -> None:
    """Make every discriminator answer by the control from now on; to be called before the phases are built.

    Without a gradient (hard tokens, a fitness), the rows of an answer (logits, features) are replaced. Under one (soft
    tokens) the answer stands and the gradient that flows back to each sentence is replaced, since that is what D tells
    G there. A copy of D inside another net stays as it is now. Errors: InputError where the recipe has no D, and to
    freeze one that learns nothing.
    """
    judges = judges_of(players)
    nets = {id(player.net): player.net for player in judges}
    if not nets:
        raise InputError("--control changes what a discriminator tells the generator, and this recipe has none")
    if control not in SPOILS:
        if all(player.optimizer is None for player in judges):
            raise InputError(f"--control {control}: this recipe's reward learns nothing, so that would change nothing")
        return
    for net in nets.values():
        _spoil(net, SPOILS[control], rng)
    for part in (part for player in players.values() for part in player.net.modules()):
        if isinstance(part, Discriminator) and id(part) not in nets:
            part.deaf = True


def frozen_phases(phases: tuple[Phase, ...], players: Players, control: str) -> tuple[Phase, ...]:
    """The phases, in which D no longer learns once the game has begun, where the control is "frozen".

    A critic, which foretells what D says, goes on learning.
    """
    if control != "frozen":
        return phases
    judges = [player for player in judges_of(players) if player is not players.get("critic")]
    return tuple(_without_learning(phase, judges) if phase.name == GAME else phase for phase in phases)


def judges_of(players: Players) -> list[Player[Any]]:
    """The players whose net is a discriminator, and those named so in JUDGES."""
    return [player for name, player in players.items() if isinstance(player.net, Discriminator) or name in JUDGES]


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
                if not (x.requires_grad and torch.is_grad_enabled()):  # the answer itself is what G hears
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
