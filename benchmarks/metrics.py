"""Anchors, parity, speed, memory and interval coverage of the metrics, over the public API.

    python benchmarks/metrics.py [--million] [--sets 60] [--out benchmarks/results/metrics.json]

Corpora: the folder named by TEXTGAN_DATA (default ../shared/data beside the project). Every timing runs in a process
of its own, so that its peak memory is its own (it includes Python and numpy); ratios are of one run on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TEXTGAN_DATA", ROOT.parent / "shared" / "data"))
COCO, NEWS = DATA / "image_coco", DATA / "emnlp2017_news"
ANCHORS = {
    "BLEU-2..5, COCO train against test": (0.743, 0.525, 0.343, 0.222),
    "self-BLEU-2..5, COCO train": (0.894, 0.750, 0.580, 0.422),
    "self-BLEU-2..5, COCO test": (0.908, 0.778, 0.616, 0.460),
    "self-BLEU-2..5, EMNLP test": (0.856, 0.611, 0.383, 0.231),
}
ORDERS = (2, 3, 4, 5)


def lines_of(path: Path) -> list[str]:
    from textgan.text import read_lines

    return read_lines(path)


def measured_anchors() -> dict[str, list[float]]:
    """The figures of the table by `evaluate`, under the default protocol, which here is the published one."""
    from textgan.evaluation import evaluate

    coco = evaluate(COCO / "train.txt", COCO / "test.txt", metrics="BLEU,self-BLEU", groups=0)
    news = evaluate(NEWS / "test.txt", NEWS / "train_10k.txt", metrics="self-BLEU", groups=0)
    real = {score.name: score.value for score in coco.real}
    values = (
        [coco.value(f"BLEU-{k}") for k in ORDERS],
        [coco.value(f"self-BLEU-{k}") for k in ORDERS],
        [real[f"self-BLEU-{k}"] for k in ORDERS],
        [news.value(f"self-BLEU-{k}") for k in ORDERS],
    )
    return dict(zip(ANCHORS, values, strict=True))


def nltk_difference(n: int = 60, seed: int = 0) -> float:
    """Largest difference to NLTK over all lines and orders of n drawn lines, forward and self."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    from textgan.metrics import NgramIndex
    from textgan.metrics import sentence_bleu as ours

    rng, method1, worst = np.random.default_rng(seed), SmoothingFunction().method1, 0.0
    for path, other in ((COCO / "test.txt", COCO / "train.txt"), (NEWS / "test.txt", NEWS / "train_10k.txt")):
        text, reference = (
            [lines[i].split() for i in rng.permutation(len(lines))[:n]] for lines in map(lines_of, (path, other))
        )
        index = NgramIndex(text)
        forward, alone = ours(index, NgramIndex(reference)), ours(index, index, own=np.arange(n))
        for i, line in enumerate(text):
            for k in ORDERS:
                for values, references in ((forward, reference), (alone, text[:i] + text[i + 1 :])):
                    theirs = sentence_bleu(references, line, [1 / k] * k, smoothing_function=method1)
                    worst = max(worst, abs(values[k - 1, i] - theirs))
    return worst


