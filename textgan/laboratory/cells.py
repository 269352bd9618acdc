"""The jobs of one cell of an experiment, N real lines and one seed, and what one of them needs of another.

    base -> games, real (a job a learning rate) -> every other arm -> the test set, once all trainings are done

A job works in the cell's folder and gives the figures that choices are made by, on the validation text alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from textgan import recipes
from textgan.augmentation import MixPlan, blend, filters
from textgan.augmentation.folder import read_pool
from textgan.batches import TextSettings
from textgan.checkpoints import forget
from textgan.errors import InputError, NotFinite
from textgan.experiment import Job
from textgan.generators import Pretrained
from textgan.laboratory.arms import ARMS, as_long, edited, noisy, shuffled_words
from textgan.laboratory.lab import Lab, Place, Training
from textgan.laboratory.splits import draw
from textgan.laboratory.study import source
from textgan.lm import finetune, load_lm, pretrain_small, write_text
from textgan.lm.feeding import predicted
from textgan.lm.finetuning import is_small, small_size
from textgan.lm.likelihood import pieces
from textgan.runs import Run
from textgan.text import read_lines, read_text, write_lines
from textgan.training import Schedule, fit

BASE = "base"  # the path of a pretrained generator that is the study's own language model
JUDGE = {"mle_steps": 600, "generator": {"kind": "lstm", "embedding": 64, "hidden": 128, "dropout": 0.3}}
STEERING = 500  # held-out lines that steer the base's and the generators' training, at most
LEAST = 0.01  # of a ratio that becomes a weight: every line stays in the mix
AT_ONCE = 3  # sentences that arm 0's model draws for each one that is needed, before it is asked for more


class TooFew(InputError):
    """A generator's text, once screened, does not serve an arm."""


def training_jobs(out: Path) -> list[Job]:
    """The jobs that are done before the test text is opened, each after those that it needs."""
    lab = Lab(out)
    jobs = {"base": Job("base", partial(make_base, out))}
    if lab.study.writing.n:
        jobs["judge"] = Job("judge", partial(make_judge, out))
    for place in lab.places():
        for job in _jobs_of(lab, place):
            jobs.setdefault(job.name, job)
    return list(jobs.values())


def _jobs_of(lab: Lab, place: Place) -> Iterator[Job]:
    """What must be trained for one arm, in an order in which it can be."""
    out, (arm, n, seed, ratio, regime) = lab.out, place
    cell, args = f"N{n}-s{seed}", {"n": n, "seed": seed}
    needs: tuple[str, ...] = ("base",)
    if arm != "real":
        needs = tuple(t.name for t in lab.candidates(Place("real", n, seed, 0.0, "steps")))
    if arm not in ("real", "matched"):  # whose rate is `matched`'s, at equal steps one of real-only's
        tuned = tuple(t.name for t in lab.candidates(lab.tuned(n, seed, ratio, regime)))
        needs = tuple(dict.fromkeys(needs + tuned))
    tempered_by = ARMS[arm].tempered
    if tempered_by:
        yield Job(f"games-{cell}", partial(play, out), args, ("base",))
        needs += (f"games-{cell}",)
    for tempered in tempered_by:
        chosen = lab.candidates(lab.main(tempered, n, seed))
        if any(training.temperature is None for training in lab.candidates(place)) and len(chosen) > 1:
            for training in chosen:  # a study may leave out the arm whose temperature this one takes over
                yield Job(training.name, partial(train, out), training._asdict(), needs)
            needs += tuple(training.name for training in chosen)
        if ARMS[arm].judged:
            yield Job(f"select-{tempered}-{cell}", partial(choose_by_d, out), args | {"arm": tempered}, needs)
            needs += (f"select-{tempered}-{cell}",)
    for training in lab.candidates(place):
        yield Job(training.name, partial(train, out), training._asdict(), needs)


