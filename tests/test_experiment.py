"""Grids: each job once, a failure that stops nobody, and results that survive the death of a worker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from textgan import experiment
from textgan.errors import InputError
from textgan.experiment import Job, command_line, read_results, run_grid, run_job, seconds_a_step, steps_within


def counted(folder: Path, **more: Any) -> Any:
    """A work that leaves a mark at each call and gives its arguments; a local function, so that it travels by value."""

    def work(x: int) -> dict[str, Any]:
        with open(folder / f"calls-{x}", "a") as calls:
            calls.write("x")
        if x < 0:
            raise ValueError("no number\nbelow zero")
        return {"value": x * x} | more

    return work


def test_a_job_is_done_once_and_its_result_says_what_it_took(tmp_path: Path) -> None:
    job = Job("three", counted(tmp_path), {"x": 3})
    assert run_job(job, tmp_path) == ("three", "done")
    assert run_job(job, tmp_path) == ("three", "done")
    assert (tmp_path / "calls-3").read_text() == "x"
    result = read_results(tmp_path)["three"]
    assert (result["job"], result["arguments"], result["value"]) == ("three", {"x": 3}, 9)
    assert result["seconds"] >= 0 and {"torch", "textgan"} <= set(result["versions"])


def test_a_failure_is_kept_in_one_line_and_stops_only_those_that_need_it(tmp_path: Path) -> None:
    work = counted(tmp_path)
    jobs = [
        Job("bad", work, {"x": -1}), Job("good", work, {"x": 1}),
        Job("after-bad", work, {"x": 2}, ("bad",)), Job("after-good", work, {"x": 4}, ("good",)),
    ]  # fmt: skip
    said: list[str] = []
    outcome = run_grid(jobs, tmp_path, progress=said.append)
    assert outcome == {
        "bad": "ValueError: no number below zero", "good": "done", "after-bad": "needs bad", "after-good": "done"
    }  # fmt: skip
    assert sorted(said) == ["after-good: done", "bad: ValueError: no number below zero", "good: done"]
    assert json.loads((tmp_path / "bad.failed.json").read_text())["failed"] == "ValueError: no number below zero"
    assert set(read_results(tmp_path)) == {"good", "after-good"}

    jobs[0] = Job("bad", work, {"x": 5})  # mended: what failed is tried again, with those that waited for it
    assert set(run_grid(jobs, tmp_path).values()) == {"done"}
    assert not (tmp_path / "bad.failed.json").exists()
    assert (tmp_path / "calls-1").read_text() == "x"  # the others were not


def test_a_result_that_is_no_json_stops_no_other_job(tmp_path: Path) -> None:
    jobs = [
        Job("bad", counted(tmp_path, kl=float("inf")), {"x": 1}), Job("worse", counted(tmp_path, kl={1}), {"x": 2}),
        Job("good", counted(tmp_path), {"x": 3}),
    ]  # fmt: skip
    outcome = run_grid(jobs, tmp_path)
    assert outcome["good"] == "done"
    assert set(read_results(tmp_path)) == {"good"}
    assert (tmp_path / "bad.failed.json").exists() and (tmp_path / "worse.failed.json").exists()


def test_a_job_that_takes_its_worker_with_it_stops_no_other(tmp_path: Path) -> None:
    """As one that is killed for memory; the next call tries it again, and it alone."""
    work = counted(tmp_path)

    def deadly(x: int) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return work(x)

    jobs = [Job("a", work, {"x": 1}), Job("b", deadly, {"x": 2}), Job("c", work, {"x": 3}),
            Job("after-b", work, {"x": 4}, ("b",))]  # fmt: skip
    killed = "its process was killed (out of memory?)"
    for _ in range(2):
        assert run_grid(jobs, tmp_path) == {"a": "done", "b": killed, "c": "done", "after-b": "needs b"}
    assert json.loads((tmp_path / "b.failed.json").read_text())["failed"] == killed
    assert (tmp_path / "calls-3").read_text() == "x"


def test_a_result_of_other_arguments_is_not_taken_for_this_jobs(tmp_path: Path) -> None:
    work = counted(tmp_path)
    run_job(Job("a", work, {"x": 1}), tmp_path)
    name, state = run_job(Job("a", work, {"x": 2}), tmp_path)
    assert (name, state) == (
        "a", "a.json is of other arguments (x 1, not 2); delete it, or give the job another name"
    )  # fmt: skip
    assert read_results(tmp_path)["a"]["value"] == 1


def test_a_job_that_another_process_is_at_is_waited_for(tmp_path: Path) -> None:
    """As a worker is that outlives its grid: the second call neither does the job nor fails."""
    work, begun = counted(tmp_path), threading.Event()

    def slow(x: int) -> dict[str, Any]:
        begun.set()
        time.sleep(0.5)
        return work(x)

    job, found = Job("slow", slow, {"x": 3}), list[tuple[str, str]]()
    other = threading.Thread(target=lambda: found.append(run_job(job, tmp_path)))
    other.start()
    begun.wait()
    found.append(run_job(job, tmp_path))
    other.join()
    assert found == [("slow", "done")] * 2 and (tmp_path / "calls-3").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls-3", "slow.json"]


def test_a_grid_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    work = counted(tmp_path)
    with pytest.raises(InputError, match="two jobs of a grid have one name"):
        run_grid([Job("a", work), Job("a", work)], tmp_path)
    with pytest.raises(InputError, match="job a needs b, which the grid cannot give"):
        run_grid([Job("a", work, {}, ("b",))], tmp_path)
    with pytest.raises(InputError, match="--backend 'slurm' is not one of loky, dask, ray"):
        run_grid([Job("a", work, {"x": 1})], tmp_path, backend="slurm")
    with pytest.raises(InputError, match="--workers 0 does nothing; give 1 or more"):
        run_grid([Job("a", work, {"x": 1})], tmp_path, workers=0)


def test_dask_without_a_scheduler_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is an extra")
    with pytest.raises(InputError, match="--backend dask: there is no client; give --address HOST:PORT"):
        run_grid([Job("a", counted(tmp_path), {"x": 1})], tmp_path, backend="dask")


def test_the_list_is_of_commands_each_of_which_does_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = counted(tmp_path)
    jobs = [Job("a-1", work, {"x": 1}), Job("b-2", work, {"x": 2}, ("a-1",))]
    monkeypatch.setattr(sys, "argv", ["bench.py"])

    def said(*arguments: str) -> str:
        return command_line(jobs, tmp_path, lambda: "the table", "about", arguments)

    lines = said("--list").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["bench.py --job a-1", "bench.py --job b-2  # after a-1"]
    assert said("--list", "--only", "b-") == lines[1]
    with pytest.raises(InputError, match="a-1 must be done before"):
        said("--job", "b-2")
    assert [said(*shlex.split(line, comments=True)[2:]) for line in lines] == ["a-1: done", "b-2: done"]
    assert said("--table") == "the table"
    with pytest.raises(InputError, match="'c' is no job of this grid"):
        said("--job", "c")


def test_a_wanted_job_brings_what_it_needs(tmp_path: Path) -> None:
    work = counted(tmp_path)
    jobs = [Job("a", work, {"x": 1}), Job("b", work, {"x": 2}, ("a",)), Job("c", work, {"x": 3})]
    assert command_line(jobs, tmp_path, lambda: "table", "", ["--only", "b", "--workers", "1"]) == "table"
    assert set(read_results(tmp_path)) == {"a", "b"}


def test_a_budget_of_seconds_becomes_steps() -> None:
    """Steps at 1.0, 1.5, 2.0 and 2.5 s: half a second each, so 10 s pay for 20."""
    rows = [("mle", 0.2), *(("game", 1 + 0.5 * i) for i in range(4))]
    assert seconds_a_step(rows, "game") == 0.5
    assert steps_within(10, 0.5) == 20
    assert steps_within(0.1, 0.5) == 1
    with pytest.raises(InputError, match="1 steps of phase 'mle' were timed"):
        seconds_a_step(rows, "mle")


@pytest.mark.slow
def test_a_dask_cluster_of_two_ends_the_grid_though_one_worker_is_killed(tmp_path: Path) -> None:
    """Two real worker processes; the one that does the first job gets SIGKILL in the middle of it."""
    distributed = pytest.importorskip("distributed")

    def work(x: int, folder: str) -> dict[str, Any]:
        import os
        import time
        from pathlib import Path

        mark = Path(folder) / f"begun-{x}-{os.getpid()}"
        mark.touch()
        time.sleep(1.0)
        return {"pid": os.getpid()}

    jobs = [Job(f"job-{x}", work, {"x": x, "folder": str(tmp_path)}) for x in range(5)]
    killed: list[int] = []

    def kill_the_first() -> None:
        while not killed:
            for mark in sorted(tmp_path.glob("begun-0-*")):
                killed.append(int(mark.name.rpartition("-")[2]))
                os.kill(killed[0], signal.SIGKILL)
                return
            time.sleep(0.02)

    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    with cluster, distributed.Client(cluster):
        killer = threading.Thread(target=kill_the_first, daemon=True)
        killer.start()
        outcome = run_grid(jobs, tmp_path / "results", backend="dask")
        killer.join(10)
    assert set(outcome.values()) == {"done"}
    results = read_results(tmp_path / "results")
    assert len(results) == 5
    assert killed and results["job-0"]["pid"] != killed[0]
    assert len(list(tmp_path.glob("begun-0-*"))) == 2  # begun twice, by two processes


@pytest.mark.slow
def test_ray_runs_a_grid(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="pip install 'textgan[ray]'")
    found = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": found}})
    try:
        work = counted(tmp_path)
        jobs = [Job("a", work, {"x": 1}), Job("b", work, {"x": 2}, ("a",)), Job("bad", work, {"y": 1})]
        outcome = run_grid([*jobs, Job("c", work, {"x": 3}, ("bad",))], tmp_path, backend="ray")
    finally:
        ray.shutdown()
    assert outcome["a"] == outcome["b"] == "done" and "TypeError" in outcome["bad"] and outcome["c"] == "needs bad"
    assert set(read_results(tmp_path)) == {"a", "b"}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_a_result_names_the_commit_of_the_package_alone_and_whether_it_was_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package that lies in another project's checkout, and a machine without git, name none."""

    def git(*words: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    ours, other = tmp_path / "textgan" / "experiment.py", tmp_path / ".venv" / "textgan" / "experiment.py"
    for path in (ours, other):
        path.parent.mkdir(parents=True)
        path.write_text("1\n")
    git("init")
    git("add", "textgan")
    git("commit", "-m", "first")
    monkeypatch.setattr(experiment, "__file__", str(ours))
    clean = experiment.commit()
    assert re.fullmatch("[0-9a-f]{40}", clean)
    ours.write_text("2\n")
    assert experiment.commit() == f"{clean}-dirty"
    monkeypatch.setattr(experiment, "__file__", str(other))
    assert experiment.commit() == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(experiment, "__file__", str(ours))
    assert experiment.commit() == ""
