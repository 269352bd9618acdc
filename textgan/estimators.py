"""Gradients across sampling: REINFORCE, roll-outs, returns, baselines, and Gumbel temperatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from textgan.generators import ROWS, Generator, evaluating, first
from textgan.graphs import fixed_shapes
from textgan.processes import Noise, gather
from textgan.sequences import EOS, PAD, Samples, lengths_of, mask_of, mean_within

Score = Callable[[Tensor], Tensor]  # (B, T) tokens -> (B,) rewards

ALIKE = 1e-4  # a spread of rewards below this is rounding
ROUNDING = 1e-6  # a difference of float32 numbers below this share of them
SCORED_TOKENS = 1 << 17  # text that a discriminator sees at once; many sentences, so that tables pay (discriminators)


def reinforce(log_probs: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
    """Score-function gradient: minimise -E[sum_t R_t log p(x_t | x_<t)]. Williams 1992, eq. 11.

    log_probs, rewards: (B, T) float; mask: (B, T) bool. Sums over T, averages over B. Rewards are detached here.
    """
    if rewards.shape != log_probs.shape:
        raise ValueError(
            f"rewards {tuple(rewards.shape)} must match log_probs {tuple(log_probs.shape)}; "
            "expand sentence rewards with r[:, None].expand_as(log_probs)"
        )
    return -(log_probs * rewards.detach() * mask).sum(1).mean()


@torch.no_grad()
def rollout_rewards(
    generator: Generator,
    score: Score,
    samples: Samples,
    *,
    n: int,
    context: Tensor | None = None,
    rng: torch.Generator | None = None,
) -> Tensor:
    """What a sentence is worth once each of its tokens is fixed: q[b, t] = E score(tokens[b, :t+1] completed).

    The mean over n completions by `generator`; the last token's is the score of the sentence itself. SeqGAN (Yu et al.
    2017), eq. 4. samples: (B, T); returns (B, T), 0 outside the mask, so in prompts too. Errors: n < 1.
    """
    if n < 1:
        raise ValueError(f"n {n} must be at least one roll-out")
    rewards = torch.zeros(samples.tokens.shape, device=samples.tokens.device)
    with evaluating(generator):
        for places, complete in _gathered(_completions(generator, samples, n, context, rng)):
            rewards.view(-1).index_add_(0, places, score_blocks(score, complete) / n)
    last = _end(samples.mask)[:, None]  # (B, 1)
    return rewards.scatter_(1, last, score_blocks(score, samples.tokens)[:, None]) * samples.mask


def last_of(rewards: Tensor, mask: Tensor) -> Tensor:
    """The last token's, which is the finished sentence's own: (B, T) -> (B,)."""
    return rewards.gather(1, _end(mask)[:, None]).squeeze(1)


def _end(mask: Tensor) -> Tensor:
    """Where each sentence ends, the last place of the mask: (B, T) -> (B,); 0 where it is empty."""
    return (mask * torch.arange(mask.shape[1], device=mask.device)).amax(1)


def _completions(
    generator: Generator, samples: Samples, n: int, context: Tensor | None, rng: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each prefix that is not a whole sentence, n times: its place in the flattened (B, T), (N,), and tokens (N, T').

    All completions of the prefixes of one length run together, each from a copy of its sentence's state.
    """
    tokens, mask, device = samples.tokens, samples.mask, samples.tokens.device
    batch, time = tokens.shape
    width = max(time, generator.max_len)
    every, noise = torch.arange(batch, device=device), Noise(batch, rng, device)
    _, state = generator.advance(first(tokens, context), generator.start(batch))
    for t in range(1, time):
        hidden, state = generator.advance(tokens[:, t - 1], state)
        # beyond an end, and within a prompt, nothing counts
        going = every if fixed_shapes(device) else (mask[:, t - 1] & mask[:, t]).nonzero().squeeze(1)
        uniform = noise.uniform(n, width - t)[going].flatten(0, 1)  # (N, T' - t)
        for owner, u in zip(going.repeat_interleave(n).split(ROWS), uniform.split(ROWS), strict=True):
            complete = torch.full((len(owner), width), PAD, device=device)
            complete[:, :t] = tokens[owner, :t]
            complete[:, t] = x = generator.draw(hidden[owner], u[:, 0]).tokens
            log_probs = torch.empty(complete.shape, device=device)
            own = generator.select(state, owner)
            generator.extend(own, x, complete, log_probs, t + 1, done=x == EOS, noise=u[:, 1:])
            yield owner * time + t - 1, complete


