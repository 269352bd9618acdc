"""Augmentation: synthetic text with provenance, mixed with real text, and what that does to a language model."""

from textgan.augmentation.compare import compare, compare_seeds
from textgan.augmentation.mix import MixPlan, Mixture, blend, mix
from textgan.augmentation.pool import append_pool, pool_rows, read_pool, write_pool

__all__ = [
    "MixPlan",
    "Mixture",
    "append_pool",
    "blend",
    "compare",
    "compare_seeds",
    "mix",
    "pool_rows",
    "read_pool",
    "write_pool",
]
