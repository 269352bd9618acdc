"""How fast a graphics card is in the hot paths, and SeqGAN's whole paper schedule on it.

    python benchmarks/card.py                         the rows: tokens a second, share of the card's limit
    python benchmarks/card.py --schedule              SeqGAN as its authors trained it, on the oracle, length 20
    python benchmarks/card.py --schedule --shrunken   the same code for some steps, on any device; nothing is written
    python benchmarks/card.py --operations            how many operations each recorded work of that schedule holds,
                                                      counted on the CPU (tests/tape.py); nothing is timed

The first two need a card, write benchmarks/results/card-rows.json and card-schedule.json, and have not been run yet:
there is no figure of a card so far. The schedule's oracle is SeqGAN's published LSTM (TEXTGAN_DATA names the folder
that holds it, default ../shared/data); the other two forms have a random one of its sizes, and fewer sentences. Goal:
the schedule in under 15 minutes on one H100-class card. "of limit" is the time that the multiplications and additions
would take at the rate of a float32 matrix product of 8,192 x 8,192, measured in the same run, as a share of the time
that the row took. A row is called until it is recorded as a CUDA graph, then timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import throughput
import torch
from throughput import BATCH, ROOT, SEQGAN_CNN, TIME, VOCAB, commit, operations

from tape import Card
from textgan.cli import guarded
from textgan.discriminators import MultiCNN, Recurrent
from textgan.errors import InputError
from textgan.estimators import rollout_rewards
from textgan.experiment import seconds_of_phases
from textgan.generators import LSTM, Transformer
from textgan.graphs import WARM
from textgan.papers import EPOCH
from textgan.recipes import RelGAN, ScratchGAN, SeqGAN, find_preset
from textgan.text import write_json
from textgan.training import Schedule, fit
from textgan.updates import sentence_score

os.environ.setdefault("TEXTGAN_DATA", str(throughput.DATA))
RESULTS = ROOT / "benchmarks" / "results"
PUBLISHED = ("oracle:10000:20:0", "oracle:2000:20:1")  # text and held-out text
ANY = ("oracle:400:20:0@random-5000x32-0", "oracle:100:20:1@random-5000x32-0")
REPEATS, CALLS = 7, 10  # calls that are timed together, since one is too short for a clock
LIMIT = 15 * 60  # seconds
Row = dict[str, Any]


def seconds(work: Callable[[], object], calls: int = CALLS) -> float:
    """Of one call, the card's work included."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls


def ceiling(device: torch.device) -> float:
    """GFLOP/s of a matrix product."""
    a, b = torch.randn(2, 8192, 8192, device=device).unbind()
    return 2 * 8192**3 / min(seconds(lambda: a @ b) for _ in range(5)) / 1e9


def works(device: torch.device) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """Name, tokens written or read by G a call, and the call."""
    lstm = throughput.generator(LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1)).to(device)
    transformer = throughput.generator(Transformer(width=192, layers=3)).to(device)
    score = sentence_score(SEQGAN_CNN.build(VOCAB, TIME).to(device))
    for name, net in (("LSTM 32/32", lstm), ("transformer 192 x 3", transformer)):
        yield f"sample 1,024 sentences, {name}", 1024 * TIME, lambda net=net: net.sample(1024)
    rolled = BATCH * 16 * TIME * (TIME - 1) // 2
    for name, net in (("LSTM 32/32", lstm), ("transformer 192 x 3", transformer)):
        samples = net.sample(BATCH)
        work = lambda net=net, samples=samples: rollout_rewards(net, score, samples, n=16)  # noqa: E731
        yield f"SeqGAN reward, 16 roll-outs, 12 filters, {name}", rolled, work
    real = torch.randint(4, VOCAB, (BATCH, TIME), device=device)
    relgan = RelGAN(generator=LSTM(32, 512, dropout=0.0, tied=False), discriminator=MultiCNN(representations=64))
    seqgan = SeqGAN(generator=LSTM(32, 32, dropout=0.0, tied=False), discriminator=SEQGAN_CNN)
    scratch = ScratchGAN(batch=BATCH, generator=LSTM(32, 512, dropout=0.0, tied=False), discriminator=Recurrent())
    for name, recipe, phase, tokens in (
        ("MLE step, B 64, LSTM 32/32", seqgan, 0, BATCH * TIME),
        ("D step with its 64 fresh samples, 12 filters", seqgan, 1, BATCH * TIME),
        ("RelGAN iteration, 1 G : 5 D, LSTM 512, 64 x 100 filters", relgan, 2, 6 * BATCH * TIME),
        ("ScratchGAN iteration, a judgement per token", scratch, 1, 2 * BATCH * TIME),
    ):
        players = recipe.players(VOCAB, TIME)
        for player in players.values():
            player.to(device)
        update = recipe.phases(players, torch.Generator().manual_seed(0))[phase].update
        yield name, tokens, lambda update=update: update(0, itertools.repeat(real))


