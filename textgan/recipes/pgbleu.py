"""PG-BLEU: a policy gradient on BLEU itself, the baseline that has no discriminator. Yu et al., AAAI 2017, sec. 4."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from textgan.estimators import advantages, last_of, rollout_rewards
from textgan.generators import LSTM, GeneratorSpec
from textgan.metrics.ngrams import NgramIndex, sentence_bleu
from textgan.papers import CONSTANT_ADAM, EPOCH, SMALL_LSTM, TEXYGEN
from textgan.processes import gather
from textgan.sequences import EOS, PAD
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    follow,
    generator_players,
    likelihood_phase,
    policy_step,
    reward_logs,
)


@dataclass(frozen=True)
class PGBLEU:
    """Maximum likelihood, then REINFORCE whose reward is a sentence's BLEU against training sentences.

    R(x) = BLEU-order(x; the next batch of the training stream), by roll-outs for a token. A prompt is part of x, as it
    is of the references; the mark behind it is none.
    Differs: new references each round (all at once would reward any copy alike); a leave-one-out baseline but
    in the presets.

    Args (the others are `updates.FIELDS`):
        batch: sentences a step, and real ones that BLEU is measured against
        order: longest n-gram of BLEU
    """

    name: ClassVar[str] = "pgbleu"
    paper: ClassVar[str] = "Yu et al. 2017, section 4"
    bridge: ClassVar[str] = "REINFORCE with roll-outs; the reward is BLEU"
    opponent: ClassVar[str] = "none"

    batch: int = 64
    mle_steps: int = 1500
    adversarial_steps: int = 200
    rollouts: int = 4
    rollout_keep: float = 0.8
    baseline: bool = True
    order: int = 4
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()

    def players(self, vocab_size: int, max_len: int) -> Players:
        players = generator_players(self, vocab_size, max_len)
        g = players["generator"].net
        return players | {"rollout": Player(copy.deepcopy(g)), "reward": Player(Bleu(self.order, g.mark))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, rollout, bleu = players["generator"], players["rollout"], players["reward"].net.eval()

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            follow(rollout.net, g.net, keep=self.rollout_keep if step else 0.0)
            fake = g.net.sample(self.batch, rng=rng)
            bleu.refer(gather(next(batches)))
            rewards = rollout_rewards(rollout.net, bleu, fake, n=self.rollouts, rng=rng)  # (B, T)
            logs = policy_step(g, fake, advantages(rewards, fake.mask, baseline=self.baseline))
            return logs | reward_logs(last_of(rewards, fake.mask))

        return (
            likelihood_phase(players["likelihood"], self),
            Phase("adversarial", self.adversarial_steps, play),
        )


class Bleu(nn.Module):
    """The judge, which learns nothing: BLEU-order of sentences against the real ones that it was last told.

    Neither the end mark nor a prompt's `mark` is a word.
    """

    def __init__(self, order: int, mark: int | None = None) -> None:
        super().__init__()
        self.order, self.mark, self.reference = order, mark, NgramIndex([])

    def refer(self, real: Tensor) -> None:
        """From now on against these real sentences, ids (R, T)."""
        self.reference = NgramIndex(_words(real, self.mark))

    def forward(self, tokens: Tensor) -> Tensor:
        """Ids (B, T) -> (B,) in [0, 1]."""
        bleu = sentence_bleu(NgramIndex(_words(tokens, self.mark)), self.reference, highest=self.order)[-1]
        return torch.from_numpy(bleu).float().to(tokens.device)


def _words(tokens: Tensor, mark: int | None) -> list[list[str]]:
    return [[str(x) for x in row if x not in (PAD, EOS, mark)] for row in tokens.tolist()]


REAL = PGBLEU(**TEXYGEN, rollouts=16, rollout_keep=0.8, baseline=False)
PRESETS = {
    "paper-oracle": PGBLEU(  # SeqGAN's section 4: its generator, pre-training and roll-outs
        **CONSTANT_ADAM,
        mle_steps=120 * EPOCH,
        adversarial_steps=200,
        rollouts=16,
        rollout_keep=0.8,
        baseline=False,
        generator_lr=1e-2,
        generator=SMALL_LSTM,
    ),
    "paper-coco": REAL,
    "paper-news": REAL,
}
