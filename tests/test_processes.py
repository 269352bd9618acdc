"""Several processes do what one does: the same numbers to rounding, exact resume, and one death ends all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from test_training import LINES, every_recipe, tiny, told, trace
from textgan import machine
from textgan.augmentation import verify_pool
from textgan.checkpoints import checkpoints
from textgan.errors import InputError, Interrupted
from textgan.processes import ALONE, Noise, Share, gather, share, sharing
from textgan.recipes import RECIPES, SentiGAN, SeqGAN, find_recipe, from_dict
from textgan.runs import Run
from textgan.sequences import Samples, pad_to
from textgan.training import fit
from toys import FAMILIES, MAX_LEN, build
from two_processes import CONTROLLED, DRAWN, PROMPTED, PROMPTS, RESUMED, draw, play

# Their gradients are 0 but for rounding, of which Adam makes whole steps: attention does not see what all keys share,
# nor does textgail's loss, which compares two sentences, see what all sentences share.
IDLE = ("key.bias", "layer.0.output.LayerNorm.bias")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two real processes did, one pair for all tests, since they take seconds to start; the second is killed."""
    out = tmp_path_factory.mktemp("together")
    script = str(Path(__file__).with_name("two_processes.py"))
    done = subprocess.run([*TORCHRUN, script, str(out)], capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and (out / "killed").exists(), done.stderr
    (out / "said").write_text(done.stderr)
    return out


@every_recipe
def test_two_processes_equal_one_with_the_whole_batch(recipe: type, together: Path, tmp_path: Path) -> None:
    same(Run.open(together / recipe.name), play(recipe, tmp_path / "one"))


@pytest.mark.parametrize("control", CONTROLLED)
def test_two_processes_play_a_control_as_one_does(control: str, together: Path, tmp_path: Path) -> None:
    two = Run.open(together / f"seqgan-{control}")
    assert two.settings["control"] == control
    same(two, play(SeqGAN, tmp_path / "one", control=control))


@pytest.mark.parametrize("name", PROMPTED)
def test_two_processes_play_with_prompts_as_one_does(name: str, together: Path, tmp_path: Path) -> None:
    same(Run.open(together / f"{name}-prompted"), play(find_recipe(name), tmp_path / "run", text=PROMPTS))


def same(two: Run, one: Run) -> None:
    """Logs and every tensor, after two steps of each phase; a step of the game moves a weight by 1e-4."""
    assert two.settings["processes"] == 2
    assert two.settings["fields"] == one.settings["fields"]
    for a, b in zip(two.log, one.log, strict=True):
        assert (a.pop("phase"), a.pop("warning", "")) == (b.pop("phase"), b.pop("warning", ""))
        assert a == pytest.approx(b, rel=1e-4, abs=1e-4)
    for path in sorted(checkpoints(one.path)[0].glob("net-*.safetensors")):
        theirs = load_file(checkpoints(two.path)[0] / path.name)
        for name, tensor in load_file(path).items():
            if not name.endswith(IDLE):
                torch.testing.assert_close(theirs[name], tensor, rtol=1e-5, atol=1e-5)


def test_two_processes_write_the_sentences_of_one(together: Path, tmp_path: Path) -> None:
    """The same bytes, as text, as rows and as a pool whose shards both have written."""
    draw(together / "mle", tmp_path / "drawn")
    for form, n in DRAWN.items():
        written = (together / f"drawn.{form}").read_bytes()
        assert written == (tmp_path / f"drawn.{form}").read_bytes() and written.count(b"\n") == n
    two, one = (sorted((folder / "drawn.pool").iterdir()) for folder in (together, tmp_path))
    assert [path.name for path in two] == [path.name for path in one] and verify_pool(together / "drawn.pool") == []
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(two, one, strict=True))


@pytest.mark.parametrize("recipe", RESUMED)
def test_two_processes_resume_exactly(recipe: str, together: Path) -> None:
    """Stopped by a signal to one of them in the middle of the game, with dropout; logs, samples and every tensor."""
    whole, broken = (Run.open(together / f"{recipe}-{word}") for word in ("whole", "broken"))
    assert trace(whole) == trace(broken)
    states = load_file(checkpoints(whole.path)[0] / "random.safetensors")
    assert torch.equal(states["sampler"][0], states["sampler"][1])
    assert not torch.equal(states["dropout"][0], states["dropout"][1])


