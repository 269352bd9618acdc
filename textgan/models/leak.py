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

from textgan.discriminators import CNN, CNNDiscriminator, Reading
from textgan.models.stateful import State, StatefulForCausalLM, unless_masked
from textgan.recurrent import PortableLSTM
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
    reads their outer product. The state: worker and manager, h over c, each (2, B, H); W g of the last c - 1 goals,
    (c - 1, B, K); the discriminator's `Reading`.
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
        self.leak = CNNDiscriminator(config.vocab_size, judge).requires_grad_(False)  # taught by its own game alone
        self.manager, self.aim = PortableLSTM(size, config.hidden_size), nn.Linear(config.hidden_size, size)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.worker = PortableLSTM(config.embedding_size, config.hidden_size)
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

    def zero_state(self, n: int) -> State:
        zeros = self.embedding.weight.new_zeros
        size, steps = self.config.hidden_size, self.config.goal_steps
        return zeros(2, n, size), zeros(2, n, size), zeros(steps - 1, n, self.config.goal_size), *self.leak.unread(n)

    def hidden(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        if mask is not None:
            return self.step_by_step(x, state, mask)
        course, state = self.course(x, state)
        return course.hidden, state

    def course(self, x: Tensor, state: State) -> tuple[Course, State]:
        """`hidden` with the features and goals on the way."""
        worker, manager, heeded = state[:3]
        features, reading = self.read(x, Reading(*state[3:]))  # (T, B, F)
        managed, manager = run(self.manager, features, manager)
        goals = F.normalize(self.aim(managed).float(), dim=-1)
        heeded = torch.cat([heeded, self.heed(goals.to(self.heed.weight.dtype)).to(heeded.dtype)])  # (c - 1 + T, B, K)
        steps = self.config.goal_steps
        added = heeded.unfold(0, steps, 1).sum(-1)  # (T, B, K)
        worked, worker = run(self.worker, self.dropout(embed(x.transpose(0, 1), self.embedding.weight)), worker)
        worked = self.dropout(worked)
        paired = torch.cat([worked, torch.ones_like(worked[..., :1])], -1)[..., None] * added[..., None, :]
        course = Course(*(part.transpose(0, 1) for part in (paired.flatten(2), features, goals)))
        return course, (worker, manager, heeded[len(heeded) - steps + 1 :], *reading)

    def read(self, x: Tensor, reading: Reading) -> tuple[Tensor, Reading]:
        """The leaked features after each token, without dropout, and what is read: (B, T) or (B, T, V) -> (T, B, F).

        BOS and PAD are no text, and pass by. Hard tokens have no gradient.
        """
        with torch.set_grad_enabled(x.dtype != torch.int64 and torch.is_grad_enabled()):
            ids = x if x.dtype == torch.int64 else x.argmax(-1)
            text, vectors, strongest = (ids != BOS) & (ids != PAD), embed(x, self.leak.embedding.weight), []
            for t in range(x.shape[1]):
                after = self.leak.read_on(reading, vectors[:, t])
                reading = Reading(*unless_masked(text[:, t], after, reading))
                strongest.append(reading.strongest)
            return self.leak.highway(F.relu(torch.cat(strongest))), reading


def run(lstm: nn.LSTM, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """An LSTM along x, (T, B, E), from h over c, (2, B, H): (T, B, H) and the new state."""
    h, c = state.split(1)
    out, after = lstm(x, (h.contiguous(), c.contiguous()))
    return out, torch.cat(after)
