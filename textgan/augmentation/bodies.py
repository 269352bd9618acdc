"""Who tells real text from written text for a selection: a CNN, a net on a frozen sentence encoder, or both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textgan import machine
from textgan.discriminators import CNN, Discriminator, DiscriminatorSpec, Recurrent
from textgan.errors import InputError
from textgan.metrics.encoders import HuggingFace
from textgan.objectives import NON_SATURATING
from textgan.sequences import mask_of
from textgan.text import Encoded as Sentences
from textgan.text import choose_max_len, encode, load_tokenizer, make_folder, save_tokenizer, train_tokenizer
from textgan.updates import Player, adamw

BLOCK = 1024  # sentences scored at once
LONGEST = 512  # tokens of a sentence that are looked at
PATIENCE = 3  # passes without a better held-out loss, after which training ends
NET = "d.safetensors"

Logits = Callable[[np.ndarray], Tensor]  # rows (B,) of the training texts -> (B,) logits with a gradient


class Judge(Protocol):
    """A trained discriminator."""

    def logits(self, lines: Sequence[str]) -> np.ndarray:
        """(n,) float64, higher for text that looks real."""

    def save(self, folder: Path) -> None:
        """Write it into a folder, for its body's `load`."""


class Body(Protocol):
    """One kind of discriminator and how it is trained."""

    def train(self, real: Sequence[str], fake: Sequence[str], *, seed: int) -> Judge:
        """Both classes weigh the same, whatever their numbers."""

    def load(self, folder: Path) -> Judge:
        """What `Judge.save` wrote. Errors: InputError for a folder that is not whole."""


class Given(Body, Protocol):
    """One that is not made here by its name, such as a finished run's own D; facts: what is recorded of it."""

    facts: dict[str, Any]


@dataclass(frozen=True)
class Words:
    """A discriminator over words, trained from scratch; words seen once count as unknown, as new ones will."""

    spec: DiscriminatorSpec = CNN(64, (1, 2, 3, 4, 5), (100, 100, 100, 100, 100), 0.5)
    passes: int = 12
    lr: float = 1e-3
    weight_decay: float = 0.01

    def train(self, real: Sequence[str], fake: Sequence[str], *, seed: int) -> Judge:
        tokenizer = train_tokenizer([*real, *fake], min_count=2)
        data = encode(tokenizer, [*real, *fake])
        data = data.cut(choose_max_len(data.lengths, cap=LONGEST))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = self._net(tokenizer)

            def logits(rows: np.ndarray) -> Tensor:
                tokens = torch.from_numpy(data.batch(rows))
                return net(tokens, mask_of(tokens))

            fit_logits(net, logits, len(real), len(fake), seed, self)
        return WordJudge(net.eval(), tokenizer, int(data.lengths.max()))

    def load(self, folder: Path) -> Judge:
        tokenizer = load_tokenizer(folder)
        net = self._net(tokenizer)
        longest = _load(net, folder)["max_len"]
        return WordJudge(net.eval(), tokenizer, int(longest))

    def _net(self, tokenizer: Any) -> Discriminator:
        return self.spec.build(tokenizer.get_vocab_size(), LONGEST)


class WordJudge:
    """A discriminator over the words of a tokenizer; lines over max_len tokens are cut there."""

    def __init__(self, net: Discriminator, tokenizer: Any, max_len: int) -> None:
        self.net, self.tokenizer, self.max_len = net, tokenizer, max_len

    def logits(self, lines: Sequence[str]) -> np.ndarray:
        return self.logits_of(encode(self.tokenizer, lines, max_len=self.max_len))

    @torch.no_grad()
    def logits_of(self, data: Sentences) -> np.ndarray:
        """Of sentences as ids: (n,) float64."""
        found, order = np.zeros(len(data)), np.argsort(data.lengths, kind="stable")
        for rows in np.split(order, range(BLOCK, len(order), BLOCK)):
            tokens = torch.from_numpy(data.batch(rows))
            found[rows] = self.net.sentence_logits(tokens, mask_of(tokens)).double().numpy()
        return found

    def save(self, folder: Path) -> None:
        save_tokenizer(self.tokenizer, folder)
        _save(self.net, folder, max_len=self.max_len)


