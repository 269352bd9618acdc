"""What the answers say: who wins, how sure that is, how far raters agree, and who was not reading."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgan.augmentation.rating.answers import Answer, read_answers
from textgan.augmentation.rating.sheets import KEY
from textgan.errors import InputError
from textgan.metrics.intervals import CONFIDENCE, wilson
from textgan.readable import printable

DRAWS = 2000
FAILED = 0.25  # share of attention items; a rater who fails more is left out
FEW, FEW_ITEMS = 6, 30  # raters below which nothing is said of people; pairs below which a bootstrap is too narrow
BLOCK = 100  # bootstrap draws held at once


class Excluded(NamedTuple):
    """A rater whose answers are not counted: attention items failed, of those answered."""

    rater: str
    failed: int
    of: int


class Side(NamedTuple):
    """How often the left side was chosen, of the decided answers, with Wilson's interval; .5 means no bias."""

    left: float
    low: float
    high: float
    answers: int


class Scored(NamedTuple):
    """The result. win_rate: mean over all answers to pairs of 1 (A chosen), 1/2 (neither), 0 (B), with a 95 % interval.

    clusters: what the bootstrap drew anew. wins, losses, draws: pairs by the majority of their raters; p: the exact
    two-sided sign test on wins and losses. alpha: Krippendorff's, nominal (None: fewer than two raters share a pair).
    unchecked: raters who answered no attention item, though there are some; they count. pairs, answers, neither, blank:
    counts. sides: over all pairs; controls: over pairs of two real lines.
    """

    a: str
    b: str
    win_rate: float
    low: float
    high: float
    clusters: str
    wins: int
    losses: int
    draws: int
    p: float
    alpha: float | None
    raters: int
    excluded: list[Excluded]
    unchecked: list[str]
    pairs: int
    unrated: int
    answers: int
    neither: int
    blank: int
    sides: Side | None
    controls: Side | None

    @property
    def finding(self) -> str:
        """One sentence."""
        many = f"{self.pairs} pairs, {self.raters} rater{'s' * (self.raters != 1)}"
        said = f"A ({self.a}) is chosen over B ({self.b}) in {100 * self.win_rate:.1f} % of the answers"
        span = f"95 % interval {100 * self.low:.1f} to {100 * self.high:.1f} % over {self.clusters}, {many}"
        if self.low > 0.5 or self.high < 0.5:
            better = "A" if self.low > 0.5 else "B"
            if self.raters < FEW:
                some = "this rater prefers" if self.raters == 1 else f"these {self.raters} raters prefer"
                return f"{said} ({span}): {some} {better}; others may not."
            return f"{said} ({span}): people prefer {better}."
        return f"{said} ({span}): people are not shown to prefer either."

    def to_json(self) -> dict[str, Any]:
        """All figures, and the sentence."""
        found = self._asdict() | {"excluded": [one._asdict() for one in self.excluded], "finding": self.finding}
        sides = {name: side and side._asdict() for name, side in (("sides", self.sides), ("controls", self.controls))}
        return found | sides

    def to_lines(self) -> list[str]:
        """The figures for a terminal, the sentence last."""
        alpha = "none (no pair with two answers, or all alike)" if self.alpha is None else f"{self.alpha:.3f}"
        rows = [
            ("win rate of A", f"{self.win_rate:.3f}  [{self.low:.3f}, {self.high:.3f}], drawn anew: {self.clusters}"),
            ("sign test", f"{self.wins} pairs for A, {self.losses} for B, {self.draws} even; p = {self.p:.3g}"),
            ("Krippendorff's alpha", alpha),
            (
                "answers",
                f"{self.answers} to {self.pairs} pairs, {self.neither} of them neither; {self.unrated} unrated",
            ),
            ("blank cells", f"{self.blank}"),
        ]
        for name, side in (("left side, pairs", self.sides), ("left side, controls", self.controls)):
            if side is not None:
                rows.append((name, f"{side.left:.3f}  [{side.low:.3f}, {side.high:.3f}] of {side.answers}"))
        for one in self.excluded:
            rows.append(("left out", f"{printable(one.rater)}: {one.failed} of {one.of} attention items failed"))
        for rater in self.unchecked:
            rows.append(("counted unchecked", f"{printable(rater)}: answered none of the attention items"))
        return [f"{name:<22}{value}" for name, value in rows] + ["", printable(self.finding)]


