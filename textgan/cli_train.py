"""`textgan train`: a recipe's fields are flags, nested ones dotted, and a YAML file may hold them all."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from textgan.cli_usage import (
    DEVICES,
    LAST_SEED,
    MOST_THREADS,
    PRECISIONS,
    WIDTH,
    folder,
    guess,
    once_from_standard_input,
    respell,
    unknown_option,
    usage_error,
    whole,
)
from textgan.errors import InputError

PROG = "textgan train"
RECIPES = Path(__file__).parent / "recipes"  # a file each, named as its recipe: known without torch
USAGE = f"""\
usage: {PROG} RECIPE CORPUS --out RUN [options]

recipes: {{recipes}}
{PROG} RECIPE --help lists a recipe's options, which are its hyper-parameters."""
METAVARS = {int: "N", float: "X", bool: "true|false", int | None: "N", tuple[int, ...]: "[N,...]"}
WANTED = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", str | None: "text",
    int | None: "a whole number or null", str | int: "a word or a whole number",
    tuple[int, ...]: "a list of whole numbers such as [2,3]",
}  # fmt: skip
BOUNDS = (
    {"seed": (0, LAST_SEED), "threads": (1, MOST_THREADS)}
    | dict.fromkeys(("min_count", "max_len", "log_every", "eval_every", "save_every", "keep"), (1, 10**9))
    | dict.fromkeys(("metrics_every", "collapse_stop"), (0, 10**9))
)


class Option(NamedTuple):
    """One option: its dotted name, type, default, help, and the only words that it takes, where there are such."""

    name: str
    type: Any
    default: Any
    help: str
    words: tuple[str, ...] = ()
    metavar: str | None = None


def train(arguments: list[str]) -> None:
    """Parse, then one call of `textgan.fit`."""
    names = sorted(path.stem for path in RECIPES.glob("[a-z]*.py"))
    if arguments[:1] in (["--help"], ["-h"]):
        sys.stdout.write(USAGE.format(recipes=", ".join(names)) + "\n")
        return
    if not arguments or arguments[0].startswith("-"):
        usage_error(PROG, f"the first argument is a recipe: {', '.join(names)}")
    if arguments[0] not in names:
        usage_error(PROG, f"recipe {arguments[0]!r} is not one of {', '.join(names)}{guess(arguments[0], names)}")
    from textgan import recipes

    kind = recipes.find_recipe(arguments[0])
    _fit(kind, _parse(kind, arguments[1:]))


def _fit(kind: type, values: dict[str, Any]) -> None:
    from textgan import machine, recipes
    from textgan.batches import TextSettings
    from textgan.settings import Schedule
    from textgan.training import fit
    from textgan.updates import check_recipe

    def take(part: type) -> dict[str, Any]:
        return {field.name: values.pop(field.name) for field in dataclasses.fields(part)}

    text, schedule = TextSettings(**take(TextSettings)), Schedule(**take(Schedule))
    try:
        recipe = recipes.from_dict(kind.name, take(kind))  # type: ignore[attr-defined]
        check_recipe(recipe)
    except InputError as error:
        usage_error(f"{PROG} {kind.name}", str(error))  # type: ignore[attr-defined]
    machine.keep_memory()
    run = fit(recipe, values.pop("corpus"), text=text, schedule=schedule, **values)
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        told = [f"held-out NLL {row['valid_nll']:.4f} nats a token; " for row in run.evaluated]
        sampled = f"textgan sample {shlex.quote(str(run.path))} -n 10"
        sys.stderr.write(f"{run.path}: {told[-1] if told else ''}{sampled}\n")


