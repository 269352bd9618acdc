"""Generations of a language model that learns from its own text: does it collapse when that replaces the real text?

Shumailov et al. 2024 (Nature 631) replace and see collapse; Gerstgrasser et al. 2024 (2404.01413) accumulate and see
none; Kazdan et al. 2024 (2410.16713) draw a sample of fixed size from all that has accumulated.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from textgan.augmentation.mix import REGIMES, MixPlan, blend
from textgan.errors import InputError
from textgan.experiment import Job, read_results, run_grid
from textgan.report.loops import curve, page
from textgan.text import Text, make_folder, read_text, write_json, write_lines

Source = str | Path | Sequence[str] | Text
FIGURES = ("nll_per_byte", "entropy", "distinct-2", "self-BLEU-4", "duplicates")
METRICS = ("distinct", "self-BLEU", "duplicates")


class Setting(NamedTuple):
    """What all generations share; see `loop`."""

    lm: str
    lora: int | None
    n: int
    steps: int
    temperature: float
    tokens_per_step: int


def loop(
    text: Source,
    *,
    test: Source,
    out: str | Path,
    generations: int = 8,
    regimes: Sequence[str] = ("replace", "accumulate"),
    lm: str = "small:1x64",
    lora: int | None = None,
    n: int | None = None,
    steps: int = 300,
    temperature: float = 1.0,
    tokens_per_step: int = 512,
    seeds: Sequence[int] = (0,),
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a model on a text, let it write, train a fresh one on that: so many generations after the first.

    regimes: what a generation learns from: "replace", the text of the one before; "accumulate", the real text and that
    of all before; "accumulate_subsample", as many lines as are real, drawn from those. n: lines that each writes (None:
    as many as the real text has). Every generation begins anew and trains for the same steps: a GPT-2 of the size `lm`
    ("small:LAYERSxWIDTH") from scratch, its tokenizer that of the real text, or the language model `lm` (a hub name, a
    local folder, a .gguf file), fine-tuned, by adapters of rank `lora` where given. No held-out text chooses weights,
    as that would feed it real text. Figures of a generation: nll_per_byte of `test`; entropy, the nats that a sentence
    of its own has on average, -E log p of the model itself, whatever the temperature; distinct-2, self-BLEU-4 and
    duplicates of its text against `test`, None where its text has none, as that of a model which says one word.

    A grid of jobs: what is done is not done again. Gives {"settings", "real", "generations": [...], "findings"} and
    writes it as out/loop.json, beside out/loop.html.
    """
    real, held = read_text(text), read_text(test)
    n = len(real.lines) if n is None else n
    chosen = Setting(lm, lora, n, steps, temperature, tokens_per_step)
    out = _checked(chosen, generations, regimes, seeds, real, held, out)
    jobs = _jobs(out, chosen, generations, regimes, seeds)
    outcome = run_grid(jobs, out / "jobs", workers=workers, progress=progress)
    if failed := [f"{name}: {state}" for name, state in outcome.items() if state != "done"]:
        raise InputError(f"{len(failed)} of {len(outcome)} generations failed ({failed[0]}); the same command goes on")
    results = read_results(out / "jobs")
    told = ("seed", "regime", "generation", "lines", *FIGURES)
    rows = [{key: results[job.name].get(key) for key in told} for job in jobs]
    result = {
        "settings": {**chosen._asdict(), "generations": generations, "regimes": list(regimes), "seeds": list(seeds)},
        "texts": {name: _about(out / f"{name}.txt") for name in ("real", "test")},
        "real": results[jobs[0].name]["real"],
        "generations": rows,
        "findings": [finding(rows, regime) for regime in regimes],
    }
    write_json(out / "loop.json", result)
    write_lines(out / "loop.html", page(result).rstrip("\n").split("\n"))
    return result


def finding(rows: Sequence[dict[str, Any]], regime: str) -> str:
    """What became of a regime, in one sentence of figures."""
    ends = {name: [statistics.fmean(values) for values in curve(rows, regime, name).values()] for name in FIGURES}
    last, nats, entropy = len(ends["nll_per_byte"]) - 1, ends["nll_per_byte"], ends["entropy"]
    distinct = ends["distinct-2"]
    varied = f"from {distinct[0]:.4f} to {distinct[-1]:.4f}" if len(distinct) == len(nats) else "to what has none"
    return (
        f"{regime}: over {last} generations the held-out NLL a byte went from {nats[0]:.4f} to {nats[-1]:.4f} "
        f"({100 * (nats[-1] / nats[0] - 1):+.1f} %), the entropy of a sentence from {entropy[0]:.2f} to "
        f"{entropy[-1]:.2f} nats, distinct-2 {varied}."
    )


