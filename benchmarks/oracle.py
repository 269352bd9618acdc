"""The synthetic oracle at lengths 20 and 40: quality and diversity of every recipe, beside controls and the papers.

    python benchmarks/oracle.py                 run the grid (a job whose result is there is skipped), then the tables
    python benchmarks/oracle.py --only L20-seqgan
    python benchmarks/oracle.py --list          a command a job, for a batch scheduler
    python benchmarks/oracle.py --table         the tables from benchmarks/results/oracle/*.json

The oracle is SeqGAN's published LSTM; TEXTGAN_DATA names the folder of data that holds it (default ../shared/data).
Budget: each recipe has the discriminator and learning rates of its preset `paper-oracle` where it has one, and SeqGAN's
LSTM unless it has a generator of its own. It starts from its seed's early-stopped maximum likelihood unless its paper
has no pre-training; "from-papers" starts from `mle-papers`, which is over-fitted as the papers' models are. A generator
of its own (leakgan, maskgan, textgail) has as many epochs of its paper's pre-training first, which are no part of the
game's seconds. D gets JUDGE_STEPS alone, and the game as many rounds as GAME seconds of one processor pay for, timed in
a trial of some rounds and written into the result. "mle-equal" is maximum likelihood for the seconds that its seed's
game of EQUAL took, on top of that of the start.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("TEXTGAN_DATA", str(ROOT.parent / "shared" / "data"))

from textgan import Run, Schedule, fit, oracle, recipes  # noqa: E402
from textgan.cli import guarded  # noqa: E402
from textgan.controls import CONTROLS  # noqa: E402
from textgan.experiment import (  # noqa: E402
    Job,
    command_line,
    read_results,
    seconds_a_step,
    seconds_of_phases,
    steps_within,
)
from textgan.generators import LSTM  # noqa: E402

RUNS, RESULTS = ROOT / "runs" / "oracle", ROOT / "benchmarks" / "results" / "oracle"
SEEDS, LENGTHS = (0, 1, 2), (20, 40)
TRAIN, TUNING, TEST, DRAWN = 10_000, 2_000, 4_000, 4_000  # sentences
TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
EPOCH = TRAIN // 64
JUDGE_STEPS, GAME = 100, 150  # steps of D alone; processor seconds of the game
CONTROLLED = ("seqgan", "relgan")
FROM_PAPERS = ("seqgan", "relgan")  # games that are also begun where the papers' are, with an over-fitted model
EQUAL = "seqgan"  # the game whose seconds maximum likelihood at equal compute has
SIZES = LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1)  # SeqGAN's generator
BUDGET = {"judge_steps": JUDGE_STEPS, "rollouts": 4, "discriminator_updates": 5}
MLE = {  # name -> what it is, its fields
    "mle": ("early-stopped", {"mle_steps": 8 * EPOCH, "early_stopping": True}),
    "mle-papers": ("30 epochs, last weights (the papers: 120)", {"mle_steps": 30 * EPOCH}),
}
PUBLISHED = {  # NLL_oracle, length 20 and 40: RelGAN (Nie et al. 2019), table 1; four different oracles stand behind it
    "MLE": (9.038, 10.411), "SeqGAN": (8.736, 10.310), "RankGAN": (8.247, 9.958), "LeakGAN": (7.038, 7.191),
    "RelGAN": (6.680, 6.765), "real": (5.750, 4.071),
}  # fmt: skip


def text(length: int, n: int, seed: int) -> str:
    return f"oracle:{n}:{length}:{seed}"


def recipe_of(name: str, **changes: Any) -> Any:
    """The recipe at its preset for the oracle, with SeqGAN's LSTM, and these fields where it has them."""
    kind = recipes.find_recipe(name)
    presets = recipes.presets_of(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    base: Any = presets.get("paper-oracle") or kind(**{"generator_lr": 1e-2} if "generator_lr" in known else {})
    if isinstance(kind().generator, LSTM):  # one generator for all that can have it
        base = dataclasses.replace(base, generator=SIZES)
    return dataclasses.replace(base, **{key: value for key, value in changes.items() if key in known})


def train(recipe: Any, length: int, seed: int, out: Path, **options: Any) -> Run:
    options = {"schedule": Schedule(eval_every=EPOCH, save_every=10**6, keep=1)} | options
    return fit(
        recipe, text(length, TRAIN, 0), valid=text(length, TUNING, 1), out=out, seed=seed, device="cpu", threads=1,
        progress=False, **options,
    )  # fmt: skip


def maximum_likelihood(name: str, length: int, seed: int) -> dict[str, Any]:
    """One of MLE, whose run folder the games begin with."""
    return measured(started(name, length, seed), length, seed)


def started(name: str, length: int, seed: int) -> Run:
    """The run of one of MLE; trained, to the same bytes, where its result came from another machine."""
    out = RUNS / f"L{length}-{name}-{seed}"
    return train(recipe_of("mle", **MLE[name][1]), length, seed, out, resume=out.exists())


def equal_compute(length: int, seed: int) -> dict[str, Any]:
    """Early-stopped maximum likelihood for as long as the seed's game of EQUAL and its judge's steps took."""
    name = f"L{length}-{EQUAL}-{seed}"
    seconds = read_results(RESULTS, name)[name]["game_seconds"]
    steps = 8 * EPOCH + steps_within(seconds, timed(recipe_of("mle", mle_steps=8), length, "mle"))
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe_of("mle", mle_steps=steps, early_stopping=True), length, seed, Path(folder) / "run")
        return {"extra_seconds": seconds, "steps": steps} | measured(run, length, seed)


