"""The README's commands run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"<!-- test -->\s*```sh\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    assert BLOCKS, "README.md has no block marked <!-- test -->"
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "textgan"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m textgan "$@"\n')
    command.chmod(0o755)
    paths = os.environ | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    for block in BLOCKS:
        script = f"set -e\n{block}"
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=paths, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (tmp_path / "runs" / "seqgan" / "finetune.json").exists()
