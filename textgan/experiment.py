"""A grid of jobs that may be started anywhere and as often as one likes: each writes its result once, or its reason.

A job is a function and its arguments; its result is RESULTS/NAME.json, written whole or not at all, and a job whose
result is there is skipped. joblib runs a grid: loky's processes on one machine, Dask or Ray on a cluster whose machines
share the folder. A batch scheduler runs what `--list` prints. There is no queue here to keep alive.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textgan.errors import InputError, Interrupted
from textgan.text import make_folder, write_json

BACKENDS = ("loky", "dask", "ray")


@dataclass(frozen=True)
class Job:
    """One cell of a grid.

    Args:
        name: what its result is called; says recipe, setting and seed
        work: a function of the arguments that gives a JSON-ready dict
        arguments: keyword arguments, JSON-ready
        needs: names of the jobs that must be done before
    """

    name: str
    work: Callable[..., dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


def run_grid(
    jobs: Sequence[Job],
    results: str | Path,
    *,
    workers: int = 2,
    backend: str = "loky",
    address: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, str]:
    """Do what is left of a grid and say what became of each job: name -> "done", or the reason of its failure.

    A failed job leaves NAME.failed.json, keeps only those that need it from running, and is tried again by the next
    call; so does one that takes its worker with it, as a job does that is killed for memory (loky). backend: loky, dask
    or ray; address: of a Dask scheduler (a Client that is open already is taken without).
    """
    from joblib import Parallel

    if workers == 0:
        raise InputError("--workers 0 does nothing; give 1 or more, or -1 for one on each processor")
    folder, said = make_folder(results), progress or (lambda line: None)
    outcome: dict[str, str] = {}
    waves = list(_waves(jobs))
    with _backend(backend, address):
        for wave in waves:
            ready = [job for job in wave if all(outcome.get(name) == "done" for name in job.needs)]
            for job in wave:
                if job not in ready:
                    lacking = [name for name in job.needs if outcome.get(name) != "done"]
                    outcome[job.name] = f"needs {', '.join(lacking)}"
            as_they_end = "list" if backend == "ray" else "generator_unordered"  # Ray's tells all at a wave's end
            for name, state in _survived(Parallel(n_jobs=workers, batch_size=1, return_as=as_they_end), ready, folder):
                outcome[name] = state
                said(f"{name}: {state}")
    return {job.name: outcome[job.name] for job in jobs}


def _survived(running: Any, jobs: Sequence[Job], folder: Path) -> Iterator[tuple[str, str]]:
    """What became of each job. Where a worker was killed, those that are left each get a worker of their own in turn,
    so that the one which dies of itself is known."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    told = set[str]()
    try:
        for name, state in running(delayed(run_job)(job, folder) for job in jobs):
            told.add(name)
            yield name, state
        return
    except TerminatedWorkerError:
        left = [job for job in jobs if job.name not in told]
    for job in left:
        reason = "its process was killed (out of memory?)"
        for _ in range(2):  # the end of a worker before may be noticed only now
            with contextlib.suppress(TerminatedWorkerError):
                ((_, reason),) = Parallel(n_jobs=2)([delayed(run_job)(job, folder)])  # one would be this process
                break
        else:
            _write_failed(job, folder, reason)
        yield job.name, reason


def run_job(job: Job, results: str | Path) -> tuple[str, str]:
    """Do one job, unless its result is there: (its name, "done" or the reason of its failure, in one line).

    The result is the function's dict and what it took: arguments, processor seconds, commit, versions. One thread.
    Another process that is at the same job is waited for: a worker ends its job although its grid was killed.
    """
    folder = make_folder(results)
    if (folder / f"{job.name}.json").exists():
        return job.name, _found(job, folder)
    with _turn(lock := folder / f".{job.name}.lock"):
        name, state = _done_once(job, folder)
        if state == "done":
            lock.unlink(missing_ok=True)  # whoever waits for this very file finds the result
        return name, state