def score(folder: str | Path, sheets: Sequence[str | Path], *, seed: int = 0, failed: float = FAILED) -> Scored:
    """Score filled sheets with the key that `make` wrote into `folder`.

    A rater who fails more than `failed` of the attention items that he answers is left out, and told; one who answers
    none of them counts, and is told.
    The interval: both raters and items are drawn anew, independently (Owen 2007, the pigeonhole bootstrap), since the
    answers of one rater, and to one item, hang together; of one rater the items alone. Below 30 pairs it is never
    narrower than Wilson's, as a bootstrap of few is. Fewer than six raters stand for themselves alone: where each has a
    taste of his own, two of them show one in 31 % of the cases (three: 25 %, five: 8 %). Errors: a sheet of another key
    (see `read_answers`), no sheet, nobody left.
    """
    key = read_key(Path(folder) / KEY)
    if not sheets:
        raise InputError("there is no filled sheet to score; give at least one")
    answers, blank = list[Answer](), 0
    for path in sheets:
        found, empty = read_answers(path, key["sheet"], key["items"])
        known = {(one.rater, one.item) for one in answers}
        if twice := next((one for one in found if (one.rater, one.item) in known), None):
            raise InputError(f"{path}: rater {twice.rater[:40]!r} stands in another file too; give each rater a name")
        answers, blank = answers + found, blank + empty
    excluded = _inattentive(answers, key["items"], failed)
    out = {one.rater for one in excluded}
    kept = [one for one in answers if one.rater not in out]
    votes, neither = _votes(kept, key["items"])
    if not votes.size:
        why = f"{len(excluded)} raters failed the attention items" if excluded else "no pair has an answer"
        raise InputError(f"nothing is left to score: {why}; give more filled sheets")
    low, high, clusters = _interval(votes, seed)
    tally = np.sign(np.nansum(votes - 0.5, axis=0))
    wins, losses = int((tally > 0).sum()), int((tally < 0).sum())
    pairs = sum(facts["kind"] == "pair" for facts in key["items"].values())
    return Scored(
        a=key["texts"]["a"]["name"],
        b=key["texts"]["b"]["name"],
        win_rate=float(np.nanmean(votes)),
        low=low,
        high=high,
        clusters=clusters,
        wins=wins,
        losses=losses,
        draws=int((tally == 0).sum()),
        p=sign_test(wins, losses),
        alpha=krippendorff(votes),
        raters=votes.shape[0],
        excluded=excluded,
        unchecked=_unchecked(kept, key["items"]),
        pairs=votes.shape[1],
        unrated=pairs - votes.shape[1],
        answers=int((~np.isnan(votes)).sum()),
        neither=neither,
        blank=blank,
        sides=_side(kept, key["items"], "pair"),
        controls=_side(kept, key["items"], "control"),
    )


def read_key(path: Path) -> dict[str, Any]:
    """The key of a sheet; anything else is an InputError."""
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        kinds = {facts["kind"] for facts in key["items"].values()}
        if not isinstance(key["sheet"], str) or kinds - {"pair", "attention", "control"} or len(key["texts"]) < 2:
            raise ValueError
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the folder that `textgan rate make` has written") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: is not a key; give the folder that `textgan rate make` has written") from None
    return key


