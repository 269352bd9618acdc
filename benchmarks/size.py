"""What size costs: lines of a corpus, sentences of a pool, tokens of a sentence, words of a vocabulary.

    python benchmarks/size.py                        all of it: ten minutes, and 3 GB in the temporary folder (TMPDIR)
    python benchmarks/size.py --only pool            one of corpus, pool, length, vocabulary; the others are kept
    python benchmarks/size.py --most 1000000         no row of more lines or sentences

Every row is measured in a process of its own, in one thread: processor seconds, and the resident memory looked at
four times a second, apart for what the process has allocated and for mapped files, whose pages the system takes back
when it wants them. Corpora are spliced captions (benchmarks/metrics.py). Writes benchmarks/results/size.json and
size.svg.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from metrics import spliced
from throughput import commit

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
LINES = (10_000, 100_000, 1_000_000, 10_000_000)
SENTENCES = (10_000, 100_000, 1_000_000)
LENGTHS = (32, 64, 128, 256, 512)
WORDS = (5_000, 10_000, 20_000, 50_000)
STEPS = 50
Row = dict[str, Any]


class Memory(threading.Thread):
    """Looks at this process's memory four times a second: [(seconds, allocated, of files)], MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.begin, self.curve, self._over = time.perf_counter(), list[tuple[float, int, int]](), threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.25):
            self.look()

    def look(self) -> None:
        status = Path("/proc/self/status").read_text()
        kinds = [int(status.split(f"{kind}:")[1].split()[0]) // 1024 for kind in ("RssAnon", "RssFile")]
        self.curve.append((round(time.perf_counter() - self.begin, 2), *kinds))

    def peaks(self) -> Row:
        """The largest of each, and of both together by the system's own count."""
        self._over.set()
        self.join()
        self.look()
        whole = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
        _, allocated, files = (max(column) for column in zip(*self.curve, strict=True))
        return {"peak_mb": whole, "allocated_mb": allocated, "files_mb": files}


def train(text: str, out: str, words: str) -> Row:
    """A corpus: everything before the first step, and STEPS steps of maximum likelihood."""
    from textgan import MLE, fit
    from textgan.batches import TextSettings

    at: list[float] = []
    memory = Memory()
    memory.start()
    fit(
        MLE(mle_steps=STEPS), text, out=out, text=TextSettings(vocab_size=int(words)), threads=1, progress=False,
        on_log=lambda row: at.append(time.process_time()),
    )  # fmt: skip
    found = memory.peaks() | {"prepare_s": at[0], "steps_s": at[-1] - at[0]}
    disk = sum(path.stat().st_size for path in (Path(out) / "text").glob("*")) / 1e6
    step = max(1, len(memory.curve) // 400)
    return found | {"disk_mb": round(disk), "curve": memory.curve[::step]}


def pool(run: str, n: str, out: str) -> Row:
    """n sentences with their provenance, as `textgan generate` writes them: shards, card and MANIFEST."""
    import torch

    from textgan.pools import generate
    from textgan.runs import Run

    torch.set_num_threads(1)
    Run.open(run).sample_text(1024)
    memory, begin = Memory(), time.process_time()
    memory.start()
    generate(run, int(n), out)
    return {"seconds": time.process_time() - begin} | memory.peaks()


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call, the first one uncounted."""
    import statistics

    times = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times[1:])


def step(words: str, length: str, batch: str) -> Row:
    """One step of maximum likelihood on full-length sentences, with the memory that it adds to the net's."""
    import torch

    from textgan import LSTM, MLE, machine

    machine.keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = MLE(generator=LSTM(128, 256))
    update = recipe.phases(recipe.players(int(words), int(length)), torch.Generator())[0].update
    real = torch.randint(4, int(words), (int(batch), int(length)))
    memory, before = Memory(), resident()
    memory.start()
    took = seconds(lambda: update(0, iter([real])), 5)
    return {"seconds": took, "added_mb": memory.peaks()["peak_mb"] - before}


def rollouts(words: str, length: str, batch: str) -> Row:
    """Full-length sentences, drawn; then one roll-out of each of their prefixes, judged by a CNN."""
    import torch

    from textgan import CNN, LSTM, SeqGAN
    from textgan.estimators import rollout_rewards
    from textgan.updates import sentence_score

    torch.set_num_threads(1)
    torch.manual_seed(0)
    players = SeqGAN(generator=LSTM(128, 256, dropout=0.0), discriminator=CNN()).players(int(words), int(length))
    generator, score = players["generator"].net.eval(), sentence_score(players["discriminator"].net)
    with torch.no_grad():
        generator.model.head.bias[2] = -1e4  # no sentence ends early
    memory, before, begin = Memory(), resident(), time.process_time()
    memory.start()
    samples = generator.sample(int(batch), rng=torch.Generator().manual_seed(0))
    drawn = time.process_time()
    rollout_rewards(generator, score, samples, n=1)
    took = {"sample_s": drawn - begin, "rollouts_s": time.process_time() - drawn}
    return took | {"added_mb": memory.peaks()["peak_mb"] - before}


def resident() -> int:
    """This process's memory now, MB."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024


JOBS: dict[str, Callable[..., Row]] = {"train": train, "pool": pool, "step": step, "rollouts": rollouts}


def measured(*job: object) -> Row:
    """A job in a process of its own."""
    command = [sys.executable, __file__, "--job", *map(str, job)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    found: Row = json.loads(out.splitlines()[-1])
    shown = "  ".join(f"{k} {v:.4g}" for k, v in found.items() if k != "curve")
    print(f"{job[0]:9s} {shown}", flush=True)
    return found


def parts(n: int) -> Iterator[str]:
    """n lines, made a million at a time."""
    for first in range(0, n, 1_000_000):
        yield from spliced(min(1_000_000, n - first), first)


def corpus_rows(folder: Path, most: int) -> Iterator[Row]:
    from textgan.text import write_lines

    for n in (n for n in LINES if n <= most):
        print(f"{n:,} lines", flush=True)
        text = folder / "corpus.txt"
        write_lines(text, parts(n))
        yield {"lines": n, "text_mb": round(text.stat().st_size / 1e6)} | measured("train", text, folder / f"{n}", 5000)
        text.unlink()


def pool_rows(folder: Path, most: int) -> Iterator[Row]:
    from textgan import LSTM, MLE, fit
    from textgan.batches import TextSettings

    recipe = MLE(mle_steps=200, generator=LSTM(32, 32, dropout=0.0, tied=False))
    fit(recipe, spliced(20_000, 0), out=folder / "run", text=TextSettings(vocab_size=5000), threads=1, progress=False)
    for n in (n for n in SENTENCES if n <= most):
        print(f"{n:,} sentences", flush=True)
        found = measured("pool", folder / "run", n, folder / f"pool-{n}")
        size = sum(path.stat().st_size for path in (folder / f"pool-{n}").iterdir())
        yield {"sentences": n, "file_mb": round(size / 1e6)} | found


def length_rows(folder: Path, most: int) -> Iterator[Row]:
    for length in LENGTHS:
        print(f"{length} tokens a sentence", flush=True)
        yield {"tokens": length, "step": measured("step", 5000, length, 16)} | {
            "rollouts": measured("rollouts", 5000, length, 2)
        }


def vocabulary_rows(folder: Path, most: int) -> Iterator[Row]:
    for words in WORDS:
        print(f"{words:,} words", flush=True)
        yield {"words": words, "step": measured("step", words, 20, 64)} | {
            "rollouts": measured("rollouts", words, 20, 16)
        }


PARTS = {"corpus": corpus_rows, "pool": pool_rows, "length": length_rows, "vocabulary": vocabulary_rows}


def plot(found: Row, path: Path) -> None:
    """Cost against size on logarithmic axes, and the memory of the largest corpus over time."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "size"  # the same figures, the same bytes
    from matplotlib import pyplot

    panels = {
        "corpus": ("lines", {"prepare, s": ("prepare_s",), "50 steps, s": ("steps_s",), "peak, MB": ("peak_mb",)}),
        "pool": ("sentences", {"drawn and written, s": ("seconds",), "peak, MB": ("peak_mb",)}),
        "length": ("tokens", {
            "MLE step, s": ("step", "seconds"), "roll-outs, s": ("rollouts", "rollouts_s"),
            "step adds, MB": ("step", "added_mb"), "roll-outs add, MB": ("rollouts", "added_mb"),
        }),
        "vocabulary": ("words", {
            "MLE step, s": ("step", "seconds"), "roll-outs, s": ("rollouts", "rollouts_s"),
            "step adds, MB": ("step", "added_mb"), "roll-outs add, MB": ("rollouts", "added_mb"),
        }),
    }  # fmt: skip
    measured = [(part, *panels[part], rows) for part in panels if (rows := found.get(part, {}).get("rows"))]
    curve = (found.get("corpus", {}).get("rows") or [{}])[-1].get("curve")
    count = len(measured) + bool(curve)
    figure, grid = pyplot.subplots(1, count, figsize=(4.6 * count, 4.2), layout="constrained", squeeze=False)
    axes = grid[0]
    for (part, x, lines, rows), axis in zip(measured, axes, strict=False):
        for label, keys in lines.items():
            values = [functools.reduce(operator.getitem, keys, row) for row in rows]
            axis.loglog([row[x] for row in rows], values, "o-" if label.endswith("s") else "s--", label=label)
        axis.set(xlabel=x, title=f"{part}: processor s and MB against {x}")
        axis.legend(fontsize=8)
    if curve:
        seconds_, allocated, files = zip(*curve, strict=True)
        axes[-1].stackplot(seconds_, allocated, files, labels=["allocated", "mapped files"])
        axes[-1].set(xlabel="seconds", title=f"memory, MB, of {found['corpus']['rows'][-1]['lines']:,} lines")
        axes[-1].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--most", type=int, default=LINES[-1])
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(JOBS[options.job[0]](*options.job[1:])))
        return
    from textgan.text import write_json

    out = RESULTS / "size.json"
    found = json.loads(out.read_text()) if out.exists() else {}
    for part in [options.only] if options.only else PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found[part] = {"command": " ".join(["python benchmarks/size.py", *sys.argv[1:]]), "commit": commit()}
            found[part]["rows"] = []
            for row in PARTS[part](Path(folder), options.most):
                found[part]["rows"].append(row)
                write_json(out, found)
    plot(found, RESULTS / "size.svg")
    print(f"written: {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
