"""What of a run must survive: its players, their optimisers, the random states, where it stands, and the best weights.

The next step depends on nothing else, so a run that takes up a checkpoint's state equals the unbroken one.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from textgan.batches import Batches, Data
from textgan.checkpoints import Tensors, optimizer_tensors, restore_optimizer
from textgan.controls import frozen_phases, spoil_answers
from textgan.errors import InputError
from textgan.generators import Generator
from textgan.graphs import fixed_shapes
from textgan.oracle import FIRST, Oracle
from textgan.processes import Share, gather, sharing
from textgan.runs import Run
from textgan.updates import Players, Recipe
from textgan.watch import Best


class State:
    """A run at one step. `step` counts over all phases; `share` is this process's part of every batch.

    window: sums and counts of the logs since the last row. best: by held-out NLL, of the running keep_best phase.
    joint: by the joint score, of a run that has other phases too. collapsing: evaluations in a row that looked like
    collapse.
    """

    def __init__(
        self, recipe: Recipe, built: Recipe, data: Data, *, seed: int, accelerator: Any, control: str | None
    ) -> None:
        """The state before the first step. built: the recipe whose generator an adopted language model has replaced."""
        self.seed, self.device = seed, accelerator.device
        self.share = Share(accelerator.process_index, accelerator.num_processes)
        torch.manual_seed(seed)  # every process builds the same weights ...
        classes = {"labels": len(data.labels)} if data.labels else {}
        self.players: Players = built.players(data.tokenizer.get_vocab_size(), data.max_len, **classes)
        prompts = None if data.prompts is None else torch.from_numpy(data.prompts).long().to(self.device)
        for player in self.players.values():
            player.to(self.device)
            if isinstance(player.net, Generator):
                player.net.labels = len(data.labels)
                if prompts is not None:
                    player.net.mark, player.net.prompts = player.net.vocab_size - 1, prompts
            if isinstance(player.net, Generator) and isinstance(data.truth, Oracle):
                player.net.first_id = FIRST  # neither an end nor an unknown word
        self.rng = torch.Generator().manual_seed(seed)  # on the CPU: no card is waited for
        if control is not None:
            spoil_answers(self.players, control, self.rng)
        here = replace(recipe, batch=recipe.batch // self.share.world)  # type: ignore[type-var]
        with sharing(self.share):
            self.phases = here.phases(self.players, self.rng)
        if control is not None:
            self.phases = frozen_phases(self.phases, self.players, control)
        torch.manual_seed(seed + self.share.rank)  # ... and then draws its own dropout
        width = data.max_len + bool(data.labels) if fixed_shapes(self.device) else 0
        self.batches = Batches(data.train, recipe.batch, seed=seed, device=self.device, share=self.share, width=width)
        self.step = 0
        self.window: dict[str, tuple[float | Tensor, int]] = {}
        self.best, self.joint = Best(), Best()
        self.collapsing = 0

    @property
    def generator(self) -> Generator:
        """The net that is trained to write."""
        net: Generator = self.players["generator"].net
        return net

    @property
    def total(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def begin_with(self, run: Run, tokenizer: Any) -> dict[str, str]:
        """Take over another run's generator; what recipe.json says of it. tokenizer: this run's.

        Errors: InputError where its tokens or sizes are not ours.
        """
        if run.tokenizer.to_str() != tokenizer.to_str():
            raise InputError(
                f"--start {run.path} was trained on other tokens; train both on the same text and settings"
            )
        try:
            self.generator.load_state_dict(run.generator.state_dict())
        except RuntimeError as error:
            raise InputError(
                f"--start {run.path} has a generator of another family or size; give it those fields"
            ) from error
        return {"run": run.path.name, "sha256": run.weights_sha256}

    def check(self) -> None:
        """NotFinite where a player has passed over a step."""
        for player in self.players.values():
            player.check()

    def best_generator(self) -> Generator | None:
        """A copy with the weights of the lowest joint score; None where that was not kept."""
        if not self.joint.weights:
            return None
        best = copy.deepcopy(self.generator)
        best.load_state_dict(self.joint.weights)
        return best

    def to_checkpoint(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors by file, and plain values. Of several processes all must call it, as each has its own dropout."""
        tensors: Tensors = {
            "random": self._random_states(), "best": self.best.weights, "joint": self.joint.weights,
        }  # fmt: skip
        groups, seen = {}, set()
        for name, player in self.players.items():
            if id(player.net) not in seen:
                tensors[f"net-{name}"] = player.net.state_dict()
                seen.add(id(player.net))
            if player.optimizer is not None:
                tensors[f"optimizer-{name}"], groups[name] = optimizer_tensors(player.optimizer)
        return tensors, {
            "step": self.step,
            "batches": self.batches.cursor,
            "window": {key: (float(total), count) for key, (total, count) in self.window.items()},
            "best": self.best.facts,
            "joint": self.joint.facts,
            "collapsing": self.collapsing,
            "optimizers": groups,
        }

    def take_up(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """The inverse of `to_checkpoint`."""
        self.step, self.batches.cursor = values["step"], values["batches"]
        self.collapsing = values.get("collapsing", 0)  # runs of older versions lack it and the joint score
        self.window = {key: tuple(value) for key, value in values["window"].items()}
        self.best = Best(**values["best"], weights=tensors["best"])
        self.joint = Best(**values.get("joint", {}), weights=tensors.get("joint"))
        for name, player in self.players.items():
            if f"net-{name}" in tensors:
                player.net.load_state_dict(tensors[f"net-{name}"])
            if player.optimizer is not None:
                restore_optimizer(player.optimizer, tensors[f"optimizer-{name}"], values["optimizers"][name])
                player.to(self.device)
        self._restore_random_states(tensors["random"])

    def _random_states(self) -> dict[str, Tensor]:
        """The states of dropout's and the sampler's random generators, (processes, bytes); the sampler's are alike."""
        states = {"dropout": torch.get_rng_state(), "sampler": self.rng.get_state()}
        if self.device.type == "cuda":
            states["dropout_cuda"] = torch.cuda.get_rng_state(self.device)
        with sharing(self.share):
            return {key: gather(state.to(self.device)[None]).cpu() for key, state in states.items()}

    def _restore_random_states(self, states: dict[str, Tensor]) -> None:
        """The inverse of `_random_states`; another number of processes than before draws other masks of dropout."""
        self.rng.set_state(states["sampler"][0])
        if len(states["dropout"]) != self.share.world:
            torch.manual_seed(self.seed * 1_000_003 + self.step + self.share.rank)
            return
        mine = {key: state[self.share.rank].clone() for key, state in states.items()}  # torch forgets a view's offset
        torch.set_rng_state(mine["dropout"])
        if "dropout_cuda" in mine:
            torch.cuda.set_rng_state(mine["dropout_cuda"], self.device)
