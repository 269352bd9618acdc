"""The self-test passes what learns from D and fails what does not."""

from __future__ import annotations

import dataclasses
import math

import pytest

from textgan import selftest
from textgan.cli import main
from textgan.discriminators import Discriminator
from textgan.recipes import RECIPES, find_recipe
from textgan.updates import Player, check_recipe


def test_seqgan_learns_from_d_alone_and_the_silent_control_does_not() -> None:
    done = selftest.selftest("seqgan")
    assert done.passed
    assert done.before < 0.6 and done.after > 0.9
    assert done.control == done.before  # a constant reward moves nothing
    assert done.fixed is not None and done.fixed < 0.7 and done.seed == 0


def test_a_recipe_whose_d_takes_no_step_is_not_said_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """At seed 0 that D prefers the pattern by luck, and G learns it; so another seed is played, without that luck."""
    monkeypatch.setitem(selftest.SMALL, "adversarial_steps", 40)
    true = Player.minimise
    monkeypatch.setattr(
        Player, "minimise",
        lambda player, loss: loss.detach() if isinstance(player.net, Discriminator) else true(player, loss),
    )  # fmt: skip
    done = selftest.selftest("scratchgan")
    assert not done.passed and not done.undecided and done.seed > 0
    assert done.after == done.fixed
    assert selftest._share(selftest.small(find_recipe("scratchgan")), 0) > 0.9


def test_the_seed_is_the_first_at_which_a_d_that_never_learns_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where there is none, the asked one; D's rate is 0 in these games."""
    rates, shares = [], {3: 0.9, 4: 0.71, 5: 0.7, 6: 0.1}
    recipe = selftest.small(find_recipe("seqgan"))
    monkeypatch.setattr(
        selftest, "_share", lambda recipe, seed: rates.append(recipe.discriminator_lr) or shares.get(seed, 1.0)
    )
    assert selftest.telling(recipe, 3) == (5, 0.7)
    assert selftest.telling(recipe, 7) == (7, 1.0)
    assert rates == [0.0] * (3 + selftest.SEEDS)


def test_what_any_d_teaches_is_told_as_such_and_is_a_pass_only_where_ds_own_loss_falls() -> None:
    """Real sentences enter RankGAN's reward, so that its G learns from a D that is as its seed made it."""
    done = selftest.SelfTest("rankgan", 0.35, 1.0, 0.35, 1.0, 0, 9.0, losses=(1.5, 1.4))
    assert done.undecided and not done.passed
    shares = "35.0% untrained, 100.0% trained, 35.0% with a constant reward, 100.0% with a D that never learns"
    assert str(done) == (
        "rankgan: G learns, but so it does with a D that never learns (at each of 5 seeds), and D's own loss does not "
        f"fall; words of the pattern: {shares}; D's own loss 1.50 there, 1.40 where it learns; seed 0, 9 s"
    )
    learnt = done._replace(losses=(1.5, 0.6))
    assert learnt.passed and not learnt.undecided and str(learnt).startswith("rankgan: learns; words")
    for failed in (done, learnt):
        assert "does NOT learn" in str(failed._replace(after=0.6)) and not failed._replace(after=0.6).passed


def test_ds_own_loss_falls_where_it_learns_and_stays_where_it_does_not() -> None:
    recipe = selftest.small(find_recipe("rankgan"))
    still = selftest.own_loss(dataclasses.replace(recipe, discriminator_lr=0.0), 0)
    assert selftest.own_loss(recipe, 0) < selftest.FALL * still and 1.2 < still < 2
    assert selftest.own_loss(selftest.small(find_recipe("pgbleu")), 0) == math.inf  # there is none


def test_a_recipe_that_does_not_learn_is_told_with_its_numbers_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(selftest.SMALL, "generator_lr", 0.0)
    monkeypatch.setitem(selftest.SMALL, "adversarial_steps", 3)
    assert main(["selftest", "maligan"]) == 1
    said = capsys.readouterr().out
    wanted = "maligan: does NOT learn (90% was wanted, and 20% above start and controls); words of the pattern: "
    assert said.startswith(wanted)
    assert said.count("\n") == 1


def test_a_control_that_learns_as_well_fails_the_recipe() -> None:
    done = selftest.SelfTest("x", before=0.3, after=0.95, control=0.3, fixed=0.3, seed=0, seconds=1.0)
    assert done.passed
    assert not done._replace(control=0.9).passed
    assert not done._replace(before=0.8).passed
    assert not done._replace(after=0.85, control=None, fixed=None).passed
    assert not done._replace(fixed=0.95).passed
    assert done._replace(control=None, fixed=None).passed


def test_a_recipe_that_cannot_begin_with_noise_says_why_where_it_fails() -> None:
    """Not where it passes: then the reason would be wrong."""
    failed = selftest.SelfTest("x", 0.3, 0.3, 0.3, 0.3, 0, 1.0, "it needs its pre-training")
    assert str(failed).endswith("; seed 0, 1 s; it needs its pre-training")
    assert str(failed._replace(after=1.0)).endswith("; seed 0, 1 s")
    reasons = {recipe.name for recipe in RECIPES if hasattr(recipe, "from_noise")}
    assert reasons == {"leakgan", "sentigan"}


@pytest.mark.slow
def test_sentigans_penalty_flattens_what_is_mostly_wrong() -> None:
    """Its control ends where it ends, below where both began, so D has no say in it."""
    done = selftest.selftest("sentigan")
    assert not done.passed and done.reason and str(done).endswith(done.reason)
    assert done.control == pytest.approx(done.after, abs=0.05) and done.after < done.before


@pytest.mark.slow
def test_leakgan_learns_after_maximum_likelihood_of_either_word() -> None:
    """Its control ends on one word too, that to which the first goals pointed: at this seed the other one."""
    recipe = selftest.small(find_recipe("leakgan"))
    assert selftest._share(recipe, 0) > selftest.LEARNT and selftest._share(recipe, 0, control="constant") < 0.1


@pytest.mark.parametrize("name", ["gsgan", "dpgan"])
def test_what_once_failed_or_had_no_control_learns_beside_one_that_does_not(name: str) -> None:
    """gsgan began too soft to be judged; dpgan's D is a language model, which the control must silence too."""
    done = selftest.selftest(name)
    assert done.passed and done.control == done.before


def test_a_class_is_asked_for_its_own_word() -> None:
    assert selftest._labelled("yes yes") == ["a\tyes yes", "b\taye aye"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_every_recipe_can_be_made_small(recipe: type) -> None:
    made = selftest.small(find_recipe(recipe.name))  # type: ignore[attr-defined]
    check_recipe(made)
    assert dataclasses.is_dataclass(made) and getattr(made, "mle_steps", 0) in (0, 150)
