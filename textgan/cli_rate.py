"""`textgan rate make | power | score`: blind pairs of sentences for people, and what their answers say."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from textgan.cli_options import add_json, add_seed, command
from textgan.cli_usage import Parser, count, folder, number, once_from_standard_input, whole


def add_rate(commands: Any) -> None:
    """Three commands under one word."""
    about = "blind rating sheets for people: make them, plan them, score them"
    parser = commands.add_parser("rate", usage="textgan rate make|power|score ...", help=about, description=about)
    below = parser.add_subparsers(metavar="WHAT", required=True, parser_class=Parser, prog="textgan rate")
    _make(below)
    _power(below)
    _score(below)


def _make(commands: Any) -> None:
    parser = command(
        commands, _run_make, "make", "A B -n N --out DIR [options]",
        "draw blind pairs",
        "Draw blind pairs of a line of A and a line of B. DIR/for-raters is for the raters: a page, a CSV, "
        "Label Studio's tasks. DIR/key.json stays with you.", under="textgan rate",
    )  # fmt: skip
    parser.add_argument("a", metavar="A", help="a text, or a pool (.jsonl)")
    parser.add_argument("b", metavar="B", help="the text that it is compared with")
    parser.add_argument("-n", type=count, required=True, metavar="N", help="pairs (textgan rate power says how many)")
    parser.add_argument("--real", metavar="TEXT", help="real text, for control pairs of two real lines")
    parser.add_argument(
        "--attention", type=whole(0, 10**6), metavar="N", help="items that check attention (default: one for ten pairs)"
    )
    parser.add_argument(
        "--controls", type=whole(0, 10**6), metavar="N", help="control pairs (default: one for ten pairs, with --real)"
    )
    parser.add_argument("--question", metavar="TEXT", help="what the raters are asked")
    add_seed(parser, "same seed, same sheet")
    parser.add_argument("--out", type=folder, required=True, metavar="DIR", help="gets for-raters/ and key.json")


def _run_make(options: argparse.Namespace) -> None:
    once_from_standard_input("textgan rate make", options.a, options.b, options.real)
    from textgan.augmentation.rating import make
    from textgan.augmentation.rating.sheets import KEY, QUESTION, RATERS

    sheet = make(
        options.a,
        options.b,
        n=options.n,
        out=options.out,
        real=options.real,
        seed=options.seed,
        attention=options.attention,
        controls=options.controls,
        question=options.question or QUESTION,
    )
    kinds = [facts["kind"] for facts in sheet.key.values()]
    more = f"{kinds.count('attention')} attention items, {kinds.count('control')} controls"
    print(f"{options.n} pairs, {more}: {Path(options.out) / RATERS} for the raters, {Path(options.out) / KEY} for you")


def _power(commands: Any) -> None:
    parser = command(
        commands, _run_power, "power", "--pref P [options]",
        "how many pairs a preference needs",
        "How many rated pairs find a preference by the exact two-sided sign test, pairs rated as equal not "
        "counted.", under="textgan rate",
    )  # fmt: skip
    parser.add_argument(
        "--pref", type=number(0.505, 0.995), required=True, metavar="P", help="the true preference, such as .6"
    )
    parser.add_argument(
        "--level", type=number(1e-6, 0.4999), default=0.05, metavar="X", help="of the test (default: .05)"
    )
    parser.add_argument("--chance", type=number(0.5, 0.9999), default=0.8, metavar="X", help="to find it (default: .8)")


def _run_power(options: argparse.Namespace) -> None:
    from textgan.augmentation.rating import power

    print(power(options.pref, level=options.level, chance=options.chance))


def _score(commands: Any) -> None:
    parser = command(
        commands, _run_score, "score", "DIR SHEET... [options]",
        "score filled sheets",
        "Score filled sheets with the key in DIR: win rate, sign test, agreement.", under="textgan rate",
    )  # fmt: skip
    parser.add_argument("folder", metavar="DIR", help="the folder that `textgan rate make` has written")
    parser.add_argument(
        "sheets", nargs="+", metavar="SHEET", help="filled sheets: CSV, or JSON of the page or Label Studio"
    )
    parser.add_argument(
        "--failed", type=number(0, 1), default=0.25, metavar="X",
        help="leave raters out who fail more of the attention items (default: .25)",
    )  # fmt: skip
    add_seed(parser, "of the bootstrap")
    add_json(parser)


def _run_score(options: argparse.Namespace) -> None:
    from textgan.augmentation.rating import score
    from textgan.text import write_json

    done = score(options.folder, options.sheets, seed=options.seed, failed=options.failed)
    if options.json != "-":
        print("\n".join(done.to_lines()))
    if options.json:
        write_json(options.json, done.to_json())
