"""A relational memory as a language model: slots that attend to each other and to the newest token, behind gates.

Santoro et al., NeurIPS 2018, with RelGAN's sizes (Nie et al., ICLR 2019): one slot of two heads of 256.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig

from textgan.models.stateful import State, StatefulForCausalLM, unless_masked
from textgan.sequences import BOS, EOS, PAD, embed


class MemoryConfig(PreTrainedConfig):
    """Sizes of a `MemoryForCausalLM`; a slot has num_heads * head_size numbers."""

    model_type = "textgan_memory"

    vocab_size: int = 5000
    embedding_size: int = 32
    num_slots: int = 1
    num_heads: int = 2
    head_size: int = 256
    dropout: float = 0.0
    pad_token_id: int | None = PAD
    bos_token_id: int | None = BOS
    eos_token_id: int | list[int] | None = EOS
    tie_word_embeddings: bool = False
    use_cache: bool = True


class MemoryForCausalLM(StatefulForCausalLM):
    """m~ = LN(m + attention(m; [m, x])); m~ = LN(m~ + MLP(m~)); m' = sigmoid(f + 1) m + sigmoid(i) tanh(m~).

    The gates i and f, one for each unit, are linear in x and tanh(m). Santoro et al. 2018, eq. 1-8. The state is
    the memory, (slots, B, M); it begins as the identity, so that slots differ. The head reads all slots.
    Differs: queries are divided by sqrt(M / heads), as in the paper's eq. 1, and rows are normalised one by one;
    RelGAN's code divides by sqrt(3 M / heads) and normalises the rows of a memory together.
    """

    config_class = MemoryConfig
    base_model_prefix = "memory"

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__(config)
        size = config.num_heads * config.head_size
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.enter = nn.Linear(config.embedding_size, size)
        self.attend, self.attend_norm = nn.Linear(size, 3 * size), nn.LayerNorm(3 * size)
        self.think = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))
        self.first_norm, self.second_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.gate_memory, self.gate_input = nn.Linear(size, 2 * size), nn.Linear(size, 2 * size, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.num_slots * size, config.vocab_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """N(0, 1 / fan-in), as the authors have it."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.embedding_size**-0.5)
        elif isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def zero_state(self, n: int) -> State:
        slots, size = self.config.num_slots, self.config.num_heads * self.config.head_size
        memory = torch.eye(slots, size).to(self.embedding.weight)
        return (memory[:, None].expand(slots, n, size),)

    def hidden(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        entered = self.enter(self.dropout(embed(x, self.embedding.weight)))  # (B, T, M)
        gates, out = self.gate_input(entered), []
        for t in range(entered.shape[1]):
            new = self._advance(entered[:, t], gates[:, t], state[0])
            state = unless_masked(None if mask is None else mask[:, t], (new,), state)
            out.append(state[0].transpose(0, 1).flatten(1))
        return self.dropout(torch.stack(out, 1)), state

    def _advance(self, x: Tensor, gates: Tensor, memory: Tensor) -> Tensor:
        """One token into the memory: x (B, M), gates (B, 2 M), memory (S, B, M) -> (S, B, M)."""
        slots, rows = len(memory), torch.cat([memory, x[None]])  # (S + 1, B, M)
        query, key, value = (  # (B, heads, S + 1, M / heads)
            part.unflatten(-1, (self.config.num_heads, -1)).permute(1, 2, 0, 3)
            for part in self.attend_norm(self.attend(rows)).chunk(3, -1)
        )
        seen = F.scaled_dot_product_attention(query[:, :, :slots], key, value).permute(2, 0, 1, 3).flatten(2)
        thought = self.first_norm(memory + seen)
        thought = self.second_norm(thought + self.think(thought))
        enter, forget = (self.gate_memory(memory.tanh()) + gates).chunk(2, -1)
        return (forget + 1).sigmoid() * memory + enter.sigmoid() * thought.tanh()
