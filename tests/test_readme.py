"""The commands of README.md run as they stand there."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from textgan.cli import main
from textgan.cli_commands import build_parser

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^<!-- test -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README.read_text(encoding="utf-8")) if README.exists() else []


def test_the_readme_marks_commands_to_be_tested() -> None:
    assert BLOCKS, "README.md holds no ```sh block right after a line <!-- test -->"
    assert README.read_text(encoding="utf-8").count("<!-- test -->") == len(BLOCKS), (
        "a mark stands before no ```sh block"
    )


def test_the_table_of_recipes_is_what_the_recipes_say_of_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--markdown"]) == 0
    wanted = capsys.readouterr().out
    assert wanted in README.read_text(encoding="utf-8"), "README.md lacks the table of `textgan recipes --markdown`"


def test_the_table_of_commands_has_an_example_of_each_that_is_understood() -> None:
    examples = [shlex.split(line) for line in re.findall(r"^\| `textgan (.*?)` \|", README.read_text(), re.MULTILINE)]
    known = next(a.choices for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert {words[0] for words in examples} == set(known)
    for words in examples:
        if words[0] != "train":  # whose options are its recipe's
            assert callable(build_parser().parse_args(words).command)


def test_the_tables_are_what_the_kept_results_say() -> None:
    check = [sys.executable, str(README.parent / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0] for block in BLOCKS])
def test_a_block_of_the_readme_runs_as_it_stands(block: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    command = tools / "textgan"  # this checkout's, installed or not
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m textgan "$@"\n')
    command.chmod(0o755)
    shell = shutil.which("sh")
    assert shell is not None
    work = tmp_path / "work"
    work.mkdir()
    env = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([shell, "-eu"], input=block, cwd=work, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr
    for name in re.findall(r"--(?:out|json) (\S+)", block):
        assert (work / name).exists(), f"{name} was not written"
