"""`textgan generate`, `textgan verify` and `textgan select`: pools as folders that can be checked and chosen from."""

from __future__ import annotations

import argparse
from typing import Any

from textgan.cli_options import (
    add_drawing,
    add_form,
    add_prompts,
    add_seed,
    add_threads,
    add_writing,
    command,
    progress,
)
from textgan.cli_usage import complain, folder, number, once_from_standard_input, read_prompts, usage_error, whole

MOST = 10**9  # sentences of a pool; they are never all in memory


def add_generate(commands: Any) -> None:
    """A run writes a pool."""
    parser = command(
        commands, _run_generate, "generate", "RUN -n N --out POOL [options]",
        "write a pool of a trained run's sentences, of any size",
        "Write a pool of a trained run's sentences: a folder of rows with their provenance, a data card "
        "and a MANIFEST. Broken off, the same command goes on; under torchrun, all processes write.",
    )  # fmt: skip
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    parser.add_argument("-n", type=whole(1, MOST), required=True, metavar="N", help="how many sentences")
    parser.add_argument("--out", type=folder, required=True, metavar="POOL", help="a new folder, or one to go on with")
    add_drawing(parser)
    add_prompts(parser)
    add_seed(parser, "same seed, same bytes")
    add_threads(parser, "by the size of the net")
    add_writing(parser)
    add_form(parser)


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
            top_p=options.top_p,
            label=options.label,
            prompts=options.prompts and read_prompts(options.prompts),
            form=options.format,
            licence=options.licence,
            device=options.device,
            precision=options.precision,
            progress=progress(),
        )
    if share.rank == 0:
        unknown = f", {done.unknown:,} with an unknown word (<unk>)" if done.unknown else ""
        complain(f"{options.out}: {done.rows:,} sentences, {done.blank:,} of them blank{unknown}")


def add_verify(commands: Any) -> None:
    """A pool against its MANIFEST."""
    parser = command(
        commands, _run_verify, "verify", "POOL",
        "check a pool's files against its MANIFEST",
        "Check a pool's files against its MANIFEST: one line for each that differs, exit code 1.",
    )  # fmt: skip
    parser.add_argument("pool", metavar="POOL", help="folder of a pool")


def _run_verify(options: argparse.Namespace) -> None:
    from textgan.augmentation.folder import verify_pool

    wrong = verify_pool(options.pool)
    for line in wrong:
        complain(f"{options.pool}/{line}")
    if wrong:
        raise SystemExit(1)
    print(f"{options.pool}: sound")


def add_select(commands: Any) -> None:
    """A pool, filtered and chosen from."""
    parser = command(
        commands, _run_select, "select", "POOL --real TEXT --out POOL2 [options]",
        "filter a pool and choose from it by how real its texts look",
        "Filter a pool and choose from it by how real its texts look to a calibrated discriminator. Every "
        "row is kept in POOL2 with its verdict, rejected ones aside; a second judge says whether the choice helped.",
    )  # fmt: skip
    parser.add_argument("pool", metavar="POOL", help="a pool: folder, .jsonl or .parquet")
    parser.add_argument("--real", required=True, metavar="TEXT", help="real text that the generator has not seen")
    parser.add_argument("--out", type=folder, required=True, metavar="POOL2", help="a new folder")
    how = parser.add_argument_group("the choice")
    how.add_argument(
        "--how", choices=tuple(HOW), default="drs", metavar="NAME",
        help="all, top, threshold, drs (rejection), mh (chains), resample or weights (default: drs)",
    )  # fmt: skip
    how.add_argument("--share", type=number(0, 1), metavar="X", help="top, drs: share that is taken (default: 0.5)")
    how.add_argument("--exact", action="store_true", help="drs: exact rejection, however few it takes")
    how.add_argument("--at", type=number(0, 1e9), metavar="R", help="threshold: least ratio (default: 1)")
    how.add_argument("--steps", type=whole(1, 10**6), metavar="N", help="mh: proposals of a chain (default: 20)")
    how.add_argument("-n", type=whole(1, MOST), metavar="N", help="resample: how many draws")
    how.add_argument("--flatten", type=number(0, 1), metavar="X", help="weights: power of the ratio (default: 0.5)")
    how.add_argument("--high", type=number(1, 1e9), metavar="X", help="weights: most, in means (default: 10)")
    judge = parser.add_argument_group("the discriminator")
    judge.add_argument(
        "--body", choices=("cnn", "encoder", "mean"), metavar="NAME",
        help="cnn, encoder (needs --encoder) or mean of both (default: mean with an encoder, else cnn)",
    )  # fmt: skip
    judge.add_argument(
        "--run", metavar="RUN", help="a finished run whose own D judges, instead of a new one; it may know less"
    )
    judge.add_argument("--encoder", metavar="DIR", help="local Hugging Face folder of a sentence encoder")
    judge.add_argument("--folds", type=whole(2, 100), metavar="N", help="of cross-fitting (default: 5)")
    judge.add_argument(
        "--calibration", choices=("isotonic", "platt"), metavar="HOW",
        help="isotonic, or platt where texts are few (default: isotonic)",
    )  # fmt: skip
    judge.add_argument("--save-ratio", type=folder, metavar="DIR", help="keep the fitted ratio there")
    judge.add_argument("--ratio", metavar="DIR", help="take a ratio that was kept, instead of fitting one")
    judge.add_argument("--judge", metavar="TEXT", help="real text for the second opinion (default: 1/4 of --real)")
    drop = parser.add_argument_group("the filters")
    drop.add_argument("--train", metavar="TEXT", help="the generator's training text; its copies are dropped")
    drop.add_argument(
        "--span", type=whole(1, 64), metavar="N", help="drop texts that share N words in a row with TRAIN"
    )
    drop.add_argument("--test", metavar="TEXT", help="text that no model may see, nor a near copy of it")
    drop.add_argument(
        "--test-copies", choices=("error", "drop"), default="error", metavar="HOW",
        help="copies of --test in POOL or a text: error, or drop (default: error)",
    )  # fmt: skip
    drop.add_argument("--block", metavar="FILE", help="words and phrases that may not occur, one a line")
    drop.add_argument(
        "--near", type=number(0.05, 1), default=0.8, metavar="X", help="Jaccard of near-duplicates (default: 0.8)"
    )
    add_seed(parser, "same seed, same bytes")
    add_form(parser)


