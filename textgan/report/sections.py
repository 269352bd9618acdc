"""The sections of the page: each a function of the runs' data that gives HTML, and says so where there is nothing to show."""

import math
import random
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from textgan.metrics.score import Score
from textgan.report import figures
from textgan.report.figures import Judged, style_of
from textgan.report.findings import (
    Trial, against_real, augmentation, best, evaluation, headline, label, not_measured, paired, quality_and_diversity,
    recipe_of,     training, trials,
)  # fmt: skip
from textgan.report.markup import Markup, join, number, signed, table, tag
from textgan.report.results import Arm, Augmented, Lines, RunData, dig, finite, words
from textgan.report.theme import document

BESIDE = 20  # sentences shown beside real ones
IN_FULL = 300  # sentences that the page holds at most of one file
INTERVALS = 10  # moments shown of a run's development
ARROWS = {"higher": "\u2191", "lower": "\u2193", "match": "="}


def page(data: Sequence[RunData]) -> str:
    """The page's HTML."""
    sections = [
        ("training", "Training", _training), ("front", "Quality against diversity", _front), ("scores", "Scores", _scores),
        ("words", "Lengths and words", _words), ("models", "What the text did to a language model", _models),
        ("samples", "Samples", _samples), ("settings", "Settings", _settings), ("missing", "What was not measured", _missing),
    ]  # fmt: skip
    nav = tag("nav", *(tag("a", title, href=f"#{key}") for key, title, _ in sections), aria_label="Sections")
    main = tag("main", *(tag("section", tag("h2", title), write(data), id=key) for key, title, write in sections))
    names = ", ".join(run.name for run in data)
    versions = sorted({words(run.recipe.get("textgan")) for run in data} - {""})
    foot = tag(
        "footer",
        "Written by textgan",
        f" {', '.join(versions)}" if versions else "",
        " from the files of the run folders alone.",
    )
    return document(f"textgan report: {names}", join([tag("header", _head(data), nav), main, foot]))


def _head(runs: Sequence[RunData]) -> Markup:
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs compared"
    chips = None
    if len(runs) > 1:
        chips = tag(
            "ul", *(tag("li", _chip(place), tag("span", run.name)) for place, run in enumerate(runs)), class_="legend"
        )
    lead = tag("ul", *(tag("li", text) for text in headline(runs)), class_="lead")
    figures_ = tag("ul", *_tiles(runs[0]), class_="tiles") if len(runs) == 1 else _glance(runs)
    return join([tag("p", "textgan report", class_="eyebrow"), tag("h1", title), chips, lead, figures_])


def _chip(place: int) -> Markup:
    return tag("span", class_=f"chip {style_of(place)}", aria_hidden="true")


def _tile(what: str, value: str, about: str) -> Markup:
    return tag("li", tag("span", what), tag("b", value), tag("small", about))


def _pair(run: RunData) -> tuple[Score, Score] | None:
    """The two scores that speak for a run's text: of its first evaluation, at the preferred order."""
    pairs = (quality_and_diversity(result.scores, order) for result in run.evaluations[:1] for order in figures.ORDERS)
    return next((pair for pair in pairs if pair), None)


def _perplexity_change(run: RunData) -> tuple[float, str] | None:
    """Percent by which synthetic text changed the first trial's held-out perplexity (mean over seeds), and of what."""
    for trial in trials([run])[:1]:
        pairs = paired(trial, 1, "perplexity") if len(trial.repeats[0].arms) > 1 else []
        changes = [100 * (b / a - 1) for a, b in pairs if a]
        if changes:
            arms, many = trial.repeats[0].arms, len(changes)
            return math.fsum(changes) / many, f"{arms[1].name} over {arms[0].name}, {many} seed{'s' * (many > 1)}"
    return None


def _tiles(run: RunData) -> Iterator[Markup]:
    found, change = best(run), _perplexity_change(run)
    if found is not None:
        yield _tile("Held-out NLL", number(found.value), f"nats a token, the best, at step {number(found.row.step)}")
    for score in _pair(run) or ():
        real = run.evaluations[0].real.get(score.name)
        about = (
            f"real text {number(real.value)}: {against_real(score, real)}"
            if real
            else "real text\u2019s own not measured"
        )
        yield _tile(score.name, number(score.value), about)
    if change is not None:
        yield _tile("Language model\u2019s perplexity", f"{signed(change[0], 1)} %", change[1])


