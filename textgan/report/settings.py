"""With which settings the runs were made, and the commands that repeat them."""

import shlex
from collections.abc import Sequence
from typing import Any

from textgan.readable import DASH
from textgan.report.findings import recipe_of
from textgan.report.markup import Markup, join, table, tag
from textgan.report.results import RunData, dig, finite, words

GROUPS = {
    "fields": "Recipe",
    "schedule": "Schedule",
    "corpus": "Corpus",
    "valid": "Held-out text",
    "tokens": "Tokens",
    "parameters": "Parameters",
    "versions": "Versions",
}
DEEP = 8  # nested settings below this are shown as JSON
TOKENS = {"level": "tokens", "vocab_size": "vocab_size", "min_count": "min_count", "max_len": "max_len"}


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    if not isinstance(value, dict) or not value or name.count(".") >= DEEP:
        return {name: value} if name else {}
    flat: dict[str, Any] = {}
    for part, inner in value.items():
        flat |= flatten(inner, f"{name}.{part}" if name else str(part))
    return flat


def settings(runs: Sequence[RunData]) -> Markup:
    """One table a group of settings, a column a run, and the commands."""
    sheets = [flatten(run.recipe) for run in runs]
    names = list(dict.fromkeys(name for sheet in sheets for name in sheet))
    if not names:
        return tag("p", "Not measured: no readable recipe.json in these run folders.", class_="about")
    groups: dict[str, list[Sequence[str]]] = {}
    for name in sorted(names, key=lambda name: "." in name):
        first, _, rest = name.partition(".")
        values = [_value(sheet[name]) if name in sheet else DASH for sheet in sheets]
        title = (rest or first) + (" \u2260" if len(set(values)) > 1 else "")
        cells = [tag("span", value, class_="long") for value in values]
        groups.setdefault(GROUPS.get(first, first) if rest else "Run", []).append([title, *cells])
    columns = range(len(runs) + 1)
    head = ["Setting", *(run.name for run in runs)]
    tables = [tag("div", table(head, rows, caption=group, text_columns=columns)) for group, rows in groups.items()]
    about = "From recipe.json" + ("; \u2260 marks what differs between the runs." if len(runs) > 1 else ".")
    listed = (
        tag("div", *tables, class_="grid two settings") if len(runs) == 1 else tag("div", *tables, class_="settings")
    )
    return join([tag("p", about, class_="about"), listed, _again(runs)])


def _value(value: Any) -> str:
    return "none" if value is None else words(value)


def _again(runs: Sequence[RunData]) -> Markup | None:
    told = [(run, lines) for run in runs if (lines := commands(run))]
    if not told:
        return None
    blocks = [
        join([tag("h4", run.name) if len(runs) > 1 else None, tag("pre", join(lines, "\n"))]) for run, lines in told
    ]
    about = "Rebuilt from the recorded settings, with file names as they were given then."
    return join([tag("h3", "Commands that repeat it"), tag("p", about, class_="note"), *blocks])


def commands(run: RunData) -> list[str]:
    """Command lines that repeat the run and its evaluations, as far as the recorded settings tell them."""
    said, corpus = [], words(dig(run.recipe, "corpus", "name"))
    if recipe_of(run) and corpus:
        line = ["textgan", "train", recipe_of(run), corpus, "--out", run.name]
        if dig(run.recipe, "valid", "sha256"):  # otherwise it was held out of the corpus
            line += ["--valid", words(dig(run.recipe, "valid", "name"))]
        seed = finite(run.recipe.get("seed"))
        line += ["--seed", f"{seed:.0f}"] if seed is not None else []
        fields = flatten(run.recipe.get("fields")) | flatten(run.recipe.get("schedule"))
        fields |= {flag: value for key, flag in TOKENS.items() if (value := dig(run.recipe, "tokens", key)) is not None}
        for name, value in fields.items():
            line += [f"--{name}", words(value)] if value is not None and value != {} else []
        said.append(shlex.join(line))
    for result in run.evaluations:
        if result.text and result.reference:
            size = ["--n", f"{result.n:.0f}"] if result.n is not None else []
            draw = ["--seed", f"{result.seed:.0f}"] if result.seed is not None else []
            said.append(shlex.join(["textgan", "evaluate", result.text, "--reference", result.reference, *size, *draw]))
    return said
