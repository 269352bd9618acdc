"""The commands but `train`: their options, and the one library call that each of them is."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from textgan import __version__
from textgan.cli_audit import add_audit, add_canaries
from textgan.cli_compare import add_compare, add_sweep
from textgan.cli_experiment import add_experiment
from textgan.cli_lm import add_finetune, add_loop, add_mix, add_pairs
from textgan.cli_options import (
    add_device,
    add_drawing,
    add_errors,
    add_json,
    add_metrics,
    add_prompts,
    add_reference,
    add_seed,
    add_sentence_encoder,
    add_temperature,
    add_threads,
    add_tokenise,
    add_writing,
    command,
)
from textgan.cli_pool import add_generate, add_select, add_verify
from textgan.cli_rate import add_rate
from textgan.cli_usage import Parser, apart, count, file, folder, once_from_standard_input, own_files, read_prompts
from textgan.errors import InputError
from textgan.readable import columns

ABOUT = """\
Text-native GANs: train them, sample from them, measure their text, and see what it does to a language model.
A text is a file with one sentence a line, - for standard input, or grammar:N for N sentences of the built-in corpus."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `options.command(options)` runs the chosen one."""
    parser = Parser(prog="textgan", usage="textgan COMMAND ...", description=ABOUT)
    parser.add_argument("--version", action="version", version=f"textgan {__version__}", help="show the version")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser, prog="textgan"
    )
    commands.add_parser("train", help="train a recipe on a text; `textgan train --help` names them", add_help=False)
    for add in (
        _recipes, _sample, _fill, add_generate, add_verify, add_select, _evaluate, add_compare, add_sweep, _split,
        add_mix, add_pairs, add_finetune, add_loop, add_experiment, add_audit, add_canaries, add_rate, _report,
        _quickstart, _selftest,
    ):  # fmt: skip
        add(commands)
    return parser


def _recipes(commands: Any) -> None:
    parser = command(
        commands, _run_recipes, "recipes", "[options]", "list the recipes: paper, bridge, opponent, presets"
    )
    parser.add_argument("--markdown", action="store_true", help="as the table of README.md")


def _run_recipes(options: argparse.Namespace) -> None:
    from textgan.recipes import catalogue

    found = catalogue()
    if options.markdown:
        print("| recipe | paper | bridge across the discrete step | opponent | presets |\n|---|---|---|---|---|")
        for row in found:
            presets = ", ".join(f"`{name}`" for name in filter(None, row["presets"].split(", "))) or "-"
            print(f"| `{row['recipe']}` | {row['paper']} | {row['bridge']} | {row['opponent']} | {presets} |")
        return
    table = [list(found[0]), *(list(row.values()) for row in found)]
    print("\n".join(columns(table)))


def _selftest(commands: Any) -> None:
    parser = command(
        commands, _run_selftest, "selftest", "RECIPE [options]", "say whether a recipe learns a trivial pattern",
        "Say whether a recipe learns a trivial pattern from D alone, beside the same game with D's word made constant "
        "and with a D that never learns. Exit code 1 where that is not shown.",
    )  # fmt: skip
    parser.add_argument("recipe", metavar="RECIPE", help="its name, as `textgan recipes` has it")
    add_seed(parser, "the first of five; played is the first at which a D that never learns teaches G nothing")


def _run_selftest(options: argparse.Namespace) -> None:
    from textgan.selftest import selftest

    done = selftest(options.recipe, seed=options.seed)
    print(done)
    if not done.passed:
        raise SystemExit(1)


def _sample(commands: Any) -> None:
    parser = command(commands, _run_sample, "sample", "RUN -n N [options]", "write sentences of a trained run")
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    parser.add_argument("-n", type=count, required=True, metavar="N", help="how many sentences")
    add_drawing(parser)
    add_seed(parser)
    add_threads(parser, "by the size of the net")
    add_writing(parser)
    add_prompts(parser)
    parser.add_argument(
        "--format", choices=("text", "jsonl"), default="text", metavar="HOW",
        help="text, or jsonl: rows with their provenance (default: text)",
    )  # fmt: skip
    parser.add_argument("--out", type=file, default="-", metavar="FILE", help="default: standard output")


