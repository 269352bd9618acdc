"""Levels of tokens: how a line falls into tokens, how tokens become a line again, and the training of a tokenizer.

Everything is expressed in parts of Hugging Face `tokenizers`, so a tokenizer.json is the whole of a tokenizer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from textgan.errors import InputError

from . import treebank

if TYPE_CHECKING:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
BYTES = 256
BPE_SIZE = 8192  # where no size is asked for


class Pipeline(NamedTuple):
    """What surrounds the vocabulary: line -> normalizer -> pre-tokenizer -> tokens, and tokens -> decoder -> line."""

    normalizer: normalizers.Normalizer | None
    pre_tokenizer: pre_tokenizers.PreTokenizer
    decoder: decoders.Decoder

    def tokens(self, line: str) -> list[str]:
        """The line's tokens before a vocabulary limits them."""
        if self.normalizer is not None:
            line = self.normalizer.normalize_str(line)
        return [token for token, _ in self.pre_tokenizer.pre_tokenize_str(line)]


class Level(NamedTuple):
    """One way to cut text.

    about: for whom it is, in a few words.
    pipeline: makes the parts around the vocabulary.
    learn: (pipeline, lines, vocab_size, min_count) -> the vocabulary, as a model of `tokenizers`.
    """

    about: str
    pipeline: Callable[[], Pipeline]
    learn: Callable[[Pipeline, Iterable[str], int | None, int], models.Model]


def train_tokenizer(
    lines: Iterable[str], *, level: str = "words", vocab_size: int | None = None, min_count: int = 1
) -> Tokenizer:
    """A tokenizer for `lines`; the same lines give the same bytes of tokenizer.json.

    level: a key of LEVELS.
    vocab_size: keep at most so many tokens, the four special ones included: the most frequent, ties by spelling; None
        keeps all ("bpe": 8,192). The others are <unk>, which "bpe" never needs.
    min_count: keep tokens seen at least so often ("bpe": merges, at least twice).

    Ids 0..3 are <pad>, <bos>, <eos>, <unk>. The word <unk> typed in the text is id 3 and counts as unknown; <pad>,
    <bos> and <eos> typed in the text are unknown words, never marks ("characters" and "bpe" spell them out, and "bpe"
    <unk> as well).
    Raises InputError for an unknown level, a vocabulary too small, and lines without a token to keep.
    """
    if level not in LEVELS:
        raise InputError(f"level {level!r} is unknown; choose {', '.join(LEVELS)}")
    if isinstance(lines, str):
        raise InputError("a list of lines was wanted, got one string")
    if min_count < 1:
        raise InputError(f"min_count {min_count} must be at least 1")
    from tokenizers import Tokenizer, processors

    pipeline = LEVELS[level].pipeline()
    tokenizer = Tokenizer(LEVELS[level].learn(pipeline, lines, vocab_size, min_count))
    tokenizer.pre_tokenizer, tokenizer.decoder = pipeline.pre_tokenizer, pipeline.decoder
    if pipeline.normalizer is not None:
        tokenizer.normalizer = pipeline.normalizer
    # With <bos>, transformers' AutoTokenizer(prompt) starts as our generators do. <unk> is a word of the text, not a
    # mark: as a special token it would vanish from decoded text.
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    tokenizer.add_special_tokens(list(SPECIALS[:UNK]))
    return spell_out(tokenizer)


def spell_out(tokenizer: Tokenizer) -> Tokenizer:
    """Makes the tokenizer read marks that are typed in a text as text. (A tokenizer.json cannot say so.)"""
    tokenizer.encode_special_tokens = True
    return tokenizer


def _count(pipeline: Pipeline, lines: Iterable[str], vocab_size: int | None, min_count: int) -> models.Model:
    """A vocabulary of whole tokens, by frequency and then by spelling."""
    from tokenizers import models

    if vocab_size is not None and vocab_size <= len(SPECIALS):
        raise InputError(f"vocab_size {vocab_size} must be at least {len(SPECIALS) + 1}: 4 marks and one token")
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(pipeline.tokens(line))
    for mark in SPECIALS:
        del counts[mark]
    kept = sorted((token for token in counts if counts[token] >= min_count), key=lambda token: (-counts[token], token))
    if not kept:
        most = max(counts.values(), default=0)
        raise InputError(f"no token is left with min_count {min_count}: the most frequent is seen {most} times")
    if vocab_size is not None:
        kept = kept[: vocab_size - len(SPECIALS)]
    vocabulary = {token: index for index, token in enumerate((*SPECIALS, *kept))}
    return models.WordLevel(vocabulary, unk_token=SPECIALS[UNK])


def _merge(pipeline: Pipeline, lines: Iterable[str], vocab_size: int | None, min_count: int) -> models.Model:
    """Byte-pair merges over all 256 bytes. Sennrich et al. 2016; bytes as in GPT-2, Radford et al. 2019."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    size = BPE_SIZE if vocab_size is None else vocab_size
    if size < len(SPECIALS) + BYTES:
        raise InputError(f"vocab_size {size} must be at least {len(SPECIALS) + BYTES} for bpe: 4 marks and 256 bytes")
    draft = Tokenizer(models.BPE())
    draft.pre_tokenizer = pipeline.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=max(2, min_count),
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    draft.train_from_iterator(lines, trainer)
    # The draft holds all four marks as special tokens for good, so its vocabulary moves to a fresh model.
    learned: dict[str, Any] = json.loads(draft.to_str())["model"]
    return models.BPE(vocab=learned["vocab"], merges=[tuple(pair) for pair in learned["merges"]])


def _words() -> Pipeline:
    from tokenizers import decoders, pre_tokenizers

    # A vocabulary of words has no decoder of its own. WordPiece's joins by one space all tokens that do not start with
    # the prefix, and no word starts with a space.
    return Pipeline(None, pre_tokenizers.WhitespaceSplit(), decoders.WordPiece(prefix=" ", cleanup=False))


def _treebank() -> Pipeline:
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    return Pipeline(
        normalizers.Sequence(
            [normalizers.Replace(Regex(treebank.OPENING), " `` "), normalizers.Replace('"', " '' ")],
        ),
        pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(treebank.TOKEN), "isolated"), pre_tokenizers.WhitespaceSplit()]
        ),
        decoders.Sequence(
            [
                decoders.WordPiece(prefix=" ", cleanup=False),
                decoders.Fuse(),
                decoders.Replace(Regex(treebank.OPEN_QUOTE), '"'),
                decoders.Replace(Regex(treebank.CLOSE_QUOTE), '"'),
                decoders.Replace(Regex(treebank.SPACE_TO_DROP), ""),
            ]
        ),
    )


def _characters() -> Pipeline:
    from tokenizers import Regex, decoders, pre_tokenizers

    return Pipeline(None, pre_tokenizers.Split(Regex(r"<unk>|[\s\S]"), "isolated"), decoders.Fuse())


def _bytes() -> Pipeline:
    from tokenizers import decoders, pre_tokenizers

    return Pipeline(None, pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel())


LEVELS: dict[str, Level] = {
    "words": Level("words between spaces, for text that is split already", _words, _count),
    "treebank": Level("English words and punctuation of raw text, joined again when decoded", _treebank, _count),
    "characters": Level("code points, spaces included, for any language", _characters, _count),
    "bpe": Level("byte-level pieces, for any language; nothing is unknown", _bytes, _merge),
}
