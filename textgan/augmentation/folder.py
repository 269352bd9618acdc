"""A pool as a folder: shards of rows, a data card, where it all came from, and a MANIFEST to check it by.

POOL/rows-00000.jsonl ... (or .parquet)  README.md  provenance.json  MANIFEST.json
     rejected-00000.jsonl ...            the rows that a selection has not taken, with its reasons
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from textgan.augmentation.pool import Row, read_rows, sound_row, write_pool
from textgan.errors import InputError
from textgan.manifest import MANIFEST, problems, read_manifest, write_manifest
from textgan.text import one_line, replacing, write_json, write_lines
from textgan.text.rows import REJECTED, ROWS, arrow, shards_of

PROVENANCE, CARD = "provenance.json", "README.md"
SHARD = 1 << 16  # rows
# Columns of a parquet pool's scores, which are what a selection writes (pool.py says what they are). The design's
# nearest_train_jaccard is not among them: no filter looks for the nearest training line, and to look costs n x train.
SCORES = ("d", "d_calibrated", "ratio", "nll_lm", "longest_copy")
COLUMNS = ("id", "text", "source", "generator", "run", "seed", "index", "temperature", "scores", "flags", "selected",
           "weight", "reason")  # fmt: skip
NONE = ("run", "seed", "temperature")  # keys of a row that may have no value


class Form(NamedTuple):
    """A file format of shards: how one is written whole, and read row by row."""

    write: Callable[[Iterable[Row], Path], int]
    read: Callable[[Path], Iterator[Row]]


def shard_name(number: int, form: str, word: str = ROWS) -> str:
    """The file of a shard."""
    return f"{word}-{number:05d}.{form}"


def has_rows(pool: Any) -> TypeGuard[str | Path]:
    """Whether a pool is named by its folder or its parquet file, of which `text.read_text` reads the texts alone."""
    return isinstance(pool, str | Path) and (Path(pool).is_dir() or str(pool).endswith(".parquet"))


def verify_pool(folder: str | Path) -> list[str]:
    """What is wrong with a pool folder, a line a file: damaged, missing, or in it without being listed; [] for nothing.

    Errors: InputError where there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; give a pool that `textgan generate` or `textgan select` has written")
    found = list(problems(folder))
    if not found or not found[0].startswith(MANIFEST):
        listed = {MANIFEST, *read_manifest(folder)}
        extra = sorted(path.name for path in folder.iterdir() if path.name not in listed)
        found += [f"{one_line(name)}: is not in the MANIFEST" for name in extra]
        if not any(name.startswith(f"{ROWS}-") for name in listed):
            found.append(f"{MANIFEST}: lists no shard; this is no pool")
    return found


def read_folder(folder: str | Path) -> Iterator[Row]:
    """All rows of a pool folder, one at a time, the chosen ones first, after a check against its MANIFEST.

    Errors: InputError for a folder that was changed or is not finished.
    """
    files = shards_of(Path(folder))
    return chain.from_iterable(FORMS[path.suffix[1:]].read(path) for path in files)


def read_pool(pool: str | Path) -> Iterator[Row]:
    """Rows of a pool, whatever holds it: a folder, a parquet file or JSON lines."""
    if Path(pool).is_dir():
        return read_folder(pool)
    return FORMS["parquet" if str(pool).endswith(".parquet") else "jsonl"].read(Path(pool))


def write_shards(
    rows: Iterable[Row], folder: Path, form: str, word: Callable[[Row], str] = lambda row: ROWS
) -> int:  # fmt: skip
    """Write rows as the shards of a folder, in one pass; gives how many. word: ROWS or REJECTED for a row, each with
    shards of its own, none where there are no rows."""
    waiting, made, total = defaultdict[str, list[Row]](list), Counter[str](), 0

    def flush(kind: str) -> int:
        if made[kind] == 10**5:
            raise InputError(f"{folder}: more than {SHARD * 10**5:,} rows")
        path = folder / shard_name(made[kind], form, kind)
        made[kind] += 1
        return FORMS[form].write(waiting.pop(kind), path)

    for row in rows:
        kind = word(row)
        waiting[kind].append(row)
        if len(waiting[kind]) == SHARD:
            total += flush(kind)
    return total + sum(flush(kind) for kind in list(waiting))


def seal_pool(folder: Path, provenance: Mapping[str, Any], card: Sequence[str]) -> None:
    """Add provenance and data card to the shards, and the MANIFEST last: with it the pool is whole."""
    write_json(folder / PROVENANCE, provenance)
    write_lines(folder / CARD, card)
    write_manifest(folder)