@dataclass(frozen=True)
class Encoded:
    """A small net on the vectors of a frozen sentence encoder, which knows words that the texts show too seldom.

    encoder: gives vectors (n, F) of n lines; a local Hugging Face folder (metrics.encoders.HuggingFace).
    """

    encoder: Callable[[list[str]], np.ndarray]
    hidden: int = 128
    dropout: float = 0.5
    passes: int = 30
    lr: float = 1e-3
    weight_decay: float = 0.05

    def train(self, real: Sequence[str], fake: Sequence[str], *, seed: int) -> Judge:
        vectors = torch.from_numpy(self.encoder([*real, *fake])).float()  # (n, F)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = self._net(vectors.shape[1])
            net.centre.copy_(vectors.mean(0))
            net.spread.copy_(vectors.std(0).clamp(min=1e-6))
            fit_logits(net, lambda rows: net(vectors[rows]), len(real), len(fake), seed, self)
        return _VectorJudge(net.eval(), self.encoder)

    def load(self, folder: Path) -> Judge:
        net = self._net(self.encoder(["a"]).shape[1])
        _load(net, folder)
        return _VectorJudge(net.eval(), self.encoder)

    def _net(self, features: int) -> _OnVectors:
        return _OnVectors(features, self.hidden, self.dropout)


