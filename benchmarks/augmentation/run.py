"""Does GAN text make a language model better? The configurations beside this file, an experiment for each N.

    python benchmarks/augmentation/run.py grammar            what is left of benchmarks/augmentation/grammar.yaml
    python benchmarks/augmentation/run.py cpu --lines 1000   one N of it
    python benchmarks/augmentation/run.py cpu --seeds 0:4    the first four of its seeds; the table puts parts together
    python benchmarks/augmentation/run.py --table            the README's table, from benchmarks/results/augmentation

An experiment lies in runs/augmentation/NAME-N, or NAME-N.SEEDS; when it is done its rows, what was frozen, its page and
the facts of the run are kept in the project. TEXTGAN_DATA names the folder of real texts (default ../shared/data). It
may be killed and started again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
os.environ.setdefault("TEXTGAN_DATA", str(ROOT.parent / "shared" / "data"))

from textgan.errors import InputError  # noqa: E402
from textgan.experiment import commit, read_results, versions  # noqa: E402
from textgan.laboratory.arms import ARMS  # noqa: E402
from textgan.laboratory.checks import doubtful, edges, rates, tuned, unequal  # noqa: E402
from textgan.laboratory.running import run_study  # noqa: E402
from textgan.laboratory.statistics import (  # noqa: E402
    Paired,
    against_best,
    best_real,
    paired,
    select_rows,
    sentences,
    worths,
)
from textgan.laboratory.study import Study, read_study, study_of  # noqa: E402
from textgan.text import write_json  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "augmentation"
LARGEST = 300_000  # bytes of a page that is kept
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
    if '"/' in json.dumps(study.to_json()):
        raise InputError(f"{name}.yaml names a folder of one machine; name it by a variable, as $TEXTGAN_DATA")
    for n in lines or study.lines:
        out = ROOT / "runs" / "augmentation" / f"{name}-{n}{part}"
        report = run_study(
            dataclasses.replace(study, lines=(n,)), out, workers=workers, progress=lambda line: print(line, flush=True)
        )
        took = sum(found["seconds"] for found in read_results(out / "results").values())
        facts = {
            "command": f"python benchmarks/augmentation/run.py {name} --lines {n}{words}", "commit": commit(),
            "versions": versions(), "processor_seconds": round(took), "configuration": report.hash,
            "failed": report.failed,
        }  # fmt: skip
        keep(out, RESULTS / f"{name}-{n}{part}", facts)


def keep(out: Path, kept: Path, facts: dict[str, Any]) -> None:
    """KEPT.jsonl: the rows. KEPT.study.json: all that was frozen. KEPT.html: the page, unless it is too large.
    KEPT.json: the facts."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    for end, name in ((".jsonl", "results.jsonl"), (".study.json", "study.json")):
        Path(f"{kept}{end}").write_bytes((out / name).read_bytes())
    html = portable((out / "report.html").read_text(encoding="utf-8"))
    Path(f"{kept}.html").unlink(missing_ok=True)  # that of an earlier run
    if len(html.encode()) <= LARGEST:
        Path(f"{kept}.html").write_text(html, encoding="utf-8")
    write_json(Path(f"{kept}.json"), json.loads(portable(json.dumps(facts))))


def portable(text: str) -> str:
    """The text with each folder and file that a configuration names by a variable under that name, and the project's
    own folder as a dot."""
    named = {name for path in HERE.glob("*.yaml") for name in re.findall(r"\$\{?(\w+)", path.read_text())}
    folders = {os.environ[name].rstrip("/"): f"${name}" for name in named if "/" in os.environ.get(name, "")}
    folders[str(ROOT)] = "."
    for folder in sorted(folders, key=len, reverse=True):  # one may lie in another
        text = text.replace(folder, folders[folder])
    return text