def spliced(n: int, seed: int) -> list[str]:
    """n caption-like lines: the first half of one real caption and the second half of another."""
    captions = [line.lower().split() for line in lines_of(COCO / "captions_60k.txt")]
    left, right = np.random.default_rng(seed).integers(len(captions), size=(2, n))
    pairs = ((captions[a], captions[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True))
    return [" ".join(a[: len(a) // 2] + b[len(b) // 2 :]) for a, b in pairs]


def job_self_bleu(path: str) -> Callable[[], object]:
    from textgan.metrics import NgramIndex, SelfBLEU, Sets

    lines = [line.split() for line in lines_of(Path(path))]
    return lambda: [SelfBLEU(k).measure(sets) for sets in [Sets(NgramIndex(lines))] for k in ORDERS]


def job_bleu(path: str, other: str) -> Callable[[], object]:
    from textgan.metrics import BLEU, NgramIndex, Sets

    lines, reference = ([line.split() for line in lines_of(Path(p))] for p in (path, other))
    return lambda: [
        BLEU(k).measure(sets) for sets in [Sets(NgramIndex(lines), reference=NgramIndex(reference))] for k in ORDERS
    ]


def _fast_bleu_weights() -> dict[int, list[float]]:
    return {k: [1 / k] * k for k in ORDERS}


def job_fast_self_bleu(path: str) -> Callable[[], object]:
    from fast_bleu import SelfBLEU

    lines = [line.split() for line in lines_of(Path(path))]

    def run() -> object:
        scores = SelfBLEU(lines, _fast_bleu_weights()).get_score()
        return [float(np.mean(scores[k])) for k in ORDERS]

    return run


def job_fast_bleu(path: str, other: str) -> Callable[[], object]:
    from fast_bleu import BLEU

    lines, reference = ([line.split() for line in lines_of(Path(p))] for p in (path, other))

    def run() -> object:
        scores = BLEU(reference, _fast_bleu_weights()).get_score(lines)
        return [float(np.mean(scores[k])) for k in ORDERS]

    return run


def job_all(n: str, groups: str) -> Callable[[], object]:
    """Every n-gram metric of n lines against n lines, and real text's row, with training text."""
    from textgan.evaluation import evaluate

    text, reference, train = (spliced(int(n), seed) for seed in (1, 2, 3))
    return lambda: len(evaluate(text, reference, train=train, metrics="quick", groups=int(groups)).scores)


JOBS: dict[str, Callable[..., Callable[[], object]]] = {
    "self_bleu": job_self_bleu,
    "bleu": job_bleu,
    "fast_self_bleu": job_fast_self_bleu,
    "fast_bleu": job_fast_bleu,
    "all": job_all,
}


def peak_mb() -> float:
    """This process's own peak (ru_maxrss would start at the parent's, which a child inherits)."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return float(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(name: str, repeats: int, arguments: list[str]) -> None:
    """Run one job some times; print the fastest run's seconds and the process's peak memory, before and in the end."""
    job = JOBS[name](*arguments)
    before, seconds, cpu, result = peak_mb(), [], [], None
    for _ in range(repeats):
        begin, busy = time.perf_counter(), time.process_time()
        result = job()
        seconds.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - busy)
    row = {"seconds": min(seconds), "cpu_seconds": min(cpu), "runs": seconds, "peak_mb": peak_mb(), "before_mb": before}
    row["result"] = result
    print(json.dumps(row))


def timed(name: str, *arguments: str, repeats: int = 1) -> dict[str, Any]:
    """The fastest of some runs in a process of its own, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--job", name, str(repeats), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    best: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"  {name:15} {' '.join(Path(a).name for a in arguments):28} {best['seconds']:8.3f} s"
        f" {best['cpu_seconds']:8.3f} s cpu {best['peak_mb']:7.0f} MB"
    )
    return best


def speed(million: bool) -> dict[str, object]:
    """Times beside fast-bleu of the same work in one run, and the growth with n."""
    test, train, news, news_train = (
        str(path) for path in (COCO / "test.txt", COCO / "train.txt", NEWS / "test.txt", NEWS / "train_10k.txt")
    )
    found: dict[str, object] = {}
    for label, ours, theirs, paths in (
        ("self-BLEU COCO", "self_bleu", "fast_self_bleu", (train,)),
        ("self-BLEU news", "self_bleu", "fast_self_bleu", (news,)),
        ("BLEU COCO", "bleu", "fast_bleu", (train, test)),
        ("BLEU news", "bleu", "fast_bleu", (news, news_train)),
    ):
        mine = timed(ours, *paths, repeats=7)
        try:
            other = timed(theirs, *paths)
            found[label] = {
                "textgan": mine,
                "fast-bleu": other,
                "ratio": other["seconds"] / mine["seconds"],
                "cpu_ratio": other["cpu_seconds"] / mine["cpu_seconds"],
            }
        except subprocess.CalledProcessError:
            found[label] = {"textgan": mine, "fast-bleu": "not installed"}
    sizes = [1_000, 10_000, 100_000] + [1_000_000] * million
    found["all quick metrics, no intervals"] = {n: timed("all", str(n), "0") for n in sizes}
    found["all quick metrics, with intervals"] = {n: timed("all", str(n), "20") for n in (1_000, 10_000)}
    return found


def coverage(sets: int, n: int = 1000) -> dict[str, dict[str, float]]:
    """How often the 95 % interval of one text holds the mean over independent texts, the reference fixed."""
    from textgan.evaluation import Reference, evaluate

    seen = {line.replace(" ", "").lower() for name in ("train.txt", "test.txt") for line in lines_of(COCO / name)}
    captions = dict.fromkeys(line.lower() for line in lines_of(COCO / "captions_60k.txt"))
    clean = [line for line in captions if line.replace(" ", "") not in seen]
    order = np.random.default_rng(0).permutation(len(clean))
    sets = min(sets, len(clean) // n - 2)
    parts = [[clean[i] for i in order[k * n : (k + 1) * n]] for k in range(sets + 2)]
    reference = Reference(parts[0], train=parts[1])
    runs = [evaluate(part, reference) for part in parts[2:]]
    flagged = sum(any("real text" in v and not v.startswith("indis") for v in run.verdicts.values()) for run in runs)
    report = {"independent texts flagged": {"share": flagged / sets, "texts": float(sets)}}
    for k, score in enumerate(runs[0].scores):
        if score.low is None:
            continue
        scores = [run.scores[k] for run in runs]
        mean = float(np.mean([s.value for s in scores]))
        report[score.name] = {
            "coverage": float(np.mean([s.low <= mean <= s.high for s in scores])),  # type: ignore[operator]
            "sd": float(np.std([s.value for s in scores], ddof=1)),
            "mean half width": float(np.mean([(s.high - s.low) / 2 for s in scores])),  # type: ignore[operator]
        }
    return report


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "processor": platform.processor() or platform.machine()}
    for package in ("numpy", "scipy", "nltk", "fast-bleu"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def main() -> int:
    from textgan.experiment import commit

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="also a million lines (a few minutes, 6 GB)")
    parser.add_argument("--sets", type=int, default=50, help="independent texts for the coverage of intervals")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "metrics.json")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        child(options.job[0], int(options.job[1]), options.job[2:])
        return 0
    if not (COCO / "test.txt").exists():
        print(f"no corpora at {DATA}: set TEXTGAN_DATA to the folder that holds image_coco/ and emnlp2017_news/")
        return 1
    command = " ".join(["python", "benchmarks/metrics.py", *sys.argv[1:]])
    report: dict[str, object] = {"command": command, "commit": commit(), "versions": versions()}
    print(f"{command}\ncommit {report['commit']}, {report['versions']}")
    anchors = measured_anchors()
    wrong = 0
    for name, values in anchors.items():
        right = all(round(value, 3) == wanted for value, wanted in zip(values, ANCHORS[name], strict=True))
        wrong += not right
        print(f"  {name:36} {' '.join(f'{value:.4f}' for value in values)}  {'as expected' if right else 'WRONG'}")
    report["anchors"] = anchors
    report["largest difference to nltk"] = nltk_difference()
    print(f"  largest difference to nltk {report['largest difference to nltk']:.1e}")
    report["speed"] = speed(options.million)
    for name, row in report["speed"].items():  # type: ignore[attr-defined]
        if "ratio" in row:
            print(f"  {name}: {row['ratio']:.0f} times as fast as fast-bleu, {row['cpu_ratio']:.0f} times by CPU time")
    report["coverage"] = coverage(options.sets)
    for name, row in report["coverage"].items():  # type: ignore[attr-defined]
        print(f"  {name:24} {' '.join(f'{key} {value:.4f}' for key, value in row.items())}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {options.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