def _glance(runs: Sequence[RunData]) -> Markup:
    """The key figures of several runs as a table."""
    pairs = [_pair(run) for run in runs]
    names = next(((pair[0].name, pair[1].name) for pair in pairs if pair), ("BLEU", "self-BLEU"))
    rows = []
    for place, (run, pair) in enumerate(zip(runs, pairs, strict=True)):
        found, change = best(run), _perplexity_change(run)
        cells = ["\u2013", "\u2013"]
        if pair is not None:
            cells = [
                _beside_real(score, run.evaluations[0].real.get(score.name), name)
                for score, name in zip(pair, names, strict=True)
            ]
        rows.append([
            join([_chip(place), run.name]), number(found.value, 4) if found else "\u2013", *cells,
            number(run.evaluations[0].n) if run.evaluations else "\u2013", f"{signed(change[0], 1)} %" if change else "\u2013",
        ])  # fmt: skip
    head = ["Run", "Held-out NLL", *names, "n", "Tuned LM\u2019s perplexity"]
    caption = "Held-out NLL is the best, in nats a token; the last column is what synthetic text changed in a fine-tuned language model."
    return table(head, rows, caption=caption)


def _beside_real(score: Score, real: Score | None, name: str) -> Markup:
    other = f"real {number(real.value)}" if real else "real not measured"
    return join(
        [number(score.value), "" if score.name == name else f" ({score.name})", tag("small", other, class_="wide")]
    )


def _heading(run: RunData, place: int) -> Markup:
    kind = recipe_of(run)
    return tag("h3", _chip(place), run.name, tag("small", f"  {kind}") if kind and kind != run.name else None)


def _own(said: str, run: RunData) -> str:
    """A finding without the run's name, where the heading says it."""
    rest = said.removeprefix(f"{run.name}: ")
    return rest[:1].upper() + rest[1:]


def _none(why: str) -> Markup:
    return tag("p", f"Not measured: {why}.", class_="about")


def _training(runs: Sequence[RunData]) -> Markup:
    parts: list[Markup | None] = [figures.overlay(runs)]
    for place, run in enumerate(runs):
        said = training(run)
        parts += [_heading(run, place), tag("p", _own(said, run)) if said else None]
        bands = figures.bands_of(run.log)
        if bands:
            spans = " \u00b7 ".join(
                f"{band.name or 'unnamed'} {number(band.start)}\u2013{number(band.end)}" for band in bands
            )
            parts.append(tag("p", f"Phases by step: {spans}", class_="note"))
        parts.append(figures.curves(run, style_of(place)) or _none("the log holds no curves"))
        parts.append(_warnings(run))
    return join(parts)


def _warnings(run: RunData) -> Markup:
    """The collapse watch's words, equal ones counted."""
    steps: dict[str, list[float]] = {}
    for row in run.log:
        for text in row.warnings:
            steps.setdefault(text, []).append(row.step)
    if not steps:
        return tag("p", "The collapse watch logged no warning." if run.log else "", class_="note")
    lines = [f"{text} \u2014 " + (f"step {number(at[0])}" if len(at) == 1 else f"{len(at)} times, steps {number(at[0])} to {number(at[-1])}")
             for text, at in steps.items()]  # fmt: skip
    return join(tag("p", line, class_="flag") for line in lines)


def _judged(runs: Sequence[RunData]) -> list[Judged]:
    return [(run, result, style_of(place)) for place, run in enumerate(runs) for result in run.evaluations]


def _front(runs: Sequence[RunData]) -> Markup:
    main, others = figures.fronts(_judged(runs))
    if main is None:
        return _none("no evaluation*.json holds both BLEU-n and self-BLEU-n")
    aside = tag(
        "div",
        tag("p", "How to read it. Up is nearer to real sentences, right is more alike among themselves. The diamond is held-out text by people, "
                 "scored the same way on as many sentences: the aim, not a line to pass."),
        tag("p", "A model that is sharpened moves up and to the right without having learnt anything, so neither axis alone says which is better, "
                 "and a single temperature shows one point of a curve. Points measured on unequal n or with other settings are refused."),
        *(tag("p", text) for run in runs for result in run.evaluations if len(runs) > 1 and (text := evaluation(run, result))),
        class_="about",
    )  # fmt: skip
    more = (
        tag("details", tag("summary", "The same at other n-gram orders"), tag("div", *others, class_="grid two"))
        if others
        else None
    )
    return join([tag("div", tag("div", main), aside, class_="grid two"), more])


