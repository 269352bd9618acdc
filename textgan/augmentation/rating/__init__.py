"""Ratings by people: blind pairs of sentences, how many are needed, and what the answers say.

power: how many pairs. sheets: which pairs, and the key. formats: the sheet as a page (page.html), CSV, Label Studio's
JSON. answers: filled sheets, read strictly. scoring: win rate, tests, agreement. Ratings come from people only.
"""

from textgan.augmentation.rating.power import power
from textgan.augmentation.rating.scoring import Scored, krippendorff, score
from textgan.augmentation.rating.sheets import Sheet, make

__all__ = ["Scored", "Sheet", "krippendorff", "make", "power", "score"]
