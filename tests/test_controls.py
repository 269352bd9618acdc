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
from textgan.estimators import MovingBaseline, discounted_returns, position_baseline, rollout_rewards
from textgan.recipes import DPGAN, PGBLEU, RECIPES, CatGAN, LeakGAN, MaliGAN, RankGAN, RelGAN, SentiGAN, SeqGAN
from textgan.runs import Run
from textgan.sequences import EOS, mask_of
from textgan.training import fit
from textgan.updates import Player, sentence_logits, sentence_score
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


def test_without_a_baseline_a_constant_reward_sharpens_the_generator(tmp_path: Path) -> None:
    """Each step makes what was drawn likelier. SeqGAN's paper has no baseline: its gain needs no D."""
    changes = {"adversarial_steps": 8, "mle_steps": 100, "mle_lr": 0.02, "generator_lr": 0.05, "rollouts": 1}
    nll = {
        name: -play(SeqGAN, tmp_path / name, "constant", **changes | more).log_probs(LINES)[0].mean()
        for name, more in (("start", {"adversarial_steps": 0}), ("with", {}), ("without", {"baseline": False}))
    }
    assert nll["with"] == nll["start"]
    sharp, even = (Run.open(tmp_path / name) for name in ("without", "start"))
    own = {run.path.name: -run.log_probs(run.sample_text(200, seed=1))[0].mean() for run in (sharp, even)}
    assert own["without"] < own["start"] - 0.3  # nats a sentence


@pytest.mark.parametrize("control", ["constant", "random", "shuffled"])
def test_a_reward_that_no_net_tells_is_spoilt_too(control: str, tmp_path: Path) -> None:
    none = play(PGBLEU, tmp_path / "none", None, adversarial_steps=0)
    true, spoilt, again = (play(PGBLEU, tmp_path / str(i), how) for i, how in enumerate([None, control, control]))
    assert nets(spoilt, "likelihood") == nets(again, "likelihood") != nets(true, "likelihood")
    assert (nets(none, "likelihood") == nets(spoilt, "likelihood")) == (control == "constant")


@pytest.mark.parametrize("batch", [24, 32, 128])
def test_a_constant_reward_moves_nothing_under_bfloat16(batch: int, tmp_path: Path) -> None:
    """MaliGAN's normalised weights are 1, in eight bits 1.0078 of 24 sentences: a push of all of them alike."""
    changes = {"batch": batch, "adversarial_steps": 2, "mle_steps": 0, "judge_steps": 0, "discriminator_updates": 1}
    none, constant = (
        fit(tiny(MaliGAN, **changes | more), LINES, out=tmp_path / name, progress=False, precision="bf16", control=name)
        for name, more in (("frozen", {"adversarial_steps": 0}), ("constant", {}))
    )
    assert nets(none, "likelihood") == nets(constant, "likelihood")


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


def turned_and_moved(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Each row is one of the wanted ones, or turned round as a whole, each at another place."""
    rows, true = found.reshape(len(found), -1), wanted.reshape(len(wanted), -1)
    apart = torch.minimum((rows[:, None] - true).abs().amax(2), (rows[:, None] + true).abs().amax(2))  # (B, B)
    return bool((apart.amin(1) < 1e-6).all()) and sorted(apart.argmin(1).tolist()) == list(range(len(rows)))


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
                assert turned_and_moved(found, wanted - wanted.mean(0))
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
            assert turned_and_moved(grad, wanted - wanted.mean(0))
        else:
            assert not torch.allclose(grad, wanted)
            assert grad.std() == pytest.approx(wanted.std().item(), rel=0.5)


def ending(control: str | None, hears: str) -> tuple[float, float]:
    """The advantage of ending at once over going on under a D that hears length alone, and its standard error.

    Sentences: by roll-outs, D's logit or, as SeqGAN, its sigmoid; D finds one word likely and two or three not. Words:
    as ScratchGAN, 2 sigmoid - 1 of each word's logit; D finds every word likely, so that going on pays.
    """
    generator, rng = build("lstm"), torch.Generator().manual_seed(1)
    net: Any = Recurrent(4, 4, 0.0).build(VOCAB, MAX_LEN).eval()
    net.sentence_logits = lambda x, mask: 6 * (mask.sum(1) == 1).float() - 3
    net.step_logits = lambda x, mask: 3.0 * mask
    if control:
        spoil_answers({"discriminator": Player(net)}, control, rng)
    score, baseline, found = sentence_logits(net) if hears == "logits" else sentence_score(net), MovingBaseline(), []
    for _ in range(100 if hears == "words" else 40):
        fake = generator.sample(256, rng=rng)
        if hears == "words":
            told = 2 * net.step_logits(fake.tokens, mask_of(fake.tokens)).sigmoid() - 1
            rewards = discounted_returns(told, fake.mask, gamma=0.9)
            gap = rewards - baseline(rewards, fake.mask)
        else:
            rewards = rollout_rewards(generator, score, fake, n=4, rng=rng)
            gap = rewards - position_baseline(rewards, fake.mask)
        first = fake.tokens[:, 0] == EOS
        found.append((gap[first, 0].mean() - gap[~first, 0].mean()).item())
    values = torch.tensor(found)
    return values.mean().item(), values.std().item() / len(found) ** 0.5


@pytest.mark.parametrize("control", ["shuffled", "random"])
@pytest.mark.parametrize("hears", ["logits", "sigmoid", "words"])
def test_a_spoilt_d_says_nothing_of_length(hears: str, control: str) -> None:
    """Finished sentences are scored in other calls than completions, which are sorted by length, so that the mean of a
    call would tell G all of it; and where the answers of a call are skewed, the mean of their sigmoid is not that of
    answers without a mean (-.08 of .91 for sentences, while an answer kept its sign)."""
    true, (spoilt, error) = ending(None, hears)[0], ending(control, hears)
    assert abs(true) > 0.4 and abs(spoilt) < 4 * error and error < 0.02 * abs(true)


def test_a_recipe_without_a_discriminator_and_an_unknown_control_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this recipe has none"):
        play(RECIPES[0], tmp_path / "a", "constant")
    with pytest.raises(InputError, match="learns nothing, so that would change nothing"):
        play(PGBLEU, tmp_path / "c", "frozen")
    with pytest.raises(InputError, match=f"--control 'odd' is not one of {', '.join(CONTROLS)}"):
        play(RECIPES[0], tmp_path / "b", "odd")
