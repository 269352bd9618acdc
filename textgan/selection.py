"""`textgan select`: filters, a calibrated ratio, a selector, and another judge's opinion of what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.augmentation.density import DensityRatio, fold_of, some
from textgan.augmentation.filters import Screened, screen, usual_filters
from textgan.augmentation.folder import FORMS, data_card, origin, writer_lines
from textgan.augmentation.held_out import withhold
from textgan.augmentation.opinion import Opinion, second_opinion
from textgan.augmentation.select import DRS, SELECTORS, All, Chosen, Selector, choose
from textgan.errors import InputError
from textgan.evaluation import SEEN, unspaced
from textgan.metrics import NgramIndex
from textgan.readable import number
from textgan.report.funnel import selection_page
from textgan.text import Text, folded, read_text, same_form
from textgan.verdicts import Verdicts, candidates_of, free_folder, write_chosen

PAGE = "funnel.html"
EACH = 3  # texts of each fate that the page shows
USUAL = DRS(0.5)
SCORES = (
    "scores, as far as a row came: d, D's raw logit; d_calibrated, the probability that the text is real where half of "
    "all are; ratio, p_data / p_G; longest_copy, words in a row shared with a training line; nll_lm, nats a word under "
    "a Kneser-Ney model of the real lines"
)
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
    """Write the pool anew as the folder `out`, with a verdict and a reason, scores and a weight in each row; those that
    were not chosen stand in files of their own. The scores are whatever was reckoned of a row (`pool` says which).

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
    out = free_folder(Path(out))
    if form not in FORMS:
        raise InputError(f"format {form!r} is not one of {', '.join(FORMS)}")
    given = {"real": real, "train": train, "test": test, "judge": judge}
    inputs = {name: read_text(source) for name, source in given.items() if source is not None}
    candidates = candidates_of(pool)
    lines = candidates.lines
    for text in inputs.values():
        same_form(text.name, text.lines, lines)
    near = {"near": bounds["near"]} if "near" in bounds else {}
    texts, of_test, told = withhold(inputs, lines, where=str(pool), drop=drop_test_copies, **near)
    train_lines = texts["train"].lines if "train" in texts else None
    say(f"{len(lines):,} texts: filters")
    screened = screen(lines, [*of_test, *usual_filters(texts["real"].lines, train=train_lines, **bounds)])
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
    scores = fitted.scores(kept) if fitted else {}
    chosen = choose(scores.get("ratio", np.ones(len(kept))), how=how, seed=seed)
    taken = len(np.unique(chosen.index))
    say(f"{taken:,} texts: a second opinion")
    weights = np.bincount(chosen.index, chosen.weights, len(kept))
    opinion = second_opinion(for_judge, kept, weights, seed=seed)
    known = origin(pool)
    licence, source = licence or known.get("licence"), known.get("source", {})
    name = next(word for word, kind in SELECTORS.items() if isinstance(how, kind))
    of_d = fitted.diagnostics.warnings() if fitted else ()
    of_texts = [*_spaceless(texts["real"].lines, lines, seed), *_overlap(texts, fitted, source)]
    warnings = [*told, *of_texts, *of_d, *chosen.warnings]
    funnel = [("generated", len(candidates.selected)), *screened.funnel, (f"chosen by {name}", taken)]
    done = Selection(funnel, chosen, fitted, opinion, list(dict.fromkeys(warnings)))
    plan = {
        "how": {"name": name, **asdict(how)}, "near": bounds.get("near"), "span": bounds.get("span"), "format": form,
        "seed": seed, "ratio": fitted.settings if fitted else None, "source": source, "licence": licence,
    }  # fmt: skip
    verdicts = _verdicts(screened, scores, weights, name)
    write_chosen(
        candidates, verdicts, out, form=form, provenance=_provenance(plan, done), inputs=inputs,
        card=_card(done, plan), pages={PAGE: _page(done, lines, verdicts)},
    )  # fmt: skip
    return done


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


def _verdicts(screened: Screened, scores: Mapping[str, np.ndarray], weights: np.ndarray, name: str) -> Verdicts:
    """Of all candidates; scores and weights (k,) are those of the ones that passed the filters."""
    n, kept = len(screened.reasons), screened.kept

    def of_all(values: np.ndarray, otherwise: float) -> np.ndarray:
        found = np.full(n, otherwise)
        found[kept] = values
        return found

    reasons = list(screened.reasons)
    for row in kept[weights == 0].tolist():
        reasons[row] = f"not chosen by {name}"
    of_d = {score: of_all(values, np.nan) for score, values in scores.items()}
    return Verdicts(reasons, of_all(weights, 0.0), {**screened.scores, **of_d})


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


def _page(done: Selection, lines: Sequence[str], verdicts: Verdicts) -> list[str]:
    known = done.ratio.diagnostics._asdict() if done.ratio else {}
    known |= {"acceptance": done.chosen.acceptance, "effective sample of what was chosen": done.chosen.effective_sample}
    figures = [[key.replace("_", " "), number(float(value))] for key, value in known.items()]
    counted: Counter[str] = Counter()
    samples = []
    for row, (line, reason) in enumerate(zip(lines, verdicts.reasons, strict=True)):
        fate = (reason or "chosen").partition(":")[0]
        counted[fate] += 1
        if counted[fate] <= EACH:
            ratio = verdicts.scores["ratio"][row] if "ratio" in verdicts.scores else np.nan
            samples.append((line, number(None if np.isnan(ratio) else float(ratio)), reason or "chosen"))
    samples.sort(key=lambda row: row[2])
    page = selection_page(done.funnel, said=_said(done), facts=figures, warnings=done.warnings, samples=samples)
    return page.rstrip("\n").split("\n")


def _provenance(settings: Mapping[str, Any], done: Selection) -> dict[str, Any]:
    return {
        "textgan": "select",
        "plan": dict(settings),
        "funnel": dict(done.funnel),
        "diagnostics": done.ratio.diagnostics._asdict() if done.ratio else None,
        "opinion": done.opinion._asdict() if done.opinion else None,
        "acceptance": done.chosen.acceptance,
        "effective_sample": done.chosen.effective_sample,
        "warnings": done.warnings,
    }


def _card(done: Selection, plan: Mapping[str, Any]) -> list[str]:
    about = [*_said(done), *(f"warning: {line}" for line in done.warnings)]
    about += [SCORES, *writer_lines(plan["source"], plan["licence"])]
    title = f"{done.funnel[-1][1]:,} selected texts"
    rows = done.funnel[0][1]
    rejected = rows - done.funnel[-1][1]
    return data_card(
        title, about=about, rows=rows, form=plan["format"], licence=plan["licence"], funnel=done.funnel,
        rejected=rejected,
    )  # fmt: skip
