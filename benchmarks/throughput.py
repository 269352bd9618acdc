"""How fast the hot paths are, each beside a naive reference of the same work in one run.

    python benchmarks/throughput.py            the quick form (about a minute); `make bench`
    python benchmarks/throughput.py --full     more repeats, all roll-outs of the naive reference

The naive references are the slow twins that the tests hold the fast paths against (tests/slow_rollouts.py): the prefix
is recomputed for every token, torch.multinomial draws it, and one roll-out runs at a time. Ratios are of medians within
this run; both sides suffer alike from what else the machine does. Writes benchmarks/results/throughput.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from slow_rollouts import slow_complete, slow_rollout_rewards  # noqa: E402
from textgan.discriminators import CNN, MultiCNN  # noqa: E402
from textgan.estimators import rollout_rewards  # noqa: E402
from textgan.generators import LSTM, Generator, Transformer, evaluating  # noqa: E402
from textgan.recipes import RelGAN, SeqGAN  # noqa: E402
from textgan.updates import sentence_score  # noqa: E402

DATA = Path(os.environ.get("TEXTGAN_DATA", ROOT.parent / "shared" / "data"))
VOCAB, TIME, BATCH = 5000, 20, 64
SEQGAN_CNN = CNN(
    embedding=64,
    widths=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20),
    filters=(100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160),
)
Row = dict[str, Any]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(name: str, fast: Callable[[], object], naive: Callable[[], object] | None, repeats: int, scale: int = 1) -> Row:
    """Medians and range of both sides, run in turn; `scale`: how many times the naive side would have to run."""
    fast()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        times[0].append(seconds(fast))
        if naive is not None:
            times[1].append(seconds(naive) * scale)
    found: Row = {"name": name, "seconds": statistics.median(times[0]), "range": [min(times[0]), max(times[0])]}
    if naive is not None:
        found |= {
            "naive_seconds": statistics.median(times[1]),
            "naive_range": [min(times[1]), max(times[1])],
            "naive_scaled_by": scale,
            "ratio": statistics.median(times[1]) / statistics.median(times[0]),
        }
    beside = f"   naive {found['naive_seconds']:8.2f} s   {found['ratio']:6.1f} x" if naive is not None else ""
    print(f"{name:58s} {found['seconds']:8.3f} s{beside}", flush=True)
    return found


def generator(spec: LSTM | Transformer) -> Generator:
    """A fresh one that practically never ends a sentence early, so that every sentence has TIME tokens."""
    torch.manual_seed(0)
    built = spec.build(VOCAB, TIME)
    return built.eval()


@torch.no_grad()
def naive_sample(net: Generator, n: int) -> None:
    """Loops of 64, the prefix recomputed for each token."""
    with evaluating(net):
        for _ in range(0, n, BATCH):
            slow_complete(net, torch.empty(BATCH, 0, dtype=torch.int64), None)


def sampling(repeats: int) -> list[Row]:
    lstm = generator(LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1))
    small = generator(Transformer(width=32, layers=2, heads=2))
    return [
        row("sample 1,024 sentences, LSTM 32/32, V 5000, T 20", lambda: lstm.sample(1024),
            lambda: naive_sample(lstm, 1024), repeats),
        row("sample 1,024 sentences, transformer 32 x 2, V 5000, T 20", lambda: small.sample(1024),
            lambda: naive_sample(small, 1024), max(1, repeats // 2)),
    ]  # fmt: skip


def rewards(repeats: int, full: bool) -> list[Row]:
    """SeqGAN's reward step; the naive side runs some of the roll-outs and is scaled up, which the row says."""
    lstm = generator(LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1))
    torch.manual_seed(1)
    score = sentence_score(SEQGAN_CNN.build(VOCAB, TIME))
    samples = lstm.sample(BATCH, rng=torch.Generator().manual_seed(0))

    def both(n: int) -> Row:
        part = n if full else 1
        return row(
            f"SeqGAN reward, B 64, T 20, {n} roll-outs, 12 filters",
            lambda: rollout_rewards(lstm, score, samples, n=n),
            lambda: slow_rollout_rewards(lstm, score, samples, n=part),
            max(1, repeats // 2),
            n // part,
        )

    return [both(4), both(16)]


def steps(repeats: int) -> list[Row]:
    """One step of training each, without a naive side."""
    seqgan = SeqGAN(generator=LSTM(32, 32, dropout=0.0, tied=False), discriminator=SEQGAN_CNN, rollouts=4)
    relgan = RelGAN(
        generator=LSTM(32, 512, dropout=0.0, tied=False),
        discriminator=MultiCNN(representations=64, filters=(300, 300, 300, 300)),
    )
    torch.manual_seed(2)
    real = torch.randint(4, VOCAB, (BATCH, TIME))

    def batches() -> Any:
        while True:
            yield real

    found = []
    for recipe, phase, name in (
        (seqgan, 0, "MLE step, B 64, LSTM 32/32"),
        (seqgan, 1, "D step with its 64 fresh samples, 12 filters"),
        (relgan, 2, "RelGAN iteration, 1 G : 5 D, memory 512, 64 representations"),
    ):
        players = recipe.players(VOCAB, TIME)
        update = recipe.phases(players, torch.Generator().manual_seed(0))[phase].update
        stream = batches()
        found.append(row(name, lambda update=update, stream=stream: update(0, stream), None, repeats))
    return found


def memory() -> list[Row]:
    """Peak resident memory of the roll-outs of a fresh process: bounded whatever their number."""
    found = []
    for n in (4, 16, 64):
        code = (
            "import sys; sys.path[:0] = ['benchmarks', 'tests']; import torch, throughput as t\n"
            "g = t.generator(t.LSTM(32, 32, dropout=0., tied=False, init_std=.1))\n"
            "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024\n"
            "s = g.sample(64); before = peak()\n"
            "score = t.sentence_score(t.SEQGAN_CNN.build(t.VOCAB, t.TIME))\n"
            f"t.rollout_rewards(g, score, s, n={n})\n"
            "print(peak() - before)"  # not ru_maxrss, which begins at the peak of the parent
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
        found.append({"name": f"{n} roll-outs of 64 sentences: memory added", "megabytes": int(out)})
        print(f"{found[-1]['name']:58s} {out.strip():>8} MB", flush=True)
    return found


def self_bleu(repeats: int) -> list[Row]:
    """Self-BLEU-2..5 of 10,000 captions; beside fast-bleu where it is installed."""
    path = DATA / "image_coco" / "train.txt"
    if not path.exists():
        print(f"self-BLEU: left out, {path} is not there (set TEXTGAN_DATA)")
        return []
    from textgan.evaluation import evaluate  # noqa: F401  (imported before the clock runs)
    from textgan.metrics import NgramIndex, sentence_bleu
    from textgan.text import read_lines

    lines = read_lines(path)

    def ours() -> Any:
        index = NgramIndex(lines)
        import numpy as np

        return sentence_bleu(index, index, highest=5, own=np.arange(len(lines)))

    try:
        from fast_bleu import SelfBLEU
    except ImportError:
        theirs = None
    else:
        words = [line.split() for line in lines]

        def theirs() -> Any:
            return SelfBLEU(words, {str(n): (1 / n,) * n for n in (2, 3, 4, 5)}).get_score()

    return [row("self-BLEU-2..5 of 10,000 captions (naive: fast-bleu)", ours, theirs, max(1, repeats // 2))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = 7 if options.full else 3
    rows = [*sampling(repeats), *rewards(repeats, options.full), *steps(repeats), *self_bleu(repeats), *memory()]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    value = {
        "command": "python benchmarks/throughput.py" + " --full" * options.full,
        "commit": commit,
        "threads": options.threads,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
    }
    out = ROOT / "benchmarks" / "results" / "throughput.json"
    out.parent.mkdir(exist_ok=True)
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    temporary.replace(out)
    print(f"written: {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
