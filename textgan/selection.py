"""`textgan select`: filters, a calibrated ratio, a selector, and another judge's opinion of what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.augmentation.density import DensityRatio, fold_of, some
from textgan.augmentation.filters import Screened, screen, usual_filters
from textgan.augmentation.folder import (
    FORMS,
    MANIFEST,
    data_card,
    origin,
    read_pool,
    seal_pool,
    write_shards,
    writer_lines,
)
from textgan.augmentation.held_out import withhold
from textgan.augmentation.mix import one_line_each
from textgan.augmentation.opinion import Opinion, second_opinion
from textgan.augmentation.pool import Row
from textgan.augmentation.select import DRS, SELECTORS, All, Chosen, Selector, choose
from textgan.checkpoints import replace_folder
from textgan.errors import InputError
from textgan.evaluation import SEEN, unspaced
from textgan.experiment import commit, versions
from textgan.manifest import facts
from textgan.metrics import NgramIndex
from textgan.readable import number
from textgan.report.funnel import selection_page
from textgan.text import Text, folded, read_text, same_form, spool, write_lines
from textgan.text.rows import REJECTED, ROWS

PAGE = "funnel.html"
EACH = 3  # texts of each fate that the page shows
USUAL = DRS(0.5)
FAKES = 3  # written texts that D is trained on, for each real one

Source = str | Path | Sequence[str] | Text


class Selection(NamedTuple):
    """What came of it. funnel: (stage, texts left). chosen: rows taken. diagnostics, opinion: None where no D was asked
    for, or texts were too few. warnings: one line each."""

    funnel: list[tuple[str, int]]
    chosen: Chosen
    ratio: DensityRatio | None
    opinion: Opinion | None
    warnings: list[str]

    def told(self) -> list[str]:
        """The funnel as a table, what came of it in sentences, and the warnings, a line each."""
        wide = max(len(name) for name, _ in self.funnel)
        table = [f"{name:<{wide}}  {left:>12,}" for name, left in self.funnel]
        found = self.ratio.diagnostics if self.ratio else None
        about = (
            [f"D: AUC {found.auc:.3f}, ECE {found.ece:.3f} (by chance {found.ece_by_chance:.3f}), effective sample "
             f"{100 * found.effective_sample:.0f} %, largest ratio {found.largest:.3g}"] if found else []
        )  # fmt: skip
        return [*table, *about, *_said(self), *(f"warning: {line}" for line in self.warnings)]


def select(
    pool: str | Path,
    real: Source,
    out: str | Path,
    *,
    how: Selector = USUAL,
    ratio: DensityRatio | Mapping[str, Any] | None = None,
    train: Source | None = None,
    test: Source | None = None,
    judge: Source | None = None,
    drop_test_copies: bool = False,
    form: str = "jsonl",
    licence: str | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    **bounds: Any,
) -> Selection:
    """Write the pool anew as the folder `out`, with a verdict and a reason, a ratio and a weight in each row; those
    that were not chosen stand in files of their own.

    real: lines that the generator has not seen: the filters' bounds are drawn after them, and D learns from them.
    ratio: one that was fitted before, or what `DensityRatio.fit` is told; its body may be the D of a finished run
    (`opponents.Opponent`), which has seen the generator's training lines and as a rule knows less than a new one.
    judge: real lines for the second opinion; without it a quarter of `real` is kept for that. train: the generator's
    text, copies of which are dropped. test: a text that no model may see: lines of it and near-duplicates of them are
    an error in the pool and in the other texts, or dropped (`held_out.withhold`). bounds: what else `usual_filters` is
    told (blocked, near, span). form: "jsonl" or "parquet". licence: of the training text (default: what the pool
    says). A row that is taken m times gets m times the weight.
    Errors: InputError for a pool or an `out` that will not do; `out` is then as it was.
    """
    say = progress or (lambda line: None)
    out = _free(Path(out))
    if form not in FORMS:
        raise InputError(f"format {form!r} is not one of {', '.join(FORMS)}")
    given = {"real": real, "train": train, "test": test, "judge": judge}
    inputs = {name: read_text(source) for name, source in given.items() if source is not None}
    rows, lines = _candidates(pool)
    for text in inputs.values():
        same_form(text.name, text.lines, lines)
    near = {"near": bounds["near"]} if "near" in bounds else {}
    texts, of_test, told = withhold(inputs, lines, where=str(pool), drop=drop_test_copies, **near)
    train_lines = texts["train"].lines if "train" in texts else None
    filters = [*of_test, *usual_filters(texts["real"].lines, train=train_lines, **bounds)]
    say(f"{len(lines):,} texts: filters")
    screened = screen(lines, filters)
    kept = [lines[row] for row in screened.kept.tolist()]
    if not kept:
        left = ", ".join(f"{name} {count}" for name, count in screened.funnel)
        raise InputError(f"{pool}: no text passes the filters ({left}); give other real text or a better pool")
    for_d, for_judge = _parted(texts, seed)
    if not isinstance(ratio, DensityRatio) and not isinstance(how, All):
        say(f"{len(kept):,} texts: D")
        try:
            ratio = DensityRatio.fit(for_d, some(kept, FAKES * len(for_d), seed), **{"seed": seed, **(ratio or {})})
        except InputError as error:
            raise InputError(f"{error} (of {len(lines):,} texts the filters have left {len(kept):,})") from None
    fitted = ratio if isinstance(ratio, DensityRatio) else None
    values = fitted.ratio(kept) if fitted else None
    chosen = choose(np.ones(len(kept)) if values is None else values, how=how, seed=seed)
    taken = np.unique(chosen.index)
    say(f"{len(taken):,} texts: a second opinion")
    weights = np.bincount(chosen.index, chosen.weights, len(kept))
    opinion = second_opinion(for_judge, kept, weights, seed=seed)
    known = origin(pool)
    licence, source = licence or known.get("licence"), known.get("source", {})
    name = next(word for word, kind in SELECTORS.items() if isinstance(how, kind))
    of_d = fitted.diagnostics.warnings() if fitted else ()
    of_texts = [*_spaceless(texts["real"].lines, lines, seed), *_overlap(texts, fitted, source)]
    warnings = [*told, *of_texts, *of_d, *chosen.warnings]
    funnel = [("generated", len(rows)), *screened.funnel, (f"chosen by {name}", len(taken))]
    done = Selection(funnel, chosen, fitted, opinion, list(dict.fromkeys(warnings)))
    plan = {
        "how": {"name": name, **asdict(how)}, "near": bounds.get("near"), "span": bounds.get("span"), "format": form,
        "seed": seed, "ratio": fitted.settings if fitted else None, "source": source, "licence": licence,
    }  # fmt: skip
    fates = [*_fates(screened, values, weights, name)]

    def write(folder: Path) -> None:
        write_shards(
            _verdicts(pool, rows, fates), folder, form, lambda row: ROWS if row["selected"] else REJECTED
        )  # fmt: skip
        _page(done, lines, fates, folder / PAGE)
        seal_pool(folder, _provenance(pool, inputs, plan, done), _card(done, len(rows), plan))

    replace_folder(out, write)
    return done


class Fate(NamedTuple):
    """What has become of a candidate: why it was dropped (None: it was not), its ratio where it has one, its weight."""

    reason: str | None
    ratio: float | None
    weight: float


def _free(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a new folder as --out")
    return out


def _candidates(pool: str | Path) -> tuple[np.ndarray, Sequence[str]]:
    """(n,) bool: which rows of the pool are selected so far; and their texts."""
    selected: list[bool] = []

    def texts() -> Iterator[str]:
        for row in read_pool(pool):
            selected.append(bool(row["selected"] and row["text"].strip()))
            if selected[-1]:
                yield row["text"]

    lines = one_line_each(spool(texts()))
    if not lines:
        raise InputError(f"{pool}: holds no selected text; give a pool that `textgan generate` has written")
    return np.array(selected), lines


def _parted(texts: Mapping[str, Text], seed: int) -> tuple[Sequence[str], Sequence[str]]:
    """Real lines for D and for the second judge, copies on one side."""
    lines = texts["real"].lines
    if "judge" in texts:
        taken = set(map(folded, texts["judge"].lines))
        return [line for line in lines if folded(line) not in taken], texts["judge"].lines
    aside = (fold_of(lines, 4, seed + 1) == 0).tolist()  # other folds than D's
    d, second = ([line for line, away in zip(lines, aside, strict=True) if away is part] for part in (False, True))
    return d, second


def _spaceless(real: Sequence[str], lines: Sequence[str], seed: int) -> list[str]:
    """A warning for each text in which no spaces part the words."""
    return [
        f"nearly all {name} lines are one word, and filters and D go by words; put spaces between words or characters"
        for name, text in (("real", real), ("candidate", lines))
        if unspaced(NgramIndex(some(text, SEEN, seed)))
    ]


def _overlap(texts: Mapping[str, Text], ratio: DensityRatio | None, source: Mapping[str, Any]) -> list[str]:
    body, learnt = ratio.settings["body"] if ratio else None, source.get("corpus")
    if ratio and isinstance(learnt, dict) and learnt.get("sha256") == texts["real"].sha256:
        return [
            "the pool's generator was trained on this very text: D takes what it remembers for real; give lines that "
            "it has not seen"
        ]
    if isinstance(body, dict) and body["corpus"] == texts["real"].sha256:
        return [
            f"the run {body['run']} was trained on this very text: its D takes what it remembers for real; give lines "
            "that it has not seen, as the run's heldout.txt"
        ]
    if "train" not in texts:
        return []
    seen = set(map(folded, texts["train"].lines))
    same = sum(folded(line) in seen for line in texts["real"].lines)
    if not same:
        return []
    return [
        f"{same} of {len(texts['real'].lines)} real lines stand in the training text: D takes what the generator "
        "remembers for real; give lines that it has not seen"
    ]


def _fates(screened: Screened, ratio: np.ndarray | None, weights: np.ndarray, name: str) -> Iterator[Fate]:
    """One for each candidate, in order; weights (k,) of those that passed the filters."""
    at = dict(zip(screened.kept.tolist(), range(len(screened.kept)), strict=True))
    for row, reason in enumerate(screened.reasons):
        if reason is not None:
            yield Fate(reason, None, 0.0)
            continue
        weight, value = float(weights[at[row]]), None if ratio is None else float(ratio[at[row]])
        yield Fate(None if weight > 0 else f"not chosen by {name}", value, weight)


def _verdicts(pool: str | Path, selected: np.ndarray, fates: Sequence[Fate]) -> Iterator[Row]:
    """The pool's rows once more, each with what has become of it."""
    following = iter(fates)
    for was, row in zip(selected.tolist(), read_pool(pool), strict=True):
        if not was:
            reason = row.get("reason") or ", ".join(row["flags"]) or "not selected before"
            yield {**row, "selected": False, "weight": 0.0, "reason": reason}
            continue
        fate = next(following)
        new = {**row, "selected": fate.reason is None, "weight": fate.weight}
        if fate.ratio is not None:
            new["scores"] = {**row.get("scores", {}), "ratio": fate.ratio}
        yield new if fate.reason is None else {**new, "reason": fate.reason}


