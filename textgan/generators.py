"""p(tokens): what a generator can do, and the two families that do it.

A subclass says how to start, how to advance a state by one token and how to read logits off a hidden vector; the
log-probabilities, sampling and relaxed sampling follow from these. PAD and BOS are never generated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.errors import InputError
from textgan.sequences import BOS, EOS, PAD, Relaxed, Samples, embed, mask_of, straight_through

NEVER = -1e9  # a forbidden token's logit; finite, since 0 * (-inf - -inf) makes an exact KL NaN
BLOCK = 1 << 18  # logits at once while drawing (1 MB in float32: they stay in cache); benchmarks/SPEED.md
SEGMENT = 64  # probabilities added up before they are searched; benchmarks/SPEED.md
ROWS = 1024  # sentences at once while sampling or rolling out: bounds memory for any n

State = Any  # whatever a family carries between steps


@contextmanager
def evaluating(*nets: nn.Module) -> Iterator[None]:
    """Dropout off inside, and each net as it was afterwards."""
    modes = [net.training for net in nets]
    try:
        for net in nets:
            net.eval()
        yield
    finally:
        for net, mode in zip(nets, modes, strict=True):
            net.train(mode)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars for loading and saving a few tensors; the caller's setting comes back afterwards."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_temperature(temperature: float) -> None:
    """Refuse what would divide by zero or turn the distribution over."""
    if not 0 < temperature < float("inf"):
        raise InputError(f"temperature {temperature} must be a positive number; near 0 is greedy, 1 is the model")


def search(weights: Tensor, u: Tensor) -> Tensor:
    """Where u of the total falls in the cumulative sum: weights (b, V) >= 0, u (b, 1) in [0, 1) -> (b, 1) int64.

    An index of weight 0 is never returned; rows with NaN get any index. The sums of segments are searched first and
    then the one segment, since a sum is many times faster than a cumulative sum of as many numbers.
    """
    size = weights.shape[1]
    if size <= 2 * SEGMENT:
        return _scan(weights, u)[0]
    whole = size - size % SEGMENT
    sums = weights[:, :whole].unflatten(1, (-1, SEGMENT)).sum(-1)
    if whole < size:
        sums = torch.cat([sums, weights[:, whole:].sum(-1, keepdim=True)], 1)
    segment, u = _scan(sums, u)
    first = segment * SEGMENT
    at = first + torch.arange(SEGMENT, device=weights.device)  # (b, SEGMENT)
    if whole < size:
        inside = weights.gather(1, at.clamp(max=size - 1)).masked_fill_(at >= size, 0)
    else:
        inside = weights.gather(1, at)
    return (first + _scan(inside, u)[0]).clamp_(max=size - 1)


def _scan(weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The index, (b, 1), and which share of that weight lies below the place searched for, (b, 1) in [0, 1)."""
    cdf = weights.cumsum(-1)
    place = u.clamp(0, 1 - 2**-22) * cdf[:, -1:]  # below the total, whatever the rounding
    index = torch.searchsorted(cdf, place, right=True).clamp_(max=weights.shape[1] - 1)
    weight = weights.gather(1, index)
    return index, (place - cdf.gather(1, index) + weight) / weight


