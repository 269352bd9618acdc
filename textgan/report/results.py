"""What a run folder says, read without trusting it: any file may be absent, half written, hostile or misshapen.

Nothing here raises on content: what cannot be read is left out and said in `problems`. A value that is not a finite
number is absent, never 0. Only a folder that is no run at all is an InputError.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textgan.errors import InputError
from textgan.metrics.score import Score

MOST_BYTES = 64 << 20  # of one file; a larger one is named and left out
HUGE = 1e100  # numbers from here on are taken for damage


class Row(NamedTuple):
    """One line of log.jsonl; `step` runs on over all phases."""

    step: float
    phase: str
    values: dict[str, float]
    warnings: tuple[str, ...]


class Lines(NamedTuple):
    """Sentences from one file of the run folder; `step` where the name tells it."""

    file: str
    step: int | None
    lines: list[str]


class Evaluated(NamedTuple):
    """One evaluation*.json: the text's scores and real text's own at the same n, by name."""

    file: str
    text: str
    reference: str
    n: float | None
    seed: float | None
    scores: dict[str, Score]
    real: dict[str, Score]
    absent: dict[str, str]  # metrics that could not be measured, with the reason
    verdicts: dict[str, str]  # what the difference to real text supports, where it was tested
    warnings: list[str]


class Arm(NamedTuple):
    """One fine-tuned language model: what it was fed, its perplexity on held-out text, the text that it wrote."""

    name: str
    lm: str
    values: dict[str, float]  # steps, tokens, nll_per_token, nll_per_byte, perplexity: those that are there
    scores: dict[str, Score]
    samples: list[str]
    notes: list[str]  # what else a reader must know of its figures


class Augmented(NamedTuple):
    """One augmentation*.json: language models fine-tuned without and with synthetic text."""

    file: str
    lm: str
    ratio: float | None
    seed: float | None
    shared: str  # what repeats of one experiment share: all settings but the seed, the texts and the pool
    arms: list[Arm]
    real: dict[str, Score]


class RunData(NamedTuple):
    """All that the report knows of one run folder."""

    name: str
    recipe: dict[str, Any]
    log: list[Row]
    samples: list[Lines]  # written at intervals, by step
    generated: Lines | None  # the text to judge: sample*.txt, else the latest of samples/
    heldout: list[str]
    evaluations: list[Evaluated]
    augmentations: list[Augmented]
    finetunes: list[Arm]
    problems: list[str]


def finite(value: object) -> float | None:
    """The value as a float if it is a number that can be drawn (finite, below HUGE), else None; a bool is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -HUGE < value < HUGE:
        return None
    return float(value)


def dig(value: object, *keys: str) -> Any:
    """value[key][key]..., or None as soon as there is no such thing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def words(value: object) -> str:
    """A text as it is, None as nothing, anything else as JSON."""
    if isinstance(value, str) or value is None:
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to show)"


class _Folder:
    """A run folder's files: read as text, never through a link that leads out of it; troubles are collected."""

    def __init__(self, path: Path) -> None:
        self.path, self.root, self.problems = path, path.resolve(), list[str]()

    def find(self, pattern: str) -> list[Path]:
        """The regular files that match, by name."""
        found = []
        for path in sorted(self.path.glob(pattern)):
            if not path.resolve().is_relative_to(self.root):
                self.problems.append(f"{path.name} is a link out of the run folder; it was not followed")
            elif path.is_file() and not path.name.startswith("."):
                found.append(path)
        return found

    def read(self, path: Path) -> str | None:
        """The file's text with every bad byte replaced; None and a problem if it cannot be read."""
        try:
            if path.stat().st_size > MOST_BYTES:
                self.problems.append(f"{path.name} is larger than {MOST_BYTES >> 20} MB; it was not read")
                return None
            return path.read_bytes().decode("utf-8", errors="replace")
        except OSError as error:
            self.problems.append(f"{path.name} could not be read ({error.strerror})")
            return None

    def json(self, path: Path) -> dict[str, Any] | None:
        """The file's JSON object; None and a problem if there is none (NaN and Infinity count as absent values)."""
        text = self.read(path)
        if text is None:
            return None
        value = _parse(text)
        if not isinstance(value, dict):
            self.problems.append(f"{path.name} holds no JSON object (empty or partly written?); it was left out")
            return None
        return value

    def lines(self, path: Path) -> list[str]:
        """The file's lines, split at newlines only, blank ones dropped."""
        return [line for line in (line.rstrip("\r") for line in (self.read(path) or "").split("\n")) if line.strip()]


