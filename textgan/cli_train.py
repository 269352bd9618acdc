"""`textgan train`: a recipe's fields are flags, nested ones dotted, and a YAML file may hold them all."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
from pathlib import Path
from typing import Any

from textgan.errors import InputError

PROG = "textgan train"
USAGE = f"""\
usage: {PROG} RECIPE CORPUS --out RUN [options]

recipes: {{recipes}}
{PROG} RECIPE --help lists a recipe's options, which are its hyper-parameters."""


def train(arguments: list[str]) -> int:
    """Parse, then one call of `textgan.fit`."""
    from textgan import recipes

    names = [recipe.name for recipe in recipes.RECIPES]  # type: ignore[attr-defined]
    if arguments[:1] in (["--help"], ["-h"]):
        sys.stdout.write(USAGE.format(recipes=", ".join(names)) + "\n")
        return 0
    if not arguments or arguments[0].startswith("-"):
        _usage(f"the first argument is a recipe: {', '.join(names)}")
    if arguments[0] not in names:
        _usage(f"recipe {arguments[0]!r} is not one of {', '.join(names)}")
    values = _parse(recipes.find_recipe(arguments[0]), [_dashes(a) for a in arguments[1:]])
    from textgan.batches import TextSettings
    from textgan.training import Schedule, fit

    known = {field.name for field in dataclasses.fields(recipes.find_recipe(arguments[0]))}
    parts = {kind: {f.name: values.pop(f.name) for f in dataclasses.fields(kind)} for kind in (TextSettings, Schedule)}
    recipe = recipes.from_dict(arguments[0], {key: values.pop(key) for key in known})
    corpus = values.pop("corpus")
    fit(recipe, corpus, text=TextSettings(**parts[TextSettings]), schedule=Schedule(**parts[Schedule]), **values)
    return 0


def _usage(message: str) -> None:
    sys.stderr.write(f"{PROG}: error: {' '.join(message.split())} (see {PROG} --help)\n")
    raise SystemExit(2)


def _dashes(argument: str) -> str:
    """--save-every means --save_every; the value after "=" is left alone."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def _parse(recipe: type, arguments: list[str]) -> dict[str, Any]:
    """The command line (and --config) as one flat dict; nets as dicts with their "kind"."""
    from jsonargparse import ArgumentError, ArgumentParser

    from textgan.batches import TextSettings
    from textgan.recipes import FAMILIES, family_of
    from textgan.training import Schedule

    defaults = recipe()
    nets = [field.name for field in dataclasses.fields(recipe) if field.name in FAMILIES]
    arguments = _kinds_as_flags(arguments, nets)
    parser = ArgumentParser(prog=f"{PROG} {recipe.name}", exit_on_error=False, description=recipe.__doc__.split("\n")[0])  # type: ignore[attr-defined,union-attr]
    parser.add_argument("corpus", help='training text: a file, "-", or grammar:N')
    parser.add_argument("--out", type=str, required=True, help="folder of the run")
    parser.add_argument("--valid", type=str | None, default=None, help="held-out text (default: 5 % of the corpus)")
    parser.add_argument("--start", type=str | None, default=None, help="run whose generator this one begins with")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same run")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", type=str, default="no", help="no or bf16")
    parser.add_argument("--threads", type=int | None, default=None, help="processor threads")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, exactly")
    parser.add_argument("--tensorboard", action="store_true", help="also write RUN/tensorboard (needs the extra)")
    parser.add_argument("--config", action="config", help="YAML file of these options; later ones override it")
    parser.add_class_arguments(recipe, skip=set(nets))
    for net in nets:
        kind = _chosen(net, arguments) or family_of(net, getattr(defaults, net))
        if kind not in FAMILIES[net]:
            _usage(f"--{net} {kind} is not one of {', '.join(FAMILIES[net])}")
        parser.add_argument(f"--{net}.kind", type=str, default=kind, help=f"family: {', '.join(FAMILIES[net])}")
        same = type(getattr(defaults, net)) is FAMILIES[net][kind]
        parser.add_class_arguments(FAMILIES[net][kind], net, default=getattr(defaults, net) if same else None)
    parser.add_class_arguments(TextSettings)
    parser.add_class_arguments(Schedule)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            values = parser.parse_args(arguments).as_dict()
    except (ArgumentError, TypeError, ValueError) as error:
        _usage(re.sub(r'Parser key "([\w.]+)":', r"--\1:", re.sub(r"<class '(\w+)'>", r"\1", str(error))))
    values.pop("config", None)
    return values


def _kinds_as_flags(arguments: list[str], nets: list[str]) -> list[str]:
    """`--generator transformer` is short for `--generator.kind transformer`."""
    flags = {f"--{net}" for net in nets}
    return [
        f"{head}.kind{equals}{rest}" if (head := a.partition("=")[0]) in flags else a
        for a in arguments
        for equals, rest in [a.partition("=")[1:]]
    ]


def _chosen(net: str, arguments: list[str]) -> str | None:
    """The family named on the command line, or else in the --config file."""
    given = _value_of(f"--{net}.kind", arguments)
    if given is None and (path := _value_of("--config", arguments)) is not None:
        import yaml

        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"--config {path} cannot be read as YAML ({' '.join(str(error).split())})") from error
        if isinstance(content, dict) and isinstance(content.get(net), dict):
            given = content[net].get("kind")
    return given


def _value_of(flag: str, arguments: list[str]) -> str | None:
    """The last value given to a flag, as `--flag value` or `--flag=value`."""
    found = None
    for i, argument in enumerate(arguments):
        if argument == flag and i + 1 < len(arguments):
            found = arguments[i + 1]
        elif argument.startswith(f"{flag}="):
            found = argument.partition("=")[2]
    return found
