"""How fast the hot paths are, each beside a naive reference of the same work in one run.

    python benchmarks/throughput.py            the quick form (80 seconds); `make bench`
    python benchmarks/throughput.py --full     more repeats, all roll-outs of the naive reference
    python benchmarks/throughput.py --default-allocator     without machine.keep_memory, which `textgan train` calls

The naive references are the slow twins that the tests hold the fast paths against (tests/slow_rollouts.py and
slow_steps.py): the prefix is recomputed for every token, torch.multinomial draws it, one roll-out runs at a time; a
word is a dense one-hot, all responses of a filter are kept for the gradient. "lean" is the same twin of sampling with
the vocabulary-sized layer at the last position alone. Seconds are this process's processor time where it has one thread
(what a clock shows on an idle machine), else wall time; both sides run in turn, and ratios are of medians within this
run. "of limit" is the time that the multiplications and additions of the fast side would take at the rate of a matrix
product of 1,024 x 1,024, measured in the same run, as a share of its time. Writes benchmarks/results/throughput.json;
benchmarks/SPEED.md keeps what was tried.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from slow_rollouts import slow_complete, slow_rollout_rewards  # noqa: E402
from slow_steps import slow_log_probs, slow_logits, slow_relaxed_sample  # noqa: E402
from textgan import machine  # noqa: E402
from textgan.discriminators import CNN, MultiCNN, Recurrent  # noqa: E402
from textgan.estimators import rollout_rewards  # noqa: E402
from textgan.experiment import commit  # noqa: E402
from textgan.generators import LSTM, Generator, GeneratorSpec, Transformer, evaluating  # noqa: E402
from textgan.objectives import NON_SATURATING, RELATIVISTIC  # noqa: E402
from textgan.recipes import RelGAN, SeqGAN  # noqa: E402
from textgan.sequences import Samples, mask_of  # noqa: E402
from textgan.updates import Player, Players, adam, judge, sentence_score  # noqa: E402

DATA = Path(os.environ.get("TEXTGAN_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "benchmarks" / "results" / "throughput.json"
VOCAB, TIME, BATCH = 5000, 20, 64
SEQGAN_CNN = CNN(
    embedding=64,
    widths=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20),
    filters=(100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160),
)
Row = dict[str, Any]


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call on one thread, else wall time."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


@functools.cache
def ceiling() -> tuple[float, float]:
    """What this machine reaches on as many threads: GFLOP/s of a matrix product and GB/s of a copy."""
    a, b = torch.randn(2, 1024, 1024).unbind()
    big = torch.empty(1 << 26)
    product = min(seconds(lambda: a @ b) for _ in range(10))
    return 2 * 1024**3 / product / 1e9, 2 * 4 * big.numel() / min(seconds(big.clone) for _ in range(5)) / 1e9


def operations(work: Callable[[], object]) -> float:
    """GFLOP of the products, convolutions and LSTM layers that one call runs; nothing else is counted."""
    from torch.utils.flop_counter import FlopCounterMode

    def lstm(x: Any, w: Any, u: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
        return 2 * math.prod(x[:-1]) * (math.prod(w) + math.prod(u))

    def lstm_backward(x: Any, w: Any, u: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
        return 2 * lstm(x, w, u)

    def card_lstm(x: Any, weights: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
        return 2 * math.prod(x[:-1]) * sum(math.prod(w) for w in weights if len(w) == 2)

    def card_lstm_backward(x: Any, weights: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
        return 2 * card_lstm(x, weights)

    aten = torch.ops.aten
    layers = {
        aten.mkldnn_rnn_layer: lstm,
        aten.mkldnn_rnn_layer_backward: lstm_backward,
        aten._cudnn_rnn: card_lstm,
        aten._cudnn_rnn_backward: card_lstm_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=layers) as counter:
        work()
    return counter.get_total_flops() / 1e9


def row(name: str, fast: Callable[[], object], repeats: int, scale: int = 1, **slow: Callable[[], object]) -> Row:
    """Medians and ranges of the fast side and of each slow one, run in turn; a slow one counts `scale` times.

    What is repeated is run once before, uncounted.
    """
    if repeats > 1:
        fast()
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        for side, work in {"fast": fast, **slow}.items():
            times.setdefault(side, []).append(seconds(work) * (1 if side == "fast" else scale))
    median = {side: statistics.median(values) for side, values in times.items()}
    found: Row = {"name": name, "seconds": median["fast"], "range": [min(times["fast"]), max(times["fast"])]}
    found["gflop"], found["of_limit"] = (gflop := operations(fast)), gflop / ceiling()[0] / median["fast"]
    text = f"{name:60s} {median['fast']:7.3f} s {found['of_limit']:4.0%} of limit"
    for side in slow:
        ratio = median[side] / median["fast"]
        found[side] = {"seconds": median[side], "range": [min(times[side]), max(times[side])], "ratio": ratio}
        text += f"  {side} {median[side]:6.2f} s {ratio:5.1f} x"
    if slow and scale > 1:
        found["slow_sides_scaled_by"] = scale
        text += f"  (slow sides: a part, times {scale})"
    print(text, flush=True)
    return found


def generator(spec: GeneratorSpec) -> Generator:
    """A fresh one that practically never ends a sentence early, so that every sentence has TIME tokens."""
    torch.manual_seed(0)
    built = spec.build(VOCAB, TIME)
    return built.eval()


@torch.no_grad()
def naive_sample(net: Generator, n: int, *, lean: bool) -> None:
    """Loops of 64, the prefix recomputed for each token."""
    with evaluating(net):
        for _ in range(0, n, BATCH):
            slow_complete(net, torch.empty(BATCH, 0, dtype=torch.int64), None, lean=lean)


def sampling(repeats: int, full: bool) -> list[Row]:
    part = 1024 if full else 128
    lstm = generator(LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1))
    small = generator(Transformer(width=32, layers=2, heads=2))
    return [
        row(
            f"sample 1,024 sentences, {name}, V 5000, T 20",
            lambda net=net: net.sample(1024),
            repeats,
            1024 // part,
            naive=lambda net=net: naive_sample(net, part, lean=False),
            lean=lambda net=net: naive_sample(net, part, lean=True),
        )
        for name, net in (("LSTM 32/32", lstm), ("transformer 32 x 2", small))
    ]


def rewards(repeats: int, full: bool) -> list[Row]:
    """SeqGAN's reward step; the naive side runs some of the roll-outs and is scaled up, which the row says."""
    lstm = generator(LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1))
    torch.manual_seed(1)
    score = sentence_score(SEQGAN_CNN.build(VOCAB, TIME))
    samples = lstm.sample(BATCH, rng=torch.Generator().manual_seed(0))

    def both(n: int) -> Row:
        part = n if full else 1
        return row(
            f"SeqGAN reward, B 64, T 20, {n} roll-outs, 12 filters",
            lambda: rollout_rewards(lstm, score, samples, n=n),
            repeats // 3,
            n // part,
            naive=lambda: slow_rollout_rewards(lstm, score, samples, n=part),
            lean=lambda: slow_rollout_rewards(lstm, score, samples, n=part, lean=True),
        )

    big = generator(Transformer(width=192, layers=3))
    drawn = big.sample(BATCH, rng=torch.Generator().manual_seed(0))
    alone = row(
        "roll-outs without D, B 64, T 20, 4, transformer 192 x 3",
        lambda: rollout_rewards(big, lambda tokens: tokens[:, 0].float(), drawn, n=4),
        1,
    )
    return [both(4), both(16), alone]


