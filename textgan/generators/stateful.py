"""Our own models in the game: the LSTM, the relational memory, LeakGAN's manager with its worker, MaskGAN's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from textgan.errors import InputError
from textgan.generators.base import Generator, State, inputs


class StatefulGenerator(Generator):
    """A `models.StatefulForCausalLM` in the game; its state is the model's."""

    def start(self, n: int) -> State:
        return self.model.zero_state(n)

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, state = self.model.hidden(x.unsqueeze(1), state)
        return hidden.squeeze(1), state

    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.head(hidden)

    def linear(self) -> nn.Linear | None:
        return self.model.head

    def select(self, state: State, rows: Tensor) -> State:
        return tuple(part.index_select(1, rows) for part in state)

    def hidden(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        return self.model.hidden(inputs(tokens, context), self.start(len(tokens)))[0]


@dataclass(frozen=True)
class LSTM:
    """An LSTM generator's sizes.

    Args:
        embedding: size of a token's vector
        hidden: size of the recurrent state
        layers: LSTM layers
        dropout: share of units dropped in maximum-likelihood training
        tied: one matrix for embedding and output
        init_std: normal initialisation of every weight (SeqGAN: 0.1); 0 is torch's uniform one
    """

    embedding: int = 128
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.3
    tied: bool = True
    init_std: float = 0.0

    def build(self, vocab_size: int, max_len: int) -> Generator:
        """A freshly initialised generator; draws from torch's global random state."""
        from textgan.models import LSTMConfig, LSTMForCausalLM

        config = LSTMConfig(
            vocab_size=vocab_size,
            embedding_size=self.embedding,
            hidden_size=self.hidden,
            num_layers=self.layers,
            dropout=self.dropout,
            tie_word_embeddings=self.tied,
            initializer_range=self.init_std or None,
        )
        return StatefulGenerator(LSTMForCausalLM(config), vocab_size, max_len)


@dataclass(frozen=True)
class Memory:
    """A relational-memory generator's sizes; the defaults are RelGAN's.

    Args:
        embedding: size of a token's vector
        slots: rows of the memory
        heads: attention heads
        head_size: units of a head; a slot has heads * head_size
        dropout: share of units dropped in maximum-likelihood training
    """

    embedding: int = 32
    slots: int = 1
    heads: int = 2
    head_size: int = 256
    dropout: float = 0.0

    def build(self, vocab_size: int, max_len: int) -> Generator:
        """A freshly initialised generator; draws from torch's global random state."""
        from textgan.models import MemoryConfig, MemoryForCausalLM

        config = MemoryConfig(
            vocab_size=vocab_size,
            embedding_size=self.embedding,
            num_slots=self.slots,
            num_heads=self.heads,
            head_size=self.head_size,
            dropout=self.dropout,
        )
        return StatefulGenerator(MemoryForCausalLM(config), vocab_size, max_len)


@dataclass(frozen=True)
class Leak:
    """LeakGAN's generator: a manager's goals, from a discriminator's leaked features, guide a worker.

    Args:
        embedding: size of a token's vector
        hidden: size of the worker's and of the manager's state
        goal: size of the goal that the worker heeds
        goal_steps: goals added up for it, and steps ahead that a goal looks
        dropout: share of units dropped in maximum-likelihood training
        leaked_embedding: size of a token's vector in the discriminator
        leaked_widths: window widths of the discriminator in tokens
        leaked_filters: number of filters of each width
        leaked_dropout: share of the discriminator's features dropped in its training
    """

    embedding: int = 32
    hidden: int = 128
    goal: int = 16
    goal_steps: int = 4
    dropout: float = 0.0
    leaked_embedding: int = 64
    leaked_widths: tuple[int, ...] = (1, 2, 3, 4)
    leaked_filters: tuple[int, ...] = (100, 200, 200, 200)
    leaked_dropout: float = 0.25

    def build(self, vocab_size: int, max_len: int) -> Generator:
        """A freshly initialised generator; draws from torch's global random state."""
        from textgan.models import LeakConfig, LeakForCausalLM

        config = LeakConfig(
            vocab_size=vocab_size,
            embedding_size=self.embedding,
            hidden_size=self.hidden,
            goal_size=self.goal,
            goal_steps=self.goal_steps,
            dropout=self.dropout,
            leaked_embedding=self.leaked_embedding,
            leaked_widths=self.leaked_widths,
            leaked_filters=self.leaked_filters,
            leaked_dropout=self.leaked_dropout,
        )
        return StatefulGenerator(LeakForCausalLM(config), vocab_size, max_len)


@dataclass(frozen=True)
class Infill:
    """MaskGAN's generator, which can read the visible text around a hole.

    Args:
        embedding: size of a token's vector
        hidden: size of the recurrent state
        context: size of the reading of the visible text, half of it in each direction
        dropout: share of units dropped in maximum-likelihood training
    """

    embedding: int = 64
    hidden: int = 256
    context: int = 64
    dropout: float = 0.3

    def build(self, vocab_size: int, max_len: int) -> Generator:
        """A freshly initialised generator; draws from torch's global random state."""
        from textgan.models import InfillConfig, InfillForCausalLM

        if self.context < 2:
            raise InputError(f"generator.context {self.context} must be at least 2, a half for each direction")
        config = InfillConfig(
            vocab_size=vocab_size,
            embedding_size=self.embedding,
            hidden_size=self.hidden,
            context_size=self.context,
            context_len=max_len,
            dropout=self.dropout,
        )
        return StatefulGenerator(InfillForCausalLM(config), vocab_size, max_len)
