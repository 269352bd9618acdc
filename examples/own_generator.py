"""A generator of one's own: a GRU that plays any recipe's game, and that Hugging Face's Auto classes load.

    python examples/own_generator.py

Three things: a config, a model whose past is a few tensors (`embedding`, `head`, `zero_state`, `hidden`), and a frozen
dataclass of sizes that builds it. Sampling, relaxed sampling, log-probabilities and roll-outs follow. In the package
they would stand in textgan/models/, textgan/generators/ and GENERATORS, and then have a word on the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

import textgan
from textgan.generators import GENERATORS, Generator, StatefulGenerator
from textgan.models.stateful import State, StatefulForCausalLM
from textgan.sequences import BOS, EOS, PAD, embed


class GRUConfig(PreTrainedConfig):
    """Sizes of a `GRUForCausalLM`."""

    model_type = "own_gru"

    vocab_size: int = 5000
    hidden_size: int = 64
    pad_token_id: int | None = PAD
    bos_token_id: int | None = BOS
    eos_token_id: int | list[int] | None = EOS
    use_cache: bool = True


class GRUForCausalLM(StatefulForCausalLM):
    """Embedding, a GRU, a linear head. The state is h, (1, B, H): the sentences stand in dimension 1."""

    config_class = GRUConfig
    base_model_prefix = "own"

    def __init__(self, config: GRUConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.gru = nn.GRU(config.hidden_size, config.hidden_size, batch_first=True)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        for weight in module.parameters(recurse=False):
            nn.init.uniform_(weight, -(self.config.hidden_size**-0.5), self.config.hidden_size**-0.5)

    def zero_state(self, n: int) -> State:
        return (self.embedding.weight.new_zeros(1, n, self.config.hidden_size),)

    def hidden(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        if mask is not None:
            return self.step_by_step(x, state, mask)
        out, after = self.gru(embed(x, self.embedding.weight), *state)  # ids (B, T) or soft tokens (B, T, V)
        return out, (after,)  # (B, T, H)


@dataclass(frozen=True)
class GRU:
    """Sizes. Args: hidden: size of the state and of a token's vector."""

    hidden: int = 64

    def build(self, vocab_size: int, max_len: int) -> Generator:
        config = GRUConfig(vocab_size=vocab_size, hidden_size=self.hidden)
        return StatefulGenerator(GRUForCausalLM(config), vocab_size, max_len)


GENERATORS["gru"] = GRU
AutoConfig.register("own_gru", GRUConfig)
AutoModelForCausalLM.register(GRUConfig, GRUForCausalLM)

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        game = textgan.SeqGAN(
            batch=32, mle_steps=60, judge_steps=5, adversarial_steps=2, rollouts=2, generator=GRU(32)
        )  # fmt: skip
        run = textgan.fit(game, "grammar:500", out=Path(folder) / "run", seed=0, progress=False)
        print(run.sample_text(2, seed=0))
        saved = run.path / "generator"
        model, tokenizer = AutoModelForCausalLM.from_pretrained(saved), AutoTokenizer.from_pretrained(saved)
        start = torch.tensor([[tokenizer.bos_token_id]])
        print(type(model).__name__, tokenizer.decode(model.generate(start, max_length=9, do_sample=False)[0]))
