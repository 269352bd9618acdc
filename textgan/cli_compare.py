"""`textgan compare` and `textgan sweep`: what the difference of two texts, or of several models, supports."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from textgan.cli_options import (
    add_json,
    add_metrics,
    add_reference,
    add_seed,
    add_sentence_encoder,
    add_tokenise,
    add_writing,
    command,
    progress,
)
from textgan.cli_usage import apart, count, file, once_from_standard_input
from textgan.errors import InputError


def add_compare(commands: Any) -> None:
    """TEXT against TEXT; a text may be several files, one a training run of the same model."""
    parser = command(
        commands, _run_compare, "compare", "A B --reference REF [options]",
        "say what the difference of two texts supports",
        "Say what the difference of two texts supports: intervals, Holm over the metrics, one sentence.",
    )  # fmt: skip
    parser.add_argument("a", metavar="A", help="a text; or several, separated by commas, one a training run")
    parser.add_argument("b", metavar="B", help="the text to compare with it; several likewise")
    add_reference(parser)
    parser.add_argument("--n", type=count, metavar="N", help="sentences drawn from each (default: the smallest text)")
    add_seed(parser, "same seed, same draw")
    add_metrics(parser)
    add_tokenise(parser)
    add_json(parser)


def _run_compare(options: argparse.Namespace) -> None:
    sides = [tuple(side.split(",")) for side in (options.a, options.b)]
    once_from_standard_input("textgan compare", *sides[0], *sides[1], options.reference, options.train)
    apart("textgan compare", [options.json], *sides[0], *sides[1], options.reference, options.train)
    from textgan.comparisons import compare
    from textgan.text import write_json

    done = compare(
        sides[0],
        sides[1],
        options.reference,
        train=options.train,
        n=options.n,
        seed=options.seed,
        metrics=options.metrics,
        tokenise=options.tokenise,
        progress=progress(),
    )
    if options.json != "-":
        print(done.to_table())
    if options.json:
        write_json(options.json, done.to_json())


def add_sweep(commands: Any) -> None:
    """Runs over temperatures."""
    parser = command(
        commands, _run_sweep, "sweep", "RUN... --reference REF [options]",
        "quality against diversity over temperatures, for several runs",
        "Quality against diversity over temperatures. Runs that differ in their seed alone are one model; "
        "each model is compared with the mle one at equal self-BLEU-4.",
    )  # fmt: skip
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs; one of them an mle run")
    add_reference(parser, "; warns where it is unlike the reference")
    parser.add_argument(
        "--temperatures", type=_numbers(1e3), default=None, metavar="T,T,...", help="default: .7,.8,.9,1,1.1,1.2"
    )
    parser.add_argument(
        "--top-p", type=_numbers(1), default=(), metavar="P,P,...",
        help="the mle model once more, cut to these nuclei at temperature 1 (default: not)",
    )  # fmt: skip
    parser.add_argument(
        "--judge", action="append", default=[], metavar="RUN", help="a run whose likelihood also judges"
    )
    add_tokenise(parser)
    add_sentence_encoder(parser)
    parser.add_argument("--n", type=count, metavar="N", help="sentences a point (default: half of REF, 2000 at most)")
    add_seed(parser)
    add_writing(parser)
    add_json(parser)
    parser.add_argument("--html", type=file, metavar="FILE", help="write the fronts as a page there")


def _numbers(most: float) -> Callable[[str], tuple[float, ...]]:
    """The type of numbers above 0 and at most `most`, separated by commas."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"numbers separated by commas were wanted, got {text!r}") from None
        if not all(0 < value <= most for value in values):
            raise argparse.ArgumentTypeError(f"numbers above 0 and at most {most:g} were wanted, got {text!r}")
        return values

    return parse


def _run_sweep(options: argparse.Namespace) -> None:
    from textgan.sweeps import TEMPERATURES, sweep_runs
    from textgan.text import write_json, write_lines

    if len(set(options.temperatures or TEMPERATURES)) < 2:
        raise InputError("--temperatures holds one value; a front needs at least 2")
    apart("textgan sweep", [options.json, options.html], options.reference, options.train)
    done = sweep_runs(
        options.runs,
        options.reference,
        temperatures=options.temperatures or TEMPERATURES,
        top_p=options.top_p,
        train=options.train,
        judges=options.judge,
        tokenise=options.tokenise,
        encoder=options.encoder,
        n=options.n,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        progress=progress(),
    )
    if "-" not in (options.json, options.html):
        print(done.to_table())
    if options.json:
        write_json(options.json, done.to_json())
    if options.html:
        write_lines(options.html, done.to_html().rstrip("\n").split("\n"))