def _parse(recipe: type, arguments: Sequence[str]) -> dict[str, Any]:
    """The command line and --config files as one dict; nets are dicts with their "kind". Flags win over files."""
    prog = f"{PROG} {recipe.name}"  # type: ignore[attr-defined]
    from textgan.recipes import FAMILIES

    nets = [field.name for field in dataclasses.fields(recipe) if field.name in FAMILIES]
    rest, files = _without(prog, "--config", [respell(a, "-", "_") for a in arguments])
    rest, presets = _without(prog, "--preset", rest)
    rest = [_kind_as_flag(argument, nets) for argument in rest]
    configs = {path: _read_config(path, nets) for path in files}
    preset, kept = _preset(prog, recipe, presets), _kept(prog, recipe, rest)
    kinds = {net: _kind_of(prog, recipe, net, [kept, preset, *configs.values()], rest) for net in nets}
    kept, preset = (
        {k: v for k, v in config.items() if k not in kinds or v["kind"] == kinds[k]} for config in (kept, preset)
    )
    groups = _groups(recipe, kinds)
    known = {option.name: option for options in groups.values() for option in options}
    _check_names(prog, kinds, rest, configs, known)
    parser = _parser(prog, recipe, groups)
    read = [json.dumps(config, default=str) for config in (kept, preset, *configs.values())]
    given = [word for config in read for word in ("--config", config)]
    from jsonargparse import ArgumentError

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            values = parser.parse_args([*given, *rest]).as_dict()
    except (ArgumentError, TypeError, ValueError) as error:
        usage_error(prog, _reworded(str(error), known))
    values.pop("config", None)
    values["preset"] = presets[-1] if presets else None
    _check_values(prog, values, known)
    once_from_standard_input(prog, values["corpus"], values["valid"])
    return values


def _groups(recipe: type, kinds: Mapping[str, str]) -> dict[str, list[Option]]:
    """All options of a recipe with these nets, under their headings."""
    from textgan.batches import TextSettings
    from textgan.controls import CONTROLS
    from textgan.recipes import FAMILIES
    from textgan.settings import Schedule
    from textgan.text import LEVELS

    defaults = recipe()
    groups = {
        "the run": [
            Option("valid", str | None, None, "held-out text (default: 5 % of the corpus)", metavar="FILE"),
            Option("start", str | None, None, "run whose generator this one begins with", metavar="RUN"),
            Option("control", str | None, None, "spoil what D tells G: " + ", ".join(CONTROLS), tuple(CONTROLS)),
            Option("seed", int, 0, "same seed, same run"),
            Option("device", str, "auto", "auto, cpu or cuda", DEVICES),
            Option("precision", str, "no", "no or bf16", PRECISIONS),
            Option("threads", int | None, None, "processor threads (default: by the size of the nets)"),
        ],
        f"{recipe.name}": _options(recipe, defaults, skip=kinds),  # type: ignore[attr-defined]
    }
    for net, kind in kinds.items():
        spec, words = FAMILIES[net][kind], tuple(FAMILIES[net])
        usual = getattr(defaults, net)
        groups[f"the {net}"] = [
            Option(f"{net}.kind", str, kind, " or ".join((", ".join(words[:-1]), words[-1])), words),
            *_options(spec, usual if type(usual) is spec else spec(), prefix=f"{net}."),
        ]
    groups["the text"] = [
        option._replace(words=words.get(option.name, ()), metavar={"prompt": "HOW"}.get(option.name))
        for words in [{"tokens": tuple(LEVELS), "encoding_errors": ("strict", "replace", "skip")}]
        for option in _options(TextSettings, TextSettings())
    ]
    groups["logs and checkpoints"] = _options(Schedule, Schedule())
    return groups


def _options(kind: type, defaults: Any, *, prefix: str = "", skip: Mapping[str, str] | None = None) -> list[Option]:
    """The fields of a dataclass as options; their help stands in its docstring, or in FIELDS for what recipes share."""
    from textgan.updates import FIELDS

    helps = FIELDS | dict(re.findall(r"^ +(\w+): (.+)$", inspect.getdoc(kind) or "", re.MULTILINE))
    hints = get_type_hints(kind)
    return [
        Option(prefix + field.name, hints[field.name], getattr(defaults, field.name), helps[field.name])
        for field in dataclasses.fields(kind)
        if field.name not in (skip or ())
    ]