def _said(done: Selection) -> list[str]:
    first, last = done.funnel[0][1], done.funnel[-1][1]
    said = [f"{last:,} of {first:,} texts were selected ({100 * last / first:.1f} %)."]
    if done.opinion is None:
        return [*said, "There were too few texts or real lines for a second opinion."]
    seen = done.opinion
    return [
        *said,
        f"A judge that had no part in it tells all candidates from real text with AUC {seen.before:.3f} "
        f"(standard error {seen.before_error:.3f}) and the selection with {seen.after:.3f} ({seen.after_error:.3f}): "
        f"{seen.verdict}.",
    ]


def _page(done: Selection, lines: Sequence[str], fates: Sequence[Fate], path: Path) -> None:
    known = done.ratio.diagnostics._asdict() if done.ratio else {}
    known |= {"acceptance": done.chosen.acceptance, "effective sample of what was chosen": done.chosen.effective_sample}
    figures = [[key.replace("_", " "), number(float(value))] for key, value in known.items()]
    counted: Counter[str] = Counter()
    samples = []
    for line, fate in zip(lines, fates, strict=True):
        reason = fate.reason or "chosen"
        counted[reason.partition(":")[0]] += 1
        if counted[reason.partition(":")[0]] <= EACH:
            samples.append((line, number(fate.ratio), reason))
    samples.sort(key=lambda row: row[2])
    page = selection_page(done.funnel, said=_said(done), facts=figures, warnings=done.warnings, samples=samples)
    write_lines(path, page.rstrip("\n").split("\n"))