# Each way to choose: its options by their flags, and by their names in the library.
HOW: dict[str, dict[str, str]] = {
    "all": {}, "top": {"share": "share"}, "threshold": {"at": "at"}, "drs": {"share": "share"},
    "mh": {"steps": "steps"}, "resample": {"n": "n"}, "weights": {"flatten": "flatten", "high": "high"},
}  # fmt: skip


def _selector(options: argparse.Namespace) -> Any:
    """The selector with what was said of it. Usage errors: an option of another one, no -n for resample."""
    from textgan.augmentation.select import SELECTORS

    known = {flag for flags in HOW.values() for flag in flags}
    given = {flag: value for flag in known if (value := getattr(options, flag)) is not None}
    if strange := sorted(given.keys() - HOW[options.how].keys()):
        flag = "-n" if strange[0] == "n" else f"--{strange[0]}"
        usage_error("textgan select", f"{flag} is no option of --how {options.how}")
    if options.exact and (options.how != "drs" or given):
        usage_error("textgan select", "--exact is for --how drs without --share")
    if options.how == "resample" and not given:
        usage_error("textgan select", "--how resample needs -n, the number of draws")
    fields: dict[str, Any] = {"share": None} if options.exact else {HOW[options.how][k]: v for k, v in given.items()}
    return SELECTORS[options.how](**fields)


def _run_select(options: argparse.Namespace) -> None:
    how = _selector(options)
    if options.run and (options.body or options.encoder):
        usage_error("textgan select", f"--run brings its own D; leave {'--body' if options.body else '--encoder'} out")
    given = {name: value for name in ("body", "folds", "calibration") if (value := getattr(options, name))}
    if options.ratio and given:
        usage_error("textgan select", f"--ratio is fitted already; leave --{next(iter(given))} out")
    if options.save_ratio and options.how == "all" and not options.ratio:
        usage_error("textgan select", "--how all fits no ratio; leave --save-ratio out, or give another --how")
    once_from_standard_input("textgan select", options.real, options.judge, options.train, options.test, options.block)
    from textgan.augmentation.density import DensityRatio
    from textgan.selection import select
    from textgan.text import read_lines

    own = None
    if options.run:
        from textgan.opponents import Opponent

        own = Opponent(options.run)
    body = own or ("mean" if options.encoder else "cnn")
    ratio: Any = {"body": body, "encoder": options.encoder, **given}
    done = select(
        options.pool,
        options.real,
        options.out,
        how=how,
        ratio=DensityRatio.load(options.ratio, encoder=options.encoder, given=own) if options.ratio else ratio,
        train=options.train,
        test=options.test,
        judge=options.judge,
        drop_test_copies=options.test_copies == "drop",
        form=options.format,
        licence=options.licence,
        seed=options.seed,
        progress=progress(),
        near=options.near,
        span=options.span,
        blocked=read_lines(options.block) if options.block else None,
    )
    if options.save_ratio and done.ratio:
        done.ratio.save(options.save_ratio)
    print("\n".join(done.told()))
    if done.chosen.uneven:
        print("The rows weigh unlike: give `mix` and `finetune` --weight-by density_ratio, or that is lost.")
