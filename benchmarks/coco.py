"""Real captions: what each recipe writes, beside maximum likelihood, real text and the published figures.

    python benchmarks/coco.py                 run the grid (every job is skipped when its result is there)
    python benchmarks/coco.py --list          a command a job, for a batch scheduler
    python benchmarks/coco.py --table         the README's tables from benchmarks/results/coco/*.json

Two splits of Image COCO: "published" (train.txt and test.txt as Texygen split them, which differ in topic) beside the
published figures, and "resplit" (`textgan split` of their union) for everything else. TEXTGAN_DATA names the folder of
corpora (default ../shared/data). A job runs `textgan train`, `sample` and `evaluate` as a user types them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from textgan.errors import InputError
from textgan.experiment import Job, command_line

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TEXTGAN_DATA", ROOT.parent / "shared" / "data")) / "image_coco"
RUNS, RESULTS = ROOT / "runs" / "coco", ROOT / "benchmarks" / "results" / "coco"

LSTM = "--generator.embedding 256 --generator.hidden 512 --generator.dropout 0.5"
TRANSFORMER = (
    "--generator transformer --generator.width 192 --generator.layers 3 --generator.dropout 0.2 --mle_lr 0.001"
)
MLE = "--mle_steps 1400 --eval_every 100"
RECIPES = {  # name -> (recipe, flags, starts from)
    "mle": ("mle", f"{LSTM} {MLE}", None),
    "seqgan": (
        "seqgan", f"{LSTM} --mle_steps 0 --judge_steps 300 --adversarial_steps 120 --rollouts 4 --eval_every 30", "mle"
    ),
    "relgan": ("relgan", f"{LSTM} --mle_steps 0 --adversarial_steps 150 --eval_every 25", "mle"),
    "mle-transformer": ("mle", f"{TRANSFORMER} {MLE}", None),
    "relgan-transformer": (
        "relgan", f"{TRANSFORMER} --mle_steps 0 --adversarial_steps 60 --eval_every 20", "mle-transformer"
    ),
}  # fmt: skip
SEEDS = {  # name -> seeds on the re-split, seeds on the published split
    "mle": (3, 3),
    "seqgan": (3, 1),
    "relgan": (3, 1),
    "mle-transformer": (0, 1),
    "relgan-transformer": (0, 1),
}
PUBLISHED = {  # Texygen's figures (Zhu et al. 2018), test BLEU-2..5 and self-BLEU-2..5
    "MLE, published": ((0.731, 0.497, 0.305, 0.189), (0.916, 0.769, 0.583, 0.408)),
    "SeqGAN, published": ((0.745, 0.498, 0.294, 0.180), (0.950, 0.840, 0.670, 0.489)),
    "RelGAN(100), published": ((0.849, 0.687, 0.502, 0.331), None),
}


class Cell(NamedTuple):
    """One training run on one split; its result is RESULTS/SPLIT-NAME-SEED.json."""

    split: str
    name: str
    seed: int

    @property
    def run(self) -> Path:
        return RUNS / self.split / f"{self.name}-{self.seed}"

    @property
    def result(self) -> str:
        return f"{self.split}-{self.name}-{self.seed}"

    def commands(self) -> list[str]:
        recipe, flags, start = RECIPES[self.name]
        train, valid, test = texts(self.split)
        begin = f" --start {shown(Cell(self.split, start, self.seed).run)}" if start else ""
        held = f" --valid {shown(valid)}" if valid else ""
        out = shown(self.run)
        return [
            f"textgan train {recipe} {shown(train)} --out {out}{held}{begin} {flags} --seed {self.seed} --threads 1 "
            "--resume",
            f"textgan sample {out} -n 10000 --seed {self.seed} --out {out}/samples.txt",
            f"textgan evaluate {out}/samples.txt --reference {shown(test)} --train {shown(train)} "
            f"--json {out}/evaluation.json",
        ]  # fmt: skip


def shown(path: Path) -> str:
    """Relative to the project, so that commands read alike everywhere."""
    return os.path.relpath(path, ROOT)


def texts(split: str) -> tuple[Path, Path | None, Path]:
    """Train, validation and test files of a split."""
    if split == "published":
        return DATA / "train.txt", None, DATA / "test.txt"
    folder = RUNS / "split"
    return folder / "train.txt", folder / "valid.txt", folder / "test.txt"


def grid() -> list[Job]:
    """In the order in which they are worth most: the re-split with all seeds, the published split with fewer."""
    cells = [
        Cell(split, name, seed)
        for name, seeds in SEEDS.items()
        for split, n in zip(("resplit", "published"), seeds, strict=True)
        for seed in range(n)
    ]
    return [
        Job(cell.result, work, cell._asdict(), (cell._replace(name=start).result,) if start else ())
        for cell in cells
        for start in [RECIPES[cell.name][2]]
    ]


def call(command: str) -> None:
    """One command as a user types it, from the project's root."""
    words = command.split()
    subprocess.run([sys.executable, "-m", *words], check=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})


