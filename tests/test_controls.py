"""Controls: what D tells G is spoilt, D's own learning is not, and no recipe knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from test_training import LINES, OFTEN, tiny, told, trace
from textgan.checkpoints import checkpoints
from textgan.controls import CONTROLS, spoil_answers
from textgan.discriminators import CNN, MultiCNN, Recurrent
from textgan.errors import InputError
from textgan.estimators import position_baseline, rollout_rewards
from textgan.recipes import DPGAN, RECIPES, CatGAN, LeakGAN, RankGAN, RelGAN, SentiGAN, SeqGAN
from textgan.runs import Run
from textgan.sequences import EOS, mask_of
from textgan.training import fit
from textgan.updates import Player
from toys import MAX_LEN, VOCAB, build

GAMES = [SeqGAN, RelGAN, DPGAN]  # a CNN's logits, its gradient, a language model's word
TOKENS = torch.tensor([[4, 5, 2], [5, 2, 0], [4, 2, 0], [5, 5, 2]])


def nets(run: Run, name: str) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in load_file(checkpoints(run.path)[0] / f"net-{name}.safetensors").items()}


def play(recipe: type, out: Path, control: str | None, **changes: Any) -> Run:
    return fit(tiny(recipe, **changes), LINES, out=out, schedule=OFTEN, progress=False, control=control)


@pytest.mark.parametrize("recipe", GAMES, ids=lambda r: r.name)
def test_a_constant_reward_leaves_the_generator_where_it_was(recipe: type, tmp_path: Path) -> None:
    none = play(recipe, tmp_path / "none", None, adversarial_steps=0)
    constant = play(recipe, tmp_path / "constant", "constant")
    true = play(recipe, tmp_path / "true", None)
    assert nets(none, "likelihood") == nets(constant, "likelihood") != nets(true, "likelihood")
    assert nets(none, "discriminator") != nets(constant, "discriminator")  # D goes on learning
    assert constant.settings["control"] == "constant" and "control" not in true.settings


@pytest.mark.parametrize("recipe", [LeakGAN, SentiGAN, CatGAN, RankGAN], ids=lambda r: r.name)
def test_under_a_constant_reward_nothing_of_d_reaches_the_generator(recipe: type, tmp_path: Path) -> None:
    """Two Ds that learn at unlike rates: G is the same to the bit, and is not where G may hear them."""
    lines, found = told(recipe, LINES), {}
    for control in ("constant", None):
        for rate in (1e-4, 1e-2):
            spec = tiny(recipe, discriminator_lr=rate, judge_steps=0)
            out = tmp_path / f"{control}-{rate}"
            found[control, rate] = fit(spec, lines, out=out, schedule=OFTEN, progress=False, control=control)
    name = "worker_likelihood" if recipe is LeakGAN else "likelihood"
    assert nets(found["constant", 1e-4], name) == nets(found["constant", 1e-2], name)
    assert nets(found["constant", 1e-4], "discriminator") != nets(found["constant", 1e-2], "discriminator")
    assert nets(found[None, 1e-4], name) != nets(found[None, 1e-2], name)


@pytest.mark.parametrize("control", ["constant", "shuffled"])
def test_the_copy_of_d_that_leakgan_reads_stays_untrained_and_frozen_it_is_d_itself(
    control: str, tmp_path: Path
) -> None:
    """Untrained: all that the seed has made, as in a run of no step."""
    steps = {"judge_steps": 0, "mle_steps": 0, "adversarial_steps": 0}
    untrained, spoilt = play(LeakGAN, tmp_path / "a", None, **steps), play(LeakGAN, tmp_path / "b", control)
    frozen = play(LeakGAN, tmp_path / "c", "frozen")
    before, after, copied = (
        {k.partition("leak.")[2]: v for k, v in nets(run, "worker_likelihood").items() if "leak." in k}
        for run in (untrained, spoilt, frozen)
    )
    assert before == after != nets(spoilt, "discriminator") and len(before) > 5
    assert copied == nets(frozen, "discriminator") != before


@pytest.mark.parametrize("recipe", GAMES, ids=lambda r: r.name)
def test_a_frozen_discriminator_stays_as_its_own_phase_left_it(recipe: type, tmp_path: Path) -> None:
    before = play(recipe, tmp_path / "before", None, adversarial_steps=0)
    frozen = play(recipe, tmp_path / "frozen", "frozen")
    assert nets(before, "discriminator") == nets(frozen, "discriminator")
    assert nets(before, "likelihood") != nets(frozen, "likelihood")


@pytest.mark.parametrize("control", ["random", "shuffled"])
@pytest.mark.parametrize("recipe", GAMES, ids=lambda r: r.name)
def test_noise_moves_the_generator_and_a_seed_fixes_it(recipe: type, control: str, tmp_path: Path) -> None:
    a, b = (play(recipe, tmp_path / name, control) for name in "ab")
    assert trace(a) == trace(b)
    assert nets(a, "likelihood") != nets(play(recipe, tmp_path / "c", "constant"), "likelihood")


def spoilt(spec: Any, control: str) -> Any:
    torch.manual_seed(0)
    net = spec.build(6, 3)
    spoil_answers({"discriminator": Player(net)}, control, torch.Generator().manual_seed(1))
    return net


SPECS = [CNN(8, (1, 2), (8, 8), 0.0), MultiCNN(8, 2, (1, 2), (8, 8), 8, 0.0), Recurrent(8, 8, 0.0)]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
def test_answers_are_spoilt_in_evaluation_mode_alone(spec: Any) -> None:
    torch.manual_seed(0)
    true = spec.build(6, 3)
    for method in ("forward", "features", "sentence_logits"):
        wanted = getattr(true.eval(), method)(TOKENS, mask_of(TOKENS))
        for control in ("constant", "random", "shuffled"):
            net = spoilt(spec, control)
            assert torch.equal(getattr(net.train(), method)(TOKENS, mask_of(TOKENS)), wanted)  # no dropout in these
            found = getattr(net.eval(), method)(TOKENS, mask_of(TOKENS))
            assert found.shape == wanted.shape
            if control == "constant":
                assert not found.any()
            elif control == "shuffled":
                assert torch.allclose((found + wanted.mean(0)).sort(0).values, wanted.sort(0).values, atol=1e-6)
            else:
                assert not torch.isin(found, wanted).any()


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
def test_under_a_gradient_the_answer_is_true_and_its_gradient_spoilt(spec: Any) -> None:
    """Shuffled: the rows of the gradient are those of the true one, at other sentences."""
    soft = torch.randn(4, 3, 6).softmax(-1).requires_grad_()
    torch.manual_seed(0)
    true = spec.build(6, 3).eval()
    answer = true(soft, mask_of(TOKENS))
    (wanted,) = torch.autograd.grad(answer.sum(), soft)
    for control in ("constant", "random", "shuffled"):
        net = spoilt(spec, control).eval()
        found = net(soft, mask_of(TOKENS))
        assert torch.equal(found, answer)
        with torch.no_grad():  # as CatGAN's fitness asks: the answer is all that is told
            assert not torch.equal(net(soft, mask_of(TOKENS)), answer)
        (grad,) = torch.autograd.grad(found.sum(), soft)
        if control == "constant":
            assert not grad.any()
        elif control == "shuffled":
            back = (grad + wanted.mean(0)).flatten(1)
            assert torch.allclose(back.sort(0).values, wanted.flatten(1).sort(0).values, atol=1e-6)
        else:
            assert not torch.allclose(grad, wanted)
            assert grad.std() == pytest.approx(wanted.std().item(), rel=0.5)


@pytest.mark.parametrize("control", ["shuffled", "random"])
def test_a_spoilt_d_says_nothing_of_length(control: str) -> None:
    """A D that hears length alone: finished sentences are scored in other calls than completions, which are sorted by
    length, so that the mean of a call would tell G all of it. The advantage of an end over going on must be noise."""
    generator = build("lstm")

    def advantage(control: str | None) -> tuple[float, float]:
        net, rng = Recurrent(4, 4, 0.0).build(VOCAB, MAX_LEN).eval(), torch.Generator().manual_seed(1)
        net.sentence_logits = lambda x, mask: mask.sum(1).float()  # type: ignore[method-assign]
        if control:
            spoil_answers({"discriminator": Player(net)}, control, rng)
        found = []
        for _ in range(40):
            fake = generator.sample(64, rng=rng)
            rewards = rollout_rewards(
                generator, lambda x: net.sentence_logits(x, mask_of(x)), fake, n=4, rng=rng
            )
            gap = rewards - position_baseline(rewards, fake.mask)
            first = fake.tokens[:, 0] == EOS
            found.append((gap[first, 0].mean() - gap[~first, 0].mean()).item())
        values = torch.tensor(found)
        return values.mean().item(), values.std().item() / len(found) ** 0.5

    true, spoilt_d = advantage(None), advantage(control)
    assert abs(true[0]) > 8 * true[1]
    assert abs(spoilt_d[0]) < 4 * spoilt_d[1] and abs(spoilt_d[0]) < 0.3 * abs(true[0])


def test_a_recipe_without_a_discriminator_and_an_unknown_control_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this recipe has none"):
        play(RECIPES[0], tmp_path / "a", "constant")
    with pytest.raises(InputError, match=f"--control 'odd' is not one of {', '.join(CONTROLS)}"):
        play(RECIPES[0], tmp_path / "b", "odd")
