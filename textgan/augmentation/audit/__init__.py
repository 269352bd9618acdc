"""Audit of synthetic text: whom it speaks of, what it made stronger, and what it gives away of its training text.

lexicon: groups of words. shares: their shares, distances, amplification. constrain: a pool brought to wanted shares.
counterfactual: what a model thinks of a line with its groups swapped. sensitivity: over ratio x threshold x seed.
privacy: overlap with the training text beside a control. canaries: random lines planted to be found again.
found: all of it, as `textgan.audits.audit` gives it.
"""

from textgan.augmentation.audit.canaries import Canaries, exposure, extracted, plant, plant_canaries, read_canaries
from textgan.augmentation.audit.constrain import Constrained, constrain, quota, rake
from textgan.augmentation.audit.counterfactual import Counterfactual, Shift, counterfactual, swaps
from textgan.augmentation.audit.lexicon import Lexicon, load_lexicon, mentions
from textgan.augmentation.audit.privacy import Excess, Overlap, overlap
from textgan.augmentation.audit.sensitivity import Setting, sensitivity
from textgan.augmentation.audit.shares import (
    Amplification,
    Distance,
    Share,
    amplification,
    cells,
    shares,
    total_variation,
)

__all__ = [
    "Amplification",
    "Canaries",
    "Constrained",
    "Counterfactual",
    "Distance",
    "Excess",
    "Lexicon",
    "Overlap",
    "Setting",
    "Share",
    "Shift",
    "amplification",
    "cells",
    "constrain",
    "counterfactual",
    "exposure",
    "extracted",
    "load_lexicon",
    "mentions",
    "overlap",
    "plant",
    "plant_canaries",
    "quota",
    "rake",
    "read_canaries",
    "sensitivity",
    "shares",
    "swaps",
    "total_variation",
]
