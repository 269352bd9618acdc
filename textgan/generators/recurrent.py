"""The LSTM in the game."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from textgan.generators.base import Generator, State
from textgan.sequences import BOS, embed


class LSTMGenerator(Generator):
    """An `LSTMForCausalLM` in the game; the state is (h, c), each (layers, B, H)."""

    def start(self, n: int) -> State:
        return self.model.zero_state(n)

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, state = self.model.hidden(embed(x, self.model.embedding.weight).unsqueeze(1), state)
        return hidden.squeeze(1), state

    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.head(hidden)

    def select(self, state: State, rows: Tensor) -> State:
        return state[0].index_select(1, rows), state[1].index_select(1, rows)

    def hidden(self, tokens: Tensor) -> Tensor:
        inputs = F.pad(tokens[:, :-1], (1, 0), value=BOS)
        return self.model.hidden(self.model.embedding(inputs), self.start(len(tokens)))[0]


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
        from textgan.lstm import LSTMConfig, LSTMForCausalLM

        config = LSTMConfig(
            vocab_size=vocab_size,
            embedding_size=self.embedding,
            hidden_size=self.hidden,
            num_layers=self.layers,
            dropout=self.dropout,
            tie_word_embeddings=self.tied,
            initializer_range=self.init_std or None,
        )
        return LSTMGenerator(LSTMForCausalLM(config), vocab_size, max_len)
