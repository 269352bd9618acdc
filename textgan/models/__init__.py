"""Language models of our own as Hugging Face models: they save, load and generate like any other causal LM.

A new one is a file here with a config and a `StatefulForCausalLM`, and a pair in MODELS.
"""

from __future__ import annotations

from textgan.models.infill import InfillConfig, InfillForCausalLM
from textgan.models.leak import LeakConfig, LeakForCausalLM
from textgan.models.lstm import LSTMConfig, LSTMForCausalLM
from textgan.models.memory import MemoryConfig, MemoryForCausalLM
from textgan.models.stateful import StatefulForCausalLM

__all__ = [
    "MODELS",
    "InfillConfig",
    "InfillForCausalLM",
    "LSTMConfig",
    "LSTMForCausalLM",
    "LeakConfig",
    "LeakForCausalLM",
    "MemoryConfig",
    "MemoryForCausalLM",
    "StatefulForCausalLM",
    "register",
]

MODELS = (
    (LSTMConfig, LSTMForCausalLM), (MemoryConfig, MemoryForCausalLM), (LeakConfig, LeakForCausalLM),
    (InfillConfig, InfillForCausalLM),
)  # fmt: skip


def register() -> None:
    """Make `AutoConfig` and `AutoModelForCausalLM` know these models; calling it twice does nothing more."""
    from transformers import AutoConfig, AutoModelForCausalLM

    for config, model in MODELS:
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)


register()
