"""What the results say, in plain sentences computed from the numbers: a loss as plainly as a win."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from textgan.metrics.score import Score
from textgan.readable import number, signed
from textgan.report.results import Arm, Augmented, Evaluated, Row, RunData, dig, words

ORDERS = (4, 3, 5, 2)  # which BLEU-n and self-BLEU-n speak for a text, by preference
SLIGHT = 0.005  # relative differences under half a percent are called none
ENOUGH = 3  # seeds from which an interval says anything
FAMILIES = {
    "BLEU": "BLEU against real text",
    "self-BLEU": "Self-BLEU",
    "distinct": "Distinct n-grams",
    "MAUVE": "MAUVE",
    "Frechet": "Frechet distance of sentence embeddings",
    "novel": "Novelty and copying from the training text",
    "LM": "Fluency under a language model that no player saw",
}


class Best(NamedTuple):
    """The lowest held-out NLL of a run and its row, the lowest of maximum likelihood, and the last with its row."""

    value: float
    row: Row
    mle: float | None
    last: float
    last_row: Row


class Trial(NamedTuple):
    """Fine-tunings that differ in their seed only; the first arm of each had no synthetic text."""

    run: str
    lm: str
    ratio: float | None
    repeats: list[Augmented]


def best(run: RunData) -> Best | None:
    """The run's held-out NLL at its best and at its end, or None if it was never measured."""
    rows = [row for row in run.log if "valid_nll" in row.values]
    if not rows:
        return None
    low = min(rows, key=lambda row: row.values["valid_nll"])
    mle = min((row.values["valid_nll"] for row in rows if row.phase == "mle"), default=None)
    return Best(low.values["valid_nll"], low, mle, rows[-1].values["valid_nll"], rows[-1])


def adversarial_change(run: RunData) -> float | None:
    """Held-out NLL at the end of the adversarial phase, less the best of maximum likelihood (its honest rival)."""
    found = best(run)
    if found is None or found.mle is None or found.last_row.phase != "adversarial":
        return None
    return found.last - found.mle


def recipe_of(run: RunData) -> str:
    """The recipe's name, or nothing."""
    return words(run.recipe.get("recipe"))


def label(run: RunData, result: Evaluated) -> str:
    """A name for one evaluation: the run's, and what its file's name adds to `evaluation`."""
    extra = result.file.removeprefix("evaluation").removesuffix(".json").strip("-_. ")
    return f"{run.name} \u00b7 {extra}" if extra else run.name


def quality_and_diversity(scores: Mapping[str, Score], order: int) -> tuple[Score, Score] | None:
    """BLEU-n and self-BLEU-n of one text, if both were measured."""
    quality, diversity = scores.get(f"BLEU-{order}"), scores.get(f"self-BLEU-{order}")
    return (quality, diversity) if quality and diversity else None


def training(run: RunData) -> str | None:
    """What training did to the held-out NLL."""
    found, change = best(run), adversarial_change(run)
    if found is None:
        return None
    said = f"{run.name}: best held-out NLL {number(found.value)} nats a token, at step {number(found.row.step)}"
    said += f" ({found.row.phase} phase)." if found.row.phase else "."
    if change is None or found.mle is None:
        return said
    verdict = "no change to speak of" if abs(change) < SLIGHT * found.mle else "worse" if change > 0 else "better"
    return (
        f"{said} The adversarial phase ended at {number(found.last)}, the best of maximum likelihood was "
        f"{number(found.mle)} ({signed(change)}): {verdict}."
    )


def standing(result: Evaluated, name: str) -> str:
    """Where one score of an evaluation stands to real text: the tested verdict, else what the two values say."""
    if name not in result.scores:
        return ""
    return result.verdicts.get(name) or against_real(result.scores[name], result.real.get(name))


def against_real(score: Score, real: Score | None) -> str:
    """One score beside real text's own, in words; being past real text is not called a win."""
    if real is None:
        return ""
    if score.low is not None and score.high is not None and real.low is not None and real.high is not None:
        if max(score.low, real.low) <= min(score.high, real.high):
            return "not told apart from real text"
    elif abs(score.value - real.value) <= SLIGHT * max(abs(real.value), 1e-9):
        return "as real text"
    above = score.value > real.value
    if score.name.startswith(("self-BLEU", "distinct")):
        return (
            "less diverse than real text" if above == score.name.startswith("self") else "more scattered than real text"
        )
    return "above real text" if above else "below real text"


def evaluation(run: RunData, result: Evaluated) -> str | None:
    """Quality and diversity of one text beside real text, at the order that speaks for it."""
    order = next((order for order in ORDERS if quality_and_diversity(result.scores, order)), None)
    own = quality_and_diversity(result.scores, order) if order else None
    if own is None:
        return None
    parts = []
    for score in own:
        real = result.real.get(score.name)
        beside = f" against {number(real.value)} for real text ({standing(result, score.name)})" if real else ""
        parts.append(f"{score.name} is {number(score.value)}{beside}")
    size = f"on {number(result.n)} sentences " if result.n is not None else ""
    said = f"{label(run, result)}: {size}{' and '.join(parts)}."
    if all(standing(result, score.name).startswith(("above", "less diverse")) for score in own):
        said += " Higher on both at once is the mark of a sharpened model, not of a better one."
    return said