def gumbel(shape: torch.Size, device: torch.device, rng: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise, -log E with E = -log(1 - u) exponential; never infinite.

    u has 24 bits and is finest where E is small, which is where a draw is won. Four times as fast on the CPU as
    `exponential_`.
    """
    u = torch.empty(shape, device=device).uniform_(2**-25, 1 - 2**-23, generator=rng)
    return u.neg_().log1p_().neg_().log_().neg_()


class Generator(nn.Module, ABC):
    """A distribution over sentences of at most `max_len` tokens (EOS included) from a vocabulary of `vocab_size`."""

    model: Any  # a Hugging Face PreTrainedModel

    def __init__(self, model: nn.Module, vocab_size: int, max_len: int) -> None:
        super().__init__()
        self.model = model
        self.vocab_size = vocab_size
        self.max_len = max_len

    @abstractmethod
    def start(self, n: int) -> State:
        """The state of n sentences before BOS."""

    @abstractmethod
    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed one token a row, (B,) int64 or (B, V) soft -> hidden (B, H) and the new state."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., V), before PAD and BOS are forbidden."""

    @abstractmethod
    def select(self, state: State, rows: Tensor) -> State:
        """A new state of the given rows, (N,) int64, which may repeat."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., H) -> (..., V) of the next token, PAD and BOS forbidden."""
        logits = self.logits(hidden)
        logits[..., :EOS] = NEVER  # in place: a linear layer's backward pass does not need its output
        return logits

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed one token a row -> logits (B, V) of the next one, and the new state."""
        hidden, state = self.advance(x, state)
        return self.head(hidden), state

    def hidden(self, tokens: Tensor) -> Tensor:
        """Teacher forcing: (B, T) -> (B, T, H), where [:, t] has seen BOS and tokens[:, :t]. Faster in subclasses."""
        state, x, out = self.start(len(tokens)), _bos(len(tokens), tokens.device), []
        for t in range(tokens.shape[1]):
            h, state = self.advance(x, state)
            out.append(h)
            x = tokens[:, t]
        return torch.stack(out, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Teacher-forced logits: (B, T) -> (B, T, V), where [:, t] predicts tokens[:, t]."""
        return self.head(self.hidden(tokens))

    def log_probs(self, tokens: Tensor) -> Tensor:
        """log p(token_t | token_<t), differentiable: (B, T) -> (B, T), 0 where tokens are PAD.

        Only real positions reach the V-sized head.
        """
        mask = mask_of(tokens)
        logits = self.head(self.hidden(tokens)[mask]).float()  # (N, V)
        flat = -F.cross_entropy(logits, tokens[mask], reduction="none")
        return torch.zeros_like(tokens, dtype=flat.dtype).masked_scatter(mask, flat)

    def draw(self, hidden: Tensor, *, temperature: float = 1.0, rng: torch.Generator | None = None) -> Samples:
        """Draw the next token of each row: hidden (B, H) -> Samples of shape (B,).

        Inverse transform, one uniform a row, in blocks of rows that stay in cache.
        """
        u = torch.rand(len(hidden), 1, generator=rng, device=hidden.device)
        tokens = torch.empty(len(hidden), dtype=torch.int64, device=hidden.device)
        log_probs = torch.empty(len(hidden), device=hidden.device)
        size = max(64, BLOCK // self.vocab_size)
        for i in range(0, len(hidden), size):
            logits = self.head(hidden[i : i + size]).float()  # (b, V)
            if temperature != 1:
                logits /= temperature
            probs = logits.softmax(-1)
            token = search(probs, u[i : i + size])  # (b, 1)
            tokens[i : i + size] = token.squeeze(1)
            log_probs[i : i + size] = probs.gather(1, token).log().squeeze(1)
        return Samples(tokens, log_probs, mask_of(tokens))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        prefix: Tensor | None = None,
        temperature: float = 1.0,
        max_len: int | None = None,
        rng: torch.Generator | None = None,
    ) -> Samples:
        """Draw n sentences, continuing `prefix` (n, P) where given; shape (n, T) with T <= max_len.

        Dropout is off. Rows that have ended leave the batch. Errors: a temperature that is not positive.
        """
        check_temperature(temperature)
        length = max_len or self.max_len
        if prefix is not None and (len(prefix) != n or prefix.shape[1] > length):
            raise ValueError(f"prefix {tuple(prefix.shape)} must be ({n}, P) with P <= {length}")
        parts = []
        with evaluating(self):
            for i in range(0, n, ROWS):
                rows = min(ROWS, n - i)
                given = None if prefix is None else prefix[i : i + rows]
                parts.append(self._sample(rows, given, temperature, length, rng))
        tokens, log_probs = (torch.cat(p) for p in zip(*parts, strict=True)) if parts else self._empty(0, length)
        mask = mask_of(tokens)
        width = max(1, int(mask.any(0).sum()))
        return Samples(tokens[:, :width], log_probs[:, :width], mask[:, :width])

    def _empty(self, n: int, length: int) -> tuple[Tensor, Tensor]:
        tokens = torch.full((n, length), PAD, device=self.device)
        return tokens, torch.zeros(n, length, device=self.device)

    def _sample(
        self, n: int, prefix: Tensor | None, temperature: float, length: int, rng: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        tokens, log_probs = self._empty(n, length)
        state, x, given = self.start(n), _bos(n, self.device), 0
        done = torch.zeros(n, dtype=torch.bool, device=self.device)
        if prefix is not None and prefix.shape[1]:
            given = prefix.shape[1]
            tokens[:, :given] = prefix
            for t in range(given):
                _, state = self.advance(x, state)
                x = prefix[:, t]
            done = (prefix == EOS).any(1) | (x == PAD)
        self.extend(state, x, tokens, log_probs, given, done=done, temperature=temperature, rng=rng)
        return tokens, log_probs

    def extend(
        self,
        state: State,
        x: Tensor,
        tokens: Tensor,
        log_probs: Tensor,
        t: int,
        *,
        done: Tensor,
        temperature: float = 1.0,
        rng: torch.Generator | None = None,
    ) -> None:
        """Fill tokens[:, t:] and log_probs[:, t:], (B, T), in place; rows drop out of the batch as they end."""
        rows = torch.arange(len(tokens), device=tokens.device)
        for position in range(t, tokens.shape[1]):
            ended = int(done.sum())
            if ended == len(done):
                return
            if ended > len(done) // 8:
                keep = (~done).nonzero().squeeze(1)
                rows, x, done, state = rows[keep], x[keep], done[keep], self.select(state, keep)
            hidden, state = self.advance(x, state)
            drawn = self.draw(hidden, temperature=temperature, rng=rng)
            x = drawn.tokens.masked_fill(done, PAD)
            tokens[rows, position] = x
            log_probs[rows, position] = drawn.log_probs.masked_fill(done, 0)
            done = done | (x == EOS)

    def relaxed_sample(
        self,
        n: int,
        *,
        temperature: float,
        hard: bool = True,
        feed_tokens: bool = False,
        max_len: int | None = None,
        rng: torch.Generator | None = None,
    ) -> Relaxed:
        """Sentences with a gradient: y = softmax((logits + gumbel) / temperature), one step after another.

        hard: values are one-hot and the gradient is the soft one's (straight-through). feed_tokens: the discrete
        token is fed on, so the gradient travels through the state only (as RelGAN does), instead of y itself.
        Where a sentence ends is not differentiable. Jang et al. 2017, eq. 2; Maddison et al. 2017.
        """
        check_temperature(temperature)
        state, x = self.start(n), _bos(n, self.device)
        done = torch.zeros(n, dtype=torch.bool, device=self.device)
        ended = F.one_hot(torch.tensor(PAD, device=self.device), self.vocab_size).float()
        probs, tokens = [], []
        for _ in range(max_len or self.max_len):
            logits, state = self.step(x, state)  # (B, V)
            soft = ((logits.float() + gumbel(logits.shape, logits.device, rng)) / temperature).softmax(-1)
            token = soft.argmax(-1).masked_fill(done, PAD)
            y = torch.where(done[:, None], ended, straight_through(soft, token) if hard else soft)
            probs.append(y)
            tokens.append(token)
            done = done | (token == EOS)
            if bool(done.all()):
                break
            x = token if feed_tokens else y
        ids = torch.stack(tokens, 1)
        return Relaxed(torch.stack(probs, 1), ids, mask_of(ids))

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder (config, safetensors, generation defaults that sample the model honestly)."""
        from transformers import GenerationConfig

        self.model.config.max_sentence_len = self.max_len
        self.model.generation_config = GenerationConfig(
            bos_token_id=BOS,
            eos_token_id=EOS,
            pad_token_id=PAD,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            max_length=self.max_len + 1,
            suppress_tokens=[PAD, BOS],
        )
        with quiet_transformers():
            self.model.save_pretrained(folder)


def _bos(n: int, device: torch.device) -> Tensor:
    return torch.full((n,), BOS, device=device)


class LSTMGenerator(Generator):
    """An `LSTMForCausalLM` in the game; the state is (h, c), each (layers, B, H)."""

    def start(self, n: int) -> State:
        return self.model.zero_state(n)

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, state = self.model.hidden(embed(x, self.model.embedding.weight).unsqueeze(1), state)
        return hidden.squeeze(1), state

    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.head(hidden)

    def select(self, state: State, rows: Tensor) -> State:
        return state[0].index_select(1, rows), state[1].index_select(1, rows)

    def hidden(self, tokens: Tensor) -> Tensor:
        inputs = F.pad(tokens[:, :-1], (1, 0), value=BOS)
        return self.model.hidden(self.model.embedding(inputs), self.start(len(tokens)))[0]


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

    def _run(self, embedded: Tensor, cache: State) -> Tensor:
        out = (self.model.base_model if self._split else self.model)(
            inputs_embeds=embedded, past_key_values=cache, use_cache=cache is not None
        )
        return out.last_hidden_state if self._split else out.logits

    def start(self, n: int) -> State:
        from transformers import DynamicCache

        return DynamicCache()

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        weight = self.model.get_input_embeddings().weight
        return self._run(embed(x, weight).unsqueeze(1), state).squeeze(1), state

    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(hidden) if self._split else hidden.clone()

    def select(self, state: State, rows: Tensor) -> State:
        return _cache([(k[rows], v[rows]) for k, v in _layers(state)])

    def hidden(self, tokens: Tensor) -> Tensor:
        inputs = F.pad(tokens[:, :-1], (1, 0), value=BOS)
        return self._run(embed(inputs, self.model.get_input_embeddings().weight), None)


def _layers(cache: State) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _cache(layers: list[tuple[Tensor, Tensor]]) -> State:
    from transformers import DynamicCache

    cache = DynamicCache()
    for i, (keys, values) in enumerate(layers):
        cache.update(keys, values, i)
    return cache


@dataclass(frozen=True)
class LSTM:
    """An LSTM generator's sizes.

    Args:
        embedding: size of a token's vector
        hidden: size of the recurrent state
        layers: LSTM layers
        dropout: share of units dropped in maximum-likelihood training
        tied: one matrix for embedding and output
        init_std: normal initialisation of every weight (SeqGAN: 0.1); 0 is torch's uniform one
    """

    embedding: int = 128
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.3
    tied: bool = True
    init_std: float = 0.0

    def build(self, vocab_size: int, max_len: int) -> Generator:
        """A freshly initialised generator; draws from torch's global random state."""
        from textgan.lstm import LSTMConfig, LSTMForCausalLM

        config = LSTMConfig(
            vocab_size=vocab_size,
            embedding_size=self.embedding,
            hidden_size=self.hidden,
            num_layers=self.layers,
            dropout=self.dropout,
            tie_word_embeddings=self.tied,
            initializer_range=self.init_std or None,
        )
        return LSTMGenerator(LSTMForCausalLM(config), vocab_size, max_len)


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


GENERATORS = {"lstm": LSTM, "transformer": Transformer}


def load_generator(folder: Path, *, max_len: int | None = None) -> Generator:
    """A generator from a Hugging Face folder (safetensors only, no remote code); max_len defaults to the saved one."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from textgan import lstm

    lstm.register()
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; a generator is a Hugging Face folder such as RUN/generator")
    with quiet_transformers():
        config = AutoConfig.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    length = max_len or getattr(config, "max_sentence_len", None) or 64
    family = LSTMGenerator if isinstance(model, lstm.LSTMForCausalLM) else CausalLM
    return family(model, config.vocab_size, length).eval()
