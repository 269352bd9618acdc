"""TextGAN: feature matching by maximum mean discrepancy through a soft-argmax. Zhang et al., ICML 2017."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from textgan.discriminators import CNN, Discriminator, DiscriminatorSpec
from textgan.generators import LSTM, GeneratorSpec
from textgan.objectives import NON_SATURATING
from textgan.papers import TEXYGEN, TEXYGEN_D
from textgan.processes import gather
from textgan.sequences import EOS, Relaxed, mask_of, mean_within
from textgan.updates import Logs, Phase, Player, Players, adam, generator_players, likelihood_phase

WIDTHS = tuple(2.0**k for k in range(-9, 10))  # of 19 Gaussian kernels, in mean distances between features


@dataclass(frozen=True)
class TextGAN:
    """G minimises MMD^2(f(real), f(fake)) of D's features; D's loss is cross-entropy - a MMD^2 + b reconstruction.

    The words of G are y = softmax(L logits), near an argmax and fed on (eq. 6-9).
    Differs: p(tokens) is exact, so there is no latent code: Gumbel noise at the logits decides the sentence, and D has
    to tell from its features which words were drawn (mean cross-entropy) instead of the code. D sees no permuted
    sentences before the game; the widths of the kernels scale with the mean distance between features.

    Args (the others are `updates.FIELDS`):
        sharpness: L, the inverse temperature of the soft-argmax
        mmd_weight: a, weight of the discrepancy in D's loss
        reconstruction_weight: b, weight of the reconstruction in D's loss
    """

    name: ClassVar[str] = "textgan"
    paper: ClassVar[str] = "Zhang et al. 2017"
    bridge: ClassVar[str] = "soft-argmax, fed on"
    opponent: ClassVar[str] = "MMD of a CNN's features"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 100
    adversarial_steps: int = 300
    discriminator_updates: int = 1
    sharpness: float = 10.0
    mmd_weight: float = 0.1
    reconstruction_weight: float = 0.1
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = CNN()

    def players(self, vocab_size: int, max_len: int) -> Players:
        players = generator_players(self, vocab_size, max_len)
        net = Reader(self.discriminator.build(vocab_size, max_len), vocab_size)
        return players | {"discriminator": Player(net, adam(net, self.discriminator_lr))}

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]

        def draw(real: Tensor) -> Relaxed:
            prefix = g.net.prompts_of(real)
            return g.net.eval().relaxed_sample(
                len(real), temperature=1 / self.sharpness, hard=False, prefix=prefix, rng=rng
            )

        def read(step: int, batches: Iterator[Tensor]) -> Logs:
            real = next(batches)
            with torch.no_grad():
                fake = draw(real)
            net = d.net.train()
            of_real, features = net.features(real, mask_of(real)), net.features(fake.probs, fake.mask)
            real_logits, fake_logits = net.judged(of_real), net.judged(features)
            apart = discrepancy(gather(of_real), gather(features))
            loss = NON_SATURATING.discriminator(real_logits, fake_logits) - self.mmd_weight * apart
            d_loss = d.minimise(loss + self.reconstruction_weight * net.lost(features, fake.tokens))
            return {"d_loss": d_loss, "d_accuracy": (real_logits > fake_logits).float().mean()}

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            logs: Logs = {}
            for _ in range(self.discriminator_updates):
                logs = read(step, batches)
            real, net = next(batches), d.net.eval()
            fake = draw(real)
            with torch.no_grad():
                target = gather(net.features(real, mask_of(real)))
            features = gather(net.features(fake.probs, fake.mask))
            return logs | {"g_loss": g.minimise(discrepancy(target, features))}

        return (
            likelihood_phase(players["likelihood"], self),
            Phase("judge", self.judge_steps, read),
            Phase("adversarial", self.adversarial_steps, play),
        )


class Reader(Discriminator):
    """A discriminator, and a layer that tells from its features which words were drawn."""

    def __init__(self, judge: Discriminator, vocab_size: int) -> None:
        super().__init__()
        self.judge = judge
        with torch.no_grad():
            end = torch.tensor([[EOS]])
            size = judge.features(end, mask_of(end)).shape[1]
        self.words = nn.Linear(size, vocab_size)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.judge.features(x, mask)

    def judged(self, features: Tensor) -> Tensor:
        return self.judge.judged(features)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.judge(x, mask)

    def lost(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Mean -log of the share that the features (B, F) give to each drawn word (B, T)."""
        log_shares = self.words(features).float().log_softmax(-1).gather(1, tokens)  # (B, T)
        return -mean_within(gather(log_shares), mask_of(gather(tokens)))


def discrepancy(real: Tensor, fake: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with a mean of Gaussian kernels: features (N, F), (M, F) -> () in [0, 2].

    Gretton et al. 2012, eq. 5; 0 where the two batches are equal. The kernels' scale has no gradient.
    """
    both = torch.cat([real, fake]).float()
    squared = (both.square().sum(1)[:, None] + both.square().sum(1) - 2 * both @ both.t()).clamp(min=0)
    squared = squared.masked_fill(torch.eye(len(both), dtype=torch.bool, device=both.device), 0)  # without rounding
    scaled = squared / squared.detach().mean().clamp(min=1e-12)
    kernel = torch.stack([(-scaled / (2 * width**2)).exp() for width in WIDTHS]).mean(0)
    n = len(real)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


REAL = TextGAN(**TEXYGEN, **TEXYGEN_D, mmd_weight=0.1, reconstruction_weight=0.1)  # the weights are the paper's
PRESETS = {"paper-coco": REAL, "paper-news": REAL}  # differs: Texygen has 100 steps of G to 45 of D a round
