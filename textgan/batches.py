"""From text to an endless, resumable stream of batches, with some lines held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textgan.checkpoints import replace_folder, seal, verify
from textgan.errors import InputError
from textgan.labels import count_labels, label_facts, labels_of, token_of, unlabelled, with_labels
from textgan.oracle import Oracle, Truth, truth_of
from textgan.processes import ALONE, Share
from textgan.prompts import (
    GIVEN,
    MARK,
    NONE,
    cut_prompted,
    encode_prompted,
    longest_prompt,
    prompts_of,
    sentences,
    share_given,
)
from textgan.sequences import pad_to
from textgan.text import (
    Encoded,
    Text,
    choose_max_len,
    digests,
    encode,
    load_tokenizer,
    map_encoded,
    ranked,
    read_lines,
    read_text,
    save_tokenizer,
    spool,
    train_tokenizer,
    write_lines,
)
from textgan.text.rows import TEXT, USED

Source = str | Path | Sequence[str] | Text
HELD_OUT_SHARE, HELD_OUT_MOST, HELD_OUT_SEED = 0.05, 1000, 0


@dataclass(frozen=True)
class TextSettings:
    """How text becomes tokens.

    Args:
        tokens: level of the tokens: words (split on spaces), treebank (raw text), characters, or bpe (bytes)
        vocab_size: keep at most so many tokens, the others become <unk>; none keeps all
        min_count: a token seen less often becomes <unk>
        max_len: longest sentence in tokens, end mark included; none is chosen from the data (99.5 % fit)
        prompt: what G is given of a sentence: none, given (prompt<TAB>text or JSON of both) or N, its first N tokens
        encoding_errors: what to do with bytes that are not UTF-8 and with control characters: strict, replace or skip
    """

    tokens: str = "words"
    vocab_size: int | None = None
    min_count: int = 1
    max_len: int | None = None
    prompt: str | int = NONE
    encoding_errors: str = "strict"


MUCH = 0.1  # of a text's words unknown, of its lines all prompt, or twice its lines cut
LONG = 8  # times the median length, above which a maximum is that of a few lines


class Data(NamedTuple):
    """A corpus ready for training; `facts` is what the run folder records about it. prompts: (N, P) ids, where it has
    them, which the generator draws from."""

    tokenizer: Any
    train: Encoded
    held_out: Encoded
    held_out_lines: Sequence[str]
    max_len: int
    facts: dict[str, Any]
    prompts: np.ndarray | None = None

    @property
    def labels(self) -> dict[str, int]:
        """How often each label stands in the training text; empty without classes."""
        return label_facts(self.facts)

    @property
    def truth(self) -> Truth | None:
        """Who knows the language exactly, where anybody does."""
        return truth_of(self.facts["corpus"]["name"])


def read_corpus(source: Source, settings: TextSettings, *, classes: bool) -> Text:
    """A training or held-out text; of rows all that they hold, where labels or prompts are wanted."""
    rows = USED if classes or settings.prompt == GIVEN else TEXT
    return read_text(source, errors=settings.encoding_errors, rows=rows)


def prepare(
    corpus: Source,
    valid: Source | None,
    settings: TextSettings,
    *,
    folder: Path | None = None,
    recipe: str = "the recipe",
    classes: bool = False,
    tokenizer: Any | None = None,
) -> Data:
    """Read, hold lines out (or read `valid`), train the tokenizer on the training lines alone, and encode.

    Without `valid`, 5 % of the distinct lines (at most 1,000) are held out with a fixed seed, the same for every
    run on that corpus, and leave the training text with all their copies. An oracle's sentences have all its words for
    a vocabulary, and no end mark: max_len is their length.
    folder: where the ids of a text that does not fit into memory (`text.spooling`) are kept, sealed; the same text and
    settings find them there again. Raises InputError where there is no room.
    classes: the recipe of that name wants labelled text (`labels`), which is held in memory; else labels are refused.
    Text with prompts (`prompts`) is held in memory, too.
    tokenizer: of a language model that the run takes over, in place of one that is trained here.
    """
    if tokenizer is not None and settings != TextSettings(
        max_len=settings.max_len, encoding_errors=settings.encoding_errors, prompt=settings.prompt
    ):
        raise InputError("a pretrained generator brings its tokens; leave --tokens, --vocab_size and --min_count out")
    if settings.max_len is not None and settings.max_len < 1:
        raise InputError(f"--max_len {settings.max_len} must be at least 1")
    text = read_corpus(corpus, settings, classes=classes)
    other = None if valid is None else read_corpus(valid, settings, classes=classes)
    if classes:
        return _prepared_labelled(text, other, settings, recipe, tokenizer)
    if settings.prompt != NONE:
        return _prepared_prompted(text, other, settings, tokenizer)
    text = unlabelled(text, recipe)
    if folder is None or isinstance(text.lines, list):
        return _prepared(text, other, settings, None, tokenizer)
    wanted = {"corpus": text.sha256, "valid": other and other.sha256, **vars(settings)}
    if tokenizer is not None:
        wanted["tokenizer"] = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    kept = _kept(folder, wanted)
    if kept is None:
        try:
            replace_folder(folder, lambda new: _keep(_prepared(text, other, settings, new, tokenizer), wanted, new))
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror or error}); give another --out") from error
        kept = _kept(folder, wanted)
    if kept is None:
        raise InputError(f"{folder}: what was written is not what is read; give another --out")
    return kept


def _prepared(
    text: Text, other: Text | None, settings: TextSettings, folder: Path | None, given: Any | None = None
) -> Data:
    """`prepare` of texts; folder: an empty one for the ids of the training lines, which stay on the disk."""
    lines: Sequence[str]
    held: Sequence[str]
    if other is None:
        lines, held = hold_out(text.lines)
        valid_facts = {"name": f"held out of {text.name}", "lines": len(held)}
    else:
        lines, held = text.lines, other.lines
        valid_facts = {"name": other.name, "sha256": other.sha256, "lines": len(held)}
    truth, max_len = truth_of(text.name), settings.max_len
    if isinstance(truth, Oracle):
        if given is not None:
            raise InputError("an oracle's sentences are numbers, which no pretrained generator speaks; give another")
        tokenizer, max_len = _of_oracle(truth, lines, held, settings)
    elif given is not None:
        tokenizer = given
    else:
        tokenizer = train_tokenizer(
            lines, level=settings.tokens, vocab_size=settings.vocab_size, min_count=settings.min_count
        )
    train, max_len = _encoded(tokenizer, lines, max_len, folder)
    cut = 0.0 if isinstance(truth, Oracle) else train.truncated  # an oracle's sentences lose no word, but the end mark
    held_out = encode(tokenizer, held, max_len=max_len)
    if other is not None:
        valid_facts["in_training"] = int(np.isin(digests(held), digests(lines)).sum())
    facts = {
        "corpus": _facts(text)
        | {"training_lines": len(lines), "unk_rate": train.unk_rate, "truncated": cut}
        | {"median": int(np.median(train.lengths))},
        "valid": valid_facts | {"unk_rate": held_out.unk_rate},
        "tokens": {
            "level": settings.tokens if given is None else "pretrained",
            "vocab_size": tokenizer.get_vocab_size(),
            "max_len": max_len,
            "min_count": settings.min_count,
        },
    }
    if truth is not None:
        facts["oracle"] = {"name": truth.name, "sha256": truth.sha256}
    return Data(tokenizer, train, held_out, held, max_len, facts)


def _two_parts(text: Text, other: Text | None) -> tuple[Text, Text]:
    """Training and held-out text, whose lines are still whole; other: --valid, where it was given."""
    if other is not None:
        return text, other
    lines, held = hold_out(list(text.lines))
    return text._replace(lines=list(lines)), Text(held, f"held out of {text.name}", "", 0, 0, 0)


def _prepared_labelled(
    text: Text, other: Text | None, settings: TextSettings, recipe: str, given: Any | None
) -> Data:
    """`prepare` of labelled texts: that of the sentences alone, then a label before each, and its token."""
    train, valid = _two_parts(text, other)
    rows, held_rows = labels_of(train, recipe), labels_of(valid, recipe)
    counts = count_labels(rows)
    data = _prepared(
        train._replace(lines=[row.text for row in rows]), valid._replace(lines=[row.text for row in held_rows]),
        settings, None, given,
    )  # fmt: skip
    data.tokenizer.add_special_tokens([token_of(name) for name in counts])  # at the end of the vocabulary
    size = data.tokenizer.get_vocab_size()
    data.facts["corpus"]["lines"], data.facts["tokens"]["vocab_size"] = len(text.lines), size
    return data._replace(
        train=with_labels(data.train, rows, size - len(counts), list(counts)),
        held_out=with_labels(data.held_out, held_rows, size - len(counts), list(counts)),
        facts=data.facts | {"labels": counts},
    )


def _prepared_prompted(text: Text, other: Text | None, settings: TextSettings, given: Any | None) -> Data:
    """`prepare` of texts with prompts: that of the whole sentences, then the mark after each prompt, and its token."""
    how = str(settings.prompt)
    if isinstance(truth_of(text.name), Oracle):
        raise InputError(f"--prompt {how}: an oracle's sentences all have one length and no end; leave it out")
    train, valid = _two_parts(text, other)
    whole, held_whole = (part._replace(lines=sentences(part.lines, how, part.name)) for part in (train, valid))
    data = _prepared(whole, held_whole, settings, None, given)
    if data.tokenizer.token_to_id(MARK) is not None:
        raise InputError(f"{text.name}: {MARK} is a word of it, but a prompt's end mark here; spell it otherwise")
    data.tokenizer.add_special_tokens([MARK])  # at the end of the vocabulary
    size = data.tokenizer.get_vocab_size()
    rows = encode_prompted(data.tokenizer, train.lines, how, train.name)
    held_rows = encode_prompted(data.tokenizer, valid.lines, how, valid.name)
    longest = max(longest_prompt(part, size - 1) for part in (rows, held_rows))
    max_len = settings.max_len or max(choose_max_len(rows.lengths), longest + 2)
    rows, held_rows = (cut_prompted(part, max_len, size - 1) for part in (rows, held_rows))
    prompts = prompts_of(rows, size - 1)
    data.facts["corpus"] |= {"lines": len(text.lines), "truncated": rows.truncated}
    data.facts["tokens"] |= {"vocab_size": size, "max_len": max_len, "prompt": how}
    told = {"distinct": len(np.unique(prompts, axis=0)), "longest": longest, "whole": share_given(rows, size - 1)}
    facts = data.facts | {"prompts": told}
    return data._replace(train=rows, held_out=held_rows, max_len=max_len, facts=facts, prompts=prompts)


def _of_oracle(truth: Oracle, lines: Sequence[str], held: Sequence[str], settings: TextSettings) -> tuple[Any, int]:
    """The tokenizer of all the oracle's words, whether they were drawn or not, and the length of its sentences."""
    if settings != TextSettings(encoding_errors=settings.encoding_errors):
        raise InputError(
            "an oracle's sentences have their own words and length; leave --tokens, --vocab_size, --min_count and "
            "--max_len out"
        )
    length = truth.ids(lines).shape[1]
    if truth.ids(held).shape[1] != length:
        raise InputError(f"--valid must hold sentences of {length} tokens, as the oracle's are")
    return train_tokenizer([" ".join(truth.vocabulary())]), length


