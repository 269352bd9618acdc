"""The page of an audit."""

from __future__ import annotations

from collections.abc import Sequence

from textgan.augmentation.audit.found import UNSEEN, Audit, tables
from textgan.readable import percent
from textgan.report.charts import DotRow, Line, dots, line_chart
from textgan.report.markup import Markup, figure, join, legend, table, tag
from textgan.report.svg import Axis, Point
from textgan.report.theme import COLOURS, document

STYLES = {"real": "real", "control": "c2", "pool": "c0", "selected": "c1", "selected, weighted": "c3"}


def page(done: Audit) -> str:
    """HTML: one static page that runs and fetches nothing."""
    shown = {
        caption: table(head, rows, caption=caption, text_columns=_words(head)) for caption, head, rows in tables(done)
    }
    captions = list(shown)
    about = done.about
    text = f"{about['pool']['name']}: {about['pool']['rows']:,} rows, {about['pool']['selected']:,} selected"
    head = tag(
        "header",
        tag("p", "textgan audit", class_="eyebrow"),
        tag("h1", "Audit of synthetic text"),
        tag("ul", *(tag("li", sentence) for sentence in done.findings()), class_="lead"),
        tag("p", f"{text}; real text {about['real']['name']}, lexicon {about['lexicon']}.", class_="about"),
    )
    privacy = [tag("h2", "Privacy"), *_privacy(done)]
    privacy += [shown[caption] for caption in captions if caption.startswith("Overlap")]
    rest = [caption for caption in captions[1:] if not caption.startswith("Overlap")]
    body = [
        tag("section", tag("h2", "Groups"), *_groups(done), shown[captions[0]]),
        tag(
            "section", tag("h2", "Distance, amplification, constraints"), tag("p", EXPLAINED), *(shown[c] for c in rest)
        ),
        tag("section", tag("h2", "Sensitivity"), *_sensitivity(done)),
        tag("section", *privacy),
        tag("section", tag("h2", "Not measured"), _absent(done)) if done.absent else None,
    ]
    return document("textgan audit", join([head, tag("main", *body), tag("footer", _settings(done))]))


EXPLAINED = (
    "Total variation is the largest difference in the probability of anything about the groups. Amplification is the "
    "mean change of the words' lean to the group that they lean to in real text (Zhao et al. 2017); fresh real text "
    "may be below 0 itself, so read the pool's beside the control's."
)


def _words(head: Sequence[str]) -> list[int]:
    return [
        place for place, name in enumerate(head) if name in ("text", "group", "way", "model", "swap", "found again")
    ]


def _groups(done: Audit) -> list[Markup]:
    plots = []
    for group in done.lexicon.groups:
        rows = [
            DotRow(
                text,
                [
                    Point(
                        f"{text}: {percent(s.share)}",
                        100 * s.share,
                        0,
                        STYLES[text],
                        "diamond" if text == "real" else "dot",
                        100 * s.low,
                        100 * s.high,
                    )
                ],
            )
            for text, found in done.shares.items()
            for s in [found[group]]
        ]
        about = "share of lines that mention the group, with its 95 % interval"
        plots.append(figure(group, about, dots(rows, title=group, desc=about, x=Axis("per cent of the lines"))))
    return [tag("div", *plots, class_="grid two")]


def _sensitivity(done: Audit) -> list[Markup]:
    if not done.sensitivity:
        return [tag("p", "The pool is too small for the mixes that are looked at.")]
    kept = sorted({setting.kept for setting in done.sensitivity}, reverse=True)
    styles = {share: f"c{place % COLOURS}" for place, share in enumerate(kept)}
    plots = []
    for group in done.lexicon.groups:
        lines = []
        for share in kept:
            by: dict[float, list[float]] = {}
            for one in done.sensitivity:
                if one.kept == share:
                    by.setdefault(one.ratio, []).append(100 * one.shares[group])
            x = sorted(by)
            mean = [sum(by[ratio]) / len(by[ratio]) for ratio in x]
            low, high = ([limit(by[ratio]) for ratio in x] for limit in (min, max))
            lines.append(Line(f"best {100 * share:g} %", x, mean, styles[share], low, high))
        plot = line_chart(
            lines, title=group, desc=f"share of {group} in the mix against the mixing ratio",
            x=Axis("synthetic lines for each real line", low=0.0), y=Axis("per cent of the mix"),
            guides=[(100 * done.shares["real"][group].share, "real text")],
        )  # fmt: skip
        plots.append(figure(group, "in the mix of real and synthetic lines; shaded: three draws", plot))
    score = done.about["pool"]["score"]
    scored = f"{done.about['pool']['scored']:,} lines that have it"
    how = f"the best by the score {score!r}, among the {scored}" if score else "all of the pool"
    keys = [("line", styles[share], f"{100 * share:g} % of them kept") for share in kept]
    return [
        tag("p", f"All real lines and a draw of synthetic ones, of {how}."),
        legend(keys),
        tag("div", *plots, class_="grid two"),
    ]


def _privacy(done: Audit) -> list[Markup]:
    parts: list[Markup] = []
    if done.overlap:
        rows = [
            DotRow(
                f"{text}, {what}",
                [Point("difference", 100 * one.difference, 0, STYLES[text], "dot", 100 * one.low, 100 * one.high)],
            )
            for text, over in done.overlap.items()
            for what, one in ((f"{over.order} words in a row", over.ngram), ("whole line", over.verbatim))
            if one is not None
        ]
        rows.append(DotRow("no copying", [Point("no difference", 0.0, 0, "real", "diamond")]))
        about = "found in the training text minus found in the control, with 95 % intervals"
        x = Axis("percentage points of the lines")
        parts.append(figure("Overlap above the control", about, dots(rows, title="Overlap", desc=about, x=x)))
    about = f"bits; a line that was never seen has {UNSEEN} on average"
    for model, exposed in done.exposure.items():
        bits = sorted(exposed, reverse=True)
        rows = [
            DotRow(f"canary {place}", [Point(f"{value:.2f} bits", value)]) for place, value in enumerate(bits[:30], 1)
        ]
        plot = dots(rows, title=f"Exposure, {model}", desc=about, x=Axis("bits", low=0))
        parts.append(figure(f"Exposure of canaries in the {model}", about, plot))
    for text, over in done.overlap.items():
        if over.copied:
            listed = tag("ul", *(tag("li", tag("bdi", line)) for line in over.copied), class_="lines")
            said = f"Lines that stand in the training text and not in the control ({text}, {len(over.copied)} shown)"
            parts.append(tag("details", tag("summary", said), listed))
    return parts


def _absent(done: Audit) -> Markup:
    return tag("ul", *(tag("li", tag("b", what), f": {why}") for what, why in done.absent.items()), class_="missing")


def _settings(done: Audit) -> Markup:
    hashes = [f"{name} {facts['name']} sha256 {facts['sha256'][:16]}" for name, facts in done.about.items()
              if isinstance(facts, dict) and "sha256" in facts]  # fmt: skip
    groups = "; ".join(f"{name}: {', '.join(words)}" for name, words in done.lexicon.groups.items())
    return join([tag("p", f"Seed {done.about['seed']}. {'; '.join(hashes)}."), tag("p", f"Words. {groups}.")])
