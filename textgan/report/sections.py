"""The page: its head and its sections, each a function of the runs' data that says so where it has nothing to show."""

from collections.abc import Iterator, Mapping, Sequence

from textgan.metrics.score import Score
from textgan.readable import DASH, number, signed
from textgan.report import figures
from textgan.report.figures import Judged, style_of
from textgan.report.findings import (
    Trial,
    augmentation,
    best,
    evaluation,
    headline,
    interval,
    label,
    not_measured,
    paired,
    quality_and_diversity,
    recipe_of,
    standing,
    training,
    trials,
)
from textgan.report.markup import Markup, join, table, tag
from textgan.report.results import Arm, Augmented, Evaluated, RunData, words
from textgan.report.settings import settings
from textgan.report.specimens import model_lines, specimens
from textgan.report.theme import document
from textgan.report.wording import text_statistics

ARROWS = {"higher": "\u2191", "lower": "\u2193", "match": "="}
SAME = "not told from real text"  # an evaluation's verdict where the test finds no difference
FIGURES = {
    "perplexity": "Perplexity",
    "nll_per_byte": "NLL a byte",
    "nll_per_token": "NLL a token",
    "steps": "Steps",
    "tokens": "Tokens",
}
READING = (
    "How to read it: up is nearer to real sentences, right is more alike among themselves. The diamond is held-out "
    "text by people, scored the same way on as many sentences. It is the aim, not a line to pass.",
    "A model that is sharpened moves up and to the right without having learnt anything, so neither axis alone says "
    "which is better, and one temperature shows one point of a curve. What was measured on another n or with other "
    "settings is refused.",
)
SCORING = (
    "Each value with its difference to real held-out text, scored in the same way; a 95 % interval in brackets where "
    "one was measured. \u2191 higher is better, \u2193 lower is better, = the nearer to real text the better, "
    "\u2248 not told apart from real text by the evaluation's test. Past real text is not better than real text."
)


def page(runs: Sequence[RunData]) -> str:
    """The page's HTML."""
    sections = {
        "training": ("Training", _training(runs)),
        "front": ("Quality against diversity", _front(runs)),
        "scores": ("Scores", _scores(runs)),
        "words": ("Lengths and words", _words(runs)),
        "models": ("What the text did to a language model", _models(runs)),
        "samples": ("Samples", _samples(runs)),
        "settings": ("Settings", settings(runs)),
        "missing": ("What was not measured", _missing(runs)),
    }
    links = [tag("a", title, href=f"#{key}") for key, (title, _) in sections.items()]
    main = [tag("section", tag("h2", title), content, id=key) for key, (title, content) in sections.items()]
    versions = sorted({words(run.recipe.get("textgan")) for run in runs} - {""})
    by = f"Written by textgan from the files of the run folders alone; trained with version {', '.join(versions)}."
    foot = tag("footer", by if versions else "Written by textgan from the files of the run folders alone.")
    head = tag("header", _head(runs), tag("nav", *links, aria_label="Sections"))
    return document(f"textgan report: {', '.join(run.name for run in runs)}", join([head, tag("main", *main), foot]))


def _head(runs: Sequence[RunData]) -> Markup:
    one = len(runs) == 1
    lead = [tag("li", own(text, runs[0]) if one else text) for text in headline(runs)]
    title = runs[0].name if one else f"{len(runs)} runs compared"
    tiles = list(_tiles(runs[0])) if one else []
    chips = [tag("li", _chip(place), tag("span", run.name)) for place, run in enumerate(runs)]
    return join(
        [
            tag("p", "textgan report", class_="eyebrow"),
            tag("h1", title),
            None if one else tag("ul", *chips, class_="legend"),
            tag("ul", *lead, class_="lead"),
            tag("ul", *tiles, class_="tiles") if tiles else None,
            None if one else _glance(runs),
        ]
    )


def own(said: str, run: RunData) -> str:
    """A finding without the run's name, where that stands above it already."""
    rest = said.removeprefix(f"{run.name}: ")
    return rest[:1].upper() + rest[1:] if rest != said else said


def _chip(place: int) -> Markup:
    return tag("span", class_=f"chip {style_of(place)}", aria_hidden="true")


def _none(why: str) -> Markup:
    return tag("p", f"Not measured: {why}.", class_="about")


def _heading(runs: Sequence[RunData], place: int) -> Markup | None:
    """The run's name above its part of a section, where there are several runs."""
    kind = recipe_of(runs[place])
    small = tag("small", kind) if kind and kind != runs[place].name else None
    return tag("h3", _chip(place), runs[place].name, small) if len(runs) > 1 else None