def _encoded(tokenizer: Any, lines: Sequence[str], max_len: int | None, folder: Path | None) -> tuple[Encoded, int]:
    """The lines, cut to max_len, which is chosen from them where it is None."""
    if max_len is not None:
        return encode(tokenizer, lines, max_len=max_len, folder=folder), max_len
    if folder is None:
        whole = encode(tokenizer, lines)
        return whole.cut(chosen := choose_max_len(whole.lengths)), chosen
    with TemporaryDirectory(dir=folder) as uncut:
        whole = encode(tokenizer, lines, folder=Path(uncut))
        return whole.cut(chosen := choose_max_len(whole.lengths), folder=folder), chosen


def _keep(data: Data, wanted: dict[str, Any], folder: Path) -> None:
    """All of `data` but the ids, which stand in the folder already."""
    save_tokenizer(data.tokenizer, folder)
    write_lines(folder / "heldout.txt", data.held_out_lines)
    seal(folder, {"wanted": wanted, "facts": data.facts})


def _kept(folder: Path, wanted: dict[str, Any]) -> Data | None:
    """What `_keep` left, where it is whole and came of the wanted text and settings."""
    if not folder.exists() or verify(folder):
        return None
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if state["wanted"] != wanted:
        return None
    tokenizer, held = load_tokenizer(folder), read_lines(folder / "heldout.txt")
    facts, max_len = state["facts"], state["facts"]["tokens"]["max_len"]
    rates = {name: facts["corpus"][name] for name in ("truncated", "unk_rate")}
    held_out = encode(tokenizer, held, max_len=max_len)
    return Data(tokenizer, map_encoded(folder, **rates), held_out, held, max_len, facts)