def sign_test(wins: int, losses: int) -> float:
    """The exact two-sided p-value of so many wins and losses when each is as likely; 1 where there is neither."""
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def krippendorff(votes: np.ndarray) -> float | None:
    """Agreement of raters beyond chance: 1 - D_o / D_e for nominal values. Krippendorff 2011, "Computing ..."

    votes: (raters, items) float, NaN where there is no answer. With o_ck the coincidences of values c and k (each pair
    of answers within an item, over m_u - 1), n_c their sums and n the total: alpha = 1 - (n - 1) (n - sum_c o_cc) /
    (n^2 - sum_c n_c^2). 1: full agreement, 0: as by chance. None: no item has two answers, or all answers are alike.
    """
    values = np.unique(votes[~np.isnan(votes)])
    counts = np.stack([(votes == value).sum(axis=0) for value in values]) if len(values) else np.zeros((1, 0))
    counts = counts[:, counts.sum(axis=0) > 1].astype(np.float64)  # (values, items)
    answers = counts.sum(axis=0)
    totals, n = counts.sum(axis=1), counts.sum()
    expected = n * n - float(np.square(totals).sum())
    if not expected:
        return None
    agreed = float((counts * (counts - 1) / np.maximum(answers - 1, 1)).sum())
    return 1 - (n - 1) * (n - agreed) / expected


def _inattentive(answers: Sequence[Answer], key: dict[str, Any], failed: float) -> list[Excluded]:
    wrong, asked = Counter[str](), Counter[str]()
    for one in answers:
        if key[one.item]["kind"] == "attention":
            asked[one.rater] += 1
            wrong[one.rater] += one.choice != key[one.item]["answer"]
    return [
        Excluded(rater, wrong[rater], many) for rater, many in sorted(asked.items()) if wrong[rater] > failed * many
    ]


def _unchecked(answers: Sequence[Answer], key: dict[str, Any]) -> list[str]:
    rated, checked = (
        {one.rater for one in answers if key[one.item]["kind"] == kind} for kind in ("pair", "attention")
    )  # fmt: skip
    asked = any(facts["kind"] == "attention" for facts in key.values())
    return sorted(rated - checked) if asked else []


def _votes(answers: Sequence[Answer], key: dict[str, Any]) -> tuple[np.ndarray, int]:
    """(raters, pairs) float: 1 for A, 0 for B, 1/2 for neither, NaN for no answer; and how many are 1/2."""
    pairs = [one for one in answers if key[one.item]["kind"] == "pair"]
    raters, items = sorted({one.rater for one in pairs}), sorted({one.item for one in pairs})
    votes = np.full((len(raters), len(items)), np.nan)
    row, column = ({name: place for place, name in enumerate(names)} for names in (raters, items))
    for one in pairs:
        left_is_a = key[one.item]["left"] == "a"
        value = 0.5 if one.choice == 0 else float((one.choice == 1) == left_is_a)
        votes[row[one.rater], column[one.item]] = value
    return votes, sum(one.choice == 0 for one in pairs)


def _interval(votes: np.ndarray, seed: int) -> tuple[float, float, str]:
    """The bootstrap's 95 % interval of the win rate, and what was drawn anew."""
    raters, items = votes.shape
    clusters = "raters and items" if raters > 1 else "items"
    held = ~np.isnan(votes)
    value, rng = np.nan_to_num(votes), np.random.default_rng([seed, 41])
    if np.ptp(votes[held]) == 0:  # answers that are all alike would have no width
        return *wilson(float(value[held].mean()), items), clusters
    found = list[float]()
    while len(found) < DRAWS:
        who = rng.multinomial(raters, np.full(raters, 1 / raters), size=BLOCK) if raters > 1 else np.ones((BLOCK, 1))
        what = rng.multinomial(items, np.full(items, 1 / items), size=BLOCK)
        many = ((who @ held) * what).sum(axis=1)
        total = ((who @ value) * what).sum(axis=1)
        found += (total[many > 0] / many[many > 0]).tolist()
    low, high = np.quantile(found[:DRAWS], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    least = wilson(float(value[held].mean()), items) if items < FEW_ITEMS else (1.0, 0.0)
    return min(float(low), least[0]), max(float(high), least[1]), clusters


def _side(answers: Sequence[Answer], key: dict[str, Any], kind: str) -> Side | None:
    chosen = [one.choice for one in answers if key[one.item]["kind"] == kind and one.choice]
    if not chosen:
        return None
    share = chosen.count(1) / len(chosen)
    return Side(share, *wilson(share, len(chosen)), len(chosen))