def kept() -> Experiments:
    """Of each experiment, NAME-N, its rows and the facts of its parts."""
    found: Experiments = {}
    for path in sorted(RESULTS.glob("*-*.jsonl")):
        rows, facts = found.setdefault(path.name.partition(".")[0], ([], []))
        rows += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        facts.append(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
        if (frozen := path.with_suffix(".study.json")).exists():
            facts[-1]["study"] = json.loads(frozen.read_text(encoding="utf-8"))["study"]
    return found


def study_kept(experiment: str, rows: list[dict[str, Any]], facts: list[dict[str, Any]]) -> Study:
    """The study of an experiment as it was frozen, all its parts together, with the arms that it has measured; where it
    was not kept, that of the configuration as it is now."""
    name, _, n = experiment.rpartition("-")
    if all("study" in part for part in facts):
        parts = [study_of(part["study"], experiment) for part in facts]
        study = dataclasses.replace(parts[0], seeds=sum(part.seeds for part in parts))
    else:
        study = read_study(HERE / f"{name.removesuffix('-first')}.yaml")
    return dataclasses.replace(study, arms=tuple(dict.fromkeys(row["arm"] for row in rows)), lines=(int(n),))


def rows() -> tuple[list[str], list[str]]:
    """Markdown: a row an experiment; and the sentences of all."""
    heads = ["experiment", "seeds", "real-only's rate", *SHOWN, *map(" - ".join, BETWEEN)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    said = []
    experiments = kept()
    for experiment, (rows, facts) in experiments.items():
        study = study_kept(experiment, rows, facts)
        at = (*study.lines, study.regimes[0], study.ratio)
        found = {one.a: one for one in against_best(study, rows, *at)}
        shown = [found.get(arm) for arm in SHOWN]
        shown += [paired(study, rows, a, b, *at) for a, b in BETWEEN]
        cells = [_seeds(found), _rate(study, rows), *map(_percent, shown)]
        lines.append(f"| `{experiment}` | {' | '.join(cells)} |")
        lost, hashes = sum(len(part["failed"]) for part in facts), "`, `".join(part["configuration"] for part in facts)
        failed = f"; {lost} jobs failed" if lost else ""
        found_out = [*sentences(study, rows), *_worth(study, rows), *_checked(study, rows)]
        said += [f"* **{experiment}** (`{hashes}`{failed}). {sentence}" for sentence in found_out]
    return lines, [*said, *(pooled(experiments, arm) for arm in ("selected", "two-stage", "before-two-stage"))]


def _seeds(found: dict[str, Paired]) -> str:
    """How many seeds the differences rest on, and which arms have fewer."""
    most = max((one.seeds for one in found.values()), default=0)
    fewer: dict[int, list[str]] = {}
    for arm, one in found.items():
        if one.seeds < most:
            fewer.setdefault(one.seeds, []).append(arm)
    said = "; ".join(f"{', '.join(arms)} {seeds}" for seeds, arms in fewer.items())
    return f"{most} ({said})" if said else f"{most}"


def _rate(study: Study, rows: list[dict[str, Any]]) -> str:
    """Which learning rates real-only chose, on how many seeds each, and what the grid lacks beside those at an edge."""
    found = rates(rows, *study.lines)
    lacking = [what for _, what in edges(study, found)]
    chosen = ", ".join(f"{rate:g} on {seeds}" for rate, seeds in found.items()) or "-"
    return chosen + (f" (lacks {' and '.join(lacking)})" if lacking else "")


def _worth(study: Study, rows: list[dict[str, Any]]) -> list[str]:
    """What 1000 sentences of each arm that has a rate are worth, the dearest first."""
    found = worths(study, rows, *study.lines, study.regimes[0])
    most = max((one.seeds for one in found), default=0)
    each = [f"{one.arm} {one.said()}" + (f" on {one.seeds} seeds" if one.seeds < most else "") for one in found]
    return [f"1000 sentences are worth so many fresh real ones: {', '.join(each)}."] if each else []


def _checked(study: Study, rows: list[dict[str, Any]]) -> list[str]:
    """How real-only was tuned, and warnings."""
    chosen = [row for row in rows if "selection" in row]
    pools = {f"select-{ARMS[row['arm']].temperature}-s{row['seed']}": row["selection"] for row in chosen}
    return [*tuned(study, rows), *unequal(study, rows), *doubtful(pools)]


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
