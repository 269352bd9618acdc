"""The commands; each is one library call of like arguments.

Exit codes: 0 done, 1 failed with one line on standard error, 2 usage, 130 or 143 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from textgan import __version__
from textgan.errors import InputError, Interrupted, NotFinite

ABOUT = """\
Text-native GANs: train them, sample from them, measure their text, and see what it does to a language model.
A text is a file with one sentence a line, "-" for standard input, or grammar:N for N sentences of the built-in corpus."""


class Parser(argparse.ArgumentParser):
    """Usage errors take one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        _fail(f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)", 2)


def _fail(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    raise SystemExit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except (InputError, NotFinite) as error:
        print(f"textgan: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        print(f"textgan: {stop}", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        print("textgan: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of standard output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: list[str]) -> int:
    parser = _parser()
    if arguments[:1] == ["train"]:
        from textgan.cli_train import train

        return train(arguments[1:])
    options = parser.parse_args(arguments)
    options.command(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="textgan", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"textgan {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    commands.add_parser("train", help="train a recipe (mle, seqgan, relgan) on a corpus", add_help=False)
    for add in (_sample, _evaluate, _split, _mix, _finetune, _report, _quickstart):
        add(commands)
    return parser


def _command(commands: Any, run: Callable[[argparse.Namespace], None], name: str, about: str) -> Any:
    parser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    parser.set_defaults(command=run)
    return parser


def _seed(parser: Any) -> None:
    parser.add_argument("--seed", type=int, default=0, help="same seed, same result (default: 0)")


def _errors(parser: Any) -> None:
    parser.add_argument(
        "--encoding-errors", choices=("strict", "replace", "skip"), default="strict",
        help="what to do with a line that is not UTF-8 or holds control characters (default: strict)",
    )  # fmt: skip


def _sample(commands: Any) -> None:
    parser = _command(commands, _run_sample, "sample", "write sentences of a trained run")
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    parser.add_argument("-n", type=int, required=True, metavar="N", help="how many sentences")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="1 is the model (default: 1)")
    _seed(parser)
    parser.add_argument("--format", choices=("text", "jsonl"), default="text", help="lines, or rows with provenance")
    parser.add_argument("--out", default="-", metavar="FILE", help="default: standard output")


def _run_sample(options: argparse.Namespace) -> None:
    from textgan.runs import Run

    run = Run.open(options.run)
    chosen = {"seed": options.seed, "temperature": options.temperature}
    if options.format == "text":
        run.write_text(options.out, options.n, **chosen)
    else:
        from textgan.augmentation import write_pool

        write_pool(run.pool_rows(options.n, **chosen), options.out)


def _evaluate(commands: Any) -> None:
    parser = _command(commands, _run_evaluate, "evaluate", "score a text beside real held-out text at the same n")
    parser.add_argument("text", metavar="TEXT", help="the text to score")
    parser.add_argument("--reference", required=True, metavar="REF", help="real text that was not trained on")
    parser.add_argument("--train", metavar="TRAIN", help="the training text, for novelty and copying")
    parser.add_argument("--n", type=int, metavar="N", help="sentences drawn from each (default: the smaller file)")
    _seed(parser)
    parser.add_argument("--metrics", metavar="NAMES", help="only these, separated by commas (BLEU, self-BLEU-4, ...)")
    parser.add_argument("--protocol", default="default", help="another system's way of counting, faults included")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - is standard output")
    parser.add_argument("--csv", metavar="FILE", help="write a CSV table there")
    parser.add_argument("--html", metavar="FILE", help="write an HTML table there")
    parser.add_argument("--tex", metavar="FILE", help="write a LaTeX table there")


def _run_evaluate(options: argparse.Namespace) -> None:
    from textgan.evaluation import evaluate
    from textgan.text import write_json, write_lines

    done = evaluate(
        options.text,
        options.reference,
        train=options.train,
        n=options.n,
        seed=options.seed,
        metrics=options.metrics,
        protocol=options.protocol,
        progress=_say if sys.stderr.isatty() else None,
    )
    if options.json != "-":
        print(done.to_table())
    if options.json:
        write_json(options.json, done.to_json())
    for path, text in ((options.csv, done.to_csv), (options.html, done.to_html), (options.tex, done.to_tex)):
        if path:
            write_lines(path, text().splitlines())


def _split(commands: Any) -> None:
    parser = _command(
        commands, _run_split, "split", "divide text into parts that share no duplicate and no near-duplicate"
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="texts, taken together")
    parser.add_argument(
        "--parts", required=True, metavar="NAME=SHARE,...", help="such as train=.8,valid=.1,test=.1, or line counts"
    )
    _seed(parser)
    _errors(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="gets NAME.txt for each part, and split.json")


def _parts(text: str) -> dict[str, float]:
    parts = {}
    for item in text.split(","):
        name, equals, share = item.strip().partition("=")
        try:
            if not name.isidentifier() or not equals or name in parts:
                raise ValueError
            parts[name] = float(share)
        except ValueError:
            raise InputError(
                f"--parts {text}: {item.strip()!r} is not NAME=SHARE with a name of its own; give train=.8,test=.2"
            ) from None
    return parts


def _run_split(options: argparse.Namespace) -> None:
    from textgan.text import make_folder, read_text, split, write_json, write_lines

    texts = [read_text(name, errors=options.encoding_errors) for name in options.files]
    done = split(texts, _parts(options.parts), seed=options.seed)
    out = make_folder(options.out)
    for name, lines in done.parts.items():
        write_lines(out / f"{name}.txt", lines)
    write_json(
        out / "split.json",
        {
            "sources": [{"name": text.name, "sha256": text.sha256, "lines": len(text.lines)} for text in texts],
            "parts": {name: len(lines) for name, lines in done.parts.items()},
            "seed": options.seed,
            "found": done.report._asdict(),
        },
    )
    sizes = ", ".join(f"{name} {len(lines)}" for name, lines in done.parts.items())
    found = done.report
    _say(f"{found.lines} lines, {found.duplicates} duplicates dropped, {found.clusters} near-duplicate clusters: {sizes}")


def _mix(commands: Any) -> None:
    parser = _command(commands, _run_mix, "mix", "blend real lines with synthetic ones")
    parser.add_argument("real", metavar="REAL", help="real text")
    parser.add_argument("pool", metavar="POOL", help="synthetic text: a pool (.jsonl) or plain lines")
    parser.add_argument("--ratio", type=float, required=True, metavar="R", help="synthetic lines per real line")
    parser.add_argument("--tokens", type=int, metavar="N", help="at most so many words in all")
    _seed(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="- is standard output")


def _run_mix(options: argparse.Namespace) -> None:
    from textgan.augmentation import mix
    from textgan.text import write_lines

    lines = mix(options.real, options.pool, ratio=options.ratio, seed=options.seed, tokens=options.tokens)
    write_lines(options.out, lines)


def _finetune(commands: Any) -> None:
    parser = _command(commands, _run_finetune, "finetune", "fine-tune a causal language model and measure it")
    parser.add_argument("lm", metavar="LM", help='hub name, local folder, .gguf file, or "small" (small:LAYERSxWIDTH)')
    parser.add_argument("text", metavar="TEXT", help="training text")
    parser.add_argument("--valid", required=True, metavar="VALID", help="held-out text that chooses the weights")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets the model as a Hugging Face folder")
    parser.add_argument("--test", metavar="TEST", help="held-out text to measure on (default: VALID)")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps (default: three passes)")
    parser.add_argument("--lr", type=float, help="learning rate (default: 5e-5, or 1e-3 for a small model made here)")
    parser.add_argument("--base-text", metavar="FILE", help="what a small model is pre-trained on (default: TEXT)")
    _seed(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - is standard output")


def _run_finetune(options: argparse.Namespace) -> None:
    from textgan.lm import finetune
    from textgan.text import write_json

    done = finetune(
        options.lm,
        options.text,
        valid=options.valid,
        out=options.out,
        test=options.test,
        steps=options.steps,
        lr=options.lr,
        base_text=options.base_text,
        seed=options.seed,
        device=options.device,
        on_progress=_show_progress,
    )
    if options.json != "-":
        print(f"{done.lm}\n{done.measured_on}: {done.nll_per_token:.4f} nats a token, {done.nll_per_byte:.4f} a byte, "
              f"perplexity {done.perplexity:.2f} (step {done.best_step} of {done.steps})")  # fmt: skip
    if options.json:
        write_json(options.json, done.to_json())


def _report(commands: Any) -> None:
    parser = _command(commands, _run_report, "report", "write one HTML page about one or several runs")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--out", required=True, metavar="FILE.html")


def _run_report(options: argparse.Namespace) -> None:
    from textgan.report import report

    print(report(options.runs, options.out))


def _quickstart(commands: Any) -> None:
    parser = _command(
        commands, _run_quickstart, "quickstart", "the whole path on the built-in corpus, in some minutes, with a report"
    )
    parser.add_argument("--out", default="quickstart-run", metavar="DIR", help="default: quickstart-run")
    _seed(parser)


def _run_quickstart(options: argparse.Namespace) -> None:
    from textgan.quickstart import quickstart

    page = quickstart(options.out, seed=options.seed, say=_say)
    print(page)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show_progress(row: dict[str, Any]) -> None:
    """One line that overwrites itself on a terminal."""
    if sys.stderr.isatty():
        shown = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        print(f"\r{shown[:110]:<110}", end="", file=sys.stderr, flush=True)