def naive_mle(players: Players, real: Tensor) -> None:
    player = players["likelihood"]
    player.minimise(-slow_log_probs(player.net.train(), real).sum() / mask_of(real).sum())


def naive_judge(players: Players, real: Tensor) -> None:
    """D alone against fresh samples, made and judged the slow way."""
    g, d = players["generator"].net, players["discriminator"]
    with torch.no_grad():
        fake = slow_complete(g.eval(), torch.empty(len(real), 0, dtype=torch.int64), None, lean=True)
    logits = (slow_logits(d.net.train(), F.one_hot(x, VOCAB).float(), mask_of(x)) for x in (real, fake))
    d.minimise(NON_SATURATING.discriminator(*logits))


def naive_relgan(players: Players, real: Tensor, updates: int) -> None:
    """RelGAN's round with dense tokens and all responses."""
    g, d = players["generator"], players["discriminator"]
    dense = F.one_hot(real, VOCAB).float()

    def logits() -> tuple[Tensor, Tensor]:
        noise = -torch.empty(TIME, len(real), VOCAB).exponential_().log()
        fake = slow_relaxed_sample(g.net.eval(), noise, temperature=0.5)
        return slow_logits(d.net, dense, mask_of(real)), slow_logits(d.net, fake.probs, fake.mask)

    for _ in range(updates):
        d.net.train()
        d.minimise(RELATIVISTIC.discriminator(*logits()))
    d.net.eval()
    g.minimise(RELATIVISTIC.generator(*logits()))