def _parser(prog: str, recipe: type, groups: Mapping[str, Sequence[Option]]) -> Any:
    """jsonargparse's parser: types, nesting, and --print_config."""
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    from textgan.recipes import presets_of

    class Help(DefaultHelpFormatter):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"max_help_position": WIDTH})

        def _get_help_string(self, action: argparse.Action) -> str:
            return "print all options as YAML, for --config" if action.dest == "print_config" else action.help or ""

        def _format_action_invocation(self, action: argparse.Action) -> str:
            if action.dest == "print_config":
                return "--print_config"
            return super()._format_action_invocation(action).replace(".kind ", " ")

    parser = ArgumentParser(
        prog=prog, usage=f"{prog} CORPUS --out RUN [options]", formatter_class=Help, exit_on_error=False,
        allow_abbrev=False, description=" ".join((inspect.getdoc(recipe) or "").split("\n\n")[0].split()),
    )  # fmt: skip
    parser.add_argument("corpus", metavar="CORPUS", type=str, help="training text: a file, - or grammar:N")
    parser.add_argument("--out", type=str, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, at its settings, exactly")
    parser.add_argument("--tensorboard", action="store_true", help="also write RUN/tensorboard (needs the extra)")
    parser.add_argument("--config", action="config", metavar="FILE", help="YAML file of options; flags win over it")
    parser.add_argument(
        "--preset", metavar="NAME", help=f"a paper's settings: {', '.join(presets_of(recipe)) or 'none yet'}; flags win"
    )
    for title, options in groups.items():
        group = parser.add_argument_group(title)
        for option in options:
            shown = "NAME" if option.words else METAVARS.get(option.type, "FILE")
            group.add_argument(
                f"--{option.name}", type=option.type, default=option.default, metavar=option.metavar or shown,
                help=option.help + _default(option),
            )  # fmt: skip
    return parser


def _default(option: Option) -> str:
    if option.default in (None, ""):
        return ""
    shown = option.default if isinstance(option.default, str) else json.dumps(option.default, separators=(",", ":"))
    return f" (default: {shown})"


def _preset(prog: str, recipe: type, names: Sequence[str]) -> dict[str, Any]:
    """The fields of the preset that was named last, as a --config file would hold them."""
    from textgan import recipes

    try:
        return recipes.to_dict(recipes.find_preset(recipe, names[-1])) if names else {}
    except InputError as error:
        usage_error(prog, str(error))


def _kept(prog: str, recipe: type, arguments: Sequence[str]) -> dict[str, Any]:
    """The settings of the run that --resume goes on with, as a --config file would hold them: all else wins over them.

    Errors: another recipe's run.
    """
    _, outs = _without(prog, "--out", arguments)
    if "--resume" not in arguments or not outs:
        return {}
    try:
        with open(os.path.join(outs[-1], "recipe.json"), encoding="utf-8") as file:
            settings = json.load(file)
        name, fields, text = settings["recipe"], dict(settings["fields"]), dict(settings.get("text", {}))
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # `fit` says what is wrong with it
    if name != recipe.name:  # type: ignore[attr-defined]
        raise InputError(f"{outs[-1]} is a run of {name}; give `{PROG} {name} ... --out {outs[-1]} --resume`")
    told = fields | text | {key: settings.get(key) for key in ("seed", "control")} | settings.get("schedule", {})
    return {key: value for key, value in told.items() if value is not None}


def _without(prog: str, flag: str, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The other arguments, and the values of a flag."""
    rest, values = [], []
    words = iter(arguments)
    for word in words:
        if word == flag:
            value = next(words, None)
            if value is None:
                usage_error(prog, f"{flag}: expected one argument")
            values.append(value)
        elif word.startswith(f"{flag}="):
            values.append(word.partition("=")[2])
        else:
            rest.append(word)
    return rest, values


def _read_config(path: str, nets: Sequence[str]) -> dict[str, Any]:
    """A YAML file as nested dicts: dotted keys unfolded, `generator: transformer` spelt out, what is null left out."""
    import yaml

    try:
        if path == "-":
            content = yaml.safe_load(sys.stdin.buffer)
        else:
            with open(path, "rb") as file:
                content = yaml.safe_load(file)
    except OSError as error:
        raise InputError(f"--config {path}: cannot be read ({error.strerror}); give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise InputError(f"--config {where}: is not YAML ({getattr(error, 'problem', None) or error})") from error
    if not isinstance(content, dict | None):
        raise InputError(f"--config {path}: option: value on each line was wanted, got {type(content).__name__}")
    nested: dict[str, Any] = {}
    for key, value in _flat(content or {}):
        *above, last = (f"{key}.kind" if key in nets else key).split(".")
        place = nested
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return nested


def _flat(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested dicts, without those that are null."""
    for key, value in content.items():
        name = prefix + str(key).replace("-", "_")
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif value is not None:
            yield name, value


def _kind_as_flag(argument: str, nets: Sequence[str]) -> str:
    """`--generator transformer` is short for `--generator.kind transformer`."""
    flag, equals, value = argument.partition("=")
    return f"{flag}.kind{equals}{value}" if flag.removeprefix("--") in nets and flag.startswith("--") else argument


def _kind_of(prog: str, recipe: type, net: str, configs: Iterable[dict[str, Any]], arguments: Sequence[str]) -> str:
    """The family of a net: the last one named on the command line, else in a file, else the recipe's own."""
    from textgan.recipes import FAMILIES, family_of

    kind: Any = family_of(net, getattr(recipe(), net))
    for config in configs:
        kind = config[net].get("kind", kind) if isinstance(config.get(net), dict) else kind
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag == f"--{net}.kind":
            kind = value if equals else "".join(arguments[i + 1 : i + 2])
    words = list(FAMILIES[net])
    if kind not in words:
        usage_error(prog, f"--{net}: {str(kind)!r} is not one of {', '.join(words)}{guess(str(kind), words)}")
    return str(kind)


def _check_names(
    prog: str,
    kinds: Mapping[str, str],
    arguments: Sequence[str],
    configs: Mapping[str, Any],
    known: Mapping[str, Option],
) -> None:
    """Refuse an option that the recipe, or the net it is for, does not have."""
    names = {*known, "corpus", "out", "resume", "tensorboard"}

    def refuse(dashes: str, name: str, *, before: str = "") -> None:
        net, dot, _ = name.partition(".")
        hint = guess(dashes + name, [dashes + n for n in names if not (dashes and n == "corpus")])
        if dot and net in kinds:  # perhaps it belongs to another family
            sizes = [n.removeprefix(f"{net}.") for n in known if n.startswith(f"{net}.") and n != f"{net}.kind"]
            hint = f" with --{net} {kinds[net]}, which has {', '.join(sizes)}"
        usage_error(prog, f"{before}there is no option {dashes}{name}{hint}")

    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0]
        if argument.startswith("--") and name not in names - {"corpus"} | {"help", "print_config"}:
            refuse("--", name.removesuffix(".kind"))
    for path, config in configs.items():
        for name, _ in _flat(config):
            if name not in names:
                refuse("", name.removesuffix(".kind"), before=f"--config {path}: ")


def _check_values(prog: str, values: Mapping[str, Any], known: Mapping[str, Option]) -> None:
    """Refuse words and numbers that no recipe can use, before anything is read."""
    try:
        folder(values["out"])
    except argparse.ArgumentTypeError as error:
        usage_error(prog, f"--out: {error}")
    for name, value in _flat(values):
        words = known[name].words if name in known else ()
        if words and value not in words:
            usage_error(prog, f"--{name}: {value!r} is not one of {', '.join(words)}{guess(str(value), words)}")
        if name in BOUNDS:
            try:
                whole(*BOUNDS[name])(str(value))
            except argparse.ArgumentTypeError as error:
                usage_error(prog, f"--{name}: {error}")


def _reworded(message: str, known: Mapping[str, Option]) -> str:
    """jsonargparse's complaint in the words of the other commands."""
    if wrong := re.match(r'Parser key "([\w.]+)":', message):
        name, value = wrong[1], re.search(r"(?:Got|Given) value: (.*)", message)
        kind = known[name].type if name in known else str
        return f"--{name}: {WANTED[kind]} was wanted, got {value[1]!r}" if value else f"--{name}: {message}"
    if lacking := re.match(r"the following arguments are required: (.*)", message):
        shown = {"corpus": "CORPUS", "out": "--out"}
        return f"the following arguments are required: {', '.join(shown.get(n, n) for n in lacking[1].split(', '))}"
    if surplus := re.match(r"unrecognized arguments: (.*)", message):
        return unknown_option(surplus[1].split(), ())
    return message.removeprefix("argument ")
