"""The self-test passes what learns from D and fails what does not."""

from __future__ import annotations

import dataclasses

import pytest

from textgan import selftest
from textgan.cli import main
from textgan.recipes import RECIPES, find_recipe
from textgan.updates import check_recipe


def test_seqgan_learns_from_d_alone_and_the_silent_control_does_not() -> None:
    done = selftest.selftest("seqgan")
    assert done.passed
    assert done.before < 0.6 and done.after > 0.9
    assert done.control == done.before  # a constant reward moves nothing


def test_a_recipe_that_does_not_learn_is_told_with_its_numbers_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(selftest.SMALL, "generator_lr", 0.0)
    monkeypatch.setitem(selftest.SMALL, "adversarial_steps", 3)
    assert main(["selftest", "maligan"]) == 1
    said = capsys.readouterr().out
    wanted = "maligan: does NOT learn (90% was wanted, and 20% above start and control); words of the pattern: "
    assert said.startswith(wanted)
    assert said.count("\n") == 1


def test_a_control_that_learns_as_well_fails_the_recipe() -> None:
    assert selftest.SelfTest("x", 0.3, 0.95, 0.3, 1.0).passed
    assert not selftest.SelfTest("x", 0.3, 0.95, 0.9, 1.0).passed
    assert not selftest.SelfTest("x", 0.8, 0.95, 0.3, 1.0).passed
    assert not selftest.SelfTest("x", 0.3, 0.85, None, 1.0).passed


def test_a_recipe_that_cannot_begin_with_noise_says_why_where_it_fails() -> None:
    """Not where it passes: then the reason would be wrong."""
    failed = selftest.SelfTest("x", 0.3, 0.3, 0.3, 1.0, "it needs its pre-training")
    assert str(failed).endswith("; 1 s; it needs its pre-training")
    assert str(failed._replace(after=1.0)).endswith("; 1 s")
    reasons = {recipe.name for recipe in RECIPES if hasattr(recipe, "from_noise")}
    assert reasons == {"leakgan", "sentigan"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["leakgan", "sentigan"])
def test_what_cannot_begin_with_noise_does_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its control ends where it ends, so D has no say in it; a third of the rounds shows that, with D as sure."""
    monkeypatch.setattr(selftest, "SMALL", selftest.SMALL | {"adversarial_steps": 40, "rollouts": 1})
    done = selftest.selftest(name)
    assert not done.passed and done.reason and str(done).endswith(done.reason)
    assert done.control == pytest.approx(done.after, abs=0.05)


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