def trials(runs: Iterable[RunData]) -> list[Trial]:
    """The augmentation results, those that differ in their seed only put together; of one seed the first counts."""
    found: dict[tuple[object, ...], Trial] = {}
    for run in runs:
        for result in run.augmentations:
            if result.arms:
                key = (run.name, result.lm, result.ratio, result.shared, *(arm.name for arm in result.arms))
                trial = found.setdefault(key, Trial(run.name, result.lm, result.ratio, []))
                if result.seed is None or result.seed not in {one.seed for one in trial.repeats}:
                    trial.repeats.append(result)
    return list(found.values())


def paired(trial: Trial, place: int, key: str) -> list[tuple[float, float]]:
    """(without, with) for each seed in which both the first arm and arm `place` have this figure."""
    pairs = [(result.arms[0].values.get(key), result.arms[place].values.get(key)) for result in trial.repeats]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % t-interval of a mean; None below three values, where it would say nothing."""
    if len(values) < ENOUGH:
        return None
    from scipy.special import stdtrit

    mean, half = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    half *= float(stdtrit(len(values) - 1, 0.975))
    return mean - half, mean + half


def uneven(arms: Sequence[Arm]) -> bool:
    """Whether the arms differ in steps, or in tokens by more than a hundredth: then budgets are compared too."""
    spans = [[arm.values[key] for arm in arms if key in arm.values] for key in ("steps", "tokens")]
    return any(values and max(values) > min(values) * slack for values, slack in zip(spans, (1.0, 1.01), strict=True))


def augmentation(trial: Trial) -> list[str]:
    """What synthetic text did to the language model: its perplexity, then the text that it writes."""
    said = []
    for place, arm in enumerate(trial.repeats[0].arms[1:], 1):
        pairs = paired(trial, place, "perplexity")
        if pairs:
            said.append(f"{trial.run}: {_perplexity(trial, arm.name, pairs)}")
        said += [text for text in [_written(trial, place)] if text]
    if any(uneven(result.arms) for result in trial.repeats):
        said.append("The arms had unequal steps or tokens, so the difference is not that of the text alone.")
    return said


def _perplexity(trial: Trial, arm: str, pairs: Sequence[tuple[float, float]]) -> str:
    before, after = (statistics.fmean(side) for side in zip(*pairs, strict=True))
    span = interval([b - a for a, b in pairs])
    ratio = f" ({trial.ratio:g} synthetic lines a real one)" if trial.ratio is not None else ""
    relative = f" ({signed(100 * (after / before - 1), 1)} %)" if before else ""
    base = trial.repeats[0].arms[0].name
    said = (
        f"with a language model fine-tuned on \u201c{arm}\u201d{ratio} instead of \u201c{base}\u201d, held-out "
        f"perplexity went from {number(before)} to {number(after)}{relative}"
    )
    if span is None:
        return f"{said}. {'One seed' if len(pairs) == 1 else 'Two seeds'}: no claim."
    verdict = "it hurt" if span[0] > 0 else "it helped" if span[1] < 0 else "not told apart"
    return f"{said}: {verdict} (95 % interval {signed(span[0], 2)} to {signed(span[1], 2)}, {len(pairs)} seeds)."


def _written(trial: Trial, place: int) -> str | None:
    """How the text that the language model writes moved, beside real text."""
    result = trial.repeats[0]
    base, arm = result.arms[0], result.arms[place]
    parts = []
    for name in ("BLEU-4", "self-BLEU-4", "distinct-2", "novel-4-grams"):
        if name in base.scores and name in arm.scores:
            real = f" (real text {number(result.real[name].value)})" if name in result.real else ""
            parts.append(f"{name} {number(base.scores[name].value)} \u2192 {number(arm.scores[name].value)}{real}")
    only = f", seed {number(result.seed)} only" if len(trial.repeats) > 1 else ""
    return f"The text that the tuned model writes{only}: {', '.join(parts)}." if parts else None


def comparison(runs: Sequence[RunData]) -> str | None:
    """The runs in order of their best held-out NLL, or why they cannot be put in order."""
    known = [(found.value, run) for run in runs if (found := best(run)) is not None]
    if len(known) < 2:
        return None
    conditions = {
        (words(dig(run.recipe, "valid")), words(run.recipe.get("tokens")), tuple(run.heldout)) for _, run in known
    }
    if len(conditions) > 1:
        return "The runs\u2019 held-out NLLs are not comparable: their held-out text or their tokens differ."
    ranked = sorted(known, key=lambda pair: pair[0])
    listed = ", ".join(f"{run.name} {number(value, 4)}" for value, run in ranked)
    said = f"Best held-out NLL, in nats a token, lower is better: {listed}."
    if ranked[-1][0] - ranked[0][0] < 0.02 * ranked[0][0]:
        said += " These lie within 2 % of each other, which another seed could turn round."
    return said


def adversarial(runs: Sequence[RunData]) -> str | None:
    """What the adversarial phase did to the held-out NLL of all runs that had one."""
    moves = [(run.name, change) for run in runs if (change := adversarial_change(run)) is not None]
    if not moves:
        return None
    worse = sum(change > 0 for _, change in moves)
    listed = ", ".join(f"{name} {signed(change)}" for name, change in moves)
    return (
        f"At the end of the adversarial phase held-out NLL was worse than the best of maximum likelihood in {worse} of "
        f"{len(moves)} run{'s' * (len(moves) > 1)} ({listed})."
    )


def texts(runs: Sequence[RunData]) -> str | None:
    """Where the first evaluations of all runs stand beside real text, if they were measured alike."""
    for order in ORDERS:
        found = [
            (run.name, result, pair)
            for run in runs
            for result in run.evaluations[:1]
            if (pair := quality_and_diversity(result.scores, order))
        ]
        reals = {quality_and_diversity(result.real, order) for _, result, _ in found}
        real = reals.pop() if len(reals) == 1 else None
        if len(found) < 2 or len({result.n for _, result, _ in found}) > 1 or real is None:
            continue
        target = [score.value for score in real]
        below = sum(standing(result, own[0].name).startswith("below") for _, result, own in found)
        alike = sum(standing(result, own[1].name).startswith("less") for _, result, own in found)
        near = min(found, key=lambda item: math.dist([score.value for score in item[2]], target))
        return (
            f"On {number(found[0][1].n)} sentences each, {below} of {len(found)} texts have a lower BLEU-{order} than "
            f"real text ({number(target[0])}) and {alike} of {len(found)} are less diverse than it by "
            f"self-BLEU-{order} ({number(target[1])}). Nearest to it on these two is {near[0]} "
            f"({number(near[2][0].value)} and {number(near[2][1].value)})."
        )
    return None


def headline(runs: Sequence[RunData]) -> list[str]:
    """The page's first sentences: all about one run, or the comparison of several."""
    own = [text for run in runs for text in [training(run), *(evaluation(run, result) for result in run.evaluations)]]
    tuned = [augmentation(trial) for trial in trials(runs)]
    if len(runs) == 1:
        said = own + [text for texts_ in tuned for text in texts_]
    else:
        together = [comparison(runs), adversarial(runs), texts(runs)]
        said = (together if any(together) else own) + [texts_[0] for texts_ in tuned if texts_]
    return [text for text in said if text] or ["There are no figures yet: nothing was logged, evaluated or fine-tuned."]


