"""Gradients across sampling: REINFORCE, roll-outs, returns, baselines, and Gumbel temperatures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from textgan.generators import Generator, evaluating
from textgan.sequences import BOS, EOS, PAD, Samples, lengths_of, mask_of

Score = Callable[[Tensor], Tensor]  # (B, T) tokens -> (B,) rewards

ROLLOUT_ROWS = 8192  # unfinished sentences at once: bounds memory whatever the number of roll-outs
SCORED_ROWS = 1024  # sentences that a discriminator sees at once


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
    generator: Generator, score: Score, samples: Samples, *, n: int, rng: torch.Generator | None = None
) -> Tensor:
    """What a sentence is worth once each of its tokens is fixed: q[b, t] = E score(tokens[b, :t+1] completed).

    The mean over n completions by `generator`; the last token's is the score of the sentence itself. SeqGAN (Yu et al.
    2017), eq. 4. samples: (B, T); returns (B, T), 0 outside the mask. All prefixes of all sentences run together: at
    position t those of length t join the batch with a copy of their sentence's state. Errors: n < 1.
    """
    if n < 1:
        raise ValueError(f"n {n} must be at least one roll-out")
    rewards = torch.zeros_like(samples.log_probs)
    size = max(1, ROLLOUT_ROWS // (n * samples.tokens.shape[1]))
    with evaluating(generator):
        for i in range(0, len(rewards), size):
            tokens, mask = samples.tokens[i : i + size], samples.mask[i : i + size]
            rewards[i : i + size] = _rollouts(generator, score, tokens, mask, n, rng)
    return rewards


def _rollouts(
    generator: Generator, score: Score, tokens: Tensor, mask: Tensor, n: int, rng: torch.Generator | None
) -> Tensor:
    """(B, T) -> (B, T): complete, score, and average by owner."""
    batch, time = tokens.shape
    device = tokens.device
    length = max(time, generator.max_len)
    last = lengths_of(mask) - 1  # (B,) where the sentence ends
    owner, position = _open_prefixes(mask, n)
    joins = [0, *(mask[:, 1:].sum(0) * n).tolist()]  # how many roll-outs begin to draw at each position
    rows, start = torch.arange(len(owner), device=device), 0
    complete = torch.full((len(owner), length), PAD, device=device)
    complete[:, :time] = tokens[owner].masked_fill(torch.arange(time, device=device) > position[:, None], PAD)

    own_state, own_x = generator.start(batch), torch.full((batch,), BOS, device=device)
    state, x, alive = None, complete[:0, 0], rows[:0]
    for t in range(length):
        if alive.numel():
            hidden, state = generator.advance(x, state)
        else:
            hidden, state = None, None
        if t < time:
            own_hidden, own_state = generator.advance(own_x, own_state)
            own_x = tokens[:, t]
            joining = rows[start : start + joins[t]]
            start += len(joining)
            if joining.numel():
                fresh = generator.select(own_state, owner[joining])
                own = own_hidden[owner[joining]]
                hidden = own if hidden is None else torch.cat([hidden, own])
                state = fresh if state is None else generator.concat(state, fresh)
                alive = torch.cat([alive, joining])
        if hidden is None:
            if t >= time:
                break
            continue
        x = generator.draw(hidden, rng=rng).tokens
        complete[alive, t] = x
        going = (x != EOS).nonzero().squeeze(1)
        if len(going) < len(x):
            alive, x, state = alive[going], x[going], generator.select(state, going)

    rewards = torch.zeros(batch, time, device=device)
    rewards.index_put_((owner, position), score_blocks(score, complete) / n, accumulate=True)
    rewards[torch.arange(batch, device=device), last] = score_blocks(score, tokens)
    return rewards


@torch.no_grad()
def score_blocks(score: Score, tokens: Tensor) -> Tensor:
    """score(tokens) of any number of sentences, (N, T) -> (N,), in blocks of like length without their padding."""
    lengths = lengths_of(mask_of(tokens))
    order = lengths.argsort()
    values = torch.zeros(len(tokens), device=tokens.device)
    for rows in order.split(SCORED_ROWS):
        if rows.numel():
            values[rows] = score(tokens[rows, : int(lengths[rows[-1]])]).to(values.dtype)
    return values


def _open_prefixes(mask: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Owner and last position of every roll-out, n for each token that is not its sentence's last, by position."""
    open_ = mask[:, 1:]  # a token after t means that the prefix ending at t is open
    position, owner = open_.t().nonzero(as_tuple=True)
    return owner.repeat_interleave(n), position.repeat_interleave(n)


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
    """The mean reward of the batch's other sentences at each position: (B, T) -> (B, T), 0 where alone.

    Leave-one-out keeps REINFORCE unbiased, since no sentence's baseline depends on itself. Kool et al. 2019.
    """
    rewards = rewards * mask
    others = mask.sum(0) - mask.long()  # (B, T)
    return (rewards.sum(0) - rewards) / others.clamp(min=1) * (others > 0) * mask


class MovingBaseline(nn.Module):
    """An exponential mean of the rewards seen: b <- decay b + (1 - decay) mean(r). ScratchGAN has decay .92."""

    value: Tensor

    def __init__(self, decay: float = 0.92) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay {decay} must lie in [0, 1)")
        self.decay = decay
        self.register_buffer("value", torch.zeros(()))

    @torch.no_grad()
    def forward(self, rewards: Tensor, mask: Tensor) -> Tensor:
        """The baseline before this batch (), which is then folded in; rewards (B, T)."""
        before = self.value.clone()
        self.value.mul_(self.decay).add_((1 - self.decay) * rewards[mask].mean())
        return before


def exponential_temperature(step: int, *, steps: int, last: float) -> float:
    """From 1 down to `last` at `steps`: last^(step / steps). RelGAN (Nie et al. 2019), with beta_max = 1 / last."""
    return last ** (min(step, steps) / max(1, steps))


def linear_temperature(step: int, *, steps: int, first: float = 1.0, last: float) -> float:
    """A straight line from `first` to `last` at `steps`, constant after it."""
    share = min(step, steps) / max(1, steps)
    return first + (last - first) * share
