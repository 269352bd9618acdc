"""`textgan generate` and `textgan verify`: pools as folders that can be checked."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from textgan.cli_usage import MOST_THREADS, complain, folder, number, seed, whole

MOST = 10**9  # sentences of a pool; they are never all in memory


def add_generate(commands: Any) -> None:
    """A run writes a pool."""
    parser = commands.add_parser(
        "generate", usage="textgan generate RUN -n N --out POOL [options]",
        help="write a pool of a trained run's sentences, of any size",
        description="Write a pool of a trained run's sentences: a folder of rows with their provenance, a data card "
        "and a MANIFEST. Broken off, the same command goes on; under torchrun, all processes write.",
    )  # fmt: skip
    parser.set_defaults(command=_run_generate)
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    parser.add_argument("-n", type=whole(1, MOST), required=True, metavar="N", help="how many sentences")
    parser.add_argument("--out", type=folder, required=True, metavar="POOL", help="a new folder, or one to go on with")
    parser.add_argument(
        "--temperature", type=number(1e-3, 1e3), default=1.0, metavar="T",
        help="below 1 safer text, above 1 more varied text (default: 1, the model itself)",
    )  # fmt: skip
    parser.add_argument("--label", metavar="X", help="the class of all sentences, in a run with classes")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same bytes (default: 0)")
    parser.add_argument(
        "--threads", type=whole(1, MOST_THREADS), metavar="N",
        help="processor threads (default: by the size of the net)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("jsonl", "parquet"), default="jsonl", metavar="HOW",
        help="jsonl or parquet (default: jsonl)",
    )  # fmt: skip
    parser.add_argument("--licence", metavar="NAME", help="licence of the training text, for the data card")


def _run_generate(options: argparse.Namespace) -> None:
    from textgan import machine
    from textgan.pools import generate

    with machine.threads(options.threads), machine.together() as share:
        done = generate(
            options.run,
            options.n,
            options.out,
            seed=options.seed,
            temperature=options.temperature,
            label=options.label,
            form=options.format,
            licence=options.licence,
            progress=complain if sys.stderr.isatty() else None,
        )
    if share.rank == 0:
        complain(f"{options.out}: {done.rows:,} sentences, {done.blank:,} of them blank")


def add_verify(commands: Any) -> None:
    """A pool against its MANIFEST."""
    parser = commands.add_parser(
        "verify", usage="textgan verify POOL",
        help="check a pool's files against its MANIFEST",
        description="Check a pool's files against its MANIFEST: one line for each that differs, exit code 1.",
    )  # fmt: skip
    parser.set_defaults(command=_run_verify)
    parser.add_argument("pool", metavar="POOL", help="folder of a pool")


def _run_verify(options: argparse.Namespace) -> None:
    from textgan.augmentation.folder import verify_pool

    wrong = verify_pool(options.pool)
    for line in wrong:
        complain(f"{options.pool}/{line}")
    if wrong:
        raise SystemExit(1)
    print(f"{options.pool}: sound")