def data_card(
    title: str, *, about: Sequence[str], rows: int, form: str, licence: str | None, funnel: Sequence[tuple[str, int]],
    rejected: int = 0,
) -> list[str]:  # fmt: skip
    """README.md as lines: a YAML head by which `datasets.load_dataset` finds the rows, and what a reader must know.

    rejected: rows that stand aside in shards of their own.
    """
    import yaml

    head: dict[str, Any] = {"pretty_name": one_line(title), "tags": ["synthetic", "text-generation", "textgan"]}
    head |= {"license": licence} if licence else {}
    parts = {"default": ROWS, "rejected": REJECTED} if rejected else {"default": ROWS}
    head["configs"] = [{"config_name": name, "data_files": f"{word}-*.{form}"} for name, word in parts.items()]
    written = yaml.safe_dump(head, allow_unicode=True, sort_keys=False).rstrip().split("\n")
    table = ["| stage | texts |", "|---|---:|", *(f"| {_cell(name)} | {count:,} |" for name, count in funnel)]
    return [
        "---", *written, "---", "", f"# {_cell(title)}", "",
        f"{rows:,} texts written by a model, not by people, one row each with where it came from. Nobody has read",
        "them: they are untrusted text, and may repeat or resemble what the model was trained on.", "",
        *(f"- {_cell(line)}" for line in about), "", *table, "",
        f"`load_dataset(...)` gives the texts that were chosen; the other {rejected:,}, each with the `reason`, "
        'are its configuration "rejected".' if rejected else
        'Blank texts are here too: train on `load_dataset(...)["train"].filter(lambda row: row["selected"])`.',
        f"`weight` says how much a row counts. `{PROVENANCE}` holds the inputs by sha256, the settings and the",
        f"versions. `textgan verify` checks the files against `{MANIFEST}`.",
    ]  # fmt: skip


def origin(folder: str | Path) -> dict[str, Any]:
    """What the provenance of a pool's folder says of where it is from: "source" (`pools.source_of`) and "licence", as
    far as they are known; {} for what is no such folder."""
    try:
        plan = json.loads((Path(folder) / PROVENANCE).read_text(encoding="utf-8"))["plan"]
        return {key: plan[key] for key, kind in (("source", dict), ("licence", str)) if isinstance(plan.get(key), kind)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def writer_lines(source: Mapping[str, Any], licence: str | None) -> list[str]:
    """For the data card: who wrote a pool, from which text it learnt, and that text's licence, a line each."""
    said = []
    if {"run", "recipe", "sha256"} <= source.keys():
        said.append(f"written by run {source['run']} ({source['recipe']}), weights sha256 {source['sha256']}")
    if isinstance(corpus := source.get("corpus"), Mapping):
        known = f", sha256 {corpus['sha256']}" if "sha256" in corpus else ""
        said.append(f"trained on {corpus.get('name', 'a text without a name')}{known}")
    return [*said, f"licence of the training text: {licence or 'not stated'}"]


def _cell(text: str) -> str:
    """Text that stays text inside Markdown."""
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in one_line(text))


def _write_parquet(rows: Iterable[Row], path: Path) -> int:
    """A shard with a fixed schema; keys that it has no column for stand in `more`, as JSON."""
    pa, parquet = arrow()
    text, real = pa.string(), pa.float64()
    kinds = {
        "generator": pa.struct([("name", text), ("sha256", text)]), "seed": pa.int64(), "index": pa.int64(),
        "temperature": real, "scores": pa.struct([(name, real) for name in SCORES]), "flags": pa.list_(text),
        "selected": pa.bool_(), "weight": real,
    }  # fmt: skip
    schema = pa.schema([(name, kinds.get(name, text)) for name in (*COLUMNS, "more")])
    flat = [_flattened(row) for row in rows]
    try:
        table = pa.Table.from_pylist(flat, schema=schema)
    except (pa.ArrowException, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(f"{path.name}: a row does not fit a parquet pool ({said}); write jsonl") from None
    with replacing(path) as stream:
        parquet.write_table(table, stream)
    return len(flat)


def _flattened(row: Row) -> Row:
    """The row by COLUMNS, and the rest of it as JSON in "more" (None for nothing)."""
    scores, generator = row.get("scores") or {}, row.get("generator") or {}
    rest: dict[str, Any] = {key: value for key, value in row.items() if key not in COLUMNS}
    if other := {key: value for key, value in scores.items() if key not in SCORES}:
        rest["scores"] = other
    if other := {key: value for key, value in generator.items() if key not in ("name", "sha256")}:
        rest["generator"] = other
    more = json.dumps(rest, ensure_ascii=False, allow_nan=False) if rest else None
    return {key: row.get(key) for key in COLUMNS} | {"scores": scores, "generator": generator, "more": more}


def _read_parquet(path: Path) -> Iterator[Row]:
    """The rows as they were written, with `read_rows`' defaults: what had no value then is absent now."""
    pa, parquet = arrow()
    try:
        batches = parquet.ParquetFile(path).iter_batches(batch_size=4096)
        for number, row in enumerate(chain.from_iterable(batch.to_pylist() for batch in batches), start=1):
            if not isinstance(row.get("text"), str):
                raise InputError(f"{path}: a row without text; give a pool")
            rest = json.loads(row.pop("more", None) or "{}")
            for key in ("scores", "generator"):
                if isinstance(known := row.get(key) or {}, dict):
                    kept = {name: value for name, value in known.items() if value is not None}
                    row[key] = kept | rest.pop(key, {})
            row = {key: value for key, value in row.items() if value is not None or key in NONE}
            yield sound_row(row | rest, f"{path}:{number}", number - 1)
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        said = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: cannot be read as a parquet pool ({said})") from None


FORMS = {"jsonl": Form(write_pool, read_rows), "parquet": Form(_write_parquet, _read_parquet)}
