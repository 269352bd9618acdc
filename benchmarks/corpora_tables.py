"""The tables, the page and the picture of a grid on real text, from its kept results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpora import SHOWN, Corpus, grid, shown
from fronts import Seeds, front_page, matched_rows, picture, seeded, seeds_of, spread

DIVERSITY, TUNED_BY = "self-BLEU-4", "reverse-LM-score"
QUALITIES = ("BLEU-4", "LM-score", "LSTM-score", "reverse-LM-score", "Frechet")
LEARNT = {"training NLL": "nll", "NLL_gen (pads count)": "nll_gen"}  # heads, and what `of_training` calls them
NGRAMS = [f"{kind}-{n}" for kind in ("BLEU", "self-BLEU") for n in (2, 3, 4, 5)]


def value(scores: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """A score by its name; None where it could not be had."""
    return next((s["value"] for s in scores if s["name"] == name), None)


def arms(corpus: Corpus, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Arm -> the results of its seeds, of a split or of the fronts."""
    return seeds_of(grid(corpus), corpus.results, f"{kind}-")


def table(corpus: Corpus) -> str:
    """Markdown: a table a split, one of the tuned temperatures, and where the page of the fronts was written."""
    lines = [line for split in ("published", "resplit") for line in (f"\n**{split}**\n", *n_grams(corpus, split))]
    if arms(corpus, "front"):
        lines += ["\n**both sides, re-split**\n", *both_sides(corpus), "", *beside_mle(corpus)]
        lines.append(f"\nFronts: {', '.join(map(shown, _pages(corpus)))}")
    return "\n".join(lines)


def n_grams(corpus: Corpus, split: str) -> list[str]:
    """A row an arm: BLEU and self-BLEU at T = 1, beside real text and what was published."""
    found = arms(corpus, split)
    if not found:
        return ["no results"]
    heads = ["held-out NLL", *(LEARNT if split == "published" else {}), *NGRAMS]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, results in found.items():
        cells = [spread([value(r["evaluation"]["scores"], n) for r in results]) for n in NGRAMS]
        nll = [spread([kept_nll(r) for r in results])]
        if split == "published":
            nll += [spread([r.get("of_training", {}).get(key) for r in results]) for key in LEARNT.values()]
        lines.append(f"| {seeded(name, results)} | {' | '.join([*nll, *cells])} |")
    for name, (bleu, own, nll_gen) in corpus.published.items() if split == "published" else ():
        said = [nll_gen, *(bleu or [None] * 4), *(own or [None] * 4)]
        lines.append(f"| {name}, published | | | {' | '.join('' if x is None else f'{x:.3f}' for x in said)} |")
    real = {s["name"]: s["value"] for s in next(iter(found.values()))[0]["evaluation"]["real"]}
    empty = " |" * (len(heads) - len(NGRAMS))
    lines.append(f"| real text |{empty} " + " | ".join(f"{real[n]:.3f}" if n in real else "" for n in NGRAMS) + " |")
    return lines


def kept_nll(result: Mapping[str, Any]) -> float:
    """Of the weights that were kept. A result's last row was that of the last step, also where others were kept."""
    fields = result["settings"]["fields"]
    early = fields.get("early_stopping", False) and not fields.get("adversarial_steps", 0)
    return float(result["lowest_valid_nll"] if early else result["last"]["valid_nll"])


def both_sides(corpus: Corpus) -> list[str]:
    """A row an arm: quality and diversity at T = 1, and at the temperature that was chosen on validation text."""
    swept = arms(corpus, "front")
    if not swept:
        return ["no results"]
    columns = [*QUALITIES[:1], DIVERSITY, *QUALITIES[1:]]
    heads = [f"T = 1: {c}" for c in columns] + ["T (or top-p) tuned"] + [f"tuned: {c}" for c in columns]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, results in swept.items():
        at_one = [spread([value(r["front"]["1"], c) for r in results]) for c in columns]
        tuned = [spread([value(r["front"][r["tuned"]], c) for r in results]) for c in columns]
        chosen = ", ".join(sorted({("p " if "knob" in r else "") + r["tuned"] for r in results}))
        lines.append(f"| {seeded(name, results)} | {' | '.join([*at_one, chosen, *tuned])} |")
    real = next(iter(swept.values()))[0]["real"]
    cells = [spread([value(real, c)]) for c in columns]
    lines.append(f"| real text | {' | '.join([*cells, '', *cells])} |")
    return lines


def _pages(corpus: Corpus) -> tuple[Path, Path]:
    """The page of all fronts, and a picture of them: fluency against diversity, and against reverse-LM-score."""
    models, real, better, n = _models(corpus)
    knobs = {name: results[0].get("knob", "T") for name, results in arms(corpus, "front").items()}
    page, drawn = corpus.results / "fronts.html", corpus.results / "fronts.svg"
    about = f"{corpus.name}, re-split; {n} sentences a point; means over seeds."
    text = front_page(models, real, better, diversity=DIVERSITY, qualities=QUALITIES, about=about, knobs=knobs)
    page.write_text(text, encoding="utf-8")
    picture(models, real, better, drawn, panels=((DIVERSITY, "LM-score"), (TUNED_BY, "LM-score")))
    return page, drawn


def beside_mle(corpus: Corpus) -> list[str]:
    """A row an arm: its differences to maximum likelihood at equal diversity."""
    if not arms(corpus, "front"):
        return ["no results"]
    models, _, better, _ = _models(corpus)
    return matched_rows(models, better, diversity=DIVERSITY, qualities=QUALITIES)


def specimens(corpus: Corpus) -> list[str]:
    """A row an arm: the first two sentences of its first seed at three temperatures."""
    lines = [f"| | {' | '.join(f'T = {t:g}' for t in SHOWN)} |", "|---" * (len(SHOWN) + 1) + "|"]
    for name, results in arms(corpus, "front").items():
        if "knob" in results[0]:
            continue  # not over temperatures
        cells = [" / ".join(results[0]["samples"][f"{t:g}"][:2]).replace("|", "\\|") for t in SHOWN]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _models(corpus: Corpus) -> tuple[dict[str, Seeds], dict[str, float], dict[str, str], int]:
    """Every arm's fronts, real text's scores, which way each is better, and sentences a point."""
    swept = arms(corpus, "front")
    models: dict[str, Seeds] = {
        name: {r["arguments"]["seed"]: {t: known(x) for t, x in r["front"].items()} for r in results}
        for name, results in swept.items()
    }
    real = next(iter(swept.values()))[0]["real"]
    return models, known(real), {s["name"]: s["better"] for s in real}, real[0]["n"]


def known(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The scores that could be had."""
    return {s["name"]: s["value"] for s in scores if s["value"] is not None}