def _scores(runs: Sequence[RunData]) -> Markup:
    groups: dict[tuple[float | None, str], list[Judged]] = {}
    for item in _judged(runs):
        groups.setdefault((item[1].n, item[1].reference), []).append(item)
    if not groups:
        return _none("there is no evaluation*.json in these run folders")
    about = tag("p", "Value, and beside it the difference to real held-out text scored in the same way. \u2191 higher is better, \u2193 lower is better, "
                     "= the nearer to real text the better. Past real text is not better than real text.", class_="about")  # fmt: skip
    flag = tag(
        "p",
        "These evaluations differ in n or reference, so they stand in tables of their own and are not to be compared.",
        class_="flag",
    )
    return join(
        [about, flag if len(groups) > 1 else None, *(_score_table(n, ref, items) for (n, ref), items in groups.items())]
    )


def _score_table(n: float | None, reference: str, items: Sequence[Judged]) -> Markup:
    names = list(dict.fromkeys(name for _, result, _ in items for name in result.scores))
    reals = {words([s.value for s in result.real.values()]) for _, result, _ in items if result.real}
    real = next((result.real for _, result, _ in items if result.real), {}) if len(reals) == 1 else {}
    rows = [_score_row(name, [r.scores for _, r, _ in items], [r.real for _, r, _ in items], real) for name in names]
    head = ["Metric", "Better", "Real text", *(label(run, result) for run, result, _ in items)]
    size = f"n = {number(n)} sentences" if n is not None else "n is not recorded"
    notes = [
        tag("p", f"{label(run, result)}: {warning}", class_="flag")
        for run, result, _ in items
        for warning in result.warnings
    ]
    odd = sorted({f"{s.name} of {label(run, result)} was measured on n = {number(s.n)}" for run, result, _ in items
                  for s in result.scores.values() if n is not None and s.n and s.n != n})  # fmt: skip
    notes += [tag("p", text, class_="note") for text in odd]
    caption = f"{size}; reference {reference or 'not recorded'}" + (
        "; real text differs by column" if len(reals) > 1 else ""
    )
    return join([table(head, rows, caption=caption, text_columns=(0, 1)), *notes, _signatures(items)])


def _score_row(
    name: str, texts: Sequence[Mapping[str, Score]], reals: Sequence[Mapping[str, Score]], real: Mapping[str, Score]
) -> list[str]:
    """Metric, direction, real text, then each text's value with its difference to its own real text; one format a row."""
    found = [scores[name] for scores in (*texts, *reals) if name in scores]
    whole = all(score.value == int(score.value) for score in found) and any(abs(score.value) > 1 for score in found)
    places = 0 if whole else 3

    def shown(value: float | None) -> str:
        return number(value) if value is None or abs(value) >= 100 else f"{value:.{places}f}".replace("-", "\u2212")

    def cell(score: Score | None, other: Score | None) -> str:
        if score is None:
            return "\u2013"
        span = f" [{shown(score.low)}, {shown(score.high)}]" if None not in (score.low, score.high) else ""
        return join(
            [shown(score.value), span, tag("small", signed(score.value - other.value, places)) if other else None]
        )

    cells = [cell(scores.get(name), own.get(name)) for scores, own in zip(texts, reals, strict=True)]
    return [name, ARROWS[found[0].better], shown(real[name].value) if name in real else "\u2013", *cells]


def _signatures(items: Sequence[Judged]) -> Markup | None:
    lines = sorted({s.signature for _, result, _ in items for s in result.scores.values() if s.signature})
    if not lines:
        return None
    listed = tag("ul", *(tag("li", tag("code", line)) for line in lines), class_="signature")
    return tag("details", tag("summary", "Signatures: all that makes these figures comparable"), listed)


def _words(runs: Sequence[RunData]) -> Markup:
    parts: list[Markup] = []
    for place, run in enumerate(runs):
        why = "no heldout.txt to compare with" if run.generated else "neither samples/ nor sample*.txt holds a sentence"
        parts += [_heading(run, place), figures.text_statistics(run, style_of(place)) or _none(why)]
    return join(parts)


def _models(runs: Sequence[RunData]) -> Markup:
    parts: list[Markup | None] = []
    for place, run in enumerate(runs):
        if not (run.augmentations or run.finetunes):
            continue
        parts.append(_heading(run, place))
        for trial in trials([run]):
            parts.append(tag("p", f"Language model: {trial.lm or 'not recorded'}.", class_="about"))
            parts += [tag("p", _own(text, run)) for text in augmentation(trial)]
            left = tag("div", figures.perplexities(trial, style_of(place)), _trial_table(trial))
            right = figures.written_scores(trial, style_of(place))
            parts.append(tag("div", left, tag("div", right) if right else None, class_="grid two"))
            parts += [_written(trial.repeats[0]), _model_lines(trial.repeats[0].arms)]
        if run.finetunes:
            plot = (
                figures.tuned_perplexities(run.finetunes, run.name, style_of(place)) if len(run.finetunes) > 1 else None
            )
            parts += [tag("h4", "Fine-tuned one by one"), plot, _tuned_table(run.finetunes)]
    return join(parts) if parts else _none("neither augmentation*.json nor finetune*.json is in these run folders")


