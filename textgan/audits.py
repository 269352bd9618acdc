"""The audit of a pool in one call: groups, amplification, counterfactuals, constraints, sensitivity and privacy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.augmentation import read_pool
from textgan.augmentation.audit import (
    Canaries,
    Constrained,
    Counterfactual,
    Lexicon,
    Overlap,
    amplification,
    cells,
    constrain,
    counterfactual,
    exposure,
    extracted,
    load_lexicon,
    mentions,
    overlap,
    quota,
    rake,
    read_canaries,
    sensitivity,
    swaps,
)
from textgan.augmentation.audit.found import Audit
from textgan.augmentation.audit.privacy import ORDER
from textgan.augmentation.audit.sensitivity import Setting
from textgan.augmentation.audit.shares import difference, distance_of, shares_of
from textgan.augmentation.pool import parse_row
from textgan.constraining import check_constrained, write_constrained
from textgan.errors import InputError
from textgan.metrics.reasons import Unmeasurable
from textgan.opponents import Opponent
from textgan.report.audit import page
from textgan.runs import Run
from textgan.text import Text, digests, make_folder, read_text, same_form, write_json, write_lines
from textgan.text.rows import ALL, is_row

Source = str | Path | Sequence[str] | Text
Scorer = Callable[[Sequence[str]], np.ndarray]
REAL, CONTROL, POOL, SELECTED, WEIGHTED = "real", "control", "pool", "selected", "selected, weighted"
SCORES = ("ratio", "d_calibrated", "d")  # of a row; the one that most rows have orders them, of equals the first
SWAPPED = 500  # pairs of lines that each model reads
WRITERS = ("generator", "language model")  # whose scores are -log p, so that a canary has an exposure


class _Pool(NamedTuple):
    """Texts, which of them are selected, their weights, and a score by which they may be ordered (and its name), NaN
    where a row has none: what filters drop is not scored."""

    name: str
    texts: list[str]
    selected: np.ndarray
    weights: np.ndarray
    scores: np.ndarray | None
    score: str | None

    @property
    def chosen(self) -> list[str]:
        """The selected texts."""
        return [text for text, kept in zip(self.texts, self.selected, strict=True) if kept]


def audit(
    pool: Source,
    real: Source,
    *,
    control: Source | None = None,
    lexicon: Lexicon | str | Path | None = None,
    run: str | Path | None = None,
    lm: str | Path | None = None,
    canaries: str | Path | None = None,
    scorers: Mapping[str, Scorer] | None = None,
    n: int = ORDER,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    constrained: str | Path | None = None,
    by: str = "rake",
    say: Callable[[str], None] | None = None,
) -> Audit:
    """Audit a pool against the real text that its generator learnt from; writes out/audit.json and out/audit.html.

    pool: a pool (rows, selected or not) or a plain text. control: real text that the generator never saw, for the
    overlap and beside every group figure. lexicon: a file or a Lexicon (default: women and men). run, lm: a run,
    with its generator and its D, and a language model, for counterfactuals on real lines; scorers: more of them (lines
    -> (n,) numbers). canaries: the file of `plant_canaries`, whose exposure in the run's generator and in the language
    model, and presence in the pool, are looked up; they are taken out of `real`. n: words in a row that count as a
    copied run. constrained: a new folder for the selected rows brought to real text's shares, by "rake" (weights) or
    "quota" (fewer rows); see `constraining.write_constrained`.
    """
    if constrained is not None:
        check_constrained(pool, Path(constrained), by)
    said = say or (lambda line: None)
    lexicon = lexicon if isinstance(lexicon, Lexicon) else load_lexicon(lexicon)
    rows, learnt = _read(pool), read_text(real)
    held = None if control is None else read_text(control)
    for text in filter(None, (learnt, held)):
        same_form(text.name, text.lines, rows.texts)
    planted = None if canaries is None else read_canaries(canaries)
    absent: dict[str, str] = {}
    if planted is not None:  # they are no sentences of the real text, and would count as ones that mention nobody
        known = set(planted.lines)
        learnt = learnt._replace(lines=[line for line in learnt.lines if line not in known])
    shared = _shared(held, learnt)
    opened = None if run is None else Run.open(run, device=device)
    models = _models(opened, lm, device, scorers or {}, absent)
    said("groups")
    texts = _texts(rows, learnt, held)
    groups = _groups(texts, lexicon, seed, absent)
    written = {name: texts[name][0] for name in (POOL, SELECTED) if name in texts}
    said("constraints and sensitivity")
    brought = _constrained(rows, lexicon, learnt.lines, seed, absent)
    settings = _settings(rows, learnt.lines, lexicon, seed, absent)
    said("counterfactuals and privacy")
    done = Audit(
        about=_about(rows, learnt, held, shared, lexicon, run, lm, n, seed),
        lexicon=lexicon,
        **groups,
        constrained=brought,
        counterfactual=_swapped(learnt.lines, lexicon, models, seed, absent),
        sensitivity=settings,
        overlap=_overlaps(written, learnt.lines, held, n, seed, absent),
        exposure=_exposed(planted, models, opened, seed, absent),
        extracted={} if planted is None else {name: extracted(lines, planted) for name, lines in written.items()},
        absent=absent,
    )
    if out is not None:
        folder = make_folder(out)
        write_lines(folder / "audit.html", page(done).rstrip("\n").split("\n"))
        write_json(folder / "audit.json", done.to_json())
    if constrained is not None and isinstance(pool, str | Path):
        write_constrained(done, pool, Path(constrained), learnt, by=by, seed=seed)
    return done


def _shared(held: Text | None, learnt: Text) -> float:
    """The share of the control's lines that stand in the real text; over a half it is no control."""
    if held is None:
        return 0.0
    shared = float(np.isin(digests(held.lines), digests(learnt.lines)).mean())
    if shared > 0.5:
        raise InputError(
            f"control {held.name}: {100 * shared:.0f} % of its lines stand in the real text; give text that the "
            "generator never saw"
        )
    return shared


