"""Does GAN text make a language model better? The configurations beside this file, an experiment for each N.

    python benchmarks/augmentation/run.py grammar            what is left of benchmarks/augmentation/grammar.yaml
    python benchmarks/augmentation/run.py cpu --lines 1000   one N of it
    python benchmarks/augmentation/run.py cpu --seeds 0:4    the first four of its seeds; the table puts parts together
    python benchmarks/augmentation/run.py --table            the README's table, from benchmarks/results/augmentation

An experiment lies in runs/augmentation/NAME-N, or NAME-N.SEEDS; when it is done its rows and sentences are kept in
the project. TEXTGAN_DATA names the folder of real texts (default ../shared/data). It may be killed and started again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
os.environ.setdefault("TEXTGAN_DATA", str(ROOT.parent / "shared" / "data"))

from textgan.errors import InputError  # noqa: E402
from textgan.experiment import commit, read_results, versions  # noqa: E402
from textgan.laboratory.running import run_study  # noqa: E402
from textgan.laboratory.statistics import Paired, against_best, best_real, paired, select_rows, sentences  # noqa: E402
from textgan.laboratory.study import read_study  # noqa: E402
from textgan.text import write_json  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "augmentation"
POOLED = ("grammar-first-100", "grammar-100", "grammar-own-100")  # N = 100 on the grammar, 24 different seeds
SHOWN = (
    "selected", "gan", "before", "before-selected", "two-stage", "before-two-stage", "self", "word-shuffled", "fresh"
)  # fmt: skip
Experiments = dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]
BETWEEN = (("gan", "before"), ("before-selected", "before"))  # what the game changes, and what D's choice does


def run(name: str, lines: list[int], seeds: range | None, workers: int) -> None:
    """The experiments of a configuration, one after another; of some of its seeds, which share nothing but the base."""
    study, words, part = read_study(HERE / f"{name}.yaml"), "", ""
    if seeds is not None:
        whole = range(study.first_seed, study.first_seed + study.seeds)
        if not seeds or not {*seeds} <= {*whole}:
            raise InputError(f"--seeds: {name} has {whole.start}:{whole.stop}; give some of them")
        study = dataclasses.replace(study, first_seed=seeds.start, seeds=len(seeds))
        words, part = f" --seeds {seeds.start}:{seeds.stop}", f".{seeds.start}-{seeds.stop - 1}"
    for n in lines or study.lines:
        out = ROOT / "runs" / "augmentation" / f"{name}-{n}{part}"
        report = run_study(
            dataclasses.replace(study, lines=(n,)), out, workers=workers, progress=lambda line: print(line, flush=True)
        )
        took = sum(found["seconds"] for found in read_results(out / "results").values())
        rows = (out / "results.jsonl").read_bytes()
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}-{n}{part}.jsonl").write_bytes(rows)
        facts = {
            "command": f"python benchmarks/augmentation/run.py {name} --lines {n}{words}", "commit": commit(),
            "versions": versions(), "processor_seconds": round(took), "configuration": report.hash,
            "failed": report.failed,
        }  # fmt: skip
        write_json(RESULTS / f"{name}-{n}{part}.json", facts)


def kept() -> Experiments:
    """Of each experiment, NAME-N, its rows and the facts of its parts."""
    found: Experiments = {}
    for path in sorted(RESULTS.glob("*-*.jsonl")):
        rows, facts = found.setdefault(path.name.partition(".")[0], ([], []))
        rows += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        facts.append(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    return found


def rows() -> tuple[list[str], list[str]]:
    """Markdown: a row an experiment; and the sentences of all."""
    heads = ["experiment", *SHOWN, *map(" - ".join, BETWEEN)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    said = []
    experiments = kept()
    for experiment, (rows, facts) in experiments.items():
        name, _, n = experiment.rpartition("-")
        arms = tuple(dict.fromkeys(row["arm"] for row in rows))
        study = dataclasses.replace(read_study(HERE / f"{name.removesuffix('-first')}.yaml"), arms=arms)
        found = {one.a: one for one in against_best(study, rows, int(n), "steps", study.ratio)}
        shown = [found.get(arm) for arm in SHOWN]
        shown += [paired(study, rows, a, b, int(n), "steps", study.ratio) for a, b in BETWEEN]
        lines.append(f"| `{experiment}` | {' | '.join(map(_percent, shown))} |")
        lost, hashes = sum(len(part["failed"]) for part in facts), "`, `".join(part["configuration"] for part in facts)
        failed = f"; {lost} jobs failed" if lost else ""
        found_out = sentences(dataclasses.replace(study, lines=(int(n),)), rows)
        said += [f"* **{experiment}** (`{hashes}`{failed}). {sentence}" for sentence in found_out]
    return lines, [*said, *(pooled(experiments, arm) for arm in ("selected", "two-stage", "before-two-stage"))]


def pooled(experiments: Experiments, arm: str) -> str:
    """An arm against each experiment's best real-only arm, all seeds of POOLED: mean relative difference, Student."""
    import numpy as np
    from scipy import stats

    found: list[float] = []
    for name in POOLED:
        rows, _ = experiments[name]
        base = select_rows(rows, arm=best_real(rows, 100, "steps", 1.0))
        ours = select_rows(rows, arm=arm, ratio=1.0)
        found += [100 * (ours[seed]["nll_per_byte"] / base[seed]["nll_per_byte"] - 1) for seed in ours]
    if not found:
        return f"* pooled, {arm}: no rows"
    test = stats.ttest_1samp(found, 0)
    low, high = test.confidence_interval()
    return (
        f"* **{', '.join(POOLED)} pooled, {arm}**: {np.mean(found):+.2f} % ({low:+.2f} to {high:+.2f}), "
        f"{len(found)} seeds, better in {sum(x < 0 for x in found)}, p = {test.pvalue:.4f}, not adjusted"
    )


def _percent(one: Paired | None) -> str:
    """Relative difference with its interval, in %."""
    if one is None or one.low is None or one.high is None or not one.difference:
        return "-"
    low, high = (100 * end / one.difference * one.relative for end in (one.low, one.high))
    return f"{100 * one.relative:+.2f} ({low:+.2f} to {high:+.2f})"


def span(text: str) -> range:
    """A:B."""
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=sorted(path.stem for path in HERE.glob("*.yaml")))
    parser.add_argument("--lines", type=int, action="append", default=[], metavar="N", help="only this N")
    parser.add_argument("--seeds", type=span, metavar="A:B", help="only these of its seeds, B left out")
    parser.add_argument("--workers", type=int, default=1, metavar="K", help="jobs at a time (default: 1)")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table and not options.name:
        parser.error("name a configuration, or give --table")
    if options.name:
        run(options.name, options.lines, options.seeds, options.workers)
    lines, said = rows()
    sys.stdout.write("\n".join([*lines, "", *said, ""]))


if __name__ == "__main__":
    main()
