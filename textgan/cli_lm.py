"""`textgan mix`, `pairs`, `finetune`, `loop`: real and synthetic lines, and what they make of a language model."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from textgan.cli_options import (
    add_device,
    add_errors,
    add_json,
    add_out_file,
    add_precision,
    add_real_and_pool,
    add_seed,
    add_threads,
    command,
    progress,
)
from textgan.cli_usage import (
    MOST_THREADS,
    apart,
    complain,
    folder,
    number,
    once_from_standard_input,
    usage_error,
    whole,
)
from textgan.errors import InputError

RATIO = "synthetic lines for each real line"
PLAN = ("schedule", "regime", "weight_by")


def _add_plan(parser: Any) -> None:
    """The words of a MixPlan; None where nothing was said."""
    parser.add_argument(
        "--schedule", choices=("mixed", "two_stage", "anneal"), metavar="HOW",
        help="mixed, two_stage (synthetic first, then real only) or anneal (its share falls to 0) (default: mixed)",
    )  # fmt: skip
    parser.add_argument(
        "--regime", choices=("accumulate", "replace", "accumulate_subsample"), metavar="HOW",
        help="accumulate (synthetic lines are added), replace (they take the place of real ones) or "
        "accumulate_subsample (as many lines as are real, drawn from both) (default: accumulate)",
    )  # fmt: skip
    parser.add_argument(
        "--weight-by", choices=("none", "density_ratio"), metavar="HOW",
        help="none, or density_ratio: a synthetic line counts its row's weight (default: none)",
    )  # fmt: skip


def _blend(options: argparse.Namespace, real: Any, tokens: int | None = None) -> Any:
    """The mixture that the options ask for."""
    from textgan.augmentation import MixPlan, blend

    chosen = {name: getattr(options, name) for name in PLAN if getattr(options, name)}
    plan = MixPlan(options.ratio, options.seed, tokens, **chosen)
    pool = _pool(options, weights=plan.weight_by != "none")
    mixture = blend(real, pool, plan)
    if plan.weight_by == "none" and _weighed(options.pool if options.pool.endswith(".jsonl") else pool):
        complain(f"warning: {options.pool}: its rows weigh unlike, and each counts 1; use --weight-by density_ratio")
    return mixture


def _pool(options: argparse.Namespace, *, weights: bool = False) -> Any:
    """The pool, as `blend` and `pairs` take it, read as --encoding-errors says."""
    from textgan.augmentation.folder import has_rows
    from textgan.text import read_text
    from textgan.text.rows import ALL

    if has_rows(options.pool) or (weights and options.pool.endswith(".jsonl")):
        return options.pool
    return read_text(options.pool, errors=options.encoding_errors, rows=ALL)


def _weighed(pool: Any) -> Any:
    """The pool's texts with their weights; None where all weigh alike, and for rows that had to be mended."""
    from textgan.augmentation.mix import weighed

    with contextlib.suppress(InputError):
        return weighed(pool)
    return None


def add_mix(commands: Any) -> None:
    """REAL POOL --ratio R --out FILE."""
    parser = command(
        commands, _run_mix, "mix", "REAL POOL --ratio R --out FILE [options]",
        "blend real lines with synthetic ones",
        "Blend real lines with synthetic ones. The order of the lines is the schedule's; a FILE.jsonl gets "
        "rows that say which line is real and what it counts.",
    )  # fmt: skip
    add_real_and_pool(parser)
    parser.add_argument("--ratio", type=number(0, 1e6), required=True, metavar="R", help=RATIO)
    parser.add_argument("--tokens", type=whole(1, 10**12), metavar="N", help="at most so many words in all")
    _add_plan(parser)
    add_seed(parser)
    add_errors(parser)
    add_out_file(parser)


def _run_mix(options: argparse.Namespace) -> None:
    once_from_standard_input("textgan mix", options.real, options.pool)
    apart("textgan mix", [options.out], options.real, options.pool)
    rows = options.out.endswith(".jsonl")
    if options.weight_by not in (None, "none") and not rows:
        usage_error("textgan mix", "--weight-by: plain lines hold no weights; give --out FILE.jsonl")
    from textgan.augmentation import write_pool
    from textgan.text import read_text, write_lines

    mixture = _blend(options, read_text(options.real, errors=options.encoding_errors), options.tokens)
    if rows:
        write_pool(mixture.rows(), options.out)
    else:
        write_lines(options.out, mixture.lines)


