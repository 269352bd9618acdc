"""What several papers' settings share; the presets of the recipes are made of it.

Sources, as the presets name them: SeqGAN's code (sequence_gan.py, generator.py, discriminator.py of its authors);
Texygen (Zhu et al. 2018), which has one setting for all real text; the port (TextGAN-PyTorch, run/*.py), whose settings
are the usual ones where a paper states none, the same for the oracle, COCO and news.
"""

from __future__ import annotations

from typing import Any

from textgan.discriminators import CNN
from textgan.generators import LSTM

EPOCH = 156  # steps of 64 sentences in 10,000
SMALL_LSTM = LSTM(embedding=32, hidden=32, dropout=0.0, tied=False, init_std=0.1)  # SeqGAN's code, Texygen, the port
CONSTANT_ADAM: dict[str, Any] = {  # maximum likelihood of SeqGAN's code, Texygen, the port and RelGAN's code
    "batch": 64,
    "mle_lr": 1e-2,
    "mle_final_rate": 1.0,  # a constant rate
    "weight_decay": 0.0,
    "early_stopping": False,  # the last weights, which are over-fitted
}
SEQGAN_CNN = CNN(  # SeqGAN's code, and the port; differs: no L2 penalty on its last layer (.2)
    embedding=64,
    widths=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20),
    filters=(100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160),
    dropout=0.25,
)
TEXYGEN_CNN = CNN(embedding=32, widths=(2, 3), filters=(100, 200), dropout=0.25)
TEXYGEN: dict[str, Any] = {  # of SeqGAN, RankGAN, MaliGAN, PG-BLEU and TextGAN on real text
    **CONSTANT_ADAM,
    "mle_steps": 80 * EPOCH,
    "adversarial_steps": 100,
    "generator_lr": 1e-2,
    "generator": SMALL_LSTM,
}
TEXYGEN_D: dict[str, Any] = {  # and their discriminator's
    "judge_steps": 80 * 3,  # 80 times 3 batches
    "discriminator_updates": 15 * 3,  # 15 times 3 batches a round
    "discriminator_lr": 1e-4,
    "discriminator": TEXYGEN_CNN,
}
