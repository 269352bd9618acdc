"""Does a model that learns from its own text collapse? On the embedded grammar, whose truth is known.

    python benchmarks/loop.py             three regimes, three seeds, eight generations: ten minutes of one core

Writes benchmarks/results/loop.json and loop.html. It may be stopped and started again: what is done is kept in the
temporary folder that it names.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from textgan import grammar
from textgan.experiment import commit, versions
from textgan.loop import loop
from textgan.text import write_json

RESULTS = Path(__file__).resolve().parent / "results"
REGIMES = ("replace", "accumulate", "accumulate_subsample")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default=f"{tempfile.gettempdir()}/textgan-loop", help="folder of the generations")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    done = loop(
        grammar.sample(500, seed=0),
        test=grammar.sample(1000, seed=1),
        out=options.work,
        generations=8,
        regimes=REGIMES,
        lm="small:1x64",
        steps=150,
        seeds=(0, 1, 2),
        workers=options.workers,
        progress=lambda line: print(line, file=sys.stderr),
    )
    about = {"command": "python benchmarks/loop.py", "commit": commit(), "versions": versions()}
    write_json(RESULTS / "loop.json", about | done)
    shutil.copy(Path(options.work) / "loop.html", RESULTS / "loop.html")
    print("\n".join(done["findings"]))


if __name__ == "__main__":
    main()
