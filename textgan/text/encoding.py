"""Strings <-> ids: flat arrays of ids, batches cut out of them, clean text again, and a tokenizer's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from textgan.errors import InputError

from .files import make_folder, one_line, replacing, write_json
from .levels import BOS, EOS, PAD, SPECIALS, UNK, spell_out

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 8192  # sentences in Python objects at a time
IDS, OFFSETS = ("ids.i32", "<i4"), ("offsets.i64", "<i8")  # the files of sentences that stay on the disk


@dataclass(frozen=True, eq=False)
class Encoded:
    """Sentences as one flat array. n sentences, N tokens with their EOS.

    ids: (N,) int32; sentence i is ids[offsets[i]:offsets[i + 1]] and ends with EOS unless it was cut.
    offsets: (n + 1,) int64, from 0 to N.
    truncated: share of the sentences that were cut, 0..1.
    unk_rate: share of <unk> among the tokens that are not EOS, 0..1; 0 where there are none.
    """

    ids: np.ndarray
    offsets: np.ndarray
    truncated: float
    unk_rate: float

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64 tokens a sentence, EOS included."""
        return np.diff(self.offsets)

    def cut(self, max_len: int, *, folder: Path | None = None) -> Encoded:
        """The first max_len tokens of each sentence; folder: as for `encode`."""
        return _joined(self._chunks(), max_len, folder)

    def _chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, len(self), CHUNK):
            bounds = self.offsets[first : first + CHUNK + 1]
            yield self.ids[bounds[0] : bounds[-1]], np.diff(bounds)

    def batch(self, rows: ArrayLike) -> np.ndarray:
        """The sentences `rows` (B,) as (B, T) int64, padded with PAD; T is the longest of them.

        Raises IndexError for a row outside 0..n-1.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()}..{rows.max()} are not within 0..{len(self) - 1}")
        starts = self.offsets[rows]  # (B,)
        lengths = self.offsets[rows + 1] - starts  # (B,)
        steps = np.arange(lengths.max(initial=0))  # (T,)
        inside = steps < lengths[:, None]  # (B, T)
        tokens = np.full(inside.shape, PAD, dtype=np.int64)
        tokens[inside] = self.ids[(starts[:, None] + steps)[inside]]
        return tokens


def encode(
    tokenizer: Tokenizer, lines: Sequence[str], *, max_len: int | None = None, folder: Path | None = None
) -> Encoded:
    """Ids of the lines, each with EOS at its end; chunk by chunk, so that memory stays near the size of the arrays.

    max_len: keep the first max_len tokens of a sentence, EOS counted; None keeps all.
    folder: write the arrays there and map them (`map_encoded`), so that memory does not grow with the lines.
    A line without tokens is EOS alone; no lines give no sentences. Raises InputError for max_len below 1 and for a line
    that is not a string of Unicode, OSError where the folder cannot take the arrays.
    """
    if isinstance(lines, str):
        raise InputError("a list of lines was wanted, got one string")
    chunks = (_encode_chunk(tokenizer, list(lines[i : i + CHUNK]), i) for i in range(0, len(lines), CHUNK))
    return _joined(chunks, max_len, folder)


def map_encoded(folder: Path, *, truncated: float, unk_rate: float) -> Encoded:
    """What `encode` has written into a folder; the files are mapped, and nothing is read before it is wanted."""
    ids, offsets = (np.memmap(folder / name, dtype=kind, mode="r") for name, kind in (IDS, OFFSETS))
    return Encoded(ids, offsets, truncated, unk_rate)


def _joined(chunks: Iterable[tuple[np.ndarray, np.ndarray]], max_len: int | None, folder: Path | None) -> Encoded:
    """Sentences as flat ids (N,) int32 and lengths (n,) int64, joined and each cut to max_len."""
    if max_len is not None and max_len < 1:
        raise InputError(f"max_len {max_len} must be at least 1: the end of the sentence counts")
    lengths, cut, words, unknown = [np.zeros(1, dtype=np.int64)], 0, 0, 0
    with open(folder / IDS[0], "wb") if folder else BytesIO() as stream:
        for flat, sizes in chunks:
            kept = sizes
            if max_len is not None:
                place = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within the sentence
                flat, kept = flat[place < max_len], np.minimum(sizes, max_len)
            stream.write(flat.tobytes())
            lengths.append(kept)
            cut += int(np.count_nonzero(kept < sizes))
            words += int(np.count_nonzero(flat != EOS))
            unknown += int(np.count_nonzero(flat == UNK))
        in_memory = stream.getvalue() if isinstance(stream, BytesIO) else b""
    offsets = np.cumsum(np.concatenate(lengths))
    truncated, unk_rate = cut / max(1, len(offsets) - 1), unknown / max(1, words)
    if folder is None:
        return Encoded(np.frombuffer(in_memory, dtype=np.int32), offsets, truncated, unk_rate)
    offsets.tofile(folder / OFFSETS[0])
    return map_encoded(folder, truncated=truncated, unk_rate=unk_rate)


def _encode_chunk(tokenizer: Tokenizer, lines: list[str], first: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat ids (N,) int32 with EOS after each line, and lengths (n,) int64."""
    try:
        rows = [found.ids for found in tokenizer.encode_batch_fast(lines, add_special_tokens=False)]
    except TypeError:
        bad = next(i for i, line in enumerate(lines) if not isinstance(line, str) or not _is_unicode(line))
        raise InputError(f"lines:{first + bad + 1}: a string without lone surrogates was wanted") from None
    sizes = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sizes.sum())
    flat[flat < UNK] = UNK  # <pad>, <bos>, <eos> typed in the text are words that the vocabulary does not hold
    return np.insert(flat, np.cumsum(sizes), EOS), sizes + 1


