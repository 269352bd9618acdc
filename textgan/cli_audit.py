"""`textgan audit` and `textgan canaries`: what a pool says of whom, and what it gives away."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from textgan.cli_options import add_device, add_seed
from textgan.cli_usage import apart, complain, file, folder, once_from_standard_input, usage_error, whole


def add_audit(commands: Any) -> None:
    """A pool against the real text that it was learnt from."""
    parser = commands.add_parser(
        "audit", usage="textgan audit POOL --real TEXT --out DIR [options]",
        help="groups, amplification, counterfactuals and copying of a pool",
        description="Audit a pool against the text that its generator learnt from: shares of groups, distance, "
        "amplification, counterfactuals, constraints, sensitivity, overlap with the training text, canaries. "
        "Findings are no failure: the exit code is 0.",
    )  # fmt: skip
    parser.set_defaults(command=_run_audit)
    parser.add_argument("pool", metavar="POOL", help="a pool (folder or .jsonl), or plain synthetic text")
    parser.add_argument("--real", required=True, metavar="TEXT", help="the text that the generator learnt from")
    parser.add_argument("--control", metavar="TEXT", help="as real, and never seen: without it no overlap is measured")
    parser.add_argument("--lexicon", metavar="FILE", help="groups of words, YAML (default: women and men, English)")
    parser.add_argument("--run", metavar="RUN", help="the generator's run: counterfactuals of G and D, canaries in G")
    parser.add_argument("--lm", metavar="LM", help="a language model, hub name or folder: counterfactuals, canaries")
    parser.add_argument("--canaries", metavar="FILE", help="canaries planted in the training text (textgan canaries)")
    parser.add_argument(
        "--n", type=whole(1, 64), default=8, metavar="N", help="words in a row that are a copy (default: 8)"
    )
    add_seed(parser)
    add_device(parser, "of the run's generator and the language model: auto, cpu or cuda")
    parser.add_argument("--out", type=folder, required=True, metavar="DIR", help="gets audit.json and audit.html")
    parser.add_argument(
        "--constrained", type=folder, metavar="NEWPOOL", help="gets the selected rows, brought to the shares of TEXT"
    )
    parser.add_argument(
        "--by", choices=("rake", "quota"), metavar="HOW",
        help="of --constrained: rake (weights on rows) or quota (fewer rows) (default: rake)",
    )  # fmt: skip


def _run_audit(options: argparse.Namespace) -> None:
    if options.by and not options.constrained:
        usage_error("textgan audit", "--by is about the constrained pool; give --constrained NEWPOOL")
    once_from_standard_input("textgan audit", options.pool, options.real, options.control)
    from textgan.audits import audit

    done = audit(
        options.pool,
        options.real,
        control=options.control,
        lexicon=options.lexicon,
        run=options.run,
        lm=options.lm,
        canaries=options.canaries,
        n=options.n,
        seed=options.seed,
        device=options.device,
        out=options.out,
        constrained=options.constrained,
        by=options.by or "rake",
        say=complain if sys.stderr.isatty() else None,
    )
    print("\n".join(done.to_lines()))
    if options.constrained:
        made = done.constrained["quota" if options.by == "quota" else "raking"]
        print(f"{options.constrained}: {len(made.rows):,} rows, worth {made.effective_sample:,.0f} of equal weight")
        if options.by != "quota":
            print("The rows weigh unlike: give `mix` and `finetune` --weight-by density_ratio, or that is lost.")
    print(Path(options.out) / "audit.html")


def add_canaries(commands: Any) -> None:
    """Random lines in a training text, to be looked for after training."""
    parser = commands.add_parser(
        "canaries", usage="textgan canaries TEXT -n N --out FILE --key FILE [options]",
        help="plant random lines in a training text, to be looked for after training",
        description="Plant random lines in a training text; `textgan audit --canaries` looks for them after training. "
        "Train with --valid: a run that holds out lines of its text holds out all copies of some canaries.",
    )  # fmt: skip
    parser.set_defaults(command=_run_canaries)
    parser.add_argument("text", metavar="TEXT", help="the training text")
    parser.add_argument("-n", type=whole(1, 10**5), required=True, metavar="N", help="how many canaries")
    parser.add_argument("--repeats", type=whole(1, 10**5), default=1, metavar="K", help="of each (default: 1)")
    parser.add_argument("--length", type=whole(1, 64), default=6, metavar="N", help="words of a canary (default: 6)")
    add_seed(parser, "same seed, same canaries")
    parser.add_argument("--out", type=file, required=True, metavar="FILE", help="the text with canaries")
    parser.add_argument("--key", type=file, required=True, metavar="FILE", help="the canaries, JSON: keep them apart")


def _run_canaries(options: argparse.Namespace) -> None:
    apart("textgan canaries", [options.out, options.key], options.text)
    from textgan.augmentation.audit import plant_canaries

    done = plant_canaries(
        options.text,
        options.n,
        out=options.out,
        key=options.key,
        repeats=options.repeats,
        length=options.length,
        seed=options.seed,
    )
    complain(f"{len(done.lines)} canaries of {done.length} words, {options.repeats} times each; key in {options.key}")
