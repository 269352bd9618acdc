"""The pool: generated texts with their provenance, one JSON object a line.

A row says which text it is, which generator wrote it, from which run, seed and temperature, and what is known about it:
`{"id", "text", "source", "generator": {"name", "sha256"}, "run", "seed", "index", "temperature", "scores": {},
"flags": [], "selected": true, "weight": 1.0}`. A selection adds what it has reckoned to the scores, as far as a row
came: d (D's raw logit), d_calibrated (the probability that the text is real where half of all are), ratio (p_data /
p_G), longest_copy (words in a row that one training line has, too; at most 64) and nll_lm (nats a word under the
Kneser-Ney model of the filter "perplexity"). Rows are plain dictionaries, so later stages may add keys; every reader
here passes unknown keys on.
"""

import hashlib
import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from textgan.errors import InputError
from textgan.text import SPECIALS, UNK, write_lines

Row = dict[str, Any]
DUPLICATE, BLANK, UNKNOWN = "duplicate", "blank", "unknown word"


def row_id(text: str, source: str, seed: int | None, index: int) -> str:
    """The row's name: sha256 (hex) of text, source, seed and index, so that equal texts of one run keep apart."""
    key = json.dumps([text, source, seed, index], ensure_ascii=False)
    return hashlib.sha256(key.encode("utf-8")).hexdigest()


def pool_rows(
    texts: Iterable[str],
    *,
    source: str,
    generator: Mapping[str, str] | None = None,
    run: str | None = None,
    seed: int | None = None,
    temperature: float | None = None,
    first: int = 0,
) -> Iterator[Row]:
    """Rows for `texts`, in their order; index counts from `first`.

    `source` says what kind of text it is ("seqgan", "mle", "human"); `generator` holds the name and the sha256 of the
    weights. A text that came before in this call is flagged "duplicate" and stays selected, because what to do with
    duplicates is the selection's choice, and so is one with an <unk>, "unknown word". A blank text is flagged "blank"
    and not selected: it cannot be a training line. A newline inside a text is an InputError.
    """
    seen: set[bytes] = set()
    for index, text in enumerate(texts, start=first):
        if not isinstance(text, str):
            raise InputError(f"text {index} of the pool is a {type(text).__name__}, not a string; give one string each")
        if "\n" in text:
            raise InputError(f"text {index} of the pool holds a newline; give one sentence each, without newlines")
        try:
            name = row_id(text, source, seed, index)
        except UnicodeEncodeError as error:
            raise InputError(f"text {index} of the pool is not valid Unicode: {error.reason}; decode it anew") from None
        digest = _digest(text)
        seen_before, unknown = digest in seen, SPECIALS[UNK] in text
        told = ((DUPLICATE, seen_before), (BLANK, not text.strip()), (UNKNOWN, unknown))
        flags = [flag for flag, on in told if on]
        seen.add(digest)
        yield {
            "id": name,
            "text": text,
            "source": source,
            "generator": dict(generator or {}),
            "run": run,
            "seed": seed,
            "index": index,
            "temperature": temperature,
            "scores": {},
            "flags": flags,
            "selected": BLANK not in flags,
            "weight": 1.0,
        }


def write_pool(rows: Iterable[Row], path: str | Path) -> int:
    """Write rows as JSON lines, atomically (all or nothing); gives how many. "-" is standard output.

    Lines end in "\\n" only. Other line separators (U+2028, U+2029, U+0085) stay as they are inside the strings, so
    read the file with `read_rows`, or split it on "\\n", never with `str.splitlines`.
    """
    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        for row in rows:
            count += 1
            yield _dump(row, count)

    write_lines(path, lines())
    return count


def append_pool(rows: Iterable[Row], path: str | Path) -> int:
    """Add rows to a pool, atomically (the file is rewritten); gives how many were added.

    A row whose id is already there is left out, so adding twice is adding once; a text already there is flagged
    "duplicate". A pool that does not exist yet is made.
    """
    path = Path(path)
    ids: set[str] = set()
    seen: set[bytes] = set()
    count = 0

    def old() -> Iterator[Row]:
        for row in read_rows(path) if path.exists() else ():
            ids.add(row["id"])
            seen.add(_digest(row["text"]))
            yield row

    def new() -> Iterator[Row]:
        nonlocal count
        for row in rows:
            if row["id"] in ids:
                continue
            if _digest(row["text"]) in seen and DUPLICATE not in row["flags"]:
                row = {**row, "flags": [*row["flags"], DUPLICATE]}
            count += 1
            yield row

    write_pool(chain(old(), new()), path)
    return count


def read_rows(path: str | Path) -> Iterator[Row]:
    """Rows of a JSON-lines pool, one at a time, in the file's order; memory does not grow with the file.

    "text" must be there; a row made elsewhere may lack the other keys and gets their defaults (selected, weight 1, no
    flags, an id from its text and line). A line that is not such an object is an InputError naming file and line.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot read the pool: {error.strerror}; give a JSON-lines file") from None
    with file:
        for number, raw in enumerate(file, start=1):  # a binary file splits on b"\n" only
            if raw.strip():
                yield parse_row(raw.removeprefix(BOM_UTF8) if number == 1 else raw, f"{path}:{number}", number - 1)


def parse_row(raw: str | bytes, where: str, index: int) -> Row:
    """A row from its line, with defaults for what it lacks; `where` (file:line) names it in errors."""
    wanted = 'wanted one JSON object a line with a "text" string'
    try:
        row = json.loads(raw, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}:{error.start + 1}: not UTF-8; {wanted}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not JSON; {wanted}") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InputError(f"{where}: no text; {wanted}")
    return sound_row(row, where, index)


def sound_row(row: Row, where: str, index: int) -> Row:
    """A row that has a "text", with defaults for what it lacks. Errors: InputError for values of another kind."""
    if lone := re.search("[\ud800-\udfff]", row["text"]):
        raise InputError(f"{where}: a half of a character (U+{ord(lone[0]):X}) stands in the text; mend the row")
    assumed = {"source": "unknown", "index": index, "flags": [], "selected": True, "weight": 1.0}
    said = {key: value for key, value in row.items() if value is not None or key not in (*assumed, "id")}
    row = {"seed": None, **assumed, **said}
    if row.get("scores", {}) is None:
        row["scores"] = {}
    for key, (sound, wanted) in KINDS.items():
        if not sound(row.get(key)):
            raise InputError(f'{where}: "{key}" must be {wanted}; mend the row')
    if "id" not in row:
        row["id"] = row_id(row["text"], row["source"], row["seed"], row["index"])
    return row


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, dict)


KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "selected": (lambda value: isinstance(value, bool), "true or false"), "flags": (_is_strings, "a list of strings"),
    "scores": (_is_object, "an object"), "generator": (_is_object, "an object"),
}  # fmt: skip


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _dump(row: Row, number: int) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise InputError(
            f"row {number} of the pool holds what JSON cannot (NaN, infinity, an object); mend it"
        ) from None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
