"""A folder that can be checked: the size and the sha256 of each of its files, in MANIFEST.json."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MANIFEST = "MANIFEST.json"


def write_manifest(folder: Path) -> None:
    """Put every file on the disk, and then the MANIFEST that says what they are; hidden files are not part of it."""
    files = {path.name: facts(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
    files.pop(MANIFEST, None)
    for name in files:
        sync(folder / name)
    draft = folder / f".{MANIFEST}.tmp"
    draft.write_text(json.dumps(files, indent=1), encoding="utf-8")
    sync(draft)
    os.replace(draft, folder / MANIFEST)
    sync(folder)


def read_manifest(folder: Path) -> dict[str, Any]:
    """File name -> {"bytes", "sha256"}. Errors: OSError, ValueError for none that can be read."""
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(files, dict):
        raise ValueError("not an object")
    return files


def problems(folder: Path) -> Iterator[str]:
    """What speaks against a sealed folder, a line for each file: "name: what is wrong". Other files are not looked at.

    Nothing is followed out of the folder: names with a path and symbolic links count as wrong.
    """
    try:
        files = read_manifest(folder)
    except (OSError, ValueError) as error:
        said = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({type(error).__name__})"
        yield f"{MANIFEST}: {said}"
        return
    for name, wanted in files.items():
        path = folder / name
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            yield f"{name}: is missing, or is not a file of this folder"
            continue
        size, listed = path.stat().st_size, wanted.get("bytes") if isinstance(wanted, dict) else None
        if size != listed:
            yield f"{name}: has {size} bytes, and the MANIFEST says {listed}"
        elif facts(path) != wanted:
            yield f"{name}: sha256 differs from the MANIFEST"


def facts(path: Path) -> dict[str, Any]:
    """{"bytes", "sha256"} of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
