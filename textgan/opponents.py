"""A finished run's own discriminator, as the judge of any text: what it learnt in the game, asked after it.

It has seen the run's training lines and the generator's sentences as they changed, so it is the weaker judge of a
selection: a new D on real lines that the generator never saw knows more (`augmentation.density`, whose diagnostics and
second judge show by how much).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from textgan import recipes
from textgan.adoption import FOLDER
from textgan.augmentation.bodies import WordJudge
from textgan.checkpoints import newest_checkpoint
from textgan.discriminators import Discriminator
from textgan.errors import InputError
from textgan.generators import Pretrained
from textgan.manifest import facts
from textgan.runs import Run
from textgan.text import write_json

NAME, NOTE = "discriminator", "opponent.json"


class Opponent:
    """D of a run's newest sound checkpoint; a body of a `DensityRatio` that learns nothing more, and its judge.

    Errors: InputError for a folder that is no run, and for a run that has no D, or one that gives a line no logit.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = Run.open(run)
        name = self.run.settings["recipe"]
        recipe = recipes.find_recipe(name)
        if reason := getattr(recipe, "no_logit", ""):
            raise InputError(f"{run}: D of {name} cannot judge a line: {reason}; give a run of another recipe")
        checkpoint, _ = newest_checkpoint(self.run.path)
        if checkpoint is None:
            raise InputError(f"{run}: nothing trained yet; `textgan train ... --resume` goes on with this run")
        self.weights = checkpoint / f"net-{NAME}.safetensors"
        if not self.weights.exists():
            raise InputError(f"{run}: {name} has no discriminator; give a run of a recipe that plays against one")
        self.facts: dict[str, Any] = {
            "run": self.run.path.name, "recipe": name, "checkpoint": checkpoint.name,
            "sha256": facts(self.weights)["sha256"], "corpus": self.run.settings["corpus"]["sha256"],
        }  # fmt: skip

    @cached_property
    def net(self) -> Discriminator:
        """D itself, in evaluation mode."""
        run, settings = self.run, self.run.settings
        recipe: Any = recipes.from_dict(settings["recipe"], settings["fields"])
        if isinstance(recipe.generator, Pretrained):
            recipe = dataclasses.replace(recipe, generator=Pretrained(str(run.path / FOLDER)))
        classes = {"labels": len(run.labels)} if run.labels else {}
        with torch.random.fork_rng():
            players = recipe.players(run.generator.vocab_size, run.generator.max_len, **classes)
        net: Discriminator = players[NAME].net
        net.load_state_dict(load_file(self.weights))
        return net.eval()

    def logits(self, lines: Sequence[str]) -> np.ndarray:
        """(n,) float64, higher for lines that look real to it; a line over the run's longest is cut there."""
        data = self.run.encode(lines)
        return WordJudge(self.net, self.run.tokenizer, self.run.generator.max_len).logits_of(data)

    def train(self, real: Sequence[str], fake: Sequence[str], *, seed: int) -> Opponent:
        """Itself: only what its logits mean is learnt, by the calibration."""
        return self

    def save(self, folder: Path) -> None:
        """Which D it is. The run stays where it is."""
        write_json(folder / NOTE, self.facts)

    def load(self, folder: Path) -> Opponent:
        """Itself. Errors: InputError where another D was saved there."""
        try:
            kept = json.loads((folder / NOTE).read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{folder / NOTE}: cannot be read; fit the ratio anew") from None
        if kept != self.facts["sha256"]:
            raise InputError(f"{folder} rests on another discriminator than {self.run.path}'s; fit the ratio anew")
        return self
