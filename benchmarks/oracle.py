"""The synthetic oracle at lengths 20 and 40: quality and diversity of every recipe, beside controls and the papers.

    python benchmarks/oracle.py                 run the grid (a job whose result is there is skipped), then the tables
    python benchmarks/oracle.py --only L20-seqgan
    python benchmarks/oracle.py --list          a command a job, for a batch scheduler
    python benchmarks/oracle.py --table         the tables from benchmarks/results/oracle/*.json

The oracle is SeqGAN's published LSTM; TEXTGAN_DATA names the folder of data that holds it (default ../shared/data).
Budget (`games.py` says how it is kept): each recipe has the discriminator and learning rates of its preset
`paper-oracle` where it has one, and SeqGAN's LSTM unless it has a generator of its own. It starts from its seed's
early-stopped maximum likelihood; "from-papers" from `mle-papers`, which is over-fitted as the papers' models are.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fronts import seeded, seeds_of, spread
from games import ROOT, Ground, known_fields

from textgan import Run, oracle, recipes
from textgan.cli import guarded
from textgan.experiment import Job, command_line
from textgan.generators import LSTM

RUNS, RESULTS = ROOT / "runs" / "oracle", ROOT / "benchmarks" / "results" / "oracle"
LENGTHS = (20, 40)
TRAIN, TUNING, TEST, DRAWN = 10_000, 2_000, 4_000, 4_000  # sentences
TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.75, 2.0)  # an over-fitted model wants the last
EPOCH = TRAIN // 64
JUDGE_STEPS, GAME = 100, 150  # steps of D alone; processor seconds of the game
OWN_RATES = ("gad", "textgail")  # clipped policy gradients: a hundred times the rate is another method
SIZES = LSTM(32, 32, dropout=0.0, tied=False, init_std=0.1)  # SeqGAN's generator
MLE: dict[str, dict[str, Any]] = {
    "mle": {"mle_steps": 8 * EPOCH, "early_stopping": True},
    "mle-papers": {"mle_steps": 30 * EPOCH, "early_stopping": False},  # 30 epochs, last weights (the papers: 120)
}
PUBLISHED = {  # NLL_oracle, length 20 and 40: RelGAN (Nie et al. 2019), table 1; four different oracles stand behind it
    "MLE": (9.038, 10.411), "SeqGAN": (8.736, 10.310), "RankGAN": (8.247, 9.958), "LeakGAN": (7.038, 7.191),
    "RelGAN": (6.680, 6.765), "real": (5.750, 4.071),
}  # fmt: skip


def text(length: int, n: int, seed: int) -> str:
    return f"oracle:{n}:{length}:{seed}"


def settings(length: int, name: str) -> Any:
    """The recipe at its preset for the oracle at this length, or with SeqGAN's rate there."""
    kind = recipes.find_recipe(name)
    presets = recipes.presets_of(kind)
    if preset := presets.get(f"paper-oracle-{length}") or presets.get("paper-oracle"):
        return preset
    faster = "generator_lr" in known_fields(kind) and name not in OWN_RATES
    return kind(**{"generator_lr": 1e-2} if faster else {})


def measured(length: int, run: Run, seed: int) -> dict[str, Any]:
    """Both sides over temperatures, the temperature tuned on other sentences than those of the figures."""
    truth = oracle.load()
    tuning, test = (oracle.lines(text(length, n, s)) for n, s in ((TUNING, 1), (TEST, 2)))
    front = oracle.front(run, truth, test, TEMPERATURES, n=DRAWN, seed=seed)
    other = oracle.front(run, truth, tuning, TEMPERATURES, n=TUNING, seed=seed + 100)
    return {
        "front": [point._asdict() for point in front],
        "tuned": oracle.tuned(other).temperature,
        "nll_real": truth.nll(test),
        "settings": run.settings,
        "evaluations": [
            {key: row[key] for key in ("step", "phase", "valid_nll", "nll_oracle") if key in row}
            for row in run.evaluated
        ],
        "samples": run.sample_text(5, seed=seed),
    }