def _pair(run: RunData) -> tuple[Score, Score] | None:
    """The two scores that speak for a run's text: of its first evaluation, at the preferred order."""
    pairs = (quality_and_diversity(result.scores, order) for result in run.evaluations[:1] for order in figures.ORDERS)
    return next((pair for pair in pairs if pair), None)


def _perplexity_change(run: RunData) -> tuple[str, str] | None:
    """By how much synthetic text changed the held-out perplexity of the run's first trial, and what that rests on."""
    for trial in trials([run])[:1]:
        pairs = paired(trial, 1, "perplexity") if len(trial.repeats[0].arms) > 1 else []
        changes = [100 * (b / a - 1) for a, b in pairs if a]
        if changes:
            span = interval(changes)
            seeds = f"{len(changes)} seed{'s' * (len(changes) > 1)}"
            about = (
                f"{seeds}, 95 % interval {signed(span[0], 1)} to {signed(span[1], 1)}" if span else f"{seeds}: no claim"
            )
            return f"{signed(sum(changes) / len(changes), 1)} %", about
    return None


def _tiles(run: RunData) -> Iterator[Markup]:
    found, change = best(run), _perplexity_change(run)
    said: list[tuple[str, str, str]] = []
    if found is not None:
        about = f"nats a token, the best, at step {number(found.row.step)}"
        said.append(("Held-out NLL", number(found.value), about))
    for score in _pair(run) or ():
        real = run.evaluations[0].real.get(score.name)
        about = (
            f"real text {number(real.value)}: {standing(run.evaluations[0], score.name)}"
            if real
            else "real text\u2019s own not measured"
        )
        said.append((score.name, number(score.value), about))
    if change is not None:
        said.append(("Perplexity of the tuned LM", change[0], f"by synthetic text; {change[1]}"))
    for what, value, about in said:
        yield tag("li", tag("span", what), tag("b", value), tag("small", about))


def _glance(runs: Sequence[RunData]) -> Markup:
    """The key figures of several runs as a table."""
    pairs = [_pair(run) for run in runs]
    names = next(((pair[0].name, pair[1].name) for pair in pairs if pair), ("BLEU", "self-BLEU"))
    rows = []
    for place, (run, pair) in enumerate(zip(runs, pairs, strict=True)):
        found, change = best(run), _perplexity_change(run)
        real = run.evaluations[0].real if run.evaluations else {}
        scores = zip(pair, names, strict=True) if pair else ()
        cells: list[str] = [_beside_real(score, real.get(score.name), name) for score, name in scores]
        size = run.evaluations[0].n if run.evaluations else None
        low = number(found.value, 4) if found else DASH
        last = change[0] if change else DASH
        rows.append([join([_chip(place), run.name]), low, *(cells or (DASH, DASH)), number(size), last])
    head = ["Run", "Held-out NLL", *names, "n", "Tuned LM\u2019s perplexity"]
    caption = (
        "Held-out NLL is the best, in nats a token. The last column is by how much synthetic text changed the held-out "
        "perplexity of a fine-tuned language model."
    )
    return table(head, rows, caption=caption)


def _beside_real(score: Score, real: Score | None, name: str) -> Markup:
    other = f"real {number(real.value)}" if real else "real: none"
    which = "" if score.name == name else f" ({score.name})"
    return join([number(score.value), which, tag("small", other, class_="wide")])


def _training(runs: Sequence[RunData]) -> Markup:
    parts: list[Markup | None] = [figures.overlay(runs)]
    for place, run in enumerate(runs):
        said, bands = training(run), figures.bands_of(run.log)
        spans = [f"{band.name or 'unnamed'} {number(band.start)}\u2013{number(band.end)}" for band in bands]
        parts += [
            _heading(runs, place),
            tag("p", own(said, run)) if said and len(runs) > 1 else None,
            tag("p", f"Phases by step: {', '.join(spans)}", class_="note") if spans else None,
            figures.curves(run, style_of(place))
            or _none("log.jsonl holds no curve" if run.log else "no readable log.jsonl"),
            *_warnings(run),
        ]
    return join(parts)


def _warnings(run: RunData) -> list[Markup]:
    """The collapse watch's words, equal ones counted."""
    steps: dict[str, list[float]] = {}
    for row in run.log:
        for text in row.warnings:
            steps.setdefault(text, []).append(row.step)
    if run.log and not steps:
        return [tag("p", "The collapse watch logged no warning.", class_="note")]
    said = []
    for text, at in steps.items():
        span = (
            f"step {number(at[0])}" if len(at) == 1 else f"{len(at)} times, steps {number(at[0])} to {number(at[-1])}"
        )
        said.append(tag("p", f"{text} ({span})", class_="flag"))
    return said


