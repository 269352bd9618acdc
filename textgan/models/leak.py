"""LeakGAN's generator as a language model: a manager reads a discriminator's features and sets goals for a worker.

Guo et al., AAAI 2018. The features of the text so far come from a convolutional discriminator that is part of the
weights, so the model writes by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig

from textgan.discriminators import CNN
from textgan.models.stateful import State, StatefulForCausalLM, unless_masked
from textgan.sequences import BOS, EOS, PAD, embed


class LeakConfig(PreTrainedConfig):
    """Sizes of a `LeakForCausalLM`; leaked_* are those of the discriminator whose features it reads."""

    model_type = "textgan_leak"

    vocab_size: int = 5000
    embedding_size: int = 32
    hidden_size: int = 32
    goal_size: int = 16
    goal_steps: int = 4
    dropout: float = 0.0
    leaked_embedding: int = 64
    leaked_widths: list[int] | tuple[int, ...] = (1, 2, 3, 4)
    leaked_filters: list[int] | tuple[int, ...] = (100, 200, 200, 200)
    leaked_dropout: float = 0.25
    pad_token_id: int | None = PAD
    bos_token_id: int | None = BOS
    eos_token_id: int | list[int] | None = EOS
    tie_word_embeddings: bool = False
    use_cache: bool = True


class Course(NamedTuple):
    """What happened along sentences: hidden (B, T, H) for the head, features f_t and goals g_t (B, T, F)."""

    hidden: Tensor
    features: Tensor
    goals: Tensor


class LeakForCausalLM(StatefulForCausalLM):
    """g_t = unit(manager(f_t)), w_t = W (g_t + ... + g_{t-c+1}), logits = O(worker(x_t)) w_t. Guo et al., eq. 3-6.

    f_t are the features of the tokens so far. O is a matrix for each token, linear in the worker's state, so the head
    reads their outer product. The state: worker and manager, each (2, B, H); goals (c, B, F); tokens so far
    (t, B), or (t, B, V) where they are soft, with PAD where there was none. Where it must keep its shape, t is the room
    for tokens, and a fifth part, (1, B), counts those in it.
    """

    config_class = LeakConfig
    base_model_prefix = "leakgan"

    def __init__(self, config: LeakConfig) -> None:
        super().__init__(config)
        size = sum(config.leaked_filters)
        judge = CNN(
            embedding=config.leaked_embedding, widths=tuple(config.leaked_widths),
            filters=tuple(config.leaked_filters), dropout=config.leaked_dropout,
        )  # fmt: skip
        self.leak = judge.build(config.vocab_size, 0).requires_grad_(False)  # taught by its own game alone
        self.manager, self.aim = nn.LSTMCell(size, config.hidden_size), nn.Linear(config.hidden_size, size)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.worker = nn.LSTMCell(config.embedding_size, config.hidden_size)
        self.heed = nn.Linear(size, config.goal_size, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear((config.hidden_size + 1) * config.goal_size, config.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Torch's own, but for the word vectors."""
        if module is self.embedding:
            nn.init.normal_(self.embedding.weight, std=self.config.embedding_size**-0.5)

    def managing(self) -> nn.Module:
        """The parts that set goals."""
        return nn.ModuleList([self.manager, self.aim])

    def working(self) -> nn.Module:
        """The parts that choose words."""
        return nn.ModuleList([self.embedding, self.worker, self.heed, self.head])

    def zero_state(self, n: int, room: int = 0) -> State:
        zeros = self.embedding.weight.new_zeros
        size, steps = self.config.hidden_size, self.config.goal_steps
        prefix = torch.full((room, n), PAD, device=self.embedding.weight.device)
        at = (torch.zeros_like(prefix[:1]),) if room else ()
        return zeros(2, n, size), zeros(2, n, size), zeros(steps, n, self.heed.in_features), prefix, *at

    def hidden(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        course, state = self.course(x, state, mask)
        return course.hidden, state

    def course(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Course, State]:
        """`hidden` with the features and goals on the way."""
        embedded, steps = self.dropout(embed(x, self.embedding.weight)), []
        for t in range(x.shape[1]):
            here = None if mask is None else mask[:, t]
            *old, prefix = state[:4]
            prefix, *at = longer(prefix, x[:, t], here, *state[4:])
            features = self.read(prefix)  # (B, F)
            manager = torch.stack(self.manager(features, (old[1][0], old[1][1])))
            goal = F.normalize(self.aim(manager[0]).float(), dim=-1)
            goals = torch.cat([old[2][1:], goal[None].to(old[2].dtype)])
            worker = torch.stack(self.worker(embedded[:, t], (old[0][0], old[0][1])))
            state = (*unless_masked(here, (worker, manager, goals), tuple(old)), prefix, *at)
            heeded = self.heed(state[2].sum(0))  # (B, K)
            ones = torch.ones_like(state[0][0, :, :1])
            paired = torch.cat([self.dropout(state[0][0]), ones], 1)[:, :, None] * heeded[:, None]
            steps.append(Course(paired.flatten(1), features, goal))
        return Course(*(torch.stack(part, 1) for part in zip(*steps, strict=True))), state

    def read(self, prefix: Tensor) -> Tensor:
        """The leaked features of the tokens so far, without dropout: (t, B) or (t, B, V) -> (B, F)."""
        tokens = prefix.transpose(0, 1)  # (B, t) or (B, t, V)
        mask = (tokens if tokens.dim() == 2 else tokens.argmax(-1)) != PAD
        order = mask.int().argsort(dim=1, descending=True, stable=True)  # text first, whatever lay before it
        rows = torch.arange(len(order), device=order.device)[:, None]
        tokens, mask = tokens[rows, order], mask[rows, order]
        if tokens.dtype == torch.int64:
            with torch.no_grad():
                return self.leak.features(tokens, mask)
        return self.leak.features(tokens, mask)


def longer(prefix: Tensor, x: Tensor, here: Tensor | None, at: Tensor | None = None) -> State:
    """The tokens so far and the next: (t, B[, V]), (B,) or (B, V) -> (t + 1, B[, V]).

    BOS, and what `here` (B,) hides, stand as PAD: they are no text. With `at`, (1, B), the next is put there instead,
    and the place of the following one comes too.
    """
    if x.dtype == torch.int64:
        x = x.masked_fill(x == BOS if here is None else (x == BOS) | ~here, PAD)
    elif prefix.dtype == torch.int64:
        prefix = x.new_zeros(*prefix.shape, x.shape[-1]).scatter_(2, prefix[..., None], 1)
    if at is None:
        return (torch.cat([prefix, x[None]]),)
    place = at if x.dim() == 1 else at[..., None].expand(-1, *x.shape)
    return prefix.scatter(0, place, x[None]), at + 1
