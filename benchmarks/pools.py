"""Real captions: what a generator's text does to a small GPT-2, against the same model fine-tuned on real text alone.

    python benchmarks/pools.py           run what is missing (after benchmarks/coco.py)
    python benchmarks/pools.py --table   the README's table from benchmarks/results/pools/*.json

Both arms have equal weights, steps and tokens; 3 seeds of the fine-tuning; pools of 5,000 sentences at T = 1 by the
maximum-likelihood run and by the games that started from it (so the difference between pools is the game's).
The generator saw the real arm's 10,000 lines and no others.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from coco import COCO
from corpora import ROOT

from textgan.augmentation import compare_seeds, write_pool
from textgan.experiment import commit
from textgan.lm import pretrain_small
from textgan.runs import Run
from textgan.text import write_json

RESULTS = ROOT / "benchmarks" / "results" / "pools"
POOLS = ("mle", "seqgan", "relgan")
BASE = {"layers": 2, "width": 128, "steps": 900, "seed": 0}
SETTINGS = {"ratio": 0.5, "steps": 300, "n": 1000, "seeds": [0, 1, 2]}


def work(name: str) -> None:
    """One pool, unless its result is there."""
    result = RESULTS / f"{name}.json"
    if result.exists():
        return
    began = time.time()
    train, valid, test = COCO.texts("resplit")
    run = Run.open(COCO.run("resplit", name, 0))
    pool = run.path / "pool.jsonl"
    write_pool(run.pool_rows(5000, seed=1), pool)
    out, base = COCO.runs / "augmentation" / name, COCO.runs / "augmentation" / "base"
    if not (base / "model.safetensors").exists():  # one model for all pools: a small GPT-2 pre-trained on the real text
        pretrain_small(train, base, valid=valid, **BASE)
    found = compare_seeds(train, pool, valid=valid, test=test, out=out, lm=base, **SETTINGS)
    for path in sorted(out.glob("augmentation-seed-*.json")):
        (run.path / path.name).write_bytes(path.read_bytes())  # where `textgan report` looks for it
    command = f"python benchmarks/pools.py  # pool: {name}"
    seconds = round(time.time() - began, 1)
    settings = SETTINGS | {"base": BASE}
    write_json(
        result, {"command": command, "commit": commit(), "seconds": seconds, "settings": settings, "found": found}
    )


def table() -> str:
    """Markdown: a row a pool."""
    lines = []
    for path in (RESULTS / f"{name}.json" for name in POOLS):
        if path.exists():
            lines.append(f"* **{path.stem}**: {json.loads(path.read_text())['found']['finding']}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", choices=POOLS, action="append")
    options = parser.parse_args()
    if not options.table:
        COCO.prepare()
        Path(RESULTS).mkdir(parents=True, exist_ok=True)
        for name in options.only or POOLS:
            work(name)
    print(table())


if __name__ == "__main__":
    main()