def make_base(out: Path) -> dict[str, Any]:
    """Make the language model that all fine-tunings begin with: {"lm": what it is, in words}."""
    lab = Lab(out)
    base = lab.study.base
    if is_small(base.lm):
        layers, width = small_size(base.lm)
        lines = list(read_text(source(base.text)).lines) if base.text else lab.split("judge")
        lines = shuffled_words(lines, seed=0) if base.shuffled else lines
        held = max(1, min(STEERING, len(lines) // 10))
        how: dict[str, Any] = {"layers": layers, "width": width, "steps": base.steps, "resume": True}
        pretrain_small(lines[:-held], lab.work / "base", valid=lines[-held:], **how)
    return {"lm": load_lm(lab.base, device="auto").name}


def make_judge(out: Path) -> dict[str, Any]:
    """Train an LSTM on the judges' text, the judge of what the models write: {"held_out_nll": nats a token}."""
    lab = Lab(out)
    run = _fit("mle", JUDGE, TextSettings(), lab.split("judge"), lab, lab.judge, 0)
    return {"held_out_nll": run.evaluated[-1]["valid_nll"]}


def play(out: Path, n: int, seed: int) -> dict[str, Any]:
    """Train a generator by maximum likelihood and in the game that begins with it, and sample both.

    Gives {"held_out_nll": {"before", "gan"}, "drawn": sentences a temperature, "seen": lines it learnt from}.
    """
    lab = Lab(out)
    games, cell = lab.study.games, lab.cell(n, seed)
    seen, _ = parts_of(lab, n, seed)
    text = TextSettings(tokens=games.tokens, max_len=games.max_len)
    before = _fit("mle", games.mle, text, seen, lab, cell / "before", seed)
    after = _fit(games.recipe, games.fields | {"mle_steps": 0}, text, seen, lab, cell / "gan", seed, before)
    tempered = [arm for arm in lab.study.arms if ARMS[arm].temperature]
    wanted = math.ceil(games.surplus * max(r for arm in tempered for r in lab.study.ratios(arm)) * n)
    for run, name in ((before, "before"), (after, "gan")):
        writer = Run.open(run.path, device="auto")
        for temperature in games.temperatures:
            lines = writer.sample_text(wanted, seed=seed, temperature=temperature)
            write_lines(cell / f"{name}-T{temperature:g}.txt", [line or " " for line in lines])
    held = {name: run.evaluated[-1]["valid_nll"] for name, run in (("before", before), ("gan", after))}
    for run in (before, after):  # gigabytes a cell, and no later job asks for them
        forget(run.path)
    return {"held_out_nll": held, "drawn": wanted, "seen": len(seen)}


def _fit(
    name: str, fields: dict[str, Any], text: TextSettings, lines: list[str], lab: Lab, out: Path, seed: int,
    start: Run | None = None,
) -> Run:  # fmt: skip
    """A run in the cell; one that was broken off goes on."""
    recipe: Any = recipes.from_dict(name, fields)
    recipe = replace(recipe, batch=min(recipe.batch, len(lines)))
    if isinstance(recipe.generator, Pretrained):
        path = recipe.generator.path
        recipe = replace(recipe, generator=Pretrained(str(lab.base) if path == BASE else source(path)))
    return fit(
        recipe, lines, valid=lab.split("valid")[:STEERING], out=out, seed=seed,
        start=None if start is None else start.path, text=text,
        schedule=Schedule(metrics_every=0, save_every=200, keep=1), resume=(out / "recipe.json").exists(),
        progress=False,
    )  # fmt: skip


def parts_of(lab: Lab, n: int, seed: int) -> tuple[list[str], list[str]]:
    """The N real lines in two parts: what the generator learns from, and what D learns from, unseen by it."""
    lines = lab.real(n, seed)
    held = round(lab.study.selection.held * n)
    return lines[held:], lines[:held]


def choose_by_d(out: Path, n: int, seed: int, arm: str) -> dict[str, Any]:
    """Fit D between real lines that the generator never saw and its samples; keep what D lets pass, and weigh all.

    Gives {"funnel": lines left by stage, "diagnostics": of the ratio, "warnings"}.
    """
    from textgan.augmentation import density, select

    lab = Lab(out)
    chosen, cell = lab.study.selection, lab.cell(n, seed)
    _, held = parts_of(lab, n, seed)
    pool, funnel = screened(lab, cell / f"{arm}-T{lab.temperature(arm, n, seed):g}.txt", n, seed)
    judge = density.DensityRatio.fit(
        held, pool, body=chosen.body, encoder=chosen.encoder and source(chosen.encoder),
        folds=max(2, min(chosen.folds, len(held) // density.FEWEST)), calibration=chosen.calibration, seed=seed,
    )  # fmt: skip
    ratio = judge.ratio(pool)
    picked = select.choose(ratio, how=selector(chosen.how, chosen.share, len(pool)), seed=seed)
    write_lines(cell / f"{arm}-selected.txt", [pool[row] for row in picked.index])
    weights = select.choose(ratio, how=select.Weights(low=LEAST), seed=seed).weights.tolist()
    rows = ({"text": text, "weight": weight} for text, weight in zip(pool, weights, strict=True))
    write_lines(cell / f"{arm}-weighted.jsonl", map(json.dumps, rows))
    return {
        "funnel": funnel | {"selected": len(picked.index)}, "diagnostics": judge.diagnostics._asdict(),
        "warnings": [*judge.diagnostics.warnings(), *picked.warnings],
    }  # fmt: skip


def selector(how: str, share: float, n: int) -> Any:
    """The selector of that name, one of `study.HOWS`, for n texts."""
    from textgan.augmentation import select

    fields: dict[str, Any] = {"drs": {"share": share}, "top": {"share": share}, "resample": {"n": round(share * n)}}
    return select.SELECTORS[how](**fields.get(how, {}))


def screened(lab: Lab, path: Path, n: int, seed: int) -> tuple[list[str], dict[str, int]]:
    """The generated lines that a synthetic arm may use, and how many each filter has left; the same for every arm."""
    lines, real, chosen = list(read_lines(path)), lab.real(n, seed), lab.study.selection
    checks: list[filters.Filter] = [
        filters.Length(chosen.min_words, chosen.max_words), filters.Charset(frozenset("".join(real))),
        filters.Repetition(), filters.Duplicates(), filters.Copies(real),
    ]  # fmt: skip
    if lab.study.texts.near is not None:
        checks.append(filters.NearDuplicates(lab.study.texts.near))
    found = filters.screen(lines, checks)
    return [lines[row] for row in found.kept.tolist()], dict(found.funnel)


def drawn(lab: Lab, arm: str, n: int, seed: int, temperature: float | None = None) -> list[str]:
    """The screened samples of a generator, at the temperature that its arm was found best at unless one is given."""
    temperature = temperature or lab.temperature(arm, n, seed)
    return screened(lab, lab.cell(n, seed) / f"{arm}-T{temperature:g}.txt", n, seed)[0]


def synthetic(lab: Lab, training: Training, wanted: int) -> list[str]:
    """The arm's synthetic lines, `wanted` of them. Errors: TooFew where screening leaves too few."""
    n, seed, cell = training.n, training.seed, lab.cell(training.n, training.seed)
    real, text = lab.real(n, seed), ARMS[training.arm].text
    if text == "fresh":
        return draw(lab.split("fresh"), wanted, seed)
    if text == "noise":
        return noisy(real, wanted, seed=seed)
    if text == "edited":
        return edited(load_lm(lab.model(lab.real_training(n, seed)), device="auto"), real, wanted, seed=seed)
    if text == "self":
        lines = _own_text(lab, training, wanted)
    elif "selected" in text:
        lines = list(read_lines(cell / f"{ARMS[training.arm].temperature}-selected.txt"))
    else:
        lines = drawn(lab, text, n, seed, training.temperature)
        if (like := ARMS[training.arm].lengths) and len(lines) >= wanted:
            lines = as_long(lines, drawn(lab, like, n, seed)[:wanted])
    if len(lines) < wanted:
        raise TooFew(f"{training.name}: {wanted} lines are wanted and screening leaves {len(lines)}; raise surplus")
    return shuffled_words(lines[:wanted], seed=seed) if training.arm == "word-shuffled" else lines[:wanted]


def weighted(lab: Lab, training: Training, lines: Sequence[str]) -> list[dict[str, Any]]:
    """The arm's synthetic lines as pool rows with D's weights; no two of them are alike."""
    path = lab.cell(training.n, training.seed) / f"{ARMS[training.arm].temperature}-weighted.jsonl"
    weights = {row["text"]: row["weight"] for row in read_pool(path)}
    return [{"text": line, "weight": weights[line]} for line in lines]


def _own_text(lab: Lab, training: Training, wanted: int) -> list[str]:
    """The screened lines of arm 0's model, which draws until enough are left or its surplus is used up."""
    n, seed, written = training.n, training.seed, list[str]()
    lm = load_lm(lab.model(lab.real_training(n, seed)), device="auto")
    path = lab.cell(n, seed) / f"self-{training.name}.txt"
    while True:
        another = seed + (len(written) << 20)  # of each draw its own
        written += [line or " " for line in write_text(lm, AT_ONCE * wanted + 20, seed=another)]
        write_lines(path, written)
        lines, _ = screened(lab, path, n, seed)
        if len(lines) >= wanted or len(written) >= lab.study.games.surplus * wanted:
            return lines


def train(out: Path, **arguments: Any) -> dict[str, Any]:
    """One fine-tuning: the model and its synthetic lines lie in the cell; the validation NLL (nats a byte) is given.

    A candidate that comes to nothing, as one of several rates at which the loss is no number, is no failure: it gives
    {"lost": why}, and another is chosen.
    """
    try:
        return _trained(out, **arguments)
    except (NotFinite, TooFew) as error:
        training = Training(**arguments)
        if training.rate is None and training.temperature is None:
            raise
        return {"arm": training.arm, "lost": " ".join(str(error).split())}


def _trained(out: Path, **arguments: Any) -> dict[str, Any]:
    lab, training = Lab(out), Training(**arguments)
    study, n, seed = lab.study, training.n, training.seed
    real, arm = lab.real(n, seed), ARMS[training.arm]
    wanted = round(training.ratio * n)
    lines = synthetic(lab, training, wanted) if arm.text else []
    steps = study.tuning.steps * training.share
    fed: Any = real + [real[i % n] for i in range(wanted)] if training.arm == "duplicated" else real
    if lines:
        plan = MixPlan(len(lines) / n, seed, schedule=arm.schedule, regime=arm.regime, weight_by=arm.weight_by)
        fed = blend(real, lines if arm.weight_by == "none" else weighted(lab, training, lines), plan)
    if training.regime == "passes":
        whole = fed.lines if lines else fed
        steps *= 1 + training.ratio if training.arm == "matched" else _growth(lab, real, whole)
    folder, rate = lab.model(training), training.rate or lab.rate(n, seed, training.ratio, training.regime)
    adapters: dict[str, Any] = {"lora": study.base.lora} if study.base.lora else {}
    tuned = finetune(
        lab.base, fed, valid=lab.split("valid"), out=folder, steps=max(1, round(steps)), seed=seed,
        tokens_per_step=study.tuning.tokens_per_step, lr=rate, resume=True, **adapters,
    )  # fmt: skip
    if lines:
        write_lines(folder / "synthetic.txt", lines)
    return {
        "arm": training.arm, "valid_nll_per_byte": tuned.nll_per_byte, "steps": tuned.steps, "tokens": tuned.tokens,
        "best_step": tuned.best_step, "rate": rate, "synthetic": len(lines), "real": n,
    }  # fmt: skip


def _growth(lab: Lab, real: Sequence[str], whole: Sequence[str]) -> float:
    """How many times as many predicted tokens the base's tokenizer makes of the whole text as of its real lines."""
    lm = load_lm(lab.base, device="cpu")
    more, base = (predicted(pieces(lm.model, lm.tokenizer, lines)) for lines in (whole, real))
    return more / base
