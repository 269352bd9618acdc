"""Files <-> strings <-> ids: strict reading, atomic writing, tokenizers, flat arrays of ids, and splitting.

files: read and write. rows: what a pool gives as text. spooling: lines that need not fit into memory. forms:
label<TAB>text is no text alone. levels: how a line falls into tokens, and the training of a tokenizer. treebank: the
rules of one level. encoding: strings <-> ids, and a tokenizer's folder. splitting: parts that share no near-
duplicates.
"""

from .encoding import Encoded, choose_max_len, decode, encode, load_tokenizer, map_encoded, save_tokenizer
from .files import Text, make_folder, one_line, read_lines, read_text, replacing, write_json, write_lines
from .forms import same_form
from .levels import BOS, EOS, LEVELS, PAD, SPECIALS, UNK, Level, train_tokenizer
from .splitting import Split, SplitReport, first_of_near_duplicates, folded, near_copies, near_duplicates, split
from .spooling import Spooled, digests, ranked, spool

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
    "Spooled",
    "Text",
    "choose_max_len",
    "decode",
    "digests",
    "encode",
    "first_of_near_duplicates",
    "folded",
    "load_tokenizer",
    "make_folder",
    "map_encoded",
    "near_copies",
    "near_duplicates",
    "one_line",
    "ranked",
    "read_lines",
    "read_text",
    "replacing",
    "same_form",
    "save_tokenizer",
    "split",
    "spool",
    "train_tokenizer",
    "write_json",
    "write_lines",
]
