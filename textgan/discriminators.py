"""Who judges: features and logits of hard or soft tokens. Padding never changes a logit.

Each takes (B, T) int64 ids or (B, T, V) soft tokens through one door (`sequences.embed`) and a (B, T) bool mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.errors import InputError
from textgan.graphs import fixed_shapes, keep_recurrent
from textgan.recurrent import PortableLSTM
from textgan.sequences import embed, lengths_of
from textgan.windows import looked_up_windows, pooled_windows

ROWS = 512  # sentences at once, where no gradient is kept: they stay in cache; benchmarks/SPEED.md


class Discriminator(nn.Module, ABC):
    """D(x) = sigmoid(logit): the probability that x is real text. Logits are (B,), or (B, R) for R representations."""

    scored_rows = 1024  # sentences at once while scoring: bounds memory
    deaf = False  # True: `updates.follow` leaves it alone, and nothing follows it

    @abstractmethod
    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T) or (B, T, V) -> (B, F), what the last layer sees (feature matching, leaked features)."""

    @abstractmethod
    def judged(self, features: Tensor) -> Tensor:
        """(B, F) -> logits (B,) or (B, R)."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T) or (B, T, V) -> logits (B,) or (B, R)."""
        return self.judged(self.features(x, mask))

    def sentence_logits(self, x: Tensor, mask: Tensor) -> Tensor:
        """One logit a sentence, (B,): the mean over the representations. Any number of sentences."""
        blocks = zip(x.split(self.scored_rows), mask.split(self.scored_rows), strict=True)
        logits = torch.cat([self(x, mask) for x, mask in blocks])
        return logits if logits.dim() == 1 else logits.mean(1)

    def score(self, x: Tensor, mask: Tensor) -> Tensor:
        """One probability a sentence, (B,) in [0, 1]: the sigmoid of `sentence_logits`."""
        return self.sentence_logits(x, mask).sigmoid()


class StepDiscriminator(Discriminator):
    """One that judges every token by the ones before it; its sentence logit is the mean over the mask.

    `judged` is that logit of the mean features, which differs where a token's own dropout comes between.
    """

    @abstractmethod
    def step_logits(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T) or (B, T, V) -> logits (B, T), 0 outside the mask."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.step_logits(x, mask).sum(1) / lengths_of(mask)


class Highway(nn.Module):
    """y = g relu(W x) + (1 - g) x with g = sigmoid(U x). Srivastava et al. 2015, eq. 3. (..., F) -> (..., F)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.transform, self.gate = nn.Linear(size, size), nn.Linear(size, size)
        nn.init.constant_(self.gate.bias, -2.0)  # starts as the identity, as the paper advises

    def forward(self, x: Tensor) -> Tensor:
        transformed = F.relu(self.transform(x))
        return torch.lerp(x.to(transformed.dtype), transformed, self.gate(x).sigmoid())  # one dtype under bf16


def _convolutions(channels: int, widths: Sequence[int], filters: Sequence[int]) -> nn.ModuleList:
    if len(widths) != len(filters) or not widths:
        raise InputError(
            f"discriminator.widths has {len(widths)} entries and discriminator.filters {len(filters)}; give one number "
            "of filters for each window width"
        )
    return nn.ModuleList(nn.Conv1d(channels, f, k) for k, f in zip(widths, filters, strict=True))


class Reading(NamedTuple):
    """What a CNN has kept of sentences that grow token by token, with the widest window's width K.

    recent: (K, B, E) the newest tokens' vectors, newest last, zeros before the first
    strongest: (1, B, F) what `pooled_windows` finds in the tokens so far, before its ReLU
    length: (1, B) int64, tokens so far
    """

    recent: Tensor
    strongest: Tensor
    length: Tensor


class CNNDiscriminator(Discriminator):
    """SeqGAN's: convolutions of many widths over one embedding, max over time, a highway layer, dropout, a logit."""

    scored_rows = 8192  # its tables pay the more, the more sentences share them

    def __init__(self, vocab_size: int, spec: CNN) -> None:
        super().__init__()
        size = sum(spec.filters)
        self.embedding = nn.Embedding(vocab_size, spec.embedding)
        self.convolutions = _convolutions(spec.embedding, spec.widths, spec.filters)
        self.highway, self.dropout, self.out = Highway(size), nn.Dropout(spec.dropout), nn.Linear(size, 1)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        weight, convolutions = self.embedding.weight, self.convolutions
        if x.dtype == torch.int64 and not torch.is_grad_enabled() and not fixed_shapes(x.device):
            pooled = looked_up_windows(x, mask, weight, convolutions)
            return torch.cat([self.highway(rows) for rows in pooled.split(ROWS)])
        return self.highway(pooled_windows(embed(x, weight), mask, convolutions))

    def unread(self, n: int) -> Reading:
        """n sentences without a token."""
        weight, layers = self.embedding.weight, self._layers()
        nothing = torch.cat([bias for _, bias in layers])
        return Reading(
            weight.new_zeros(max(filters.shape[2] for filters, _ in layers), n, weight.shape[1]),
            nothing.repeat(1, n, 1),
            torch.zeros(1, n, dtype=torch.int64, device=weight.device),
        )

    def read_on(self, reading: Reading, x: Tensor) -> Reading:
        """One token more a sentence, as a vector, (B, E): the windows that end there alone are computed.

        `features` of the tokens so far are highway(relu(strongest)).
        """
        length, recent = reading.length + 1, torch.cat([reading.recent[1:], x[None].to(reading.recent.dtype)])
        widest, layers, pooled = len(recent), self._layers(), []
        padded = F.pad(recent.permute(1, 2, 0), (0, widest))  # (B, E, 2 K): a sentence shorter than k ends in zeros
        before = reading.strongest.split([len(bias) for _, bias in layers], 2)
        for (filters, bias), known in zip(layers, before, strict=True):
            _, size, k = filters.shape
            at = widest - length.clamp(max=k).T + torch.arange(k, device=x.device)  # (B, k)
            window = padded.gather(2, at[:, None].expand(-1, size, -1))
            found = F.linear(window.flatten(1), filters.flatten(1), bias)
            only = (length <= k)[..., None]  # before its k-th token is read, the first window is not whole
            pooled.append(found.where(only, found.maximum(known)))
        return Reading(recent, torch.cat(pooled, 2), length)

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        """The filters of each width, (F_k, E, k), and their biases, (F_k,)."""
        return [(layer.get_parameter("weight"), layer.get_parameter("bias")) for layer in self.convolutions]

    def judged(self, features: Tensor) -> Tensor:
        return self.out(self.dropout(features)).squeeze(1)


