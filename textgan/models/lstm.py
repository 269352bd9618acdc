"""An LSTM language model as a Hugging Face model."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedConfig

from textgan.models.stateful import State, StatefulForCausalLM
from textgan.recurrent import PortableLSTM
from textgan.sequences import BOS, EOS, PAD, embed


class LSTMConfig(PreTrainedConfig):
    """Sizes of an `LSTMForCausalLM`; tied weights project the hidden state down to the embedding size."""

    model_type = "textgan_lstm"
    attribute_map = {"num_hidden_layers": "num_layers"}

    vocab_size: int = 5000
    embedding_size: int = 32
    hidden_size: int = 32
    num_layers: int = 1
    dropout: float = 0.0
    initializer_range: float | None = None
    tie_word_embeddings: bool = False
    pad_token_id: int | None = PAD
    bos_token_id: int | None = BOS
    eos_token_id: int | list[int] | None = EOS
    use_cache: bool = True


class LSTMForCausalLM(StatefulForCausalLM):
    """Embedding, a stack of LSTM layers with dropout between them, and a linear head (tied where asked).

    The state is h and c, each (layers, B, H).
    """

    config_class = LSTMConfig
    base_model_prefix = "lstm"
    _tied_weights_keys = {"head.weight": "embedding.weight"}

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        sizes = [config.embedding_size] + [config.hidden_size] * config.num_layers
        out = config.embedding_size if config.tie_word_embeddings else config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = nn.ModuleList(PortableLSTM(a, b, batch_first=True) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Identity() if out == config.hidden_size else nn.Linear(config.hidden_size, out)
        self.head = nn.Linear(out, config.vocab_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Uniform in 1/sqrt(H) (torch's own), or N(0, initializer_range) everywhere as SeqGAN has it (.1)."""
        std = self.config.initializer_range
        for name, weight in module.named_parameters(recurse=False):
            if std is not None:
                nn.init.normal_(weight, std=std)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(weight, std=self.config.embedding_size**-0.5)
            elif "bias" in name:
                nn.init.zeros_(weight)
            else:
                bound = self.config.hidden_size**-0.5
                nn.init.uniform_(weight, -bound, bound)

    def zero_state(self, n: int) -> State:
        zeros = self.embedding.weight.new_zeros(len(self.layers), n, self.config.hidden_size)
        return zeros, zeros.clone()  # each may be changed in place

    def hidden(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        embedded = embed(x, self.embedding.weight)
        if mask is None:
            return self._run(embedded, state, None)
        # bring the real tokens to the front, run, and put the outputs back where they were
        order = mask.int().argsort(dim=1, descending=True, stable=True)  # (B, T)
        rows = torch.arange(len(order), device=order.device)[:, None]
        hidden, state = self._run(embedded[rows, order], state, mask.sum(1).clamp(min=1).cpu())
        return hidden[rows, order.argsort(dim=1)], state

    def _run(self, embedded: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """(B, T, E) -> (B, T, F), and the state after `lengths` (default T) tokens a row."""
        x, hs, cs = self.dropout(embedded), [], []
        for i, layer in enumerate(self.layers):
            packed = x if lengths is None else pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x, (h, c) = layer(packed, (state[0][i : i + 1].contiguous(), state[1][i : i + 1].contiguous()))
            if lengths is not None:
                x, _ = pad_packed_sequence(x, batch_first=True, total_length=embedded.shape[1])
            x = self.dropout(x)
            hs.append(h)
            cs.append(c)
        return self.project(x), (h, c) if len(hs) == 1 else (torch.cat(hs), torch.cat(cs))