def work(split: str, name: str, seed: int) -> dict[str, Any]:
    """Train, sample and evaluate as a user types it."""
    prepare()
    cell = Cell(split, name, seed)
    for command in cell.commands():
        call(command)
    log = [json.loads(row) for row in (cell.run / "log.jsonl").read_text().splitlines()]
    evaluated = [row for row in log if "valid_nll" in row]
    return {
        "commands": cell.commands(),
        "settings": json.loads((cell.run / "recipe.json").read_text()),
        "first": evaluated[0],
        "last": evaluated[-1],
        "lowest_valid_nll": min(row["valid_nll"] for row in evaluated),
        "evaluation": json.loads((cell.run / "evaluation.json").read_text()),
        "samples": (cell.run / "samples.txt").read_text().splitlines()[:40],
    }


def prepare() -> None:
    """The seeded re-split, and one line where the corpora are missing."""
    if not (DATA / "train.txt").exists():
        raise InputError(
            f"{DATA}: no Image COCO there; set TEXTGAN_DATA to the folder that holds image_coco/train.txt and test.txt"
        )
    if not (RUNS / "split" / "split.json").exists():
        files = f"{shown(DATA / 'train.txt')} {shown(DATA / 'test.txt')}"
        call(f"textgan split {files} --parts train=10000,valid=1000,test=5000 --seed 0 --out {shown(RUNS / 'split')}")


def table() -> str:
    """Markdown: one table a split, mean and standard deviation over seeds."""
    lines: list[str] = []
    names = [f"{kind}-{n}" for kind in ("BLEU", "self-BLEU") for n in (2, 3, 4, 5)]
    for split in ("published", "resplit"):
        rows, real = {}, None
        for name in RECIPES:
            found = [json.loads(p.read_text()) for p in sorted(RESULTS.glob(f"{split}-{name}-[0-9].json"))]
            if found:
                values = [{s["name"]: s["value"] for s in f["evaluation"]["scores"]} for f in found]
                rows[f"{name}, {len(found)} seed{'s' * (len(found) > 1)}"] = (
                    [spread([v[n] for v in values]) for n in names],
                    spread([f["last"]["valid_nll"] for f in found]),
                )
                real = {s["name"]: s["value"] for s in found[0]["evaluation"]["real"]}
        lines += [f"\n**{split}**\n", "| | held-out NLL | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
        lines += [f"| {name} | {nll} | {' | '.join(cells)} |" for name, (cells, nll) in rows.items()]
        if split == "published":
            for name, (bleu, own) in PUBLISHED.items():
                lines.append(f"| {name} | | {' | '.join(f'{v:.3f}' for v in bleu)} | "
                             + " | ".join(f"{v:.3f}" for v in own or ()) + (" |" if own else "| | | |"))  # fmt: skip
        if real:
            lines.append("| real text | | " + " | ".join(f"{real[n]:.3f}" if n in real else "" for n in names) + " |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


if __name__ == "__main__":
    try:
        print(command_line(grid(), RESULTS, table, __doc__ or ""))
    except InputError as error:
        sys.exit(str(error))
