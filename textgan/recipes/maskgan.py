"""MaskGAN: fill holes in real sentences so that a judge of every word takes them for real. Fedus et al., ICLR 2018."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.discriminators import StepDiscriminator
from textgan.errors import InputError
from textgan.estimators import discounted_returns, reinforce
from textgan.generators import Generator, GeneratorSpec, Infill
from textgan.objectives import token_cross_entropy
from textgan.processes import Noise, gather, share
from textgan.sequences import BOS, EOS, lengths_of, mask_of, mean_within, pad_to
from textgan.updates import Logs, Phase, Player, Players, adam, cosine, generator_players, reward_logs


class Holes(NamedTuple):
    """Sentences with holes: tokens (B, L); hole (B, L) bool, what is hidden of the text; visible (B, L) ids."""

    tokens: Tensor
    hole: Tensor
    visible: Tensor


@dataclass(frozen=True)
class MaskGAN:
    """Maximum likelihood of hidden words, D alone, then a game: G fills holes, D judges each word, a critic foretells.

    The reward of a filled word is log 2 D(x_t | x_<t, visible text); its return is discounted over the later holes, and
    the critic's value is the baseline: sum_t (R_t - b_t) grad log G(x_t | x_<t, visible text) (eq. 4-6).
    Differs: log 2 D, not log D, so that a D which knows nothing pays nothing for one more word and takes nothing,
    where a sentence ends as G likes (paper: one length); the visible text is read place by place by an LSTM in each
    direction (paper: attention); every second sentence is hidden whole, and its length with it, so that G also writes
    without any text (paper: other runs).

    Args (the others are `updates.FIELDS`):
        mask_rate: share of a sentence that its hole covers, where it is not hidden whole
        discount: of rewards to come
        generator: MaskGAN's own generator, whose sizes are D's too
    """

    name: ClassVar[str] = "maskgan"
    paper: ClassVar[str] = "Fedus et al. 2018"
    bridge: ClassVar[str] = "REINFORCE at each filled word, with a critic"
    opponent: ClassVar[str] = "LSTM with a judgement per word, beside the visible text"
    no_prompt: ClassVar[str] = "it fills holes, and the visible text around them is what it is given"

    batch: int = 64
    mle_steps: int = 1500
    judge_steps: int = 200
    adversarial_steps: int = 300
    discriminator_updates: int = 1
    mask_rate: float = 0.5
    discount: float = 0.9
    mle_lr: float = 3e-3
    mle_final_rate: float = 0.0
    weight_decay: float = 0.1
    early_stopping: bool = True
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-3
    generator: GeneratorSpec = Infill()

    def players(self, vocab_size: int, max_len: int) -> Players:
        if not isinstance(self.generator, Infill):
            raise InputError("maskgan plays with --generator infill alone: no other generator reads around a hole")
        players = generator_players(self, vocab_size, max_len)
        judge = WordJudge(self.generator.build(vocab_size, max_len))
        return players | {
            "discriminator": Player(judge, adam(nn.ModuleList([judge.model, judge.out]), self.discriminator_lr)),
            "critic": Player(judge, adam(judge.value, self.discriminator_lr)),
        }

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]:
        g, d, critic = players["generator"], players["discriminator"], players["critic"]

        def holes(batches: Iterator[Tensor]) -> Holes:
            return make_holes(pad_to(next(batches), g.net.max_len), self.mask_rate, g.net.vocab_size, rng)

        def imitate(*given: Tensor) -> Logs:
            real = Holes(*given)
            loss = -gather(log_probs(g.net.train(), real)).sum() / gather(real.hole).sum()
            return {"g_loss": players["likelihood"].minimise(loss)}

        def learn(step: int, batches: Iterator[Tensor]) -> Logs:
            players["likelihood"].at(cosine(step, self.mle_steps, last=self.mle_final_rate))
            return players["likelihood"].graphs("imitate", imitate, *holes(batches))

        def judged(given: Holes) -> Tensor:
            return d.net.step_logits(given.tokens, mask_of(given.tokens), given.visible).float()

        def tell_apart(noise: Tensor, *given: Tensor) -> Logs:
            real = Holes(*given)
            fake = fill(g.net, real, noise)
            d.net.train()
            ours, theirs, hidden, filled = (gather(x) for x in (judged(real), judged(fake), real.hole, fake.hole))
            loss = d.minimise(token_cross_entropy(ours, theirs, hidden, filled))
            right = mean_within((ours > 0).float(), hidden) + mean_within((theirs < 0).float(), filled)
            return {"d_loss": loss, "word_accuracy": right / 2}

        def judge(step: int, batches: Iterator[Tensor]) -> Logs:
            real = holes(batches)
            return d.graphs(("tell apart", d.frozen), tell_apart, noise_for(real), *real)

        def noise_for(given: Holes) -> Tensor:
            batch, length = given.tokens.shape
            return Noise(batch, rng, given.tokens.device).uniform(length)

        def play(step: int, batches: Iterator[Tensor]) -> Logs:
            given = holes(batches)
            fake = fill(g.net, given, noise_for(given))
            d.net.eval()
            rewards = (F.logsigmoid(judged(fake).detach()) + math.log(2)) * fake.hole  # (B, L)
            returns = discounted_returns(rewards, mask_of(fake.tokens), gamma=self.discount)
            values = d.net.values(fake.tokens, fake.visible)
            missed = mean_within(gather(values) - gather(returns), gather(fake.hole), torch.square)
            logs: Logs = {
                "g_loss": g.minimise(reinforce(log_probs(g.net.eval(), fake), returns - values, fake.hole)),
                "critic_loss": critic.minimise(missed),
            }
            for _ in range(self.discriminator_updates):
                logs |= judge(step, batches)
            return logs | reward_logs(rewards.sum(1) / lengths_of(fake.hole).clamp(min=1))

        return (
            Phase("mle", self.mle_steps, learn, keep_best=self.early_stopping),
            Phase("judge", self.judge_steps, judge),
            Phase("adversarial", self.adversarial_steps, play),
        )


class WordJudge(StepDiscriminator):
    """A logit, and a value for the critic, for every word (B, L) beside the visible text (B, L), or beside none."""

    def __init__(self, twin: Generator) -> None:
        super().__init__()
        self.model, self.size = twin.model.body, twin.model.config.hidden_size
        self.longest = twin.model.config.context_len
        self.out, self.value = nn.Linear(self.size, 1), nn.Linear(self.size, 1)

    def states(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        if visible is None:  # all that a sentence may be long, whatever the batch is, so that padding changes nothing
            visible = torch.full((len(x), max(self.longest, x.shape[1])), self.model.hidden_id, device=x.device)
        contexts = self.model.contexts(visible)
        zeros = contexts.new_zeros(1, len(x), self.size)
        return self.model(x, (zeros, zeros, contexts))[0]

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.states(x) * mask[..., None]).sum(1) / lengths_of(mask)[:, None]

    def judged(self, features: Tensor) -> Tensor:
        return self.out(features).squeeze(1)

    def step_logits(self, x: Tensor, mask: Tensor, visible: Tensor | None = None) -> Tensor:
        return self.out(self.states(x, visible)).squeeze(2) * mask

    def values(self, x: Tensor, visible: Tensor) -> Tensor:
        """The returns that the critic foretells from what is before each word, (B, L); they teach its own layer alone.

        Having read the word itself, a baseline would take from it what it earns.
        """
        before = F.pad(self.states(x, visible).detach()[:, :-1], (0, 0, 1, 0))
        return self.value(before).squeeze(2).float()


def make_holes(tokens: Tensor, rate: float, hidden_id: int, rng: torch.Generator) -> Holes:
    """A span of each sentence (B, L) is hidden; of every second one all, and where it ends.

    The places behind a sentence are hidden too where its end is, so that no context tells the length.
    """
    mask, lengths = mask_of(tokens), lengths_of(mask_of(tokens))[:, None]  # (B, 1)
    span = (lengths * rate).ceil().long()
    start = (Noise(len(tokens), rng, tokens.device).uniform(1) * (lengths - span + 1)).floor().long()
    at = torch.arange(tokens.shape[1], device=tokens.device)
    row = share().rank * len(tokens) + torch.arange(len(tokens), device=tokens.device)  # of the whole batch
    whole = (row % 2 == 0)[:, None]
    hole = ((at >= start) & (at < start + span) | whole) & mask
    return Holes(tokens, hole, tokens.masked_fill(hole | ~mask, hidden_id))


def log_probs(generator: Generator, given: Holes) -> Tensor:
    """log G(x_t | x_<t, visible text) of the hidden words, 0 elsewhere: (B, L)."""
    model = generator.model
    inputs = F.pad(given.tokens[:, :-1], (1, 0), value=BOS)
    hidden, _ = model.hidden(inputs, model.state_of(model.body.contexts(given.visible)))
    return generator.read_off(hidden, given.tokens, given.hole)


@torch.no_grad()
def fill(generator: Generator, given: Holes, noise: Tensor) -> Holes:
    """The holes filled by G, word after word, without dropout; a sentence hidden whole ends where G ends it.

    noise: (B, L) uniform numbers, one for each draw.
    """
    model, batch = generator.eval().model, len(given.tokens)
    state: Any = model.state_of(model.body.contexts(given.visible))
    x = torch.full((batch,), BOS, device=given.tokens.device)
    free = (given.visible == generator.vocab_size).all(1)
    done, tokens, hole = torch.zeros_like(free), given.tokens.clone(), given.hole.clone()
    for t in range(tokens.shape[1]):
        out, state = generator.advance(x, state)
        drawn = generator.draw(out, noise[:, t]).tokens
        hole[:, t] = torch.where(free, ~done, given.hole[:, t])
        tokens[:, t] = torch.where(hole[:, t], drawn, tokens[:, t] * ~free)
        x = tokens[:, t]
        done = done | (x == EOS)
    return Holes(tokens, hole, given.visible)


PRESETS = {
    "paper-ptb": MaskGAN(  # the authors' code: README.md, whose two commands are its pre-training and its game
        batch=128,  # of the game; differs: also of the pre-training (20)
        mle_steps=100_000,
        judge_steps=0,
        adversarial_steps=100_000,
        discriminator_updates=2,
        mask_rate=0.5,
        discount=0.89072,
        mle_lr=7.4876e-4,
        generator_lr=3.8877e-5,
        discriminator_lr=5e-4,  # differs: the critic's too (5.2e-7)
        generator=Infill(embedding=650, hidden=650, context=650, dropout=0.66),  # differs: one layer (two), and D's
        # dropout is G's (.28)
    ),
}
