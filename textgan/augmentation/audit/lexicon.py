"""Groups of words: who a line speaks of, and the line with one group put in another's place."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from textgan.errors import InputError

DEFAULT = Path(__file__).with_name("gender.yaml")
SHAPE = "groups: {name: [word, ...], ...} and, if wanted, swaps: [[word, word], ...]"
MOST_GROUPS = 16
# Scripts without spaces: their words stand beside others, so no boundary can be asked.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and accents belong to the word that they stand in, and \w knows none of them.
MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
LETTER = rf"[\w{MARKS}]"
WORD = re.compile(f"{LETTER}+")


@dataclass(frozen=True)
class Lexicon:
    """Groups and their words, and which word stands for which in a counterfactual.

    A word is met whole (no letter, digit or underscore beside it; ideographs and kana need no such gap) in any case; a
    blank in it meets any white space. swaps: pairs, meant both ways. A word with two partners is ambiguous ("her" is
    "his" or "him"), and a line that holds it is not swapped. Errors: no group, one without words, a word of two groups.
    """

    groups: Mapping[str, Sequence[str]]
    swaps: Sequence[tuple[str, str]] = ()
    name: str = field(default="lexicon", compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.groups) <= MOST_GROUPS:
            raise InputError(f"{self.name}: 1 to {MOST_GROUPS} groups were wanted, got {len(self.groups)}")
        for group, words in self.groups.items():
            if not words:
                raise InputError(f"{self.name}: group {group!r} is empty; give it at least one word")
            if bad := [word for word in words if not word.strip()]:
                raise InputError(f"{self.name}: group {group!r} has the blank word {bad[0]!r}; remove it")
        counts = Counter(word for words in self.groups.values() for word in {_folded(word) for word in words})
        if twice := next((word for word, count in counts.items() if count > 1), None):
            raise InputError(f"{self.name}: {twice!r} stands in two groups; leave it in one")

    @cached_property
    def matchers(self) -> list[tuple[frozenset[str], re.Pattern[str] | None]]:
        """For each group its plain words, and a pattern of the others (phrases, ideographs, words with signs)."""
        found = []
        for words in self.groups.values():
            folded = {_folded(word) for word in words}
            plain = frozenset(word for word in folded if re.fullmatch(rf"(?:(?![{UNSPACED}]){LETTER})+", word))
            others = [word for word in words if _folded(word) not in plain]
            found.append((plain, _pattern(others) if others else None))
        return found

    @cached_property
    def _any(self) -> re.Pattern[str]:
        swapped = (word for pair in self.swaps for word in pair)
        return _pattern([*(word for words in self.groups.values() for word in words), *swapped])

    @cached_property
    def partners(self) -> dict[str, str | None]:
        """The word that each word is swapped for; None where there are several."""
        found: dict[str, set[str]] = {}
        for one, other in self.swaps:
            found.setdefault(_folded(one), set()).add(_folded(other))
            found.setdefault(_folded(other), set()).add(_folded(one))
        return {word: next(iter(others)) if len(others) == 1 else None for word, others in found.items()}

    def swap(self, line: str) -> str | None:
        """The line with each word of a group replaced by its partner, its case kept.

        None where the line has no such word, or one without a single partner.
        """
        found = [_folded(match[0]) for match in self._any.finditer(line)]
        if not found or any(self.partners.get(word) is None for word in found):
            return None
        return self._any.sub(lambda match: _cased(str(self.partners[_folded(match[0])]), match[0]), line)


def load_lexicon(path: str | Path | None = None) -> Lexicon:
    """A lexicon from a YAML file, or the one that comes with the package (women and men, English).

    The file: `groups: {name: [word, ...], ...}` and, if wanted, `swaps: [[word, word], ...]`.
    """
    import yaml

    path = DEFAULT if path is None else Path(path)
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a YAML file with {SHAPE}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8; give a YAML file with {SHAPE}") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{where}: is not YAML; give {SHAPE}") from None
    if not isinstance(read, dict) or set(read) - {"groups", "swaps"} or not isinstance(read.get("groups"), dict):
        raise InputError(f"{path}: {SHAPE} was wanted")
    groups = {str(name): _words(words, f"{path}: group {name!r}") for name, words in read["groups"].items()}
    pairs = read.get("swaps") or []
    if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise InputError(f"{path}: swaps must be pairs of words such as [[she, he], [woman, man]]")
    swaps = [_words(pair, f"{path}: swap {pair}") for pair in pairs]
    return Lexicon(groups, [(one, other) for one, other in swaps], path.name)


def mentions(texts: Sequence[str], lexicon: Lexicon) -> np.ndarray:
    """(n, G) bool: which lines hold a word of which group."""
    matchers = lexicon.matchers
    found = np.zeros((len(texts), len(matchers)), dtype=bool)
    for row, line in enumerate(texts):
        folded = line.casefold()
        words = WORD.findall(folded)  # a set of words is a hundred times as fast as a pattern of them
        for group, (plain, others) in enumerate(matchers):
            phrase = others and (others.search(line) or others.search(folded))
            found[row, group] = not plain.isdisjoint(words) or bool(phrase)
    return found


def _words(words: Any, what: str) -> list[str]:
    """A list of strings; YAML reads a bare no, on, 1 as something else."""
    if not isinstance(words, list | type(None)):
        raise InputError(f"{what}: a list of words was wanted, got {type(words).__name__}")
    for word in words or ():
        if not isinstance(word, str):
            raise InputError(f"{what}: YAML reads {word!r} as a {type(word).__name__}; put the word in quotes")
    return list(words or ())


def _folded(word: str) -> str:
    return " ".join(word.casefold().split())


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Any of the words, whole, as written or folded; the longest first, so that a phrase goes before its first word."""
    parts = []
    spelt = {form for word in words for form in (" ".join(word.split()), _folded(word))}
    for word in sorted(spelt, key=lambda word: (-len(word), word)):
        parts.append(r"\s+".join(map(re.escape, word.split(" "))))
    before, after = f"(?:(?<!{LETTER})|(?=[{UNSPACED}]))", f"(?:(?!{LETTER})|(?<=[{UNSPACED}]))"
    return re.compile(f"{before}(?:{'|'.join(parts)}){after}", re.IGNORECASE)


def _cased(word: str, model: str) -> str:
    """A word in the case of another: MAN, Man or man."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
