"""Any causal language model of transformers in the game, and a small GPT-2 made here."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from textgan.errors import InputError
from textgan.generators.base import Generator, State, evaluating, inputs
from textgan.graphs import fixed_shapes
from textgan.sequences import BOS, EOS, PAD, embed


class CausalLM(Generator):
    """Any Hugging Face causal language model in the game; the state is its key-value cache.

    The base model gives hidden vectors and the output embedding gives logits; a model that does more between the two
    (a soft cap, a scale) is found out at once and runs with its logits as the hidden vector.
    """

    def __init__(self, model: nn.Module, vocab_size: int, max_len: int) -> None:
        super().__init__(model, vocab_size, max_len)
        self._split = self._head_is_linear()

    @torch.no_grad()
    def _head_is_linear(self) -> bool:
        ids = torch.tensor([[BOS, EOS]], device=self.device)
        with evaluating(self):
            hidden = self.model.base_model(input_ids=ids).last_hidden_state
            linear = self.model.get_output_embeddings()(hidden)
            return bool(torch.allclose(linear, self.model(input_ids=ids).logits, atol=1e-5))

    @torch.no_grad()
    def check_past(self) -> None:
        """Errors: InputError where a token at a time, with `select` in between, is not what the model makes of a whole
        sentence: its past is not keys and values alone, or it has none."""
        ids = (PAD + 1 + torch.arange(6, device=self.device) % (self.vocab_size - 1))[None, : self.max_len].repeat(2, 1)
        try:
            with evaluating(self):
                whole = self.model(input_ids=ids).logits
                state, logits = self.start(1), []
                state = self.select(self.advance(ids[:1, 0], state)[1], torch.tensor([0, 0], device=self.device))
                for token in ids.unbind(1)[1:]:
                    hidden, state = self.advance(token, state)
                    logits.append(self.logits(hidden))
            same = torch.allclose(torch.stack(logits, 1), whole[:, 1:], atol=1e-3, rtol=1e-3)
        except (IndexError, AttributeError, RuntimeError, TypeError, ValueError, NotImplementedError):
            same = False
        if not same:
            said = f"--generator pretrained: a {type(self.model).__name__} cannot be sampled here"
            raise InputError(f"{said}: its past is not keys and values alone; give one such as GPT-2 or Llama")

    @cached_property
    def _sizes(self) -> list[tuple[int, int, int]]:
        """Heads, size of a key and of a value in each layer, which configurations name in many ways."""
        from transformers import DynamicCache

        cache = DynamicCache()
        with torch.no_grad(), evaluating(self):
            self._run(self._embed(torch.full((1, 1), BOS, device=self.device)), cache)
        return [(keys.shape[1], keys.shape[3], values.shape[3]) for keys, values in _layers(cache)]

    @cached_property
    def _cache_word(self) -> str:
        """What the model calls its cache: transformers gave it another name in 5.24."""
        known = inspect.signature(self._body.forward).parameters
        return "cache" if "cache" in known else "past_key_values"

    @property
    def _body(self) -> Any:
        return self.model.base_model if self._split else self.model

    def _run(self, embedded: Tensor, cache: Any) -> Tensor:
        out = self._body(inputs_embeds=embedded, use_cache=cache is not None, **{self._cache_word: cache})
        return out.last_hidden_state if self._split else out.logits

    def start(self, n: int) -> State:
        """A cache that grows; or where shapes are fixed its tensors: a layer's keys and values of max_len places, and
        how many are filled. Not where a gradient is kept, since they are changed in place.
        """
        from transformers import DynamicCache

        if not fixed_shapes(self.device) or torch.is_grad_enabled():
            return DynamicCache()
        kind, state = self.device.type, list[Tensor]()
        cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if cast else self.model.dtype
        for heads, key, value in self._sizes:
            places = (n, heads, self.max_len)
            state += [torch.zeros(*places, size, dtype=dtype, device=self.device) for size in (key, value)]
            state.append(torch.zeros((), dtype=torch.int64, device=self.device))
        return tuple(state)

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The cache, of either kind, is changed in place."""
        cache = _static(state) if isinstance(state, tuple) else state
        return self._run(self._embed(x).unsqueeze(1), cache).squeeze(1), state

    def _embed(self, x: Tensor) -> Tensor:
        table: Any = self.model.get_input_embeddings()
        if x.dtype == torch.int64:
            return table(x)
        return embed(x, table.weight) * getattr(table, "embed_scale", 1.0)  # Gemma's and XGLM's tables scale

    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(hidden) if self._split else hidden.clone()

    def linear(self) -> nn.Linear | None:
        head = self.model.get_output_embeddings()
        return head if self._split and isinstance(head, nn.Linear) else None

    def select(self, state: State, rows: Tensor) -> State:
        if isinstance(state, tuple):
            return tuple(part[rows] if part.dim() else part.clone() for part in state)
        return _cache([(k[rows], v[rows]) for k, v in _layers(state)])

    def hidden(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        return self._run(self._embed(inputs(tokens, context)), None)


def _layers(cache: Any) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _cache(layers: list[tuple[Tensor, Tensor]]) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache()
    for i, (keys, values) in enumerate(layers):
        cache.update(keys, values, i)
    return cache


def _static(state: State) -> Any:
    """transformers' cache of a fixed length over the tensors of `CausalLM.start`, without a copy.

    Its layers would allocate their own at the first token, and bring their count from the host. A layer whose attention
    reaches back some tokens only gets the same kind, and its mask hides the others.
    """
    from transformers import StaticLayer
    from transformers.cache_utils import Cache

    layers = []
    for keys, values, filled in zip(state[::3], state[1::3], state[2::3], strict=True):
        layer = StaticLayer(max_cache_len=keys.shape[2])
        layer.keys, layer.values, layer.cumulative_length = keys, values, filled
        layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
        layers.append(layer)
    return Cache(layers=layers)


@dataclass(frozen=True)
class Transformer:
    """A small GPT-2 generator's sizes.

    Args:
        width: size of a token's vector, a multiple of heads
        layers: transformer blocks
        heads: attention heads
        dropout: share of units dropped in maximum-likelihood training
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1

    def build(self, vocab_size: int, max_len: int) -> Generator:
        """A freshly initialised generator; draws from torch's global random state."""
        from transformers import GPT2Config, GPT2LMHeadModel

        if self.width % self.heads:
            raise InputError(f"generator.width {self.width} must be a multiple of generator.heads {self.heads}")
        config = GPT2Config(
            vocab_size=vocab_size,
            n_positions=max_len + 1,
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            resid_pdrop=self.dropout,
            embd_pdrop=self.dropout,
            attn_pdrop=self.dropout,
            bos_token_id=BOS,
            eos_token_id=EOS,
            pad_token_id=PAD,
        )
        return CausalLM(GPT2LMHeadModel(config), vocab_size, max_len)


@dataclass(frozen=True)
class Pretrained:
    """A language model of others, from a folder or the hub, whose tokens the run takes over.

    Args:
        path: folder of a causal language model, or its name on the hub
    """

    path: str = ""

    def build(self, vocab_size: int, max_len: int) -> Generator:
        """The model of a folder whose ids are in our order (`adoption.adopt` makes one); labels get rows at the end.

        Errors: InputError where a sentence is longer than its context or the vocabulary is another one.
        """
        from textgan.generators import load_generator

        generator = load_generator(Path(self.path), max_len=max_len)
        context = getattr(generator.model.config, "max_position_embeddings", None)
        if context is not None and context < max_len + 1:
            raise InputError(f"--max_len {max_len} must be at most {context - 1}, which its generator can read")
        if vocab_size < generator.vocab_size:
            raise InputError(f"{self.path}: it has {generator.vocab_size} tokens and the text {vocab_size}")
        if vocab_size > generator.vocab_size:
            generator.model.resize_token_embeddings(vocab_size)
            generator.vocab_size = vocab_size
        if isinstance(generator, CausalLM):
            generator.check_past()
        return generator
