"""A language of fixed length whose truth is an LSTM: the synthetic experiment of SeqGAN and its followers, both sides.

`oracle:N:LENGTH` is N sentences of SeqGAN's published LSTM wherever a corpus may stand; `oracle:N:LENGTH:SEED` is
another draw, and `@` names another oracle: a file of such tensors, or `random-VxH-SEED`, whose weights are N(0, 1).
A sentence is LENGTH numbers and has no end mark, so every figure is over exactly LENGTH tokens, as in the papers.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from textgan import grammar
from textgan.errors import InputError
from textgan.text import BOS, SPECIALS

if TYPE_CHECKING:
    from textgan.generators import Generator

FILE = Path("oracle") / "seqgan_oracle_lstm.safetensors"  # below the folder that TEXTGAN_DATA names
FIRST = len(SPECIALS)  # a word's id is its number and this
MOST, LONGEST = 10_000_000, 1000  # sentences, tokens
PATTERN = re.compile(r"oracle:([0-9]{1,8}):([0-9]{1,4})(?::([0-9]{1,9}))?(?:@(.+))?")
BLOCK_ROWS = 512


class Truth(Protocol):
    """What knows the language of a corpus exactly."""

    name: str
    sha256: str

    def figures(self, lines: Sequence[str]) -> dict[str, float]:
        """What it says of a generator's sentences; a figure that has no value is absent."""

    def log_probs(self, lines: Sequence[str]) -> np.ndarray:
        """(n,) log p of each line in nats, exact; -inf outside of the language."""


class Draw(NamedTuple):
    """What `oracle:N:LENGTH:SEED@NAME` asks for; an empty name is SeqGAN's published oracle."""

    n: int
    length: int
    seed: int
    name: str


class Oracle:
    """An LSTM as the truth; `sha256` is of its tensors."""

    def __init__(self, name: str, tensors: dict[str, Any]) -> None:
        self.name, self.sha256 = name, _sha256(tensors)
        self.words = len(tensors["head.weight"])
        self._tensors = tensors

    def generator(self, length: int) -> Generator:
        """The oracle as a generator of sentences of `length` tokens; word i has the id i + 4."""
        import torch

        from textgan.generators import LSTM

        size, hidden = self._tensors["embedding.weight"].shape[1], self._tensors["lstm.weight_hh_l0"].shape[1]
        with torch.random.fork_rng():
            generator = LSTM(size, hidden, dropout=0.0, tied=False).build(self.words + FIRST, length)
        generator.first_id = FIRST
        model, ours = generator.model, self._tensors
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
            model.embedding.weight[FIRST:] = ours["embedding.weight"]
            model.embedding.weight[BOS] = ours["embedding.weight"][0]  # its start token is the word 0
            model.head.weight[FIRST:], model.head.bias[FIRST:] = ours["head.weight"], ours["head.bias"]
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
                getattr(model.layers[0], name).copy_(ours[f"lstm.{name}"])
        return generator.eval()

    def sample(self, n: int, length: int, *, seed: int = 0) -> list[str]:
        """n sentences of `length` numbers; the same seed gives the same ones on the CPU."""
        import torch

        drawn = self.generator(length).sample(n, rng=torch.Generator().manual_seed(seed))
        return [" ".join(map(str, row)) for row in (drawn.tokens - FIRST).tolist()]

    def ids(self, lines: Sequence[str]) -> np.ndarray:
        """(n, T) int64 ids of sentences of one length. Errors: InputError for anything but numbers of the oracle."""
        try:
            words = np.array([[int(word) for word in line.split()] for line in lines], dtype=np.int64)
        except ValueError:
            raise InputError(f"sentences of one length, of the numbers 0..{self.words - 1}, were wanted") from None
        if words.ndim != 2 or words.size == 0 or not 0 <= words.min() <= words.max() < self.words:
            raise InputError(f"sentences of one length, of the numbers 0..{self.words - 1}, were wanted")
        return words + FIRST

    def nll(self, lines: Sequence[str]) -> float:
        """NLL_oracle: mean -log p a token in nats, exact. SeqGAN (Yu et al. 2017), eq. 9 divided by the length."""
        ids = self.ids(lines)
        return mean_nlls(self.generator(ids.shape[1]), ids)[0]

    def figures(self, lines: Sequence[str]) -> dict[str, float]:
        return {"nll_oracle": self.nll(lines)}

    def log_probs(self, lines: Sequence[str]) -> np.ndarray:
        import torch

        ids = self.ids(lines)
        generator = self.generator(ids.shape[1])
        with torch.no_grad():
            blocks = torch.from_numpy(ids).split(BLOCK_ROWS)
            return torch.cat([generator.log_probs(block).double().sum(1) for block in blocks]).numpy()

    def vocabulary(self) -> list[str]:
        """Every word of the language."""
        return [str(i) for i in range(self.words)]