def _parse(text: str) -> object:
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def _scores(value: object) -> dict[str, Score]:
    found = {}
    for item in value if isinstance(value, list) else []:
        name, figure, n = words(dig(item, "name")), finite(dig(item, "value")), finite(dig(item, "n"))
        if name and figure is not None:
            better = dig(item, "better")
            found[name] = Score(
                name, figure, better if better in ("higher", "lower") else "match", int(n or 0),
                words(dig(item, "signature")), finite(dig(item, "low")), finite(dig(item, "high")),
            )  # fmt: skip
    return found


def _arm(value: dict[str, Any], name: str, lm: str) -> Arm:
    keys = ("steps", "tokens", "nll_per_token", "nll_per_byte", "perplexity")
    known = {key: figure for key in keys if (figure := finite(value.get(key))) is not None}
    samples = value.get("samples")
    kept = [words(line) for line in samples] if isinstance(samples, list) else []
    held = words(value.get("measured_on"))
    notes = [f"measured on the {held} text"] if held else []
    if unknown := finite(value.get("unk_rate")):
        notes.append(f"{100 * unknown:.2g} % of the measured tokens are unknown words, which flatters the figures")
    overlap = value.get("overlap")
    for part, lines in overlap.items() if isinstance(overlap, dict) else []:
        if count := finite(lines):
            notes.append(f"{count:,.0f} lines of {words(part)} are also in the training text")
    return Arm(
        words(value.get("name")) or name, words(value.get("lm")) or lm, known, _scores(value.get("scores")), kept, notes
    )  # fmt: skip


def _evaluated(file: str, value: dict[str, Any]) -> Evaluated:
    text, reference = (words(dig(value, key, "name") or value.get(key)) for key in ("text", "reference"))
    scores = _scores(value.get("scores"))
    n = finite(value.get("n"))
    if n is None and len(sizes := {score.n for score in scores.values()}) == 1:
        n = sizes.pop() or None
    said = [words(text) for key in ("warnings", "notes") for text in _list(value.get(key))]
    absent, verdicts = (
        {words(name): words(why) for name, why in found.items()} if isinstance(found := value.get(key), dict) else {}
        for key in ("absent", "verdicts")
    )
    seed, real = finite(value.get("seed")), _scores(value.get("real"))
    return Evaluated(file, text, reference, n, seed, scores, real, absent, verdicts, said)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _augmented(file: str, value: dict[str, Any]) -> Augmented:
    lm, arms = words(value.get("lm")), value.get("arms")
    kept = [
        _arm(arm, f"arm {i + 1}", lm)
        for i, arm in enumerate(arms if isinstance(arms, list) else [])
        if isinstance(arm, dict)
    ]
    settings = value.get("settings")
    own = ("seed", "steps")  # three passes over a mix that the seed has drawn are not always as many steps
    rest = {key: found for key, found in settings.items() if key not in own} if isinstance(settings, dict) else {}
    shared = words([rest, value.get("texts"), dig(value, "synthetic", "sha256")])
    return Augmented(
        file, lm, finite(value.get("ratio")), finite(value.get("seed")), shared, kept, _scores(value.get("real"))
    )


