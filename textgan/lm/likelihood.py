"""Sentences as a causal language model sees them, and the exact negative log-likelihood of a text."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.errors import InputError, NotFinite
from textgan.generators import NEVER

IGNORE = -100  # a target that is not predicted
CONTEXT = 1024  # tokens of context used at most; models without a limit of their own get this one
LOGITS = 2**26  # logits held at once when measuring (256 MB)
WIDE, NARROW = 2**14, 2**11  # positions held at once; what stays in a processor's cache takes 0.55 of the time


class Nll(NamedTuple):
    """Summed -log p of a text under a model.

    total: nats. tokens: predicted tokens, the EOS of each line among them. bytes: UTF-8 bytes of the lines plus one
    newline each, which is what EOS stands for: the size of the file. unk_rate: share of tokens that are unknown words.
    """

    total: float
    tokens: int
    bytes: int
    unk_rate: float

    def figures(self) -> dict[str, float]:
        """nll_per_token = total / tokens, nll_per_byte = total / bytes (nats), perplexity = exp(nll_per_token)."""
        per_token = self.total / self.tokens
        return {
            "nll_per_token": per_token,
            "nll_per_byte": self.total / self.bytes,
            "perplexity": math.exp(min(per_token, 700.0)),  # exp(710) is no float
        }


class Piece(NamedTuple):
    """A sentence, or a window of one longer than the context: inputs (T,), targets (T,), both int64.

    targets[t] follows inputs[t]; targets before `first` are context only, as an earlier window predicts them.
    line: which of the text's lines it is of. weight: what its targets count in a training loss.
    """

    inputs: np.ndarray
    targets: np.ndarray
    first: int
    line: int = 0
    weight: float = 1.0


def ends(tokenizer: Any) -> tuple[int, int]:
    """Ids of BOS and EOS; a tokenizer without BOS begins with its EOS, as GPT-2 does."""
    eos = tokenizer.eos_token_id
    if eos is None:
        raise InputError("the tokenizer has no end-of-sentence token; give a causal language model that has one")
    return (eos if tokenizer.bos_token_id is None else tokenizer.bos_token_id), eos


def unknown_id(tokenizer: Any) -> int | None:
    """Id of the unknown word, if there is one. Ours is a word of the text and not marked as special; GPT-2's is EOS."""
    unk = tokenizer.get_vocab().get("<unk>") if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    return None if unk == tokenizer.eos_token_id else unk


def context_of(model: Any) -> int:
    """Tokens the model can see at once, at most CONTEXT."""
    limit = getattr(model.config, "max_position_embeddings", None) or CONTEXT
    return min(int(limit), CONTEXT)


def encode_lines(tokenizer: Any, lines: Sequence[str]) -> list[list[int]]:
    """Ids of each line, without BOS and EOS."""
    return tokenizer(list(lines), add_special_tokens=False, verbose=False)["input_ids"] if lines else []


