"""A fine-tuning that was stopped goes on as if it had not been; LoRA gives an ordinary model back."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from textgan import grammar
from textgan.augmentation import MixPlan, blend
from textgan.checkpoints import checkpoints
from textgan.errors import InputError, Interrupted
from textgan.lm import finetune, load_lm, nll, pretrain_small

TRAIN, VALID, MADE = (grammar.sample(n, seed) for n, seed in ((120, 0), (30, 1), (120, 3)))
USUAL: dict[str, Any] = {"valid": VALID, "steps": 12, "tokens_per_step": 100, "eval_every": 3, "lr": 2e-3}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain_small(TRAIN, tmp_path_factory.mktemp("base"), layers=1, width=16, steps=30, tokens_per_step=128)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


class Stop(Exception):
    pass


def stopped(base: Path, text: Any, out: Path, at: int, **options: Any) -> None:
    """Train until step `at` has been told, and break off there."""

    def tell(row: dict[str, Any]) -> None:
        if row["step"] == at:
            raise Stop

    with pytest.raises(Stop):
        finetune(base, text, out=out, save_every=1, on_progress=tell, **{**USUAL, **options})


@pytest.mark.parametrize("at", [1, 3, 8, 12])
@pytest.mark.parametrize("schedule", ["mixed", "anneal"])
def test_a_resumed_fine_tuning_equals_an_unbroken_one_to_the_byte(
    base: Path, tmp_path: Path, at: int, schedule: str
) -> None:
    mixture = blend(TRAIN, MADE, MixPlan(1, schedule=schedule))
    whole = finetune(base, mixture, out=tmp_path / "whole", **USUAL)
    stopped(base, mixture, tmp_path / "cut", at)
    rows: list[dict[str, Any]] = []
    cut = finetune(base, mixture, out=tmp_path / "cut", resume=True, on_progress=rows.append, **USUAL)
    assert rows[0]["step"] == (at if at > 1 else 0)  # the step that was told had not been saved
    assert cut._replace(path=whole.path) == whole
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")
    assert checkpoints(tmp_path / "cut") == []


def test_a_kill_while_the_model_is_put_in_its_place_loses_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no checkpoint, as the training was short: what stands half written must not bar the way."""
    whole = finetune(base, TRAIN, out=tmp_path / "whole", **USUAL)
    files = len(bytes_of(tmp_path / "whole"))
    for at in range(files):
        out, moved = tmp_path / f"cut{at}", os.replace
        left = [at]

        def killed(old: Any, new: Any, out: Path = out, left: list[int] = left, moved: Any = moved) -> None:
            if Path(new).parent == out:
                if not left[0]:
                    raise Stop
                left[0] -= 1
            moved(old, new)

        with monkeypatch.context() as patch, pytest.raises(Stop):
            patch.setattr("textgan.lm.loading.os.replace", killed)
            finetune(base, TRAIN, out=out, **USUAL)
        assert finetune(base, TRAIN, out=out, resume=True, **USUAL)._replace(path=whole.path) == whole
        assert bytes_of(out) == bytes_of(tmp_path / "whole")
        assert not (out / ".partial").exists()


def test_the_best_weights_survive_although_the_last_ones_are_worse(base: Path, tmp_path: Path) -> None:
    harm = {"lr": 0.3}
    whole = finetune(base, TRAIN, out=tmp_path / "whole", **{**USUAL, **harm})
    assert whole.best_step < 9
    stopped(base, TRAIN, tmp_path / "cut", 10, **harm)
    cut = finetune(base, TRAIN, out=tmp_path / "cut", resume=True, **{**USUAL, **harm})
    assert cut.best_step == whole.best_step
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


CHILD = """
import sys
from textgan import grammar
from textgan.lm import finetune
train, valid = grammar.sample(120, 0), grammar.sample(30, 1)
same = {"valid": valid, "steps": 200, "tokens_per_step": 64, "eval_every": 50}
finetune(sys.argv[1], train, out=sys.argv[2], save_every=10, **same)
"""