def _log(folder: _Folder) -> list[Row]:
    """The rows by step. Steps that a new phase begins anew are counted on; of a row said twice the later wins."""
    rows: dict[tuple[str, float], Row] = {}
    bad, offset, last, seen = 0, 0.0, 0.0, frozenset[str]()
    for path in folder.find("log.jsonl"):
        for text in folder.lines(path):
            row = _parse(text)
            step = finite(dig(row, "step"))
            if not isinstance(row, dict) or step is None:
                bad += 1
                continue
            now = words(row.get("phase"))
            if now not in seen and step + offset < last:
                offset = last
            seen, last = seen | {now}, step + offset
            values = {
                key: figure for key, value in row.items() if key != "step" and (figure := finite(value)) is not None
            }
            said = tuple(text for text in [words(row.get("warning"))] if text)
            before = rows.get((now, last), Row(last, now, {}, ()))
            warnings = before.warnings + tuple(text for text in said if text not in before.warnings)
            rows[now, last] = Row(last, now, before.values | values, warnings)
    if bad:
        folder.problems.append(f"log.jsonl has {bad} unreadable line{'s' * (bad > 1)} (partly written?); left out")
    return sorted(rows.values(), key=lambda row: row.step)


def _step(path: Path) -> int | None:
    found = re.fullmatch(r"\D*(\d{1,15})", path.stem)
    return int(found[1]) if found else None


def _generated(folder: _Folder, samples: Sequence[Lines]) -> Lines | None:
    for path in sorted(
        folder.find("sample*.txt"), key=lambda path: (path.stem not in ("sample", "samples"), path.name)
    ):
        if lines := folder.lines(path):
            return Lines(path.name, None, lines)
    return samples[-1] if samples else None


def read_run(path: str | Path, name: str | None = None) -> RunData:
    """The results in a run folder. A folder without a recipe, a log, samples or results is refused: it is not a run."""
    where = Path(path)
    if not where.is_dir():
        raise InputError(f"{where}: no such folder; give the --out folder of 'textgan train'")
    folder = _Folder(where)
    recipes, results = folder.find("recipe.json"), folder.find("*.json")
    kept = {kind: [(p.name, v) for p in results if p.name.startswith(kind) and (v := folder.json(p)) is not None]
            for kind in ("evaluation", "augmentation", "finetune")}  # fmt: skip
    written = [Lines(f"samples/{p.name}", _step(p), folder.lines(p)) for p in folder.find("samples/*.txt")]
    samples = sorted(
        (text for text in written if text.lines), key=lambda text: (text.step is not None, text.step or 0, text.file)
    )
    if not (recipes or folder.find("log.jsonl") or samples or any(kept.values())):
        what = (
            "is empty"
            if not any(where.iterdir())
            else "is not a run folder (no recipe.json, log.jsonl, samples/ or evaluation*.json)"
        )
        raise InputError(f"{where}: {what}; give the --out folder of 'textgan train'")
    heldout = [line for p in folder.find("heldout.txt") for line in folder.lines(p)]
    return RunData(
        name=name or where.resolve().name or "run",
        recipe=(folder.json(recipes[0]) or {}) if recipes else {},
        log=_log(folder),
        samples=samples,
        generated=_generated(folder, samples),
        heldout=heldout,
        evaluations=[_evaluated(file, value) for file, value in kept["evaluation"]],
        augmentations=[_augmented(file, value) for file, value in kept["augmentation"]],
        finetunes=[_arm(value, Path(file).stem, "") for file, value in kept["finetune"]],
        problems=sorted(set(folder.problems)),
    )


def read_runs(paths: Iterable[str | Path]) -> list[RunData]:
    """All runs, each under a name of its own: the folder's, with its parent's or a number too where two are alike."""
    folders = [Path(path) for path in paths]
    if not folders:
        raise InputError("no run folder was given; give one or more --out folders of 'textgan train'")
    names = [folder.resolve().name for folder in folders]
    long = [f"{folder.resolve().parent.name}/{name}" for folder, name in zip(folders, names, strict=True)]
    names = [name if names.count(name) == 1 else wide for name, wide in zip(names, long, strict=True)]
    numbered = [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)
    ]
    return [read_run(folder, name) for folder, name in zip(folders, numbered, strict=True)]