def _texts(rows: _Pool, learnt: Text, held: Text | None) -> dict[str, tuple[Sequence[str], np.ndarray | None]]:
    """The texts whose groups are counted, with the weights of their lines where they have some."""
    texts: dict[str, tuple[Sequence[str], np.ndarray | None]] = {REAL: (learnt.lines, None)}
    if held is not None:
        texts[CONTROL] = (held.lines, None)
    texts[POOL] = (rows.texts, None)
    chosen = rows.chosen
    if len(chosen) < len(rows.texts):
        texts[SELECTED] = (chosen, None)
    if np.ptp(weights := rows.weights[rows.selected]) > 0:
        texts[WEIGHTED] = (chosen, weights)
    return texts


def _groups(
    texts: Mapping[str, tuple[Sequence[str], np.ndarray | None]], lexicon: Lexicon, seed: int, absent: dict[str, str]
) -> dict[str, Any]:
    """An Audit's figures of the groups, by text."""
    found = {name: mentions(lines, lexicon) for name, (lines, _) in texts.items()}
    shares = {name: shares_of(found[name], lexicon, weights) for name, (_, weights) in texts.items()}
    others = [name for name in texts if name != REAL]
    unweighted = [name for name in others if texts[name][1] is None]
    leans = {name: amplification(texts[REAL][0], texts[name][0], lexicon, seed=seed) for name in unweighted}
    if not any(leans.values()):
        absent["amplification"] = "no word stands beside the groups in 20 lines of real text and of the other"
    return {
        "shares": shares,
        "cells": {name: cells(found[name], lexicon, weights) for name, (_, weights) in texts.items()},
        "differences": {
            name: {group: difference(shares[name][group], shares[REAL][group]) for group in lexicon.groups}
            for name in others
        },
        "distances": {name: distance_of(found[REAL], found[name], seed=seed) for name in unweighted},
        "amplification": {name: lean for name, lean in leans.items() if lean is not None},
    }


def _read(pool: Source) -> _Pool:
    """Rows of a pool, or the lines of a text, all selected; rows are known by what they are where the name says no."""
    path = Path(pool) if isinstance(pool, str | Path) and str(pool) != "-" else None
    if path is not None and (path.is_dir() or path.suffix in (".jsonl", ".parquet")):
        name, rows = path.name, list(read_pool(path))
    else:
        read = read_text(pool, rows=ALL)
        if not is_row(read.lines[0]):
            lines = list(read.lines)
            return _Pool(read.name, lines, np.ones(len(lines), dtype=bool), np.ones(len(lines)), None, None)
        name = read.name
        rows = [parse_row(line, f"{name}:{number}", number - 1) for number, line in enumerate(read.lines, start=1)]
    rows = [row for row in rows if row["text"].strip()]
    selected = np.array([row["selected"] for row in rows], dtype=bool)
    if not selected.any():
        raise InputError(f"{name}: holds no selected row with text; give a pool with at least one")
    try:
        weights = np.array([float(row["weight"]) for row in rows])
        named = [_scores(row) for row in rows]
        score = max(SCORES, key=lambda one: sum(one in scores for scores in named))
        values = np.array([float(scores.get(score, np.nan)) for scores in named])
        has = np.array([score in scores for scores in named])
    except (TypeError, ValueError):
        raise InputError(f"{name}: weight and scores must be numbers; mend the rows") from None
    if not np.isfinite(values[has]).all():
        raise InputError(f"{name}: the score {score!r} is not finite in all rows that have it; mend the rows")
    ordered = (values, score) if has.any() else (None, None)
    return _Pool(name, [row["text"] for row in rows], selected, weights, *ordered)


def _scores(row: Mapping[str, Any]) -> Mapping[str, Any]:
    scores = row.get("scores") or {}
    return {name: value for name, value in scores.items() if value is not None} if isinstance(scores, dict) else {}