class Grammar:
    """The embedded grammar as the truth."""

    name = "grammar"

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256(f"{grammar.TABLE}{grammar.LISTS}".encode()).hexdigest()

    def figures(self, lines: Sequence[str]) -> dict[str, float]:
        """The share of grammatical sentences, and their mean -log p a token, the end counted."""
        logs = [(log, len(line.split()) + 1) for line in lines if math.isfinite(log := grammar.log_prob(line))]
        found = {"grammatical": len(logs) / max(1, len(lines))}
        return found | ({"nll_oracle": -sum(x for x, _ in logs) / sum(n for _, n in logs)} if logs else {})

    def log_probs(self, lines: Sequence[str]) -> np.ndarray:
        return np.array([grammar.log_prob(line) for line in lines])


def truth_of(source: Any) -> Truth | None:
    """Who knows the language of a corpus: the grammar, an oracle, or nobody."""
    if isinstance(source, str) and source.startswith("grammar:"):
        return Grammar()
    draw = parse(source)
    return None if draw is None else load(draw.name)


class Sides(NamedTuple):
    """Quality and diversity of a generator at one temperature, in nats a token over n sentences.

    nll_oracle: of its samples under the oracle; nll_test: of the oracle's sentences under it; nll_div: of its samples
    under itself (its entropy). All three are of the very distribution that was sampled, temperature included.
    """

    temperature: float
    nll_oracle: float
    nll_test: float
    nll_div: float
    n: int
    oracle: str  # sha256


def sides(
    run: Any, oracle: Oracle, test: Sequence[str], *, n: int = 10_000, temperature: float = 1.0, seed: int = 0
) -> Sides:
    """Both sides of a run (`Run`) that was trained on this oracle's sentences; test: held-out ones."""
    return front(run, oracle, test, [temperature], n=n, seed=seed)[0]


def front(
    run: Any, oracle: Oracle, test: Sequence[str], temperatures: Sequence[float], *, n: int = 10_000, seed: int = 0
) -> list[Sides]:
    """`sides` at each temperature; the held-out sentences are read once for all of them."""
    import torch

    from textgan.text import decode, encode

    generator, found = run.generator, []
    held = encode(run.tokenizer, test, max_len=generator.max_len)
    tests = mean_nlls(generator, held.batch(np.arange(len(held))), temperatures)
    for temperature, nll_test in zip(temperatures, tests, strict=True):
        drawn = generator.sample(n, temperature=temperature, rng=torch.Generator().manual_seed(seed))
        nll_oracle = oracle.nll(decode(run.tokenizer, drawn.tokens.numpy()))
        nll_div = -drawn.log_probs.double().sum().item() / int(drawn.mask.sum())
        found.append(Sides(temperature, nll_oracle, nll_test, nll_div, n, oracle.sha256))
    return found


def tuned(front: Sequence[Sides]) -> Sides:
    """The temperature that is best on both sides: the least KL(G, oracle) + KL(oracle, G), a constant left out.

    To be chosen on other sentences than those whose figures are told.
    """
    return min(front, key=lambda point: point.nll_oracle - point.nll_div + point.nll_test)


