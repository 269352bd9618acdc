"""What torchrun runs twice for test_processes.py: `torchrun --nproc_per_node 2 tests/two_processes.py OUT`."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any

from test_training import LINES, OFTEN, tiny, told
from textgan.errors import Interrupted
from textgan.recipes import RECIPES, find_recipe
from textgan.runs import Run
from textgan.training import fit

RESUMED = ("seqgan", "relgan")


def without_dropout(spec: Any) -> Any:
    """A recipe with dropout 0 in all its nets: the masks are the one thing that each process draws for itself."""
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    calm = {name: 0.0 for name in values if name.endswith("dropout")}
    nets = {name: without_dropout(value) for name, value in values.items() if dataclasses.is_dataclass(value)}
    return dataclasses.replace(spec, **calm, **nets)


def train(recipe: Any, out: Path, **options: Any) -> Run:
    return fit(recipe, told(type(recipe), LINES), out=out, schedule=OFTEN, progress=False, device="cpu", **options)


def main(out: Path) -> None:
    for recipe in RECIPES:
        train(without_dropout(tiny(recipe)), out / recipe.name)  # type: ignore[attr-defined]
    for recipe in map(find_recipe, RESUMED):
        train(tiny(recipe), out / f"{recipe.name}-whole")  # type: ignore[attr-defined]
        broken = out / f"{recipe.name}-broken"  # type: ignore[attr-defined]
        try:
            train(tiny(recipe), broken, on_log=_stop)
        except Interrupted:
            train(tiny(recipe), broken, resume=True)


def _stop(row: dict[str, Any]) -> None:
    if row["step"] == 8:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
