"""One static page, and a short Markdown text, from the folders of one or several runs.

The page is a single HTML file that fetches and runs nothing; all text in it is escaped. It is a function of the run
folders alone, so the same folders give the same bytes. What is absent is said to be absent, with the reason; it is
never drawn as 0.

results: the folder's files, read without trust. findings: sentences computed from them. svg, charts: plots.
figures, wording: which numbers are plotted. specimens, settings, sections: the page. markup, theme: HTML and its looks.
audit, fronts, funnel, loops: pages of an audit, a sweep, a selection and a loop.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from textgan.errors import InputError
from textgan.readable import number
from textgan.report.findings import headline, label, not_measured, trials
from textgan.report.markup import clean
from textgan.report.results import read_runs
from textgan.report.sections import ARROWS, page

__all__ = ["markdown", "report"]

Runs = Sequence[str | Path] | str | Path


def report(runs: Runs, out: str | Path) -> Path:
    """Write the page about these run folders to the file `out` (all or nothing; "-": standard output); give its path.

    Reads recipe.json, log.jsonl, samples/*.txt, sample*.txt, heldout.txt, evaluation*.json, augmentation*.json and
    finetune*.json of each folder; any may be absent. A folder with none of them is an InputError.
    """
    from textgan.text import write_lines

    out = Path(out)
    if out.is_dir():
        raise InputError(f"{out} is a folder; give a file name such as {out / 'report.html'}")
    html = page(read_runs(_listed(runs)))
    write_lines("-" if str(out) == "-" else out, html.rstrip("\n").split("\n"))
    return out


def markdown(runs: Runs) -> str:
    """The findings, the scores, the perplexities and what was not measured, as a short Markdown text."""
    data = read_runs(_listed(runs))
    parts = [f"# textgan: {_shown(', '.join(run.name for run in data))}"]
    parts.append("\n".join(f"- {_shown(text)}" for text in headline(data)))
    for run in data:
        for result in run.evaluations:
            real = {name: score.value for name, score in result.real.items()}
            rows = [
                [name, number(s.value), number(real.get(name)), ARROWS[s.better], number(s.n or None)]
                for name, s in result.scores.items()
            ]
            parts += [f"## {_shown(label(run, result))}", _table(["metric", "value", "real text", "better", "n"], rows)]
    for trial in trials(data):
        rows = [
            [
                arm.name,
                number(result.seed),
                number(arm.values.get("perplexity")),
                number(arm.values.get("nll_per_byte")),
            ]
            for result in trial.repeats
            for arm in result.arms
        ]
        parts.append(f"## {_shown(trial.run)}: {_shown(trial.lm or 'a language model')}")
        parts.append(_table(["fine-tuned on", "seed", "perplexity", "NLL a byte"], rows))
    parts.append("## Not measured")
    parts.append("\n".join(f"- {_shown(what)}: {_shown(why)}" for what, why in not_measured(data)))
    return "\n\n".join(parts) + "\n"


def _listed(runs: Runs) -> list[str | Path]:
    return [runs] if isinstance(runs, str | Path) else list(runs)


def _shown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no link, no HTML."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", clean(text)).replace("://", ":\u200b//")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[_shown(cell) for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
