"""`textgan experiment`: the augmentation laboratory from its configuration to its report."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from textgan.cli_options import command
from textgan.cli_usage import complain, folder, whole


def add_experiment(commands: Any) -> None:
    """CONFIG --out DIR."""
    parser = command(
        commands, _run_experiment, "experiment", "CONFIG --out DIR [options]",
        "say whether generated text makes a language model better, under controls",
        "Say whether generated text makes a language model better: every arm, every seed, the test text "
        "opened once. It may be killed and started again; what is done is not done again.",
    )  # fmt: skip
    parser.add_argument("config", metavar="CONFIG", help="YAML file; benchmarks/augmentation/ has examples")
    parser.add_argument("--out", type=folder, required=True, metavar="DIR", help="folder of the experiment")
    parser.add_argument("--workers", type=whole(1, 4096), default=1, metavar="N", help="jobs at a time (default: 1)")
    parser.add_argument(
        "--backend", choices=("loky", "dask", "ray"), default="loky", help="who runs them (default: loky)"
    )
    parser.add_argument("--address", metavar="HOST:PORT", help="of a Dask scheduler")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="freeze, and print a command a job for a batch scheduler")
    only.add_argument("--job", metavar="NAME", help="do this job alone, here")
    only.add_argument("--report", action="store_true", help="write the report of what is there, also while it runs")
    only.add_argument(
        "--sealed", action="store_true",
        help="train every arm and leave the test text unopened; the report on the validation text is one to choose by",
    )  # fmt: skip


def _run_experiment(options: argparse.Namespace) -> None:
    from textgan.laboratory import running
    from textgan.laboratory.page import unsaid
    from textgan.laboratory.study import read_study

    if options.list or options.job:
        running.freeze(read_study(options.config), options.out)
    if options.list:
        command = shlex.join(["textgan", "experiment", options.config, "--out", options.out])
        print("\n".join(f"{command} --job {shlex.quote(job.name)}" for job in running.all_jobs(options.out)))
        return
    if options.job:
        name, state = running.one_job(options.out, options.job)
        print(f"{name}: {state}")
        if state != "done":
            raise SystemExit(1)
        return
    if options.report:
        report = running.write_report(options.out, options.config)
    else:
        how = {key: getattr(options, key) for key in ("workers", "backend", "address", "sealed")}
        report = running.run_study(options.config, options.out, progress=complain, **how)
    for line in [*(report.said or report.so_far or [unsaid(report.rows)]), *report.noted]:
        print(line)
    if report.failed:
        sys.stderr.write(f"{len(report.failed)} jobs failed; {options.out}/report.html says why\n")
    print(f"{options.out}/report.html and {options.out}/results.jsonl; configuration {report.hash}")