def _models(
    run: Run | None, lm: str | Path | None, device: str, scorers: Mapping[str, Scorer], absent: dict[str, str]
) -> dict[str, Scorer]:
    """What gives each line -log p in nats, of a run's generator and a language model, and a logit, of the run's D."""
    found: dict[str, Scorer] = {}
    reasons = dict.fromkeys(("generator", "discriminator", "language model"), "none was given")
    if run is not None:
        _ = run.generator  # that there is none is told now
        found["generator"] = lambda lines: -run.log_probs(lines)[0]
        try:
            found["discriminator"] = Opponent(run.path).logits
        except InputError as error:
            reasons["discriminator"] = str(error).removeprefix(f"{run.path}: ")
    if lm is not None:
        from textgan.lm import line_nll, load_lm

        loaded = load_lm(lm, device=device)
        found["language model"] = lambda lines: line_nll(loaded.model, loaded.tokenizer, lines)
    found |= scorers
    absent |= {f"counterfactuals of a {name}": why for name, why in reasons.items() if name not in found}
    return found


def _constrained(
    rows: _Pool, lexicon: Lexicon, real: Sequence[str], seed: int, absent: dict[str, str]
) -> dict[str, Constrained]:
    found, weights = {}, rows.weights[rows.selected]
    for name, way in (("raking", rake), ("quota", quota)):
        try:
            found[name] = constrain(rows.chosen, lexicon, real, by=way, seed=seed, weights=weights)
        except InputError as error:
            absent[f"{name} to real text's shares"] = str(error)
    return found


def _swapped(
    real: Sequence[str], lexicon: Lexicon, models: Mapping[str, Scorer], seed: int, absent: dict[str, str]
) -> dict[str, Counterfactual]:
    found = {}
    pairs = swaps(real, lexicon, most=SWAPPED, seed=seed) if models else []
    for name, score in models.items():
        try:
            found[name] = counterfactual(pairs, lexicon, score)
        except Unmeasurable as error:
            absent[f"counterfactuals of the {name}"] = str(error)
    return found


def _settings(rows: _Pool, real: Sequence[str], lexicon: Lexicon, seed: int, absent: dict[str, str]) -> list[Setting]:
    """Over thresholds of the score, of the rows that have one; of all rows where none has."""
    texts, scores = rows.texts, rows.scores
    if scores is None:
        absent["sensitivity to the threshold"] = f"no row has a score ({', '.join(SCORES)}), so none can be set"
    else:
        has = np.isfinite(scores)
        texts, scores = [text for text, there in zip(texts, has.tolist(), strict=True) if there], scores[has]
    return sensitivity(real, texts, lexicon, scores=scores, seeds=(seed, seed + 1, seed + 2))


def _overlaps(
    written: Mapping[str, Sequence[str]],
    real: Sequence[str],
    held: Text | None,
    n: int,
    seed: int,
    absent: dict[str, str],
) -> dict[str, Overlap]:
    """Of the pool as it came, and of what is selected of it."""
    if held is None:
        absent["overlap with the training text"] = "no control text was given, and overlap alone shows nothing"
        return {}
    found = {}
    for name, lines in written.items():
        whose = "" if name == POOL else f", {name} lines"
        try:
            found[name] = overlap(lines, real, held.lines, n=n, seed=seed)
        except InputError as error:
            absent[f"overlap with the training text{whose}"] = str(error)
            continue
        if found[name].ngram is None:
            absent[f"copied runs of {n} words{whose}"] = f"no line has {n} words"
    return found


def _exposed(
    planted: Canaries | None, models: Mapping[str, Scorer], run: Run | None, seed: int, absent: dict[str, str]
) -> dict[str, list[float]]:
    """Of each model that gives lines a probability."""
    if planted is None:
        absent["exposure of canaries"] = "no canaries were given"
        return {}
    found = {}
    for name in WRITERS:
        if name not in models:
            absent[f"exposure of canaries in a {name}"] = "none was given"
        elif name == "generator" and run is not None and run.encode(planted.lines).truncated:
            absent[f"exposure of canaries in the {name}"] = (
                f"they are longer than the {run.generator.max_len} tokens that the run reads and writes; plant shorter "
                "ones (--length), or train with --max_len"
            )
        else:
            found[name] = exposure(_negated(models[name]), planted, seed=seed).tolist()
    return found


def _negated(score: Scorer) -> Scorer:
    """log p of what gives -log p."""
    return lambda lines: -score(lines)


def _about(
    rows: _Pool, real: Text, held: Text | None, shared: float, lexicon: Lexicon, run: Any, lm: Any, n: int, seed: int
) -> dict[str, Any]:
    """What was audited, without a path of this machine."""
    about: dict[str, Any] = {
        "pool": {
            "name": rows.name,
            "rows": len(rows.texts),
            "selected": int(rows.selected.sum()),
            "score": rows.score,
            "scored": 0 if rows.scores is None else int(np.isfinite(rows.scores).sum()),
        },
        "real": {"name": real.name, "sha256": real.sha256, "lines": len(real.lines)},
        "lexicon": lexicon.name,
        "n": n,
        "seed": seed,
    }
    if held is not None:
        about["control"] = {"name": held.name, "sha256": held.sha256, "lines": len(held.lines)}
        about["control"]["also_in_real"] = shared
    return about | {name: Path(given).name for name, given in (("run", run), ("lm", lm)) if given is not None}
