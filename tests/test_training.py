"""The trainer: same seed same run, exact resume after any death, verified checkpoints, and every recipe learns."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
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

from textgan import recurrent
from textgan.batches import Batches, TextSettings, hold_out, prepare
from textgan.checkpoints import checkpoints, load_checkpoint, save_checkpoint, verify
from textgan.discriminators import CNN, Bidirectional, MultiCNN, Recurrent
from textgan.errors import InputError, Interrupted, NotFinite
from textgan.generators import LSTM, Infill, Leak, Pretrained, Transformer
from textgan.processes import Share
from textgan.recipes import MLE, RECIPES, SentiGAN, changed_fields, find_preset, from_dict, presets_of, to_dict
from textgan.recipes.leakgan import LeakGAN
from textgan.recipes.maskgan import MaskGAN
from textgan.recurrent import PortableLSTM
from textgan.runs import Run
from textgan.sequences import EOS, PAD, mask_of
from textgan.text import encode, train_tokenizer
from textgan.training import Schedule, fit
from textgan.updates import Player, check_recipe, likelihood_phase
from textgan.watch import Watch
from toys import FAMILIES, LEAK

TINY = {
    "batch": 8, "mle_steps": 6, "judge_steps": 3, "adversarial_steps": 4, "rollouts": 2, "discriminator_updates": 2,
    "generator": LSTM(embedding=8, hidden=12, dropout=0.2), "judge": LSTM(embedding=8, hidden=12), "group": 8,
    "per_prompt": 2,
}  # fmt: skip
JUDGES = {
    CNN: CNN(embedding=8, widths=(1, 2, 3), filters=(8, 8, 8)),
    Bidirectional: Bidirectional(width=8, layers=1, heads=2),
    MultiCNN: MultiCNN(embedding=8, representations=4, widths=(1, 2), filters=(8, 8), hidden=8),
    Recurrent: Recurrent(embedding=8, hidden=12),
}
OFTEN = Schedule(log_every=2, eval_every=4, save_every=3)
LINES = [f"a {animal} {verb} {place} ." for animal in ("dog", "cat", "bird") for verb in ("sits", "runs", "sleeps")
         for place in ("here", "there", "outside", "inside")]  # fmt: skip
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)


def tiny(recipe: type, **changes: Any) -> Any:
    """A recipe of a dozen steps."""
    known = {field.name: field.default for field in dataclasses.fields(recipe)}
    changes = TINY | {"discriminator": JUDGES.get(type(known.get("discriminator")))} | changes
    for own in (LEAK, Infill(16, 32, 8, dropout=0.1)):  # recipes that play with no other family
        if type(known["generator"]) is type(own):
            changes["generator"] = own
    return recipe(**{key: value for key, value in changes.items() if key in known})


def told(recipe: type, lines: list[str]) -> list[str]:
    """The lines, with labels where the recipe has classes."""
    return [f"{'ab'[i % 2]}\t{line}" for i, line in enumerate(lines)] if hasattr(recipe, "classes") else lines


def trace(run: Run) -> dict[str, Any]:
    """All that a resumed run must share with an unbroken one: logs, samples, and every tensor, to the bit."""
    newest = checkpoints(run.path)[0]
    files = {p.name: p.read_bytes() for p in sorted(newest.glob("*.safetensors"))}
    return {
        "log": (run.path / "log.jsonl").read_bytes(),
        "samples": {p.name: p.read_bytes() for p in sorted((run.path / "samples").iterdir())},
        "generator": load_hashes(run.path / "generator" / "model.safetensors"),
        "best": [load_hashes(p) for p in run.path.glob("best/model.safetensors")],
        "checkpoint": (newest.name, files, (newest / "state.json").read_bytes()),
        "text": run.sample_text(20, seed=3),
    }


def load_hashes(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


@every_recipe
def test_same_seed_same_run_and_another_seed_another(recipe: type, tmp_path: Path) -> None:
    a, b, c = (
        fit(tiny(recipe), told(recipe, LINES), out=tmp_path / name, seed=seed, schedule=OFTEN, progress=False)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert trace(a) == trace(b)
    assert trace(a)["log"] != trace(c)["log"]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every kind of generator, a causal language model's folder among them."""
    out = tmp_path_factory.mktemp("language-model") / "run"
    run = fit(MLE(batch=8, mle_steps=1, generator=FAMILIES["transformer"]), LINES, out=out, progress=False)
    return FAMILIES | {"pretrained": Pretrained(str(run.path / "generator"))}


