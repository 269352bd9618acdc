"""What torchrun runs twice for test_processes.py: `torchrun --nproc_per_node 2 tests/two_processes.py OUT`."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from test_training import LINES, OFTEN, tiny, told
from textgan import pools
from textgan.batches import TextSettings
from textgan.checkpoints import checkpoints
from textgan.cli import main as textgan
from textgan.errors import Interrupted
from textgan.recipes import RECIPES, find_recipe
from textgan.runs import Run
from textgan.training import Schedule, fit

RESUMED = ("seqgan", "relgan")
CONTROLLED = ("constant", "frozen")
PROMPTED, PROMPTS = ("seqgan", "relgan", "gad"), TextSettings(prompt="2")
SHORT = {"mle_steps": 2, "judge_steps": 2, "adversarial_steps": 2}
DRAWN = {"text": 2500, "jsonl": 1500}  # blocks of 1,024: two turns, the second without one's block; one turn, half full


def without_dropout(spec: Any) -> Any:
    """A recipe with dropout 0 in all its nets: the masks are the one thing that each process draws for itself."""
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    calm = {name: 0.0 for name in values if name.endswith("dropout")}
    nets = {name: without_dropout(value) for name, value in values.items() if dataclasses.is_dataclass(value)}
    return dataclasses.replace(spec, **calm, **nets)


def train(recipe: Any, out: Path, schedule: Schedule = OFTEN, **options: Any) -> Run:
    lines = told(type(recipe), LINES)
    return fit(recipe, lines, out=out, schedule=schedule, progress=False, device="cpu", **options)


def play(recipe: type, out: Path, **options: Any) -> Run:
    """Two steps of each phase, without dropout, each logged."""
    return train(without_dropout(tiny(recipe, **SHORT)), out, Schedule(log_every=1), **options)


def draw(run: Path, out: Path) -> None:
    """Files of `textgan sample`, in either form, and a pool of three shards."""
    for form, n in DRAWN.items():
        command = ["sample", str(run), "-n", str(n), "--seed", "5", "--format", form, "--out", f"{out}.{form}"]
        assert textgan(command) == 0
    pools.SHARD = 1024
    assert textgan(["generate", str(run), "-n", "2500", "--seed", "5", "--out", f"{out}.pool"]) == 0


def play_and_die(run: Path) -> int:
    """A game that the second process leaves by `kill -9` once there is a checkpoint; the exit code of the first."""
    if os.environ["RANK"] == "1":
        threading.Thread(target=_kill_after_checkpoint, args=[run], daemon=True).start()
    sizes = ["--batch", "8", "--generator.hidden", "12", "--generator.embedding", "8"]
    often = ["--mle_steps", "9999", "--save_every", "5"]
    return textgan(["train", "mle", "grammar:100", "--out", str(run), "--device", "cpu", *sizes, *often])


def _kill_after_checkpoint(run: Path) -> None:
    while not (run.exists() and checkpoints(run)):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


def main(out: Path) -> None:
    for recipe in RECIPES:
        play(recipe, out / recipe.name)  # type: ignore[attr-defined]
    for control in CONTROLLED:
        play(find_recipe("seqgan"), out / f"seqgan-{control}", control=control)
    for name in PROMPTED:
        play(find_recipe(name), out / f"{name}-prompted", text=PROMPTS)
    draw(out / "mle", out / "drawn")
    for recipe in map(find_recipe, RESUMED):
        train(tiny(recipe), out / f"{recipe.name}-whole")  # type: ignore[attr-defined]
        broken = out / f"{recipe.name}-broken"  # type: ignore[attr-defined]
        try:
            train(tiny(recipe), broken, on_log=_stop)
        except Interrupted:
            train(tiny(recipe), broken, resume=True)
    sys.exit(play_and_die(out / "killed"))


def _stop(row: dict[str, Any]) -> None:
    if row["step"] == 8:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
