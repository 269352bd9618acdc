"""The options that several commands have: each has one spelling, one type and one sentence of help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from textgan.cli_usage import DEVICES, MOST_THREADS, PRECISIONS, complain, file, number, seed, whole


def command(
    commands: Any,
    run: Callable[[argparse.Namespace], None],
    name: str,
    usage: str,
    about: str,
    description: str = "",
    *,
    under: str = "textgan",
) -> Any:
    """The parser of a command that `run` carries out; about: its line in the list, and by default its description."""
    parser = commands.add_parser(
        name,
        usage=f"{under} {name} {usage}",
        help=about,
        description=description or about[0].upper() + about[1:] + ".",
    )
    parser.set_defaults(command=run)
    return parser


def progress() -> Callable[[str], None] | None:
    """Lines of progress, where somebody looks on."""
    return complain if sys.stderr.isatty() else None


def add_seed(parser: Any, same: str = "same seed, same result") -> None:
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help=f"{same} (default: 0)")


def add_threads(parser: Any, default: str) -> None:
    parser.add_argument(
        "--threads", type=whole(1, MOST_THREADS), metavar="N", help=f"processor threads (default: {default})"
    )


def add_device(parser: Any, about: str = "auto, cpu or cuda", default: str = "auto") -> None:
    parser.add_argument(
        "--device", choices=DEVICES, default=default, metavar="NAME", help=f"{about} (default: {default})"
    )


def add_precision(parser: Any, about: str) -> None:
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="no", metavar="WORD", help=f"no or bf16: {about} (default: no)"
    )


def add_errors(parser: Any) -> None:
    parser.add_argument(
        "--encoding-errors", choices=("strict", "replace", "skip"), default="strict", metavar="HOW",
        help="strict, replace or skip lines that are not UTF-8 or hold control characters (default: strict)",
    )  # fmt: skip


def add_json(parser: Any) -> None:
    parser.add_argument("--json", type=file, metavar="FILE", help="write the figures there; - is standard output")


def add_out_file(parser: Any) -> None:
    parser.add_argument("--out", type=file, required=True, metavar="FILE", help="- is standard output")


def add_reference(parser: Any, train: str = ", for novelty and copying") -> None:
    """--reference and --train. train: what the training text is for, after its name."""
    parser.add_argument("--reference", required=True, metavar="REF", help="real text that was not trained on")
    parser.add_argument("--train", metavar="TRAIN", help=f"the training text{train}")


def add_metrics(parser: Any) -> None:
    parser.add_argument("--metrics", metavar="NAMES", help="only these: BLEU,self-BLEU-4,... or quick or all")


def add_tokenise(parser: Any) -> None:
    parser.add_argument(
        "--tokenise", choices=("words", "characters"), default="words", metavar="HOW",
        help="words, or characters for text without spaces (default: words)",
    )  # fmt: skip


def add_sentence_encoder(parser: Any) -> None:
    parser.add_argument("--encoder", metavar="DIR", help="local Hugging Face folder that makes sentence vectors")


def add_prompts(parser: Any) -> None:
    parser.add_argument(
        "--prompts", metavar="FILE",
        help="what the sentences begin with, a prompt a line, in turn (default: nothing, or in a run with prompts "
        "those of its training text)",
    )  # fmt: skip


def add_drawing(parser: Any) -> None:
    """--temperature, --top-p and --label: how a run writes."""
    add_temperature(parser)
    parser.add_argument("--label", metavar="X", help="the class of all sentences, in a run with classes")


def add_temperature(parser: Any) -> None:
    """--temperature and --top-p."""
    parser.add_argument(
        "--temperature", type=number(1e-3, 1e3), default=1.0, metavar="T",
        help="below 1 safer text, above 1 more varied text (default: 1, the model itself)",
    )  # fmt: skip
    parser.add_argument(
        "--top-p", type=number(1e-6, 1), default=1.0, metavar="P",
        help="nucleus sampling: only the likeliest words that have this much of the probability (default: 1, all)",
    )  # fmt: skip


def add_writing(parser: Any) -> None:
    """--device and --precision: where and how finely a run computes what it writes."""
    add_device(parser, "auto, cpu or cuda; a seed gives the same bytes everywhere on the CPU alone", "cpu")
    add_precision(parser, "in bfloat16 a large generator is faster, and writes other bytes")


def add_real_and_pool(parser: Any) -> None:
    parser.add_argument("real", metavar="REAL", help="real text")
    parser.add_argument("pool", metavar="POOL", help="synthetic text: a pool (folder or file) or plain lines")


def add_form(parser: Any) -> None:
    """--format and --licence of a pool."""
    parser.add_argument(
        "--format", choices=("jsonl", "parquet"), default="jsonl", metavar="HOW",
        help="jsonl or parquet (default: jsonl)",
    )  # fmt: skip
    parser.add_argument("--licence", metavar="NAME", help="licence of the training text, for the data card")
