"""SentiGAN: sentences of several classes; what G writes is punished where D does not find it real and of its class.

Wang & Wan, IJCAI 2018.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.discriminators import CNN, DiscriminatorSpec, with_classes
from textgan.estimators import Score, last_of, rollout_rewards
from textgan.generators import LSTM, GeneratorSpec, evaluating
from textgan.papers import CONSTANT_ADAM, EPOCH, SEQGAN_CNN, SMALL_LSTM
from textgan.processes import part, share
from textgan.sequences import mask_of, split_labels
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    adam,
    follow,
    generator_players,
    likelihood_phase,
    reward_logs,
)


@dataclass(frozen=True)
class SentiGAN:
    """Maximum likelihood, then D alone, then one step of G on a penalty to some steps of D; the text is labelled.

    D has k + 1 classes, the last one "written". G minimises E sum_t p(x_t | x_<t, k) V_t, where V_t is 1 - D_k(x)
    averaged over roll-outs of class k.
    For fixed V the best distribution of a token is p proportional to 1 / V, so that G stays diverse and never settles
    on the best sentence (tests/test_recipe_parts.py).
    Differs: one generator that reads the label first stands for k generators; D sees fresh negatives at each step.
    A round of G has batch // k sentences of each class. Several processes share those evenly, or it is refused.

    The fields are `updates.FIELDS`.
    """

    name: ClassVar[str] = "sentigan"
    paper: ClassVar[str] = "Wang & Wan 2018"
    bridge: ClassVar[str] = "penalty on the probability of a token, roll-outs; labels"
    opponent: ClassVar[str] = "CNN with a class for each label and one for written text"
    classes: ClassVar[bool] = True
    from_noise: ClassVar[str] = (
        "it needs pre-training that is nearly right: G goes to p proportional to 1 / penalty, and where most of what "
        "it writes is wrong, nearly all of that gets the full penalty"
    )

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 300
    adversarial_steps: int = 200
    rollouts: int = 4
    discriminator_updates: int = 5
    rollout_keep: float = 0.8
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = LSTM()
    discriminator: DiscriminatorSpec = CNN()

    def players(self, vocab_size: int, max_len: int, labels: int = 2) -> Players:
        players = generator_players(self, vocab_size, max_len)
        judge = with_classes(self.discriminator, vocab_size, max_len, classes=labels + 1, real=labels)
        return players | {
            "discriminator": Player(judge, adam(judge, self.discriminator_lr)),
            "rollout": Player(copy.deepcopy(players["generator"].net)),
        }

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d, rollout = players["generator"], players["discriminator"], players["rollout"]
        first = g.net.vocab_size - d.net.real  # the id of the first label
        each = max(1, self.batch * share().world // d.net.real)  # sentences of a class in a round
        if self.adversarial_steps:
            each = part(each, f"sentences of each class (--batch by {d.net.real})")  # and those that are here

        def judge_step(batches: Iterator[Tensor]) -> Logs:
            real, labels = split_labels(next(batches))
            fake = g.net.sample(len(real), context=labels, rng=rng)
            d.net.train()
            of_real = d.net.class_logits(real, mask_of(real))  # (B, k + 1)
            of_fake = d.net.class_logits(fake.tokens, fake.mask)
            written = torch.full((len(real),), d.net.real, device=real.device)
            loss = F.cross_entropy(of_real, labels - first) + F.cross_entropy(of_fake, written)
            right = of_real.log_softmax(1)[:, -1] < of_fake.log_softmax(1)[:, -1]
            known = of_real.argmax(1) == labels - first
            logs = {"d_accuracy": right.float().mean(), "label_accuracy": known.float().mean()}
            return {"d_loss": d.minimise(loss)} | logs

        def penalty_of(label: int) -> Score:
            def score(tokens: Tensor) -> Tensor:
                with torch.no_grad(), evaluating(d.net):
                    return 1 - d.net.class_logits(tokens, mask_of(tokens)).softmax(1)[:, label]

            return score

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            follow(rollout.net, g.net, keep=self.rollout_keep if step else 0.0)
            losses, whole = [], []
            for label in range(d.net.real):
                context = torch.full((each,), first + label, device=g.net.device)
                fake = g.net.sample(each, context=context, rng=rng)
                penalties = rollout_rewards(
                    rollout.net, penalty_of(label), fake, n=self.rollouts, context=context, rng=rng
                )  # (B, T)
                losses.append(penalty_loss(g.net.eval().log_probs(fake.tokens, context), penalties, fake.mask))
                whole.append(1 - last_of(penalties, fake.mask))
            logs: Logs = {"g_loss": g.minimise(torch.stack(losses).mean())}
            for _ in range(self.discriminator_updates):
                logs |= judge_step(batches)
            return logs | reward_logs(torch.cat(whole))

        return (
            likelihood_phase(players["likelihood"], self),
            Phase("judge", self.judge_steps, lambda step, batches: judge_step(batches)),
            Phase("adversarial", self.adversarial_steps, play),
        )


def penalty_loss(log_probs: Tensor, penalties: Tensor, mask: Tensor) -> Tensor:
    """E sum_t p(x_t | x_<t) V_t, to be minimised; all (B, T), V >= 0. Wang & Wan 2018, eq. 3-4."""
    return (log_probs.exp() * penalties.detach() * mask).sum(1).mean()


PRESETS = {
    "port": SentiGAN(  # run_sentigan.py
        **CONSTANT_ADAM,
        mle_steps=120 * EPOCH,
        judge_steps=5 * 3 * EPOCH,  # 5 sets of negatives, 3 epochs each
        adversarial_steps=100,
        rollouts=16,
        discriminator_updates=4 * 2 * EPOCH,  # 4 sets of negatives, 2 epochs each
        generator_lr=1e-2,
        discriminator_lr=1e-4,
        generator=SMALL_LSTM,
        discriminator=SEQGAN_CNN,
    ),
}