def _done_once(job: Job, folder: Path) -> tuple[str, str]:
    done = folder / f"{job.name}.json"
    if done.exists():
        return job.name, _found(job, folder)
    from textgan import machine

    began = _processor_seconds()
    try:
        with machine.threads(1):
            value = job.work(**job.arguments)
        took = {"seconds": round(_processor_seconds() - began, 1), "commit": commit(), "versions": versions()}
        write_json(done, {"job": job.name, "arguments": job.arguments} | took | value)
    except Interrupted:
        raise
    except Exception as error:  # whatever it is, a result that is no JSON too, it must not stop the others
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        _write_failed(job, folder, reason)
        return job.name, reason
    (folder / f"{job.name}.failed.json").unlink(missing_ok=True)
    return job.name, "done"


def _write_failed(job: Job, folder: Path, reason: str) -> None:
    failed = {"job": job.name, "arguments": job.arguments, "failed": reason}
    write_json(folder / f"{job.name}.failed.json", failed)


def _found(job: Job, folder: Path) -> str:
    """`done` where the result that is there is of these arguments, as far as it names them; else what differs."""
    kept = json.loads((folder / f"{job.name}.json").read_text(encoding="utf-8")).get("arguments", {})
    wanted = json.loads(json.dumps(job.arguments))
    if other := [f"{key} {kept[key]}, not {wanted[key]}" for key in sorted(kept.keys() & wanted.keys())
                 if kept[key] != wanted[key]]:  # fmt: skip
        return f"{job.name}.json is of other arguments ({'; '.join(other)}); delete it, or give the job another name"
    return "done"


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; a dead process holds none, and some shared folders have none."""
    import fcntl

    with open(lock, "w", encoding="utf-8") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_results(results: str | Path, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Name -> result of the jobs that are done, in the order of their names."""
    files = sorted(Path(results).glob(f"{prefix}*.json"))
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in files
        if not path.name.endswith(".failed.json")
    }


def steps_within(seconds: float, per_step: float, *, least: int = 1) -> int:
    """How many steps a budget of processor seconds pays for; maximum likelihood at equal compute is this many."""
    return max(least, int(seconds / per_step)) if per_step > 0 else least


def seconds_of_phases(rows: Sequence[tuple[str, float]], began: float) -> dict[str, float]:
    """Processor seconds of each phase, from (phase, processor seconds so far) of each row of a log, in their order."""
    spent: dict[str, float] = {}
    for (phase, at), before in zip(rows, [began, *(at for _, at in rows)], strict=False):
        spent[phase] = spent.get(phase, 0.0) + at - before
    return spent


def seconds_a_step(rows: Sequence[tuple[str, float]], phase: str) -> float:
    """Processor seconds a step of a phase, from (phase, processor seconds so far) of each step, the first left out."""
    at = [seconds for name, seconds in rows if name == phase]
    if len(at) < 3:
        raise InputError(f"{len(at)} steps of phase {phase!r} were timed; at least 3 are needed")
    return (at[-1] - at[0]) / (len(at) - 1)