@every_recipe
def test_its_game_moves_every_kind_of_generator_or_says_why_not(
    recipe: type, families: dict[str, Any], tmp_path: Path
) -> None:
    for family, generator in families.items():
        own = {"judge": generator} if family == "pretrained" else {}  # DPGAN's D speaks its tokens
        alone = {"mle_steps": int(recipe is MLE), "judge_steps": 1, "adversarial_steps": 2, "generator_lr": 0.01}
        asked = dataclasses.replace(tiny(recipe, **own, **alone), generator=generator)
        options = {"out": tmp_path / family, "schedule": OFTEN, "progress": False}
        if type(recipe().generator) in (Leak, Infill) and type(generator) is not type(recipe().generator):
            with pytest.raises(InputError, match=f"{recipe.name} plays with --generator (leak|infill) alone: no other"):
                fit(asked, told(recipe, LINES), **options)
            continue
        first, *_, last = (row["valid_nll"] for row in fit(asked, told(recipe, LINES), **options).evaluated)
        assert first != last and abs(first - last) < 5


@every_recipe
def test_a_stopped_and_resumed_run_equals_the_unbroken_one(recipe: type, tmp_path: Path) -> None:
    """Stops inside each phase and at their borders, at steps with and without a checkpoint or an open log window."""
    whole = fit(tiny(recipe), told(recipe, LINES), out=tmp_path / "whole", schedule=OFTEN, progress=False)
    total = json.loads((checkpoints(whole.path)[0] / "state.json").read_text())["step"]
    for stop_at in (stop_at for stop_at in (1, 5, 6, 8, 11) if stop_at < total):
        out, seen = tmp_path / f"broken-{stop_at}", []

        def stop(row: dict[str, Any], seen: list[int] = seen, stop_at: int = stop_at) -> None:
            seen.append(row["step"])
            if row["step"] >= stop_at and len(seen) > 1:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(Interrupted, match="--resume goes on") as stopped:
            fit(tiny(recipe), told(recipe, LINES), out=out, schedule=OFTEN, progress=False, on_log=stop)
        assert stopped.value.code == 143
        resumed = fit(tiny(recipe), told(recipe, LINES), out=out, schedule=OFTEN, progress=False, resume=True)
        assert trace(whole) == trace(resumed)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # the handlers are back


def test_the_transformer_resumes_exactly_too(tmp_path: Path) -> None:
    recipe = tiny(RECIPES[1], generator=Transformer(width=8, layers=1, heads=2))
    whole = fit(recipe, LINES, out=tmp_path / "whole", schedule=OFTEN, progress=False)

    def die(row: dict[str, Any]) -> None:
        if row["step"] == 10:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit(recipe, LINES, out=tmp_path / "broken", schedule=OFTEN, progress=False, on_log=die)
    assert trace(whole) == trace(
        fit(recipe, LINES, out=tmp_path / "broken", schedule=OFTEN, progress=False, resume=True)
    )


KILLED = """
import sys
from textgan.discriminators import CNN
from textgan.generators import LSTM
from textgan.recipes import SeqGAN
from textgan.training import Schedule, fit
recipe = SeqGAN(batch=8, mle_steps=40, judge_steps=10, adversarial_steps=20, rollouts=2, discriminator_updates=1,
                generator=LSTM(embedding=8, hidden=12, dropout=.2), discriminator=CNN(8, (1, 2), (8, 8)))
fit(recipe, "grammar:200", out=sys.argv[1], schedule=Schedule(log_every=3, eval_every=7, save_every=2), progress=False,
    resume=True)
"""