def generation(
    out: Path, seed: int, regime: str, number: int, before: list[str], setting: dict[str, Any]
) -> dict[str, Any]:
    """One job: train on what the regime gives, write, measure. before: folders of the earlier generations, in order."""
    from textgan.evaluation import evaluate
    from textgan.lm import finetune, load_lm, nll, pretrain_small
    from textgan.lm.finetuning import is_small, small_size

    chosen = Setting(**setting)
    real, test = read_text(out / "real.txt").lines, read_text(out / "test.txt").lines
    lines = learned_from(real, [read_text(out / name / "text.txt").lines for name in before], regime, seed)
    own = make_folder(out / name_of(seed, regime, number))
    how: dict[str, Any] = {"seed": seed + 1000 * number, "resume": True}
    how |= {"steps": chosen.steps, "tokens_per_step": chosen.tokens_per_step}
    if is_small(chosen.lm):
        layers, width = small_size(chosen.lm)
        pretrain_small(lines, own, layers=layers, width=width, vocabulary=real, **how)
    else:
        finetune(chosen.lm, lines, test=test, out=own, lora=chosen.lora, **how)
    lm = load_lm(own)
    wrote = written(lm, chosen.n, seed=seed + 1000 * number, temperature=chosen.temperature)
    write_lines(own / "text.txt", wrote)
    judged = evaluate(wrote, test, n=min(len(wrote), len(test)), seed=seed, metrics=METRICS, groups=0)
    scores = {score.name: score.value for score in judged.scores}
    sentence = nll(lm.model, lm.tokenizer, wrote).total / len(wrote)
    return {
        "seed": seed, "regime": regime, "generation": number, "lines": len(lines), "entropy": sentence,
        "nll_per_byte": nll(lm.model, lm.tokenizer, test).figures()["nll_per_byte"],
        **{name: scores[name] for name in FIGURES if name in scores},
        "real": {score.name: score.value for score in judged.real if score.name in FIGURES},
    }  # fmt: skip


def learned_from(real: Sequence[str], before: Sequence[Sequence[str]], regime: str, seed: int) -> Sequence[str]:
    """The lines that a generation is trained on, given the texts of those before it."""
    if not before:
        return real
    if regime == "replace":
        return before[-1]
    own = [line for lines in before for line in lines]
    return blend(real, own, MixPlan(len(own) / len(real), seed + 1000 * len(before), regime=regime)).lines


def written(lm: Any, n: int, *, seed: int, temperature: float) -> list[str]:
    """n lines of a model that are not blank."""
    from textgan.lm.writing import write_worded

    lines, _ = write_worded(lm, n, seed=seed, tries=10, temperature=temperature, max_tokens=64)
    if len(lines) == n:
        return lines
    raise InputError(f"the model writes {len(lines)} lines that are not blank instead of {n}; give more steps")


def name_of(seed: int, regime: str, number: int) -> str:
    """A generation's folder and job."""
    return f"seed-{seed}-{regime}-{number:02d}" if number else f"seed-{seed}-first"


def _jobs(out: Path, chosen: Setting, generations: int, regimes: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    cells = [
        (seed, *cell)
        for seed in seeds
        for cell in [("first", 0), *((regime, number) for regime in regimes for number in range(1, generations + 1))]
    ]
    jobs = []
    for seed, regime, number in cells:
        before = [name_of(seed, regime, earlier) for earlier in range(number)]
        arguments = {"seed": seed, "regime": regime, "number": number, "before": before, "setting": chosen._asdict()}
        jobs.append(Job(name_of(seed, regime, number), partial(generation, out), arguments, tuple(before)))
    return jobs


def _checked(
    chosen: Setting, generations: int, regimes: Sequence[str], seeds: Sequence[int], real: Text, held: Text,
    out: str | Path,
) -> Path:  # fmt: skip
    """The folder, which gets the texts; InputError for what is no loop and where the folder holds another one."""
    from textgan.lm.finetuning import is_small, small_size
    from textgan.lm.writing import check_temperature

    if is_small(chosen.lm):
        small_size(chosen.lm)
        if chosen.lora is not None:
            raise InputError(f"lora {chosen.lora}: {chosen.lm} is trained from scratch; give a pretrained --lm")
    for regime in regimes:
        if regime not in REGIMES:
            raise InputError(f"regime {regime!r} is unknown; choose {', '.join(REGIMES)}")
    for name, given in (("regimes", regimes), ("seeds", seeds)):
        if not given or len(set(given)) < len(given):
            raise InputError(f"{name} {', '.join(map(str, given)) or '(none)'}: give one or more, each once")
    check_temperature(chosen.temperature)
    for name, value, least in (("generations", generations, 1), ("n", chosen.n, 2), ("steps", chosen.steps, 1)):
        if value < least:
            raise InputError(f"{name} {value} is too few; give {least} or more")
    if len(held.lines) < 2:
        raise InputError(f"test has {len(held.lines)} lines, which is too few; give 2 or more")
    out = make_folder(out)
    for name, source in (("real", real), ("test", held)):
        file = out / f"{name}.txt"
        if file.exists() and read_text(file).sha256 != source.sha256:
            raise InputError(f"{out} holds a loop on other text; give another --out")
        write_lines(file, source.lines)
    for done in read_results(out / "jobs").values():
        if (old := done["arguments"]["setting"]) != chosen._asdict():
            changes = "; ".join(f"{k} {old.get(k)} -> {v}" for k, v in chosen._asdict().items() if old.get(k) != v)
            raise InputError(f"{out} holds a loop with other settings ({changes}); give another --out")
    return out


def _about(path: Path) -> dict[str, Any]:
    text = read_text(path)
    return {"lines": len(text.lines), "sha256": text.sha256}