def command_line(
    jobs: Sequence[Job],
    results: str | Path,
    table: Callable[[], str],
    about: str,
    arguments: Sequence[str] | None = None,
) -> str:
    """The command line of a benchmark that is a grid; gives the text to print.

    Without options the grid is run and its table given; --list gives a command a job, --table the table alone.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="a command a job, and what it comes after")
    parser.add_argument("--table", action="store_true", help="the table of the results that are there, as Markdown")
    parser.add_argument("--only", metavar="TEXT", action="append", default=[], help="jobs whose name holds this")
    parser.add_argument("--job", metavar="NAME", help="this job alone, here")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument("--backend", choices=BACKENDS, default="loky", help="who runs them (default: loky)")
    parser.add_argument("--address", metavar="HOST:PORT", help="of a Dask scheduler")
    options = parser.parse_args(arguments)
    if options.table:
        return table()
    if options.job:
        chosen = [job for job in jobs if job.name == options.job]
        if not chosen:
            raise InputError(f"--job {options.job!r} is no job of this grid; --list names them")
        if lacking := [name for name in chosen[0].needs if not (Path(results) / f"{name}.json").exists()]:
            raise InputError(f"--job {options.job}: {', '.join(lacking)} must be done before")
        name, state = run_job(chosen[0], results)
        if state != "done":  # a batch scheduler is to know
            raise InputError(f"{name}: {state}")
        return f"{name}: done"
    wanted = [job for job in jobs if not options.only or any(part in job.name for part in options.only)]
    if options.list:
        program = shlex.join([Path(sys.executable).name, os.path.relpath(sys.argv[0])])
        after = {job.name: f"  # after {' '.join(job.needs)}" if job.needs else "" for job in wanted}
        return "\n".join(f"{program} --job {name}{needs}" for name, needs in after.items())
    with_needs = _with_needs(wanted, jobs)

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    how: dict[str, Any] = {"workers": options.workers, "backend": options.backend, "address": options.address}
    outcome = run_grid(with_needs, results, progress=say, **how)
    failed = [f"{name}: {state}" for name, state in outcome.items() if state != "done"]
    return "\n".join([table(), *failed])


def commit() -> str:
    """The commit of the source that runs, with "-dirty" where Python files of the checkout differ from it.

    "" where there is no git, and where the package is no checkout, though its folder may lie in another project's.
    """
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=root, check=False).stdout.strip()

    try:
        if not git("ls-files", os.path.relpath(__file__, root)):
            return ""
        return git("rev-parse", "HEAD") + "-dirty" * bool(git("status", "--porcelain", "-uno", "--", "*.py"))
    except OSError:
        return ""


def versions() -> dict[str, str]:
    """Of what figures may depend on."""
    import numpy
    import torch

    from textgan import __version__

    python = ".".join(map(str, sys.version_info[:3]))
    return {"textgan": __version__, "python": python, "torch": str(torch.__version__), "numpy": numpy.__version__}


def _with_needs(wanted: Sequence[Job], jobs: Sequence[Job]) -> list[Job]:
    """The wanted jobs and, before them, what they need."""
    by_name = {job.name: job for job in jobs}
    kept: dict[str, Job] = {}

    def keep(job: Job) -> None:
        for name in job.needs:
            keep(by_name[name])
        kept[job.name] = job

    for job in wanted:
        keep(job)
    return list(kept.values())


def _waves(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """The jobs in waves, each of which needs only earlier ones. Errors: a name that comes twice, an unknown need."""
    names = [job.name for job in jobs]
    if len(set(names)) < len(names):
        raise InputError("two jobs of a grid have one name; a name says recipe, setting and seed")
    done: set[str] = set()
    left = list(jobs)
    while left:
        wave = [job for job in left if done.issuperset(job.needs)]
        if not wave:
            raise InputError(f"job {left[0].name} needs {', '.join(left[0].needs)}, which the grid cannot give")
        yield wave
        done |= {job.name for job in wave}
        left = [job for job in left if job not in wave]


@contextlib.contextmanager
def _backend(backend: str, address: str | None) -> Iterator[None]:
    """joblib's engine for what runs inside."""
    from joblib import parallel_config

    if backend not in BACKENDS:
        raise InputError(f"--backend {backend!r} is not one of {', '.join(BACKENDS)}")
    with contextlib.ExitStack() as stack:
        try:
            if backend == "dask":
                from distributed import Client, default_client

                if address is not None:
                    stack.enter_context(Client(address))
                else:
                    default_client()
            elif backend == "ray":
                from ray.util.joblib import register_ray

                register_ray()
        except ValueError:
            raise InputError("--backend dask: there is no client; give --address HOST:PORT of a scheduler") from None
        except ImportError as error:
            raise InputError(f"--backend {backend} needs {error.name}; pip install 'textgan[{backend}]'") from error
        stack.enter_context(parallel_config(backend=backend))
        yield


def _processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