def test_kill_9_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    """A real process is killed five times, with a checkpoint written every other step, so often inside a save."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "whole")], check=True)
    moments, broken = random.Random(7), tmp_path / "broken"
    for _ in range(5):
        before = _step(broken)
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(broken)])
        while process.poll() is None and _step(broken) <= before:  # until it has moved on at all
            time.sleep(0.01)
        time.sleep(moments.random() * 0.5)
        process.kill()
        process.wait()
    subprocess.run([sys.executable, "-c", KILLED, str(broken)], check=True)
    assert trace(Run.open(tmp_path / "whole")) == trace(Run.open(broken))
    assert not list(broken.glob(".tmp-*"))


def _step(run: Path) -> int:
    found = checkpoints(run) if run.exists() else []
    return int(found[0].name[5:]) if found else 0


def test_checkpoints_are_rotated_and_the_newest_are_kept(tmp_path: Path) -> None:
    run = fit(tiny(RECIPES[1]), LINES, out=tmp_path / "run", schedule=OFTEN, progress=False)
    assert [c.name for c in checkpoints(run.path)] == ["ckpt-000013", "ckpt-000012"]
    assert all(verify(c) is None for c in checkpoints(run.path))


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "manifest", "link"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(damage: str, tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"net-x": {"w": torch.full((9,), float(step))}}, {"step": step})
    victim = tmp_path / "ckpt-000002" / "net-x.safetensors"
    content = victim.read_bytes()
    if damage == "flip":
        victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncate":
        victim.write_bytes(content[:-7])
    elif damage == "delete":
        victim.unlink()
    elif damage == "manifest":
        (victim.parent / "MANIFEST.json").write_text("{")
    else:
        outside = tmp_path / "outside"
        victim.rename(outside)
        victim.symlink_to(outside)
    tensors, state, skipped = load_checkpoint(tmp_path)
    assert state == {"step": 1}
    assert torch.equal(tensors["net-x"]["w"], torch.ones(9))
    assert len(skipped) == 1
    assert "ckpt-000002/" in skipped[0]


def test_a_later_checkpoint_that_was_damaged_takes_no_good_ones_place(tmp_path: Path) -> None:
    """Resume has passed it over; whatever is kept is what it goes on with."""
    for step in (40, 45):
        save_checkpoint(tmp_path, step, {"net-x": {"w": torch.ones(1)}}, {"step": step})
    (tmp_path / "ckpt-000045" / "state.json").write_text("{}")
    for keep, left in ((2, ["ckpt-000042", "ckpt-000040"]), (1, ["ckpt-000043"])):
        save_checkpoint(tmp_path, 44 - keep, {"net-x": {"w": torch.ones(1)}}, {"step": 0}, keep=keep)
        assert [c.name for c in checkpoints(tmp_path)] == left and verify(checkpoints(tmp_path)[0]) is None


@pytest.mark.parametrize("missing", ["recipe.json", "heldout.txt", "prompts.safetensors"])
def test_a_run_that_was_killed_as_it_began_is_whole_after_resume(missing: str, tmp_path: Path) -> None:
    recipe, text = tiny(RECIPES[0]), TextSettings(prompt=1)
    whole = fit(recipe, LINES, out=tmp_path / "whole", text=text, progress=False)
    cut = tmp_path / "cut"
    fit(dataclasses.replace(recipe, mle_steps=0), LINES, out=cut, text=text, progress=False)
    settings = json.loads((cut / "recipe.json").read_text())
    settings["fields"]["mle_steps"] = recipe.mle_steps
    (cut / "recipe.json").write_text(json.dumps(settings))
    for path in (cut / missing, *checkpoints(cut)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = fit(recipe, LINES, out=cut, text=text, resume=True, progress=False)
    assert run.sample_text(5) == whole.sample_text(5)
    assert sorted(p.name for p in cut.iterdir()) == sorted(p.name for p in whole.path.iterdir())


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match=r"\.lock: cannot be locked"):
        fit(tiny(RECIPES[0]), LINES, out=tmp_path / "run", progress=False)
    assert (tmp_path / "victim").read_text() == "mine"


def test_all_checkpoints_damaged_is_an_error_in_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"net-x": {"w": torch.ones(1)}}, {"step": 1})
    (tmp_path / "ckpt-000001" / "state.json").write_text("{}")
    with pytest.raises(InputError, match="every checkpoint is damaged .*ckpt-000001/state.json"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("moment", ["rename", "write"])
def test_a_failed_save_leaves_the_old_checkpoint_and_no_litter(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, {"net-x": {"w": torch.ones(1)}}, {"step": 1})

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("textgan.checkpoints.os.replace" if moment == "rename" else "textgan.checkpoints.save", fail)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, {"net-x": {"w": torch.ones(1)}}, {"step": 2})
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["ckpt-000001"]
    assert verify(tmp_path / "ckpt-000001") is None


FULL = """
import resource, signal, sys
from textgan.generators import LSTM
from textgan.recipes import MLE
from textgan.training import Schedule, fit
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def shrink(row):
    if row["step"] == 8:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
fit(MLE(batch=8, mle_steps=20, generator=LSTM(8, 12)), "grammar:200", out=sys.argv[1],
    schedule=Schedule(log_every=4, eval_every=8, save_every=4), progress=False, on_log=shrink)
