"""Files <-> strings <-> ids: strict reading, atomic writing, tokenizers, flat arrays of ids, and splitting.

files: read and write. levels: how a line falls into tokens, and the training of a tokenizer. treebank: the rules of one
level. encoding: strings <-> ids, and a tokenizer's folder. splitting: parts that share no near-duplicates.
"""

from .encoding import Encoded, choose_max_len, decode, encode, load_tokenizer, save_tokenizer
from .files import Text, make_folder, one_line, read_lines, read_text, replacing, write_json, write_lines
from .levels import BOS, EOS, LEVELS, PAD, SPECIALS, UNK, Level, train_tokenizer
from .splitting import Split, SplitReport, near_duplicates, split

__all__ = [
    "BOS",
    "EOS",
    "LEVELS",
    "PAD",
    "SPECIALS",
    "UNK",
    "Encoded",
    "Level",
    "Split",
    "SplitReport",
    "Text",
    "choose_max_len",
    "decode",
    "encode",
    "load_tokenizer",
    "make_folder",
    "near_duplicates",
    "one_line",
    "read_lines",
    "read_text",
    "replacing",
    "save_tokenizer",
    "split",
    "train_tokenizer",
    "write_json",
    "write_lines",
]
