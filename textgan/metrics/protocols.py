"""What other systems would print for the same files, faults included: for reading their tables, not for new claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ngrams import NgramIndex, sentence_bleu
from .overlap import HIGHEST
from .score import Score

LEFT_OUT, AMONG, OTHERS = "left out of its references", "among its references", "scored against all other lines"


@dataclass(frozen=True)
class Protocol:
    """How one system takes BLEU and self-BLEU. None means all lines; every number counts lines from the file's top.

    references, hypotheses: for BLEU. self_hypotheses, self_references: for self-BLEU, whose hypothesis is
    LEFT_OUT (each line against the other lines of the same part), AMONG (its own copy is one of its references), or
    OTHERS (the hypotheses are no references at all).
    """

    name: str
    note: str
    references: int | None
    hypotheses: int | None
    self_hypotheses: int | None
    self_references: int | None
    hypothesis: str

    def scores(self, text: NgramIndex, reference: NgramIndex | None, marks: dict[str, str]) -> list[Score]:
        """BLEU-2..5 (where there is a reference) and self-BLEU-2..5 (where there are lines to compare)."""
        found = []
        if reference is not None:
            hypotheses, references = _top(text, self.hypotheses), _top(reference, self.references)
            values = sentence_bleu(hypotheses, references, highest=HIGHEST).mean(axis=1)
            found += self._signed("BLEU", values, len(hypotheses), len(references), text.tokenise, marks)
        return found + self._self_scores(text)

    def _self_scores(self, text: NgramIndex) -> list[Score]:
        hypotheses, own = _top(text, self.self_hypotheses), None
        if self.hypothesis == OTHERS:
            references = text.select(np.arange(len(hypotheses), len(text)))
        else:
            references = _top(text, self.self_references)
        if self.hypothesis == LEFT_OUT:
            own = np.arange(len(hypotheses))
        if len(references) - (own is not None) < 1:
            return []
        values = sentence_bleu(hypotheses, references, highest=HIGHEST, own=own).mean(axis=1)
        count = len(references) - (own is not None)
        return self._signed("self-BLEU", values, len(hypotheses), count, text.tokenise, {})

    def _signed(
        self, family: str, values: np.ndarray, n: int, references: int, tokens: str, marks: dict[str, str]
    ) -> list[Score]:
        mark = f"|reference-sha256:{marks['reference']}" if "reference" in marks else ""
        return [
            Score(
                name := f"{family}-{order}",
                float(values[order - 1]),
                "higher" if family == "BLEU" else "lower",
                n,
                f"{name}|n:{n}|refs:{references}{mark}|smoothing:method1|protocol:{self.name}"
                f"|tokens:{tokens}|case:kept|textgan.metrics:1",
            )
            for order in range(2, HIGHEST + 1)
        ]


def _top(index: NgramIndex, n: int | None) -> NgramIndex:
    return index if n is None or n >= len(index) else index.select(np.arange(n))


_CUT = "it cuts words with nltk.word_tokenize, here lines are cut at whitespace, which is the same for tokenised files"
PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        "texygen",
        "Texygen compares with the first 500 lines only (files are not shuffled), so its values are far below those of"
        f" all lines; {_CUT}",
        references=500,
        hypotheses=None,
        self_hypotheses=500,
        self_references=500,
        hypothesis=LEFT_OUT,
    ),
    Protocol(
        "textgan-pytorch",
        "TextGAN-PyTorch scores 200 lines; for self-BLEU 200 fresh samples against about 10,000 others, which here are"
        " the first 200 lines against the rest of the file",
        references=None,
        hypotheses=200,
        self_hypotheses=200,
        self_references=None,
        hypothesis=OTHERS,
    ),
    Protocol(
        "relgan",
        "RelGAN scores the first 200 lines, and leaves each hypothesis among its own references, so that its self-BLEU"
        f" is 1 for every text; {_CUT}",
        references=None,
        hypotheses=200,
        self_hypotheses=200,
        self_references=None,
        hypothesis=AMONG,
    ),
    Protocol(
        "gansfallingshort",
        "GansFallingShort scores the first 10,002 lines (it stops two late) against the first 10,000, and leaves the"
        f" hypothesis out; its unused get_bleu would leave it in and print 1; {_CUT}",
        references=10_000,
        hypotheses=10_002,
        self_hypotheses=10_000,
        self_references=10_000,
        hypothesis=LEFT_OUT,
    ),
)
