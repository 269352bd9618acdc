"""p(tokens): what every generator can do.

A subclass says how to start, how to advance a state by one token and how to read logits off a hidden vector; the
log-probabilities, sampling and relaxed sampling follow from these. PAD and BOS are never generated. A `context`, (B,)
int64, is the token that stands in BOS's place: a label, say. Where the language has prompts (`prompts`), a sentence
begins with one and its mark, which are given: log-probabilities are of the rest, and samples begin with prompts of the
training text unless a prefix says with what.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.generators.drawing import PLAIN, Decoding, check_temperature, gumbel, search
from textgan.generators.likelihood import forbid, summed
from textgan.graphs import Graphs, fixed_shapes
from textgan.processes import Noise, widest
from textgan.sequences import BOS, EOS, PAD, Relaxed, Samples, after_mark, mask_of, pad_to, straight_through

BLOCK = 1 << 18  # logits at once while drawing (1 MB in float32: they stay in cache); benchmarks/SPEED.md
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


class Generator(nn.Module, ABC):
    """A distribution over sentences of at most `max_len` tokens (EOS included) from a vocabulary of `vocab_size`."""

    model: Any  # a Hugging Face PreTrainedModel
    first_id = EOS  # ids below it are never generated: PAD and BOS; in a language of fixed length EOS and UNK as well

    def __init__(self, model: nn.Module, vocab_size: int, max_len: int) -> None:
        super().__init__()
        self.model = model
        self.vocab_size = vocab_size
        self.max_len = max_len
        self.graphs = Graphs()

    labels = 0  # how many of the last ids are labels, which stand in BOS's place and are never generated
    mark: int | None = None  # the id that ends a prompt, where the language has prompts: the last, never generated
    prompts: Tensor | None = None  # (N, P) int64, which samples begin with: each ends with the mark, PAD after it

    @abstractmethod
    def start(self, n: int) -> State:
        """The state of n sentences before BOS; where shapes are fixed, a tuple of tensors that never change theirs."""

    @abstractmethod
    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed one token a row, (B,) int64 or (B, V) soft -> hidden (B, H) and the new state.

        A state that was given may be changed in place, and is not to be used again.
        """

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., V), before PAD and BOS are forbidden."""

    def linear(self) -> nn.Linear | None:
        """The layer that `logits` is, where it is one."""
        return None

    @abstractmethod
    def select(self, state: State, rows: Tensor) -> State:
        """A new state of the given rows, (N,) int64, which may repeat."""

    @property
    def _rows(self) -> int:
        """How many rows of logits stay in cache."""
        return max(64, BLOCK // self.vocab_size)

    @property
    def allowed(self) -> slice:
        """The ids that are ever generated: not those below `first_id`, no labels, and no mark."""
        return slice(self.first_id, self.vocab_size - self.labels - (self.mark is not None))

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., H) -> (..., V) of the next token, those forbidden that are not `allowed`."""
        return forbid(self.logits(hidden), self.allowed)  # in place: a linear layer's backward pass does without it

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed one token a row -> logits (B, V) of the next one, and the new state."""
        hidden, state = self.advance(x, state)
        return self.head(hidden), state

    def hidden(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Teacher forcing: (B, T) -> (B, T, H), where [:, t] has seen BOS and tokens[:, :t]. Faster in subclasses."""
        state, x, out = self.start(len(tokens)), first(tokens, context), []
        for t in range(tokens.shape[1]):
            h, state = self.advance(x, state)
            out.append(h)
            x = tokens[:, t]
        return torch.stack(out, 1)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Teacher-forced logits: (B, T) -> (B, T, V), where [:, t] predicts tokens[:, t]."""
        return self.head(self.hidden(tokens, context))

    def log_probs(self, tokens: Tensor, context: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
        """log p(token_t | token_<t), differentiable: (B, T) -> (B, T), 0 where tokens are PAD or of a prompt."""
        return self.read_off(self.hidden(tokens, context), tokens, self.chosen(tokens), temperature=temperature)

    def chosen(self, tokens: Tensor) -> Tensor:
        """Which tokens are the generator's to choose, text but for prompts: (B, T) int64 -> (B, T) bool."""
        text = mask_of(tokens)
        return text if self.mark is None else text & after_mark(tokens, self.mark)

    def prompts_of(self, tokens: Tensor) -> Tensor | None:
        """What the generator is given of these sentences, for others to begin alike: (B, T) -> (B, T), PAD after it.

        None where it is given nothing.
        """
        return None if self.mark is None else tokens.masked_fill(self.chosen(tokens), PAD)

    def read_off(self, hidden: Tensor, tokens: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
        """log p of the tokens from the hidden vectors that foretell them: (B, T, H), (B, T) -> (B, T), 0 outside mask.

        Only what is in the mask reaches the V-sized head, unless shapes are fixed.
        """

        def log_p(hidden: Tensor, tokens: Tensor) -> Tensor:
            """(N, H) and (N,) -> (N,)"""
            logits = self.head(hidden).float()
            return -F.cross_entropy(logits if temperature == 1 else logits / temperature, tokens, reduction="none")

        if fixed_shapes(tokens.device):
            return log_p(hidden.flatten(0, 1), tokens.flatten()).view_as(tokens) * mask
        rows, real = hidden[mask], tokens[mask]
        size = max(1, len(rows)) if torch.is_grad_enabled() else self._rows
        flat = torch.cat([log_p(*block) for block in zip(rows.split(size), real.split(size), strict=True)])
        return torch.zeros_like(tokens, dtype=flat.dtype).masked_scatter(mask, flat)

    def log_likelihood(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """`log_probs(tokens, context).sum()`, a scalar, with its gradient: faster, and nothing of V x tokens is kept.

        On a card, under autocast and without a linear head it is that sum itself.
        """
        return self.sum_off(self.hidden(tokens, context), tokens, self.chosen(tokens))

    def sum_off(self, hidden: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """`read_off(hidden, tokens, mask).sum()`, as `log_likelihood` has it."""
        linear = self.linear()
        fast = torch.is_grad_enabled() and not fixed_shapes(tokens.device)
        if linear is None or not fast or torch.is_autocast_enabled(tokens.device.type):
            return self.read_off(hidden, tokens, mask).sum()
        return summed(hidden[mask], tokens[mask], linear.weight, linear.bias, self.allowed)

    def draw(self, hidden: Tensor, u: Tensor, decoding: Decoding = PLAIN) -> Samples:
        """Draw the next token of each row: hidden (B, H) and a uniform number each, u (B,) -> Samples of shape (B,).

        Inverse transform, in blocks of rows that stay in cache.
        """
        size = len(hidden) if fixed_shapes(hidden.device) else self._rows
        blocks = [self._draw(h, v, decoding) for h, v in zip(hidden.split(size), u[:, None].split(size), strict=True)]
        tokens, log_probs = blocks[0] if len(blocks) == 1 else (torch.cat(x) for x in zip(*blocks, strict=True))
        return Samples(tokens, log_probs, mask_of(tokens))

    def _draw(self, hidden: Tensor, u: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
        """Tokens and their log-probabilities, (b,): hidden (b, H), u (b, 1)."""
        probs = decoding.probs(self.head(hidden).float())  # (b, V)
        token = search(probs, u)  # (b, 1)
        return token.squeeze(1), probs.gather(1, token).log().squeeze(1)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        prefix: Tensor | None = None,
        context: Tensor | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_len: int | None = None,
        rng: torch.Generator | None = None,
    ) -> Samples:
        """Draw n sentences, continuing `prefix` (n, P), PAD after a shorter one, where given; (n, T) with T <= max_len.

        temperature, top_p: `Decoding`'s; log-probabilities are those of what was drawn from. Dropout is off. Rows that
        have ended leave the batch (where shapes are fixed they stay, and T is max_len); a sentence depends on `rng`
        and on its place alone, not on the others. Errors: a temperature that is not positive, a top_p outside (0, 1].
        """
        length = max_len or self.max_len
        if prefix is not None and (len(prefix) != n or prefix.shape[1] > length):
            raise ValueError(f"prefix {tuple(prefix.shape)} must be ({n}, P) with P <= {length}")
        noise = Noise(n, rng, self.device).uniform(length)
        return self.sample_from(noise, prefix=prefix, context=context, decoding=Decoding(temperature, top_p))

    @torch.no_grad()
    def sample_from(
        self,
        noise: Tensor,
        *,
        prefix: Tensor | None = None,
        context: Tensor | None = None,
        decoding: Decoding = PLAIN,
    ) -> Samples:
        """`sample` with the uniform numbers of its draws given: (n, T). A prompt is drawn by the first of a row."""
        decoding.check()
        n, length = noise.shape
        if prefix is None and self.prompts is not None:
            prefix = self.prompts_at(noise[:, 0])[:, :length]
        parts = []
        with evaluating(self):
            for i in range(0, n, ROWS):
                before, begin = (None if x is None else x[i : i + ROWS] for x in (prefix, context))
                parts.append(self._sample(noise[i : i + ROWS], before, begin, decoding, length))
        tokens, log_probs = (torch.cat(p) for p in zip(*parts, strict=True)) if parts else self._empty(0, length)
        mask = mask_of(tokens)
        width = length if fixed_shapes(self.device) else widest(max(1, int(mask.any(0).sum())), self.device)
        if prefix is not None:
            mask[:, : prefix.shape[1]] &= ~mask_of(prefix)
        return Samples(tokens[:, :width], log_probs[:, :width], mask[:, :width])

    def prompts_at(self, u: Tensor) -> Tensor:
        """Prompts drawn as the training text has them: uniform numbers (n,) -> (n, P)."""
        assert self.prompts is not None
        return self.prompts[(u * len(self.prompts)).long().clamp(max=len(self.prompts) - 1)]

    def _empty(self, n: int, length: int) -> tuple[Tensor, Tensor]:
        tokens = torch.full((n, length), PAD, device=self.device)
        return tokens, torch.zeros(n, length, device=self.device)

    def _sample(
        self, noise: Tensor, prefix: Tensor | None, context: Tensor | None, decoding: Decoding, length: int
    ) -> tuple[Tensor, Tensor]:
        n = len(noise)
        tokens, log_probs = self._empty(n, length)
        done = torch.zeros(n, dtype=torch.bool, device=self.device)
        given = None if prefix is None else pad_to(prefix, length)
        self.extend(
            self.start(n), first(tokens, context), tokens, log_probs, 0, done=done, noise=noise,
            decoding=decoding, given=given,
        )  # fmt: skip
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
        noise: Tensor,
        decoding: Decoding = PLAIN,
        given: Tensor | None = None,
    ) -> None:
        """Fill tokens[:, t:] and log_probs[:, t:], (B, T), in place; rows drop out of the batch as they end.

        noise: (B, T - t) uniform numbers, one for each draw. given: (B, T), tokens that are not drawn, PAD elsewhere.
        """
        if fixed_shapes(tokens.device):
            self._extend_all(state, x, tokens, log_probs, t, done, noise, decoding, given)
            return
        rows = torch.arange(len(tokens), device=tokens.device)
        for position in range(t, tokens.shape[1]):
            ended = int(done.sum())
            if ended == len(done):
                return
            if ended > len(done) // 8:
                keep = (~done).nonzero().squeeze(1)
                rows, x, done, state = rows[keep], x[keep], done[keep], self.select(state, keep)
            hidden, state = self.advance(x, state)
            here = None if given is None else given[rows, position]
            if here is not None and bool((here != PAD).all()):
                x = here
            else:
                drawn = self.draw(hidden, noise[rows, position - t], decoding)
                x, log_probs[rows, position] = _instead(drawn, here, done)
            tokens[rows, position] = x
            done = done | (x == EOS)

    def _extend_all(
        self,
        state: State,
        x: Tensor,
        tokens: Tensor,
        log_probs: Tensor,
        t: int,
        done: Tensor,
        noise: Tensor,
        decoding: Decoding,
        given: Tensor | None,
    ) -> None:
        """`extend` where every row stays to the end: one recorded work, the next token of each row, again and again."""
        if t == tokens.shape[1]:
            return

        fixed = [] if given is None else [given]

        def write(*places: Tensor) -> dict[str, Tensor]:
            at, x, done, tokens, log_probs, noise, *rest = places
            given, state = rest[: len(fixed)], rest[len(fixed) :]
            hidden, new = self.advance(x, tuple(state))
            drawn = self.draw(hidden, noise.index_select(1, at).squeeze(1), decoding)
            token, log_p = _instead(drawn, given[0].index_select(1, at).squeeze(1) if given else None, done)
            x.copy_(token)
            tokens.index_copy_(1, at, x[:, None])
            log_probs.index_copy_(1, at, log_p[:, None])
            done.logical_or_(x == EOS)
            at.add_(1)
            for place, part in zip(state, new, strict=True):
                if part is not place:
                    place.copy_(part)
            return {"tokens": tokens, "log_probs": log_probs}

        at = torch.full((1,), t, device=tokens.device)
        noise = F.pad(noise, (t, 0))  # a number for each place: one shape, whatever t is
        own = (x.clone(), done.clone(), tokens, log_probs, noise, *fixed, *(part.contiguous() for part in state))
        written = self.graphs(("write", decoding, len(fixed)), write, at, *own, times=tokens.shape[1] - t)
        tokens.copy_(written["tokens"])
        log_probs.copy_(written["log_probs"])

    def relaxed_sample(
        self,
        n: int,
        *,
        temperature: float,
        hard: bool = True,
        feed_tokens: bool = False,
        prefix: Tensor | None = None,
        context: Tensor | None = None,
        max_len: int | None = None,
        rng: torch.Generator | None = None,
    ) -> Relaxed:
        """Sentences with a gradient: y = softmax((logits + gumbel) / temperature), one step after another.

        hard: values are one-hot and the gradient is the soft one's (straight-through). feed_tokens: the discrete
        token is fed on, so the gradient travels through the state only (as RelGAN does), instead of y itself. prefix:
        as in `sample`.
        Where a sentence ends is not differentiable. Jang et al. 2017, eq. 2; Maddison et al. 2017.
        """
        check_temperature(temperature)
        state, x = self.start(n), first(self._empty(n, 1)[0], context)
        done = torch.zeros(n, dtype=torch.bool, device=self.device)
        ended = F.one_hot(torch.tensor(PAD, device=self.device), self.vocab_size).float()
        noise, length = Noise(n, rng, self.device), max_len or self.max_len
        if prefix is None and self.prompts is not None:
            prefix = self.prompts_at(noise.uniform(1)[:, 0])
        given = None if prefix is None else pad_to(prefix, length)  # (B, T)
        probs, tokens = [], []
        for t in range(length):
            logits, state = self.step(x, state)  # (B, V)
            soft = ((logits.float() + gumbel(noise, self.vocab_size)) / temperature).softmax(-1)
            token = soft.argmax(-1).masked_fill(done, PAD)
            y = torch.where(done[:, None], ended, straight_through(soft, token) if hard else soft)
            if given is not None:
                token = token.where(given[:, t] == PAD, given[:, t])
                y = y.where((given[:, t] == PAD)[:, None], F.one_hot(token, self.vocab_size).to(y.dtype))
            probs.append(y)
            tokens.append(token)
            done = done | (token == EOS)
            if not fixed_shapes(self.device) and bool(done.all()):
                break
            x = token if feed_tokens else y
        for _ in range(widest(len(probs), self.device) - len(probs)):  # as wide as another process's sentences
            probs.append(ended.expand_as(y))
            tokens.append(torch.full_like(token, PAD))
        ids = torch.stack(tokens, 1)
        return Relaxed(torch.stack(probs, 1), ids, mask_of(ids))

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder (config, safetensors, generation defaults that sample the model honestly)."""
        from transformers import GenerationConfig

        self.model.config.max_sentence_len = self.max_len
        self.model.config.first_id, self.model.config.labels = self.first_id, self.labels
        if self.mark is not None:
            self.model.config.prompt_mark = self.mark
        self.model.generation_config = GenerationConfig(
            bos_token_id=BOS,
            eos_token_id=EOS,
            pad_token_id=PAD,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            max_length=self.max_len + 1,
            suppress_tokens=[*range(self.first_id), *range(self.allowed.stop, self.vocab_size)],
        )
        with quiet_transformers():
            self.model.save_pretrained(folder)


def _instead(drawn: Samples, given: Tensor | None, done: Tensor) -> tuple[Tensor, Tensor]:
    """The next tokens (B,) and their log-probabilities: the drawn ones, but those given that are not PAD in their
    place, and PAD where a row is done."""
    tokens, log_probs = drawn.tokens, drawn.log_probs
    if given is not None:
        tokens, log_probs = tokens.where(given == PAD, given), log_probs.masked_fill(given != PAD, 0)
    return tokens.masked_fill(done, PAD), log_probs.masked_fill(done, 0)


def first(tokens: Tensor, context: Tensor | None) -> Tensor:
    """What the model reads before tokens (B, T): the context (B,), or BOS."""
    return torch.full_like(tokens[:, 0], BOS) if context is None else context


def inputs(tokens: Tensor, context: Tensor | None) -> Tensor:
    """What the model reads at each of the positions that it predicts: (B, T) -> (B, T), shifted by one."""
    return torch.cat([first(tokens, context)[:, None], tokens[:, :-1]], 1)
