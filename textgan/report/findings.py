"""What the results say, in plain sentences: computed from the numbers, as plain about a loss as about a win, silent where nothing was measured."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from textgan.metrics.score import Score
from textgan.report.markup import number, signed
from textgan.report.results import Arm, Augmented, Evaluated, Row, RunData, dig, words

ORDERS = (4, 3, 5, 2)  # which BLEU-n and self-BLEU-n speak for a text, by preference
SLIGHT = 0.005  # relative differences under half a percent are called none
FAMILIES = {"BLEU": "BLEU against real text", "self-BLEU": "self-BLEU", "distinct": "distinct-n", "MAUVE": "MAUVE", "Frechet": "Frechet distance of sentence embeddings",
            "novel": "novelty and copying from the training text", "LM": "fluency under a language model that no player saw"}  # fmt: skip


class Best(NamedTuple):
    """The lowest held-out NLL of a run, and those at the end of maximum likelihood and of the run."""

    value: float
    row: Row
    mle_end: float | None
    last: float
    last_row: Row


class Trial(NamedTuple):
    """Fine-tunings that differ in their seed only: one list of arms a seed, the first arm without synthetic text."""

    run: str
    lm: str
    ratio: float | None
    repeats: list[Augmented]


def best(run: RunData) -> Best | None:
    """The run's held-out NLL at its best and at its ends, or None if it was never measured."""
    rows = [row for row in run.log if "valid_nll" in row.values]
    if not rows:
        return None
    low = min(rows, key=lambda row: row.values["valid_nll"])
    mle = [row.values["valid_nll"] for row in rows if row.phase == "mle"]
    return Best(low.values["valid_nll"], low, mle[-1] if mle else None, rows[-1].values["valid_nll"], rows[-1])


def recipe_of(run: RunData) -> str:
    """The recipe's name, or nothing."""
    return words(run.recipe.get("recipe"))


def label(run: RunData, result: Evaluated) -> str:
    """A name for one evaluation: the run's, and what its file's name adds to `evaluation`."""
    extra = result.file.removeprefix("evaluation").removesuffix(".json").strip("-_. ")
    return f"{run.name} \u00b7 {extra}" if extra else run.name


def quality_and_diversity(scores: Mapping[str, Score], order: int) -> tuple[Score, Score] | None:
    """BLEU-n and self-BLEU-n of one text, if both were measured."""
    pair = scores.get(f"BLEU-{order}"), scores.get(f"self-BLEU-{order}")
    return (pair[0], pair[1]) if pair[0] and pair[1] else None


def adversarial_change(run: RunData) -> float | None:
    """Held-out NLL at the end of the adversarial phase, less that at the end of maximum likelihood."""
    found = best(run)
    if found is None or found.mle_end is None or found.last_row.phase != "adversarial":
        return None
    return found.last - found.mle_end


def training(run: RunData) -> str | None:
    """What training did to the held-out NLL."""
    found = best(run)
    if found is None:
        return None
    said = f"{run.name}: best held-out NLL {number(found.value)} nats a token, at step {number(found.row.step)}"
    said += f" ({found.row.phase} phase)." if found.row.phase else "."
    change = adversarial_change(run)
    if change is not None and found.mle_end is not None:
        said += (
            f" The adversarial phase took it from {number(found.mle_end)} to {number(found.last)} ({signed(change)}): "
        )
        said += (
            "no change to speak of." if abs(change) < SLIGHT * found.mle_end else "worse." if change > 0 else "better."
        )
    return said


def against_real(score: Score, real: Score | None) -> str:
    """One score beside real text's own, in words; being better than real text is not called a win."""
    if real is None:
        return ""
    change = score.value - real.value
    spans = score.low, score.high, real.low, real.high
    if None not in spans and max(spans[0], spans[2]) <= min(spans[1], spans[3]):  # type: ignore[type-var]
        return "not told apart from real text: the intervals overlap"
    if abs(change) <= SLIGHT * max(abs(real.value), 1e-9):
        return "as real text"
    if score.name.startswith("self-BLEU"):
        return "less diverse than real text" if change > 0 else "more scattered than real text"
    if score.name.startswith("distinct"):
        return "less diverse than real text" if change < 0 else "more scattered than real text"
    return "above real text" if change > 0 else "below real text"


def evaluation(run: RunData, result: Evaluated) -> str | None:
    """Quality and diversity of one text beside real text, at the order that speaks for it."""
    for order in ORDERS:
        own, real = quality_and_diversity(result.scores, order), quality_and_diversity(result.real, order)
        if own is None:
            continue
        said = f"{label(run, result)}: " + (f"on {number(result.n)} sentences " if result.n is not None else "")
        parts = [f"{score.name} is {number(score.value)}" + (f" against {number(other.value)} for real text ({against_real(score, other)})" if other else "")
                 for score, other in zip(own, real or (None, None), strict=True)]  # fmt: skip
        said += " and ".join(parts) + "."
        if real and own[0].value > real[0].value and own[1].value > real[1].value:
            said += " Higher on both at once is the mark of a sharpened model, not of a better one."
        return said
    return None


