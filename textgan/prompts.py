"""Text with prompts: a sentence begins with what G is given, and G writes the rest.

A sentence is kept as `prompt <go> rest`; the mark <go> is the last of the vocabulary's tokens and is never generated.
So the tokens alone say what G chose, D reads all of them, and a prompted generator is a distribution over whole
sentences, p(x) = p_data(prompt) p_G(rest | prompt), whose first factor no gradient sees: what a recipe does with
sentences holds as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textgan.errors import InputError
from textgan.text import Encoded, encode, one_line, replacing

if TYPE_CHECKING:
    from torch import Tensor

MARK = "<go>"
NONE, GIVEN = "none", "given"
WANTED = 'prompt<TAB>text, or JSON with "prompt" and "text" or "completion"'
MOST = 100_000  # prompts that a generator draws from; a larger training text has so many drawn from it
FILE = "prompts.safetensors"  # of a run


class Prompted(NamedTuple):
    """One line in two. The sentence is both, one after the other."""

    prompt: str
    text: str


def read_prompt(line: str) -> Prompted | None:
    """The prompt and the rest of a line, or None where it has none. A tab stands for a space; JSON's two are joined as
    they are."""
    if line.startswith("{"):
        try:
            row = json.loads(line)
        except ValueError:
            return None
        prompt, text = row.get("prompt"), row.get("text", row.get("completion"))
        if not isinstance(prompt, str) or not isinstance(text, str) or not text.strip():
            return None
        return Prompted(one_line(prompt), one_line(text))
    prompt, tab, text = line.partition("\t")
    return Prompted(prompt.rstrip(), f" {text.strip()}") if tab and text.strip() else None


def check_prompt(how: str, recipe: Any) -> None:
    """Errors: InputError for what is none of none, given and a number, and for a recipe that takes no prompts."""
    if how not in (NONE, GIVEN) and not (how.isdecimal() and 0 < int(how) < 10**6):
        raise InputError(f"--prompt {how!r} is not none, given or how many tokens of each sentence are its prompt")
    reason = "its text has classes" if getattr(recipe, "classes", False) else getattr(recipe, "no_prompt", "")
    if how != NONE and reason:
        raise InputError(f"--prompt {how}: {recipe.name} takes no prompts: {reason}; leave it out")


def sentences(lines: Sequence[str], how: str, name: str) -> list[str]:
    """Whole sentences, as they are measured. Errors: InputError that names the first line without a prompt."""
    return ["".join(row).strip() for row in _rows(lines, name)] if how == GIVEN else list(lines)


def _rows(lines: Sequence[str], name: str) -> list[Prompted]:
    rows = []
    for number, line in enumerate(lines, 1):
        row = read_prompt(line)
        if row is None:
            raise InputError(f"{name}:{number}: --prompt given wants {WANTED} on each line")
        rows.append(row)
    return rows


def encode_prompted(
    tokenizer: Any, lines: Sequence[str], how: str, name: str = "lines", *, max_len: int | None = None
) -> Encoded:
    """Ids of the lines, the mark after each one's prompt; how: "given", or N, the first N tokens are the prompt.

    A sentence of N tokens or fewer keeps one for G to write. Errors: InputError for a line without a prompt, and for a
    max_len that leaves no room behind the longest prompt.
    """
    mark = tokenizer.token_to_id(MARK)
    if how == GIVEN:
        rows = _rows(lines, name)
        prompts, texts = [row.prompt for row in rows], [row.text for row in rows]
        data, places = _joined(encode(tokenizer, prompts), encode(tokenizer, texts))
    else:
        data = encode(tokenizer, lines)
        places = np.minimum(int(how), np.maximum(0, data.lengths - 2))
    offsets = data.offsets + np.arange(len(data.offsets))
    marked = Encoded(np.insert(data.ids, data.offsets[:-1] + places, mark), offsets, data.truncated, data.unk_rate)
    return marked if max_len is None else cut_prompted(marked, max_len, mark)


def cut_prompted(data: Encoded, max_len: int, mark: int) -> Encoded:
    """`Encoded.cut`. Errors: InputError where it would leave no room behind the longest prompt."""
    if max_len < (longest := longest_prompt(data, mark)) + 2:
        raise InputError(f"--max_len {max_len}: the longest prompt has {longest} tokens; give {longest + 2} or more")
    return data.cut(max_len)


def _joined(prompts: Encoded, texts: Encoded) -> tuple[Encoded, np.ndarray]:
    """Each prompt and its text as one sentence, and where the text begins, (n,)."""
    places, lengths = prompts.lengths - 1, texts.lengths  # a prompt has no end
    offsets = np.concatenate([[0], np.cumsum(places + lengths)])
    ids = np.empty(offsets[-1], dtype=np.int32)
    for part, begins, size in ((prompts, offsets[:-1], places), (texts, offsets[:-1] + places, lengths)):
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        ids[np.repeat(begins, size) + within] = part.ids[np.repeat(part.offsets[:-1], size) + within]
    return Encoded(ids, offsets, 0.0, texts.unk_rate), places


def prompt_lengths(data: Encoded, mark: int) -> np.ndarray:
    """Where each sentence's mark stands, which is how many tokens its prompt has: (n,)."""
    return np.flatnonzero(data.ids == mark) - data.offsets[:-1]


