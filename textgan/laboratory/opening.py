"""What is measured once every training is done: the test text, and what the tuned models write."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textgan.augmentation.audit import (
    Lexicon,
    amplification,
    counterfactual,
    load_lexicon,
    overlap,
    shares,
    swaps,
    total_variation,
)
from textgan.errors import InputError
from textgan.evaluation import Reference, choose_metrics, evaluate
from textgan.experiment import Job
from textgan.laboratory.figures import DISTANCE, LEAN
from textgan.laboratory.lab import Lab, Place
from textgan.laboratory.splits import draw, known_truth
from textgan.laboratory.study import source
from textgan.lm import Lm, load_lm
from textgan.lm.likelihood import IGNORE, answers, prepared, row_nll
from textgan.lm.writing import write_worded
from textgan.metrics import Frechet, Mauve
from textgan.metrics.likelihoods import ModelNLL
from textgan.runs import Run
from textgan.text import read_lines, write_lines

BINS = 10  # of the calibration error
TRIES = 5  # to have as many lines that are not blank as are wanted
WRITTEN = ("LM-score", "self-BLEU-3", "self-BLEU-4", "distinct-4", "novel-4-grams", "copies")
LIKENESS = (Mauve(), Frechet())  # at T = 1, with the encoder by default, which is never D's
SWAPPED = 200  # pairs of test lines, with their groups and with those exchanged


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
    lexicon = load_lexicon(lab.study.lexicon and source(lab.study.lexicon))
    found |= _beyond_truth(lab, test, nats) | _swapped(lm, lexicon, test)
    found |= _synthetic(lab, lexicon, lab.model(training) / "synthetic.txt", real, test, seed)
    return found | {"written": _written(lab, lexicon, lm, real, test, lab.model(training), seed)}


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


def _swapped(lm: Lm, lexicon: Lexicon, test: Sequence[str]) -> dict[str, Any]:
    """Mean |change of NLL|, nats a line, of test lines with their groups exchanged; the same lines for every arm."""
    pairs = swaps(test, lexicon, most=SWAPPED)
    try:
        found = counterfactual(pairs, lexicon, lambda lines: line_nats(lm, lines)[0])
    except InputError:  # too few lines can be swapped
        return {}
    toward = {way: shift.mean for way, shift in found.toward.items()}
    return {"swapped": {"size": found.size.mean, "lines": found.size.lines, "toward": toward}}


def _synthetic(lab: Lab, lexicon: Lexicon, path: Path, real: list[str], test: list[str], seed: int) -> dict[str, Any]:
    """Of an arm's synthetic text: its copies of the N real lines beside those of held-out lines, and its groups."""
    if not path.exists():
        return {}
    lines = list(read_lines(path))
    found: dict[str, Any] = {"synthetic": len(lines), "distinct": len(set(lines)) / len(lines)}
    with contextlib.suppress(InputError):  # too few lines for one: then the figure is absent, and not the whole arm
        copied = overlap(lines, real, lab.split("control"), seed=seed)
        for name, excess in (("lines", copied.verbatim), (f"{copied.order}-grams", copied.ngram)):
            if excess is not None:
                found["overlap"] = found.get("overlap", {}) | {name: {"train": excess.train, "control": excess.control}}
    held = set(test)
    beside = shares(real, lexicon)
    found["groups"] = {
        group: {"synthetic": share.share, "real": beside[group].share}
        for group, share in shares(lines, lexicon).items()
    }
    return found | {"in_test": sum(line in held for line in lines)}


def _written(
    lab: Lab, lexicon: Lexicon, lm: Lm, real: list[str], test: list[str], folder: Path, seed: int
) -> list[dict[str, Any]]:
    """What the model writes at each temperature, judged by models of the judges' text.

    As many lines at each as are wanted, none of them blank, since diversity falls with their number; blank: how many
    were not counted. At T = 1 it is also set beside real text: its likeness, with real text's own at as many lines
    (`real`), and its groups.
    """
    writing, rows = lab.study.writing, list[dict[str, Any]]()
    if not writing.n:
        return []
    judge, beside = Run.open(lab.judge), lab.split("judge")
    metrics = (*choose_metrics(WRITTEN), ModelNLL(judge.log_probs, f"LSTM {judge.weights_sha256[:8]}", "LSTM-score"))
    reference = Reference(beside, train=real)
    for temperature in writing.temperatures:
        lines, blank = write_worded(lm, writing.n, seed=seed, tries=TRIES, least=0.5, temperature=temperature)
        if len(lines) < writing.n:
            rows.append({"temperature": temperature, "blank": blank})
            continue
        plain = temperature == 1.0
        judged = evaluate(lines, reference, metrics=(*metrics, *LIKENESS) if plain else metrics, groups=0)
        scores = {score.name: score.value for score in judged.scores}
        rows.append({"temperature": temperature, "blank": blank, "scored": judged.n, "scores": scores})
        if plain:
            write_lines(folder / "written.txt", lines)
            likeness = {metric.name for metric in LIKENESS}
            rows[-1]["real"] = {score.name: score.value for score in judged.real if score.name in likeness}
            rows[-1] |= groups_written(lines, beside, real, test, lexicon, seed)
    return rows


def groups_written(
    lines: Sequence[str], beside: Sequence[str], learnt: Sequence[str], test: Sequence[str], lexicon: Lexicon, seed: int
) -> dict[str, Any]:
    """Whom a tuned model writes of, by `augmentation.audit`'s measures, beside real text.

    groups: of each the share of the lines `written`, of `real` ones (the judges' text) and of the N `learnt` ones.
    total_variation, amplification: of the lines `written` from the judges' text, and of as many `real` lines (a draw
    from the test text), which chance alone sets apart from it. chance: as `audit.Distance` has it. Real text is the
    judges' and not the N lines: no arm is tuned on it, it is one text for all arms and seeds, so that its own chance
    stays out of their differences, and of 100 lines a share has an error of some points, and no lean is known at all.
    What cannot be had of so few lines is left out.
    """
    texts = {"written": lines} | ({"real": draw(test, len(lines), seed)} if len(test) >= len(lines) else {})
    found = {name: shares(text, lexicon) for name, text in (("written", lines), ("real", beside), ("learnt", learnt))}
    distances = {name: total_variation(text, beside, lexicon) for name, text in texts.items()}
    leans = {name: amplification(beside, text, lexicon) for name, text in texts.items()}
    return {
        "groups": {group: {name: by[group].share for name, by in found.items()} for group in lexicon.groups},
        DISTANCE: {name: gap.value for name, gap in distances.items()} | {"chance": distances["written"].chance},
        LEAN: {name: lean.value for name, lean in leans.items() if lean is not None},
    }
