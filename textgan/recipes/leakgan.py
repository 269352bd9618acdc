"""LeakGAN: D's features leak to a manager, whose goals guide the worker that writes. Guo et al., AAAI 2018."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.errors import InputError
from textgan.estimators import advantages, last_of, reinforce, rollout_rewards
from textgan.generators import Generator, GeneratorSpec, Leak
from textgan.objectives import NON_SATURATING
from textgan.papers import CONSTANT_ADAM, EPOCH, SEQGAN_CNN
from textgan.processes import gather
from textgan.sequences import BOS, mask_of, mean_within
from textgan.updates import (
    Logs,
    Phase,
    Player,
    Players,
    adam,
    adamw,
    cosine,
    follow,
    judge_samples,
    reward_logs,
    sentence_score,
)

if TYPE_CHECKING:  # it loads transformers
    from textgan.models.leak import Course

Update = Callable[[int, Iterator[Tensor]], Logs]  # of a phase


@dataclass(frozen=True)
class LeakGAN:
    """D alone; maximum likelihood interleaved with D; a game interleaved with maximum likelihood.

    The manager's goal g_t follows the gradient of Q_t cos(f_{t+c} - f_t, g_t), Q_t the rank of the roll-outs' reward
    (eq. 7, 10). The worker's reward is intrinsic: how its words moved the features along the last c goals (eq. 8-9).
    Before the game the manager imitates real text (Q = 1) and the worker learns by maximum likelihood.
    Differs: rewards are ranked rightly (the authors' code walks an unsorted dict), ties by their middle; the worker has
    a leave-one-out baseline; features are of the sentence without padding; no inverse temperature of 1.5 in sampling.
    Where that code leaves the paper's equations, the equations stand here: it holds a sum of goals for c steps,
    normalises W g, learns a goal for the first words, draws all weights from N(0, .1), pays the manager for each c-th
    word alone and the worker by one cosine with the goal that holds, and ranks real sentences with the written ones
    (COCO).

    Args (the others are `updates.FIELDS`):
        judge_every: steps of maximum likelihood to one of D
        mle_every: rounds of the game to one step of maximum likelihood
        rank_sharpness: delta, how steeply the reward rises with the rank
        generator: LeakGAN's own generator, whose leaked_ sizes are D's
    """

    name: ClassVar[str] = "leakgan"
    paper: ClassVar[str] = "Guo et al. 2018"
    bridge: ClassVar[str] = "REINFORCE twice: ranked roll-outs for goals, goals for words"
    opponent: ClassVar[str] = "CNN with a highway layer, whose features leak"
    no_prompt: ClassVar[str] = "its manager sets goals from the first word on"
    from_noise: ClassVar[str] = (
        "it needs its pre-training: from noise the manager follows what the worker writes and the worker follows the "
        "manager, whatever D says"
    )

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 100
    adversarial_steps: int = 200
    rollouts: int = 4
    discriminator_updates: int = 5
    judge_every: int = 5
    mle_every: int = 5
    rank_sharpness: float = 16.0
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    generator: GeneratorSpec = Leak()

    def players(self, vocab_size: int, max_len: int) -> Players:
        if not isinstance(self.generator, Leak):
            raise InputError("leakgan plays with --generator leak alone: no other generator reads D's features")
        generator = self.generator.build(vocab_size, max_len)
        model = generator.model
        discriminator = copy.deepcopy(model.leak).requires_grad_(True)
        return {
            "worker_likelihood": Player(generator, adamw(model.working(), self.mle_lr, self.weight_decay)),
            "manager_likelihood": Player(generator, adamw(model.managing(), self.mle_lr, self.weight_decay)),
            "generator": Player(generator, adam(model.working(), self.generator_lr)),
            "manager": Player(generator, adam(model.managing(), self.generator_lr)),
            "discriminator": Player(discriminator, adam(discriminator, self.discriminator_lr)),
        }

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d = players["generator"], players["discriminator"]
        leak, steps, score = g.net.model.leak, g.net.model.config.goal_steps, sentence_score(d.net)

        def judge(batches: Iterator[Tensor], updates: int) -> Logs:
            logs = judge_samples(d, g.net, NON_SATURATING, batches, rng, updates=updates)
            follow(leak, d.net, keep=0.0)
            return logs

        worker, manager = players["worker_likelihood"], players["manager_likelihood"]

        def follow_text(tokens: Tensor) -> Logs:
            mask, course = mask_of(tokens), along(g.net.train(), tokens)
            words, aligned = g.net.sum_off(course.hidden, tokens, mask), foreseen(course, steps)
            mask, aligned, words = gather(mask), gather(aligned), gather(words[None])
            return {
                "g_loss": worker.minimise(-words.sum() / mask.sum()),
                "goal_loss": manager.minimise(-mean_within(aligned, mask)),
            }

        def imitate(tokens: Tensor, rate: float) -> Logs:
            worker.at(rate)
            manager.at(rate)
            return worker.graphs("follow text", follow_text, tokens)

        def follow_reward(tokens: Tensor, mask: Tensor, quality: Tensor) -> Logs:
            course = along(g.net.eval(), tokens)
            log_probs = g.net.read_off(course.hidden, tokens, mask)
            intrinsic, aligned = followed(course, steps), foreseen(course, steps)
            return {
                "g_loss": g.minimise(reinforce(log_probs, advantages(intrinsic, mask), mask)),
                "goal_loss": players["manager"].minimise(-(quality * aligned * mask).sum(1).mean()),
            }

        def with_leak(update: Update) -> Update:
            """A phase whose D begins as the generator's leak: another run's, or the one early stopping has kept."""

            def run(step: int, batches: Iterator[Tensor]) -> Logs:
                if step == 0:
                    follow(d.net, leak, keep=0.0)
                return update(step, batches)

            return run

        def alone(step: int, batches: Iterator[Tensor]) -> Logs:
            return judge(batches, 1)

        def learn(step: int, batches: Iterator[Tensor]) -> Logs:
            logs = judge(batches, 1) if step % self.judge_every == 0 else {}
            return logs | imitate(next(batches), cosine(step, self.mle_steps, last=self.mle_final_rate))

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            fake = g.net.sample(self.batch, rng=rng)
            rewards = rollout_rewards(g.net, score, fake, n=self.rollouts, rng=rng)  # (B, T)
            quality = ranked(rewards, fake.mask, self.rank_sharpness)
            logs = g.graphs("follow reward", follow_reward, fake.tokens, fake.mask, quality)
            if (step + 1) % self.mle_every == 0:
                imitate(next(batches), self.generator_lr / self.mle_lr if self.mle_lr else 0.0)
            return logs | judge(batches, self.discriminator_updates) | reward_logs(last_of(rewards, fake.mask))

        return (
            Phase("judge", self.judge_steps, with_leak(alone)),
            Phase("mle", self.mle_steps, with_leak(learn), keep_best=self.early_stopping),
            Phase("adversarial", self.adversarial_steps, with_leak(play)),
        )


def along(generator: Generator, tokens: Tensor) -> Course:
    """(B, T) sentences -> what foretold each token, hidden (B, T, H), and f_t and g_t, (B, T + 1, F), of t words read.

    The features have no gradient.
    """
    inputs = F.pad(tokens, (1, 0), value=BOS)  # with the last word too: f_T has read it
    course, _ = generator.model.course(inputs, generator.start(len(tokens)))
    return course._replace(hidden=course.hidden[:, :-1], features=course.features.detach().float())


def foreseen(course: Course, steps: int) -> Tensor:
    """cos(f_{t+c} - f_t, g_t), (B, T): how far the features went where the goal pointed."""
    time = course.features.shape[1] - 1
    far = torch.arange(steps, time + steps, device=course.features.device).clamp(max=time)
    return towards(course.features[:, far] - course.features[:, :time], course.goals[:, :time])


@torch.no_grad()
def followed(course: Course, steps: int) -> Tensor:
    """The intrinsic reward of each word, (B, T): the mean over i = 1..c of cos(f_{t+1} - f_{t+1-i}, g_{t+1-i}).

    A goal from before the sentence counts as 0.
    """
    features, goals = course.features, course.goals
    total = torch.zeros_like(features[:, 1:, 0])
    for i in range(1, min(steps, total.shape[1]) + 1):
        total[:, i - 1 :] += towards(features[:, i:] - features[:, :-i], goals[:, :-i])
    return total / steps


def towards(moved: Tensor, goal: Tensor) -> Tensor:
    """cos(moved, goal) of unit goals, (B, T, F) -> (B, T); rounding points nowhere."""
    return (moved * goal).sum(-1) / moved.norm(dim=-1).clamp(min=1e-4)


def ranked(rewards: Tensor, mask: Tensor, sharpness: float) -> Tensor:
    """sigmoid(delta (rank - 1/2)), rank in (0, 1) among the batch's rewards at that position; (B, T), 0 outside.

    Guo et al. 2018, eq. 11, with the best ranked highest; equal rewards share their middle rank.
    """
    whole, present = gather(rewards), gather(mask)
    others = present[None] & mask[:, None]  # (B, B, T): row i against each j of the whole batch
    less = ((whole[None] < rewards[:, None]) & others).sum(1)
    same = ((whole[None] == rewards[:, None]) & others).sum(1)
    share = (less + same / 2) / present.sum(0).clamp(min=1)
    return (sharpness * (share - 0.5)).sigmoid() * mask


SMALL = Leak(
    embedding=32,
    hidden=32,
    goal=16,
    goal_steps=4,
    leaked_embedding=64,
    leaked_widths=SEQGAN_CNN.widths,
    leaked_filters=SEQGAN_CNN.filters,
    leaked_dropout=0.0,
)
ORACLE = LeakGAN(  # the authors' code: No Temperature/Synthetic Data/Main.py, length 20
    **CONSTANT_ADAM,
    judge_steps=5 * 3 * EPOCH,  # 5 sets of negatives, 3 epochs each, before the first maximum likelihood
    mle_steps=80 * EPOCH,
    # differs: D learns in turn (the code's ten blocks have 1.9 steps of D to one of maximum likelihood) and from the
    # training text (the code draws new sentences from the oracle for each set)
    judge_every=1,
    adversarial_steps=800,
    rollouts=4,
    discriminator_updates=5 * 3 * EPOCH,
    mle_every=801,  # none in the game
    rank_sharpness=16.0,
    generator_lr=1e-2,
    discriminator_lr=1e-4,
    generator=SMALL,
)
PRESETS = {
    "paper-oracle": ORACLE,
    "paper-oracle-40": replace(  # the same at length 40
        ORACLE,
        generator=replace(
            SMALL,
            embedding=64,
            hidden=64,
            leaked_widths=(*SEQGAN_CNN.widths, 30),  # the code names 40 too, but has filters for 30 alone
            leaked_filters=(*SEQGAN_CNN.filters, 160),
        ),
    ),
    "paper-coco": replace(  # Image COCO/Main.py and LeakGANModel.py
        ORACLE,
        judge_steps=150 * 156 - 150 * 7,  # differs: most of D's steps come first; the code has 150 epochs in ten blocks
        mle_steps=150 * 7,  # 150 "epochs" of a twentieth of the text
        mle_lr=1e-3,
        generator_lr=1e-3,
        mle_every=2,  # such an epoch every 15 rounds
        generator=replace(
            SMALL,
            embedding=128,
            hidden=128,
            leaked_embedding=256,
            leaked_widths=(*SEQGAN_CNN.widths, 32),
            leaked_filters=(*SEQGAN_CNN.filters, 160),
        ),
    ),
}
