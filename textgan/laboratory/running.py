"""An experiment from its configuration to its report: frozen first, trained, and only then tested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.errors import InputError, Interrupted
from textgan.experiment import Job, read_results, run_grid, run_job
from textgan.laboratory.cells import BASE, training_jobs
from textgan.laboratory.checks import chosen_by_d, noted
from textgan.laboratory.lab import Lab
from textgan.laboratory.opening import test_jobs
from textgan.laboratory.page import page
from textgan.laboratory.splits import make_splits
from textgan.laboratory.standing import so_far, standing
from textgan.laboratory.statistics import sentences
from textgan.laboratory.study import Study, read_study, source
from textgan.text import make_folder, write_json, write_lines

Say = Callable[[str], None]
LEFT_OUT = ("seconds", "commit", "versions", "job", "arguments")  # of a row, which is the same on any machine


class Report(NamedTuple):
    """What an experiment found. rows: those of results.jsonl. failed: job -> reason. said: sentences, which rest on
    the test text; so_far: lines about the validation text, while nothing is measured on the test text. noted: how
    real-only was tuned, and a warning for each thing that speaks against the experiment."""

    hash: str
    rows: list[dict[str, Any]]
    failed: dict[str, str]
    said: list[str]
    so_far: list[str]
    noted: list[str]


def run_study(
    config: str | Path | Study,
    out: str | Path,
    *,
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    sealed: bool = False,
    progress: Say | None = None,
) -> Report:
    """Do what is left of an experiment and write OUT/results.jsonl and OUT/report.html.

    It may be killed at any time and started again: every job is done once, and the end is the same. Broken off by a
    signal, it leaves the report of what is there, as `write_report` makes it at any time. The test text is
    opened when every training has been done or has failed; OUT/opened.json names those that had failed, which are tried
    again in a later call; but for them nothing is chosen from then on.
    sealed: stop before that, with the report on the validation text, by which configurations may be chosen; run again
    without it, the experiment goes on.
    Errors: InputError for a configuration that cannot be, for splits that overlap, for a folder of another experiment.
    """
    said, out = progress or (lambda line: None), make_folder(out)
    how: dict[str, Any] = {"workers": workers, "backend": backend, "address": address, "progress": said}
    freeze(config if isinstance(config, Study) else read_study(config), out)
    lab = Lab(out)
    said(f"configuration {lab.frozen['hash']}, frozen before the test text is opened")
    try:
        outcome = run_grid(training_jobs(out), lab.results, **how)
        if not sealed:
            open_test(lab, outcome)
            run_grid(test_jobs(out, _done(lab)), lab.results, **how)
    except (KeyboardInterrupt, Interrupted):
        write_report(out)
        raise
    return write_report(out)


def freeze(study: Study, out: str | Path) -> str:
    """Write the splits and OUT/study.json, or check that they are this study's; gives the hash of both.

    The recipes stand there with all their fields, so that another version's defaults are another experiment.
    """
    path, games = Path(out) / "study.json", study.recipes()
    if path.exists():
        frozen = Lab(out).frozen
        changed = _changes(frozen["study"], study.to_json()) or _changes(frozen.get("recipes", games), games)
        _refuse_changes(out, changed)
        known = frozen.get("files", {})
        if changed := _changes(known, {name: digest for name, digest in _files(study).items() if name in known}):
            raise InputError(f"{out}: a file of this experiment has changed since: {changed[0]}; restore it")
        _check_splits(Path(out), frozen, set(frozen["texts"]) - {"test"})
        return str(frozen["hash"])
    splits = make_splits(study)
    folder, texts = make_folder(Path(out) / "splits"), {}
    for name, lines in splits.items():
        write_lines(folder / f"{name}.txt", lines)
        texts[name] = {"lines": len(lines), "sha256": _digest(folder / f"{name}.txt")}
    found: dict[str, Any] = {"study": study.to_json(), "recipes": games, "texts": texts, "files": _files(study)}
    found["hash"] = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
    write_json(path, found)
    return str(found["hash"])


def _check_splits(out: Path, frozen: dict[str, Any], names: Iterable[str]) -> None:
    for name in sorted(names):
        path = out / "splits" / f"{name}.txt"
        if not path.is_file() or _digest(path) != frozen["texts"][name]["sha256"]:
            raise InputError(f"{path} is not what was frozen; restore it, or use another --out")


def _files(study: Study) -> dict[str, str]:
    """sha256 of the files that the study names and reads again and again, by their options."""
    from textgan.augmentation.audit import load_lexicon

    teacher = study.games.mle.get("generator", {}).get("path")
    named = {
        "base.text": study.base.text, "base.lm": study.base.lm, "lexicon": study.lexicon,
        "games.mle.generator.path": None if teacher == BASE else teacher, "selection.encoder": study.selection.encoder,
    }  # fmt: skip
    if study.lexicon:
        load_lexicon(source(study.lexicon))  # what is wrong with it is told now
    found = {}
    for key, path in ((key, Path(source(name))) for key, name in named.items() if name):
        if path.is_file():
            found[key] = _digest(path)
        elif path.is_dir():  # a model's folder
            found |= {f"{key}/{weights.name}": _digest(weights) for weights in sorted(path.glob("*.safetensors"))}
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_test(lab: Lab, outcome: dict[str, str]) -> None:
    """From here on the test text is read. Written once, with the trainings that had failed by then."""
    path = lab.out / "opened.json"
    if not path.exists():
        failed = {name: why for name, why in outcome.items() if why != "done"}
        write_json(path, {"hash": lab.frozen["hash"], "trainings": len(outcome), "failed": failed})
    _check_splits(lab.out, lab.frozen, ["test"])


def one_job(out: str | Path, name: str) -> tuple[str, str]:
    """One job of the grid, here, for a batch scheduler. Errors: InputError where it is too early for it."""
    lab = Lab(out)
    jobs = training_jobs(lab.out)
    done = _done(lab)
    if found := next((job for job in jobs if job.name == name), None):
        if lacking := [need for need in found.needs if need not in done]:
            raise InputError(f"--job {name}: {', '.join(lacking[:3])} must be done before")
        return run_job(found, lab.results)
    tried = done | {path.name.removesuffix(".failed.json") for path in lab.results.glob("*.failed.json")}
    if left := [job.name for job in jobs if job.name not in tried and set(job.needs) <= done]:
        raise InputError(f"--job {name}: {len(left)} trainings are to be done before the test text ({left[0]}, ...)")
    for job in test_jobs(lab.out, done):
        if job.name == name:
            open_test(lab, {j.name: "done" if j.name in done else "failed" for j in jobs})
            return run_job(job, lab.results)
    if any(name == place.name for place in lab.places()):
        raise InputError(f"--job {name}: its training has failed or is lost; --report says why")
    raise InputError(f"--job {name!r} is no job of this experiment; --list names them")


def all_jobs(out: str | Path) -> list[Job]:
    """Of the whole experiment, in an order in which they can be done."""
    lab = Lab(out)
    jobs = training_jobs(lab.out)
    return [*jobs, *test_jobs(lab.out, {job.name for job in jobs})]


def write_report(out: str | Path, config: str | Path | Study | None = None) -> Report:
    """OUT/results.jsonl, a row an arm, N, seed and ratio, and OUT/report.html, from the results that are there.

    The test text is not read. While nothing is measured on it, the page says what the validation text says so far.
    config: where one is given, it must be that with which OUT was frozen. Errors: InputError where it is not, or where
    OUT is no experiment.
    """
    lab = Lab(out)
    if config is not None:
        given = config if isinstance(config, Study) else read_study(config)
        _refuse_changes(lab.out, _changes(lab.study.to_json(), given.to_json()))
    results = read_results(lab.results)
    trained = {name: found for name, found in results.items() if not name.startswith("test-")}
    rows = [_row(lab, name, found, trained) for name, found in results.items() if name not in trained]
    failed = {
        path.name.removesuffix(".failed.json"): json.loads(path.read_text(encoding="utf-8"))["failed"].replace(
            f"{lab.out}/", ""
        )
        for path in sorted(lab.results.glob("*.failed.json"))
    }
    measured = {row["name"] for row in rows}
    absent = {place.name: place for place in lab.places() if place.name not in measured}
    for name, place in absent.items():
        if not lab.served(place):
            failed[name] = f"no candidate is left ({lab.result(lab.candidates(place)[0])['lost']})"
    files = {row["name"]: lab.work / "nats" / f"{row['name']}.npy" for row in rows}
    nats = {name: np.load(path, allow_pickle=False) for name, path in files.items() if path.exists()}
    early = None if rows else standing(lab, trained, len(failed))
    report = Report(
        str(lab.frozen["hash"]), rows, failed, sentences(lab.study, rows, nats), early.lines() if early else [],
        noted(lab.study, rows or so_far(lab, trained), trained),
    )  # fmt: skip
    write_lines(lab.out / "results.jsonl", [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows])
    html = page(
        lab.study, report.hash, rows, failed, list(absent), report.said, nats, trained, early and early.section(),
        report.noted,
    )  # fmt: skip
    write_lines(lab.out / "report.html", html.rstrip("\n").split("\n"))
    return report


def _row(lab: Lab, name: str, found: dict[str, Any], trained: dict[str, Any]) -> dict[str, Any]:
    """One of results.jsonl: what was measured, the budget of the training and, of a selected arm, D's figures."""
    row = {"name": name, "hash": lab.frozen["hash"]} | found["arguments"]
    row |= {key: value for key, value in found.items() if key not in LEFT_OUT}
    budget = trained.get(row["training"], {})
    row |= {key: budget[key] for key in ("steps", "tokens", "best_step", "rate") if key in budget}
    return row | chosen_by_d(row, trained)


def _done(lab: Lab) -> set[str]:
    return {path.stem for path in lab.results.glob("*.json") if not path.name.endswith(".failed.json")}


def _refuse_changes(out: str | Path, changed: Sequence[str]) -> None:
    if changed:
        raise InputError(f"{out} holds an experiment with other settings: {'; '.join(changed)}; use another --out")


def _changes(old: Any, new: Any, name: str = "") -> list[str]:
    """Dotted names of what differs, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys: Sequence[str] = sorted({*old, *new})
        return [c for k in keys for c in _changes(old.get(k), new.get(k), f"{name}.{k}" if name else k)]
    return [] if old == new else [f"{name} {old} -> {new}"]