def _gathered(parts: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The parts joined until they hold SCORED_TOKENS."""
    places: list[Tensor] = []
    tokens: list[Tensor] = []
    for place, complete in parts:
        places.append(place)
        tokens.append(complete)
        if sum(map(torch.numel, tokens)) >= SCORED_TOKENS:
            yield torch.cat(places), torch.cat(tokens)
            places, tokens = [], []
    if places:
        yield torch.cat(places), torch.cat(tokens)


@torch.no_grad()
def score_blocks(score: Score, tokens: Tensor) -> Tensor:
    """score(tokens) of any number of sentences, (N, T) -> (N,), in blocks of like length without their padding."""
    if fixed_shapes(tokens.device):
        return torch.cat([score(rows) for rows in tokens.split(max(1, SCORED_TOKENS // tokens.shape[1]))]).float()
    lengths = lengths_of(mask_of(tokens))
    order = lengths.argsort()
    values = torch.zeros(len(tokens), device=tokens.device)
    for rows in order.split(max(1, SCORED_TOKENS // tokens.shape[1])):
        if rows.numel():
            values[rows] = score(tokens[rows, : int(lengths[rows[-1]])]).to(values.dtype)
    return values


def discounted_returns(rewards: Tensor, mask: Tensor, *, gamma: float) -> Tensor:
    """Dense returns: R_t = sum_{s >= t} gamma^(s-t) r_s within the mask. (B, T) -> (B, T). ScratchGAN, eq. 4."""
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma {gamma} must lie in [0, 1]")
    rewards = rewards * mask
    running, out = torch.zeros_like(rewards[:, 0]), []
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * running
        out.append(running)
    return torch.stack(out[::-1], 1) * mask


def position_baseline(rewards: Tensor, mask: Tensor) -> Tensor:
    """The mean reward of the whole batch's other sentences at each position: (B, T) -> (B, T).

    Where a sentence has outlived all others, the mean of their last rewards: with no baseline there, every batch would
    push the end of its longest sentence by the whole reward. Leave-one-out keeps REINFORCE unbiased, since no
    sentence's baseline depends on itself. Kool et al. 2019.
    """
    rewards, last = rewards * mask, last_of(rewards, mask)
    whole, ends = gather(mask), gather(last)
    others = whole.sum(0) - mask.long()  # (B, T)
    here = (gather(rewards).sum(0) - rewards) / others.clamp(min=1)
    alone = (ends.sum() - last) / max(1, len(ends) - 1)  # (B,)
    return here.where(others > 0, alone[:, None]) * mask


def advantages(rewards: Tensor, mask: Tensor, *, baseline: bool = True) -> Tensor:
    """Rewards above `position_baseline`, (B, T); without it as they are, as the early papers have them.

    Rewards that are all above 0 make what was sampled likelier whoever wrote it: their mean sharpens G, whatever D
    says (benchmarks/RESULTS.md).
    """
    return above(rewards, position_baseline(rewards, mask)) if baseline else rewards


def above(rewards: Tensor, baseline: Tensor | float) -> Tensor:
    """rewards - baseline, 0 where they differ by rounding alone, of which Adam would make steps of full size."""
    gap = rewards - baseline
    return gap.masked_fill(gap.abs() <= ROUNDING * rewards.abs(), 0)


def importance_weights(logits: Tensor) -> Tensor:
    """D / (1 - D) = exp(logit), normalised over the whole batch: (B,) -> (B,), mean 1. Che et al. 2017, eq. 10.

    In float32 whatever the logits are: eight bits would give weights that are all alike a mean other than 1.
    """
    logits = logits.float()
    whole = gather(logits)
    return (logits - whole.logsumexp(0)).exp() * len(whole)


def group_advantages(rewards: Tensor, *, size: int | None = None) -> Tensor:
    """How much better each sample is than the others of its group, in the group's deviations: (B,) -> (B,).

    (r_i - mean of the others) / sd, the sd at least ALIKE; so 0, but for rounding, where all rewards of a group are
    alike or there is but one. Kool et al. 2019; Shao et al. 2024.
    size: of a group, rows that follow each other; None is the whole batch.
    """
    groups = gather(rewards)[None] if size is None else rewards.view(-1, size)
    n, mean = groups.shape[1], groups.mean(1, keepdim=True)
    above = (rewards.view(len(groups), -1) - mean) * n / max(1, n - 1)  # r_i - mean of the others, without its rounding
    return (above / groups.std(1, correction=0, keepdim=True).clamp(min=ALIKE)).flatten()


def clipped_ratio(log_probs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, *, clip: float) -> Tensor:
    """PPO: minimise -E sum_t min(w A, clamp(w, 1 - clip, 1 + clip) A), w = p / p_old. Schulman et al. 2017, eq. 7.

    All (B, T); sums over T, averages over B; `old` and advantages are detached. At w = 1 its gradient is REINFORCE's.
    """
    ratio, advantages = (log_probs - old.detach()).exp(), advantages.detach()
    best = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    return -(best * mask).sum(1).mean()


def divergence(log_probs: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """KL(p | reference) from samples, never negative and of little variance: e^-d - 1 + d, summed over T, mean over B.

    d = log p - log reference, (B, T); the reference is detached here. Schulman 2020 (its third estimator). That is the
    value; the samples are taken as they are, so that its gradient is, on average, that of KL(reference | p), as in GRPO
    (Shao et al. 2024).
    """
    d = log_probs - reference.detach()
    return (((-d).exp() - 1 + d) * mask).sum(1).mean()


class MovingBaseline(nn.Module):
    """An exponential mean of the rewards seen: b <- decay b + (1 - decay) mean(r). ScratchGAN has decay .08."""

    value: Tensor

    def __init__(self, decay: float = 0.08) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay {decay} must lie in [0, 1)")
        self.decay = decay
        self.register_buffer("value", torch.zeros(()))

    @torch.no_grad()
    def forward(self, rewards: Tensor, mask: Tensor) -> Tensor:
        """The baseline before this batch (), which is then folded in whole; rewards (B, T)."""
        before = self.value.clone()
        self.value.mul_(self.decay).add_((1 - self.decay) * mean_within(gather(rewards), gather(mask)))
        return before


def exponential_temperature(step: int, *, steps: int, last: float) -> float:
    """From 1 down to `last` at `steps`: last^(step / steps). RelGAN (Nie et al. 2019), with beta_max = 1 / last."""
    return last ** (min(step, steps) / max(1, steps))


def linear_temperature(step: int, *, steps: int, first: float = 1.0, last: float) -> float:
    """A straight line from `first` to `last` at `steps`, constant after it."""
    share = min(step, steps) / max(1, steps)
    return first + (last - first) * share
