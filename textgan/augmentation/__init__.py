"""Augmentation: synthetic text with provenance, mixed with real text, and what that does to a language model.

pool, folder: rows, one file or many. filters, held_out, density (calibration, bodies), select: which texts are taken,
and why.
mix, schedules, pairs: real and synthetic text together. compare: a language model with and without.
audit/: groups, copying. rating/: what people say.
"""

from textgan.augmentation.compare import compare, compare_seeds
from textgan.augmentation.density import DensityRatio
from textgan.augmentation.folder import read_pool, verify_pool
from textgan.augmentation.mix import MixPlan, Mixture, blend, mix
from textgan.augmentation.pairs import pairs, write_pairs
from textgan.augmentation.pool import append_pool, pool_rows, write_pool
from textgan.augmentation.select import choose

__all__ = [
    "DensityRatio",
    "MixPlan",
    "Mixture",
    "append_pool",
    "blend",
    "choose",
    "compare",
    "compare_seeds",
    "mix",
    "pairs",
    "pool_rows",
    "read_pool",
    "verify_pool",
    "write_pairs",
    "write_pool",
]