def add_pairs(commands: Any) -> None:
    """REAL POOL --out FILE."""
    parser = command(
        commands, _run_pairs, "pairs", "REAL POOL --out FILE [options]",
        "write real and generated texts as a preference set",
        "Write real (chosen) and generated (rejected) texts as a preference set: JSON lines with prompt, "
        "chosen and rejected, as trainers by preference read them.",
    )  # fmt: skip
    add_real_and_pool(parser)
    parser.add_argument("--n", type=whole(1, 10**9), metavar="N", help="at most so many pairs (default: all)")
    parser.add_argument(
        "--prefix", type=whole(0, 1000), default=0, metavar="K",
        help="words that both begin with, which become the prompt (default: 0)",
    )  # fmt: skip
    add_seed(parser)
    add_errors(parser)
    add_out_file(parser)


def _run_pairs(options: argparse.Namespace) -> None:
    once_from_standard_input("textgan pairs", options.real, options.pool)
    apart("textgan pairs", [options.out], options.real, options.pool)
    from textgan.augmentation import write_pairs
    from textgan.text import read_text

    real, pool = read_text(options.real, errors=options.encoding_errors), _pool(options)
    chosen = {"n": options.n, "prefix": options.prefix, "seed": options.seed}
    complain(f"{write_pairs(real, pool, options.out, **chosen):,} pairs")


def add_finetune(commands: Any) -> None:
    """LM TEXT --valid VALID --out DIR."""
    parser = command(
        commands, _run_finetune, "finetune", "LM TEXT --valid VALID --out DIR [options]",
        "fine-tune a causal language model and measure it",
        "Fine-tune a causal language model and measure it. With --pool the text is mixed with synthetic "
        "lines; whatever the schedule, a step is a fixed number of predicted tokens.",
    )  # fmt: skip
    parser.add_argument("lm", metavar="LM", help='hub name, local folder, .gguf file, or "small" (small:LAYERSxWIDTH)')
    parser.add_argument("text", metavar="TEXT", help="training text")
    parser.add_argument("--valid", required=True, metavar="VALID", help="held-out text that chooses the weights")
    parser.add_argument(
        "--out", type=folder, required=True, metavar="DIR", help="gets the model as a Hugging Face folder"
    )
    parser.add_argument("--test", metavar="TEST", help="held-out text to measure on (default: VALID)")
    parser.add_argument("--pool", metavar="POOL", help="synthetic text to mix in: a pool (folder or file) or lines")
    parser.add_argument("--ratio", type=number(0, 1e6), metavar="R", help=f"{RATIO} (default: 1)")
    _add_plan(parser)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--steps", type=whole(1, 10**9), metavar="N", help="optimiser steps (default: three passes over the text)"
    )
    budget.add_argument("--tokens", type=whole(1, 10**15), metavar="N", help="so many predicted tokens, in whole steps")
    budget.add_argument("--real-passes", type=number(1e-6, 1e6), metavar="X", help="each real line so many times")
    parser.add_argument(
        "--lr", type=number(1e-9, 10), metavar="X",
        help="learning rate (default: 5e-5; 1e-3 for a small model, 2e-4 for LoRA)",
    )  # fmt: skip
    parser.add_argument("--lora", type=whole(1, 4096), metavar="RANK", help="train adapters of this rank; needs peft")
    parser.add_argument(
        "--base-text", metavar="FILE", help="what a small model is pre-trained on (default: TEXT without POOL)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with what was stopped in DIR, exactly")
    parser.add_argument(
        "--save-every", type=whole(1, 10**9), metavar="N", help="steps between checkpoints (default: one a minute)"
    )
    add_seed(parser)
    add_errors(parser)
    add_threads(parser, "torch's choice, 1 for a small model")
    add_device(parser)
    add_precision(parser, "steps in bfloat16, figures in float32")
    add_json(parser)