def trials(runs: Iterable[RunData]) -> list[Trial]:
    """The augmentation results, those that differ in their seed only put together."""
    found: dict[tuple[str, str, float | None, tuple[str, ...]], Trial] = {}
    for run in runs:
        for result in run.augmentations:
            if result.arms:
                key = (run.name, result.lm, result.ratio, tuple(arm.name for arm in result.arms))
                found.setdefault(key, Trial(run.name, result.lm, result.ratio, [])).repeats.append(result)
    return list(found.values())


def paired(trial: Trial, place: int, key: str) -> list[tuple[float, float]]:
    """(without, with) for each seed in which both the first arm and arm `place` have this figure."""
    pairs = [(result.arms[0].values.get(key), result.arms[place].values.get(key)) for result in trial.repeats]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def uneven(arms: Sequence[Arm]) -> bool:
    """Whether the arms differ in steps, or in tokens by more than a hundredth: then their comparison is of budgets too."""
    spans = [[arm.values[key] for arm in arms if key in arm.values] for key in ("steps", "tokens")]
    return any(values and max(values) > min(values) * slack for values, slack in zip(spans, (1.0, 1.01), strict=True))


def augmentation(trial: Trial) -> list[str]:
    """What synthetic text did to the language model: perplexity, then the text that it writes."""
    said = []
    for place, arm in enumerate(trial.repeats[0].arms[1:], 1):
        pairs = paired(trial, place, "perplexity")
        if pairs:
            said.append(f"{trial.run}: " + _perplexity(trial, arm.name, pairs))
        written = _written(trial, place)
        if written:
            said.append(written)
    if any(uneven(result.arms) for result in trial.repeats):
        said.append("The arms had unequal steps or tokens, so the difference is not that of the text alone.")
    return said


def _perplexity(trial: Trial, arm: str, pairs: Sequence[tuple[float, float]]) -> str:
    before, after = (statistics.fmean(side) for side in zip(*pairs, strict=True))
    changes = [b / a - 1 if a else 0.0 for a, b in pairs]
    mean, many = statistics.fmean(changes), len(pairs)
    ratio = f", ratio {trial.ratio:g}" if trial.ratio is not None else ""
    said = f"fine-tuned on \u201c{arm}\u201d{ratio}, held-out perplexity went from {number(before)} to {number(after)} ({signed(100 * mean, 1)} %)"
    worse = sum(change > 0 for change in changes)
    if abs(mean) < SLIGHT:
        verdict = "no difference to speak of"
    elif 0 < worse < many:
        verdict = f"undecided, better in {many - worse} of {many} seeds"
    else:
        verdict = "the synthetic text hurt" if mean > 0 else "the synthetic text helped"
    if many == 1:
        return f"{said}: {verdict}. This is one seed, which cannot tell a small effect from chance."
    return f"{said}: {verdict} (mean of {many} seeds, sd {100 * statistics.stdev(changes):.1f} points)."


def _written(trial: Trial, place: int) -> str | None:
    """How the text that the language model writes moved, beside real text."""
    result = trial.repeats[0]
    base, arm = result.arms[0], result.arms[place]
    both = [name for name in base.scores if name in arm.scores]
    picked = [name for name in ("BLEU-4", "self-BLEU-4", "distinct-2", "novel-4-grams") if name in both]
    if not picked:
        return None
    parts = []
    for name in picked:
        real = f" (real text {number(result.real[name].value)})" if name in result.real else ""
        parts.append(f"{name} {number(base.scores[name].value)} \u2192 {number(arm.scores[name].value)}{real}")
    return (
        "The text that the tuned model writes: "
        + ", ".join(parts)
        + ("." if len(trial.repeats) == 1 else f"; seed {number(result.seed)} only.")
    )


def comparison(runs: Sequence[RunData]) -> str | None:
    """The runs in order of their best held-out NLL, or why they cannot be put in order."""
    known = [(found.value, run) for run in runs if (found := best(run)) is not None]
    if len(known) < 2:
        return None
    conditions = {
        (words(dig(run.recipe, "valid", "sha256")), words(run.recipe.get("tokens")), tuple(run.heldout[:50]))
        for _, run in known
    }
    if len(conditions) > 1:
        return (
            "The runs\u2019 held-out NLLs are not comparable: they were measured on different held-out text or in "
            "different tokens."
        )
    ranked = sorted(known, key=lambda pair: pair[0])
    listed = ", ".join(f"{run.name} {number(value, 4)}" for value, run in ranked)
    said = f"Best held-out NLL, in nats a token, lower is better: {listed}."
    if ranked[-1][0] - ranked[0][0] < 0.02 * ranked[0][0]:
        said += " They lie within two hundredths of each other, which a seed can do."
    return said