def _judged(runs: Sequence[RunData]) -> list[Judged]:
    return [(run, result, style_of(place)) for place, run in enumerate(runs) for result in run.evaluations]


def _front(runs: Sequence[RunData]) -> Markup:
    plots = figures.fronts(_judged(runs))
    if not plots:
        return _none("no evaluation*.json holds both BLEU-n and self-BLEU-n")
    found = [evaluation(run, result) for run, result, _ in _judged(runs)] if len(runs) > 1 else []
    aside = tag("div", *(tag("p", text) for text in (*READING, *filter(None, found))), class_="about")
    others = tag("div", *(tag("div", plot) for plot in plots[1:]), class_="grid two")
    more = tag("details", tag("summary", "The same at other n-gram orders"), others) if plots[1:] else None
    return join([tag("div", tag("div", plots[0]), aside, class_="grid two"), more])


def _scores(runs: Sequence[RunData]) -> Markup:
    groups: dict[tuple[float | None, str], list[tuple[RunData, Evaluated]]] = {}
    for run, result, _ in _judged(runs):
        groups.setdefault((result.n, result.reference), []).append((run, result))
    if not groups:
        return _none("there is no evaluation*.json in these run folders")
    flag = "These evaluations differ in n or in reference: each stands in a table of its own, not to be compared."
    parts = [tag("p", SCORING, class_="about"), tag("p", flag, class_="flag") if len(groups) > 1 else None]
    return join([*parts, *(_score_table(n, reference, items) for (n, reference), items in groups.items())])


def _score_table(n: float | None, reference: str, items: Sequence[tuple[RunData, Evaluated]]) -> Markup:
    reals = {words([score.value for score in result.real.values()]) for _, result in items}
    alike = len(reals) == 1
    texts, own_real = [result.scores for _, result in items], [result.real for _, result in items]
    names = list(dict.fromkeys(name for scores in texts for name in scores))
    rows = [_score_row(name, texts, own_real, own_real[0] if alike else {}) for name in names]
    head = ["Metric", "Real text", *(label(run, result) for run, result in items)]
    columns: tuple[int, ...] = (0,)
    if len(items) == 1 and (verdicts := items[0][1].verdicts):
        said = [tag("span", verdicts.get(name, DASH), class_="long") for name in names]
        rows, head, columns = [[*row, text] for row, text in zip(rows, said, strict=True)], [*head, "Verdict"], (0, 3)
    for name, row in zip(names, rows, strict=True) if len(items) > 1 else ():
        for place, (_, result) in enumerate(items, 2):
            if result.verdicts.get(name) == SAME:
                row[place] = join(["\u2248 ", row[place]])
    caption = f"n = {number(n)} sentences; reference {reference or 'not recorded'}"
    caption += "" if alike else "; real text differs by column and is what each difference is to"
    warned: dict[str, list[str]] = {}
    for run, result in items:
        for warning in result.warnings:
            warned.setdefault(warning, []).append(label(run, result))
        odd = sorted({score.n for score in result.scores.values() if n is not None and score.n not in (0, n)})
        if odd:
            warned.setdefault(f"some scores were measured on n = {', '.join(map(number, odd))}", []).append(
                label(run, result)
            )
    flags = [tag("p", f"{', '.join(who)}: {warning}", class_="flag") for warning, who in warned.items()]
    listed = table(head, rows, caption=caption, text_columns=columns)
    return join([listed, *flags, _signatures([result for _, result in items])])


def _score_row(
    name: str, texts: Sequence[Mapping[str, Score]], reals: Sequence[Mapping[str, Score]], real: Mapping[str, Score]
) -> list[str]:
    """Metric and direction, real text, then each value with its difference to its own real text, in one format."""
    found = [scores[name] for scores in (*texts, *reals) if name in scores]
    whole = all(score.value == int(score.value) for score in found) and any(abs(score.value) > 1 for score in found)
    places = 0 if whole else 3

    def shown(value: float) -> str:
        return number(value) if abs(value) >= 1e6 else f"{value:,.{places}f}".replace("-", "\u2212")

    def cell(score: Score | None, other: Score | None) -> str:
        if score is None:
            return DASH
        change = tag("small", signed(score.value - other.value, places)) if other else None
        low, high = score.low, score.high
        span = None if low is None or high is None else tag("small", f"[{shown(low)}, {shown(high)}]", class_="span")
        return join([shown(score.value), change, span])

    cells = [cell(scores.get(name), own_real.get(name)) for scores, own_real in zip(texts, reals, strict=True)]
    first = join([name, " ", tag("small", ARROWS[found[0].better])])
    return [first, cell(real.get(name), None), *cells]


