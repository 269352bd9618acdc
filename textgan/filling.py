"""Holes in given lines, filled by a run whose generator reads the visible text around them. MaskGAN's use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from textgan import machine
from textgan.errors import InputError
from textgan.generators import ROWS, Decoding, Generator, search
from textgan.generators.likelihood import forbid
from textgan.runs import Run, block_seed
from textgan.sequences import BOS, EOS, PAD, UNK
from textgan.text import encode

HOLE = "___"  # one token
LEVELS = ("words", "treebank", "characters")  # where a token is something that a person can leave out


class Given(NamedTuple):
    """Lines with holes: ids (B, T) with EOS, PAD after it and in holes; hole (B, T) bool."""

    ids: Tensor
    hole: Tensor


def fill(
    run: Run, lines: Sequence[str], *, n: int = 1, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0
) -> Iterator[str]:
    """Each line n times, each `HOLE` in it filled by a token that the run's generator draws, from left to right.

    p(x_t | x_<t, visible text): what is before a hole is read with the earlier holes filled, what is behind it as it
    is given; a run knows holes as wide as it has learnt with (MaskGAN's mask_rate). A hole is never the end of the
    sentence nor <unk>; the rest of a line comes back to the letter. The same seed gives the same text on the CPU.
    temperature, top_p: `generators.Decoding`'s. Errors: InputError for a run that cannot read around a hole, a line
    without one, and a line that is too long.
    """
    decoding = Decoding(temperature, top_p)
    decoding.check()
    if n < 1:
        raise InputError(f"-n {n} must be at least 1")
    from textgan.models import InfillForCausalLM

    if not isinstance(run.generator.model, InfillForCausalLM):
        raise InputError(f"{run.path}: its generator reads no text around a hole; train maskgan, whose does")
    if (level := run.settings["tokens"]["level"]) not in LEVELS:
        raise InputError(f"{run.path}: a hole is a word, and its tokens are {level}; train with --tokens words")
    given = given_lines(run, lines)
    return _filled(run, [line for line in lines for _ in range(n)], given, n, seed, decoding)


def given_lines(run: Run, lines: Sequence[str]) -> Given:
    """The lines as ids. Errors: as `fill`."""
    pieces = [line.split(HOLE) for line in lines]
    if whole := next((number for number, parts in enumerate(pieces, start=1) if len(parts) == 1), None):
        raise InputError(f"line {whole}: has no hole; write {HOLE} for each word that is to be filled in")
    encoded = encode(run.tokenizer, [part for parts in pieces for part in parts])
    parts = np.split(encoded.ids, encoded.offsets[1:-1])  # each with an EOS, whose place is a hole's, or the end's
    ids = torch.full((len(lines), run.generator.max_len), PAD)
    hole, first = torch.zeros_like(ids, dtype=torch.bool), 0
    for row, texts in enumerate(pieces):
        joined = torch.from_numpy(np.concatenate(parts[first : first + len(texts)]).astype(np.int64))
        first += len(texts)
        if len(joined) > ids.shape[1]:
            raise InputError(f"line {row + 1}: has {len(joined) - 1} tokens; {run.path} reads {ids.shape[1] - 1}")
        ends = (joined == EOS).nonzero().squeeze(1)[:-1]
        ids[row, : len(joined)] = joined
        hole[row, ends] = True
    return Given(ids.masked_fill(hole, PAD), hole)


def _filled(run: Run, lines: Sequence[str], given: Given, n: int, seed: int, decoding: Decoding) -> Iterator[str]:
    """The text of each line, n in a row from one."""
    generator, tokenizer = run.generator, run.tokenizer
    size = sum(p.numel() for p in generator.parameters())
    for block, start in enumerate(range(0, len(lines), ROWS)):
        rows = torch.arange(start, min(start + ROWS, len(lines))) // n
        rng = torch.Generator().manual_seed(block_seed(seed, block))
        with machine.suited_threads(size, machine.USUAL_THREADS):
            ids = fill_ids(generator, given.ids[rows], given.hole[rows], rng, decoding)
        for line, row, hole in zip(lines[start : start + ROWS], ids.cpu(), given.hole[rows], strict=True):
            words = (tokenizer.decode([token]) for token in row[hole].tolist())
            first, *others = line.split(HOLE)
            yield first + "".join(word + rest for word, rest in zip(words, others, strict=True))


@torch.no_grad()
def fill_ids(generator: Generator, ids: Tensor, hole: Tensor, rng: torch.Generator, decoding: Decoding) -> Tensor:
    """Draw what stands in the holes: ids (B, T) and hole (B, T) bool -> ids (B, T)."""
    model, device = generator.model, generator.device
    noise = torch.rand(ids.shape, generator=rng).to(device)
    ids, hole = ids.to(device).clone(), hole.to(device)
    unseen = hole | (ids == PAD)  # as in training, no place behind the end is seen
    state = model.state_of(model.body.contexts(ids.masked_fill(unseen, model.body.hidden_id)))
    words, x = slice(UNK + 1, generator.allowed.stop), torch.full((len(ids),), BOS, device=device)
    for t in range(int(hole.any(0).nonzero().max()) + 1):
        out, state = generator.advance(x, state)
        if (here := hole[:, t]).any():
            probs = decoding.probs(forbid(generator.logits(out[here]).float(), words))
            ids[here, t] = search(probs, noise[here, t, None]).squeeze(1)
        x = ids[:, t]
    return ids
