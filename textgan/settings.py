"""How often a run speaks, what recipe.json says of it (recipe, data, machine, versions), what --resume must share."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from textgan import recipes
from textgan.errors import InputError
from textgan.updates import Players, Recipe

FREE = ("dropout", "init_std")  # fields of a net that its weights do not show


@dataclass(frozen=True)
class Schedule:
    """How often a run speaks and saves, in steps.

    Args:
        log_every: steps between rows of log.jsonl (means over the steps between)
        eval_every: steps between held-out NLL, joint score, samples and the collapse watch
        metrics_every: steps between the costlier metrics, on 1000 samples (and once at the end); 0: never
        save_every: steps between checkpoints
        keep: checkpoints to keep
        collapse_stop: stop after so many evaluations in a row that look like collapse (0: only warn)
    """

    log_every: int = 10
    eval_every: int = 100
    metrics_every: int = 1000
    save_every: int = 500
    keep: int = 2
    collapse_stop: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name in ("metrics_every", "collapse_stop") else 1
            if value < least:
                raise InputError(f"--{name} {value} must be at least {least}")


def choose(recipe: Recipe | str, preset: str | None) -> tuple[Recipe, dict[str, Any]]:
    """The recipe itself, and what recipe.json says of its preset."""
    kind = recipes.find_recipe(recipe) if isinstance(recipe, str) else type(recipe)
    chosen = kind() if isinstance(recipe, str) else recipe
    if preset is None:
        return chosen, {}
    named = recipes.find_preset(kind, preset)
    chosen = named if isinstance(recipe, str) else recipe
    return chosen, {"preset": {"name": preset, "changed": recipes.changed_fields(chosen, named)}}


def settings_of(
    recipe: Recipe,
    players: Players,
    facts: Mapping[str, Any],
    *,
    seed: int,
    schedule: Mapping[str, int],
    accelerator: Any,
) -> dict[str, Any]:
    """All but the number of threads, which is chosen later; facts: of the data, as `batches.prepare` has them."""
    import tokenizers
    import transformers

    from textgan import __version__

    return {
        "textgan": __version__,
        "recipe": recipe.name,
        "fields": recipes.to_dict(recipe),
        "seed": seed,
        **facts,
        "schedule": dict(schedule),
        "device": accelerator.device.type,
        "precision": accelerator.mixed_precision,
        "processes": accelerator.num_processes,
        "parameters": {name: sum(p.numel() for p in player.net.parameters()) for name, player in players.items()},
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }


def check_start(run: Any, recipe: Recipe) -> None:
    """Errors: InputError that names the fields in which a run's generator, to begin with, is another than ours."""
    ours, theirs = ((fields.get("generator") or {}) for fields in (recipes.to_dict(recipe), run.settings["fields"]))
    if "pretrained" in (ours.get("kind"), theirs.get("kind")):
        return  # its sizes are those of a model elsewhere
    wanted = [
        f"--generator {theirs['kind']}" if key == "kind" else f"--generator.{key} {theirs[key]}"
        for key, value in ours.items()
        if key in theirs and theirs[key] != value and not key.endswith(FREE)
    ]
    if wanted:
        raise InputError(f"--start {run.path} has another generator; give {' '.join(wanted)}")


def cold_start(recipe: Recipe, settings: Mapping[str, Any]) -> str | None:
    """What to say where a game begins with noise that is made for a trained generator; None where it does not."""
    usual = {entry.name: entry.default for entry in dataclasses.fields(recipe)}  # type: ignore[arg-type]
    meant, steps = usual.get("mle_steps"), getattr(recipe, "mle_steps", 0)
    if not meant or steps or not getattr(recipe, "adversarial_steps", 0) or {"start", "pretrained"} & settings.keys():
        return None
    return (
        f"{recipe.name}'s game begins with noise, as it has no steps of maximum likelihood; give --mle_steps, "
        "--start RUN, or --generator pretrained --generator.path LM"
    )


def refuse_other_settings(old: dict[str, Any], new: dict[str, Any]) -> None:
    """A run goes on only with the recipe, data, vocabulary and seed that it began with; the rest may change.

    The number of processes may: the batch is the whole of them.
    """
    if old.get("recipe") != new.get("recipe"):
        raise InputError(f"--resume of a {old.get('recipe')} run as {new.get('recipe')}; name that, or another --out")
    changes = []
    for key in ("seed", "fields", "tokens", "control"):
        changes += _differences(key, old.get(key), json.loads(json.dumps(new.get(key))))
    if (old.get("start") or {}).get("sha256") != (new.get("start") or {}).get("sha256"):
        changes.append("start: another run, or one that was trained on since")
    for key in ("corpus", "valid"):
        a, b = old[key].get("sha256"), new[key].get("sha256")
        if a != b:
            changes.append(f"{key}: other text than {old[key].get('name')}")
    if old.get("tokenizer", new["tokenizer"]) != new["tokenizer"]:
        changes.append("a tokenizer that numbers its tokens otherwise (another version of tokenizers?)")
    if changes:
        told = "; ".join(change.removeprefix("fields.") for change in changes)
        raise InputError(f"--resume with other settings than the run's: {told}; leave them out, or use another --out")


def _differences(key: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for k in sorted({*old, *new}) for line in _differences(f"{key}.{k}", old.get(k), new.get(k))]
    return [] if old == new else [f"{key} {old} -> {new}"]
