"""The whole path on the embedded corpus: train, sample, evaluate, mix, fine-tune with and without, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textgan.errors import InputError

REAL, VALID, TEST = 2000, 400, 1500  # sentences


def quickstart(out: str | Path, *, seed: int = 0, say: Callable[[str], None] | None = None) -> Path:
    """Run the main job in `out` and give the path of its report.html; about three minutes on two cores.

    A maximum-likelihood run, a SeqGAN run that starts from it, their text scored against held-out text, and a small
    GPT-2 fine-tuned on the real text alone and on the real text with the GAN's. Errors: InputError where `out` holds
    something already.
    """
    from textgan import machine

    with machine.threads(1):  # nets of this size gain nothing from more, and lose much where the machine is busy
        return _quickstart(Path(out), seed, say or (lambda line: None))


def _quickstart(folder: Path, seed: int, say: Callable[[str], None]) -> Path:
    from textgan.augmentation import compare, mix, write_pool
    from textgan.evaluation import Reference, evaluate
    from textgan.recipes import MLE, SeqGAN
    from textgan.report import report
    from textgan.text import make_folder, split, write_json, write_lines
    from textgan.training import fit

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; give another --out")
    make_folder(folder)

    say("1/5  the corpus: sentences of the built-in grammar, split without near-duplicates")
    parts = split([f"grammar:20000:{seed}"], {"train": REAL, "valid": VALID, "test": TEST}, seed=seed).parts
    for name, lines in parts.items():
        write_lines(folder / f"{name}.txt", lines)

    say("2/5  training: maximum likelihood, then SeqGAN from there")
    train, valid = folder / "train.txt", folder / "valid.txt"
    mle = fit(MLE(mle_steps=500), train, out=folder / "mle", valid=valid, seed=seed)
    game = SeqGAN(mle_steps=0, judge_steps=100, adversarial_steps=60, rollouts=8)
    gan = fit(game, train, out=folder / "seqgan", valid=valid, start=folder / "mle", seed=seed)

    say("3/5  sampling and evaluating beside real held-out text")
    reference = Reference(folder / "test.txt", train=folder / "train.txt")
    for run in (mle, gan):
        write_pool(run.pool_rows(REAL, seed=seed), run.path / "pool.jsonl")
        scores = evaluate(run.path / "pool.jsonl", reference, seed=seed)
        write_json(run.path / "evaluation.json", scores.to_json())
        say(f"{run.path.name}\n{scores.to_table()}")

    say("4/5  a small GPT-2, fine-tuned on the real text alone and on the real text with the GAN's")
    write_lines(folder / "mixed.txt", mix(folder / "train.txt", gan.path / "pool.jsonl", ratio=0.5, seed=seed))
    found = compare(
        folder / "train.txt",
        gan.path / "pool.jsonl",
        valid=folder / "valid.txt",
        test=folder / "test.txt",
        out=gan.path / "augmentation",
        ratio=0.5,
        base_steps=150,  # no more, so that both arms have something left to learn
        n=TEST,
        seed=seed,
    )
    write_json(gan.path / "augmentation.json", found)
    say(found["finding"])

    say("5/5  the report")
    return report([mle.path, gan.path], folder / "report.html")