def game(recipe: str, length: int, seed: int, control: str | None = None, begins: str = "mle") -> dict[str, Any]:
    """A recipe for GAME seconds, from its seed's maximum likelihood (`begins`, of MLE) or its own pre-training."""
    usual = recipe_of(recipe)
    pretrained = bool(getattr(usual, "mle_steps", 0))
    start = started(begins, length, seed).path if pretrained and usual.generator == SIZES else None
    own = {"mle_steps": 8 * EPOCH if pretrained and start is None else 0, "early_stopping": True}
    options: dict[str, Any] = {"start": start, "control": control}
    trial = BUDGET | {"mle_steps": 0, "judge_steps": 0, "adversarial_steps": 4}
    per_round = timed(recipe_of(recipe, **trial), length, "adversarial", **options)
    rounds = steps_within(GAME, per_round)
    chosen = recipe_of(recipe, **BUDGET | own | {"adversarial_steps": rounds})
    rows: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        run = train(chosen, length, seed, Path(folder) / "run", **options,
                    on_log=lambda row: rows.append((row["phase"], time.process_time())))  # fmt: skip
        spent = seconds_of_phases(rows, began)
        before = spent.pop("mle", 0.0)
        took = {"game_seconds": sum(spent.values()), "own_pretraining_seconds": before, "rounds": rounds}
        return took | measured(run, length, seed)