def _is_unicode(line: str) -> bool:
    return line.encode(errors="ignore").decode() == line


def choose_max_len(lengths: np.ndarray, *, share: float = 0.995, cap: int = 512) -> int:
    """The least max_len that leaves at least `share` of the sentences whole, and at most `cap`.

    lengths: (n,) tokens a sentence, EOS counted. Raises InputError for a share outside (0, 1], a cap below 1, and no
    sentences.
    """
    if not 0 < share <= 1 or cap < 1 or not len(lengths):
        raise InputError(
            f"a share in (0, 1], a cap of at least 1 and lines were wanted, got {share}, {cap}, {len(lengths)} lines"
        )
    return int(min(cap, np.quantile(lengths, share, method="inverted_cdf")))


def decode(tokenizer: Tokenizer, tokens: ArrayLike) -> list[str]:
    """Clean text of ids (n, T): each row up to its first EOS, without PAD and BOS; n strings.

    Each string is one line: newlines and other control characters (byte-level pieces can spell them) become spaces;
    bytes that are not UTF-8 become U+FFFD. A row without words is "". <unk> stays written. Raises InputError for ids
    that are not whole numbers of shape (n, T) within the vocabulary.
    """
    try:
        ids = np.asarray(tokens)
    except ValueError:
        raise InputError("ids of shape (n, T) were wanted, got rows of several lengths; pad them with 0") from None
    size = tokenizer.get_vocab_size()
    if ids.size == 0:
        return [""] * len(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise InputError(f"whole numbers of shape (n, T) were wanted, got {ids.dtype} of shape {ids.shape}")
    if not 0 <= ids.min() <= ids.max() < size:
        raise InputError(f"ids {ids.min()}..{ids.max()} are not within the vocabulary 0..{size - 1}")
    lines: list[str] = []
    for first in range(0, len(ids), CHUNK):
        part = ids[first : first + CHUNK]
        keep = (np.cumsum(part == EOS, axis=1) == 0) & (part != PAD) & (part != BOS)  # (CHUNK, T)
        flat = part[keep].tolist()
        ends = np.cumsum(keep.sum(axis=1)).tolist()
        rows = [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        lines += map(one_line, tokenizer.decode_batch(rows))
    return lines


def save_tokenizer(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, so that AutoTokenizer.from_pretrained(folder) works.

    The folder is made where it is missing. Raises InputError where it cannot be written.
    """
    folder = make_folder(folder)
    with replacing(folder / "tokenizer.json") as stream:
        stream.write(tokenizer.to_str(pretty=True).encode() + b"\n")
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIALS[PAD],
        "bos_token": SPECIALS[BOS],
        "eos_token": SPECIALS[EOS],
        # `generate` continues at the right end, and our models know no token types.
        "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", settings)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer that `save_tokenizer` wrote into a folder.

    Raises InputError where there is none, where it is damaged, or where ids 0..3 are not <pad>, <bos>, <eos>, <unk>.
    """
    from tokenizers import Tokenizer

    path = Path(folder) / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(path.read_bytes().decode())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the folder of a trained generator"
        ) from error
    except Exception as error:  # tokenizers raises no narrower class for a damaged file
        raise InputError(f"{path}: not a tokenizer ({' '.join(str(error).split())})") from error
    found = [tokenizer.token_to_id(mark) for mark in SPECIALS]
    if found != [PAD, BOS, EOS, UNK]:
        raise InputError(f"{path}: ids 0, 1, 2, 3 must be {', '.join(SPECIALS)}, got {found}; textgan did not train it")
    return spell_out(tokenizer)
