"""p(tokens): the families of generators. `base.Generator` says what each can do; a new one is a file and a word."""

from __future__ import annotations

from pathlib import Path

from textgan.errors import InputError
from textgan.generators.base import ROWS, Generator, State, evaluating, first, quiet_transformers
from textgan.generators.causal import CausalLM, Pretrained, Transformer
from textgan.generators.drawing import Decoding, check_temperature, gumbel, search
from textgan.generators.likelihood import NEVER
from textgan.generators.stateful import LSTM, Infill, Leak, Memory, StatefulGenerator

__all__ = [
    "GENERATORS",
    "LSTM",
    "NEVER",
    "ROWS",
    "CausalLM",
    "Decoding",
    "Generator",
    "GeneratorSpec",
    "Infill",
    "Leak",
    "Memory",
    "Pretrained",
    "State",
    "StatefulGenerator",
    "Transformer",
    "check_temperature",
    "evaluating",
    "first",
    "gumbel",
    "load_generator",
    "quiet_transformers",
    "search",
]

GENERATORS = {
    "lstm": LSTM, "transformer": Transformer, "memory": Memory, "leak": Leak, "infill": Infill, "pretrained": Pretrained
}  # fmt: skip
GeneratorSpec = LSTM | Transformer | Memory | Leak | Infill | Pretrained
"""The sizes of a generator of any family, as a recipe's field."""


def load_generator(folder: Path, *, max_len: int | None = None) -> Generator:
    """A generator from a Hugging Face folder (safetensors only, no remote code); max_len defaults to the saved one."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from textgan import models

    models.register()
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; a generator is a Hugging Face folder such as RUN/generator")
    with quiet_transformers():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)
    length = max_len or getattr(config, "max_sentence_len", None) or 64
    family = StatefulGenerator if isinstance(model, models.StatefulForCausalLM) else CausalLM
    generator = family(model, config.vocab_size, length).eval()
    generator.first_id = getattr(config, "first_id", generator.first_id)
    generator.labels = getattr(config, "labels", 0)
    generator.mark = getattr(config, "prompt_mark", None)
    return generator