class _OnVectors(nn.Module):
    """(B, F) -> (B,) logits, of vectors brought to mean 0 and spread 1."""

    centre: Tensor
    spread: Tensor

    def __init__(self, features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.layers = nn.Sequential(
            nn.Dropout(dropout / 2), nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers((x - self.centre) / self.spread)
        return logits.squeeze(1)


class _VectorJudge:
    def __init__(self, net: _OnVectors, encoder: Callable[[list[str]], np.ndarray]) -> None:
        self.net, self.encoder = net, encoder

    @torch.no_grad()
    def logits(self, lines: Sequence[str]) -> np.ndarray:
        blocks = (list(lines[first : first + BLOCK]) for first in range(0, len(lines), BLOCK))
        found = [self.net(torch.from_numpy(self.encoder(block)).float()).double().numpy() for block in blocks]
        return np.concatenate(found) if found else np.zeros(0)

    def save(self, folder: Path) -> None:
        _save(self.net, folder)


@dataclass(frozen=True)
class Mean:
    """The mean of several judges' logits, each trained alone."""

    bodies: tuple[Body, ...]

    def train(self, real: Sequence[str], fake: Sequence[str], *, seed: int) -> Judge:
        return _Jury([body.train(real, fake, seed=seed) for body in self.bodies])

    def load(self, folder: Path) -> Judge:
        return _Jury([body.load(folder / str(place)) for place, body in enumerate(self.bodies)])


class _Jury:
    def __init__(self, judges: Sequence[Judge]) -> None:
        self.judges = judges

    def logits(self, lines: Sequence[str]) -> np.ndarray:
        return np.mean([judge.logits(lines) for judge in self.judges], axis=0)

    def save(self, folder: Path) -> None:
        for place, judge in enumerate(self.judges):
            judge.save(make_folder(folder / str(place)))


class Remembering:
    """A sentence encoder that reads each of `lines` once; others it reads whenever they come."""

    batch: ClassVar[int] = 4096

    def __init__(self, encoder: Callable[[list[str]], np.ndarray], lines: Sequence[str] = ()) -> None:
        self.encoder, self.rows = encoder, {line: row for row, line in enumerate(dict.fromkeys(lines))}
        self.vectors = self._read(list(self.rows)) if self.rows else None

    def __call__(self, lines: list[str]) -> np.ndarray:
        if self.vectors is None:
            return self._read(lines)
        rows = np.array([self.rows.get(line, -1) for line in lines])
        found = self.vectors[rows]
        if (new := np.flatnonzero(rows < 0)).size:
            found[new] = self._read([lines[row] for row in new])
        return found

    def _read(self, lines: list[str]) -> np.ndarray:
        parts = [self.encoder(lines[at : at + self.batch]) for at in range(0, len(lines), self.batch)]
        return np.concatenate(parts).astype(np.float32)


def make_body(name: str, encoder: str | Path | None, lines: Sequence[str] = ()) -> Body:
    """The body of that name; `lines` are those that the encoder will be asked for most.

    Errors: InputError for an unknown name, and where an encoder is wanted and none is named, or named in vain.
    """
    if name not in BODIES:
        raise InputError(f"body {name!r} is not one of {', '.join(BODIES)}")
    if name == "cnn":
        if encoder is not None:
            raise InputError("body cnn reads no encoder; give body encoder or mean, or leave the encoder out")
        return Words()
    if encoder is None:
        raise InputError(f"body {name} needs an encoder: a local Hugging Face folder of a sentence encoder")
    frozen = Encoded(Remembering(HuggingFace(encoder), lines))
    return frozen if name == "encoder" else Mean((Words(), frozen))


BODIES = ("cnn", "encoder", "mean")
SECOND = Words(Recurrent(64, 64, 0.3), lr=3e-3)
"""Who judges a selection: of another family than any of BODIES."""


def fit_logits(net: nn.Module, logits: Logits, real: int, fake: int, seed: int, how: Words | Encoded) -> None:
    """Cross-entropy with both classes weighing the same; the weights of the lowest held-out loss stay.

    The rows are `real` real texts and then `fake` written ones; a tenth of each is held out. Half of each batch is of
    either class, and a pass is one over the larger class.
    """
    rng = np.random.default_rng([seed, 7])
    classes = [rng.permutation(real), real + rng.permutation(fake)]
    held = [rows[: max(1, len(rows) // 10)] for rows in classes]
    kept = [rows[max(1, len(rows) // 10) :] for rows in classes]
    half = min(64, *map(len, kept))
    steps = -(-max(map(len, kept)) // half)
    player = Player(net, adamw(net, how.lr, how.weight_decay))
    best, lowest, since = _copied(net), np.inf, 0
    with machine.suited_threads(sum(weight.numel() for weight in net.parameters())):
        for _ in range(how.passes):
            net.train()
            for rows in zip(*(_endless(rng, each, half, steps) for each in kept), strict=True):
                player.minimise(NON_SATURATING.discriminator(*map(logits, rows)))
            net.eval()
            with torch.no_grad():
                loss = float(NON_SATURATING.discriminator(*(_blockwise(logits, rows) for rows in held)))
            best, lowest, since = (_copied(net), loss, 0) if loss < lowest else (best, lowest, since + 1)
            if since == PATIENCE:
                break
    net.load_state_dict(best)


def _endless(rng: np.random.Generator, rows: np.ndarray, half: int, steps: int) -> list[np.ndarray]:
    """So many batches of the rows, as often shuffled as that takes."""
    times = -(-half * steps // len(rows))
    return list(np.concatenate([rng.permutation(rows) for _ in range(times)])[: half * steps].reshape(steps, half))


def _blockwise(logits: Logits, rows: np.ndarray) -> Tensor:
    return torch.cat([logits(block) for block in np.split(rows, range(BLOCK, len(rows), BLOCK))])


def _copied(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def _save(net: nn.Module, folder: Path, **facts: int) -> None:
    save_file(
        {name: value.contiguous() for name, value in net.state_dict().items()}, folder / NET,
        metadata={"facts": json.dumps(facts)},
    )  # fmt: skip


def _load(net: nn.Module, folder: Path) -> dict[str, Any]:
    """Fill the net from the folder; gives the facts that were saved with it."""
    from safetensors import safe_open

    try:
        with safe_open(folder / NET, "pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {}).get("facts", "{}"))
        net.load_state_dict(load_file(folder / NET))
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(f"{folder / NET}: cannot be read as this discriminator ({said}); fit the ratio anew") from None
    return facts
