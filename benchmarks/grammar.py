"""The built-in grammar: how much of what each recipe writes is grammatical, and how much of the language it covers.

    python benchmarks/grammar.py                run the grid (a job whose result is there is skipped), then the table
    python benchmarks/grammar.py --only seqgan-0
    python benchmarks/grammar.py --list         a command a job, for a batch scheduler
    python benchmarks/grammar.py --table        the table and fronts.html from benchmarks/results/grammar/*.json

Every sentence's true probability is known, so both sides are numbers: the share of grammatical sentences (and of
different grammatical ones) among DRAWN, and KL(grammar || G) in nats a sentence over held-out ones, of the very
distribution that was sampled, temperature included. Maximum likelihood has 4,000 steps under a falling rate. Every
recipe has its defaults, one generator unless it has one of its own, and the budget of GROUND; `games.py` says how it is
kept. D's rate is 1e-3, since D learns next to nothing at the usual 1e-4 (the jobs "opponents"). Recipes with classes
are told whether a sentence names an animal, and sample the classes as often as the text has them. "selected" is no
game: half of what maximum likelihood writes, let through by a D that has learnt from the validation sentences.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fronts import Front, front_page, seeded, seeds_of, spread
from games import ROOT, SEEDS, Ground

from textgan import Run, grammar, recipes, sources
from textgan.augmentation.calibration import auc
from textgan.cli import guarded
from textgan.experiment import Job, command_line, read_results
from textgan.generators import LSTM
from textgan.labels import label_facts
from textgan.opponents import Opponent
from textgan.text import encode

RUNS, RESULTS = ROOT / "runs" / "grammar", ROOT / "benchmarks" / "results" / "grammar"
TRAIN, TUNING, TEST, DRAWN = 10_000, 1_000, 2_000, 2_000  # sentences
TEMPERATURES, SHOWN = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1), (0.6, 0.8, 1.0)
JUDGES = ((1e-4, 100), (1e-4, 300), (1e-3, 300), (1e-3, 1000))  # rates and steps of D alone
FAR = 4  # nats a sentence, the right end of the fronts' page
GAME = 60  # processor seconds of a game
ANIMAL = re.compile(r"\b(dog|cat|horse|bird|cow|giraffe|zebra|elephant)s?\b")
BETTER = {"grammatical": "higher", "different": "higher", "grammar NLL": "match", "KL(grammar, G)": "lower"}


def labelled(source: str) -> list[str]:
    """grammar_animals:N:SEED: `grammar:N:SEED` with a label each."""
    lines = grammar.lines(source.replace("_animals", ""))
    return [f"{'animal' if ANIMAL.search(line) else 'other'}\t{line}" for line in lines]


def settings(name: str) -> Any:
    """A recipe at its defaults."""
    return recipes.find_recipe(name)()


def measured(run: Run, seed: int) -> dict[str, Any]:
    """Both sides over temperatures, and the temperature of the least KL(grammar || G) on validation sentences."""
    far, tuning = (divergences(run, grammar.sample(n, seed=s)) for n, s in ((TEST, 2), (TUNING, 1)))
    drawn = {t: told(run.sample_text(DRAWN, seed=seed, temperature=t)) for t in TEMPERATURES}
    return {
        "front": {f"{t:g}": drawn[t] | {"KL(grammar, G)": far[t]} for t in TEMPERATURES},
        "tuned": min(TEMPERATURES, key=lambda t: tuning[t]),
        "settings": run.settings,
        "samples": {f"{t:g}": run.sample_text(10, seed=seed, temperature=t) for t in SHOWN},
    }


def selected(seed: int) -> dict[str, Any]:
    """Rejection by a calibrated D on the start of the games, at each temperature; its probabilities are not known."""
    from textgan.augmentation import density, select

    run, real, front = GROUND.started("mle", seed), grammar.sample(TUNING, seed=1), {}
    for t in TEMPERATURES:
        pool = run.sample_text(2 * DRAWN + DRAWN // 10, seed=seed, temperature=t)
        ratio = density.DensityRatio.fit(real, pool, body="cnn", folds=2, seed=seed).ratio(pool)
        picked = select.choose(ratio, how=select.DRS(0.5), seed=seed).index
        front[f"{t:g}"] = told([pool[row] for row in picked][:DRAWN])
    return {"front": front, "settings": run.settings}


def opponents(seed: int) -> dict[str, Any]:
    """What SeqGAN's D knows when the game begins, by its rate and its steps alone.

    auc: of held-out real sentences against fresh ones of the start; auc_of_grammatical: of the fresh ones that are
    grammatical against those that are not, which is what G would have to hear.
    """
    start, found = GROUND.started("mle", seed), []
    real, fake = grammar.sample(TEST, seed=2), start.sample_text(DRAWN, seed=seed + 1)
    right = np.array([grammar.accepts(line) for line in fake])
    for rate, steps in JUDGES:
        alone = GROUND.recipe("seqgan", mle_steps=0, judge_steps=steps, adversarial_steps=0, discriminator_lr=rate)
        with tempfile.TemporaryDirectory() as folder:
            d = Opponent(GROUND.fit(alone, seed, Path(folder) / "run", start=start.path).path)
            of_real, of_fake = d.logits(real), d.logits(fake)
        found.append({
            "rate": rate, "steps": steps, "auc_of_grammatical": auc(of_fake, right),
            "auc": auc(np.r_[of_real, of_fake], np.arange(len(real) + len(fake)) < len(real)),
        })  # fmt: skip
    return {"opponents": found}


def opponents_said() -> list[str]:
    """A row a rate and number of steps."""
    results = list(read_results(RESULTS, "opponents-").values())
    lines = ["| D's rate | its steps | AUC, real against written | AUC, grammatical against not |", "|---|---|---|---|"]
    for i, (rate, steps) in enumerate(JUDGES if results else ()):
        cells = [spread([r["opponents"][i][name] for r in results]) for name in ("auc", "auc_of_grammatical")]
        lines.append(f"| {rate:g} | {steps} | {' | '.join(cells)} |")
    return lines


def told(lines: list[str]) -> dict[str, float]:
    """grammatical: share; different: of the lines that are, how many different ones, as a share of all lines;
    grammar NLL: mean -log p of the grammatical, nats a sentence (real text: the grammar's entropy)."""
    right = [line for line in lines if grammar.accepts(line)]
    found = {"grammatical": len(right) / len(lines), "different": len(set(right)) / len(lines)}
    return found | ({"grammar NLL": -float(np.mean([grammar.log_prob(line) for line in right]))} if right else {})


def divergences(run: Run, held: list[str]) -> dict[float, float]:
    """KL(grammar || G) by temperature, nats a sentence: the mean of log p - log q, q the mixture over G's classes."""
    import torch

    generator, counts = run.generator, label_facts(run.settings)
    ids = encode(run.tokenizer, held, max_len=generator.max_len)
    tokens = torch.from_numpy(ids.batch(np.arange(len(ids))))
    shares = np.array(list(counts.values()) or [1]) / (sum(counts.values()) or 1)
    true = float(np.mean([grammar.log_prob(line) for line in held]))

    def log_q(temperature: float) -> float:
        logs = []
        for i, share in enumerate(shares):
            label = generator.vocab_size - len(counts) + i
            context = torch.full((len(tokens),), label) if counts else None
            log_probs = generator.log_probs(tokens, context, temperature=temperature)
            logs.append(log_probs.double().sum(1) + float(np.log(share)))
        return torch.stack(logs).logsumexp(0).mean().item()

    with torch.no_grad():
        return {t: true - log_q(t) for t in TEMPERATURES}


GROUND = Ground(
    runs=RUNS,
    results=RESULTS,
    word="",
    train=f"grammar:{TRAIN}:0",
    valid=f"grammar:{TUNING}:1",
    labelled=(f"grammar_animals:{TRAIN}:0", f"grammar_animals:{TUNING}:1"),
    settings=settings,
    generator=LSTM(64, 128, dropout=0.2),
    likelihoods={"mle": {"mle_steps": 4000, "mle_lr": 3e-3, "early_stopping": True}},
    budget={"judge_steps": 300, "discriminator_lr": 1e-3, "rollouts": 4},
    own={"leakgan": {"judge_steps": 300, "discriminator_lr": 1e-3}},
    seconds=GAME,
    eval_every=200,
    measured=measured,
)


def found() -> dict[str, list[dict[str, Any]]]:
    return {name: results for name, results in seeds_of(jobs(), RESULTS).items() if name != "opponents"}


def table() -> str:
    """Markdown, and the page of the fronts."""
    results = found()
    if results:
        (RESULTS / "fronts.html").write_text(page(results), encoding="utf-8")
    return "\n".join(
        [*rows(results), "", *opponents_said(), f"\nFronts: {(RESULTS / 'fronts.html').relative_to(ROOT)}"]
    )


def rows(found: Mapping[str, Sequence[dict[str, Any]]]) -> list[str]:
    """A row an arm: both sides at T = 1, and at the temperature that was chosen on validation sentences, if one was."""
    heads = [f"T = 1: {name}" for name in BETTER] + ["T tuned", *(f"tuned: {name}" for name in BETTER)]
    lines = [f"| | rounds | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for name, results in found.items():
        rounds = ", ".join(str(r["rounds"]) for r in results if "rounds" in r)
        at_one = [spread([r["front"]["1"].get(score) for r in results]) for score in BETTER]
        best = [r for r in results if "tuned" in r]
        tuned = [spread([r["front"][f"{r['tuned']:g}"].get(score) for r in best]) if best else "" for score in BETTER]
        chosen = ", ".join(sorted({f"{r['tuned']:g}" for r in best}))
        lines.append(f"| {seeded(name, results)} | {rounds} | {' | '.join([*at_one, chosen, *tuned])} |")
    real = itself()
    cells = [f"{real[name]:.3f}" for name in BETTER]
    return [*lines, f"| the grammar itself | | {' | '.join([*cells, '', *cells])} |"]


def itself() -> dict[str, float]:
    return told(grammar.sample(DRAWN, seed=3)) | {"KL(grammar, G)": 0.0}


def page(found: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """The fronts of all that come near the language at some temperature; the others would hide them."""
    models: dict[str, dict[int, Front]] = {
        name: {
            r["arguments"]["seed"]: {t: x for t, x in r["front"].items() if x.get("KL(grammar, G)", FAR) < FAR}
            for r in results
        }
        for name, results in found.items()
    }
    near = {name: fronts for name, fronts in models.items() if all(fronts.values())}
    lost = ", ".join(name for name in models if name not in near)
    about = f"The built-in grammar; {DRAWN} sentences a point; means over seeds."
    return front_page(
        near, itself(), BETTER, diversity="KL(grammar, G)", qualities=("grammatical", "different"),
        rightwards="reaches less of the language",
        about=f"{about} Not shown, since KL is {FAR} or more, or not known: {lost or 'none'}.",
    )  # fmt: skip


def jobs() -> list[Job]:
    others = {"selected": selected, "opponents": opponents}
    return GROUND.jobs() + [
        Job(f"{name}-{seed}", work, {"seed": seed}, (f"mle-{seed}",)) for seed in SEEDS for name, work in others.items()
    ]


sources.register("grammar_animals", labelled)

if __name__ == "__main__":
    raise SystemExit(guarded(lambda: print(command_line(jobs(), RESULTS, table, __doc__ or ""))))
