"""When synthetic text is seen and what it counts: schedules, regimes, weights and budgets, each to the token."""

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textgan import grammar
from textgan.augmentation import MixPlan, blend, pool_rows, write_pool
from textgan.augmentation.schedules import SCHEDULES, anneal, doses, two_stage
from textgan.errors import InputError
from textgan.lm import Lm, finetune, load_lm, pretrain_small
from textgan.lm.feeding import Batches, feed
from textgan.lm.likelihood import IGNORE, nll
from textgan.lm.training import Schedule, train

REAL = [f"real {i}" for i in range(10)]
POOL = [f"made {i}" for i in range(100)]
TRAIN, VALID, MADE = (grammar.sample(n, seed) for n, seed in ((120, 0), (40, 1), (360, 3)))


def rows(texts: list[str], weights: Any) -> list[dict[str, Any]]:
    return [{**row, "weight": w} for row, w in zip(pool_rows(texts, source="gan"), weights, strict=True)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    return pretrain_small(TRAIN, out, layers=1, width=32, steps=60, tokens_per_step=128)


@pytest.fixture(scope="module")
def lm(base: Path) -> Lm:
    return load_lm(base)


# Schedules


@pytest.mark.parametrize("share", [two_stage, anneal])
@pytest.mark.parametrize("overall", [0.05, 0.25, 0.5, 0.75, 0.9])
def test_every_schedule_shows_the_same_amount_of_synthetic_text_in_all(share: Any, overall: float) -> None:
    found = doses(share, overall, 400, 512)
    assert found.min() >= 0
    assert found.max() <= 512
    assert found.sum() == pytest.approx(overall * 400 * 512, rel=2e-3)
    assert (np.diff(found) <= 1).all()  # never more than before, but for the rounding


def test_two_stages_are_synthetic_text_first_and_then_real_text_alone() -> None:
    assert doses(two_stage, 0.3, 10, 8).tolist() == [8] * 3 + [0] * 7


def test_annealing_ends_at_nothing_and_starts_at_twice_the_share_or_at_all() -> None:
    # u = .125, .375, .625, .875: 2 * .25 * (1 - u) * 80 = 35, 25, 15, 5; and 1 - u^3 at p = 3/4
    assert doses(anneal, 0.25, 4, 80).tolist() == [35, 25, 15, 5]
    exact = np.cumsum([(1 - u**3) * 80 for u in (0.125, 0.375, 0.625, 0.875)])
    assert doses(anneal, 0.75, 4, 80).cumsum().tolist() == [math.floor(x + 0.5) for x in exact]


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize("ratio", [0, 0.5, 3])
def test_a_step_has_its_tokens_to_the_token_whatever_the_schedule(lm: Lm, schedule: str, ratio: float) -> None:
    mixture = blend(TRAIN, MADE, MixPlan(ratio, schedule=schedule))
    batches = feed(lm, mixture, steps=30, tokens=97, seed=0)
    assert [int((batch["labels"] != IGNORE).sum()) for batch in batches] == [97] * 30


def kinds(lm: Lm, batches: Batches, made: set[str]) -> list[Counter[bool]]:
    """Targets of each step, by whether their sentence is a synthetic one."""

    def text(piece: Any) -> str:
        return lm.tokenizer.decode(piece.inputs[1:], skip_special_tokens=True).strip()

    return [Counter({k: sum(b - a for p, a, b in parts if (text(p) in made) is k) for k in (True, False)})
            for parts in batches.steps]  # fmt: skip


@pytest.mark.parametrize("schedule", ["two_stage", "anneal"])
def test_a_training_sees_the_kinds_when_the_schedule_says(lm: Lm, schedule: str) -> None:
    made = sorted(set(MADE) - set(TRAIN))
    mixture = blend(TRAIN, made, MixPlan(1, schedule=schedule))
    found = kinds(lm, feed(lm, mixture, steps=20, tokens=64, seed=0), set(made))
    size = {k: sum(len(lm.tokenizer.encode(x, add_special_tokens=False)) + 1 for x in lines) for k, lines in
            ((True, mixture.synthetic), (False, TRAIN))}  # fmt: skip
    wanted = mixture.doses(size[True] / sum(size.values()), 20, 64)
    assert wanted is not None
    assert [step[True] for step in found] == wanted.tolist()
    assert found[0][True] >= 60
    assert found[-1][True] <= 4


def test_each_kind_is_seen_once_before_any_of_its_sentences_comes_again(lm: Lm) -> None:
    mixture = blend(TRAIN, MADE, MixPlan(1, schedule="anneal"))
    steps = feed(lm, mixture, steps=40, tokens=64, seed=0).steps
    for kind in (True, False):
        order = [p.line for parts in steps for p, a, _ in parts if a == p.first and bool(mixture.made[p.line]) is kind]
        many = int((mixture.made == kind).sum())
        assert len(set(order[:many])) == len(order[:many])


def test_the_order_of_the_lines_says_the_schedule_to_other_trainers() -> None:
    two = blend(REAL, POOL, MixPlan(1, schedule="two_stage"))
    assert two.made.tolist() == [True] * 10 + [False] * 10
    falling = blend(REAL, POOL, MixPlan(3, schedule="anneal"))
    assert falling.made[:10].sum() == 10  # 1 - u^3 is over .98 in the first quarter
    assert falling.made[20:30].sum() > falling.made[30:].sum()
    assert [line.startswith("made") for line in falling.lines] == falling.made.tolist()
    assert Counter(falling.lines) == Counter(blend(REAL, POOL, MixPlan(3)).lines)


# Regimes


def test_accumulating_adds_replacing_keeps_the_size_and_a_subsample_draws_from_both() -> None:
    sizes = {}
    for regime in ("accumulate", "replace", "accumulate_subsample"):
        found = blend(REAL, POOL, MixPlan(0.4, regime=regime))
        sizes[regime] = (found.real, len(found.synthetic))
        assert len(set(found.lines)) == len(found.lines)
    assert sizes["accumulate"] == (10, 4)
    assert sizes["replace"] == (6, 4)
    assert sum(sizes["accumulate_subsample"]) == 10
    many = [f"real {i}" for i in range(5000)]
    found = blend(many, [f"made {i}" for i in range(5000)], MixPlan(1, regime="accumulate_subsample"))
    assert len(found.synthetic) == pytest.approx(2500, abs=5 * 25)  # hypergeometric, sd sqrt(5000 / 8) = 25


def test_replacing_more_keeps_a_part_of_the_real_lines_that_replacing_less_keeps() -> None:
    kept = [set(blend(REAL, POOL, MixPlan(r, regime="replace", seed=4)).lines) & set(REAL) for r in (1, 0.7, 0.2, 0)]
    assert [len(lines) for lines in kept] == [0, 3, 8, 10]
    assert kept[0] < kept[1] < kept[2] < kept[3]


# Weights


def test_weights_are_divided_by_their_mean_over_the_lines_that_were_drawn() -> None:
    found = blend(REAL, rows(POOL[:10], range(1, 11)), MixPlan(1, weight_by="density_ratio"))
    assert found.weights is not None
    at = dict(zip(found.lines, found.weights.tolist(), strict=True))
    assert {line: at[line] for line in REAL} == dict.fromkeys(REAL, 1.0)
    assert at["made 9"] == pytest.approx(10 / 5.5)  # the mean of 1 to 10
    assert found.to_json()["effective_sample"] == pytest.approx(55**2 / 385)  # (sum w)^2 / sum w^2


def test_the_training_loss_is_the_weighted_nll_over_the_number_of_tokens(base: Path, tmp_path: Path) -> None:
    lm = load_lm(base)
    for name, module in lm.model.named_modules():
        if "drop" in name:
            module.p = 0.0
    made = MADE[:4]
    mixture = blend(TRAIN[:4], rows(made, [0.5, 1, 2, 4.5]), MixPlan(1, weight_by="density_ratio"))
    assert mixture.weights is not None
    each = [nll(lm.model, lm.tokenizer, [line]) for line in mixture.lines]
    tokens = sum(x.tokens for x in each)
    expected = sum(w * x.total for w, x in zip(mixture.weights, each, strict=True)) / tokens
    schedule = Schedule(steps=1, tokens_per_step=tokens, lr=1e-4, seed=0, eval_every=1, patience=None)
    done = train(lm, mixture, valid=[], schedule=schedule, scratch=tmp_path, stage="test")
    assert done.curve[-1]["loss"] == pytest.approx(expected, rel=1e-5)


def test_equal_weights_are_no_weights_to_the_byte(base: Path, tmp_path: Path) -> None:
    def weights_of(pool: Any, plan: MixPlan) -> bytes:
        out = finetune(base, blend(TRAIN, pool, plan), valid=VALID, out=tmp_path / plan.weight_by, steps=4).path
        return (out / "model.safetensors").read_bytes()

    plain = weights_of(MADE, MixPlan(1))
    assert weights_of(rows(MADE, [3.0] * len(MADE)), MixPlan(1, weight_by="density_ratio")) == plain


def test_the_true_density_ratio_mends_a_pool_that_is_half_nonsense(base: Path, tmp_path: Path) -> None:
    """Of a sentence whose words were shuffled the ratio p_data / p_pool is 0 (nearly), of the others it is 2."""
    rng = random.Random(0)
    spoilt = [" ".join(rng.sample(words, len(words))) for words in map(str.split, MADE[:180])]
    pool = rows(spoilt + MADE[180:], [1e-3] * 180 + [2.0] * 180)
    found = {}
    for how in ("none", "density_ratio"):
        mixture = blend(TRAIN, pool, MixPlan(3, weight_by=how))
        found[how] = finetune(
            base, mixture, valid=VALID, out=tmp_path / how, steps=100, lr=5e-3, tokens_per_step=256
        ).nll_per_byte
    assert found["density_ratio"] < 0.97 * found["none"]


def test_a_pool_file_keeps_its_weights(tmp_path: Path) -> None:
    made = rows(POOL, range(100))
    made[3]["selected"] = False
    write_pool(made, tmp_path / "p.jsonl")
    plan = MixPlan(5, weight_by="density_ratio")
    one, other = (blend(REAL, pool, plan) for pool in (tmp_path / "p.jsonl", made))
    assert one.lines == other.lines
    assert one.weights is not None
    assert other.weights is not None
    assert one.weights.tolist() == other.weights.tolist()


# What a small model is pre-trained on


@pytest.mark.parametrize(
    "plan", [MixPlan(1, schedule="two_stage"), MixPlan(1, regime="replace"), MixPlan(2, tokens=90)]
)
def test_a_small_model_begins_with_the_same_weights_whatever_is_mixed_in(plan: MixPlan, tmp_path: Path) -> None:
    same: dict[str, Any] = {"test": VALID[:9], "steps": 2, "base_steps": 3, "tokens_per_step": 64}
    for name, text in (("alone", TRAIN), ("mixed", blend(TRAIN, MADE, plan))):
        finetune("small:1x16", text, out=tmp_path / name, **same)
    one, other = (tmp_path / name / "base" for name in ("alone", "mixed"))
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()
    tuned = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("alone", "mixed")]
    assert tuned[0] != tuned[1]