FIGURES = {"steps": "Steps", "tokens": "Tokens", "nll_per_token": "NLL a token", "nll_per_byte": "NLL a byte",
           "perplexity": "Perplexity"}  # fmt: skip


def _trial_table(trial: Trial) -> Markup:
    rows = [[arm.name, number(result.seed), *(number(arm.values.get(key), 4) for key in FIGURES)]
            for result in trial.repeats for arm in result.arms]  # fmt: skip
    notes = dict.fromkeys(
        f"{arm.name}: {note}." for result in trial.repeats for arm in result.arms for note in arm.notes
    )
    files = ", ".join(result.file for result in trial.repeats)
    head = ["Fine-tuned on", "Seed", *FIGURES.values()]
    return join(
        [table(head, rows, caption=f"Held-out figures, {files}"), *(tag("p", note, class_="note") for note in notes)]
    )


def _tuned_table(arms: Sequence[Arm]) -> Markup:
    rows = [[arm.name, tag("span", arm.lm or "\u2013", class_="long"), *(number(arm.values.get(key), 4) for key in FIGURES)]
            for arm in arms]  # fmt: skip
    notes = [tag("p", f"{arm.name}: {note}.", class_="note") for arm in arms for note in arm.notes]
    head = ["File", "Language model", *FIGURES.values()]
    return join([table(head, rows, caption="Held-out figures of single fine-tunings", text_columns=(0, 1)), *notes])


def _written(result: Augmented) -> Markup | None:
    names = list(dict.fromkeys(name for arm in result.arms for name in arm.scores))
    if not names:
        return None
    rows = [
        _score_row(name, [arm.scores for arm in result.arms], [result.real] * len(result.arms), result.real)
        for name in names
    ]
    sizes = sorted({score.n for arm in result.arms for score in arm.scores.values()})
    caption = f"Scores of the text that each tuned model writes, {result.file}; n = " + ", ".join(map(number, sizes))
    listed = table(
        ["Metric", "Better", "Real text", *(arm.name for arm in result.arms)],
        rows,
        caption=caption,
        text_columns=(0, 1),
    )
    return tag("details", tag("summary", "All scores of that text as a table"), listed)


def _model_lines(arms: Sequence[Arm]) -> Markup | None:
    columns = [tag("div", tag("h4", arm.name), _lines(arm.samples[:BESIDE])) for arm in arms if arm.samples]
    return (
        tag("details", tag("summary", "Sentences that the tuned models wrote"), tag("div", *columns, class_="grid two"))
        if columns
        else None
    )


def _lines(lines: Iterable[str], real: frozenset[str] = frozenset(), counts: Mapping[str, int] | None = None) -> Markup:
    """Sentences as a list; each is isolated, so that its direction and its length stay its own affair."""
    items = []
    for line in lines:
        marks = ["verbatim in the held-out text"] if line in real else []
        marks += [f"{counts[line]} times in this file"] if counts and counts[line] > 1 else []
        items.append(tag("li", tag("bdi", line, dir="auto"), tag("small", "; ".join(marks)) if marks else None))
    return tag("ul", *items, class_="lines")


def _samples(runs: Sequence[RunData]) -> Markup:
    parts: list[Markup | None] = [
        tag(
            "p",
            "Whole sentences as they came, not chosen. Real sentences are drawn from the held-out text with seed 0.",
            class_="about",
        )
    ]
    for place, run in enumerate(runs):
        parts.append(_heading(run, place))
        if run.generated is None:
            parts.append(_none("neither samples/ nor sample*.txt holds a sentence"))
            continue
        parts += [_beside(run, run.generated), _development(run.samples)]
    return join(parts)


