"""The configuration of an augmentation experiment: one frozen value, read from YAML, whose hash stands in each result.

`textgan experiment CONFIG.yaml`. Whatever could be chosen after the results were seen is chosen here, before them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from textgan.errors import InputError, guess
from textgan.laboratory.arms import ARMS, PROTOCOL, REAL_ARMS

SPLITS = {  # name -> who sees it
    "train": "the pool of real training lines; each seed draws its N lines from it",
    "valid": "chooses steps, learning rates and temperatures",
    "test": "opened once, after every choice",
    "fresh": "further real lines, for the arm `fresh` alone",
    "judge": "trains the judges of what the language models write; no arm is tuned on it",
    "control": "held-out lines as many as N: how much of a text is copied by chance",
}
HOWS = ("drs", "mh", "top", "resample")  # of `selection`
MH_SURPLUS = 25  # chains of 20 steps, and what screening drops
REGIMES = {
    "steps": "every arm gets the same steps and tokens",
    "passes": "every arm passes over its real tokens as often as real-only does; `matched` gets 1 + ratio times the "
    "steps of real-only",
}


@dataclass(frozen=True)
class Texts:
    """Where the splits come from.

    Args:
        divide: texts to be taken together and divided; duplicates and near-duplicates stay within one split
        lines: lines of each split, with `divide`
        given: a text for each split, instead; refused where two of them share a line or a near-duplicate
        near: word sets that overlap so much are near-duplicates; null where sentences are drawn from a known language,
            whose draws are independent and may be alike
        seed: of the division
    """

    divide: tuple[str, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    near: float | None = 0.8
    seed: int = 0


@dataclass(frozen=True)
class Base:
    """The language model that every fine-tuning begins with.

    Args:
        lm: a hub name, a folder, a .gguf file, or small:LAYERSxWIDTH, which is pre-trained here
        text: what the small one is pre-trained on, with its tokenizer, but for the last lines, which choose its step;
            refused where it shares a line with the validation or the test text, unless it is shuffled; null: the split
            `judge`
        shuffled: pre-train on the words of each line in a random order (it then knows the words and no grammar)
        steps: of its pre-training
        lora: rank of the adapters that are fine-tuned instead of all weights; null: all weights
    """

    lm: str = "small:2x128"
    text: str | None = None
    shuffled: bool = False
    steps: int = 1000
    lora: int | None = None


@dataclass(frozen=True)
class Games:
    """The generator before and after adversarial training.

    Args:
        tokens: how lines become tokens: words, treebank, characters or bpe
        max_len: longest sentence in tokens, end mark included; null: after the lines. At the length of lines that are
            all alike it leaves the end mark out, so that a generator need not learn to count
        mle: fields of the recipe mle, as in its recipe.json; the generator {kind: pretrained, path: base} is the
            study's own language model
        recipe: the adversarial recipe, which begins with that generator
        fields: of that recipe
        temperatures: candidates for the arms' samples; the validation text chooses
        surplus: sentences drawn for each one that an arm needs
    """

    tokens: str = "words"
    max_len: int | None = None
    mle: dict[str, Any] = field(default_factory=dict)
    recipe: str = "seqgan"
    fields: dict[str, Any] = field(default_factory=dict)
    temperatures: tuple[float, ...] = (1.0,)
    surplus: float = 4.0


@dataclass(frozen=True)
class Selection:
    """How D chooses among generated sentences, and what is screened out of every synthetic text before.

    Args:
        body: of D: cnn, encoder or mean
        encoder: local folder of a sentence encoder, for encoder and mean
        held: share of the N real lines that the generator never sees and D learns from; every arm's language model
            has all N lines
        how: drs, mh, top or resample
        share: of the sentences that is kept, for drs, top and resample
        folds: of the cross-fitting
        calibration: isotonic or platt
        min_words, max_words: a synthetic line is dropped outside of these, and so is one with a character that the N
            lines lack, with babble, a copy of one of them, or a (near-)duplicate
    """

    body: str = "cnn"
    encoder: str | None = None
    held: float = 0.3
    how: str = "drs"
    share: float = 0.5
    folds: int = 5
    calibration: str = "platt"
    min_words: int = 2
    max_words: int = 60


@dataclass(frozen=True)
class Tuning:
    """The fine-tuning.

    Args:
        steps: of an arm in the regime `steps`, and of real-only in both
        tokens_per_step: predicted tokens, to the token
        learning_rates: candidates; for each N and seed real-only's validation NLL chooses, for all arms; in `passes`
            that of `matched`, which has as many steps, for each ratio
    """

    steps: int = 300
    tokens_per_step: int = 512
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)  # of two, one is at an edge


@dataclass(frozen=True)
class Writing:
    """What the tuned models write, for diversity at matched quality.

    Args:
        n: sentences that each model writes at each temperature; 0 leaves this part out
        temperatures: two at least, better five, around 1: along this curve models are matched in quality
    """

    n: int = 500
    temperatures: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1, 1.2)


@dataclass(frozen=True)
class Study:
    """An experiment: `lines` x `seeds` x arms, and a sweep over ratios for some of them.

    Args:
        name: what the report is called
        texts: where the splits come from
        lines: N, the real training lines; each is one experiment
        seeds: pairs; each draws its own N lines, generator and order of batches. 8 detect 1.16 standard deviations
        first_seed: the first of them; what was found on some seeds is to be confirmed on others
        arms: by name; "all" are those of the protocol and their controls, 0 to 14
        ratio: synthetic lines for each real line
        sweep: further ratios, for the arms in `swept`
        swept: arms that are run at every ratio
        fresh_ratios: further ratios for `fresh` alone. Its curve prices a generated line, and flattens: a gain below
            that of its smallest ratio is only bounded
        regimes: steps, passes or both
        base, games, selection, tuning, writing: see there
        lexicon: a YAML file of groups whose shares are followed; null: the package's own
        equal: the relative difference of NLL under which two arms are called equal
    """

    name: str
    texts: Texts
    lines: tuple[int, ...] = (1000,)
    seeds: int = 8
    first_seed: int = 0
    arms: tuple[str, ...] = ("all",)
    ratio: float = 1.0
    sweep: tuple[float, ...] = ()
    swept: tuple[str, ...] = ("before", "selected", "fresh")
    fresh_ratios: tuple[float, ...] = (0.1, 0.3)
    regimes: tuple[str, ...] = ("steps",)
    base: Base = Base()
    games: Games = field(default_factory=Games)
    selection: Selection = Selection()
    tuning: Tuning = Tuning()
    writing: Writing = Writing()
    lexicon: str | None = None
    equal: float = 0.005

    def __post_init__(self) -> None:
        if self.arms == ("all",):
            object.__setattr__(self, "arms", tuple(PROTOCOL))
        for key, words in (("arms", ARMS), ("swept", ARMS), ("regimes", REGIMES)):
            for word in getattr(self, key):
                if word not in words:
                    raise InputError(f"{key}: {word!r} is not one of {', '.join(words)}{guess(word, list(words))}")
        if not set(REAL_ARMS) <= set(self.arms):
            raise InputError(f"arms: {', '.join(REAL_ARMS)} must be among them; they are what is to be beaten")
        _at_least("seeds", self.seeds, 1)
        _at_least("first_seed", self.first_seed, 0)
        for n in self.lines:
            _at_least("lines", n, 10)
        for ratio in (self.ratio, *self.sweep, *self.fresh_ratios):
            if not (math.isfinite(ratio) and 0 < ratio <= 100):
                raise InputError(f"ratio {ratio:g} is out of range; give synthetic lines per real line, 0 to 100")
        for key, share in (("held", self.selection.held), ("share", self.selection.share)):
            if not 0 < share < 1:
                raise InputError(f"selection.{key} {share:g} is no share; give a number between 0 and 1")
        self._check_words()
        self._check_numbers()
        for key in ("lines", "regimes", "arms", "swept"):
            values = getattr(self, key)
            if len(set(values)) < len(values) or not (values or key == "swept"):
                raise InputError(f"{key}: one or more, each once, were wanted")
        for arm in (arm for arm in self.arms if arm != "real"):
            if round(self.ratios(arm)[0] * min(self.lines)) < 1:
                raise InputError(f"ratio {self.ratios(arm)[0]:g} of {min(self.lines)} lines is no line; give more")
            if ARMS[arm].regime == "replace" and (most := self.ratios(arm)[-1]) >= 1:
                raise InputError(f"arms: {arm} at ratio {most:g} leaves no real line; give ratios under 1, or drop it")

    def _check_words(self) -> None:
        """What would else be found out by the first job that asks for it, hours later and with all else frozen."""
        from textgan.augmentation.bodies import BODIES
        from textgan.augmentation.calibration import CALIBRATIONS
        from textgan.text import LEVELS

        chosen = self.selection
        for key, word, words in (
            ("selection.body", chosen.body, BODIES),
            ("selection.how", chosen.how, HOWS),
            ("selection.calibration", chosen.calibration, CALIBRATIONS),
            ("games.tokens", self.games.tokens, LEVELS),
        ):
            if word not in words:
                raise InputError(f"{key}: {word!r} is not one of {', '.join(words)}{guess(word, words)}")
        if (chosen.body == "cnn") is (chosen.encoder is not None):
            raise InputError(f"selection.encoder: body {chosen.body} {'reads none' if chosen.encoder else 'wants one'}")

    def _check_numbers(self) -> None:
        for key, values in (
            ("tuning.learning_rates", self.tuning.learning_rates),
            ("games.temperatures", self.games.temperatures),
            *((("writing.temperatures", self.writing.temperatures),) if self.writing.n else ()),
        ):
            if not values or not all(math.isfinite(x) and x > 0 for x in values) or len(set(values)) < len(values):
                raise InputError(f"{key}: one or more numbers above 0, each once, were wanted")
        for key, value, least in (
            ("tuning.steps", self.tuning.steps, 1),
            ("tuning.tokens_per_step", self.tuning.tokens_per_step, 1),
            ("writing.n", self.writing.n, 0),
            ("texts.seed", self.texts.seed, 0),
            ("base.steps", self.base.steps, 1),
            ("base.lora", 1 if self.base.lora is None else self.base.lora, 1),
            ("games.surplus", self.games.surplus, 1),
            ("selection.folds", self.selection.folds, 2),
            ("selection.max_words", self.selection.max_words, max(1, self.selection.min_words)),
            ("equal", self.equal, 0),
        ):
            _at_least(key, value, least)
        written = self.writing.temperatures
        if self.writing.n and (1.0 not in written or len(written) < 2):
            raise InputError("writing.temperatures: two or more were wanted, 1.0 among them: models are matched there")
        if self.selection.how == "mh" and self.games.surplus < MH_SURPLUS:
            raise InputError(
                f"selection.how mh keeps one of 21 sentences; give games.surplus {MH_SURPLUS} or more, not "
                f"{self.games.surplus:g}"
            )

    def ratios(self, arm: str, regime: str = "steps") -> tuple[float, ...]:
        """Those that an arm is run at, ascending; at equal passes `matched` is at all of them, to be beaten there."""
        along = {arm} | ({*self.swept, "fresh"} & {*self.arms} if (arm, regime) == ("matched", "passes") else set())
        found = {self.ratio, *(self.sweep if along & {*self.swept} else ())}
        return tuple(sorted(found | {*(self.fresh_ratios if "fresh" in along else ())}))

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `study_of` makes it again."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def recipes(self) -> dict[str, Any]:
        """Maximum likelihood and the game with all their fields, the usual ones too.

        Errors: InputError for an unknown one, and for a game whose generator is not that of maximum likelihood.
        """
        from textgan.recipes import from_dict, to_dict

        named = {"mle": self.games.mle, self.games.recipe: self.games.fields}
        found = {name: to_dict(from_dict(name, dict(fields))) for name, fields in named.items()}
        if len({json.dumps(fields["generator"], sort_keys=True) for fields in found.values()}) > 1:
            raise InputError("games: the generators of mle and fields differ, and the game begins with that of mle")
        return json.loads(json.dumps(found))


def read_study(path: str | Path) -> Study:
    """The study of a YAML file. Errors: InputError for what is no YAML, a misspelt key, a value of another type."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"{path}{f':{mark.line + 1}' if mark else ''}: is not YAML") from error
    return study_of(content, str(path))


