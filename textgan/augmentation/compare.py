"""Does synthetic text help a language model? Two arms that differ in their text only, and what came of them."""

import hashlib
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textgan.augmentation.mix import MixPlan, Mixture, Pool, Source, blend, pool_texts
from textgan.errors import InputError
from textgan.text import Text, read_text, write_json, write_lines

Progress = Callable[[dict[str, Any]], None]
ARMS = {"real only": "real-only", "real + synthetic": "real-synthetic"}  # name: folder
SHOWN = 20  # sentences of each model that the result holds; text.txt has them all
METRICS = ("BLEU", "self-BLEU", "distinct", "novelty", "novel-4-grams", "copies")
ENOUGH = 3  # seeds from which an interval says anything; the design asks 8 for a claim of some size


class Settings(NamedTuple):
    """What both arms share. Times and sizes as in `lm.finetune` and `lm.write_text`; metrics as in `evaluate`."""

    steps: int | None
    seed: int
    n: int
    tokens_per_step: int
    lr: float | None
    temperature: float
    metrics: Sequence[str]
    device: str


def compare(
    real: Source,
    synthetic: Pool,
    *,
    valid: Source,
    test: Source,
    out: str | Path,
    lm: str | Path = "small",
    ratio: float = 1.0,
    steps: int | None = None,
    seed: int = 0,
    n: int = 1000,
    tokens_per_step: int = 512,
    lr: float | None = None,
    base_steps: int | None = None,
    temperature: float = 1.0,
    metrics: Sequence[str] = METRICS,
    device: str = "auto",
    resume: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Fine-tune one language model on real text and on real + synthetic text, and measure what the synthetic text did.

    Both arms have the same first weights, steps, tokens (to the token), settings and seed. "small" makes a model by
    pre-training on `real` for base_steps, so the real-only arm goes on with text that it knows. Both arms keep the
    weights of their lowest validation NLL, so more passes over the real text do not just overfit it. steps: None means
    three passes over the mixed text (50 to 3,000). Each model then writes n sentences at `temperature`; they are scored
    against `test` with `real` as the training text (as many of them as test has lines, at most).
    resume: go on where a comparison that was stopped, however, has left `out`; the end is that of an unbroken one.

    Gives and writes as out/augmentation.json {"lm", "ratio", "seed", "arms": [...], "real": [...], "finding", ...};
    out/real-only and out/real-synthetic hold model, finetune.json, train.txt and text.txt.
    """
    out = Path(out)
    texts = {"real": read_text(real), "valid": read_text(valid), "test": read_text(test)}
    if n < 1:
        raise InputError(f"n {n} sentences cannot be scored; give 1 or more")
    synthetic = pool_texts(synthetic)
    drawn_from = hashlib.sha256("\n".join(synthetic).encode()).hexdigest()
    if not resume and any((out / name / "config.json").exists() for name in ARMS.values()):
        raise InputError(f"{out} holds a comparison, done or stopped; give resume=True to go on, or another out")
    mixture = blend(texts["real"], synthetic, MixPlan(ratio, seed))
    base = base_model(
        lm, texts["real"], out=out, valid=texts["valid"], steps=base_steps, seed=seed, tokens_per_step=tokens_per_step,
        device=device, resume=resume, on_progress=on_progress,
    )  # fmt: skip
    chosen = Settings(steps, seed, n, tokens_per_step, lr, temperature, tuple(metrics), device)
    chosen = chosen._replace(steps=_steps(base, mixture.lines, chosen))
    fed = dict(zip(ARMS, (texts["real"].lines, mixture.lines), strict=True))
    done = [
        _arm(name, lines, texts, base, out / ARMS[name], chosen, resume, on_progress) for name, lines in fed.items()
    ]
    result = {
        "lm": done[0][0].lm, "ratio": ratio, "seed": seed, "arms": [arm for _, arm, _ in done],
        "real": done[0][2].to_json()["real"], "settings": chosen._asdict(),
        "synthetic": _drawn(mixture, texts) | {"sha256": drawn_from},
        "texts": {key: _about(text) for key, text in texts.items()},
    }  # fmt: skip
    result["finding"] = finding([result])
    write_json(out / "augmentation.json", result)
    return result


def compare_seeds(
    real: Source,
    synthetic: Pool,
    *,
    valid: Source,
    test: Source,
    out: str | Path,
    seeds: Sequence[int],
    lm: str | Path = "small",
    base_steps: int | None = None,
    tokens_per_step: int = 512,
    device: str = "auto",
    resume: bool = False,
    on_progress: Progress | None = None,
    **same: Any,
) -> dict[str, Any]:
    """`compare` once a seed, and what the seeds say together: {"lm", "ratio", "seeds", "differences", "finding"}.

    The seed changes the draw of synthetic lines, the order of batches, dropout and the sampling of text. It changes
    neither the base model, made once with the first seed, nor the synthetic text that is drawn from: the spread is that
    of fine-tuning, not of training another GAN. Writes out/comparison.json, and out/augmentation-seed-S.json a seed.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds {list(seeds)} cannot be compared; give one or more, each once")
    out, real, valid = Path(out), read_text(real), read_text(valid)
    synthetic = pool_texts(synthetic)  # once: it may be an iterator
    shared: dict[str, Any] = {
        "tokens_per_step": tokens_per_step, "device": device, "resume": resume, "on_progress": on_progress,
    }  # fmt: skip
    base = base_model(lm, real, out=out, valid=valid, steps=base_steps, seed=seeds[0], **shared)
    results = []
    for seed in seeds:
        result = compare(
            real, synthetic, valid=valid, test=test, out=out / f"seed-{seed}", lm=base, seed=seed, **shared, **same
        )
        write_json(out / f"augmentation-seed-{seed}.json", result)
        results.append(result)
    summary = {
        "lm": results[0]["lm"], "ratio": results[0]["ratio"], "seeds": list(seeds), "differences": differences(results),
        "finding": finding(results),
    }  # fmt: skip
    write_json(out / "comparison.json", summary)
    return summary


def base_model(
    lm: str | Path, real: Text, *, out: Path, valid: Text, steps: int | None = None, seed: int = 0, **options: Any
) -> str | Path:
    """The model that both arms start from: `lm` itself, or for "small" the folder out/base with one made on `real`."""
    from textgan.lm.finetuning import is_small, pretrain_small, small_size

    if not is_small(lm):
        return lm
    layers, width = small_size(str(lm))
    return pretrain_small(
        real, out / "base", layers=layers, width=width, steps=steps, seed=seed, valid=valid, **options
    )


def differences(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the synthetic text changed (its arm minus the real-only one), for each figure that every seed has.

    {figure: {"mean", "sd", "low", "high", "values"}}: sd from two seeds on, and from three on the 95 % t-interval of
    the paired differences (low, high). The endpoint is nll_per_byte; the others stand beside it, uncorrected.
    """
    found: dict[str, list[float]] = {}
    for result in results:
        before, after = (_figures(arm) for arm in result["arms"])
        for name in before.keys() & after.keys():
            found.setdefault(name, []).append(after[name] - before[name])
    order = [name for name in _figures(results[0]["arms"][0]) if len(found.get(name, ())) == len(results)]
    return {name: _spread(found[name]) for name in order}


def finding(results: Sequence[dict[str, Any]]) -> str:
    """The sentence that the data support: helps, hurts, not told apart; or, with too few seeds, no claim at all."""
    change = differences(results)["nll_per_byte"]
    before = statistics.fmean(result["arms"][0]["nll_per_byte"] for result in results)
    many = len(results)
    said = (
        f"At ratio {results[0]['ratio']:g} (synthetic lines per real line) the held-out NLL per byte went from "
        f"{before:.4f} to {before + change['mean']:.4f} ({100 * change['mean'] / before:+.2f} %)"
    )
    if all(arm.get("best_step") == 0 for result in results for arm in result["arms"]):
        return f"{said}. Nothing is compared: no arm came below the weights that all began with; give fewer base steps."
    if many < ENOUGH:
        return f"{said}. {'One seed' if many == 1 else 'Two seeds'}: no claim."
    span = f"95 % interval of the difference {change['low']:+.4f} to {change['high']:+.4f}, {many} seeds"
    verdict = "it hurts" if change["low"] > 0 else "it helps" if change["high"] < 0 else "the arms are not told apart"
    return f"{said}: {verdict} ({span} of fine-tuning on one pool of synthetic text)."


def _arm(
    name: str, lines: Sequence[str], texts: dict[str, Text], base: str | Path, out: Path, chosen: Settings,
    resume: bool, on_progress: Progress | None,
) -> tuple[Any, dict[str, Any], Any]:  # fmt: skip
    """Fine-tune, let the model write, score what it wrote; gives FineTuned, the arm's part of the JSON, Evaluation."""
    from textgan.evaluation import evaluate
    from textgan.lm import finetune, write_text

    def tell(row: dict[str, Any]) -> None:
        if on_progress:
            on_progress({**row, "stage": f"{row['stage']} on {name}"})

    tuned = finetune(
        base, read_text(lines)._replace(name=name), valid=texts["valid"], test=texts["test"], out=out,
        steps=chosen.steps, seed=chosen.seed, tokens_per_step=chosen.tokens_per_step, lr=chosen.lr,
        device=chosen.device, resume=resume, on_progress=tell,
    )  # fmt: skip
    write_lines(out / "train.txt", lines)
    wrote = write_text(out, chosen.n, seed=chosen.seed, temperature=chosen.temperature, device=chosen.device)
    write_lines(out / "text.txt", wrote)
    full = [line for line in wrote if line.strip()]
    if not full:
        raise InputError(f"the model fine-tuned on {name} writes only blank lines; give more steps or another lm")
    judged = evaluate(
        full, texts["test"], train=texts["real"], n=min(len(full), len(texts["test"].lines)), seed=chosen.seed,
        metrics=chosen.metrics,
    )  # fmt: skip
    keep = ("steps", "tokens", "best_step", "nll_per_token", "nll_per_byte", "perplexity", "measured_on", "before",
            "unk_rate", "overlap", "curve")  # fmt: skip
    arm = {"name": name, **{key: getattr(tuned, key) for key in keep}, "lines": len(lines)}
    found = judged.to_json()
    arm |= {"scores": found["scores"], "blank": len(wrote) - len(full), "samples": wrote[:SHOWN]}
    return tuned, arm, judged


def _steps(base: str | Path, lines: Sequence[str], chosen: Settings) -> int:
    """The arms' common number of steps."""
    from textgan.lm import load_lm
    from textgan.lm.training import plan

    if chosen.steps is not None:
        return chosen.steps
    lm = load_lm(base, device=chosen.device)
    return plan(
        lm, lines, steps=None, passes=3, bounds=(50, 3000), tokens_per_step=chosen.tokens_per_step, lr=1.0, seed=0
    ).steps


def _drawn(mixture: Mixture, texts: dict[str, Text]) -> dict[str, Any]:
    """What is known of the synthetic lines: how many, of how many, and copies of real and held-out lines among them."""
    held = {name: set(texts[name].lines) for name in ("valid", "test")}
    copies = {f"also_in_{name}": sum(line in lines for line in mixture.synthetic) for name, lines in held.items()}
    return {"lines": len(mixture.synthetic), "of": mixture.pool, "also_in_real": mixture.overlap, **copies}


def _about(text: Text) -> dict[str, Any]:
    return {"name": text.name, "sha256": text.sha256, "lines": len(text.lines)}


def _figures(arm: dict[str, Any]) -> dict[str, float]:
    own = {key: arm[key] for key in ("nll_per_byte", "nll_per_token", "perplexity")}
    return own | {score["name"]: score["value"] for score in arm["scores"]}


def _spread(values: list[float]) -> dict[str, Any]:
    mean, many = statistics.fmean(values), len(values)
    if many < 2:
        return {"mean": mean, "values": values}
    sd = statistics.stdev(values)
    if many < ENOUGH:
        return {"mean": mean, "sd": sd, "values": values}
    from scipy.stats import t

    half = float(t.ppf(0.975, many - 1)) * sd / math.sqrt(many)
    return {"mean": mean, "sd": sd, "low": mean - half, "high": mean + half, "values": values}