def steps(repeats: int, full: bool) -> list[Row]:
    """One step of training each."""
    seqgan = SeqGAN(generator=LSTM(32, 32, dropout=0.0, tied=False), discriminator=SEQGAN_CNN, rollouts=4)
    judged = MultiCNN(representations=64, filters=(300, 300, 300, 300)) if full else MultiCNN()  # the paper's, or ours
    relgan = RelGAN(generator=LSTM(32, 512, dropout=0.0, tied=False), discriminator=judged)
    size = f"{judged.representations} x {judged.filters[0]} filters"
    torch.manual_seed(2)
    real = torch.randint(4, VOCAB, (BATCH, TIME))

    def both(name: str, recipe: SeqGAN | RelGAN, phase: int, repeats: int, naive: Callable[..., None]) -> Row:
        players, twins = recipe.players(VOCAB, TIME), recipe.players(VOCAB, TIME)
        update = recipe.phases(players, torch.Generator().manual_seed(0))[phase].update
        stream = itertools.repeat(real)
        return row(name, lambda: update(0, stream), repeats, naive=lambda: naive(twins, real))

    d = Recurrent().build(VOCAB, TIME)
    player = Player(d, adam(d, 1e-3))
    fake = Samples(real.flip(0), torch.zeros(BATCH, TIME), mask_of(real))
    game = functools.partial(naive_relgan, updates=relgan.discriminator_updates)
    return [
        both("MLE step, B 64, LSTM 32/32", seqgan, 0, repeats, naive_mle),
        both("D step with its 64 fresh samples, 12 filters", seqgan, 1, repeats, naive_judge),
        both(f"RelGAN iteration, 1 G : 5 D, LSTM 512, {size}", relgan, 2, 1, game),
        row("D step, a judgement per token, LSTM", lambda: judge(player, NON_SATURATING, real, fake), repeats),
    ]