def ground(length: int) -> Ground:
    return Ground(
        runs=RUNS,
        results=RESULTS,
        word=f"L{length}-",
        train=text(length, TRAIN, 0),
        valid=text(length, TUNING, 1),
        settings=partial(settings, length),
        generator=SIZES,
        likelihoods=MLE,
        budget={"judge_steps": JUDGE_STEPS, "rollouts": 4, "discriminator_updates": 5, "baseline": True},
        seconds=GAME,
        eval_every=EPOCH,
        measured=partial(measured, length),
        papers=("seqgan", "relgan"),
        own={"leakgan": {"judge_steps": JUDGE_STEPS, "mle_steps": 4 * EPOCH}},  # of 8, the 2nd was its best
        also={"leakgan-slow": {"recipe": "leakgan", "fields": {"generator_lr": 1e-3}}},  # a tenth of the paper's rate
    )


GROUNDS = {length: ground(length) for length in LENGTHS}


def drawn(n: int, seeds: int) -> dict[str, Any]:
    """Nats a token of other oracles' own sentences, LSTMs of the same size with N(0, 1) weights, by name and length."""
    found: dict[str, dict[int, float]] = {}
    for name in (f"random-5000x32-{seed}" for seed in range(seeds)):
        truth = oracle.load(name)
        found[name] = {length: truth.nll(truth.sample(n, length, seed=0)) for length in LENGTHS}
    return {"nll_real": found}


def table() -> str:
    """Markdown: a table a length, and maximum likelihood's temperature front."""
    lines = []
    for length in LENGTHS:
        lines += [f"\n**Length {length}**, nats a token, mean ± standard deviation over seeds\n", *rows(length)]
        lines += ["\nThe early-stopped MLE over temperatures:\n", *over_temperatures(length)]
    return "\n".join(lines)


def found_of(length: int) -> dict[str, list[dict[str, Any]]]:
    return seeds_of(GROUNDS[length].jobs(), RESULTS, GROUNDS[length].word)


def rows(length: int) -> list[str]:
    """A row an arm: at T = 1, and at the temperature that was tuned on other sentences."""
    found = found_of(length)
    if not found:
        return ["no results"]
    columns = ("NLL_oracle", "NLL_test", "NLL_div", "KL(G, oracle)", "KL(oracle, G)")
    heads = ["", *columns, "T tuned", "NLL_oracle", "NLL_test", "published NLL_oracle"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, cells in found.items():
        at_one = [point_of(r, 1.0) for r in cells]
        tuned = [point_of(r, r["tuned"]) for r in cells]
        row = [spread([p[c] for p in at_one]) for c in ("nll_oracle", "nll_test", "nll_div")]
        row += [spread([p["nll_oracle"] - p["nll_div"] for p in at_one])]
        row += [spread([p["nll_test"] - r["nll_real"] for p, r in zip(at_one, cells, strict=True)])]
        row += [", ".join(sorted({f"{r['tuned']:g}" for r in cells}))]
        row += [spread([p[c] for p in tuned]) for c in ("nll_oracle", "nll_test")]
        said = {word.lower(): values for word, values in PUBLISHED.items()}.get({"mle-papers": "mle"}.get(name, name))
        row += [f"{said[LENGTHS.index(length)]:.3f}" if said and name != "mle" else ""]
        lines.append(f"| {seeded(name, cells)} | {' | '.join(row)} |")
    real = spread([next(iter(found.values()))[0]["nll_real"]])
    published = f"{PUBLISHED['real'][LENGTHS.index(length)]:.3f}"
    return [*lines, f"| the oracle itself | {real} | {real} | {real} | 0 | 0 | | | | {published} |"]


def over_temperatures(length: int) -> list[str]:
    """The early-stopped maximum likelihood's front."""
    base = found_of(length).get("mle")
    if not base:
        return ["no results"]
    lines = ["| T | NLL_oracle | NLL_test | NLL_div |", "|---|---|---|---|"]
    for t in [point["temperature"] for point in base[0]["front"]]:
        points = [point_of(r, t) for r in base]
        cells = (spread([p[c] for p in points]) for c in ("nll_oracle", "nll_test", "nll_div"))
        lines.append(f"| {t:g} | {' | '.join(cells)} |")
    return lines


def point_of(result: dict[str, Any], temperature: float) -> dict[str, float]:
    return next(point for point in result["front"] if point["temperature"] == temperature)


if __name__ == "__main__":
    jobs = [job for length in LENGTHS for job in GROUNDS[length].jobs()]
    jobs.append(Job("oracles", drawn, {"n": 1000, "seeds": 4}))
    raise SystemExit(guarded(lambda: print(command_line(jobs, RESULTS, table, __doc__ or ""))))
