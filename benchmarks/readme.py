"""The tables of README.md and RESULTS.md, from the results that are kept.

    python benchmarks/readme.py            write them
    python benchmarks/readme.py --check    exit code 1 and the names of those that are not what the results say

A table stands between `<!-- NAME: python benchmarks/readme.py -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "augmentation"))

import grammar
import oracle
import run as augmentation
from coco import COCO
from corpora_tables import beside_mle, both_sides, n_grams, specimens
from games import ROOT

FILES = (ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md")
TABLES: dict[str, Callable[[], list[str]]] = {
    "captions": lambda: n_grams(COCO, "resplit"),
    "captions-fronts": lambda: both_sides(COCO),
    "captions-matched": lambda: beside_mle(COCO),
    "captions-matched-short": lambda: [row for row in beside_mle(COCO) if ", 1 seed " not in row],
    "captions-samples": lambda: specimens(COCO),
    "captions-published": lambda: n_grams(COCO, "published"),
    "grammar": lambda: grammar.rows(grammar.found()),
    "grammar-opponents": grammar.opponents_said,
    "oracle-20": lambda: oracle.rows(20),
    "oracle-20-short": lambda: narrowed(oracle.rows(20), 0, 1, 2, 3, 9),
    "oracle-40": lambda: oracle.rows(40),
    "oracle-temperatures": lambda: oracle.over_temperatures(20),
    "augmentation": lambda: augmentation.rows()[0],
    "augmentation-short": lambda: narrowed(augmentation.rows()[0], 0, 1, 2, 3, 5, 11, 12, 13),
}
MARKED = re.compile(r"(<!-- ([\w-]+): python benchmarks/readme.py -->\n).*?(<!-- /\2 -->\n)", re.DOTALL)


def narrowed(lines: Sequence[str], *columns: int) -> list[str]:
    """A Markdown table's columns, counted from 0."""
    rows = [line.strip("|").split("|") for line in lines]
    return ["|" + "|".join(row[i] for i in columns) + "|" for row in rows]


def filled(text: str) -> str:
    """The text, with each marked table as the results have it."""
    return MARKED.sub(lambda m: "\n".join([m[1], *TABLES[m[2]](), "", m[3]]), text)


def stale(text: str) -> list[str]:
    """Which marked tables are not what the results say."""
    return [m[2] for m in MARKED.finditer(text) if filled(m[0]) != m[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    old = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        if check:
            old += [f"{file.name}: {name}" for name in stale(text)]
        else:
            file.write_text(filled(text), encoding="utf-8")
    if old:
        raise SystemExit(f"not what the results say: {', '.join(old)}; run python benchmarks/readme.py")


if __name__ == "__main__":
    main()
