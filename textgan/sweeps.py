"""Quality against diversity over temperatures, for any number of runs: the only fair way to compare generators.

Any model gains quality by losing diversity, so one temperature proves nothing. Runs that differ in their seed alone are
one model; each model is compared with the maximum-likelihood one at matched diversity.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from textgan.comparisons import Swept, compare_sweeps, sweep, training_gap
from textgan.errors import InputError
from textgan.evaluation import Evaluation, Reference, choose_metrics
from textgan.generators import Decoding
from textgan.judges import LSTMScore
from textgan.metrics import Metric, ModelNLL, Score
from textgan.metrics.encoders import AnyEncoder
from textgan.metrics.fronts import Matched, adjusted
from textgan.metrics.score import Better
from textgan.metrics.tables import ARROWS, number
from textgan.readable import columns, printable
from textgan.runs import Run

TEMPERATURES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
MEASURED = "BLEU,self-BLEU,LM-score,reverse-LM-score,Frechet"
BASELINE = "mle"
SURPLUS = (1.1, 2.0, 8.0)  # sentences drawn for each that has a word in it, until there are enough
DIVERSITY = "self-BLEU-4"
JUDGES = ("LM-score", "LSTM-score")  # of two families, since a model may please one of its own
QUALITIES = ("BLEU-4", *JUDGES, "reverse-LM-score", "Frechet")  # of those measured, what is matched


class Sweep(NamedTuple):
    """What `sweep_runs` found.

    models: one Swept a model. real: real held-out text's own scores at the same n. matched: model -> quality metric ->
    its difference to the baseline at equal self-BLEU-4. agreement: what both judges say together. absent: why a
    comparison could not be made.
    """

    models: list[Swept]
    real: list[Score]
    matched: dict[str, dict[str, Matched]]
    agreement: list[str]
    absent: dict[str, str]
    warnings: list[str]
    reference: str
    n: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "reference": self.reference,
            "n": self.n,
            "seed": self.seed,
            "models": {
                model.name: {str(t): [e.to_json()["scores"] for e in runs] for t, runs in model.evaluations.items()}
                for model in self.models
            },
            "real": [score._asdict() for score in self.real],
            "matched": {name: {q: m._asdict() for q, m in found.items()} for name, found in self.matched.items()},
            "agreement": self.agreement,
            "absent": self.absent,
            "warnings": self.warnings,
        }

    @property
    def sentences(self) -> list[str]:
        """What matching supports, and whether the judges agree."""
        return [m.sentence for found in self.matched.values() for m in found.values()] + self.agreement

    def to_table(self) -> str:
        """Lines for a terminal: every model at every temperature, real text, and what matching supports."""
        names = [s.name for s in self.real]
        better = {s.name: ARROWS[s.better] for s in self.real}
        rows = [["model", "at", *(f"{name} {better[name]}" for name in names)]]
        for model in self.models:
            for at, evaluations in sorted(model.evaluations.items()):
                means = [_mean([e.scores for e in evaluations], name) for name in names]
                rows.append([model.name, f"{model.knob} = {at:g}", *("-" if m is None else number(m) for m in means)])
        rows.append(["real text", "", *(number(s.value) for s in self.real)])
        notes = [f"not compared: {name}: {reason}" for name, reason in self.absent.items()]
        warned = [f"warning: {warning}" for warning in self.warnings]
        of = f"{self.n} sentences a point, reference {self.reference}"
        said = ["", of, *self.sentences, *notes, *warned]
        return "\n".join([*columns(rows, rule=True), *map(printable, said)])

    def to_html(self) -> str:
        """A page with one plot for each measure of quality."""
        from textgan.report.fronts import fronts

        def means(evaluations: Sequence[Evaluation]) -> dict[str, float]:
            scores = [e.scores for e in evaluations]
            found = {name: _mean(scores, name) for name in {score.name for row in scores for score in row}}
            return {name: value for name, value in found.items() if value is not None}

        return fronts(
            {m.name: [(t, means(runs)) for t, runs in sorted(m.evaluations.items())] for m in self.models},
            {score.name: score.value for score in self.real},
            knobs={model.name: model.knob for model in self.models},
            better={score.name: score.better for score in self.real},
            diversity=DIVERSITY,
            sentences=self.sentences,
            notes=[*self.warnings, *(f"not compared: {name}: {reason}" for name, reason in self.absent.items())],
            about=f"{self.n} sentences a point, reference {self.reference}, seed {self.seed}.",
        )


def sweep_runs(
    runs: Sequence[str | Path | Run],
    reference: Any,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    top_p: Sequence[float] = (),
    train: Any = None,
    judges: Sequence[str | Path | Run] = (),
    n: int | None = None,
    seed: int = 0,
    metrics: str = MEASURED,
    tokenise: str = "words",
    encoder: AnyEncoder | None = None,
    device: str = "cpu",
    precision: str = "no",
    progress: Callable[[str], None] | None = None,
) -> Sweep:
    """Sample every run at every temperature, score all at one n, and compare each model with maximum likelihood.

    top_p: these nuclei of maximum likelihood at temperature 1 are one more model, "mle, top-p": a game must be better
    than what any model can do without one. n: sentences a point (default: half the reference, at most 2,000). Two
    judges of unlike families, an n-gram model and a small LSTM, are trained on half of the reference, which no
    generator and no D has seen; a gain in fluency is believed where both see it. judges: more of them, runs on real
    text whose likelihood is one more measure. tokenise: "characters" for text without spaces. encoder: of the Frechet
    distance, never a D's features (default: LSA of the reference). train: the training text; a claim smaller than its
    own distance to the reference is warned of. device, precision: where and how finely runs that are given by their
    folders write (`Run.open`). Errors: InputError for fewer than two temperatures, or a reference that is too small.
    """
    opened = [run if isinstance(run, Run) else Run.open(run, device=device, precision=precision) for run in runs]
    if len(set(temperatures)) < 2:
        raise InputError(f"--temperatures has {len(set(temperatures))} value(s); a front needs at least 2")
    if not isinstance(reference, Reference):
        reference = Reference(reference, train=train, seed=seed, tokenise=tokenise, encoder=encoder)
    fitted = reference
    n = n or min(2000, len(fitted) // 2)
    chosen: list[Metric] = [*choose_metrics(metrics), LSTMScore(), *(_judge(judge) for judge in judges)]
    groups: dict[str, list[Run]] = {}
    for run in opened:
        groups.setdefault(_model_of(run), []).append(run)
    for members in groups.values():  # models are paired seed by seed
        members.sort(key=lambda run: run.settings["seed"])
        for run, twin in pairwise(members):  # twins would be as sure of a difference as they are alike
            if run.settings["seed"] == twin.settings["seed"]:
                raise InputError(
                    f"{run.path} and {twin.path} are one model with one seed, {run.settings['seed']}; give each once"
                )
    names = _short(list(groups))
    models = []
    for key, members in groups.items():
        knobs = [("T", names[key], {t: Decoding(temperature=t) for t in temperatures})]
        if top_p and key == _baseline(names):
            knobs.append(("p", f"{names[key]}, top-p", {p: Decoding(top_p=p) for p in top_p}))
        for knob, name, decodings in knobs:
            texts = {at: [_lines(run, n, seed, decoding) for run in members] for at, decoding in decodings.items()}
            one = sweep(texts, fitted, n=n, seed=seed, metrics=chosen, name=name, knob=knob, progress=progress)
            models.append(one)
    first = next(iter(models[0].evaluations.values()))[0]
    qualities = [m.name for m in chosen if m.name in QUALITIES]
    qualities += [m.name for m in chosen if isinstance(m, ModelNLL)]
    matched, absent = _compare(models, names.get(_baseline(names) or ""), qualities)
    said = [w for m in models for runs in m.evaluations.values() for e in runs for w in e.warnings]
    alike = {re.sub(r"\d+", "", warning): warning for warning in reversed(said)}  # one of each kind, the first
    warnings = list(reversed(alike.values()))
    claims = [(name, quality, m) for name, found in matched.items() for quality, m in found.items() if m.claim]
    gap = training_gap(fitted, [m for m in chosen if m.name in {quality for _, quality, _ in claims}], n, seed)
    if small := [f"{quality} of {name}" for name, quality, m in claims if abs(m.area) < gap.get(quality, 0)]:
        warnings.append(
            f"training text and reference differ by more than the claim in {', '.join(small)}: being like the reference"
            " is then not being like the data; re-split with `textgan split`"
        )
    return Sweep(models, first.real, matched, agreement(matched), absent, warnings, fitted.name, n, seed)


def agreement(matched: dict[str, dict[str, Matched]]) -> list[str]:
    """One sentence for each model that some judge tells from the baseline: do both families say the same?"""
    said = []
    for name, found in matched.items():
        claims = [found[judge].claim for judge in JUDGES if judge in found]
        if not any(claims) or len(claims) < len(JUDGES):
            continue
        if len(set(claims)) == 1:
            said.append(f"Both judges ({' and '.join(JUDGES)}) call {name} {claims[0]} at matched diversity.")
        else:
            told = ", ".join(f"{judge}: {found[judge].claim or 'not told apart'}" for judge in JUDGES)
            said.append(f"The judges, of two families, do not agree on {name} ({told}): no claim of fluency.")
    return said


def _lines(run: Run, n: int, seed: int, decoding: Decoding) -> list[str]:
    """n sentences with a word in them; a generator may also write empty ones, which no metric takes."""
    for surplus in SURPLUS:
        drawn = run.sample_text(round(surplus * n) + 10, seed=seed, **decoding._asdict())
        lines = [line for line in drawn if line.strip()]
        if len(lines) >= n:
            return lines[:n]
    said = f"top-p {decoding.top_p:g}" if decoding.top_p != 1 else f"temperature {decoding.temperature:g}"
    raise InputError(
        f"{run.path} at {said}: {len(drawn) - len(lines)} of {len(drawn)} sentences have no word; leave it out"
    )


def _baseline(keys: Iterable[str]) -> str | None:
    """The first model that is maximum likelihood."""
    return next((key for key in keys if key.startswith(f"{BASELINE} ")), None)


def _compare(
    models: list[Swept], base: str | None, qualities: list[str]
) -> tuple[dict[str, dict[str, Matched]], dict[str, str]]:
    if base is None:
        return {}, {"all": "no mle run was given, and a gain over nothing is no gain; add one"}
    baseline = next(model for model in models if model.name == base)
    matched: dict[str, dict[str, Matched]] = {}
    absent: dict[str, str] = {}
    for model in models:
        for quality in qualities if model is not baseline else ():
            try:
                found = compare_sweeps(model, baseline, quality=quality, diversity=DIVERSITY)
                matched.setdefault(model.name, {})[quality] = found
            except InputError as error:
                absent[f"{model.name}, {quality}"] = str(error)
    return adjusted(matched, base), absent


class _JudgeNLL(ModelNLL):
    """Of a judge the likelier text is the better one, as for LM-score."""

    better: ClassVar[Better] = "lower"


def _judge(judge: str | Path | Run) -> ModelNLL:
    run = judge if isinstance(judge, Run) else Run.open(judge)
    return _JudgeNLL(run.log_probs, f"{run.path.name}:{run.weights_sha256[:8]}", f"NLL-{run.path.name}")


def _model_of(run: Run) -> str:
    """Runs that differ in their seed alone are one model; RUN/best is another than RUN."""
    said = run.settings
    name = said["recipe"] + (f"-{said['control']}" if said.get("control") else "")
    rest = {"text": said["corpus"]["sha256"], "started": "start" in said, "weights": run.weights.name}
    return f"{name} {json.dumps({key: said[key] for key in ('fields', 'tokens')} | rest, sort_keys=True)}"


def _short(keys: list[str]) -> dict[str, str]:
    """A recipe's name, with its control, where it is the only one, else numbered."""
    words = [key.split(" ", 1)[0] for key in keys]
    return {
        k: w if words.count(w) == 1 else f"{w} ({words[: i + 1].count(w)})"
        for i, (k, w) in enumerate(zip(keys, words, strict=True))
    }


def _mean(rows: Sequence[Sequence[Score]], name: str) -> float | None:
    values = [score.value for scores in rows for score in scores if score.name == name]
    return sum(values) / len(values) if values else None
