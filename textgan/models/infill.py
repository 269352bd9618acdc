"""A language model that can fill holes: it reads the text around them, and writes freely where all is hidden.

The generator of MaskGAN (Fedus et al., ICLR 2018), and the body of its discriminator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from textgan.graphs import keep_recurrent
from textgan.models.stateful import State, StatefulForCausalLM
from textgan.recurrent import PortableLSTM
from textgan.sequences import BOS, EOS, PAD, embed


class InfillConfig(PreTrainedConfig):
    """Sizes of an `InfillForCausalLM`; context_len is how many places are hidden where it writes freely."""

    model_type = "textgan_infill"

    vocab_size: int = 5000
    embedding_size: int = 64
    hidden_size: int = 128
    context_size: int = 64
    context_len: int = 64
    dropout: float = 0.0
    pad_token_id: int | None = PAD
    bos_token_id: int | None = BOS
    eos_token_id: int | list[int] | None = EOS
    tie_word_embeddings: bool = False
    use_cache: bool = True


class Aligned(nn.Module):
    """An LSTM that reads tokens beside a bidirectional reading of the visible text, place by place."""

    def __init__(self, config: InfillConfig) -> None:
        super().__init__()
        self.hidden_id = config.vocab_size  # what stands for a hidden token
        self.words = nn.Embedding(config.vocab_size, config.embedding_size)
        self.visible = nn.Embedding(config.vocab_size + 1, config.embedding_size)
        half = config.context_size // 2
        self.around = PortableLSTM(config.embedding_size, half, batch_first=True, bidirectional=True)
        self.along = PortableLSTM(config.embedding_size + 2 * half, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def train(self, mode: bool = True) -> Aligned:
        super().train(mode)
        keep_recurrent(self)
        return self

    def contexts(self, visible: Tensor) -> Tensor:
        """What is known of each place: (B, L) ids with `hidden_id` where hidden -> (L, B, C)."""
        return self.around(self.dropout(self.visible(visible)))[0].transpose(0, 1)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Ids (B, T) or soft tokens (B, T, V), each beside the next context -> (B, T, H) and the new state.

        state: h and c, (1, B, H), and the contexts still to come, (L, B, C), with zeros behind the last.
        """
        h, c, contexts = state
        embedded = self.dropout(embed(x, self.words.weight)).transpose(0, 1)  # (T, B, E)
        time = len(embedded)
        behind = contexts.new_zeros(time, *contexts.shape[1:])
        here, contexts = torch.cat([contexts, behind]).split([time, len(contexts)])
        out, (h, c) = self.along(torch.cat([embedded, here], 2), (h.contiguous(), c.contiguous()))
        return self.dropout(out.transpose(0, 1)), (h, c, contexts)


class InfillForCausalLM(StatefulForCausalLM):
    """p(x_t | x_<t, the visible text). By itself all places are hidden, which makes it a plain language model."""

    config_class = InfillConfig
    base_model_prefix = "infill"

    def __init__(self, config: InfillConfig) -> None:
        super().__init__(config)
        self.body = Aligned(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]
        return self.body.words

    def _init_weights(self, module: nn.Module) -> None:
        """Torch's own, but for the word vectors."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.embedding_size**-0.5)

    def zero_state(self, n: int) -> State:
        nothing = torch.full((1, self.config.context_len), self.body.hidden_id, device=self.body.words.weight.device)
        return self.state_of(self.body.contexts(nothing).expand(-1, n, -1))

    def state_of(self, contexts: Tensor) -> State:
        """The state before any token beside these contexts, (L, B, C)."""
        zeros = contexts.new_zeros(1, contexts.shape[1], self.config.hidden_size)
        return zeros, zeros.clone(), contexts  # each may be changed in place

    def hidden(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        return self.body(x, state) if mask is None else self.step_by_step(x, state, mask)
