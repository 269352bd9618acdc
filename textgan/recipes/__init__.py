"""One file an algorithm; a recipe is a frozen dataclass of hyper-parameters with players and phases.

A new one is a file here and a word in RECIPES.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from textgan.discriminators import DISCRIMINATORS
from textgan.errors import InputError, guess
from textgan.generators import GENERATORS
from textgan.recipes.catgan import CatGAN
from textgan.recipes.cot import CoT
from textgan.recipes.dgsan import DGSAN
from textgan.recipes.dpgan import DPGAN
from textgan.recipes.gad import GAD
from textgan.recipes.gsgan import GSGAN
from textgan.recipes.jsdgan import JSDGAN
from textgan.recipes.leakgan import LeakGAN
from textgan.recipes.maligan import MaliGAN
from textgan.recipes.maskgan import MaskGAN
from textgan.recipes.mle import MLE
from textgan.recipes.pgbleu import PGBLEU
from textgan.recipes.rankgan import RankGAN
from textgan.recipes.relgan import RelGAN
from textgan.recipes.scratchgan import ScratchGAN
from textgan.recipes.sentigan import SentiGAN
from textgan.recipes.seqgan import SeqGAN
from textgan.recipes.textgail import TextGAIL
from textgan.recipes.textgan import TextGAN
from textgan.updates import Recipe

RECIPES: tuple[type, ...] = (
    MLE, SeqGAN, RelGAN, PGBLEU, MaliGAN, RankGAN, ScratchGAN, DPGAN, GAD,
    TextGAIL, SentiGAN, CatGAN,
    GSGAN, TextGAN, CoT, JSDGAN, DGSAN, LeakGAN, MaskGAN,
)  # fmt: skip
FAMILIES: dict[str, dict[str, type]] = {"generator": GENERATORS, "judge": GENERATORS, "discriminator": DISCRIMINATORS}


def find_recipe(name: str) -> type:
    """The recipe class of that name, or an InputError that lists them."""
    for recipe in RECIPES:
        if recipe.name == name:  # type: ignore[attr-defined]
            return recipe
    names = ", ".join(sorted(recipe.name for recipe in RECIPES))  # type: ignore[attr-defined]
    raise InputError(f"recipe {name!r} is not one of {names}")


def presets_of(recipe: type) -> dict[str, Recipe]:
    """The PRESETS of a recipe's file: name -> the recipe at the settings of a paper."""
    return getattr(sys.modules[recipe.__module__], "PRESETS", {})


def find_preset(recipe: type, name: str) -> Recipe:
    """The recipe at a preset's settings, or an InputError that lists the presets."""
    presets = presets_of(recipe)
    if name not in presets:
        names = ", ".join(presets) or "none"
        said = f"--preset {name!r} is not one of {recipe.name}'s: {names}"  # type: ignore[attr-defined]
        raise InputError(said + guess(name, presets))
    return presets[name]


def changed_fields(recipe: Recipe, preset: Recipe) -> list[str]:
    """The names of the fields in which a recipe has left its preset."""
    ours, theirs = to_dict(recipe), to_dict(preset)
    return [name for name in ours if ours[name] != theirs[name]]


def catalogue() -> list[dict[str, str]]:
    """A row for each recipe: recipe, paper, bridge, opponent, presets."""
    said = ("paper", "bridge", "opponent")
    return [
        {"recipe": recipe.name}  # type: ignore[attr-defined]
        | {word: getattr(recipe, word) for word in said}
        | {"presets": ", ".join(presets_of(recipe))}
        for recipe in RECIPES
    ]


def family_of(field: str, spec: Any) -> str:
    """The word for a net's family: ("generator", LSTM()) -> "lstm". Errors: InputError for none of the families."""
    for word, kind in FAMILIES[field].items():
        if type(spec) is kind:
            return word
    raise InputError(f"{field} {type(spec).__name__} is none of {', '.join(FAMILIES[field])}; register it in FAMILIES")


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """A recipe's hyper-parameters as JSON-ready values; a net's family stands under "kind"."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(recipe):  # type: ignore[arg-type]
        value = getattr(recipe, field.name)
        if field.name in FAMILIES:
            value = {"kind": family_of(field.name, value)} | {
                key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(value).items()
            }
        fields[field.name] = value
    return fields


def from_dict(name: str, fields: dict[str, Any]) -> Recipe:
    """The recipe back from `to_dict`'s form. Errors: an unknown recipe, family or field."""
    recipe = find_recipe(name)
    known = {field.name for field in dataclasses.fields(recipe)}
    if unknown := sorted(set(fields) - known):
        raise InputError(f"{name} has no field {unknown[0]!r}; it has {', '.join(sorted(known))}")
    values = {key: _spec(key, value) if key in FAMILIES else value for key, value in fields.items()}
    return recipe(**values)


def _spec(field: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value.get("kind", next(iter(FAMILIES[field])))
    if kind not in FAMILIES[field]:
        raise InputError(f"{field} {kind!r} is not one of {', '.join(FAMILIES[field])}")
    spec = FAMILIES[field][kind]
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items() if key != "kind"}
    known = {f.name for f in dataclasses.fields(spec)}
    if unknown := sorted(set(given) - known):
        raise InputError(f"{field} {kind} has no field {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return spec(**given)
