"""An LSTM that runs in bfloat16 on any processor."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


class PortableLSTM(nn.LSTM):
    """`torch.nn.LSTM`, in float32 where autocast asks the processor for a bfloat16 LSTM that it does not have.

    oneDNN has one for processors with AVX-512 alone, and torch's autocast calls it on all of them: "could not create a
    primitive descriptor" (torch 2.13). What surrounds the LSTM stays in bfloat16.
    """

    def forward(self, x: Any, state: tuple[Tensor, Tensor] | None = None) -> Any:  # a tensor, or a PackedSequence
        if self.weight_ih_l0.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or rounds_lstms():
            return super().forward(x, state)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float(), state and (state[0].float(), state[1].float()))


@cache
def rounds_lstms() -> bool:
    """Whether oneDNN computes in bfloat16 on this processor."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