"""


def test_a_full_disk_is_told_in_one_line_and_the_checkpoint_before_stands(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode != 0
    assert "ckpt-000004 stands; mend that, then --resume" in done.stderr
    assert verify(checkpoints(tmp_path / "run")[0]) is None
    assert not list((tmp_path / "run").glob(".tmp-*"))


def test_nan_touches_no_weight_and_reaches_no_checkpoint(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 1)
    before = [p.detach().clone() for p in net.parameters()]
    player = Player(net, torch.optim.Adam(net.parameters()))
    with pytest.raises(NotFinite, match="Linear: loss nan"):
        player.minimise(net(torch.tensor([[float("nan"), 1.0]])).sum())
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_a_player_moves_its_own_net_only_and_clips() -> None:
    mine, other = torch.nn.Linear(3, 1), torch.nn.Linear(1, 1)
    player = Player(mine, torch.optim.SGD(mine.parameters(), lr=1.0), clip=0.5)
    before = torch.cat([p.detach().flatten() for p in mine.parameters()])
    player.minimise(1000 * other(mine(torch.ones(1, 3))).sum())
    after = torch.cat([p.detach().flatten() for p in mine.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.5, abs=1e-4)
    assert all(p.grad is None for p in other.parameters())


def test_resume_refuses_other_settings_and_lists_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(tiny(RECIPES[0]), LINES, out=run, schedule=OFTEN, progress=False)
    with pytest.raises(InputError, match="already holds a run; give --resume"):
        fit(tiny(RECIPES[0]), LINES, out=run, progress=False)
    with pytest.raises(InputError, match=r"run's: batch 8 -> 9"):
        fit(tiny(RECIPES[0], batch=9), LINES, out=run, progress=False, resume=True)
    with pytest.raises(InputError, match="corpus: other text than lines"):
        fit(tiny(RECIPES[0]), [*LINES, "a cow sits here ."], out=run, progress=False, resume=True)
    with pytest.raises(InputError, match="seed 0 -> 1"):
        fit(tiny(RECIPES[0]), LINES, out=run, progress=False, resume=True, seed=1)


def test_a_tokenizer_that_numbers_otherwise_is_another_run(tmp_path: Path) -> None:
    recipe = tiny(RECIPES[0])
    run = fit(recipe, LINES, out=tmp_path / "run", progress=False)
    settings = json.loads((run.path / "recipe.json").read_text())
    (run.path / "recipe.json").write_text(json.dumps(settings | {"tokenizer": "0" * 64}))
    with pytest.raises(InputError, match="a tokenizer that numbers its tokens otherwise"):
        fit(recipe, LINES, out=tmp_path / "run", progress=False, resume=True)


def test_a_run_folder_can_move_and_go_on(tmp_path: Path) -> None:
    whole = fit(tiny(RECIPES[0], mle_steps=9), LINES, out=tmp_path / "whole", schedule=OFTEN, progress=False)

    def stop(row: dict[str, Any]) -> None:
        if row["step"] == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as stopped:
        fit(tiny(RECIPES[0], mle_steps=9), LINES, out=tmp_path / "a", schedule=OFTEN, progress=False, on_log=stop)
    assert stopped.value.code == 130
    (tmp_path / "a").rename(tmp_path / "b")
    moved = fit(tiny(RECIPES[0], mle_steps=9), LINES, out=tmp_path / "b", schedule=OFTEN, progress=False, resume=True)
    assert trace(whole) == trace(moved)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"recipe": MLE}, "recipe: .* is none; give one"),
        ({"recipe": MLE(batch=2.5)}, "--batch 2.5 must be a whole number"),
        ({"recipe": MLE(generator="lstm")}, "--generator 'lstm' says no net; give sizes such as LSTM"),
        ({"text": "characters"}, "text 'characters' must be text settings"),
        ({"seed": -1}, "--seed -1 must be from 0 to 4294967295"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_python_is_told_before_anything_is_written(
    wrong: dict[str, Any], said: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"recipe": tiny(MLE), "corpus": LINES, "out": tmp_path / "run"} | wrong
    with pytest.raises(InputError, match=said):
        fit(**arguments, progress=False)
    assert not (tmp_path / "run").exists()


def test_two_processes_cannot_share_a_run_folder(tmp_path: Path) -> None:
    from textgan.checkpoints import locked

    with locked(tmp_path), pytest.raises(InputError, match="another process is writing here"):
        fit(tiny(RECIPES[0]), LINES, out=tmp_path, progress=False)


def test_the_callers_random_state_and_threads_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    fit(tiny(RECIPES[0]), LINES, out=tmp_path / "run", progress=False, threads=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_a_game_can_start_from_a_finished_run(tmp_path: Path) -> None:
    mle = fit(tiny(RECIPES[0]), LINES, out=tmp_path / "mle", schedule=OFTEN, progress=False)
    game = tiny(RECIPES[1], mle_steps=0, judge_steps=1, adversarial_steps=0)
    run = fit(game, LINES, out=tmp_path / "gan", start=tmp_path / "mle", schedule=OFTEN, progress=False)
    assert load_hashes(run.path / "generator" / "model.safetensors") == load_hashes(
        mle.path / "generator" / "model.safetensors"
    )
    with pytest.raises(InputError, match="was trained on other tokens"):
        fit(game, LINES[:9], out=tmp_path / "x", start=tmp_path / "mle", progress=False)
    other = dataclasses.replace(game, generator=LSTM(8, 16))
    with pytest.raises(InputError, match=r"/mle has another generator; give --generator.hidden 12"):
        fit(other, LINES, out=tmp_path / "y", start=tmp_path / "mle", progress=False)


def test_the_lowest_held_out_weights_are_kept(tmp_path: Path) -> None:
    """40 sentences and a large net overfit at once; the generator that stays is the best one seen, not the last."""
    recipe = RECIPES[0](batch=16, mle_steps=120, mle_lr=0.02, weight_decay=0.0, generator=LSTM(16, 32, dropout=0.0))
    from textgan import grammar

    run = fit(recipe, grammar.sample(40), out=tmp_path / "run", schedule=Schedule(eval_every=10), progress=False)
    nll = {row["step"]: row["valid_nll"] for row in run.log if "valid_nll" in row and row["step"]}
    assert min(nll.values()) < nll[110] - 0.1
    assert nll[120] == min(nll.values())  # the last row, and the last samples, are of what is kept
    from textgan.watch import held_out_nll

    data = prepare(grammar.sample(40), None, TextSettings())
    assert held_out_nll(run.generator, data.held_out) == pytest.approx(min(nll.values()), abs=1e-5)


def test_a_short_phase_is_stopped_early_too(tmp_path: Path) -> None:
    """No evaluation falls into it; the held-out text is looked at all the same, and the log says nothing of that."""
    recipe = RECIPES[0](batch=16, mle_steps=80, mle_lr=0.03, weight_decay=0.0, generator=LSTM(16, 32, dropout=0.0))
    from textgan import grammar

    ends, seldom = {}, Schedule(eval_every=1000)
    for early in (True, False):
        one = dataclasses.replace(recipe, early_stopping=early, mle_final_rate=1.0)
        run = fit(one, grammar.sample(40), out=tmp_path / str(early), schedule=seldom, progress=False)
        assert [row["step"] for row in run.evaluated] == [0, 80]
        ends[early] = run.evaluated[-1]["valid_nll"]
    assert ends[True] < ends[False] - 0.1


@every_recipe
@pytest.mark.parametrize("family", [LSTM(16, 32, dropout=0.0), Transformer(width=32, layers=1, heads=2, dropout=0.0)])
def test_every_recipe_learns_the_toy_language(recipe: type, family: Any, tmp_path: Path) -> None:
    """36 sentences of one pattern: after a few hundred steps most samples belong to the language."""
    if recipe in (LeakGAN, MaskGAN) and isinstance(family, Transformer):
        pytest.skip("it plays with its own generator alone")
    sizes = {
        "batch": 32, "mle_steps": 150, "judge_steps": 20, "adversarial_steps": 20, "rollouts": 4,
        "discriminator_updates": 2, "mle_lr": 0.01, "generator_lr": 1e-4, "generator": family, "group": 32,
    }  # fmt: skip
    lines, valid = told(recipe, LINES * 4), told(recipe, LINES)
    run = fit(tiny(recipe, **sizes), lines, out=tmp_path / "run", valid=valid, progress=False)
    text = run.sample_text(200)
    assert sum(line in set(LINES) for line in text) > 150
    assert len(set(text)) > 20
    untrained = fit(tiny(recipe, **sizes | {"mle_steps": 0, "judge_steps": 0, "adversarial_steps": 0}), lines,
                    out=tmp_path / "none", valid=valid, progress=False)  # fmt: skip
    assert sum(line in set(LINES) for line in untrained.sample_text(200)) < 10


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r not in (MLE, SentiGAN)], ids=lambda r: r.name)
def test_the_adversarial_signal_teaches_without_maximum_likelihood(recipe: type, tmp_path: Path) -> None:
    """No pre-training: real text uses one word of two. D can see it, so the game alone must shift G towards it.

    Not SentiGAN's: its objective rests where p is as 1 / penalty (test_recipe_parts.py), which is no concentration.
    """
    lines = ["yes yes yes", "yes yes"] * 40
    noise = ["no no no", "no no"] * 1  # so that "no" is in the vocabulary
    changes = {
        "batch": 32, "mle_steps": 0, "judge_steps": 60, "rollouts": 4,
        "adversarial_steps": 200 if recipe.name == "scratchgan" else 120,  # it lags on this seed: .88, and .99 then
        "discriminator_updates": 2, "generator_lr": 0.01, "discriminator_lr": 0.002, "group": 32, "replay": 0.0,
        "mle_every": 1000, "demonstrations": 0.0, "policy_updates": 1,
        "generator": LSTM(8, 16, dropout=0.0),
    }  # fmt: skip
    corpus, valid = told(recipe, lines + noise), told(recipe, ["yes yes"])
    run = fit(tiny(recipe, **changes), corpus, out=tmp_path / "run", valid=valid, progress=False)
    words = " ".join(run.sample_text(300)).split()
    assert words.count("yes") > 0.9 * len(words)
    assert run.log[0]["sample_entropy"] > 1  # it began as noise over four tokens


def test_batches_pass_through_every_line_once_an_epoch_and_resume_by_their_cursor() -> None:
    tokenizer = train_tokenizer([str(i) for i in range(23)])
    data = encode(tokenizer, [str(i) for i in range(23)])
    batches = Batches(data, 5, seed=1, device=torch.device("cpu"))
    rows = torch.cat([next(batches)[:, 0] for _ in range(23)])  # 115 rows: five epochs of 23
    for epoch in rows.view(5, 23):
        assert len(epoch.unique()) == 23
    again = Batches(data, 5, seed=1, device=torch.device("cpu"))
    again.cursor = 7
    assert torch.equal(next(again)[:, 0], rows.view(-1, 5)[7])
    shards = [Batches(data, 10, seed=1, device=torch.device("cpu"), share=Share(rank, 2)) for rank in (0, 1)]
    assert torch.equal(torch.cat([next(s)[:, 0] for s in shards]), rows[:10])


def test_held_out_lines_leave_the_training_text_with_all_their_copies() -> None:
    lines = [f"line {i % 50}" for i in range(200)]
    train, held = hold_out(lines)
    assert len(set(held)) == len(held) == 2  # 5 % of 50, rounded to even
    assert not set(train) & set(held)
    assert len(train) == 200 - 4 * len(held)
    with pytest.raises(InputError, match="has 1 distinct line"):
        hold_out(["one", "one"])


@every_recipe
def test_recipes_survive_json(recipe: type) -> None:
    chosen = tiny(recipe)
    assert from_dict(recipe.name, json.loads(json.dumps(to_dict(chosen)))) == chosen
    with pytest.raises(InputError, match="has no field 'bach'"):
        from_dict(recipe.name, {"bach": 1})
    with pytest.raises(InputError, match="generator 'rnn' is not one of lstm, .*, infill, pretrained"):
        from_dict(recipe.name, {"generator": {"kind": "rnn"}})


@every_recipe
def test_presets_are_possible_settings_of_their_own_recipe(recipe: type) -> None:
    for name, preset in presets_of(recipe).items():
        check_recipe(preset)
        assert type(preset) is recipe
        assert from_dict(recipe.name, json.loads(json.dumps(to_dict(preset)))) == preset  # type: ignore[attr-defined]
        assert find_preset(recipe, name) is preset
        assert changed_fields(dataclasses.replace(preset, batch=3), preset) == ["batch"]  # type: ignore[type-var]


def test_a_papers_maximum_likelihood_keeps_its_rate_and_its_last_weights() -> None:
    """The cosine from 1 ends at final_rate: at 1 it never moves."""
    rates = []

    class Watched(Player[Any]):
        def at(self, rate: float) -> None:
            rates.append(rate)

        def minimise(self, loss: torch.Tensor) -> float:
            return 0.0

    net = LSTM(4, 4).build(6, 3)
    for last in (1.0, 0.2):
        phase = likelihood_phase(Watched(net), RECIPES[0](mle_steps=4, mle_final_rate=last, early_stopping=False))
        assert not phase.keep_best
        for step in (0, 4):
            phase.update(step, iter([torch.tensor([[4, 2]])]))
    assert rates == [1.0, 1.0, 1.0, pytest.approx(0.2)]


def test_collapse_is_noticed(tmp_path: Path) -> None:
    """A generator that says one sentence nine times in ten is warned about, with the number that shows it."""
    run = fit(
        tiny(RECIPES[1], mle_steps=60, mle_lr=0.05, adversarial_steps=2), LINES[:1] * 300 + LINES,
        out=tmp_path / "run", valid=LINES, schedule=Schedule(eval_every=60), progress=False,
    )  # fmt: skip
    assert any("of samples are distinct (real text 100%)" in row.get("warning", "") for row in run.log)


def test_a_collapsing_run_stops_where_asked_with_its_state_saved(tmp_path: Path) -> None:
    recipe = tiny(RECIPES[0], mle_steps=60, mle_lr=0.05)
    schedule = Schedule(eval_every=10, collapse_stop=2)
    with pytest.raises(Interrupted, match=r"\(2 evaluations in a row looked like collapse\); saved") as stopped:
        fit(recipe, LINES[:1] * 300 + LINES, out=tmp_path / "run", valid=LINES, schedule=schedule, progress=False)
    assert stopped.value.code == 3
    log = Run.open(tmp_path / "run").log
    assert ["warning" in row for row in log if "valid_nll" in row][-2:] == [True, True]
    assert checkpoints(tmp_path / "run")[0].name.endswith(f"{log[-1]['step']:06d}")
    with pytest.raises(Interrupted, match=r"\(2 evaluations in a row"):  # it does go on, for two evaluations more
        fit(recipe, LINES[:1] * 300 + LINES, out=tmp_path / "run", valid=LINES, schedule=schedule, progress=False,
            resume=True)  # fmt: skip
    assert Run.open(tmp_path / "run").log[-1]["step"] == log[-1]["step"] + 20


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch(prepare(LINES * 4, LINES, TextSettings()), 36)


@pytest.mark.parametrize(
    ("sign", "said"),
    [
        ({"sample_unique": 0.4}, "only 40% of samples are distinct"),
        ({"sample_entropy": 0.05}, "entropy is 0.050 nats a token"),
        ({"sample_length": 30.0}, "mean length 30.0 against 6.0"),
        ({"sample_length": 2.0}, "mean length 2.0 against 6.0"),
        ({"d_accuracy": 0.99}, "D orders 99.0% of pairs rightly"),
        ({"reward_sd": 1e-4}, "rewards spread by 1.0e-04"),
    ],
)
def test_each_sign_of_collapse_is_warned_of_by_itself(watch: Watch, sign: dict[str, float], said: str) -> None:
    sound = {
        "phase": "adversarial", "sample_unique": 0.9, "sample_entropy": 1.0, "sample_length": 6.0, "d_accuracy": 0.7,
        "reward_sd": 0.1,
    }  # fmt: skip
    assert watch.warning(sound) is None
    warned = watch.warning(sound | sign)
    assert warned is not None
    assert warned.startswith(said)
    assert ";" not in warned


def test_the_joint_score_is_lowest_at_the_models_own_temperature(tmp_path: Path) -> None:
    """A sharper model writes likelier text and a flatter one more varied text; neither is bought for nothing."""
    from textgan import grammar
    from textgan.watch import held_out_nll

    lines = grammar.sample(1500)
    recipe = RECIPES[0](batch=64, mle_steps=250, mle_lr=0.01, generator=LSTM(24, 48, dropout=0.0))
    net = fit(recipe, lines, out=tmp_path / "run", progress=False).generator
    data, logits = prepare(lines, None, TextSettings()), net.logits
    scores = {}
    for temperature in (0.4, 1.0, 1.6):
        net.logits = lambda hidden, t=temperature: logits(hidden) / t  # type: ignore[method-assign]
        samples = net.sample(400, rng=torch.Generator().manual_seed(1))
        scores[temperature] = Watch(data, 36).measure(samples, held_out_nll(net, data.held_out))["joint"]
    assert scores[1.0] < min(scores[0.4], scores[1.6]) - 0.1
    cut = samples._replace(tokens=samples.tokens.masked_fill(samples.tokens == EOS, PAD))  # as an oracle's are
    cut = cut._replace(mask=mask_of(cut.tokens), log_probs=samples.log_probs * 0)
    watch = Watch(data, 36)
    logs, words = watch.judge.log_probs([[str(x) for x in row if x != PAD] for row in cut.tokens.tolist()])
    assert words.sum() == cut.mask.sum() + len(words)  # the judge counts ends that nobody drew
    assert watch.measure(cut, 2.0)["joint"] == pytest.approx(2.0 - logs.sum() / int(cut.mask.sum()), rel=1e-5)


def test_the_best_weights_by_the_joint_score_are_kept_beside_the_last_ones(tmp_path: Path) -> None:
    """A game that ruins the generator: RUN/best is the evaluation of the lowest joint score, RUN the ruin."""
    from textgan.watch import held_out_nll

    recipe = tiny(RECIPES[1], mle_steps=40, mle_lr=0.02, adversarial_steps=12, generator_lr=0.1)
    run = fit(recipe, LINES * 4, out=tmp_path / "run", valid=LINES, schedule=OFTEN, progress=False)
    rows = [row for row in run.log if "joint" in row and row["step"]]
    low = min(rows, key=lambda row: row["joint"])
    assert rows[-1]["joint"] > low["joint"] + 0.5
    data = prepare(LINES * 4, LINES, TextSettings())
    best = Run.open(tmp_path / "run" / "best")
    assert held_out_nll(best.generator, data.held_out) == pytest.approx(low["valid_nll"], abs=1e-5)
    assert held_out_nll(run.generator, data.held_out) == pytest.approx(rows[-1]["valid_nll"], abs=1e-5)
    assert best.weights_sha256 != run.weights_sha256
    assert {"backward-BLEU-4", "MS-Jaccard-4", "LM-score", "reverse-LM-score"} <= rows[-1].keys()  # the run's end
    assert all(row["joint"] == row["joint"] for row in rows)


@every_recipe
def test_bf16_trains_and_says_so(recipe: type, tmp_path: Path) -> None:
    run = fit(tiny(recipe), told(recipe, LINES), out=tmp_path / "run", schedule=OFTEN, progress=False, precision="bf16")
    assert run.settings["precision"] == "bf16"
    assert all(value == value for row in run.log for value in row.values())  # no NaN
    assert len(run.sample_text(5)) == 5


@pytest.mark.parametrize("has", [True, False])
def test_an_lstm_runs_under_autocast_whatever_the_processor_has(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without AVX-512 torch's own stops there: "could not create a primitive descriptor"."""
    if has and not recurrent.rounds_lstms():
        pytest.skip("this processor has no bfloat16 LSTM")
    if not has:
        monkeypatch.setattr(recurrent, "rounds_lstms", lambda: False)
    lstm, x, state = PortableLSTM(4, 8), torch.randn(5, 3, 4), (torch.randn(1, 3, 8), torch.randn(1, 3, 8))
    exact = lstm(x, state)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = lstm(x, state)
        torch.nn.Linear(8, 1)(out).sum().backward()
    assert torch.allclose(out.float(), exact, atol=0.03)
    assert all(weight.grad is not None for weight in lstm.parameters())