def adversarial(runs: Sequence[RunData]) -> str | None:
    """What the adversarial phase did to the held-out NLL of all runs that had one."""
    moves = [(run.name, change) for run in runs if (change := adversarial_change(run)) is not None]
    if not moves:
        return None
    worse = sum(change > 0 for _, change in moves)
    said = f"The adversarial phase made held-out NLL worse in {worse} of {len(moves)} runs"
    return said + " (" + ", ".join(f"{name} {signed(change)}" for name, change in moves) + ")."


def texts(runs: Sequence[RunData]) -> str | None:
    """Where the first evaluations of all runs stand beside real text, if they were measured alike."""
    for order in ORDERS:
        found = [(run.name, result, pair) for run in runs for result in run.evaluations[:1]
                 if (pair := quality_and_diversity(result.scores, order))]  # fmt: skip
        reals = {quality_and_diversity(result.real, order) for _, result, _ in found}
        if len(found) < 2 or len({result.n for _, result, _ in found}) > 1 or len(reals) > 1 or None in reals:
            continue
        real = quality_and_diversity(found[0][1].real, order)
        assert real is not None
        below = sum(quality.value < real[0].value for _, _, (quality, _) in found)
        alike = sum(diversity.value > real[1].value for _, _, (_, diversity) in found)
        near = min(found, key=lambda item: math.dist([s.value for s in item[2]], [s.value for s in real]))
        return (
            f"On {number(found[0][1].n)} sentences each, {below} of {len(found)} texts have a lower BLEU-{order} than "
            f"real text ({number(real[0].value)}) and {alike} of {len(found)} are less diverse than it by "
            f"self-BLEU-{order} ({number(real[1].value)}). Nearest to it on these two is {near[0]} "
            f"({number(near[2][0].value)} and {number(near[2][1].value)})."
        )
    return None


def headline(runs: Sequence[RunData]) -> list[str]:
    """The page's first sentences: all about one run, or the comparison of several."""
    said: list[str | None] = []
    if len(runs) == 1:
        said += [training(runs[0]), *(evaluation(runs[0], result) for result in runs[0].evaluations)]
        said += [text for trial in trials(runs) for text in augmentation(trial)]
    else:
        said += [comparison(runs), adversarial(runs), texts(runs)]
        said += [text for trial in trials(runs) for text in augmentation(trial)[:1]]
        if len(said) == 3 and not any(said):
            said += [text for run in runs for text in [training(run), *(evaluation(run, r) for r in run.evaluations)]]
    return [text for text in said if text] or [
        "These run folders hold no figures yet: nothing was logged or evaluated."
    ]


def not_measured(runs: Sequence[RunData]) -> list[tuple[str, str]]:
    """(what, why) for everything that this page could have shown and does not."""
    missing: list[tuple[str, str]] = []
    for run in runs:
        wanted = {
            "Training curves": (run.log, "no readable log.jsonl"),
            "Held-out NLL": (best(run), "log.jsonl has no valid_nll; train with held-out text"),
            "Scores of its text": (run.evaluations, "no evaluation*.json in the run folder"),
            "Real text beside it": (run.heldout, "no heldout.txt"),
            "Its text": (run.generated, "neither samples/ nor sample*.txt"),
            "Effect on a language model": (
                run.augmentations or run.finetunes,
                "neither augmentation*.json nor finetune*.json",
            ),
            "Settings": (run.recipe, "no readable recipe.json"),
        }
        missing += [(f"{run.name}: {what}", why) for what, (there, why) in wanted.items() if not there]
        for result in run.evaluations:
            missing += [(f"{label(run, result)}: {name}", why) for name, why in result.absent.items()]
        missing += [(f"{run.name}: a file", problem) for problem in run.problems]
    names = {name for run in runs for result in run.evaluations for name in result.scores}
    if names:
        missing += [
            (what, "not among the evaluations\u2019 scores")
            for start, what in FAMILIES.items()
            if not any(name.lower().startswith(start.lower()) for name in names)
        ]
    if names and not any(
        score.low is not None for run in runs for result in run.evaluations for score in result.scores.values()
    ):
        missing.append(
            ("Intervals of the scores", "the evaluations hold single values; small differences may be chance")
        )
    for name, count in sorted(Counter(recipe_of(run) for run in runs if recipe_of(run)).items()):
        if count < 3:
            missing.append(
                (
                    f"Spread between training seeds of {name}",
                    f"{count} run{'s' * (count > 1)} here; three seeds or more would show it",
                )
            )
    for trial in trials(runs):
        if len(trial.repeats) < 3:
            missing.append(
                (
                    f"{trial.run}: spread of the fine-tuning",
                    f"{len(trial.repeats)} seed{'s' * (len(trial.repeats) > 1)}; three or more would show it",
                )
            )
    return [*missing, ("Judgement by people", "no ratings are read by this page")]
