"""Sentences to vectors: an offline encoder trained on the reference, a local Hugging Face folder, or any function."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from ..manifest import facts
from .ngrams import NgramIndex
from .reasons import Unmeasurable

LONGEST = 512  # tokens, where an encoder does not say
STRANGE = 32  # directions of words that LSA does not know


class Encoder(Protocol):
    """name: what the signature says. Called with n lines it gives (n, d) float, the same for the same line."""

    name: str

    def __call__(self, lines: list[str]) -> np.ndarray: ...


class LSA:
    """Latent semantic analysis: tf-idf of words and bigrams, cut to its leading singular directions.

    Deerwester et al. 1990; Differs: bigrams stand beside words, so that word order is seen a little; and words that
    no two of `lines` share have axes of their own, the last 32, in which each has a direction by its hash, so that
    made-up words are far from real text and from each other, and not invisible. Trained on `lines` alone, in seconds
    and without a download. Weights are (1 + log count) log((1 + n) / (1 + df)), df 0 for such words; lines have unit
    length. Randomised subspace iteration (Halko et al. 2011) with a fixed seed, so the result is reproducible.
    """

    def __init__(self, lines: Sequence[str], *, dimensions: int = 64, features: int = 30_000, seed: int = 0) -> None:
        self._index = NgramIndex(list(lines))
        self._columns: list[np.ndarray] = []  # per order: (K + 1,) column of each n-gram, -1 for none
        weights, width = [], 0
        for order in (1, 2):
            runs = self._index.runs(order)
            often = runs.lines >= 2
            kept = np.argsort(-runs.lines[often], kind="stable")[: features // 2]
            column = np.full(len(self._index.keys(order)) + 1, -1)
            column[runs.ids[often][kept]] = width + np.arange(len(kept))
            weights.append(np.log((1 + len(lines)) / (1 + runs.lines[often][kept])))
            self._columns.append(column)
            width += len(kept)
        self._idf = np.concatenate(weights)
        if not width:
            raise Unmeasurable("the encoder found no word that two reference lines share; give more reference text")
        self._basis = self._leading(min(dimensions, width, len(lines)), seed)  # (features, d)
        digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:8]
        self.name = (
            f"LSA of words and bigrams, {self._basis.shape[1]} dimensions and {STRANGE} of unknown words, "
            f"of {len(lines)} reference lines (sha256 {digest})"
        )

    def __call__(self, lines: list[str]) -> np.ndarray:
        """(n, d + STRANGE), rows of length 1; an empty line is zero."""
        text = NgramIndex(lines)
        matrix, norm = self._features(text)
        known, unknown = unit(matrix @ self._basis) * norm[:, None], self._strange(text)
        return unit(np.column_stack([known, unknown]))

    def _strange(self, text: NgramIndex) -> np.ndarray:
        """(n, STRANGE): the words of a line that have no column, each its weight in a direction of its own."""
        words, spelling = text.runs(1), list(text.vocabulary)
        new = np.flatnonzero(self._columns[0][text.grams_in(self._index, 1)] < 0)
        different, place = np.unique(words.gram[new], return_inverse=True)
        named = (hashlib.blake2b(spelling[word].encode("utf-8", "surrogatepass")) for word in different.tolist())
        bits = np.array([list(name.digest()[:STRANGE]) for name in named], dtype=np.uint8).reshape(-1, STRANGE)
        weight = (1 + np.log(words.counts[new])) * np.log(1 + len(self._index)) / STRANGE**0.5
        found = np.zeros((len(text), STRANGE))
        np.add.at(found, words.line[new], ((bits & 1) * 2.0 - 1)[place] * weight[:, None])
        return found

    def _features(self, text: NgramIndex):  # type: ignore[no-untyped-def]
        """(n, features) scipy sparse, rows of length 1; and (n,) how long they were."""
        from scipy.sparse import csr_array

        rows, columns, counts = [], [], []
        for order, column in zip((1, 2), self._columns, strict=True):
            runs, place = text.runs(order), column[text.grams_in(self._index, order)]
            rows.append(runs.line[place >= 0])
            columns.append(place[place >= 0])
            counts.append(runs.counts[place >= 0])
        column = np.concatenate(columns)
        row = np.concatenate(rows)
        value = (1 + np.log(np.concatenate(counts))) * self._idf[column]
        norm = np.sqrt(np.bincount(row, weights=value**2, minlength=len(text)))
        matrix = csr_array((value / np.maximum(norm[row], 1e-12), (row, column)), shape=(len(text), len(self._idf)))
        return matrix, norm

    def _leading(self, dimensions: int, seed: int) -> np.ndarray:
        matrix, _ = self._features(self._index)
        extra = min(dimensions + 10, *matrix.shape)
        basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], extra))
        for _ in range(5):
            basis, _ = np.linalg.qr(matrix.T @ (matrix @ basis))
        _, _, right = np.linalg.svd(matrix @ basis, full_matrices=False)
        return basis @ right[:dimensions].T


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows brought to length 1; those of zeros stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class HuggingFace:
    """Mean of a local folder's model's last hidden states over real tokens; nothing is downloaded, no code of it run.

    What a sentence-transformers folder says of itself is done: the most tokens that it reads, and unit length after
    the pooling (all-MiniLM-L6-v2). Errors: InputError for one that pools otherwise than by the mean.
    """

    def __init__(self, folder: str | Path, *, batch: int = 128) -> None:
        self.folder, self.batch = Path(folder), batch
        if not (self.folder / "config.json").is_file():
            raise InputError(f"no encoder at {folder}: config.json is missing; give a folder made by save_pretrained")
        weights = self.folder / "model.safetensors"
        if not weights.is_file():
            raise InputError(
                f"no encoder at {folder}: model.safetensors is missing; save it with safe_serialization=True"
            )
        mark = str(facts(weights)["sha256"])[:8]
        self._longest = int(self._said("sentence_bert_config.json").get("max_seq_length") or LONGEST)
        kinds = [str(module.get("type", "")).rpartition(".")[2] for module in self._said("modules.json") or []]
        self._normalised = "Normalize" in kinds
        pooling = self._said("1_Pooling/config.json")
        if pooling and not pooling.get("pooling_mode_mean_tokens", pooling.get("pooling_mode") == "mean"):
            raise InputError(f"the encoder at {folder} pools otherwise than by the mean of tokens; give one that does")
        length = ", of length 1" if self._normalised else ""
        self.name = f"{self.folder.name} (sha256 {mark}), mean of {self._longest} tokens at most{length}"

    def _said(self, name: str) -> Any:
        """What a file of the folder says, {} where there is none."""
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"no encoder at {self.folder}: {name} cannot be read ({error}); restore it") from None

    def __call__(self, lines: list[str]) -> np.ndarray:
        import torch

        tokenizer, model = self._loaded
        by_length = sorted(range(len(lines)), key=lambda row: len(lines[row]))
        vectors: list[np.ndarray] = [np.zeros(0)] * len(lines)
        with torch.inference_mode():
            for begin in range(0, len(lines), self.batch):
                rows = by_length[begin : begin + self.batch]
                texts = [lines[row] for row in rows]
                inputs = tokenizer(texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
                mask = inputs["attention_mask"][..., None]  # (B, T, 1)
                hidden = model(**inputs).last_hidden_state  # (B, T, F)
                pooled = ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1)).float()
                pooled = (torch.nn.functional.normalize(pooled) if self._normalised else pooled).numpy()
                for row, vector in zip(rows, pooled, strict=True):
                    vectors[row] = vector
        return np.stack(vectors)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer

        from ..generators import quiet_transformers

        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        tokenizer.padding_side = "right"  # padding on the left would move the positions
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        with quiet_transformers():
            model = AutoModel.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        return tokenizer, model.eval()


class Function:
    """Any function of a list of lines that gives (n, d) numbers."""

    def __init__(self, function: Callable[[list[str]], np.ndarray], name: str) -> None:
        self.function, self.name = function, name

    def __call__(self, lines: list[str]) -> np.ndarray:
        vectors = np.asarray(self.function(lines), dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(lines):
            raise InputError(f"encoder {self.name} gave {vectors.shape} for {len(lines)} lines; it must give (n, d)")
        if not np.isfinite(vectors).all():
            raise InputError(f"encoder {self.name} gave numbers that are not finite; mend it or take another")
        return vectors


AnyEncoder = Encoder | Callable[[list[str]], np.ndarray] | str | Path


def as_encoder(encoder: AnyEncoder) -> Encoder:
    """A folder, an encoder or a bare function."""
    if isinstance(encoder, str | Path):
        return HuggingFace(encoder)
    if isinstance(encoder, LSA | HuggingFace | Function):
        return encoder
    name = str(getattr(encoder, "name", getattr(encoder, "__name__", "")))
    if name in ("", "<lambda>"):
        raise InputError("the name of an encoder stands in its figures' signature; give Function(function, 'its name')")
    return Function(encoder, name)
