"""What two players want of each other's logits, as pairs of functions.

Logits are of D = sigmoid(logit) = "this is real text"; any shape, for a discriminator may judge a sentence once (B,),
once per token (N,) after masking, or once per representation (B, R). All losses are means and are to be minimised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.processes import Noise
from textgan.sequences import embed, mean_within


class Objective(NamedTuple):
    """The two sides of a game; each takes (real logits, fake logits) and gives a scalar loss."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _relativistic(real: Tensor, fake: Tensor) -> Tensor:
    if real.shape != fake.shape:
        raise ValueError(f"a relativistic loss pairs logits: real {tuple(real.shape)}, fake {tuple(fake.shape)}")
    return F.softplus(fake - real).mean()


MINIMAX = Objective(_cross_entropy, lambda real, fake: -F.softplus(fake).mean())
"""min_G max_D E[log D(x)] + E[log(1 - D(G(z)))]. Goodfellow et al. 2014, eq. 1; V = -(discriminator loss)."""

NON_SATURATING = Objective(_cross_entropy, lambda real, fake: F.softplus(-fake).mean())
"""The same D; G maximises log D(G(z)), whose gradient does not vanish where D wins. Goodfellow et al. 2014, sec. 3."""

HINGE = Objective(lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(), lambda real, fake: -fake.mean())
"""Geometric GAN. Lim & Ye 2017, eq. 11-12."""

LEAST_SQUARES = Objective(
    lambda real, fake: 0.5 * ((real - 1).square().mean() + fake.square().mean()),
    lambda real, fake: 0.5 * (fake - 1).square().mean(),
)
"""LSGAN with targets 1 for real and 0 for fake. Mao et al. 2017, eq. 9."""

WASSERSTEIN = Objective(lambda real, fake: fake.mean() - real.mean(), lambda real, fake: -fake.mean())
"""The critic's dual of the 1-Wasserstein distance; add `gradient_penalty` to D. Arjovsky et al. 2017, eq. 2."""

RELATIVISTIC = Objective(_relativistic, lambda real, fake: _relativistic(fake, real))
"""Relativistic standard GAN: each fake is compared with a real partner. Jolicoeur-Martineau 2018, eq. 9-10."""

OBJECTIVES = {
    "minimax": MINIMAX,
    "non_saturating": NON_SATURATING,
    "hinge": HINGE,
    "least_squares": LEAST_SQUARES,
    "wasserstein": WASSERSTEIN,
    "relativistic": RELATIVISTIC,
}


def token_cross_entropy(real: Tensor, fake: Tensor, real_mask: Tensor, fake_mask: Tensor) -> Tensor:
    """D's loss of MINIMAX where it judges tokens: logits and masks (B, T), a mean over each kind's tokens."""
    return mean_within(real, real_mask, lambda x: F.softplus(-x)) + mean_within(fake, fake_mask, F.softplus)


def one_hot(x: Tensor, vocab_size: int) -> Tensor:
    """Soft form of either kind of token: (B, T) int64 or (B, T, V) -> (B, T, V) float."""
    return embed(x, torch.eye(vocab_size, device=x.device)) if x.dtype == torch.int64 else x


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, rng: torch.Generator | None = None
) -> Tensor:
    """Keeps a critic 1-Lipschitz between two batches: E[(|grad critic(u real + (1-u) fake)| - 1)^2].

    real, fake: (B, T, V) soft tokens of equal shape; critic maps (B, T, V) -> (B,) or (B, R). Multiply by 10 for
    the paper's weight. Gulrajani et al. 2017, eq. 3.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real {tuple(real.shape)} and fake {tuple(fake.shape)} must have one shape; pad the shorter")
    u = Noise(len(real), rng, real.device).uniform(1, 1)
    between = (u * real.detach() + (1 - u) * fake.detach()).requires_grad_()
    scores = critic(between)
    (grad,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    return (grad.flatten(1).norm(dim=1) - 1).square().mean()
