"""`textgan generate`: a run writes a pool of any size, shard by shard, resumable, over one process or several."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from textgan.augmentation.folder import (
    FORMS,
    PROVENANCE,
    SHARD,
    data_card,
    seal_pool,
    shard_name,
    verify_pool,
    writer_lines,
)
from textgan.augmentation.pool import BLANK, UNKNOWN
from textgan.checkpoints import LOCK, clean, locked
from textgan.errors import InputError
from textgan.experiment import commit, versions
from textgan.manifest import MANIFEST
from textgan.processes import ALONE, gather, share, sharing
from textgan.runs import Run
from textgan.text import Text, make_folder, read_text, write_json

Source = str | Path | Sequence[str] | Text

class Generated(NamedTuple):
    """What a pool holds: its rows, those of them that are blank and therefore not selected, and those with an <unk>."""

    rows: int
    blank: int
    unknown: int


def generate(
    run: str | Path,
    n: int,
    out: str | Path,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    label: str | None = None,
    prompts: Source | None = None,
    form: str = "jsonl",
    licence: str | None = None,
    device: str = "cpu",
    precision: str = "no",
    progress: Callable[[str], None] | None = None,
) -> Generated:
    """Write n sentences of a run as a pool folder; the same arguments give the same bytes, broken off or not.

    temperature, top_p: `generators.Decoding`'s. prompts: what the sentences begin with, in turn; each row then has its
    "prompt". form: "jsonl" or "parquet". licence: that of the text which the run was trained on, for the data card.
    device and precision are `Run.open`'s; another than the CPU's float32 is recorded. A shard of 65,536 rows is
    written whole or not at all, and a pool that is not finished goes on with the shards that are missing. Several
    processes (`machine.together`) write every K-th shard each. A row is flagged "duplicate" where its text came before
    in its shard; `select` finds the others.
    Errors: InputError for a folder that holds another pool or other files, and for a pool that was changed.
    """
    opened = Run.open(run, device=device, precision=precision)
    if form not in FORMS:
        raise InputError(f"format {form!r} is not one of {', '.join(FORMS)}")
    if n < 1:
        raise InputError(f"-n {n} must be at least 1")
    chosen: dict[str, Any] = {"seed": seed, "temperature": temperature, "label": label}
    plan = {"n": n, **chosen, "format": form, "licence": licence, "source": source_of(opened)}
    how, usual = {"device": opened.device.type, "precision": precision}, {"device": "cpu", "precision": "no"}
    plan |= {key: word for key, word in how.items() if word != usual[key]}
    if top_p != 1:
        plan["top_p"] = chosen["top_p"] = top_p
    if prompts is not None:
        given = read_text(prompts)
        plan["prompts"] = {"name": given.name, "sha256": given.sha256, "lines": len(given.lines)}
        chosen["prompts"] = given.lines
    folder, (rank, world), count = make_folder(out), share(), -(-n // SHARD)
    with locked(folder) if rank == 0 else nullcontext():
        if rank == 0:
            _begin(folder, plan)
        _meet()
        if not (folder / MANIFEST).exists():
            for number in range(rank, count, world):
                path = folder / shard_name(number, form)
                if not path.exists():
                    with sharing(ALONE):
                        first = number * SHARD
                        FORMS[form].write(opened.pool_rows(min(SHARD, n - first), first=first, **chosen), path)
                if progress:
                    progress(f"shard {number + 1} of {count}")
            _meet()
        if rank == 0:
            _end(folder, plan)
        _meet()
        made = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    return Generated(n, n - made["funnel"]["not blank"], made.get("unknown", 0))


def source_of(run: Run) -> dict[str, Any]:
    """Who writes, and from which text it learned: names and sha256."""
    told = ("name", "sha256", "lines")
    inputs = {key: run.settings[key] for key in ("corpus", "valid") if key in run.settings}
    return {
        "run": run.path.name, "weights": run.weights.name, "sha256": run.weights_sha256,
        "recipe": run.settings["recipe"], "fields": run.settings.get("fields", {}),
        "run_seed": run.settings.get("seed"),
        **{key: {word: facts[word] for word in told if word in facts} for key, facts in inputs.items()},
    }  # fmt: skip


def _begin(folder: Path, plan: Mapping[str, Any]) -> None:
    """Leave a folder that holds the plan, nothing of another one, and no litter."""
    clean(folder)
    if (folder / PROVENANCE).exists():
        try:
            old = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))["plan"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{folder}/{PROVENANCE}: cannot be read; give another --out") from None
        new = json.loads(json.dumps(plan))
        if other := [key for key in {**new, **old} if old.get(key) != new.get(key)]:
            raise InputError(f"{folder}: holds a pool with another {other[0]}; give another --out")
    elif left := sorted(path.name for path in folder.iterdir() if path.name != LOCK):
        raise InputError(f"{folder}: holds {left[0]}, which is of no pool; give a new folder as --out")
    else:
        write_json(folder / PROVENANCE, {"plan": plan})


def _end(folder: Path, plan: Mapping[str, Any]) -> None:
    """Seal the pool, unless it is sealed, and see that it is sound."""
    (folder / LOCK).unlink(missing_ok=True)
    if not (folder / MANIFEST).exists():
        form, n = plan["format"], plan["n"]
        paths = [folder / shard_name(number, form) for number in range(-(-n // SHARD))]
        flags = Counter(flag for path in paths for row in FORMS[form].read(path) for flag in row["flags"])
        funnel = {"generated": n, "not blank": n - flags[BLANK]}
        made = {"textgan": "generate", "plan": plan, "funnel": funnel, "unknown": flags[UNKNOWN]}
        seal_pool(folder, made | {"commit": commit(), "versions": versions()}, _card(plan, funnel, flags[UNKNOWN]))
    if wrong := verify_pool(folder):
        raise InputError(
            f"{folder}/{wrong[0]}; delete that file and {MANIFEST}, and the same command writes again what is missing"
        )


def _card(plan: Mapping[str, Any], funnel: Mapping[str, int], unknown: int) -> list[str]:
    source = plan["source"]
    about = [
        f"seed {plan['seed']}, temperature {plan['temperature']:g}, top_p {plan.get('top_p', 1):g}, "
        f"label {plan['label'] or 'none'}",
    ]
    if given := plan.get("prompts"):
        about.append(f"begun with {given['lines']} prompts of {given['name']}, sha256 {given['sha256']}")
    if unknown:
        about.append(f"{unknown:,} of the sentences have an unknown word, <unk>, and are flagged")
    about += writer_lines(source, plan["licence"])
    return data_card(
        f"{plan['n']:,} sentences by {source['recipe']}", about=about, rows=plan["n"], form=plan["format"],
        licence=plan["licence"], funnel=list(funnel.items()),
    )  # fmt: skip


def _meet() -> None:
    """Wait for the other processes. Errors: ConnectionError where one has ended."""
    gather(torch.zeros(1))