def _run_sample(options: argparse.Namespace) -> None:
    from textgan import machine
    from textgan.augmentation import write_pool
    from textgan.progress import counted
    from textgan.runs import Run
    from textgan.text import write_lines

    apart("textgan sample", [options.out], options.prompts, *own_files(options.run))
    run = Run.open(options.run, device=options.device, precision=options.precision)
    prompts = read_prompts(options.prompts).lines if options.prompts else []
    chosen = {name: getattr(options, name) for name in ("seed", "temperature", "top_p", "label")} | {"prompts": prompts}
    with machine.threads(options.threads), machine.together() as share:
        if share.rank > 0:  # the first process writes what all have drawn
            list(run.stream_text(options.n, **chosen))
        elif options.format == "text":
            write_lines(options.out, counted(run.stream_text(options.n, **chosen), options.n, "sentences"))
        else:
            write_pool(counted(run.pool_rows(options.n, **chosen), options.n, "sentences"), options.out)


def _fill(commands: Any) -> None:
    parser = command(
        commands, _run_fill, "fill", "RUN TEXT [options]", "fill holes in lines by a run of maskgan",
        "Fill the holes in lines by a run whose generator reads the text around them (maskgan). Each ___ is a word.",
    )  # fmt: skip
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    parser.add_argument("text", metavar="TEXT", help="lines with holes")
    parser.add_argument("-n", type=count, default=1, metavar="N", help="how often each line is filled (default: 1)")
    add_temperature(parser)
    add_seed(parser)
    add_device(parser, "auto, cpu or cuda; a seed gives the same bytes everywhere on the CPU alone", "cpu")
    add_errors(parser)
    parser.add_argument("--out", type=file, default="-", metavar="FILE", help="default: standard output")


def _run_fill(options: argparse.Namespace) -> None:
    from textgan.filling import fill
    from textgan.runs import Run
    from textgan.text import read_lines, write_lines

    apart("textgan fill", [options.out], options.text, *own_files(options.run))
    run = Run.open(options.run, device=options.device)
    lines = read_lines(options.text, errors=options.encoding_errors)
    chosen = {name: getattr(options, name) for name in ("n", "seed", "temperature", "top_p")}
    write_lines(options.out, fill(run, lines, **chosen))


def _evaluate(commands: Any) -> None:
    parser = command(
        commands, _run_evaluate, "evaluate", "TEXT --reference REF [options]",
        "score a text beside real held-out text at the same n",
    )  # fmt: skip
    parser.add_argument("text", metavar="TEXT", help="the text to score")
    add_reference(parser)
    parser.add_argument("--n", type=count, metavar="N", help="sentences drawn from each (default: the smaller text)")
    parser.add_argument(
        "--references", type=count, metavar="N", help="compare with so many drawn lines of REF and TRAIN (default: all)"
    )
    add_seed(parser)
    add_metrics(parser)
    add_tokenise(parser)
    add_sentence_encoder(parser)
    add_threads(parser, "torch's choice; the encoder alone uses them")
    parser.add_argument(
        "--protocol", default="default", metavar="NAME",
        help="count as texygen, textgan-pytorch, relgan or gansfallingshort did, faults included",
    )  # fmt: skip
    add_errors(parser)
    add_json(parser)
    for word, what in (("csv", "a CSV"), ("html", "an HTML"), ("tex", "a LaTeX")):
        parser.add_argument(f"--{word}", type=file, metavar="FILE", help=f"write {what} table there")


def _run_evaluate(options: argparse.Namespace) -> None:
    once_from_standard_input("textgan evaluate", options.text, options.reference, options.train)
    outputs = (options.json, options.csv, options.html, options.tex)
    apart("textgan evaluate", outputs, options.text, options.reference, options.train)
    from textgan.evaluation import evaluate
    from textgan.text import read_text, write_json, write_lines

    with _encoder_threads(options):
        done = evaluate(
            read_text(options.text, errors=options.encoding_errors),
            read_text(options.reference, errors=options.encoding_errors),
            train=None if options.train is None else read_text(options.train, errors=options.encoding_errors),
            n=options.n,
            references=options.references,
            seed=options.seed,
            metrics=options.metrics,
            tokenise=options.tokenise,
            encoder=options.encoder,
            protocol=options.protocol,
            progress=_say if sys.stderr.isatty() else None,
        )
    if "-" not in outputs:
        print(done.to_table())
    if options.json:
        write_json(options.json, done.to_json())
    for path, text in ((options.csv, done.to_csv), (options.html, done.to_html), (options.tex, done.to_tex)):
        if path:
            write_lines(path, text().rstrip("\n").split("\n"))


