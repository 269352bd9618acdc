"""Losses at points where they can be worked out by hand, and the direction in which each player is pushed."""

from __future__ import annotations

import math

import pytest
import torch

from textgan.objectives import MINIMAX, OBJECTIVES, RELATIVISTIC, gradient_penalty

LN2 = math.log(2)
AT_ZERO = {  # (discriminator, generator) with all logits 0, where D = 1/2
    "minimax": (2 * LN2, -LN2),
    "non_saturating": (2 * LN2, LN2),
    "hinge": (2.0, 0.0),
    "least_squares": (0.5, 0.5),
    "wasserstein": (0.0, 0.0),
    "relativistic": (LN2, LN2),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_values_where_d_knows_nothing(name: str) -> None:
    zero = torch.zeros(4)
    d, g = AT_ZERO[name]
    assert OBJECTIVES[name].discriminator(zero, zero).item() == pytest.approx(d)
    assert OBJECTIVES[name].generator(zero, zero).item() == pytest.approx(g)


def test_minimax_is_the_articles_value_function() -> None:
    """V = E log D(x) + E log(1 - D(G)); D minimises -V and G minimises V's second term."""
    real, fake = torch.tensor([0.3, 1.2]), torch.tensor([-0.7, 0.4])
    value = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    assert MINIMAX.discriminator(real, fake).item() == pytest.approx(-value.item(), abs=1e-6)
    assert MINIMAX.generator(real, fake).item() == pytest.approx((1 - fake.sigmoid()).log().mean().item(), abs=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_d_raises_real_over_fake_and_g_raises_fake(name: str) -> None:
    real, fake = torch.full((4,), -0.2, requires_grad=True), torch.full((4,), 0.3, requires_grad=True)
    d_real, d_fake = torch.autograd.grad(OBJECTIVES[name].discriminator(real, fake), (real, fake))
    assert (d_real < 0).all()
    assert (d_fake > 0).all()
    (g_fake,) = torch.autograd.grad(OBJECTIVES[name].generator(real, fake), (fake,))
    assert (g_fake < 0).all()


def test_a_relativistic_loss_needs_partners() -> None:
    with pytest.raises(ValueError, match=r"pairs logits: real \(3,\), fake \(4,\)"):
        RELATIVISTIC.discriminator(torch.zeros(3), torch.zeros(4))


def test_gradient_penalty_of_a_linear_critic_is_exact() -> None:
    """critic(x) = sum(w x) has gradient w everywhere: here |w|^2 = 12 * 0.25 = 3, so (sqrt 3 - 1)^2."""
    real, fake = torch.rand(2, 3, 4), torch.rand(2, 3, 4)
    penalty = gradient_penalty(lambda x: 0.5 * x.sum((1, 2)), real, fake)
    assert penalty.item() == pytest.approx((math.sqrt(3) - 1) ** 2, abs=1e-5)
    with pytest.raises(ValueError, match="must have one shape"):
        gradient_penalty(lambda x: x.sum((1, 2)), real, fake[:, :2])