def test_several_steps_under_one_autocast_are_each_at_the_weights_of_the_last() -> None:
    """autocast keeps copies of the weights until its context ends, which is a whole round."""
    torch.manual_seed(0)
    net = torch.nn.Linear(8, 1)
    x, y = torch.randn(64, 8), (torch.rand(64, 1) < 0.5).float()
    player, losses = Player(net, torch.optim.SGD(net.parameters(), lr=2.0)), {}
    first = {key: value.clone() for key, value in net.state_dict().items()}
    for word, autocast in (("no", contextlib.nullcontext()), ("bf16", torch.autocast("cpu", dtype=torch.bfloat16))):
        net.load_state_dict(first)
        with autocast:
            losses[word] = [
                float(player.minimise(torch.nn.functional.binary_cross_entropy_with_logits(net(x).float(), y)))
                for _ in range(6)
            ]
    assert losses["no"][0] - losses["no"][-1] > 0.05
    assert losses["bf16"] == pytest.approx(losses["no"], abs=0.01)


def test_the_weights_that_a_game_begins_with_may_be_the_best_ones(tmp_path: Path) -> None:
    mle = tiny(RECIPES[0], mle_steps=120, mle_lr=0.02)
    start = fit(mle, LINES * 4, out=tmp_path / "mle", valid=LINES, progress=False)
    ruin = tiny(RECIPES[1], mle_steps=0, adversarial_steps=6, generator_lr=0.3)
    run = fit(ruin, LINES * 4, out=tmp_path / "game", valid=LINES, start=start.path, schedule=OFTEN, progress=False)
    assert min(run.evaluated, key=lambda row: row["joint"])["step"] == 0
    best = Run.open(run.path / "best")
    assert best.log_probs(LINES)[0] == pytest.approx(start.log_probs(LINES)[0], abs=1e-5)


def test_a_game_goes_on_without_the_run_that_it_began_with(tmp_path: Path) -> None:
    start = fit(tiny(RECIPES[0]), LINES, out=tmp_path / "mle", progress=False)
    game, often = tiny(RECIPES[1], mle_steps=0), Schedule(save_every=2)
    whole = fit(game, LINES, out=tmp_path / "whole", start=start.path, schedule=often, progress=False)
    with pytest.raises(InputError, match="start: another run, or one that was trained on since; leave them out"):
        other = fit(tiny(RECIPES[0]), LINES, out=tmp_path / "other", seed=3, progress=False)
        fit(game, LINES, out=tmp_path / "whole", start=other.path, resume=True, progress=False)
    (newest, *_) = checkpoints(whole.path)
    shutil.rmtree(newest)
    shutil.move(start.path, tmp_path / "elsewhere")
    again = fit(game, LINES, out=tmp_path / "whole", schedule=often, resume=True, progress=False)
    assert again.settings["start"]["run"] == "mle" and again.weights_sha256 == whole.weights_sha256
    moved = fit(game, LINES, out=tmp_path / "whole", start=tmp_path / "elsewhere", resume=True, progress=False)
    assert moved.weights_sha256 == whole.weights_sha256