def cautions(facts: Mapping[str, Any]) -> list[str]:
    """What of a text's facts would spoil the figures that are reported on it, a line each."""
    corpus, valid, said = facts["corpus"], facts["valid"], []
    longest = facts["tokens"]["max_len"]
    if (cut := corpus["truncated"]) > MUCH / 2:
        said.append(f"{cut:.0%} of the training lines are longer than {longest} tokens and are cut; raise --max_len")
    if longest > LONG * (usual := corpus.get("median", longest)):
        said.append(
            f"sentences may have {longest} tokens and half of them have {usual} at most: a few long lines make each "
            "step and each sample long; give --max_len"
        )
    if (whole := facts.get("prompts", {}).get("whole", 0)) > MUCH:
        said.append(
            f"{whole:.0%} of the lines are no longer than their prompt, which leaves G a word and the end; give a "
            "smaller --prompt"
        )
    for name, rate in (("training", corpus["unk_rate"]), ("held-out", valid["unk_rate"])):
        if rate > MUCH:
            said.append(
                f"{rate:.0%} of the {name} text's words are unknown, so that its NLL is that of <unk>; give --tokens "
                "characters (text without spaces), --tokens bpe, or a larger --vocab_size"
            )
    if shared := valid.get("in_training"):
        said.append(
            f"{shared} of {valid['lines']} held-out lines stand in the training text, so the held-out NLL rests on "
            "what was learnt; `textgan split` makes parts that share none"
        )
    return said


