"""What a stranger meets first: `make` says in one line what is missing, and touches nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = "install Python 3.11 or newer with venv and pip, or name one: make PYTHON=/path/to/python3.12"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.mark.parametrize("word", ["test", "quickstart", "bench"])
@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, f"no python3 that runs was found; {NEEDED}"),
        ("exit 127", f"no python3 that runs was found; {NEEDED}"),
        (
            'case "$*" in *version_info*) exit 1;; -V) echo Python 3.9.2;; esac',
            f"python3 is Python 3.9.2, too old; {NEEDED}",
        ),
        (
            'case "$*" in *ensurepip*) exit 1;; esac',
            "python3 lacks venv or pip; install the package python3-venv, "
            "or name another: make PYTHON=/path/to/python3.12",
        ),
    ],
)
def test_a_missing_tool_gets_one_line(tmp_path: Path, word: str, python: str | None, message: str) -> None:
    folder, tools = tmp_path / "a clone", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder)
    if python is not None:
        (tools / "python3").write_text(f"#!/bin/sh\n{python}\n")
        (tools / "python3").chmod(0o755)
    make = shutil.which("make")
    assert make is not None
    env = {"PATH": str(tools), "HOME": "/nonexistent"}
    done = subprocess.run([make, word], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.rstrip().endswith(f"*** {message}.  Stop.")
    assert not (folder / ".venv").exists()


def test_make_alone_prints_help_without_setting_anything_up(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    env = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "MFLAGS"}
    done = subprocess.run(["make"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert [line.split("   ")[0] for line in done.stdout.splitlines()] == ["make quickstart", "make test", "make bench"]
    assert not (tmp_path / ".venv").exists()


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test </dev/null")
