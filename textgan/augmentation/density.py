"""How much likelier a text is in the real language than from a generator: p_data / p_G, by a calibrated discriminator.

D is trained to tell real texts from written ones, and at its best D / (1 - D) is the ratio (Goodfellow et al. 2014,
proposition 1). Two things make that hold in practice: D is asked about texts that it has not seen, and what it says is
calibrated on such answers. Real texts must be ones that the generator has not seen either, or memory reads as truth.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textgan.augmentation.calibration import (
    CALIBRATIONS,
    Calibration,
    auc,
    brier,
    calibration_error,
    effective_size,
    log_odds,
)
from textgan.errors import InputError
from textgan.text import folded, make_folder, write_json

if TYPE_CHECKING:
    from textgan.augmentation.bodies import Body, Given, Judge

FACTS = "density.json"
FEWEST = 20  # texts of either kind in a fold
ECE_MOST, FEW = 0.05, 0.1  # above and below which a ratio is warned of


class Diagnostics(NamedTuple):
    """What is known of a ratio, from texts that neither their D nor their calibration has seen.

    auc: how well D orders real above written, .5 by chance. ece, brier: of the calibrated probability; ece_by_chance is
    the ece that a perfect one would show for so few texts. effective_sample: of the written texts under the ratio, as
    a share. largest: the largest ratio of a written text. mean: of the ratio over written texts, 1 where it is right.
    """

    auc: float
    ece: float
    ece_by_chance: float
    brier: float
    effective_sample: float
    largest: float
    mean: float
    real: int
    fake: int

    def warnings(self) -> list[str]:
        """One line for each thing that speaks against the ratio."""
        found = []
        if self.auc < 0.5:
            found.append(f"D orders unseen texts no better than chance (AUC {self.auc:.3f}): the ratio tells nothing")
        if self.ece > max(ECE_MOST, 2 * self.ece_by_chance):
            found.append(
                f"D is badly calibrated: ECE {self.ece:.3f} (chance alone gives {self.ece_by_chance:.3f}); "
                "give more real lines or the other calibration"
            )
        if self.effective_sample < FEW:
            found.append(
                f"the effective sample size is {100 * self.effective_sample:.1f} % of the written texts (under "
                f"{100 * FEW:.0f} %): the generator is far from the real text"
            )
        return found


class DensityRatio:
    """p_data / p_G of any text, from K discriminators that have each left out one fold of the texts.

    A text's fold follows from the text itself, so a text is always judged by the one D that has not seen it nor a copy
    of it: those that D was trained on as fairly as new ones. Make it with `fit` or `load`.
    """

    def __init__(
        self, judges: Sequence[Judge], calibration: Calibration, diagnostics: Diagnostics, settings: dict[str, Any]
    ) -> None:
        self.judges, self.calibration, self.diagnostics, self.settings = judges, calibration, diagnostics, settings

    @classmethod
    def fit(
        cls,
        real: Sequence[str],
        fake: Sequence[str],
        *,
        body: str | Given = "cnn",
        encoder: str | Path | None = None,
        folds: int = 5,
        calibration: str = "isotonic",
        seed: int = 0,
    ) -> DensityRatio:
        """Cross-fit D and calibrate it.

        real: lines that the generator has not seen. fake: its texts; those to be selected from may be among them.
        body: "cnn" (from scratch), "encoder" (a net on the frozen sentence encoder in the local folder `encoder`),
        "mean" of both logits, or one that is given, such as a run's own D (`opponents.Opponent`). folds: 2 or more;
        each D is trained on all folds but one. calibration: "isotonic", or "platt" where texts are few. Errors:
        InputError for too few texts, unknown words, no encoder.
        """
        if calibration not in CALIBRATIONS:
            raise InputError(f"calibration {calibration!r} is not one of {', '.join(CALIBRATIONS)}")
        if folds < 2:
            raise InputError(f"folds {folds} must be at least 2: each D is asked about texts that it has not seen")
        if (few := min(len(real), len(fake))) < FEWEST * folds:
            raise InputError(
                f"{few} {'real' if len(real) == few else 'written'} texts are too few for {folds} folds; give "
                f"{FEWEST * folds} or more, or fewer folds"
            )
        from textgan.augmentation.bodies import make_body

        texts, is_real = [*real, *fake], np.arange(len(real) + len(fake)) < len(real)
        settings = {
            "body": body if isinstance(body, str) else body.facts, "encoder": None if encoder is None else str(encoder),
            "folds": folds, "calibration": calibration, "seed": seed,
        }  # fmt: skip
        fold = fold_of(texts, folds, seed)
        for_fold = [np.bincount(is_real[fold == k], minlength=2).min() for k in range(folds)]
        if not all(for_fold):
            raise InputError(f"a fold has texts of one kind only (copies share a fold); give fewer than {folds} folds")
        made: Body = make_body(body, encoder, texts) if isinstance(body, str) else body
        judges = cross_fit(made, texts, is_real, fold, seed)
        scores = judged(judges, texts, fold)
        found = diagnose(scores, is_real, fold, calibration)
        return cls(judges, CALIBRATIONS[calibration](scores, is_real), found, settings)

    def ratio(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) float64, above 0: how many times likelier each text is in the real language than from the generator."""
        return self.scores(texts)["ratio"]

    def log_ratio(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) float64, log p_data - log p_G in nats: calibrated log odds, freed from the share of real texts."""
        return self._log_ratio(self._logits(texts))

    def scores(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """What D says of each text, by the names that it has among a row's scores; (n,) float64 each, from one look.

        d: the raw logit of the D that has not seen the text, higher for what looks real. ratio: p_data / p_G.
        d_calibrated: ratio / (1 + ratio), the probability that the text is real where half of all texts are.
        """
        logits = self._logits(texts)
        log_ratio = self._log_ratio(logits)
        return {"d": logits, "d_calibrated": 1 / (1 + np.exp(-log_ratio)), "ratio": np.exp(log_ratio)}

    def _logits(self, texts: Sequence[str]) -> np.ndarray:
        return judged(self.judges, texts, fold_of(texts, len(self.judges), self.settings["seed"]))

    def _log_ratio(self, logits: np.ndarray) -> np.ndarray:
        return log_odds(self.calibration, logits) + np.log(self.diagnostics.fake / self.diagnostics.real)

    def save(self, folder: str | Path) -> None:
        """Write it into a folder. The sentence encoder stays where it is, and its folder is remembered."""
        folder = make_folder(folder)
        for place, judge in enumerate(self.judges):
            judge.save(make_folder(folder / f"fold-{place}"))
        knots = [part.tolist() for part in self.calibration]
        write_json(folder / FACTS, {**self.settings, "knots": knots, "diagnostics": self.diagnostics._asdict()})

    @classmethod
    def load(cls, folder: str | Path, *, encoder: str | Path | None = None, given: Given | None = None) -> DensityRatio:
        """What `save` wrote; encoder: where the sentence encoder now is; given: the body, where `fit` was given one.

        Errors: InputError for anything else.
        """
        from textgan.augmentation.bodies import make_body

        folder = Path(folder)
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            low, high = (np.array(part, dtype=float) for part in facts.pop("knots"))
            found = Diagnostics(**facts.pop("diagnostics"))
            folds, kind, seen = int(facts["folds"]), facts["body"], encoder or facts["encoder"]
            known = kind if isinstance(kind, str) else kind["run"]
        except FileNotFoundError:
            raise InputError(f"{folder}: no {FACTS}; give a folder that DensityRatio.save has written") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / FACTS}: cannot be read ({type(error).__name__}); fit the ratio anew") from None
        if isinstance(kind, str) is not (given is None):
            raise InputError(
                f"{folder} rests on a new D, {known}; leave --run out" if given
                else f"{folder} rests on D of the run {known!r}; give it as --run, too"
            )  # fmt: skip
        body: Body = given or make_body(kind, seen)
        return cls([body.load(folder / f"fold-{k}") for k in range(folds)], (low, high), found, facts)


def fold_of(texts: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """(n,) fold of each text, by a hash of its words: copies, in whatever case and spaces, share a fold."""
    keys = (f"{seed} {folded(text)}".encode("utf-8", "surrogatepass") for text in texts)
    digests = (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) for key in keys)
    return np.fromiter((digest % folds for digest in digests), np.int64, len(texts))


def cross_fit(body: Body, texts: Sequence[str], is_real: np.ndarray, fold: np.ndarray, seed: int) -> list[Judge]:
    """A judge for each fold, trained on the other folds."""

    def lines(rows: np.ndarray) -> list[str]:
        return [texts[row] for row in np.flatnonzero(rows).tolist()]

    return [
        body.train(lines(is_real & (fold != k)), lines(~is_real & (fold != k)), seed=seed * 1000 + k)
        for k in range(int(fold.max()) + 1)
    ]


def diagnose(scores: np.ndarray, is_real: np.ndarray, fold: np.ndarray, calibration: str) -> Diagnostics:
    """What the scores are worth; each fold is calibrated by the others, so that the figures are of unseen texts."""
    odds = np.zeros(len(scores))
    for k in range(int(fold.max()) + 1):
        there, others = fold == k, fold != k
        odds[there] = log_odds(CALIBRATIONS[calibration](scores[others], is_real[others]), scores[there])
    chance, real = 1 / (1 + np.exp(-odds)), int(is_real.sum())
    ratio = np.exp(odds[~is_real]) * (len(is_real) - real) / real
    error, by_chance = calibration_error(chance, is_real)
    return Diagnostics(
        auc=auc(scores, is_real), ece=error, ece_by_chance=by_chance, brier=brier(chance, is_real),
        effective_sample=effective_size(ratio) / len(ratio), largest=float(ratio.max()), mean=float(ratio.mean()),
        real=real, fake=len(is_real) - real,
    )  # fmt: skip


def some(lines: Sequence[str], most: int, seed: int) -> list[str]:
    """At most so many of the lines, drawn: files are not shuffled."""
    rows = np.random.default_rng([seed, 9]).permutation(len(lines))[:most]
    return [lines[row] for row in np.sort(rows).tolist()]


def judged(judges: Sequence[Judge], texts: Sequence[str], fold: np.ndarray) -> np.ndarray:
    """(n,) logits, each by the judge of the text's fold."""
    scores = np.zeros(len(texts))
    for place, judge in enumerate(judges):
        rows = np.flatnonzero(fold == place).tolist()
        scores[rows] = judge.logits([texts[row] for row in rows])
    return scores
