"""Lines become ids and come back as they were; the same lines always make the same tokenizer."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgan.errors import InputError
from textgan.text import (
    BOS,
    EOS,
    LEVELS,
    PAD,
    SPECIALS,
    UNK,
    choose_max_len,
    decode,
    encode,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)

CAPTIONS = ["a dog runs .", "a cat sits on a mat .", "two dogs run in the park .", "a dog sits ."]
POEMS = ["白日依山尽，黄河入海流。", "欲 穷 千 里 目 ， 更 上 一 层 楼 。"]  # Wang Zhihuan, 8th century
MANY = [*CAPTIONS, *POEMS, "naïve cafe\u0301 \U0001f469\u200d\U0001f680 שלום สวัสดี", "a\tb  c", "a\u2028b\u0085c\u3000d"]
# What may stand in a line: all of Unicode but control characters and surrogates; separators more often than by chance.
characters = st.one_of(st.characters(exclude_categories=["Cc", "Cs"]), st.sampled_from("\t\u0085\u2028\u2029 a。"))
sentences = st.text(characters, min_size=1, max_size=30).filter(str.strip)
plain = sentences.filter(lambda line: not any(mark in line for mark in SPECIALS))
corpora = st.lists(plain, min_size=1, max_size=6)


@pytest.mark.parametrize("level", LEVELS)
@given(lines=corpora)
def test_text_of_any_language_comes_back_from_its_ids(level: str, lines: list[str]) -> None:
    tokenizer = train_tokenizer(lines, level=level)
    encoded = encode(tokenizer, lines)
    back = decode(tokenizer, encoded.batch(range(len(lines))))
    assert encoded.unk_rate == encoded.truncated == 0
    if level == "treebank":  # which spaces were there is guessed, the characters are kept; a quote has one form
        bare = str.maketrans({"`": '"', "'": '"'})
        assert [_letters(line.translate(bare)) for line in back] == [_letters(line.translate(bare)) for line in lines]
    else:
        assert back == ([" ".join(line.split()) for line in lines] if level == "words" else lines)


def _letters(line: str) -> str:
    return "".join(line.split()).replace('""', '"')


@pytest.mark.parametrize("level", LEVELS)
def test_transformers_reads_a_saved_tokenizer_and_decodes_it_the_same(tmp_path: Path, level: str) -> None:
    from transformers import AutoTokenizer

    lines = [*MANY, "the dog's \"big\" ball ( red ) can't roll .", "say <unk> twice"]
    tokenizer = train_tokenizer(lines, level=level)
    save_tokenizer(tokenizer, tmp_path / "generator")
    batch = encode(tokenizer, lines).batch(range(len(lines)))
    theirs = AutoTokenizer.from_pretrained(tmp_path / "generator")
    assert theirs.batch_decode(batch, skip_special_tokens=True) == decode(tokenizer, batch)
    assert (theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id) == (PAD, BOS, EOS)
    prompt = theirs("a dog", return_tensors="np")
    assert prompt["input_ids"][0].tolist() == [BOS, *encode(tokenizer, ["a dog"]).ids[:-1]]
    assert sorted(prompt) == ["attention_mask", "input_ids"]
    ours = load_tokenizer(tmp_path / "generator")
    assert (encode(ours, [*lines, "<eos> x"]).ids == encode(tokenizer, [*lines, "<eos> x"]).ids).all()


def test_the_same_lines_give_the_same_bytes_in_every_process() -> None:
    script = (
        "import hashlib, sys; from textgan.text import LEVELS, train_tokenizer\n"
        "lines = [f'a{i % 17} b{i % 13}, c{i % 7} d{i}.' for i in range(300)]\n"
        "for level in LEVELS:\n"
        "    size = 400 if level == 'bpe' else 20\n"
        "    print(hashlib.sha256(train_tokenizer(lines, level=level, vocab_size=size).to_str().encode()).hexdigest())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    ]
    assert printed[0] == printed[1] and len(printed[0].split()) == 4


TREEBANK = {  # raw text: its Treebank words
    "A dog, a cat and a bird.": "A dog , a cat and a bird .",
    "He said, \"It's a dog's life.\"": "He said , `` It 's a dog 's life . ''",
    '"Stop!" she cried; "I can\'t, I won\'t."': "`` Stop ! '' she cried ; `` I ca n't , I wo n't . ''",
    "The cats' bowls cost $3,500.75 (about 50%).": "The cats ' bowls cost $ 3,500.75 ( about 50 % ) .",
    "Wait... a well-known man at 10:30, isn't he?": "Wait ... a well-known man at 10:30 , is n't he ?",
    "They've gotta go; I'd say we'll cannot stay!": "They 've got ta go ; I 'd say we 'll can not stay !",
    "'Tis gonna rain -- gimme a #1 [or two] & more'n that": "'T is gon na rain -- gim me a # 1 [ or two ] & more 'n that",  # noqa: E501
    'a sign that reads "no parking"': "a sign that reads `` no parking ''",
    'the Mr. said "see (this \'thing\')".': "the Mr. said `` see ( this 'thing ' ) '' .",
}  # fmt: skip


@pytest.mark.parametrize("raw", TREEBANK)
def test_treebank_words_are_those_of_nltk_and_join_again(raw: str) -> None:
    from nltk.tokenize import TreebankWordTokenizer

    pipeline = LEVELS["treebank"].pipeline()
    words = pipeline.tokens(raw)
    assert " ".join(words) == TREEBANK[raw]
    assert words == TreebankWordTokenizer().tokenize(raw)
    assert pipeline.decoder.decode(words) == raw


def test_the_vocabulary_keeps_the_most_frequent_and_ties_go_by_spelling() -> None:
    lines = ["b a c", "b a d", "b e"]
    assert _vocabulary(train_tokenizer(lines)) == ["<pad>", "<bos>", "<eos>", "<unk>", "b", "a", "c", "d", "e"]
    assert _vocabulary(train_tokenizer(lines, vocab_size=7))[4:] == ["b", "a", "c"]
    assert _vocabulary(train_tokenizer(lines, min_count=2))[4:] == ["b", "a"]
    small = train_tokenizer(lines, vocab_size=5)
    encoded = encode(small, lines)
    assert encoded.ids.tolist() == [4, UNK, UNK, EOS, 4, UNK, UNK, EOS, 4, UNK, EOS]
    assert encoded.unk_rate == 5 / 8
    assert decode(small, encoded.batch([2, 0])) == ["b <unk>", "b <unk> <unk>"]


def _vocabulary(tokenizer: object) -> list[str]:
    words: dict[str, int] = tokenizer.get_vocab()  # type: ignore[attr-defined]
    return sorted(words, key=lambda word: words[word])


def test_marks_typed_in_the_text_are_text() -> None:
    lines = ["a <unk> b<eos>c <eos> <pad> <bos>"]
    words = encode(train_tokenizer(lines), lines)
    assert words.ids.tolist() == [4, UNK, 5, UNK, UNK, UNK, EOS] and words.unk_rate == 4 / 6
    treebank = train_tokenizer(["a <unk> dog <b>."], level="treebank")
    assert decode(treebank, encode(treebank, ["a <unk> dog <b>."]).batch([0])) == ["a <unk> dog < b >."]
    assert encode(treebank, ["a <unk>"]).ids.tolist()[1:] == [UNK, EOS]
    for level in ("characters", "bpe"):
        tokenizer = train_tokenizer(lines, level=level)
        encoded = encode(tokenizer, lines)
        assert np.flatnonzero(encoded.ids < UNK).tolist() == [len(encoded.ids) - 1]  # the EOS at the end alone
        assert (encoded.unk_rate > 0) == (level == "characters")
        assert decode(tokenizer, encoded.batch([0])) == lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "word"}, "level 'word' is unknown; choose words, treebank, characters, bpe"),
        ({"vocab_size": 4}, "vocab_size 4 must be at least 5: 4 marks and one token"),
        ({"vocab_size": 99, "level": "bpe"}, "vocab_size 99 must be at least 260 for bpe: 4 marks and 256 bytes"),
        ({"min_count": 0}, "min_count 0 must be at least 1"),
        ({"min_count": 9}, "no token is left with min_count 9: the most frequent is seen 4 times"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        train_tokenizer(CAPTIONS, **arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_damaged_or_foreign_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tokenizer.json: cannot be read"):
        load_tokenizer(tmp_path)
    save_tokenizer(train_tokenizer(CAPTIONS), tmp_path)
    file = tmp_path / "tokenizer.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="tokenizer.json: not a tokenizer"):
        load_tokenizer(tmp_path)
    file.write_text(whole.replace("<unk>", "[UNK]"))
    with pytest.raises(InputError, match="ids 0, 1, 2, 3 must be <pad>, <bos>, <eos>, <unk>, got"):
        load_tokenizer(tmp_path)


def test_a_batch_is_the_rows_padded_to_the_longest() -> None:
    encoded = encode(train_tokenizer(["a b c"]), ["a", "a b c", "", "b b"])
    assert len(encoded) == 4
    assert encoded.lengths.tolist() == [2, 4, 1, 3]  # a line without tokens is EOS alone
    assert encoded.batch([2, 3, 0]).tolist() == [[EOS, PAD, PAD], [5, 5, EOS], [4, EOS, PAD]]
    assert encoded.batch([]).shape == (0, 0)
    assert (encoded.ids.dtype, encoded.batch([1]).dtype) == (np.int32, np.int64)
    for rows in ([4], [-1], [0, 9]):
        with pytest.raises(IndexError, match="not within 0..3"):
            encoded.batch(rows)


@given(lines=corpora, max_len=st.integers(1, 8))
def test_cut_sentences_are_the_beginnings_of_whole_ones(lines: list[str], max_len: int) -> None:
    tokenizer = train_tokenizer(lines, level="characters")
    whole, cut = encode(tokenizer, lines), encode(tokenizer, lines, max_len=max_len)
    for (start, end), (first, last) in zip(pairwise(whole.offsets), pairwise(cut.offsets), strict=True):
        assert cut.ids[first:last].tolist() == whole.ids[start:end][:max_len].tolist()
    assert cut.truncated == np.mean(whole.lengths > max_len)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = train_tokenizer(CAPTIONS)
    whole = encode(tokenizer, CAPTIONS, max_len=5)
    text = decode(tokenizer, whole.batch(range(4)))
    monkeypatch.setattr("textgan.text.encoding.CHUNK", 3)
    parts = encode(tokenizer, CAPTIONS, max_len=5)
    assert parts.ids.tolist() == whole.ids.tolist() and parts.offsets.tolist() == whole.offsets.tolist()
    assert decode(tokenizer, parts.batch(range(4))) == text


def test_the_maximum_length_is_a_quantile_of_the_data() -> None:
    lines = ["a"] * 90 + ["a a a"] * 9 + ["a " * 50]  # 2, 4 and 51 tokens with EOS
    whole = encode(train_tokenizer(lines), lines)
    for share, length in {0.5: 2, 0.9: 2, 0.91: 4, 0.99: 4, 0.995: 51}.items():
        assert choose_max_len(whole.lengths, share=share) == length
    assert choose_max_len(whole.lengths, cap=20) == 20
    assert whole.cut(20).truncated == 0.01
    with pytest.raises(InputError, match="a share in"):
        choose_max_len(whole.lengths[:0])


def test_no_lines_and_a_vocabulary_of_one_are_defined() -> None:
    tokenizer = train_tokenizer(["a"])
    assert tokenizer.get_vocab_size() == 5
    nothing = encode(tokenizer, [])
    assert (len(nothing), nothing.truncated, nothing.unk_rate, nothing.batch([]).shape) == (0, 0.0, 0.0, (0, 0))
    assert encode(tokenizer, ["\x00"]).ids.tolist() == [UNK, EOS]
    with pytest.raises(InputError, match="max_len 0 must be at least 1"):
        encode(tokenizer, ["a"], max_len=0)
    with pytest.raises(InputError, match="lines:2: a string without lone surrogates was wanted"):
        encode(tokenizer, ["a", "\ud800"])


def test_decoding_stops_at_the_first_end_and_gives_single_lines() -> None:
    tokenizer = train_tokenizer(["a b"])
    assert decode(tokenizer, [[BOS, 4, PAD, 5, EOS, 4], [EOS, 4, 4, 4, 4, 4]]) == ["a b", ""]
    assert decode(tokenizer, np.empty((2, 0), dtype=np.int64)) == ["", ""]
    assert decode(tokenizer, []) == []
    pieces = train_tokenizer(["a"], level="bpe")
    byte = {token: pieces.token_to_id(token) for token in "aĊčĀÿ"}  # GPT-2's letters for a, \n, \r, NUL and 0xff
    assert decode(pieces, [list(byte.values())]) == ["a   \ufffd"]
    for bad in ([[9]], [[-1]], [[0.5]], [1, 2], [[1], [1, 2]]):
        with pytest.raises(InputError, match="ids|whole numbers"):
            decode(tokenizer, bad)