def _signatures(results: Sequence[Evaluated]) -> Markup | None:
    lines = dict.fromkeys(score.signature for result in results for score in result.scores.values() if score.signature)
    if not lines:
        return None
    listed = tag("ul", *(tag("li", tag("code", line)) for line in lines), class_="signature")
    return tag("details", tag("summary", "Signatures: all that makes these figures comparable"), listed)


def _words(runs: Sequence[RunData]) -> Markup:
    parts: list[Markup | None] = []
    for place, run in enumerate(runs):
        why = "no heldout.txt to compare with" if run.generated else "neither samples/ nor sample*.txt holds a sentence"
        parts += [_heading(runs, place), text_statistics(run, style_of(place)) or _none(why)]
    return join(parts)


def _samples(runs: Sequence[RunData]) -> Markup:
    about = "Whole sentences as they came, none chosen. Real ones are drawn from the held-out text with seed 0."
    parts: list[Markup | None] = [tag("p", about, class_="about")]
    for place, run in enumerate(runs):
        parts += [_heading(runs, place), specimens(run) or _none("neither samples/ nor sample*.txt holds a sentence")]
    return join(parts)


def _models(runs: Sequence[RunData]) -> Markup:
    parts: list[Markup | None] = []
    for place, run in enumerate(runs):
        if run.augmentations or run.finetunes:
            parts.append(_heading(runs, place))
        parts += [_trial(trial, run, style_of(place)) for trial in trials([run])]
        if run.finetunes:
            several = len(run.finetunes) > 1
            plot = figures.tuned_perplexities(run.finetunes, run.name, style_of(place)) if several else None
            parts += [tag("h4", "Fine-tuned one by one"), plot, _tuned(run.finetunes)]
    return join(parts) if parts else _none("neither augmentation*.json nor finetune*.json is in these run folders")


def _trial(trial: Trial, run: RunData, style: str) -> Markup:
    findings = [tag("p", own(text, run)) for text in augmentation(trial)]
    plots = [figures.perplexities(trial, style), figures.written_scores(trial, style)]
    left = tag("div", *findings, tag("p", f"Language model: {trial.lm or 'not recorded'}.", class_="about"), plots[0])
    rows = [
        [arm.name, number(result.seed), *(number(arm.values.get(key), 4) for key in FIGURES)]
        for result in trial.repeats
        for arm in result.arms
    ]
    notes = dict.fromkeys(
        f"{arm.name}: {note}." for result in trial.repeats for arm in result.arms for note in arm.notes
    )
    caption = f"Held-out figures, {', '.join(result.file for result in trial.repeats)}"
    return join(
        [
            tag("div", left, tag("div", plots[1]) if plots[1] else None, class_="grid two"),
            table(["Fine-tuned on", "Seed", *FIGURES.values()], rows, caption=caption),
            *(tag("p", note, class_="note") for note in notes),
            _written(trial.repeats[0]),
            model_lines(trial.repeats[0].arms),
        ]
    )


def _tuned(arms: Sequence[Arm]) -> Markup:
    rows = []
    for arm in arms:
        rows.append(
            [arm.name, tag("span", arm.lm or DASH, class_="long"), *(number(arm.values.get(key), 4) for key in FIGURES)]
        )
    notes = [tag("p", f"{arm.name}: {note}.", class_="note") for arm in arms for note in arm.notes]
    head = ["File", "Language model", *FIGURES.values()]
    return join([table(head, rows, caption="Held-out figures of single fine-tunings", text_columns=(0, 1)), *notes])


def _written(result: Augmented) -> Markup | None:
    """All scores of the text that each arm's model writes."""
    texts = [arm.scores for arm in result.arms]
    names = list(dict.fromkeys(name for scores in texts for name in scores))
    if not names:
        return None
    rows = [_score_row(name, texts, [result.real] * len(texts), result.real) for name in names]
    sizes = sorted({score.n for scores in texts for score in scores.values() if score.n})
    caption = f"Text that each tuned model writes, {result.file}; n = {', '.join(map(number, sizes)) or DASH}"
    head = ["Metric", "Real text", *(arm.name for arm in result.arms)]
    listed = table(head, rows, caption=caption)
    return tag("details", tag("summary", "All scores of that text as a table"), listed)


def _missing(runs: Sequence[RunData]) -> Markup:
    return tag("ul", *(tag("li", tag("b", what), f": {why}.") for what, why in not_measured(runs)), class_="missing")
