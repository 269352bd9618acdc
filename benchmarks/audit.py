"""How often the audit accuses real text, and how small a leak or a skew it finds, on captions and news.

    python benchmarks/audit.py [--splits 100] [--out benchmarks/results/audit.json]

Corpora: the folder named by TEXTGAN_DATA (default ../shared/data beside the project). A split draws 2,000 lines each
for training text, control and a fresh sample that stands for a model's output; nothing was trained. A leak puts
training lines in the place of some of the sample's. Right is: 2.5 % accused without a leak (the interval's upper side),
5 % of the shares' differences called real, and all found where there is something to find.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TEXTGAN_DATA", ROOT.parent / "shared" / "data"))
CORPORA = {
    "captions": ("image_coco/train.txt", "image_coco/test.txt"),
    "news": ("emnlp2017_news/train_10k.txt", "emnlp2017_news/test.txt"),
}
SIZE = 2000
LEAKS = (0.0, 0.0025, 0.005, 0.01, 0.02)
FEWER = (0.0, 0.25, 0.5)  # of the lines that mention a woman, how many are taken out of the sample


def main() -> None:
    """Measure and write."""
    from textgan.experiment import commit
    from textgan.text import write_json

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "audit.json")
    options = parser.parse_args()
    found: dict[str, Any] = {"splits": options.splits, "lines": SIZE, "commit": commit()}
    for name, files in CORPORA.items():
        found[name] = measured([DATA / file for file in files], options.splits)
        print(name, found[name])
    write_json(options.out, found)


def measured(files: list[Path], splits: int) -> dict[str, Any]:
    """Shares of the splits in which something was called, by what was planted."""
    from textgan.augmentation.audit import load_lexicon, mentions, overlap
    from textgan.augmentation.audit.shares import amplification, difference, distance_of, shares_of
    from textgan.text import read_lines

    lexicon = load_lexicon()
    lines = [line for file in files for line in read_lines(file)]
    who = mentions(lines, lexicon)
    verbatim, runs = (dict.fromkeys(LEAKS, 0) for _ in range(2))
    below, apart, leans, covered, women = dict.fromkeys(FEWER, 0), 0, list[float](), 0, who[:, 0].mean()
    for split in range(splits):
        rng = np.random.default_rng([split, 51])
        train, control, fresh = np.split(rng.permutation(len(lines))[: 3 * SIZE], 3)
        texts = [[lines[i] for i in rows] for rows in (train, control, fresh)]
        for leak in LEAKS:
            many = round(leak * SIZE)
            done = overlap(texts[0][:many] + texts[2][many:], texts[0], texts[1], seed=split)
            verbatim[leak] += done.verbatim.above
            runs[leak] += done.ngram is not None and done.ngram.above
        real = shares_of(who[train], lexicon)
        for less in FEWER:
            kept = fresh[~(who[fresh, 0] & (rng.random(SIZE) < less))]
            now = shares_of(who[kept], lexicon)
            _, low, high = difference(now["female"], real["female"])
            below[less] += high < 0 if less else not low <= 0 <= high
        gap = distance_of(who[train], who[fresh], seed=split)
        apart += gap.value > gap.chance
        covered += bool(real["female"].low <= women <= real["female"].high)
        if split < 40 and (lean := amplification(texts[0], texts[2], lexicon, least=10, seed=split)) is not None:
            leans.append(lean.value)
    return {
        "lines": len(lines),
        "accused of copying lines, by leak": {str(leak): count / splits for leak, count in verbatim.items()},
        "accused of copying 8 words, by leak": {str(leak): count / splits for leak, count in runs.items()},
        "women called rarer (0: rarer or more), by share taken out": {str(k): v / splits for k, v in below.items()},
        "total variation above chance in fresh text": apart / splits,
        "Wilson's interval holds the share of women": covered / splits,
        "amplification of fresh text": {"mean": float(np.mean(leans)), "sd": float(np.std(leans, ddof=1))}
        if leans
        else None,
    }


if __name__ == "__main__":
    main()