def rows(device: torch.device) -> list[Row]:
    limit, found = ceiling(device), []
    for name, tokens, work in works(device):
        gflop = operations(work)
        seconds(work, 2 * WARM)
        times = [seconds(work) for _ in range(REPEATS)]
        took = statistics.median(times)
        share = gflop / limit / took
        found.append({"name": name, "seconds": took, "range": [min(times), max(times)], "gflop": gflop,
                      "of_limit": share, "tokens_a_second": tokens / took})  # fmt: skip
        print(f"{name:60s} {1000 * took:9.3f} ms {tokens / took:12,.0f} tokens/s {share:6.1%} of limit", flush=True)
    return found


def shrunken(recipe: SeqGAN) -> SeqGAN:
    """Two rounds with everything that the whole schedule does."""
    return dataclasses.replace(
        recipe, mle_steps=6, judge_steps=6, adversarial_steps=2, rollouts=2, discriminator_updates=3
    )


def schedule(recipe: SeqGAN, device: str, text: tuple[str, str] = PUBLISHED) -> Row:
    """Seconds of each phase, evaluations (every 1,560 steps, and at the end of a phase) included."""
    log: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = fit(
            recipe, text[0], valid=text[1], out=Path(folder) / "run", device=device, threads=1, progress=False,
            on_log=lambda row: log.append((row["phase"], time.perf_counter())),
            schedule=Schedule(log_every=10, eval_every=10 * EPOCH, metrics_every=0, save_every=10**9, keep=1),
        )  # fmt: skip
        whole = time.perf_counter() - began
        nll, settings = [row["nll_oracle"] for row in run.log if "nll_oracle" in row], run.settings
    steps = recipe.judge_steps + recipe.adversarial_steps * recipe.discriminator_updates
    spent = seconds_of_phases(log, began)
    print(f"{whole:.1f} s: {', '.join(f'{name} {took:.1f}' for name, took in spent.items())}; {steps:,} steps of D; "
          f"NLL_oracle {nll[0]:.3f} -> {nll[-1]:.3f}")  # fmt: skip
    return {"seconds": whole, "phases": spent, "steps_of_d": steps, "nll_oracle": [nll[0], nll[-1]],
            "within_goal": whole < LIMIT, "settings": settings}  # fmt: skip


def counted(recipe: SeqGAN) -> None:
    """The operations of each recorded work, a few of which are views that launch nothing."""
    with pytest.MonkeyPatch.context() as patch:
        card = Card(patch)
        card.recording()
        schedule(dataclasses.replace(recipe, adversarial_steps=5, rollouts=1), "cpu", ANY)
        for name, tape in card.tapes:
            launched = sum(not function.is_view for function, *_ in tape.done)
            print(f"{name!s:40.40s} {launched:6,} operations")


def card_or_error() -> torch.device:
    if not torch.cuda.is_available():
        raise InputError("this benchmark needs a CUDA card, and none was found; --schedule --shrunken runs anywhere")
    return torch.device("cuda")


def kept(name: str, found: Row) -> None:
    facts = {"command": " ".join(["python benchmarks/card.py", *sys.argv[1:]]), "commit": commit(),
             "card": torch.cuda.get_device_name(), "versions": {"python": platform.python_version(),
             "torch": torch.__version__, "cuda": torch.version.cuda}}  # fmt: skip
    write_json(RESULTS / f"card-{name}.json", facts | found)
    print(f"written: benchmarks/results/card-{name}.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedule", action="store_true")
    parser.add_argument("--shrunken", action="store_true")
    parser.add_argument("--operations", action="store_true")
    options = parser.parse_args()
    recipe = find_preset(SeqGAN, "paper-oracle")
    if options.operations:
        counted(shrunken(recipe))
    elif options.schedule and options.shrunken:
        schedule(shrunken(recipe), "auto", ANY)
    elif options.schedule:
        card_or_error()
        kept("schedule", schedule(recipe, "cuda"))
    else:
        kept("rows", {"rows": rows(card_or_error())})


if __name__ == "__main__":
    raise SystemExit(guarded(main))