def timed(recipe: Any, length: int, phase: str, **options: Any) -> float:
    """Processor seconds a step of a phase, from a short trial; evaluations are left out."""
    rows: list[tuple[str, float]] = []
    schedule = Schedule(log_every=1, eval_every=10**6, save_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        train(
            recipe, length, 0, Path(folder) / "run", schedule=schedule,
            on_log=lambda row: "valid_nll" in row or rows.append((row["phase"], time.process_time())), **options,
        )  # fmt: skip
    return seconds_a_step(rows, phase)


def measured(run: Run, length: int, seed: int) -> dict[str, Any]:
    """Both sides over temperatures, the temperature tuned on other sentences than those of the figures."""
    truth = oracle.load()
    tuning, test = (oracle.lines(text(length, n, s)) for n, s in ((TUNING, 1), (TEST, 2)))
    options = {"n": DRAWN, "seed": seed}
    front = [oracle.sides(run, truth, test, temperature=t, **options) for t in TEMPERATURES]
    other = [oracle.sides(run, truth, tuning, temperature=t, n=TUNING, seed=seed + 100) for t in TEMPERATURES]
    rows = [row for row in run.log if "valid_nll" in row]
    return {
        "front": [point._asdict() for point in front],
        "tuned": oracle.tuned(other).temperature,
        "nll_real": truth.nll(test),
        "settings": run.settings,
        "evaluations": [
            {key: row[key] for key in ("step", "phase", "valid_nll", "nll_oracle") if key in row} for row in rows
        ],
        "samples": run.sample_text(5, seed=seed),
    }


def grid() -> list[Job]:
    """In the order in which they are worth most."""
    games = [r.name for r in recipes.RECIPES if r.name != "mle" and not hasattr(r, "classes")]  # type: ignore[attr-defined]
    jobs = []
    for length in LENGTHS:

        def name(word: str, seed: int, length: int = length) -> str:
            return f"L{length}-{word}-{seed}"

        for seed in SEEDS:
            arguments = {"length": length, "seed": seed}
            needs = (name("mle", seed),)
            jobs += [Job(name(n, seed), maximum_likelihood, {"name": n} | arguments) for n in MLE]
            jobs += [Job(name(g, seed), game, {"recipe": g} | arguments, needs) for g in games]
            jobs += [
                Job(name(f"{g}-{c}", seed), game, {"recipe": g, "control": c} | arguments, needs)
                for g in CONTROLLED
                for c in CONTROLS
            ]
            jobs += [
                Job(name(f"{g}-from-papers", seed), game, {"recipe": g, "begins": "mle-papers"} | arguments,
                    (name("mle-papers", seed),))
                for g in FROM_PAPERS
            ]  # fmt: skip
            jobs.append(Job(name("mle-equal", seed), equal_compute, arguments, (name(EQUAL, seed),)))
    return jobs


def table() -> str:
    """Markdown: a table a length, and maximum likelihood's temperature front."""
    return "\n".join(line for length in LENGTHS if read_results(RESULTS, f"L{length}-") for line in table_of(length))


def table_of(length: int) -> list[str]:
    found = read_results(RESULTS, f"L{length}-")
    names = list(dict.fromkeys(name.split("-", 1)[1].rpartition("-")[0] for name in found))
    order = [n for n in ("mle", "mle-equal", "mle-papers") if n in names]
    columns = ("NLL_oracle", "NLL_test", "NLL_div", "KL(G, oracle)", "KL(oracle, G)")
    lines = [f"\n**Length {length}**, nats a token, mean ± standard deviation over seeds\n"]
    heads = ["", *columns, "T tuned", "NLL_oracle", "NLL_test", "published NLL_oracle"]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in [*order, *(n for n in names if n not in order)]:
        cells = [r for key, r in found.items() if key.split("-", 1)[1].rpartition("-")[0] == name]
        at_one = [point_of(r, 1.0) for r in cells]
        tuned = [point_of(r, r["tuned"]) for r in cells]
        row = [spread([p[c] for p in at_one]) for c in ("nll_oracle", "nll_test", "nll_div")]
        row += [spread([p["nll_oracle"] - p["nll_div"] for p in at_one])]
        row += [spread([p["nll_test"] - r["nll_real"] for p, r in zip(at_one, cells, strict=True)])]
        row += [", ".join(sorted({f"{r['tuned']:g}" for r in cells}))]
        row += [spread([p[c] for p in tuned]) for c in ("nll_oracle", "nll_test")]
        said = {word.lower(): values for word, values in PUBLISHED.items()}.get({"mle-papers": "mle"}.get(name, name))
        row += [f"{said[LENGTHS.index(length)]:.3f}" if said and name != "mle" else ""]
        lines.append(f"| {name}, {len(cells)} seed{'s' * (len(cells) > 1)} | {' | '.join(row)} |")
    real = [r["nll_real"] for r in found.values()]
    if real:
        lines.append(f"| the oracle itself | {spread(real[:1])} | {spread(real[:1])} | {spread(real[:1])} | 0 | 0 "
                     f"| | | | {PUBLISHED['real'][LENGTHS.index(length)]:.3f} |")  # fmt: skip
    base = [r for key, r in found.items() if key in [f"L{length}-mle-{seed}" for seed in SEEDS]]
    if base:
        lines.append("\nThe early-stopped MLE over temperatures:\n")
        lines += ["| T | NLL_oracle | NLL_test | NLL_div |", "|---|---|---|---|"]
        for t in TEMPERATURES:
            points = [point_of(r, t) for r in base]
            cells_ = (spread([p[c] for p in points]) for c in ("nll_oracle", "nll_test", "nll_div"))
            lines.append(f"| {t:g} | {' | '.join(cells_)} |")
    return lines


def point_of(result: dict[str, Any], temperature: float) -> dict[str, float]:
    return next(point for point in result["front"] if point["temperature"] == temperature)


def spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


if __name__ == "__main__":
    raise SystemExit(guarded(lambda: print(command_line(grid(), RESULTS, table, __doc__ or ""))))