def longest_prompt(data: Encoded, mark: int) -> int:
    """Tokens of the longest prompt."""
    return int(prompt_lengths(data, mark).max(initial=0))


def share_given(data: Encoded, mark: int) -> float:
    """The share of the sentences in which G has a token and the end to write at most, 0..1."""
    return float(np.mean(data.lengths - prompt_lengths(data, mark) - 1 <= 2))


def prompts_of(data: Encoded, mark: int) -> np.ndarray:
    """The prompts of the sentences, at most MOST of them: (N, P) int32, each with its mark, PAD after it."""
    rows = np.arange(len(data))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(0).choice(len(rows), MOST, replace=False))
    places = prompt_lengths(data, mark)
    within = np.arange(len(data.ids)) - np.repeat(data.offsets[:-1], data.lengths)
    ids = data.ids[within <= np.repeat(places, data.lengths)]
    return Encoded(ids, np.concatenate([[0], np.cumsum(places + 1)]), 0.0, 0.0).batch(rows).astype(np.int32)


def given_prompts(tokenizer: Any, prompts: Sequence[str], mark: int | None, max_len: int) -> Tensor:
    """Prompts that a sentence is to begin with as a prefix (n, P) int64. mark: of a prompted run, put after each.

    Errors: InputError for one that leaves no room to write in, and for words that the run does not know, which would
    come back as <unk>.
    """
    import torch

    from textgan.sequences import UNK

    lines = [one_line(prompt) for prompt in prompts]
    data = encode(tokenizer, lines)
    rows = data.batch(np.arange(len(data)))
    if unknown := np.flatnonzero((rows == UNK).any(1)).tolist():
        said = tokenizer.encode(lines[unknown[0]])
        words = [lines[unknown[0]][a:b] for token, (a, b) in zip(said.ids, said.offsets, strict=True) if token == UNK]
        raise InputError(
            f"prompt {unknown[0] + 1}: the run does not know {', '.join(map(repr, words[:3])) or 'a word of it'} "
            f"({len(unknown)} of {len(lines)} prompts have unknown words); give others, or train with --tokens bpe"
        )
    ends = (np.arange(len(data)), data.lengths - 1)
    rows[ends] = 0 if mark is None else mark
    room = max_len - 1 - (mark is not None)
    if (worst := int(data.lengths.max(initial=1)) - 1) > room:
        number = int(data.lengths.argmax()) + 1
        raise InputError(
            f"prompt {number} has {worst} tokens; this run writes {max_len}, so at most {room} can be given"
        )
    return torch.from_numpy(rows)


def save_prompts(prompts: np.ndarray, folder: Path) -> None:
    """Write RUN/prompts.safetensors, whole or not at all."""
    from safetensors.numpy import save

    with replacing(folder / FILE) as stream:
        stream.write(save({"prompts": np.ascontiguousarray(prompts)}))


def load_prompts(folder: Path) -> Tensor:
    """(N, P) int64. Errors: InputError where the run lacks them."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / FILE)["prompts"].long()
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{folder / FILE}: cannot be read; give the prompts with --prompts, or train again") from error