def others(repeats: int) -> list[Row]:
    """What follows a game: 20 steps of fine-tuning a small GPT-2, and the usual metrics of 5,000 sentences."""
    import tempfile

    from textgan import grammar
    from textgan.evaluation import evaluate
    from textgan.lm import finetune

    text, reference = grammar.sample(5000, seed=0), grammar.sample(5000, seed=1)

    def tune() -> None:
        with tempfile.TemporaryDirectory() as folder:
            finetune("small", text[:500], valid=text[500:550], out=Path(folder) / "lm", steps=20, base_steps=20)

    return [
        row("GPT-2 2 x 128: 20 steps of pre-training, 20 of tuning", tune, 1),
        row("the usual metrics with intervals, 5,000 sentences", lambda: evaluate(text, reference), repeats // 3),
    ]


MEMORY = """
import sys
sys.path[:0] = ["benchmarks", "tests"]
import torch, throughput as t
torch.set_num_threads(1)
g = t.generator(t.LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1))
score = t.sentence_score(t.SEQGAN_CNN.build(t.VOCAB, t.TIME))
s = g.sample(64)
before = t.peak()
WORK
print(t.peak() - before)
"""


def peak() -> int:
    """Largest resident memory of this process so far, MB; getrusage's figure begins at the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def memory(full: bool) -> list[Row]:
    """Peak resident memory that one piece of work adds to a fresh process."""
    counts = (4, 16, 64) if full else (4, 16)
    works = {f"{n} roll-outs of 64 sentences": f"t.rollout_rewards(g, score, s, n={n})" for n in counts}
    works["a relaxed sample of 64 sentences, kept for its gradient"] = "y = g.relaxed_sample(64, temperature=0.5)"
    works["10,000 sentences sampled"] = "g.sample(10_000)"
    found = []
    for name, work in works.items():
        command = [sys.executable, "-c", MEMORY.replace("WORK", work)]
        out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
        found.append({"name": f"memory added: {name}", "megabytes": int(out)})
        print(f"memory added: {name:58s} {out.strip():>6} MB", flush=True)
    return found


def self_bleu(repeats: int) -> list[Row]:
    """Self-BLEU-2..5 of 10,000 captions; beside fast-bleu where it is installed."""
    path = DATA / "image_coco" / "train.txt"
    if not path.exists():
        print(f"self-BLEU: left out, {path} is not there (set TEXTGAN_DATA)")
        return []
    import numpy as np

    from textgan.metrics import NgramIndex, sentence_bleu
    from textgan.text import read_lines

    lines = read_lines(path)

    def ours() -> Any:
        index = NgramIndex(lines)
        return sentence_bleu(index, index, highest=5, own=np.arange(len(lines)))

    slow: dict[str, Callable[[], object]] = {}
    try:
        from fast_bleu import SelfBLEU
    except ImportError:
        print("self-BLEU: fast-bleu is not installed, so it has no rival here")
    else:
        words = [line.split() for line in lines]
        slow["fast_bleu"] = lambda: SelfBLEU(words, {str(n): (1 / n,) * n for n in (2, 3, 4, 5)}).get_score()
    found = row("self-BLEU-2..5 of 10,000 captions", ours, max(1, repeats // 2), **slow)
    code = (
        "import numpy as np, sys\n"
        "from textgan.metrics import NgramIndex, sentence_bleu\nfrom textgan.text import read_lines\n"
        "index = NgramIndex(read_lines(sys.argv[1]))\nsentence_bleu(index, index, own=np.arange(len(index)))\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    if Path("/proc/self/status").exists():
        command = [sys.executable, "-c", code, str(path)]
        out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
        found["megabytes"] = int(out) // 1024
        print(f"   peak memory of the whole process: {found['megabytes']} MB")
    return [found]


def table(rows: list[Row]) -> str:
    """The rows as Markdown; memory stands apart."""
    lines = ["| work | textgan | of limit | naive twin | ratio |", "|---|---|---|---|---|"]
    for found in rows:
        if "seconds" in found:
            rival = found.get("naive") or found.get("fast_bleu")
            beside = f"{rival['seconds']:.2f} s | {rival['ratio']:.1f}" if rival else " | "
            share = f"{found['of_limit']:.0%}" if found.get("gflop") else ""
            lines.append(f"| {found['name']} | {found['seconds']:.3f} s | {share} | {beside} |")
    return "\n".join(lines)


def plot(rows: list[Row], path: Path) -> None:
    """Ratios to the naive twins as bars, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "textgan"
    from matplotlib import pyplot

    rivals = {found["name"]: found.get("naive") or found.get("fast_bleu") for found in rows}
    ratios = {name: rival["ratio"] for name, rival in rivals.items() if rival}
    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(ratios) + 1), layout="constrained")
    bars = axes.barh(list(ratios), list(ratios.values()), color="#35618e")
    axes.bar_label(bars, fmt="%.1f x", padding=3)
    axes.set(xscale="log", xlabel="times as fast as the naive twin, one thread")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.axvline(1, color="0.5", linewidth=1)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--default-allocator", action="store_true")
    parser.add_argument("--table", action="store_true", help="print the kept results as Markdown and draw the plot")
    options = parser.parse_args()
    if options.table:
        rows = json.loads(OUT.read_text())["rows"]
        print(table(rows))
        plot(rows, OUT.with_suffix(".svg"))
        return
    torch.set_num_threads(options.threads)
    if not options.default_allocator:
        machine.keep_memory()
    print(f"torch {torch.__version__}, {options.threads} thread(s), commit {commit()}", flush=True)
    full, repeats = options.full, 7 if options.full else 3
    rows = [*sampling(repeats, full), *rewards(repeats, full), *steps(repeats, full)]
    rows += [*others(repeats), *self_bleu(repeats), *memory(full)]
    value = {
        "command": " ".join(["python benchmarks/throughput.py", *sys.argv[1:]]),
        "commit": commit(),
        "seconds_of": "processor time" if options.threads == 1 else "wall time",
        "threads": options.threads,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "peak_megabytes": peak(),
        "ceiling": dict(zip(("gflop_per_second", "gigabytes_per_second_copied"), ceiling(), strict=True)),
        "rows": rows,
    }
    OUT.parent.mkdir(exist_ok=True)
    temporary = OUT.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    temporary.replace(OUT)
    plot(rows, OUT.with_suffix(".svg"))
    print(f"written: {OUT.relative_to(ROOT)} and the plot beside it")


if __name__ == "__main__":
    main()