def _run_finetune(options: argparse.Namespace) -> None:
    given = {name: getattr(options, name) for name in ("text", "valid", "test", "base_text")}
    once_from_standard_input("textgan finetune", *given.values(), options.pool)
    apart("textgan finetune", [options.json], *given.values(), options.pool)
    if options.pool is None:
        for name in (*PLAN, "ratio"):
            if getattr(options, name) is not None:
                flag = name.replace("_", "-")
                usage_error("textgan finetune", f"--{flag} is about synthetic lines; give --pool POOL")
    from textgan import machine
    from textgan.augmentation.folder import has_rows
    from textgan.lm import finetune
    from textgan.text import read_text, write_json

    errors = options.encoding_errors
    texts: dict[str, Any] = {
        name: read_text(source, errors=errors) for name, source in given.items() if source is not None
    }
    text = texts.pop("text")
    if options.pool is not None:
        options.ratio = 1.0 if options.ratio is None else options.ratio
        text = _blend(options, text)
    elif has_rows(options.text) or options.text.endswith(".jsonl"):
        text = _weighed(options.text) or text
    same = (
        "out", "steps", "tokens", "real_passes", "lr", "lora", "seed", "resume", "save_every", "device", "precision"
    )  # fmt: skip
    machine.keep_memory()
    with machine.threads(options.threads), _progress_line() as show:
        done = finetune(
            options.lm, text, **texts, **{name: getattr(options, name) for name in same}, on_progress=show
        )  # fmt: skip
    if options.json != "-":
        print(f"{done.lm}\n{done.measured_on}: {done.nll_per_token:.4f} nats a token, {done.nll_per_byte:.4f} a byte, "
              f"perplexity {done.perplexity:.2f} (step {done.best_step} of {done.steps})")  # fmt: skip
    for name, shared in done.overlap.items():
        if shared:
            complain(f"warning: {shared} lines of the {name} text stand in the training text, too")
    if done.unk_rate > 0.1:
        complain(f"warning: {done.unk_rate:.0%} of the measured tokens are unknown words, which flatters the figures")
    if options.json:
        write_json(options.json, done.to_json())


def add_loop(commands: Any) -> None:
    """TEXT --test TEST --out DIR."""
    parser = command(
        commands, _run_loop, "loop", "TEXT --test TEST --out DIR [options]",
        "let a model learn from its own text for generations, and see whether it collapses",
        "Let a model learn from its own text for generations, replacing the real text or accumulating with "
        "it, and see whether it collapses. Stopped, the same command goes on.",
    )  # fmt: skip
    parser.add_argument("text", metavar="TEXT", help="real text, which the first generation learns from")
    parser.add_argument("--test", required=True, metavar="TEST", help="held-out real text to measure on")
    parser.add_argument("--out", type=folder, required=True, metavar="DIR", help="gets loop.html, loop.json, all text")
    parser.add_argument(
        "--generations", type=whole(1, 1000), default=8, metavar="K", help="after the first (default: 8)"
    )
    parser.add_argument(
        "--regimes", default="replace,accumulate", metavar="NAMES",
        help="of replace, accumulate, accumulate_subsample (default: replace,accumulate)",
    )  # fmt: skip
    parser.add_argument(
        "--lm", default="small:1x64", metavar="LM",
        help="small:LAYERSxWIDTH, trained from scratch (default: small:1x64), or a hub name, local folder or .gguf "
        "file, fine-tuned by each generation",
    )  # fmt: skip
    parser.add_argument("--lora", type=whole(1, 4096), metavar="R", help="fine-tune by adapters of this rank")
    parser.add_argument("--n", type=whole(1, 10**7), metavar="N", help="lines that each writes (default: as TEXT has)")
    parser.add_argument("--steps", type=whole(1, 10**9), default=300, metavar="N", help="of each (default: 300)")
    parser.add_argument(
        "--temperature", type=number(1e-3, 1e3), default=1.0, metavar="T", help="that they write at (default: 1)"
    )
    parser.add_argument("--seeds", type=whole(1, 1000), default=1, metavar="N", help="from 0 on (default: 1)")
    parser.add_argument("--workers", type=whole(1, MOST_THREADS), default=1, metavar="N", help="processes (default: 1)")


def _run_loop(options: argparse.Namespace) -> None:
    once_from_standard_input("textgan loop", options.text, options.test)
    from textgan.loop import loop

    done = loop(
        options.text,
        test=options.test,
        out=options.out,
        generations=options.generations,
        regimes=options.regimes.split(","),
        lm=options.lm,
        lora=options.lora,
        n=options.n,
        steps=options.steps,
        temperature=options.temperature,
        seeds=range(options.seeds),
        workers=options.workers,
        progress=progress(),
    )
    print("\n".join(done["findings"]))


@contextlib.contextmanager
def _progress_line() -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """A line that overwrites itself on a terminal, and is gone at the end."""

    def show(row: dict[str, Any]) -> None:
        shown = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        print(f"\r{shown[:78]:<78}", end="", file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield show
    finally:
        print(f"\r{'':<78}\r", end="", file=sys.stderr, flush=True)