def test_a_killed_process_ends_the_other_and_the_run_goes_on_with_one(together: Path) -> None:
    """The one that is left says so in one line; the newest checkpoint serves another number of processes too."""
    run, said = together / "killed", (together / "said").read_text()
    assert re.search(r"killed: another process of this run has ended; ckpt-\d+ stands, --resume goes on", said), said
    newest = int(checkpoints(run)[0].name[5:])

    def stop(row: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    recipe = from_dict("mle", Run.open(run).settings["fields"])
    with pytest.raises(Interrupted):
        fit(recipe, "grammar:100", out=run, resume=True, progress=False, device="cpu", on_log=stop)
    assert Run.open(run).log[-1]["step"] > newest


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "accelerator", lambda *_: SimpleNamespace(num_processes=3, is_main_process=True))
    with pytest.raises(InputError, match="--batch 8 must be a multiple of the 3 processes, which share it evenly"):
        fit(tiny(RECIPES[0]), LINES, out=tmp_path / "run", progress=False)


def test_classes_that_processes_cannot_share_are_refused_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """10 by 2 classes are 5 of each, of which two processes would play 2 each and one process all 5."""
    two = SimpleNamespace(
        num_processes=2, process_index=0, is_main_process=True, device=torch.device("cpu"),
        main_process_first=nullcontext,
    )  # fmt: skip
    monkeypatch.setattr(machine, "accelerator", lambda *_: two)
    said = r"^5 sentences of each class \(--batch by 2\) cannot be shared evenly by 2 processes; give a multiple of 2$"
    with pytest.raises(InputError, match=said):
        fit(tiny(SentiGAN, batch=10), told(SentiGAN, LINES), out=tmp_path / "run", progress=False)


@pytest.mark.parametrize("control", ["random", "shuffled"])
def test_a_control_that_mixes_a_whole_batch_is_for_one_process(
    control: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "accelerator", lambda *_: SimpleNamespace(num_processes=2, is_main_process=True))
    said = rf"--control {control} mixes .* start it without torchrun \(several can play constant and frozen\)"
    with pytest.raises(InputError, match=said):
        fit(tiny(SeqGAN), LINES, out=tmp_path / "run", progress=False, control=control)


@pytest.mark.parametrize("world", [2, 3, 6])
def test_a_row_has_the_same_noise_whoever_holds_it(world: int) -> None:
    """54 rows do not fill tiles of 16, nor do 27, 18 or 9; each process stops drawing when it likes."""
    parts, rng = [], torch.Generator()
    whole = Noise(54, rng.manual_seed(1), torch.device("cpu"))
    first, second, after = whole.uniform(3), whole.uniform(2, 5), rng.get_state()
    for rank in range(world):
        with sharing(Share(rank, world)):
            noise = Noise(54 // world, rng.manual_seed(1), torch.device("cpu"))
            parts.append((noise.uniform(3), noise.uniform(2, 5)))
        assert torch.equal(rng.get_state(), after)
    assert torch.equal(torch.cat([a for a, _ in parts]), first)
    assert torch.equal(torch.cat([b for _, b in parts]), second)
    assert len(first.unique()) > 160  # no two rows share theirs


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sentence_depends_on_its_place_and_not_on_the_others(family: str) -> None:
    """The first 20 of 50 are the 20 of the same seed."""
    generator = build(family)

    def draw(n: int) -> Samples:
        return generator.sample(n, rng=torch.Generator().manual_seed(4))

    many = draw(50).tokens
    assert torch.equal(pad_to(draw(20).tokens, MAX_LEN), pad_to(many[:20], MAX_LEN))


def test_alone_nothing_is_exchanged() -> None:
    x = torch.rand(3, 2, requires_grad=True)
    assert gather(x) is x
    assert share() == ALONE