def pieces(model: Any, tokenizer: Any, lines: Sequence[str], weights: np.ndarray | None = None) -> list[Piece]:
    """Each line as BOS + tokens + EOS; a line over the context becomes windows that overlap by half of it.

    weights: (lines,), what each line counts; None: 1.
    """
    bos, eos = ends(tokenizer)
    context = context_of(model)
    found = []
    for line, ids in enumerate(encode_lines(tokenizer, lines)):
        weight = 1.0 if weights is None else float(weights[line])
        whole = np.array([bos, *ids, eos], dtype=np.int64)
        length, start, done = len(whole) - 1, 0, 0
        while done < length:
            stop = min(start + context, length)
            found.append(Piece(whole[start:stop], whole[start + 1 : stop + 1], done - start, line, weight))
            done, start = stop, max(stop - context // 2, start + 1)
    return found


def collate(parts: Sequence[tuple[Piece, int, int]]) -> dict[str, Tensor]:
    """A batch that predicts targets a to b of each piece: input_ids, attention_mask, labels, all (B, T) int64.

    labels[:, t] is the target of position t (already shifted), IGNORE where nothing is predicted. Rows end at their b,
    padded to the longest on the right, where a causal model cannot look; so any id serves as padding.
    """
    longest = max(b for _, _, b in parts)
    shape = (len(parts), longest)
    ids, mask, labels = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, IGNORE)
    for row, (piece, a, b) in enumerate(parts):
        ids[row, :b], mask[row, :b], labels[row, a:b] = piece.inputs[:b], 1, piece.targets[a:b]
    arrays = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def by_length(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """A batch as its long and its short rows, cut where least is padded; whole, where that saves under a tenth.

    Of 512 tokens of captions 940 positions become 640, and a step on a processor takes three quarters of the time.
    """
    length, order = batch["attention_mask"].sum(1).sort(descending=True, stable=True)  # (B,)
    rows = len(order)
    at = torch.arange(1, rows)
    if not rows > 1 or (positions := at * length[0] + (rows - at) * length[1:]).min() > 0.9 * rows * length[0]:
        return [batch]
    cut = int(positions.argmin()) + 1
    parts = ((order[:cut], int(length[0])), (order[cut:], int(length[cut])))
    return [{k: x[some] if x.dim() == 1 else x[some, :longest] for k, x in batch.items()} for some, longest in parts]


def summed_nll(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """-log p summed over all labels that are not IGNORE, row b times weights[b] where given.

    (B, T, V), (B, T), (B,) -> (), float32, differentiable.
    """
    if weights is None:
        flat, wanted = logits.float().flatten(0, 1), labels.flatten()
        return F.cross_entropy(flat, wanted, ignore_index=IGNORE, reduction="sum")
    return (row_nll(logits, labels) * weights).sum()


def row_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p summed over each row's labels that are not IGNORE: (B, T, V), (B, T) -> (B,), float32."""
    flat, wanted = logits.float().flatten(0, 1), labels.flatten()
    return F.cross_entropy(flat, wanted, ignore_index=IGNORE, reduction="none").view(labels.shape).sum(1)


class Prepared(NamedTuple):
    """A text ready to be measured, as often as one likes.

    batches: input_ids, attention_mask, labels. lines: for each batch (B,) int64, which of the lines a row is of.
    """

    batches: list[dict[str, Tensor]]
    lines: list[np.ndarray]
    tokens: int
    bytes: int
    unk_rate: float


def prepared(model: Any, tokenizer: Any, lines: Sequence[str]) -> Prepared:
    """Lines as batches of like length. Errors: InputError where there is none."""
    if not lines:
        raise InputError("there is no line to measure; give a text with one sentence a line")
    most = WIDE if model.device.type == "cuda" else NARROW
    room = max(1, min(LOGITS // model.config.vocab_size, most))
    cut = list(_even_batches(pieces(model, tokenizer, lines), room))
    batches = [collate(parts) for parts in cut]
    rows = [np.array([piece.line for piece, _, _ in parts]) for parts in cut]
    unk = unknown_id(tokenizer)
    tokens = sum(int((batch["labels"] != IGNORE).sum()) for batch in batches)
    unknown = 0 if unk is None else sum(int((batch["labels"] == unk).sum()) for batch in batches)
    return Prepared(batches, rows, tokens, sum(len(line.encode("utf-8")) + 1 for line in lines), unknown / tokens)


def nll(model: Any, tokenizer: Any, lines: Sequence[str]) -> Nll:
    """Exact NLL of lines: sum over lines and t of -log p(w_t | BOS, w_<t), EOS the last w, at temperature 1.

    Tokens that the model's own generation settings forbid have no probability here either: a generator of ours never
    writes PAD and BOS. Without dropout; the model comes back in the mode (train or eval) it was in. No token is cut:
    lines longer than the context are measured in windows, each token with at least half a context before it.
    """
    return measured(model, prepared(model, tokenizer, lines))


def measured(model: Any, text: Prepared) -> Nll:
    """`nll` of what `prepared` made."""
    total = sum(summed_nll(logits, labels).item() for logits, labels, _ in answers(model, text))
    return Nll(_finite(total), text.tokens, text.bytes, text.unk_rate)


def line_nll(model: Any, tokenizer: Any, lines: Sequence[str]) -> np.ndarray:
    """`nll` of each line, (lines,) float64 nats."""
    found = np.zeros(len(lines))
    for logits, labels, line in answers(model, prepared(model, tokenizer, lines)):
        np.add.at(found, line, row_nll(logits, labels).double().cpu().numpy())
    _finite(found.sum())
    return found


@torch.no_grad()
def answers(model: Any, text: Prepared) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
    """For each batch what the model says, logits (B, T, V), of its labels (B, T), and its rows' lines (B,).

    Without dropout, and without the tokens that the model's own generation settings forbid.
    """
    settings = getattr(model, "generation_config", None)
    never = torch.tensor(getattr(settings, "suppress_tokens", None) or [], dtype=torch.long, device=model.device)
    training = model.training
    model.eval()
    try:
        for batch, lines in zip(text.batches, text.lines, strict=True):
            inputs = {name: x.to(model.device) for name, x in batch.items()}
            labels = inputs.pop("labels")
            logits = model(**inputs).logits
            logits[..., never] = NEVER
            yield logits, labels, lines
    finally:
        model.train(training)


def _finite(total: float) -> float:
    if not math.isfinite(total):
        raise NotFinite(f"the NLL of the text is {total}; the model's weights are broken")
    return total


def _even_batches(found: list[Piece], room: int) -> Iterator[list[tuple[Piece, int, int]]]:
    """Pieces of like length together, each batch within `room` positions (or one piece)."""
    parts: list[tuple[Piece, int, int]] = []
    for piece in sorted(found, key=lambda piece: -len(piece.inputs)):
        parts.append((piece, piece.first, len(piece.inputs)))
        if len(parts[0][0].inputs) * (len(parts) + 1) > room:
            yield parts
            parts = []
    if parts:
        yield parts
