"""The constrained pool of an audit: its selected rows brought to the group shares of real text, as another pool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from textgan.augmentation.audit import Constrained
from textgan.augmentation.audit.found import Audit
from textgan.augmentation.folder import data_card, origin, writer_lines
from textgan.errors import InputError
from textgan.readable import percent
from textgan.text import Text
from textgan.verdicts import Verdicts, candidates_of, free_folder, write_chosen

WAYS = {"rake": "raking", "quota": "quota"}  # how it is asked for, and what an audit calls it


def check_constrained(pool: object, out: Path, by: str) -> None:
    """Errors: InputError for what will not do, before anything is measured."""
    if by not in WAYS:
        raise InputError(f"by {by!r} is not one of {', '.join(WAYS)}")
    if not isinstance(pool, str | Path) or not (Path(pool).is_dir() or Path(pool).suffix in (".jsonl", ".parquet")):
        name = pool if isinstance(pool, str | Path) else "the pool"
        raise InputError(f"{name}: lines are no rows to be weighed; --constrained needs a folder, .jsonl or .parquet")
    free_folder(out, "--constrained")


def write_constrained(done: Audit, pool: str | Path, out: Path, real: Text, *, by: str, seed: int = 0) -> Constrained:
    """Write the pool anew as the folder `out`, brought to real text's shares; gives what was done.

    by: "rake" weighs the selected rows (`mix --weight-by density_ratio` follows weights; ones that it had before are
    multiplied), "quota" selects fewer, each of weight 1. The others stand aside with a reason, as `select` leaves them.
    The format is the pool's. Errors: InputError where the audit found that these rows cannot have the shares.
    """
    free_folder(out, "--constrained")
    way = WAYS[by]
    if way not in done.constrained:
        why = done.absent[f"{way} to real text's shares"]
        raise InputError(f"--constrained: {why}")
    made, candidates = done.constrained[way], candidates_of(pool)
    n = len(candidates.lines)
    weights, reasons = np.zeros(n), np.full(n, f"not chosen by {by}", dtype=object)
    weights[made.rows], reasons[made.rows] = made.weights, None
    known, form = origin(pool), "parquet" if _is_parquet(Path(pool)) else "jsonl"
    groups = {name: list(words) for name, words in done.lexicon.groups.items()}
    plan = {
        "by": by, "lexicon": done.lexicon.name, "groups": groups, "target": made.target, "seed": seed, "format": form,
        "source": known.get("source", {}), "licence": known.get("licence"),
    }  # fmt: skip
    funnel = [("generated", len(candidates.selected)), ("selected", n), (f"kept by {by}", len(made.rows))]
    provenance = {
        "textgan": "audit", "plan": plan, "funnel": dict(funnel), "achieved": made.achieved,
        "effective_sample": made.effective_sample,
    }  # fmt: skip
    before = {group: share.share for group, share in done.shares[[*done.shares][-1]].items()}
    about = [_said(made, by, before, real), *writer_lines(plan["source"], plan["licence"])]
    card = data_card(
        f"{len(made.rows):,} texts with the group shares of real text", about=about, rows=len(candidates.selected),
        form=form, licence=plan["licence"], funnel=funnel, rejected=len(candidates.selected) - len(made.rows),
    )  # fmt: skip
    verdicts = Verdicts(reasons.tolist(), weights, {})
    write_chosen(
        candidates, verdicts, out, form=form, provenance=provenance, inputs={"real": real}, card=card, pages={}
    )
    return made


def _is_parquet(pool: Path) -> bool:
    return pool.suffix == ".parquet" or (pool.is_dir() and any(pool.glob("rows-*.parquet")))


def _said(made: Constrained, by: str, before: Mapping[str, float], real: Text) -> str:
    how = "weighted by raking" if by == "rake" else "drawn by quota"
    moved = (
        f"{group} {percent(before[group])} before, {percent(share)} now, {percent(made.target[group])} in real text"
        for group, share in made.achieved.items()
    )
    return (
        f"{how}, so that groups are mentioned as often as in {real.name}: {'; '.join(moved)}. They are worth "
        f"{made.effective_sample:,.0f} rows of equal weight"
    )