def not_measured(runs: Sequence[RunData]) -> list[tuple[str, str]]:
    """(what, why) for everything that this page could have shown and does not."""
    missing = [gap for run in runs for gap in _gaps(run)]
    results = [result for run in runs for result in run.evaluations]
    names = {name.lower() for result in results for name in result.scores}
    for start, what in FAMILIES.items():
        if names and not any(name.startswith(start.lower()) for name in names):
            missing.append((what, "not among the evaluations\u2019 scores"))
    if names and not any(score.low is not None for result in results for score in result.scores.values()):
        missing.append(
            ("Intervals of the scores", "the evaluations hold single values; small differences may be chance")
        )
    for name, count in sorted(Counter(filter(None, map(recipe_of, runs))).items()):
        if count < ENOUGH:
            missing.append(
                (f"Spread between training seeds of {name}", f"{_runs(count)} here; three or more would show it")
            )
    for trial in trials(runs):
        if len(trial.repeats) < ENOUGH:
            seeds = f"{len(trial.repeats)} seed{'s' * (len(trial.repeats) > 1)}"
            missing.append((f"{trial.run}: spread of the fine-tuning", f"{seeds}; three or more would show it"))
    return [*missing, ("Judgement by people", "this page reads no ratings")]


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count > 1)}"


def _gaps(run: RunData) -> list[tuple[str, str]]:
    wanted: dict[str, tuple[object, str]] = {
        "training curves": (run.log, "no readable log.jsonl"),
        "held-out NLL": (best(run), "log.jsonl has no valid_nll"),
        "scores of its text": (run.evaluations, "no readable evaluation*.json in the run folder"),
        "real text beside it": (run.heldout, "no readable heldout.txt"),
        "its text": (run.generated, "neither samples/ nor sample*.txt holds a sentence"),
        "effect on a language model": (
            run.augmentations or run.finetunes,
            "neither augmentation*.json nor finetune*.json is readable in the run folder",
        ),
        "settings": (run.recipe, "no readable recipe.json"),
    }
    missing = [(f"{run.name}: {what}", why) for what, (there, why) in wanted.items() if not there]
    for result in run.evaluations:
        missing += [(f"{label(run, result)}: {name}", why) for name, why in result.absent.items()]
        if not result.real:
            missing.append((f"{label(run, result)}: real text\u2019s own scores", "not in the evaluation"))
    return missing + [(f"{run.name}: a file", problem) for problem in run.problems]
