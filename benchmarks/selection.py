"""Does selection by a density ratio do what it says? Where the truth is known, and on real captions.

    python benchmarks/selection.py            run the grid (every job is skipped when its result is there)
    python benchmarks/selection.py --list     a command a job, for a batch scheduler
    python benchmarks/selection.py --table    tables from benchmarks/results/selection/*.json

oracle   an LSTM with weights N(0, 1) is the truth and itself at a higher temperature the proposal: p / q is exact.
biased   the embedded grammar is the truth, its sentences thinned by their common words the proposal: p / q is exact.
grammar  the embedded grammar is the truth, an LSTM trained on 3,000 of its sentences the proposal; both are exact.
coco     an LSTM trained on 5,000 captions; D learns from 3,000 others; judged by models of 6,000 yet others. The
         control keeps the half that the LSTM itself finds likeliest. TEXTGAN_DATA names the folder of corpora
         (default ../shared/data) and TEXTGAN_ENCODER, where it is set, a sentence encoder, which adds arms.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textgan import grammar
from textgan.augmentation.calibration import auc, effective_size
from textgan.augmentation.density import DensityRatio
from textgan.augmentation.opinion import opinion_of, second_scores
from textgan.augmentation.select import DRS, MH, All, Resample, Selector, TopK, Weights, choose
from textgan.experiment import Job, command_line, read_results

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TEXTGAN_DATA", ROOT.parent / "shared" / "data")) / "image_coco"
RESULTS = ROOT / "benchmarks" / "results" / "selection"
SEEDS = range(3)
TEMPERATURES = (1.2, 1.5)
N = 8000  # proposals to select from
WAYS: dict[str, Selector] = {
    "all": All(), "top half": TopK(0.5), "drs half": DRS(0.5), "drs exact": DRS(None), "mh 20": MH(20),
    "resample": Resample(2000), "weights": Weights(1.0, 0.0, float("inf")), "weights, flattened": Weights(),
}  # fmt: skip
SHOWN = [*((f"oracle-{t}-", "log_p") for t in TEMPERATURES), ("biased-", "habits"),
         *(("grammar-", key) for key in ("grammatical", "words"))]  # fmt: skip
Row = dict[str, Any]


def mended(ratio: np.ndarray, values: Mapping[str, np.ndarray], truth: Mapping[str, float], seed: int) -> Row:
    """For each way to choose: how far the mean of each value is from its truth, in units and in standard errors."""
    found: Row = {}
    for name, how in WAYS.items():
        chosen = choose(ratio, how=how, seed=seed)
        row: Row = {"acceptance": chosen.acceptance, "effective_sample": chosen.effective_sample}
        for key, value in values.items():
            taken = value[chosen.index]
            mean = float(np.average(taken, weights=chosen.weights))
            error = float(np.sqrt(np.average((taken - mean) ** 2, weights=chosen.weights) / chosen.effective_sample))
            row[key] = {"bias": mean - truth[key], "error": error}
        found[name] = row
    return found


def likeness(learnt: np.ndarray, true: np.ndarray) -> Row:
    """How the learnt log ratio goes with the true one, where that is finite."""
    from scipy.stats import spearmanr

    both = np.isfinite(true)
    slope = float(np.polyfit(true[both], learnt[both], 1)[0])
    return {
        "pearson": float(np.corrcoef(learnt[both], true[both])[0, 1]),
        "spearman": float(spearmanr(learnt[both], true[both]).statistic), "slope": slope, "of": int(both.sum()),
    }  # fmt: skip


def oracle(temperature: float, seed: int) -> Row:
    """The oracle of 100 words and 8 tokens against itself at this temperature."""
    import torch

    from textgan.oracle import FIRST, load

    language = load("random-100x16-0").generator(8)
    rng = torch.Generator().manual_seed(seed)

    def log_p(tokens: torch.Tensor, at: float = 1.0) -> np.ndarray:
        with torch.no_grad():
            return language.log_probs(tokens, temperature=at).double().sum(1).numpy()

    def spelt(tokens: torch.Tensor) -> list[str]:
        return [" ".join(map(str, row)) for row in (tokens - FIRST).tolist()]

    wide = language.sample(N, temperature=temperature, rng=rng).tokens
    real = language.sample(N // 2, rng=rng).tokens
    truth = {"log_p": float(log_p(language.sample(100_000, rng=rng).tokens).mean())}
    true, values = log_p(wide) - log_p(wide, temperature), {"log_p": log_p(wide)}
    fitted = DensityRatio.fit(spelt(real), spelt(wide)[: N // 2], seed=seed)
    learnt = fitted.log_ratio(spelt(wide))
    bayes = np.concatenate([log_p(real) - log_p(real, temperature), true])
    return {
        "bayes_auc": auc(bayes, np.arange(len(bayes)) < len(real)), "diagnostics": fitted.diagnostics._asdict(),
        "effective_sample": effective_size(np.exp(true)) / N, "likeness": likeness(learnt, true),
        "exact": mended(np.exp(true), values, truth, seed), "learnt": mended(np.exp(learnt), values, truth, seed),
    }  # fmt: skip


HABITS = (" is ", " on ", " in ", " with ", " and ")


def biased(seed: int) -> Row:
    """Sentences of the grammar, each kept with probability 3 to the power of minus how many of HABITS it has."""
    import random

    def habits(lines: Sequence[str]) -> np.ndarray:
        return np.array([float(sum(habit in line for habit in HABITS)) for line in lines])

    rng = random.Random(f"biased {seed}")
    stream = grammar.sentences(10**9, seed)
    lines = [
        line for line, _ in zip(filter(lambda x: rng.random() < 3.0 ** -habits([x])[0], stream), range(N), strict=False)
    ]
    real = grammar.sample(N // 2, seed + 20)
    values, true = {"habits": habits(lines)}, np.log(3) * habits(lines)
    truth = {"habits": float(habits(grammar.sample(100_000, seed + 30)).mean())}
    fitted = DensityRatio.fit(real, lines[: N // 2], seed=seed)
    learnt = fitted.log_ratio(lines)
    bayes = np.log(3) * habits([*real, *lines])
    return {
        "bayes_auc": auc(bayes, np.arange(len(bayes)) < len(real)), "diagnostics": fitted.diagnostics._asdict(),
        "effective_sample": effective_size(np.exp(true)) / N, "likeness": likeness(learnt, true),
        "exact": mended(np.exp(true), values, truth, seed), "learnt": mended(np.exp(learnt), values, truth, seed),
    }  # fmt: skip


def trained(lines: Sequence[str] | str, steps: int, seed: int, **sizes: Any) -> Any:
    """An LSTM by maximum likelihood; its folder is gone when it is."""
    from textgan import LSTM, MLE, Schedule, fit

    with tempfile.TemporaryDirectory() as folder:
        recipe = MLE(mle_steps=steps, generator=LSTM(**sizes))
        schedule = Schedule(eval_every=max(1, steps // 8))
        run = fit(recipe, lines, out=Path(folder) / "run", seed=seed, threads=1, progress=False, schedule=schedule)
        run.sample_text(1, seed=seed)  # loads what is needed
        return run


def of_grammar(seed: int) -> Row:
    """An LSTM of the grammar; what the grammar cannot say has the ratio 0."""
    run = trained(f"grammar:3000:{seed + 10}", 400, seed, embedding=64, hidden=128)
    lines = run.sample_text(N, seed=seed)
    log_p = np.array([grammar.log_prob(line) for line in lines])
    log_q, _ = run.log_probs(lines)
    said = np.isfinite(log_p)
    values = {"grammatical": said.astype(float), "words": np.array([float(len(line.split())) for line in lines])}
    truth = {"grammatical": 1.0, "words": grammar.mean_length()}
    true = log_p - log_q
    fitted = DensityRatio.fit(grammar.sample(N // 2, seed + 20), lines[: N // 2], seed=seed)
    learnt = fitted.log_ratio(lines)
    ratio = np.exp(true)
    return {
        "mean_ratio": float(ratio.mean()), "effective_sample": effective_size(ratio) / N,
        "diagnostics": fitted.diagnostics._asdict(), "likeness": likeness(learnt, true),
        "auc_of_grammatical": auc(learnt, said),
        "exact": mended(ratio, values, truth, seed), "learnt": mended(np.exp(learnt), values, truth, seed),
    }  # fmt: skip


def coco(seed: int) -> Row:
    """Captions: nats a word under a judge, of real text under a model of the selection, self-BLEU, a second D."""
    from textgan.text import read_lines, split

    files = [DATA / "train.txt", DATA / "test.txt"]
    parts = split(files, {"train": 5000, "real": 3000, "judge": 6000, "second": 1000, "test": 2000}, seed=seed).parts
    run = trained(parts["train"], 700, seed, embedding=128, hidden=256)
    lines = list(dict.fromkeys(line for line in run.sample_text(N // 2, seed=seed) if line.strip()))
    bodies = [("cnn", None), *(("mean", path) for path in filter(None, [os.environ.get("TEXTGAN_ENCODER")]))]
    arms: dict[str, Sequence[str]] = {"all": lines}
    logs, words = run.log_probs(lines)
    likeliest = choose(np.exp(logs / words), how=TopK(0.5), seed=seed)
    arms["control: likeliest half"] = [lines[row] for row in likeliest.index]
    found: Row = {"diagnostics": {}, "texts": len(lines), "sources": [path.name for path in files]}
    for body, encoder in bodies:
        fitted = DensityRatio.fit(parts["real"], lines, body=body, encoder=encoder, folds=3, seed=seed)
        found["diagnostics"][body] = fitted.diagnostics._asdict()
        ratio = fitted.ratio(lines)
        for name, how in (("top half", TopK(0.5)), ("drs half", DRS(0.5))):
            arms[f"{name}, {body}"] = [lines[row] for row in choose(ratio, how=how, seed=seed).index]
    arms["real text"] = read_lines(parts["test"])
    found["arms"] = {name: judged(texts, parts, seed) for name, texts in arms.items()}
    scores = second_scores(parts["second"], lines, seed=seed)
    for name in list(arms)[1:-1]:
        taken = set(arms[name])  # the lines are distinct
        seen = scores and opinion_of(*scores, np.array([float(line in taken) for line in lines]))
        found["arms"][name]["opinion"] = seen._asdict() if seen else None
    return found


def judged(texts: Sequence[str], parts: Mapping[str, Sequence[str]], seed: int) -> Row:
    """At 2,000 texts, or as many as there are: KN NLL by the judge, reverse NLL of test, self-BLEU-4."""
    from textgan.metrics import NgramIndex, SelfBLEU, Sets
    from textgan.metrics.kneserney import KneserNey, Marked

    rows = np.random.default_rng([seed, 1]).permutation(len(texts))[:2000]
    drawn, test = [texts[row] for row in rows], Marked(parts["test"])
    return {
        "nll": KneserNey(list(parts["judge"]), order=5).nll_per_token(drawn),
        "reverse_nll": KneserNey.covering(drawn, test, order=5).nll_per_token(test),
        "self_bleu_4": SelfBLEU(4).measure(Sets(NgramIndex(drawn))), "n": len(drawn),
    }  # fmt: skip


def grid() -> list[Job]:
    """A job a truth and seed."""
    seeded = [("biased", biased), ("grammar", of_grammar), ("coco", coco)]
    return [
        *(Job(f"oracle-{t}-{s}", oracle, {"temperature": t, "seed": s}) for t in TEMPERATURES for s in SEEDS),
        *(Job(f"{name}-{s}", work, {"seed": s}) for name, work in seeded for s in SEEDS),
    ]


def mean(values: Sequence[float]) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{statistics.fmean(values):.3f}" + (f" ({statistics.stdev(values):.3f})" if len(values) > 1 else "")


def rows_of(results: Sequence[Row], key: str) -> Iterator[str]:
    """A row a way to choose: bias in standard errors, with the exact and the learnt ratio; acceptance of both."""
    for name in WAYS:
        cells = [name]
        for kind in ("exact", "learnt"):
            each = [found[kind][name] for found in results]
            cells.append(mean([row[key]["bias"] for row in each]))
            worst = max(abs(row[key]["bias"] / row[key]["error"]) if row[key]["error"] else 0.0 for row in each)
            cells.append(f"{worst:.1f}")
            cells.append(f"{statistics.fmean(row['acceptance'] for row in each):.2f}")
        yield "| " + " | ".join(cells) + " |"


def table() -> str:
    """All tables, of the results that are there."""
    head = ("| choice | bias, exact ratio | worst, in s.e. | taken | bias, learnt ratio | worst, in s.e. | taken |\n"
            "|---|---|---|---|---|---|---|")  # fmt: skip
    out = []
    for prefix, key in SHOWN:
        if results := list(read_results(RESULTS, prefix).values()):
            like = mean([found["likeness"]["pearson"] for found in results])
            size = mean([found["effective_sample"] for found in results])
            out += [f"\n{prefix}: bias of the mean of {key}, {len(results)} seeds; effective sample {size}; "
                    f"correlation of learnt and true log ratio {like}\n", head, *rows_of(results, key)]  # fmt: skip
    if results := list(read_results(RESULTS, "coco-").values()):
        columns = "| texts | KN NLL | reverse NLL | self-BLEU-4 | second judge's AUC |\n|---|---|---|---|---|"
        out += [f"\ncoco, {len(results)} seeds\n", columns]
        for name in results[0]["arms"]:
            each = [found["arms"][name] for found in results]
            seen = [row["opinion"]["after"] for row in each if row.get("opinion")]
            if name == "all":
                first = list(results[0]["arms"])[1]
                seen = [found["arms"][first]["opinion"]["before"] for found in results]
            cells = [mean([row[key] for row in each]) for key in ("nll", "reverse_nll", "self_bleu_4")]
            out.append("| " + " | ".join([name, *cells, mean(seen) if seen else "-"]) + " |")
    return "\n".join(out)


if __name__ == "__main__":
    print(command_line(grid(), RESULTS, table, __doc__ or ""))
