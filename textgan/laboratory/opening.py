"""What is measured once every training is done: the test text, and what the tuned models write."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textgan.errors import InputError
from textgan.evaluation import choose_metrics, evaluate
from textgan.experiment import Job
from textgan.laboratory.lab import Lab, Place
from textgan.laboratory.splits import known_truth
from textgan.laboratory.study import source
from textgan.lm import Lm, load_lm
from textgan.lm.likelihood import IGNORE, answers, prepared, row_nll
from textgan.lm.writing import write_worded
from textgan.metrics.likelihoods import ModelNLL
from textgan.runs import Run
from textgan.text import read_lines, write_lines

BINS = 10  # of the calibration error
TRIES = 5  # to have as many lines that are not blank as are wanted
WRITTEN = ("LM-score", "self-BLEU-3", "self-BLEU-4", "distinct-4", "novel-4-grams", "copies")


def test_jobs(out: Path, done: set[str]) -> list[Job]:
    """A job for each arm whose trainings are done, and not lost."""
    lab = Lab(out)
    places = [p for p in lab.places() if all(t.name in done for t in lab.candidates(p)) and lab.served(p)]
    return [Job(place.name, partial(measure, out), place._asdict()) for place in places]


def measure(out: Path, **arguments: Any) -> dict[str, Any]:
    """The figures of one arm: on the test text, of its synthetic text, and of what its model writes."""
    lab, place = Lab(out), Place(**arguments)
    training, n, seed = lab.training(place), place.n, place.seed
    lm = load_lm(lab.model(training), device="auto")
    real, test = lab.real(n, seed), lab.split("test")
    nats, tokens, error = line_nats(lm, test)
    folder = lab.work / "nats"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{place.name}.npy", nats.astype(np.float32))
    size = sum(len(line.encode()) + 1 for line in test)
    found: dict[str, Any] = {
        "training": training.name, "nll_per_byte": nats.sum() / size, "nll_per_token": nats.sum() / tokens,
        "calibration_error": error, "valid_nll_per_byte": lab.valid_nll(training),
    }  # fmt: skip
    found |= _beyond_truth(lab, test, nats) | _synthetic(lab, lab.model(training) / "synthetic.txt", real, test, seed)
    return found | {"written": _written(lab, lm, real, lab.model(training), seed)}


def line_nats(lm: Lm, lines: Sequence[str]) -> tuple[np.ndarray, int, float]:
    """(n,) -log p of each line in nats, the tokens of all, and the expected calibration error of the next token.

    ECE = sum over BINS of share x |accuracy - confidence| of the likeliest token. Naeini et al. 2015; Guo et al. 2017.
    """
    text = prepared(lm.model, lm.tokenizer, lines)
    nats, confident, hits = np.zeros(len(lines)), [], []
    for logits, labels, line in answers(lm.model, text):
        np.add.at(nats, line, row_nll(logits, labels).double().cpu().numpy())
        real = labels != IGNORE
        best = logits[real].float().softmax(-1).max(-1)
        confident.append(best.values.cpu().numpy())
        hits.append((best.indices == labels[real]).cpu().numpy())
    sure, right = np.concatenate(confident), np.concatenate(hits)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = np.bincount(place, weights=right - sure.astype(np.float64), minlength=BINS)
    return nats, text.tokens, float(np.abs(gaps).sum() / len(sure))


def _beyond_truth(lab: Lab, test: Sequence[str], nats: np.ndarray) -> dict[str, float]:
    """Where the language is known: KL(truth, model) in nats a line, estimated as the mean of log p_truth - log p_model.

    The model's p counts one way to cut a line into tokens, so the figure is an upper bound.
    """
    truth = known_truth(lab.study.texts)
    if truth is None:
        return {}
    logs = truth.log_probs(test)
    return {"kl_per_line": float((logs + nats).mean()), "entropy_per_line": float(-logs.mean())}


def _synthetic(lab: Lab, path: Path, real: list[str], test: list[str], seed: int) -> dict[str, Any]:
    """Of an arm's synthetic text: its copies of the N real lines beside those of held-out lines, and its groups."""
    if not path.exists():
        return {}
    from textgan.augmentation.audit import load_lexicon, overlap, shares

    lines = list(read_lines(path))
    found: dict[str, Any] = {"synthetic": len(lines), "distinct": len(set(lines)) / len(lines)}
    with contextlib.suppress(InputError):  # too few lines for one: then the figure is absent, and not the whole arm
        copied = overlap(lines, real, lab.split("control"), seed=seed)
        for name, excess in (("lines", copied.verbatim), (f"{copied.order}-grams", copied.ngram)):
            if excess is not None:
                found["overlap"] = found.get("overlap", {}) | {name: {"train": excess.train, "control": excess.control}}
    held = set(test)
    lexicon = load_lexicon(lab.study.lexicon and source(lab.study.lexicon))
    beside = shares(real, lexicon)
    found["groups"] = {
        group: {"synthetic": share.share, "real": beside[group].share}
        for group, share in shares(lines, lexicon).items()
    }
    return found | {"in_test": sum(line in held for line in lines)}


def _written(lab: Lab, lm: Lm, real: list[str], folder: Path, seed: int) -> list[dict[str, Any]]:
    """What the model writes at each temperature, judged by models of the judges' text.

    As many lines at each as are wanted, none of them blank, since diversity falls with their number; blank: how many
    were not counted.
    """
    writing, rows = lab.study.writing, list[dict[str, Any]]()
    if not writing.n:
        return []
    judge = Run.open(lab.judge)
    metrics = (*choose_metrics(WRITTEN), ModelNLL(judge.log_probs, f"LSTM {judge.weights_sha256[:8]}", "LSTM-score"))
    for temperature in writing.temperatures:
        lines, blank = write_worded(lm, writing.n, seed=seed, tries=TRIES, least=0.5, temperature=temperature)
        if len(lines) < writing.n:
            rows.append({"temperature": temperature, "blank": blank})
            continue
        judged = evaluate(lines, lab.split("judge"), train=real, metrics=metrics)
        scores = {score.name: score.value for score in judged.scores}
        rows.append({"temperature": temperature, "blank": blank, "scored": judged.n, "scores": scores})
        if temperature == 1.0:
            write_lines(folder / "written.txt", lines)
    return rows
