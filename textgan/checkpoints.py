"""Files that survive a crash: checkpoints written atomically, verified when read, and rotated only afterwards.

A checkpoint is a folder of safetensors and one state.json, sealed by MANIFEST.json {file: {bytes, sha256}}.
Write: a temporary folder beside the others, every file fsynced, MANIFEST last, os.replace, fsync of the parent.
Read: newest to oldest, the first that verifies. No pickle anywhere.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from textgan.errors import InputError
from textgan.manifest import MANIFEST, problems, read_manifest, sync, write_manifest

PREFIX, TEMPORARY, LOCK = "ckpt-", ".tmp-", ".lock"

Tensors = dict[str, dict[str, Tensor]]  # file stem -> name -> tensor


def save_checkpoint(run: Path, step: int, tensors: Tensors, state: dict[str, Any], *, keep: int = 2) -> Path:
    """Write RUN/ckpt-STEP, then drop all but the newest `keep`. Errors: OSError (disk full, ...); nothing is lost.

    Later ones are dropped first: whoever comes to an earlier step has found them damaged.
    """
    target = run / f"{PREFIX}{step:06d}"

    def write(folder: Path) -> None:
        for stem, values in tensors.items():
            unshared = {name: value.detach().cpu().contiguous().clone() for name, value in values.items()}
            (folder / f"{stem}.safetensors").write_bytes(save(unshared))
        seal(folder, state)

    replace_folder(target, write)
    found = checkpoints(run)
    at = found.index(target)
    for old in (*found[:at], *found[at + keep :]):
        shutil.rmtree(old, ignore_errors=True)
    return target


def seal(folder: Path, state: dict[str, Any]) -> None:
    """Add state.json, and the MANIFEST that `verify` looks at."""
    (folder / "state.json").write_text(json.dumps(state, allow_nan=False), encoding="utf-8")
    write_manifest(folder)


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, then put it in the place of `target`, which a failure leaves as it was."""
    temporary = target.parent / f"{TEMPORARY}{target.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        write(temporary)
        sync(temporary)
        old = target.parent / f"{TEMPORARY}old-{target.name}"
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
        sync(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def checkpoints(run: Path) -> list[Path]:
    """The checkpoint folders of a run, newest first, verified or not."""
    found = [p for p in run.glob(f"{PREFIX}*") if p.name[len(PREFIX) :].isdigit() and p.is_dir()]
    return sorted(found, key=lambda p: int(p.name[len(PREFIX) :]), reverse=True)


def verify(checkpoint: Path) -> str | None:
    """What is wrong with a sealed folder, as one line that names the file; None where all is well."""
    if checkpoint.is_symlink():
        return f"{checkpoint.name}: is a symbolic link"
    wrong = next(problems(checkpoint), None)
    if wrong is None and "state.json" not in read_manifest(checkpoint):
        wrong = f"{MANIFEST}: lists no state.json"
    return None if wrong is None else f"{checkpoint.name}/{wrong}"


def newest_checkpoint(run: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies, and one line for each that was skipped.

    Errors: InputError where there are checkpoints and all are damaged; (None, []) where there is none.
    """
    skipped: list[str] = []
    for checkpoint in checkpoints(run):
        if (problem := verify(checkpoint)) is None:
            return checkpoint, skipped
        skipped.append(problem)
    if skipped:
        raise InputError(f"{run}: every checkpoint is damaged ({'; '.join(skipped)}); start again with another --out")
    return None, []


def load_checkpoint(run: Path) -> tuple[Tensors, dict[str, Any], list[str]]:
    """`newest_checkpoint`: its tensors, its state, and the lines; ({}, {}, []) where there is none."""
    checkpoint, skipped = newest_checkpoint(run)
    if checkpoint is None:
        return {}, {}, []
    tensors = {p.stem: load_file(p) for p in sorted(checkpoint.glob("*.safetensors"))}
    return tensors, json.loads((checkpoint / "state.json").read_text(encoding="utf-8")), skipped


def forget(run: Path) -> None:
    """Drop all checkpoints: what they were for is done and written."""
    for checkpoint in checkpoints(run):
        shutil.rmtree(checkpoint, ignore_errors=True)


def clean(run: Path) -> None:
    """Remove what an interrupted write left behind; a folder caught between two renames is put back."""
    for old in run.glob(f"{TEMPORARY}old-*"):
        target = run / old.name[len(TEMPORARY) + len("old-") :]
        if not target.exists():
            os.replace(old, target)
    for litter in run.glob(f"{TEMPORARY}*"):
        shutil.rmtree(litter, ignore_errors=True)
    for litter in (*run.glob(".*.tmp"), *run.glob("samples/.*.tmp")):  # of `text.replacing`
        litter.unlink(missing_ok=True)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run folder against other processes; the lock of a dead process is free by itself.

    The file goes with the work: a folder that is done is what its owner wants to give on.
    """
    import fcntl

    path = run / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise InputError(f"{path}: cannot be locked ({error.strerror}); mend that, or give another --out") from error
    with os.fdopen(descriptor, "r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                raise OSError("the file that was opened has gone since")  # with its holder; another may hold the next
        except OSError as error:
            raise InputError(f"{run}: another process is writing here; wait for it or give another --out") from error
        try:
            yield
        finally:
            with suppress(OSError):  # a folder that has gone, or may not be written any more
                path.unlink()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's state as flat tensors ("3.exp_avg") and JSON-ready parameter groups."""
    state = optimizer.state_dict()
    tensors = {f"{i}.{key}": value for i, slot in state["state"].items() for key, value in slot.items()}
    return tensors, [group | {"lr": float(group["lr"])} for group in state["param_groups"]]  # on a card a tensor


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """The inverse of `optimizer_tensors`."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        slots.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