def _provenance(
    pool: str | Path, texts: Mapping[str, Text], settings: Mapping[str, Any], done: Selection
) -> dict[str, Any]:
    source = Path(pool) / MANIFEST if Path(pool).is_dir() else Path(pool)
    return {
        "textgan": "select",
        "plan": dict(settings),
        "inputs": {
            "pool": {"name": Path(pool).name, **facts(source)},
            **{key: {"name": t.name, "sha256": t.sha256, "lines": len(t.lines)} for key, t in texts.items()},
        },
        "funnel": dict(done.funnel),
        "diagnostics": done.ratio.diagnostics._asdict() if done.ratio else None,
        "opinion": done.opinion._asdict() if done.opinion else None,
        "acceptance": done.chosen.acceptance,
        "effective_sample": done.chosen.effective_sample,
        "warnings": done.warnings,
        "commit": commit(),
        "versions": versions(),
    }


def _card(done: Selection, rows: int, plan: Mapping[str, Any]) -> list[str]:
    about = [*_said(done), *(f"warning: {line}" for line in done.warnings)]
    about += writer_lines(plan["source"], plan["licence"])
    title = f"{done.funnel[-1][1]:,} selected texts"
    rejected = rows - done.funnel[-1][1]
    return data_card(
        title, about=about, rows=rows, form=plan["format"], licence=plan["licence"], funnel=done.funnel,
        rejected=rejected,
    )  # fmt: skip
