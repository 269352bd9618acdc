"""Audit of synthetic text: whom it speaks of, what it made stronger, and what it gives away of its training text.

lexicon: groups of words. shares: their shares, distances, amplification. privacy: overlap with the training text.
"""

from textgan.augmentation.audit.lexicon import Lexicon, load_lexicon, mentions
from textgan.augmentation.audit.privacy import Excess, Overlap, overlap
from textgan.augmentation.audit.shares import (
    Amplification,
    Distance,
    Share,
    amplification,
    cells,
    effective,
    shares,
    total_variation,
)

__all__ = [
    "Amplification",
    "Distance",
    "Excess",
    "Lexicon",
    "Overlap",
    "Share",
    "amplification",
    "cells",
    "effective",
    "load_lexicon",
    "mentions",
    "overlap",
    "shares",
    "total_variation",
]