def test_a_mixture_without_real_text_pre_trains_nothing(tmp_path: Path) -> None:
    mixture = blend(TRAIN, MADE, MixPlan(1))
    bare = mixture._replace(base=mixture.base._replace(lines=[]))
    same: dict[str, Any] = {"valid": VALID[:9], "steps": 1, "base_steps": 3, "tokens_per_step": 64}
    with pytest.raises(InputError, match="no real text to be pre-trained on in this mixture; give base_text"):
        finetune("small:1x16", bare, out=tmp_path / "o", **same)
    assert not (tmp_path / "o").exists()
    finetune("small:1x16", bare, out=tmp_path / "o", base_text=TRAIN, **same)


# Budgets


def test_the_budget_is_steps_or_tokens_or_passes_over_the_real_lines(base: Path, tmp_path: Path) -> None:
    lm = load_lm(base)
    mixture = blend(TRAIN, MADE, MixPlan(1))
    tokens = sum(len(ids) + 1 for ids in lm.tokenizer(list(mixture.lines), add_special_tokens=False)["input_ids"])
    same: dict[str, Any] = {"valid": VALID[:5], "tokens_per_step": 256}
    assert finetune(base, mixture, tokens=2600, out=tmp_path / "tokens", **same).tokens == 2560  # whole steps
    passes = finetune(base, mixture, real_passes=1.5, out=tmp_path / "passes", **same)
    assert passes.steps == math.ceil(1.5 * tokens / 256)
    written = json.loads((tmp_path / "passes" / "finetune.json").read_text())
    assert written["settings"]["mixture"] == {
        "ratio": 1, "seed": 0, "tokens": None, "schedule": "mixed", "regime": "accumulate", "weight_by": "none",
        "real": 120, "synthetic": 120, "overlap": mixture.overlap,
    }  # fmt: skip