def _encoder_threads(options: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    if options.encoder is None:  # torch is not loaded
        return contextlib.nullcontext()
    from textgan import machine

    return machine.threads(options.threads)


def _split(commands: Any) -> None:
    parser = command(
        commands, _run_split, "split", "FILE... --parts NAME=SHARE,... --out DIR [options]",
        "divide text into parts that share no duplicate and no near-duplicate",
    )  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="texts, taken together")
    parser.add_argument(
        "--parts", required=True, type=_parts, metavar="NAME=SHARE,...",
        help="such as train=.8,valid=.1,test=.1, or numbers of lines",
    )  # fmt: skip
    add_seed(parser)
    add_errors(parser)
    parser.add_argument(
        "--out", type=folder, required=True, metavar="DIR", help="gets NAME.txt for each part, and split.json"
    )


def _parts(text: str) -> dict[str, float]:
    """The type of --parts; whether the shares make sense is for `split` to say."""
    parts: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = item.strip().partition("=")
        try:
            if name in parts:
                raise ValueError
            parts[name] = float(share)
        except ValueError:
            twice = f"{name!r} comes twice" if name in parts else f"{item.strip()!r} is not NAME=SHARE"
            raise argparse.ArgumentTypeError(f"{twice}; give, say, train=.8,valid=.1,test=.1") from None
    return parts


def _run_split(options: argparse.Namespace) -> None:
    once_from_standard_input("textgan split", *options.files)
    from textgan.text import make_folder, read_text, split, write_json, write_lines

    texts = [read_text(name, errors=options.encoding_errors) for name in options.files]
    done = split(texts, options.parts, seed=options.seed)
    about: dict[str, Any] = {
        "sources": [{"name": text.name, "sha256": text.sha256, "lines": len(text.lines)} for text in texts],
        "parts": {name: len(lines) for name, lines in done.parts.items()},
        "seed": options.seed,
        "found": done.report._asdict(),
    }
    out = make_folder(options.out)
    _refuse_other_split(out, about)
    for name, lines in done.parts.items():
        write_lines(out / f"{name}.txt", lines)
    write_json(out / "split.json", about)
    sizes = ", ".join(f"{name} {len(lines)}" for name, lines in done.parts.items())
    read, duplicates, clusters, *_ = done.report
    _say(f"{read} lines, {duplicates} duplicates dropped, {clusters} clusters of near-duplicates: {sizes}")


def _refuse_other_split(out: Path, about: dict[str, Any]) -> None:
    """Parts of two splits share lines, so a folder holds one. The same split may be made again."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads((out / "split.json").read_text(encoding="utf-8")) == about:
            return
    found = [path.name for path in (out / "split.json", *(out / f"{name}.txt" for name in about["parts"]))]
    if there := next((name for name in found if (out / name).exists()), None):
        raise InputError(f"{out}/{there} is there already, and not of this split; give another --out")


def _report(commands: Any) -> None:
    parser = command(
        commands, _run_report, "report", "RUN... --out FILE.html", "write one HTML page about one or several runs"
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--out", type=file, required=True, metavar="FILE.html", help="- is standard output")


def _run_report(options: argparse.Namespace) -> None:
    from textgan.report import report

    page = report(options.runs, options.out)
    if options.out != "-":
        print(page)


def _quickstart(commands: Any) -> None:
    parser = command(
        commands, _run_quickstart, "quickstart", "[options]",
        "the whole path on the built-in corpus, in some minutes, with a report",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=folder, default="quickstart-run", metavar="DIR", help="a new folder (default: quickstart-run)"
    )
    add_seed(parser)


def _run_quickstart(options: argparse.Namespace) -> None:
    from textgan.quickstart import quickstart

    print(quickstart(options.out, seed=options.seed, say=_say))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