def hold_out(lines: Sequence[str]) -> tuple[Sequence[str], list[str]]:
    """Training lines and held-out lines; no held-out line is left among the former.

    Which are held out depends on the distinct lines alone, not on their order or on where they are kept.
    """
    rows = np.unique(digests(lines), return_index=True)[1]  # (D,) one of each line
    n = min(HELD_OUT_MOST, max(1, round(HELD_OUT_SHARE * len(rows))))
    if len(rows) < 2:
        raise InputError(
            f"the corpus has {len(rows)} distinct line(s); at least 2 are needed to hold one out (or give --valid)"
        )
    held = ranked(lines, rows, np.random.default_rng(HELD_OUT_SEED).permutation(len(rows))[:n])
    taken = set(held)
    return spool(line for line in lines if line not in taken), held


def _facts(text: Text) -> dict[str, Any]:
    return {
        "name": text.name,
        "sha256": text.sha256,
        "lines": len(text.lines),
        "blank": text.blank,
        "replaced": text.replaced,
        "skipped": text.skipped,
    }


class Batches(Iterator[Tensor]):
    """Endless shuffled batches (B, T) int64; `cursor` is the number handed out, and setting it is the whole resume.

    Epoch e is a permutation drawn from (seed, e). Of several processes, the one of `share` gets its rows of each batch,
    (B / world, T). Rows are wrapped round the end of an epoch, so each batch is full. T is at least `width`.
    """

    def __init__(
        self, data: Encoded, batch: int, *, seed: int, device: torch.device, share: Share = ALONE, width: int = 0
    ) -> None:
        self.data, self.batch, self.seed, self.device = data, batch, seed, device
        self.share, self.width, self.cursor = share, width, 0
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def _row(self, first: int) -> np.ndarray:
        """Rows first .. first + batch of the endless sequence of epochs."""
        n, last, parts = len(self.data), first + self.batch, []
        while first < last:
            epoch, at = divmod(first, n)
            if epoch != self._epoch:  # a fifth of a second for ten million rows
                self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(n)
            parts.append(self._order[at : at + last - first])
            first += len(parts[-1])
        return np.concatenate(parts)

    def __next__(self) -> Tensor:
        whole = self.data.batch(self._row(self.cursor * self.batch))  # as wide on every process
        self.cursor += 1
        mine = np.split(whole, self.share.world)[self.share.rank]
        return pad_to(torch.from_numpy(mine), self.width).to(self.device, non_blocking=True)
