"""Every preset is a run that can start: its nets are built at the papers' sizes, and each phase takes a step."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch

from textgan import papers
from textgan.discriminators import Bidirectional
from textgan.generators import Transformer
from textgan.recipes import RECIPES, presets_of
from textgan.sequences import EOS

PRESETS = [(recipe, name) for recipe in RECIPES for name in presets_of(recipe)]
VOCAB, MAX_LEN, BATCH, LABELS = 12, 5, 4, 2
QUICK = {"batch": BATCH, "discriminator_updates": 1, "rollouts": 1, "policy_updates": 2, "references": 2, "group": 4}
LARGE = {  # twelve layers of 768: 170 million weights, of which two layers say as much
    "generator": lambda net: dataclasses.replace(net, layers=2) if isinstance(net, Transformer) else net,
    "discriminator": lambda net: dataclasses.replace(net, layers=2) if isinstance(net, Bidirectional) else net,
}


@pytest.mark.parametrize(("recipe", "name"), PRESETS, ids=lambda x: x if isinstance(x, str) else x.name)
def test_each_phase_of_a_preset_takes_a_step_on_nets_of_the_papers_sizes(recipe: Any, name: str) -> None:
    """What a step logs is finite, and maximum likelihood and the game move G."""
    preset: Any = presets_of(recipe)[name]
    known = {field.name for field in dataclasses.fields(preset)}
    changes = {key: value for key, value in QUICK.items() if key in known}
    changes |= {key: smaller(getattr(preset, key)) for key, smaller in LARGE.items() if key in known}
    chosen = dataclasses.replace(preset, **changes)
    classes = {"labels": LABELS} if getattr(recipe, "classes", False) else {}
    torch.manual_seed(0)
    players = chosen.players(VOCAB, MAX_LEN, **classes)
    for player in players.values():
        if hasattr(player.net, "labels"):
            player.net.labels = classes.get("labels", 0)
    tokens = torch.randint(EOS + 1, VOCAB - LABELS, (BATCH, MAX_LEN))
    tokens[:, -1] = EOS
    if classes:
        tokens = torch.cat([torch.tensor([[VOCAB - 2], [VOCAB - 1]] * (BATCH // 2)), tokens], 1)
    batches = itertools.repeat(tokens)
    phases = chosen.phases(players, torch.Generator().manual_seed(0))
    generator = players["generator"].net
    for phase in phases:
        before = torch.nn.utils.parameters_to_vector(generator.parameters()).detach().clone()
        logs = phase.update(0, batches)
        assert all(torch.as_tensor(value).isfinite().all() for value in logs.values()), (phase.name, logs)
        after = torch.nn.utils.parameters_to_vector(generator.parameters())
        if phase.name in ("mle", "adversarial"):
            assert not torch.equal(before, after), phase.name
    assert any(phase.steps for phase in phases)


def test_every_recipe_that_follows_a_paper_has_a_preset() -> None:
    assert [recipe.name for recipe in RECIPES if not presets_of(recipe)] == []  # type: ignore[attr-defined]


def test_texygens_and_seqgans_schedules_are_of_ten_thousand_sentences() -> None:
    """10,000 / 64 = 156.25: the loaders of both drop the last part of a batch."""
    assert papers.EPOCH == 10_000 // 64
