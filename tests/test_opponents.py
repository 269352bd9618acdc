"""A finished run's own D as judge: its logits, what they mean once calibrated, and which runs have none."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from test_training import LINES, OFTEN, every_recipe, tiny, told
from textgan import grammar
from textgan.augmentation import read_pool, write_pool
from textgan.augmentation.density import DensityRatio
from textgan.augmentation.pool import pool_rows
from textgan.checkpoints import checkpoints
from textgan.cli import main
from textgan.discriminators import CNN
from textgan.errors import InputError
from textgan.generators import LSTM
from textgan.opponents import Opponent
from textgan.recipes import SeqGAN
from textgan.runs import Run
from textgan.selection import select
from textgan.sequences import mask_of
from textgan.text import encode
from textgan.training import fit

SPEC = CNN(embedding=16, widths=(1, 2, 3), filters=(16, 16, 16), dropout=0.0)
NO_D = {"mle", "pgbleu", "cot", "jsdgan", "dgsan"}
NO_LOGIT = {"rankgan": "features with other lines", "dpgan": "a language model", "catgan": "a logit a class"}
SEEN, UNSEEN = grammar.sample(600, 1), grammar.sample(900, 2)
WORDS = sorted({word for line in SEEN for word in line.split()})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A generator that has learnt nothing, words at random, and a D that has learnt to tell them from the grammar."""
    recipe = SeqGAN(
        mle_steps=0, judge_steps=120, adversarial_steps=0, discriminator_lr=3e-3, discriminator=SPEC,
        generator=LSTM(8, 12, dropout=0.0),
    )  # fmt: skip
    out = tmp_path_factory.mktemp("opponent") / "run"
    return fit(recipe, SEEN, valid=grammar.sample(40, 3), out=out, progress=False)


def test_its_logits_are_those_that_d_had_in_the_game(run: Run) -> None:
    net = SPEC.build(run.tokenizer.get_vocab_size(), run.generator.max_len)
    net.load_state_dict(load_file(checkpoints(run.path)[0] / "net-discriminator.safetensors"))
    lines = UNSEEN[:5]
    data = encode(run.tokenizer, lines, max_len=run.generator.max_len)
    tokens = torch.from_numpy(data.batch(np.arange(5)))
    with torch.no_grad():
        wanted = net.eval()(tokens, mask_of(tokens))
    state = torch.get_rng_state()
    assert Opponent(run.path).logits(lines) == pytest.approx(wanted.double().numpy(), abs=1e-5)
    assert torch.equal(state, torch.get_rng_state())


def test_calibrated_it_gives_the_true_ratio_of_lines_that_it_has_not_seen(run: Run, tmp_path: Path) -> None:
    """Half of what is written is the grammar itself, half the run's noise: p_data / p_G is 2 there and 0 here."""
    noise = [line for line in run.sample_text(600, seed=5) if line.strip()]
    written = [*UNSEEN[:300], *noise[:300]]
    own = Opponent(run.path)
    found = DensityRatio.fit(UNSEEN[300:600], written, body=own, folds=3, calibration="platt")
    ratio = found.ratio([*UNSEEN[600:], *noise[300:]])
    assert np.median(ratio[:300]) == pytest.approx(2, rel=0.15) and np.quantile(ratio[300:], 0.9) < 0.1
    assert found.diagnostics.auc == pytest.approx(0.75, abs=0.03)  # half of the written lines cannot be told
    assert found.settings["body"] == own.facts and own.facts["checkpoint"] == "ckpt-000120"
    found.save(tmp_path / "ratio")
    assert DensityRatio.load(tmp_path / "ratio", given=own).ratio(written) == pytest.approx(found.ratio(written))
    with pytest.raises(InputError, match="rests on D of the run 'run'; give it as --run, too"):
        DensityRatio.load(tmp_path / "ratio")
    own.facts["sha256"] = "another"
    with pytest.raises(InputError, match=r"rests on another discriminator than .*run's"):
        DensityRatio.load(tmp_path / "ratio", given=own)


def spoilt(line: str, rng: random.Random) -> str:
    """Three places of the line get any words of the language."""
    words = line.split()
    for _ in range(3):
        words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words)


def test_a_selection_by_it_prefers_what_is_real_and_says_where_d_has_seen_the_real_text(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, pool, real = random.Random(0), tmp_path / "p.jsonl", UNSEEN[:300]
    write_pool(pool_rows([*real, *(spoilt(x, rng) for x in UNSEEN[300:600])], source="x", seed=0), pool)
    command = f"select {pool} --real grammar:900:7 --run {run.path} --out {tmp_path / 'out'} --how top --share .4"
    assert main([*command.split(), "--folds", "2", "--calibration", "platt"]) == 0
    assert "trained on this very text" not in capsys.readouterr().out
    rows = list(read_pool(tmp_path / "out"))
    passed = np.array(["ratio" in row["scores"] for row in rows])  # the filters
    chosen, good = np.array([row["selected"] for row in rows]), np.arange(600) < 300
    before, after = good[passed].mean(), good[chosen].mean()
    error = (before * (1 - before) / chosen.sum()) ** 0.5  # of a blind choice of so many
    assert after > before + 4 * error
    seen = select(pool, SEEN, tmp_path / "seen", ratio={"body": Opponent(run.path), "folds": 2})
    assert any(line.startswith("the run run was trained on this very text") for line in seen.warnings)


@every_recipe
def test_a_run_of_any_recipe_has_a_d_that_judges_lines_or_a_reason_why_not(recipe: type, tmp_path: Path) -> None:
    name = recipe.name  # type: ignore[attr-defined]
    fit(tiny(recipe), told(recipe, LINES), out=tmp_path / "run", schedule=OFTEN, progress=False)
    if name in NO_D:
        with pytest.raises(InputError, match=f"{name} has no discriminator; give a run of a recipe that plays"):
            Opponent(tmp_path / "run")
    elif name in NO_LOGIT:
        with pytest.raises(InputError, match=f"D of {name} cannot judge a line: .*{NO_LOGIT[name]}"):
            Opponent(tmp_path / "run")
    else:
        logits = Opponent(tmp_path / "run").logits([*LINES[:3], "words that nobody knows", LINES[0]])
        assert logits.shape == (5,) and np.isfinite(logits).all() and np.ptp(logits) > 0
        assert logits[0] == pytest.approx(logits[4], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--run {run} --body cnn", 2, "textgan select: error: --run brings its own D; leave --body out"),
        ("--run {run} --encoder x", 2, "textgan select: error: --run brings its own D; leave --encoder out"),
        ("--run nowhere", 1, "nowhere: no such folder; a run is a folder that `textgan train` has written"),
    ],
)
def test_what_cannot_be_is_one_line(
    run: Run, tmp_path: Path, options: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"select p.jsonl --real grammar:400 --out {tmp_path / 'x'} {options.format(run=run.path)}"
    assert main(command.split()) == code
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