def _beside(run: RunData, generated: Lines) -> Markup:
    real, counts = frozenset(run.heldout), Counter(generated.lines)
    many, copies = len(generated.lines), sum(line in real for line in generated.lines)
    said = f"{generated.file}: {number(many)} sentences, {number(len(counts))} different"
    said += (
        f", {number(copies)} verbatim in the held-out text. Copies of training lines are not marked: the run folder does not hold them."
        if real
        else "."
    )
    drawn = random.Random(0).sample(run.heldout, BESIDE) if len(run.heldout) > BESIDE else run.heldout
    columns = [tag("div", tag("h4", "Generated"), _lines(generated.lines[:BESIDE], real, counts)),
               tag("div", tag("h4", "Real, held out"), _lines(drawn) if drawn else _none("no heldout.txt"))]  # fmt: skip
    rest, cut = generated.lines[BESIDE:IN_FULL], many - IN_FULL
    tail = tag("p", f"{number(cut)} more are in {generated.file}.", class_="note") if cut > 0 else None
    more = (
        tag("details", tag("summary", f"The next {number(len(rest))} sentences"), _lines(rest, real, counts), tail)
        if rest
        else None
    )
    return join([tag("p", said, class_="note"), tag("div", *columns, class_="grid two"), more])


def _development(samples: Sequence[Lines]) -> Markup | None:
    """The first sentences at moments spread over the run, first and last included."""
    if len(samples) < 2:
        return None
    picked = sorted(
        {
            round(i * (len(samples) - 1) / (min(INTERVALS, len(samples)) - 1))
            for i in range(min(INTERVALS, len(samples)))
        }
    )
    moments = [
        (f"step {number(samples[i].step)}" if samples[i].step is not None else samples[i].file, samples[i].lines[:3])
        for i in picked
    ]
    listed = tag(
        "dl", *(part for name, lines in moments for part in (tag("dt", name), tag("dd", _lines(lines)))), class_="steps"
    )
    return join([tag("h4", "How the sentences developed"), listed])


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    if not isinstance(value, dict) or not value or name.count(".") > 8:
        return {name: value} if name else {}
    return {
        key: leaf
        for part, inner in value.items()
        for key, leaf in flatten(inner, f"{name}.{part}" if name else str(part)).items()
    }


def _settings(runs: Sequence[RunData]) -> Markup:
    sheets = [flatten(run.recipe) for run in runs]
    names = list(dict.fromkeys(name for sheet in sheets for name in sheet))
    if not names:
        return _none("no readable recipe.json in these run folders")
    rows = []
    for name in names:
        values = [words(sheet[name]) if name in sheet else "\u2013" for sheet in sheets]
        differs = len(set(values)) > 1
        rows.append(
            [tag("b", f"{name} \u2260") if differs else name, *(tag("span", value, class_="long") for value in values)]
        )
    caption = "From recipe.json" + ("; \u2260 marks what differs between the runs" if len(runs) > 1 else "")
    listed = table(["Setting", *(run.name for run in runs)], rows, caption=caption, text_columns=range(len(runs) + 1))
    told = [(run, lines) for run in runs if (lines := commands(run))]
    again = [join([tag("h4", run.name) if len(runs) > 1 else None, tag("pre", join(lines, "\n"))])
             for run, lines in told]  # fmt: skip
    return join([listed, tag("h3", "Commands that repeat it") if again else None,
                 tag("p", "Rebuilt from the recorded settings; file names as they were given then.", class_="note") if again else None, *again])  # fmt: skip


def commands(run: RunData) -> list[str]:
    """Command lines that repeat the run and its evaluations, as far as the recorded settings tell them."""
    said, corpus = [], words(dig(run.recipe, "corpus", "name"))
    if recipe_of(run) and corpus:
        line = ["textgan", "train", recipe_of(run), corpus, "--out", run.name]
        valid, seed = words(dig(run.recipe, "valid", "name")), finite(run.recipe.get("seed"))
        line += ["--valid", valid] if valid and valid != corpus and "(" not in valid else []
        line += ["--seed", f"{seed:.0f}"] if seed is not None else []
        for name, value in flatten(run.recipe.get("fields") or {}).items():
            line += [f"--{name}", words(value)] if value is not None and value != {} else []
        said.append(shlex.join(line))
    for result in run.evaluations:
        if result.text and result.reference:
            size = ["--n", f"{result.n:.0f}"] if result.n is not None else []
            seed_flag = ["--seed", f"{result.seed:.0f}"] if result.seed is not None else []
            said.append(
                shlex.join(["textgan", "evaluate", result.text, "--reference", result.reference, *size, *seed_flag])
            )
    return said


def _missing(runs: Sequence[RunData]) -> Markup:
    return tag("ul", *(tag("li", tag("b", what), f": {why}.") for what, why in not_measured(runs)), class_="missing")