def study_of(content: Any, where: str) -> Study:
    """A study from nested dictionaries; `where` names their source. Errors: InputError in one line, as `read_study`."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Study)
    if not isinstance(content, dict):
        raise InputError(f"{where}: `option: value` lines were wanted, got {type(content).__name__}")
    try:
        if lacking := [name for name in ("name", "texts") if name not in content]:
            raise InputError(f"{lacking[0]} is missing")
        parts = [name for name, kind in get_type_hints(Study).items() if dataclasses.is_dataclass(kind)]
        if wrong := [name for name in parts if not isinstance(content.get(name, {}), dict)]:
            raise InputError(f"{wrong[0]}: options of its own were wanted, got {content[wrong[0]]!r}")
        return Study(**vars(parser.instantiate(parser.parse_object(content))))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (ArgumentError, TypeError, ValueError) as error:
        raise InputError(f"{where}: {_reworded(str(error))}") from None


def _reworded(message: str) -> str:
    """jsonargparse's complaint in one line, with a guess at what was meant."""
    unknown = r"(?:Group '([\w.]+)' does not accept o|O)ption '([\w.]+)'(?: is not accepted)?"
    if misspelt := re.fullmatch(unknown, message):
        kind: Any = Study
        for part in filter(None, (misspelt[1] or "").split(".")):
            kind = get_type_hints(kind)[part]
        names = [entry.name for entry in dataclasses.fields(kind)]
        inside = f"{misspelt[1]}." if misspelt[1] else ""
        return f"there is no option {inside}{misspelt[2]}{guess(misspelt[2], names)}"
    line = " ".join(message.split())
    if wrong := re.match(r'Parser key "([\w.]+)":.*?(?:Got|Given) value: (.*)', line):
        return f"{wrong[1]}: got {wrong[2]!r}, which is of another type than is wanted"
    return line


def _at_least(name: str, value: float, least: int) -> None:
    if not least <= value < math.inf:
        raise InputError(f"{name}: {value} is too few; give {least} or more")


def source(text: str) -> str:
    """A text's name with its environment variables filled in. Errors: InputError for one that is not set."""
    filled = os.path.expandvars(text)
    if missing := re.search(r"\$\{?(\w+)", filled):
        raise InputError(f"{text}: the variable {missing[1]} is not set; let it name the folder of the texts")
    return filled