def test_a_mixture_without_schedule_and_weights_trains_as_its_lines_do(base: Path, tmp_path: Path) -> None:
    mixture = blend(TRAIN, MADE, MixPlan(0.5, seed=2))
    done = [finetune(base, text, valid=VALID, out=tmp_path / str(i), steps=5, seed=1)
            for i, text in enumerate((mixture, mixture.lines))]  # fmt: skip
    assert done[0].curve == done[1].curve
    weights = [(x.path / "model.safetensors").read_bytes() for x in done]
    assert weights[0] == weights[1]


# Bad input

DENSITY = MixPlan(0.5, weight_by="density_ratio")


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda: MixPlan(1, schedule="twostage"), "schedule 'twostage' is unknown; choose mixed, two_stage, anneal"),
        (
            lambda: MixPlan(1, regime="add"),
            "regime 'add' is unknown; choose accumulate, replace, accumulate_subsample",
        ),
        (lambda: MixPlan(1, weight_by="d"), "weight_by 'd' is unknown; choose none, density_ratio"),
        (
            lambda: MixPlan(1.5, regime="replace"),
            "ratio 1.5 replaces more lines than there are; give 1 or less, or accumulate",
        ),
        (
            lambda: blend(REAL, POOL, DENSITY),
            "plain lines have no weights; give pool rows (.jsonl) or weight by none",
        ),
        (
            lambda: blend(REAL, rows(POOL[:6], [1, 1, -1, 1, 1, 1]), DENSITY),
            "row 3 of the pool has the weight -1; give a number of 0 or more",
        ),
        (
            lambda: blend(REAL, rows(POOL[:6], [1, "heavy", 1, 1, 1, 1]), DENSITY),
            "row 2 of the pool has the weight 'heavy'; give a number of 0 or more",
        ),
        (
            lambda: blend(REAL, rows(POOL[:6], [math.nan] * 6), DENSITY),
            "row 1 of the pool has the weight nan; give a number of 0 or more",
        ),
        (
            lambda: blend(REAL, rows(POOL[:6], [0] * 6), DENSITY),
            "the pool holds 0 selected lines, 5 are wanted (ratio 0.5 x 10 real lines); generate more or lower the "
            "ratio",
        ),
    ],
)
def test_a_plan_that_cannot_be_followed_is_one_line_of_error(do: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        do()
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"steps": 3, "tokens": 4000},
            "steps and tokens are two budgets; give one of steps, tokens and real_passes",
        ),
        ({"tokens": 100}, "100 tokens make no step of 512; give more tokens or a smaller step"),
        ({"real_passes": 0}, "real_passes 0 trains nothing; give a number above 0"),
        ({"real_passes": math.nan}, "real_passes nan trains nothing; give a number above 0"),
        (
            {"real_passes": 2, "text": blend(REAL, POOL, MixPlan(1, regime="replace"))},
            "real_passes cannot be counted, as the mixture holds no real line; give steps or tokens",
        ),
    ],
)
def test_a_budget_that_cannot_be_kept_is_one_line_of_error(
    base: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        finetune(base, **{"text": TRAIN, "valid": VALID, "out": tmp_path, **options})
    assert str(error.value) == said


def test_zero_weights_leave_no_gradient(lm: Lm) -> None:
    from textgan.lm.likelihood import summed_nll

    logits = torch.randn(2, 3, 5, requires_grad=True)
    labels = torch.tensor([[1, 2, IGNORE], [3, 4, 0]])
    summed_nll(logits, labels, torch.tensor([1.0, 0.0])).backward()
    assert logits.grad is not None
    assert logits.grad[1].abs().max() == 0
    assert logits.grad[0, :2].abs().max() > 0


def test_a_step_in_two_parts_by_length_has_the_loss_of_the_whole_and_less_padding(lm: Lm) -> None:
    from textgan.lm.likelihood import by_length, summed_nll

    mixture = blend(TRAIN, rows(MADE, range(1, 361)), MixPlan(1, weight_by="density_ratio"))
    (batch,) = feed(lm, mixture, steps=1, tokens=400, seed=0)
    parts = by_length(batch)
    assert len(parts) == 2

    def total(batch: dict[str, torch.Tensor]) -> float:
        inputs = {k: x for k, x in batch.items() if k not in ("labels", "weights")}
        with torch.no_grad():
            return summed_nll(lm.model(**inputs).logits, batch["labels"], batch["weights"]).item()

    assert sum(map(total, parts)) == pytest.approx(total(batch), rel=1e-5)
    assert sum(part["labels"].numel() for part in parts) < 0.9 * batch["labels"].numel()
    assert sum(int(part["attention_mask"].sum()) for part in parts) == int(batch["attention_mask"].sum())
    (one,) = feed(lm, TRAIN[:1], steps=1, tokens=5, seed=0)
    assert by_length(one) == [one]
