"""What our language models share: a state that is carried from token to token, and Hugging Face's contract."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.utils import ModelOutput

from textgan.graphs import keep_recurrent

State = tuple[Tensor, ...]  # each (..., B, ...) with the sentences in dimension 1


@dataclass
class StatefulOutput(ModelOutput):
    """loss: () mean cross-entropy of the shifted labels; logits: (B, T, V); state: after the last token."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    state: State | None = None


class StatefulForCausalLM(PreTrainedModel, GenerationMixin):
    """A language model whose past is a few tensors. A subclass has `embedding` and `head`, and writes two methods."""

    _is_stateful = True  # such a state cannot be cropped: no assisted decoding
    main_input_name = "input_ids"
    embedding: nn.Embedding
    head: nn.Module

    @abstractmethod
    def zero_state(self, n: int) -> State:
        """The state of n sentences before any token; every token leaves its shape as it is."""

    @abstractmethod
    def hidden(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """Ids (B, T) or soft tokens (B, T, V) -> what the head sees, (B, T, H), and the new state.

        Where mask (B, T) is False the state passes by unchanged.
        """

    def step_by_step(self, x: Tensor, state: State, mask: Tensor) -> tuple[Tensor, State]:
        """`hidden` under a mask, of `hidden` without one, token by token."""
        steps = []
        for t in range(x.shape[1]):
            out, new = self.hidden(x[:, t : t + 1], state)
            state = unless_masked(mask[:, t], new, state)
            steps.append(out)
        return torch.cat(steps, 1), state

    def train(self, mode: bool = True) -> StatefulForCausalLM:
        super().train(mode)
        keep_recurrent(self)
        return self

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _reorder_cache(self, state: State, beams: Tensor) -> State:
        return tuple(part.index_select(1, beams) for part in state)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        state: State | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> StatefulOutput | tuple[Tensor, ...]:
        """(B, T) ids -> logits (B, T, V). Pads on the left (mask 0) leave the state untouched."""
        state = self.zero_state(len(input_ids)) if state is None else state
        mask = None if attention_mask is None else attention_mask[:, -input_ids.shape[1] :].bool()
        hidden, state = self.hidden(input_ids, state, None if mask is None or bool(mask.all()) else mask)
        logits = self.head(hidden)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size)
        output = StatefulOutput(loss=loss, logits=logits, state=state if use_cache is not False else None)
        return output if return_dict is not False else output.to_tuple()

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """With a state in hand only the newest token is fed."""
        state = kwargs.get("state")
        return {
            "input_ids": input_ids if state is None else input_ids[:, -1:],
            "state": state,
            "attention_mask": kwargs.get("attention_mask"),
            "use_cache": kwargs.get("use_cache", True),
        }


def unless_masked(mask: Tensor | None, new: State, old: State) -> State:
    """new where the sentence has a token, (B,) bool, and old elsewhere; None: everywhere new."""
    if mask is None:
        return new
    shaped = [mask.view(1, -1, *[1] * (part.dim() - 2)) for part in new]
    return tuple(a.where(m, b) for m, a, b in zip(shaped, new, old, strict=True))
