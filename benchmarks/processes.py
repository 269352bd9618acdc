"""What a step costs one process and two that share the same batch: wall and processor time, medians, in ms.

    python benchmarks/processes.py

Maximum likelihood, batch 64, sentences of the built-in grammar, the LSTM of 128/256, one thread a process; times are
the first process's. Writes benchmarks/results/processes.json; benchmarks/SPEED.md says what it means.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from throughput import commit

RESULTS = Path(__file__).resolve().parent / "results"
STEPS, WARM = 25, 5


def measure(folder: str) -> None:
    """One of the processes; the first one prints a row."""
    from textgan import LSTM, MLE, fit, machine
    from textgan.batches import TextSettings
    from textgan.training import Schedule

    machine.keep_memory()
    at: list[tuple[float, float]] = []

    def look(row: dict[str, Any]) -> None:
        at.append((time.perf_counter(), time.process_time()))

    recipe, seldom = MLE(mle_steps=STEPS, generator=LSTM(128, 256)), Schedule(log_every=1, eval_every=1000)
    fit(recipe, "grammar:5000", out=folder, text=TextSettings(vocab_size=None), schedule=seldom, device="cpu",
        threads=1, progress=False, on_log=look)  # fmt: skip
    if at:
        steps = list(zip(at[WARM:-2], at[WARM + 1 : -1], strict=True))  # the last one evaluates, too
        wall, busy = (statistics.median(1000 * (b[i] - a[i]) for a, b in steps) for i in (0, 1))
        print(json.dumps({"wall_ms": wall, "processor_ms": busy, "load": os.getloadavg()[0]}))


def main() -> None:
    from textgan.text import write_json

    found: dict[str, Any] = {"command": "python benchmarks/processes.py", "commit": commit(), "cores": os.cpu_count()}
    for processes in (1, 2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        with tempfile.TemporaryDirectory() as folder:
            command = [*torchrun, __file__, f"{folder}/run"]
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found[f"{processes}"] = json.loads(out.splitlines()[-1])
        print(processes, found[f"{processes}"], flush=True)
    write_json(RESULTS / "processes.json", found)


if __name__ == "__main__":
    measure(sys.argv[1]) if sys.argv[1:] else main()
