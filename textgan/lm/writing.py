"""Text that a language model writes, drawn from its whole distribution."""

import math
from pathlib import Path
from typing import Any

import torch

from textgan.errors import InputError
from textgan.lm.likelihood import context_of, ends
from textgan.lm.loading import Lm, load_lm, quiet
from textgan.lm.training import seeded
from textgan.text import one_line


@torch.no_grad()
def write_text(
    lm: str | Path | Lm,
    n: int,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    batch: int = 128,
    max_tokens: int = 128,
    device: str = "auto",
) -> list[str]:
    """`n` lines that the model writes after BOS, drawn from its whole distribution (no top-k, no top-p).

    The same seed and batch give the same lines. A line ends at EOS or after `max_tokens`; newlines and other control
    characters that the model writes become spaces, so there is one line each, and a line may be empty.
    """
    from transformers import GenerationConfig

    if min(n, batch, max_tokens) < 1:
        raise InputError(f"n {n}, batch {batch} and max_tokens {max_tokens} must each be 1 or more")
    check_temperature(temperature)
    model, tokenizer, _ = lm if isinstance(lm, Lm) else load_lm(lm, device=device)
    bos, eos = ends(tokenizer)
    # generate fills what is unset from the model's own settings, and without top_k=0 it cuts to the best 50
    model.generation_config = GenerationConfig(
        do_sample=True, top_k=0, top_p=1.0, temperature=temperature,
        max_new_tokens=max(1, min(max_tokens, context_of(model) - 1)),
        bos_token_id=bos, eos_token_id=eos, pad_token_id=eos, suppress_tokens=model.generation_config.suppress_tokens,
    )  # fmt: skip
    model.eval()
    lines: list[str] = []
    with seeded(seed, model.device), quiet():
        while len(lines) < n:
            start = torch.full((min(batch, n - len(lines)), 1), bos, device=model.device)  # (B, 1)
            tokens = model.generate(start, attention_mask=torch.ones_like(start))  # (B, T)
            lines += [_line(tokenizer, row[1:], eos) for row in tokens.tolist()]
    return lines


def write_worded(
    lm: Lm, n: int, *, seed: int, tries: int, least: float = 0.0, temperature: float = 1.0, **options: Any
) -> tuple[list[str], int]:
    """Lines that are not blank, n of them unless so many tries give fewer; and how many blank ones were passed over.

    least: tries end where fewer than this share of n is there. options: `write_text`'s.
    """
    lines, blank = list[str](), 0
    for attempt in range(tries):
        more = write_text(lm, n - len(lines), seed=seed + 100_000 * attempt, temperature=temperature, **options)
        worded = [line for line in more if line.strip()]
        lines, blank = lines + worded, blank + len(more) - len(worded)
        if len(lines) == n or len(lines) < least * n:
            break
    return lines, blank


def check_temperature(temperature: float) -> None:
    """InputError for one at which nothing can be drawn."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature {temperature} cannot be sampled at; give a number above 0 (1 = as trained)")


def _line(tokenizer: Any, ids: list[int], eos: int) -> str:
    ids = ids[: ids.index(eos)] if eos in ids else ids
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return one_line(text).strip(" ")
