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


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_every_recipe_can_be_made_small(recipe: type) -> None:
    made = selftest.small(find_recipe(recipe.name))  # type: ignore[attr-defined]
    check_recipe(made)
    assert dataclasses.is_dataclass(made) and getattr(made, "mle_steps", 0) in (0, 150)
