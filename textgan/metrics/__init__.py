"""The metrics. A metric is one frozen dataclass and one word in METRICS."""

from .copying import CopiedSpan, Copies, LongestCopiedSpan, NearestTraining, NovelNgrams, Novelty
from .diversity import EAD, CorrectedEntropy, Distinct, Duplicates, Entropy, RarefiedDistinct, Zipf
from .embeddings import Coverage, Density, Frechet, FrechetLimit, Mauve, NgramVendi, Precision, Recall, Vendi
from .grammatical import GrammarCoverage, GrammarNLL, Grammaticality
from .lengths import Length, LengthDifference
from .likelihoods import LMScore, ModelNLL, ReverseLMScore
from .ngrams import NgramIndex, sentence_bleu
from .overlap import BLEU, BackwardBLEU, MSJaccard, SelfBLEU
from .reasons import Unmeasurable
from .score import Metric, Score, require_comparable, why_incomparable
from .sets import Sets

#: Everything that can be measured, in the order of the table.
METRICS: tuple[Metric, ...] = (
    *(BLEU(order) for order in (2, 3, 4, 5)),
    *(SelfBLEU(order) for order in (2, 3, 4, 5)),
    *(Distinct(order) for order in (1, 2, 3, 4)),
    *(RarefiedDistinct(order) for order in (1, 2, 3, 4)),
    *(Entropy(order) for order in (1, 2, 3, 4)),
    *(CorrectedEntropy(order) for order in (1, 2, 3, 4)),
    EAD(),
    Duplicates(),
    *(BackwardBLEU(order) for order in (2, 3, 4, 5)),
    *(MSJaccard(order) for order in (2, 3, 4, 5)),
    Zipf(),
    Length(),
    LengthDifference(),
    Novelty(),
    Copies(),
    *(NovelNgrams(order) for order in (1, 2, 3, 4, 5, 6, 8)),
    CopiedSpan(),
    LongestCopiedSpan(),
    NearestTraining(),
    LMScore(),
    ReverseLMScore(),
    Frechet(),
    FrechetLimit(),
    Mauve(),
    Mauve(added=0.5),
    Precision(),
    Recall(),
    Density(),
    Coverage(),
    Vendi(),
    NgramVendi(),
    Grammaticality(),
    GrammarCoverage(),
    GrammarNLL(),
)

#: What is measured when nothing is asked for: one glance.
USUAL: tuple[str, ...] = (
    "BLEU", "self-BLEU", "distinct", "entropy", "duplicates", "backward-BLEU", "MS-Jaccard", "Zipf", "length",
    "length-difference", "novelty", "copies", "novel-4-grams", "copied-span", "longest-copied-span",
)  # fmt: skip

__all__ = [
    "BLEU", "EAD", "METRICS", "USUAL", "BackwardBLEU", "CopiedSpan", "Copies", "CorrectedEntropy", "Coverage",
    "Density", "Distinct", "Duplicates", "Entropy", "Frechet", "FrechetLimit", "GrammarCoverage", "GrammarNLL",
    "Grammaticality", "LMScore", "Length", "LengthDifference", "LongestCopiedSpan", "MSJaccard", "Mauve", "Metric",
    "ModelNLL", "NearestTraining", "NgramIndex", "NgramVendi", "NovelNgrams", "Novelty", "Precision",
    "RarefiedDistinct", "Recall", "ReverseLMScore", "Score", "SelfBLEU", "Sets", "Unmeasurable", "Vendi", "Zipf",
    "require_comparable", "sentence_bleu", "why_incomparable",
]  # fmt: skip