@pytest.mark.slow
def test_a_process_that_was_killed_leaves_what_another_ends_to_the_byte(base: Path, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, base, tmp_path / "cut"])
    until = time.monotonic() + 100
    while not checkpoints(tmp_path / "cut") and time.monotonic() < until:
        time.sleep(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    same: dict[str, Any] = {"valid": VALID, "steps": 200, "tokens_per_step": 64, "eval_every": 50}
    rows: list[dict[str, Any]] = []
    finetune(base, TRAIN, out=tmp_path / "cut", resume=True, on_progress=rows.append, **same)
    assert 10 < rows[0]["step"] < 200
    finetune(base, TRAIN, out=tmp_path / "whole", **same)
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


def test_a_folder_that_is_being_written_is_refused_and_free_again_afterwards(base: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def tell(row: dict[str, Any]) -> None:  # while the training works
        if row["step"] == 3:
            for other in (finetune, lambda *a, **k: pretrain_small(TRAIN, tmp_path, layers=1, width=16, steps=2)):
                with pytest.raises(InputError) as error:
                    other(base, TRAIN, out=tmp_path, **USUAL)
                refused.append(str(error.value))

    done = finetune(base, TRAIN, out=tmp_path, on_progress=tell, **USUAL)
    assert refused == [f"{tmp_path}: another process is writing here; wait for it or give another --out"] * 2
    assert finetune(base, TRAIN, out=tmp_path, resume=True, **USUAL) == done


def test_a_signal_saves_the_step_and_says_so(base: Path, tmp_path: Path) -> None:
    whole = finetune(base, TRAIN, out=tmp_path / "whole", **USUAL)

    def tell(row: dict[str, Any]) -> None:
        if row["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"stopped at step 5; saved, --resume goes on") as error:
        finetune(base, TRAIN, out=tmp_path / "cut", on_progress=tell, **USUAL)
    assert error.value.code == 143
    cut = finetune(base, TRAIN, out=tmp_path / "cut", resume=True, **USUAL)
    assert bytes_of(cut.path) == bytes_of(whole.path)


def test_a_finished_training_is_not_done_again_and_not_written_over(base: Path, tmp_path: Path) -> None:
    done = finetune(base, TRAIN, out=tmp_path, **USUAL)
    at = (tmp_path / "model.safetensors").stat().st_mtime_ns
    again = finetune(base, TRAIN, out=tmp_path, resume=True, **USUAL)
    assert again.to_json() == json.loads(json.dumps(done.to_json()))
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == at
    with pytest.raises(InputError, match="already holds another model; give another --out"):
        finetune(base, TRAIN, out=tmp_path, resume=True, **{**USUAL, "steps": 3})
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == at


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(base: Path, tmp_path: Path) -> None:
    whole = finetune(base, TRAIN, out=tmp_path / "whole", **USUAL)
    stopped(base, TRAIN, tmp_path / "cut", 8)
    newest = checkpoints(tmp_path / "cut")[0]
    data = bytearray((newest / "optimizer.safetensors").read_bytes())
    data[-1] ^= 1
    (newest / "optimizer.safetensors").write_bytes(data)
    rows: list[dict[str, Any]] = []
    finetune(base, TRAIN, out=tmp_path / "cut", resume=True, on_progress=rows.append, **USUAL)
    assert rows[0]["skipped"] == "ckpt-000007/optimizer.safetensors: sha256 differs from the MANIFEST"
    assert bytes_of(tmp_path / "cut") == bytes_of(whole.path)


def test_what_cannot_go_on_is_one_line_of_error(base: Path, tmp_path: Path) -> None:
    stopped(base, TRAIN, tmp_path, 4)
    before = {path.name for path in checkpoints(tmp_path)}
    for options, said in (
        ({}, "holds a training that was stopped; give --resume, or another --out"),
        (
            {"resume": True, "lr": 1e-3, "seed": 3},
            "--resume with other settings than it began with: lr 0.002 -> 0.001; seed 0 -> 3; use another --out",
        ),
    ):
        with pytest.raises(InputError) as error:
            finetune(base, TRAIN, out=tmp_path, **{**USUAL, **options})
        assert str(error.value).endswith(said)
    with pytest.raises(InputError, match="--resume with other settings than it began with: texts"):
        finetune(base, TRAIN[1:], out=tmp_path, resume=True, **USUAL)
    assert {path.name for path in checkpoints(tmp_path)} == before


def test_a_small_model_is_not_pre_trained_twice(tmp_path: Path) -> None:
    small: dict[str, Any] = {"layers": 1, "width": 16, "steps": 5, "tokens_per_step": 64, "valid": VALID}
    folder = pretrain_small(TRAIN, tmp_path, **small)
    at = (folder / "model.safetensors").stat().st_mtime_ns
    pretrain_small(TRAIN, tmp_path, resume=True, **small)
    assert (folder / "model.safetensors").stat().st_mtime_ns == at
    pretrain_small(TRAIN[1:], tmp_path, resume=True, **small)
    assert (folder / "model.safetensors").stat().st_mtime_ns > at


# LoRA

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")


@needs_peft
def test_lora_gives_an_ordinary_model_that_differs_from_its_base_by_the_rank(base: Path, tmp_path: Path) -> None:
    done = finetune(base, TRAIN, out=tmp_path, lora=2, **{**USUAL, "lr": 1e-2})
    assert done.nll_per_token < done.before["nll_per_token"]
    before, after = load_lm(base), load_lm(tmp_path)
    assert type(after.model) is type(before.model)
    assert nll(after.model, after.tokenizer, VALID).figures()["nll_per_token"] == pytest.approx(done.nll_per_token)
    change = [
        (b - a).float()
        for (name, a), b in zip(before.model.named_parameters(), after.model.parameters(), strict=True)
        if name.endswith("c_attn.weight")
    ]
    ranks = [int(torch.linalg.matrix_rank(x, atol=1e-5)) for x in change]
    assert ranks == [2]
    assert torch.equal(before.model.transformer.wte.weight, after.model.transformer.wte.weight)
    assert done.settings["lora"] == 2


@needs_peft
def test_lora_resumes_exactly_too(base: Path, tmp_path: Path) -> None:
    finetune(base, TRAIN, out=tmp_path / "whole", lora=2, **USUAL)
    stopped(base, TRAIN, tmp_path / "cut", 7, lora=2)
    saved = checkpoints(tmp_path / "cut")[0] / "model.safetensors"
    assert saved.stat().st_size < (base / "model.safetensors").stat().st_size / 2  # the adapters alone
    finetune(base, TRAIN, out=tmp_path / "cut", lora=2, resume=True, **USUAL)
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


@needs_peft
def test_a_model_without_linear_maps_and_a_rank_of_0_are_one_line_of_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lora 0 adapts nothing; give a rank of 1 or more, as 8"):
        finetune(base, TRAIN, out=tmp_path, lora=0, **USUAL)


def test_steps_in_bfloat16_are_near_those_in_float32_and_said_to_be(base: Path, tmp_path: Path) -> None:
    exact = finetune(base, TRAIN, out=tmp_path / "exact", **USUAL)
    coarse = finetune(base, TRAIN, out=tmp_path / "coarse", precision="bf16", **USUAL)
    again = finetune(base, TRAIN, out=tmp_path / "again", **USUAL)
    assert coarse.settings["precision"] == "bf16" and "precision" not in exact.settings
    assert coarse.before == exact.before  # measured in float32
    assert coarse.nll_per_token != exact.nll_per_token == again.nll_per_token  # nothing is left behind in the process
    assert coarse.nll_per_token == pytest.approx(exact.nll_per_token, rel=0.02)
    assert {x.dtype for x in load_file(tmp_path / "coarse" / "model.safetensors").values()} == {torch.float32}
    with pytest.raises(InputError, match="--precision fp8 is not one of no, bf16"):
        finetune(base, TRAIN, out=tmp_path / "odd", precision="fp8", **USUAL)
    assert not (tmp_path / "odd").exists()


def test_lora_without_peft_is_one_line_of_error(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "peft" else real(name, *a))
    with pytest.raises(InputError, match=r"LoRA needs the peft package; pip install 'textgan\[lora\]'"):
        finetune(base, TRAIN, out=tmp_path, lora=2, **USUAL)
    shutil.rmtree(tmp_path, ignore_errors=True)
