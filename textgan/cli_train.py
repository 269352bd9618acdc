"""`textgan train`: a recipe's fields are flags, nested ones dotted, and a YAML file may hold them all."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from textgan.cli_usage import LAST_SEED, WIDTH, guess, once_from_standard_input, respell, unknown_option, usage_error
from textgan.errors import InputError

PROG = "textgan train"
USAGE = f"""\
usage: {PROG} RECIPE CORPUS --out RUN [options]

recipes: {{recipes}}
{PROG} RECIPE --help lists a recipe's options, which are its hyper-parameters."""
WANTED = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", int | None: "a whole number or null",
    str | None: "text", tuple[int, ...]: "a list of whole numbers such as [2,3,4]",
}  # fmt: skip
METAVARS = {int: "N", float: "X", bool: "true|false", int | None: "N", tuple[int, ...]: "[N,N,...]"}
LEAST = {"threads": 1, "min_count": 1, "max_len": 1, "log_every": 1, "eval_every": 1, "save_every": 1, "keep": 1}


class Option(dataclasses.dataclass(frozen=True)(type("_", (), {}))):  # type: ignore[misc]
    pass
