"""Language models outside the game: load GPT-2 and friends, fine-tune them on a text, measure them, let them write.

What is measured is the exact negative log-likelihood of held-out sentences, each on its own after BOS, EOS included.
Training shows the model the same thing: sentences never see each other, so there is no packing to undo. A step is a
fixed number of *predicted tokens*, so two trainings of equal steps are equal to the token whatever their texts are.
"""

from textgan.lm.finetuning import FineTuned, finetune, pretrain_small
from textgan.lm.likelihood import Nll, line_nll, nll
from textgan.lm.loading import Lm, load_lm
from textgan.lm.writing import write_text

__all__ = ["FineTuned", "Lm", "Nll", "finetune", "line_nll", "load_lm", "nll", "pretrain_small", "write_text"]