def mean_nlls(generator: Generator, ids: np.ndarray, temperatures: Sequence[float] = (1.0,)) -> list[float]:
    """Mean -log p a token at each temperature, (n, T) ids, nats; PAD is not counted."""
    import torch

    totals = [0.0] * len(temperatures)
    with torch.no_grad():
        for i in range(0, len(ids), BLOCK_ROWS):
            block = torch.from_numpy(ids[i : i + BLOCK_ROWS]).to(generator.device)
            hidden, mask = generator.hidden(block), block != 0
            for at, temperature in enumerate(temperatures):
                read = generator.read_off(hidden, block, mask, temperature=temperature)
                totals[at] -= read.double().sum().item()
    return [total / max(1, int((ids != 0).sum())) for total in totals]


def parse(source: Any) -> Draw | None:
    """What an `oracle:` corpus asks for; None for any other source. Errors: InputError for a misspelt one."""
    if not isinstance(source, str) or not source.startswith("oracle:"):
        return None
    asked = PATTERN.fullmatch(source)
    if asked is None or not 1 <= int(asked[1]) <= MOST or not 1 <= int(asked[2]) <= LONGEST:
        raise InputError(
            f"{source!r}: oracle:N:LENGTH, oracle:N:LENGTH:SEED or either with @ORACLE was wanted, N from 1 to "
            f"{MOST:,} and LENGTH from 1 to {LONGEST:,}"
        )
    return Draw(int(asked[1]), int(asked[2]), int(asked[3] or 0), asked[4] or "")


@lru_cache(maxsize=4)
def load(name: str = "") -> Oracle:
    """An oracle by name: "" is SeqGAN's below TEXTGAN_DATA, `random-VxH-SEED` a drawn one, else a safetensors file."""
    if drawn := re.fullmatch(r"random-([0-9]{1,6})x([0-9]{1,4})-([0-9]{1,9})", name):
        return _random(name, *map(int, drawn.groups()))
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(name or Path(os.environ.get("TEXTGAN_DATA", "")) / FILE)
    if not name and "TEXTGAN_DATA" not in os.environ:
        raise InputError(
            f"oracle: SeqGAN's published one is not part of textgan; let TEXTGAN_DATA name the folder that holds "
            f"{FILE}, or name an oracle: oracle:N:LENGTH@FILE or oracle:N:LENGTH@random-5000x32-0"
        )
    try:
        tensors = load_file(path)
        return Oracle(name or "seqgan", {key: tensors[key] for key in _shapes(1, 1)})
    except (OSError, SafetensorError, KeyError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else "cannot be read as safetensors"
        said = "no such file" if isinstance(error, FileNotFoundError) else said
        raise InputError(f"{path}: {said}; an oracle holds {', '.join(_shapes(1, 1))}") from error


@lru_cache(maxsize=8)
def lines(source: str) -> tuple[str, ...]:
    """The sentences of an `oracle:` corpus; kept, since a run asks for its corpus several times."""
    draw = parse(source)
    if draw is None:
        raise InputError(f"{source!r}: oracle:N:LENGTH was wanted")
    return tuple(load(draw.name).sample(draw.n, draw.length, seed=draw.seed))


def _shapes(words: int, hidden: int) -> dict[str, tuple[int, ...]]:
    gates = 4 * hidden
    return {
        "embedding.weight": (words, hidden),
        "lstm.weight_ih_l0": (gates, hidden),
        "lstm.weight_hh_l0": (gates, hidden),
        "lstm.bias_ih_l0": (gates,),
        "lstm.bias_hh_l0": (gates,),
        "head.weight": (words, hidden),
        "head.bias": (words,),
    }


def _random(name: str, words: int, hidden: int, seed: int) -> Oracle:
    """Every weight N(0, 1), as SeqGAN and RelGAN draw theirs; the second bias of a gate is 0."""
    import torch

    if not words or not hidden:
        raise InputError(f"oracle {name}: random-VxH-SEED was wanted, V and H at least 1")
    rng = torch.Generator().manual_seed(seed)
    tensors = {key: torch.randn(shape, generator=rng) for key, shape in _shapes(words, hidden).items()}
    tensors["lstm.bias_hh_l0"].zero_()
    return Oracle(name, tensors)


def _sha256(tensors: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key}{tuple(tensors[key].shape)}".encode() + tensors[key].contiguous().numpy().tobytes())
    return digest.hexdigest()