class MultiCNNDiscriminator(Discriminator):
    """RelGAN's: the embedding is cut into R representations; shared filters judge each; R logits a sentence.

    Nie et al. 2019, sec. 3.2. Logits (B, R); the objective's mean runs over both.
    """

    def __init__(self, vocab_size: int, spec: MultiCNN) -> None:
        super().__init__()
        if spec.embedding % spec.representations:
            raise InputError(
                f"discriminator.embedding {spec.embedding} must be a multiple of discriminator.representations "
                f"{spec.representations}"
            )
        size = sum(spec.filters)
        self.representations = spec.representations
        self.embedding = nn.Linear(vocab_size, spec.embedding, bias=False)
        self.convolutions = _convolutions(spec.embedding // spec.representations, spec.widths, spec.filters)
        self.highway, self.dropout = Highway(size), nn.Dropout(spec.dropout)
        self.layer, self.out = nn.Linear(size, spec.hidden), nn.Linear(spec.hidden, 1)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        embedded = embed(x, self.embedding.weight.t())  # (B, T, R * E)
        batch, time, _ = embedded.shape
        parts = embedded.view(batch, time, self.representations, -1).transpose(1, 2).flatten(0, 1)  # (B * R, T, E)
        repeated = mask.repeat_interleave(self.representations, 0)
        hidden = self.highway(pooled_windows(parts, repeated, self.convolutions))
        return self.layer(self.dropout(hidden)).view(batch, -1)  # (B, R * F)

    def judged(self, features: Tensor) -> Tensor:
        return self.out(features.view(len(features), self.representations, -1)).squeeze(2)


class RecurrentDiscriminator(StepDiscriminator):
    """One LSTM from left to right with a logit per token (as ScratchGAN's); its feature is the mean state."""

    def __init__(self, vocab_size: int, spec: Recurrent) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, spec.embedding)
        self.lstm = PortableLSTM(spec.embedding, spec.hidden, batch_first=True)
        self.dropout, self.out = nn.Dropout(spec.dropout), nn.Linear(spec.hidden, 1)

    def train(self, mode: bool = True) -> RecurrentDiscriminator:
        super().train(mode)
        keep_recurrent(self)
        return self

    def states(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T) or (B, T, V) -> (B, T, H), 0 outside the mask."""
        states, _ = self.lstm(self.dropout(embed(x, self.embedding.weight)))
        return states * mask[..., None]

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.states(x, mask).sum(1) / lengths_of(mask)[:, None]

    def judged(self, features: Tensor) -> Tensor:
        return self.out(self.dropout(features)).squeeze(1)

    def step_logits(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.out(self.dropout(self.states(x, mask))).squeeze(2) * mask


class TransformerDiscriminator(Discriminator):
    """A small bidirectional transformer (BERT's blocks); the feature is the mean state over the mask."""

    def __init__(self, vocab_size: int, max_len: int, spec: Bidirectional) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        if spec.width % spec.heads:
            raise InputError(f"discriminator.width {spec.width} must be a multiple of discriminator.heads {spec.heads}")
        config = BertConfig(
            vocab_size=vocab_size,
            hidden_size=spec.width,
            num_hidden_layers=spec.layers,
            num_attention_heads=spec.heads,
            intermediate_size=4 * spec.width,
            max_position_embeddings=max_len,
            hidden_dropout_prob=spec.dropout,
            attention_probs_dropout_prob=spec.dropout,
        )
        config._attn_implementation = "eager"  # SDPA has no double backward on the CPU (gradient penalties)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout, self.out = nn.Dropout(spec.dropout), nn.Linear(spec.width, 1)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        embedded = embed(x, self.bert.get_input_embeddings().weight)
        seen = mask.long()
        if fixed_shapes(mask.device):  # the finished mask, (B, 1, T, T): of the other BERT reads whether it hides any
            hidden = ~mask[:, None, None].expand(-1, 1, mask.shape[1], -1)
            seen = torch.zeros_like(hidden, dtype=embedded.dtype).masked_fill(hidden, torch.finfo(embedded.dtype).min)
        states = self.bert(inputs_embeds=embedded, attention_mask=seen).last_hidden_state
        return (states * mask[..., None]).sum(1) / lengths_of(mask)[:, None]

    def judged(self, features: Tensor) -> Tensor:
        return self.out(self.dropout(features)).squeeze(1)


class ClassDiscriminator(Discriminator):
    """Any discriminator's features under a linear layer of several logits: one a class, or one more for "written".

    Its sentence logit is log P(one of the first `real` classes) - log P(another): (B,).
    """

    def __init__(self, body: Discriminator, classes: int, *, real: int, features: int, dropout: float) -> None:
        super().__init__()
        self.body, self.real = body, real
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(features, classes)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.body.features(x, mask)

    def class_logits(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T) or (B, T, V) -> (B, classes)."""
        return self._classes(self.features(x, mask))

    def _classes(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(features))
        return logits

    def judged(self, features: Tensor) -> Tensor:
        logits = self._classes(features)
        return logits[:, : self.real].logsumexp(1) - logits[:, self.real :].logsumexp(1)


def with_classes(spec: DiscriminatorSpec, vocab_size: int, max_len: int, *, classes: int, real: int) -> Discriminator:
    """A `ClassDiscriminator` on a freshly initialised discriminator of any family."""
    body = spec.build(vocab_size, max_len)
    with torch.no_grad():
        word = torch.full((1, 1), vocab_size - 1)
        size = body.eval().features(word, torch.ones_like(word).bool()).shape[1]
        body.train()
    return ClassDiscriminator(body, classes, real=real, features=size, dropout=spec.dropout)


@dataclass(frozen=True)
class CNN:
    """SeqGAN's convolutional discriminator.

    Args:
        embedding: size of a token's vector
        widths: window widths in tokens
        filters: number of filters of each width
        dropout: share of features dropped in training
    """

    embedding: int = 64
    widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10)
    filters: tuple[int, ...] = (100, 200, 200, 200, 100, 100, 100, 100)
    dropout: float = 0.25

    def build(self, vocab_size: int, max_len: int) -> Discriminator:
        """A freshly initialised discriminator; draws from torch's global random state."""
        return CNNDiscriminator(vocab_size, self)


@dataclass(frozen=True)
class MultiCNN:
    """RelGAN's discriminator over several embedded representations.

    Args:
        embedding: size of a token's vector, all representations together
        representations: how many parts the embedding is cut into
        widths: window widths in tokens
        filters: number of filters of each width, shared by the representations
        hidden: units of the layer before the logit
        dropout: share of features dropped in training
    """

    embedding: int = 64
    representations: int = 8
    widths: tuple[int, ...] = (2, 3, 4, 5)
    filters: tuple[int, ...] = (100, 100, 100, 100)
    hidden: int = 100
    dropout: float = 0.25

    def build(self, vocab_size: int, max_len: int) -> Discriminator:
        """A freshly initialised discriminator; draws from torch's global random state."""
        return MultiCNNDiscriminator(vocab_size, self)


@dataclass(frozen=True)
class Recurrent:
    """A recurrent discriminator with a judgement per token.

    Args:
        embedding: size of a token's vector
        hidden: size of the recurrent state
        dropout: share of units dropped in training
    """

    embedding: int = 64
    hidden: int = 128
    dropout: float = 0.1

    def build(self, vocab_size: int, max_len: int) -> Discriminator:
        """A freshly initialised discriminator; draws from torch's global random state."""
        return RecurrentDiscriminator(vocab_size, self)


@dataclass(frozen=True)
class Bidirectional:
    """A small bidirectional transformer as the discriminator.

    Args:
        width: size of a token's vector, a multiple of heads
        layers: transformer blocks
        heads: attention heads
        dropout: share of units dropped in training
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1

    def build(self, vocab_size: int, max_len: int) -> Discriminator:
        """A freshly initialised discriminator; draws from torch's global random state."""
        return TransformerDiscriminator(vocab_size, max_len, self)


DISCRIMINATORS = {"cnn": CNN, "multi_cnn": MultiCNN, "recurrent": Recurrent, "transformer": Bidirectional}
DiscriminatorSpec = CNN | MultiCNN | Recurrent | Bidirectional
"""The sizes of a discriminator of any family, as a recipe's field."""
