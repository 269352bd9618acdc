"""An LSTM language model as a Hugging Face model: saves, loads and generates like any other causal LM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from textgan.sequences import BOS, EOS, PAD

State = tuple[Tensor, Tensor]  # h, c: (layers, B, H)


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


@dataclass
class LSTMOutput(ModelOutput):
    """loss: () mean cross-entropy of the shifted labels; logits: (B, T, V); state: h and c after the last token."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    state: State | None = None


class LSTMForCausalLM(PreTrainedModel, GenerationMixin):
    """Embedding, a stack of LSTM layers with dropout between them, and a linear head (tied where asked)."""

    config_class = LSTMConfig
    base_model_prefix = "lstm"
    _is_stateful = True  # a recurrent state cannot be cropped: no assisted decoding
    _tied_weights_keys = {"head.weight": "embedding.weight"}
    main_input_name = "input_ids"

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        sizes = [config.embedding_size] + [config.hidden_size] * config.num_layers
        out = config.embedding_size if config.tie_word_embeddings else config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = nn.ModuleList(
            nn.LSTM(a, b, batch_first=True) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Identity() if out == config.hidden_size else nn.Linear(config.hidden_size, out)
        self.head = nn.Linear(out, config.vocab_size)
        self.post_init()

    def train(self, mode: bool = True) -> LSTMForCausalLM:
        """Sets dropout only: cuDNN refuses a backward pass through an LSTM in evaluation mode."""
        super().train(mode)
        for layer in self.layers:
            layer.train(True)
        return self

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

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _reorder_cache(self, state: State, beams: Tensor) -> State:
        h, c = state
        return h.index_select(1, beams), c.index_select(1, beams)

    def zero_state(self, n: int) -> State:
        """The state before any token: h and c, (layers, n, H)."""
        zeros = self.head.weight.new_zeros(len(self.layers), n, self.config.hidden_size)
        return zeros, zeros

    def hidden(self, embedded: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """(B, T, E) -> what the head sees, (B, T, F), and the state after `lengths` (default T) tokens a row."""
        x, hs, cs = self.dropout(embedded), [], []
        for i, layer in enumerate(self.layers):
            packed = x if lengths is None else pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x, (h, c) = layer(packed, (state[0][i : i + 1].contiguous(), state[1][i : i + 1].contiguous()))
            if lengths is not None:
                x, _ = pad_packed_sequence(x, batch_first=True, total_length=embedded.shape[1])
            x = self.dropout(x)
            hs.append(h)
            cs.append(c)
        return self.project(x), (torch.cat(hs), torch.cat(cs))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        state: State | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> LSTMOutput | tuple[Tensor, ...]:
        """(B, T) ids -> logits (B, T, V). Pads on the left (mask 0) leave the state untouched."""
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.embedding(input_ids)
        state = self.zero_state(len(inputs_embeds)) if state is None else state
        mask = None if attention_mask is None else attention_mask[:, -inputs_embeds.shape[1] :].bool()
        if mask is None or bool(mask.all()):
            hidden, state = self.hidden(inputs_embeds, state)
        else:  # bring the real tokens to the front, run, and put the outputs back where they were
            order = mask.int().argsort(dim=1, descending=True, stable=True)  # (B, T)
            rows = torch.arange(len(order), device=order.device)[:, None]
            hidden, state = self.hidden(inputs_embeds[rows, order], state, mask.sum(1).clamp(min=1).cpu())
            hidden = hidden[rows, order.argsort(dim=1)]
        logits = self.head(hidden)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size)
        output = LSTMOutput(loss=loss, logits=logits, state=state if use_cache is not False else None)
        return output if return_dict is not False else output.to_tuple()

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """With a state in hand only the newest token is fed."""
        state = kwargs.get("state")
        ids = input_ids if state is None else input_ids[:, -1:]
        return {
            "input_ids": ids,
            "state": state,
            "attention_mask": kwargs.get("attention_mask"),
            "use_cache": kwargs.get("use_cache", True),
        }


def register() -> None:
    """Make `AutoConfig` and `AutoModelForCausalLM` know this model; calling it twice does nothing more."""
    from transformers import AutoConfig, AutoModelForCausalLM

    AutoConfig.register(LSTMConfig.model_type, LSTMConfig, exist_ok=True)
    AutoModelForCausalLM.register(LSTMConfig, LSTMForCausalLM, exist_ok=True)


register()
