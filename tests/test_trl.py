"""A discriminator as TRL's reward, and preference pairs."""

import importlib.util
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textgan import grammar
from textgan.augmentation import pairs, pool_rows, write_pairs
from textgan.discriminators import CNN
from textgan.errors import InputError
from textgan.trl import DiscriminatorReward, completion_alone, whole_text

REAL, OTHER = grammar.sample(200, 0), grammar.sample(200, 1)
rng = random.Random(0)
SHUFFLED = [" ".join(rng.sample(words, len(words))) for words in map(str.split, grammar.sample(200, 2))]
TINY: dict[str, Any] = {"discriminator": CNN(16, (1, 2, 3), (16, 16, 16), 0.1), "batch": 16, "first_steps": 10}


def test_it_learns_online_that_shuffled_words_are_not_text() -> None:
    """Unseen real text ends far above unseen nonsense, and nonsense fares worse from call to call."""
    reward = DiscriminatorReward(REAL, **{**TINY, "steps": 10, "lr": 3e-3})
    means = [np.mean(reward(None, SHUFFLED[start : start + 20])) for start in range(0, 160, 20)]
    assert means[-1] < means[0] / 2
    reward.frozen = True
    assert np.mean(reward(None, OTHER[:100])) > np.mean(reward(None, SHUFFLED[160:])) + 0.4


def test_the_same_calls_give_the_same_rewards_and_leave_the_random_state_alone() -> None:
    def rewards(seed: int) -> list[list[float]]:
        reward = DiscriminatorReward(REAL, seed=seed, **TINY)
        return [reward([""] * 10, SHUFFLED[i : i + 10]) for i in (0, 10, 20)]

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = rewards(0)
    assert torch.equal(torch.rand(2), expected)
    torch.manual_seed(99)
    assert rewards(0) == first
    assert rewards(1) != first


def test_every_real_sentence_is_seen_before_one_comes_again() -> None:
    reward = DiscriminatorReward(REAL[:50], **TINY)
    rows = np.concatenate([reward._next_real(10) for _ in range(10)])
    assert sorted(rows[:50]) == sorted(rows[50:]) == list(range(50))
    assert list(rows[:50]) != list(rows[50:])


def test_a_completion_is_scored_before_the_discriminator_is_shown_it() -> None:
    """The second call's scores are those of a frozen D that has learned from the first call alone."""
    one, other = (DiscriminatorReward(REAL, **TINY) for _ in range(2))
    for reward in (one, other):
        reward(None, SHUFFLED[:10])
    other.frozen = True
    assert one(None, SHUFFLED[10:20]) == other(None, SHUFFLED[10:20])
    assert one(None, SHUFFLED[10:20]) != other(None, SHUFFLED[10:20])  # now it has


def test_a_frozen_reward_changes_nothing_and_the_memory_is_bounded() -> None:
    reward = DiscriminatorReward(REAL, memory=15, **TINY)
    for i in range(0, 40, 10):
        reward(None, SHUFFLED[i : i + 10])
    assert reward.remembered == SHUFFLED[25:40]
    before = [p.clone() for p in reward.player.net.parameters()]
    reward.frozen = True
    assert reward(None, SHUFFLED[:5]) == reward(None, SHUFFLED[:5])
    assert all(torch.equal(a, b) for a, b in zip(before, reward.player.net.parameters(), strict=True))


def test_prompts_conversations_and_odd_text_are_understood() -> None:
    talk = [{"role": "assistant", "content": "a dog runs ."}]
    assert whole_text("a man ", "walks .") == "a man walks ."
    assert whole_text([{"role": "user", "content": "hi"}], talk) == "a dog runs ."
    assert completion_alone("a man ", "walks .") == "walks ."
    reward = DiscriminatorReward(REAL, **TINY)
    found = reward(
        ["", "x", ""], ["", "a\nb\x00\ud800", "long " * 10_000], completion_ids=[[1]] * 3, trainer_state=None
    )
    assert len(found) == 3
    assert all(isinstance(x, float) and 0 <= x <= 1 for x in found)
    assert reward([], []) == []
    logits = DiscriminatorReward(REAL, reward=lambda x: x, **TINY)(None, SHUFFLED[:4])
    probs = DiscriminatorReward(REAL, **TINY)(None, SHUFFLED[:4])
    assert probs == pytest.approx((1 / (1 + np.exp(-np.array(logits)))).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (
            lambda: DiscriminatorReward(REAL, batch=0),
            "steps 2 and first_steps 50 must be 0 or more, batch 0 and memory 1024 1 or more",
        ),
        (lambda: DiscriminatorReward([]), "the lines hold no text (blank lines: 0, skipped: 0)"),
        (
            lambda: DiscriminatorReward(REAL, **TINY)(["a"], ["b", "c"]),
            "1 prompts came with 2 completions; give one each",
        ),
    ],
)
def test_what_cannot_be_rewarded_is_one_line_of_error(do: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        do()
    assert said.split("(")[0] in str(error.value) or "holds no text" in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GRPO", "RLOO"])
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed")
def test_their_trainers_take_it(tmp_path: Path, kind: str) -> None:
    import datasets
    import trl

    from textgan.lm import load_lm, pretrain_small

    base = pretrain_small(REAL, tmp_path / "base", layers=1, width=16, steps=20, tokens_per_step=128)
    lm = load_lm(base, device="cpu")
    lm.tokenizer.padding_side = "left"
    reward = DiscriminatorReward(REAL, **TINY)
    config = getattr(trl, f"{kind}Config")(
        output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=4, num_generations=4,
        max_completion_length=12, use_cpu=True, report_to=[], save_strategy="no", logging_steps=1, bf16=False,
    )  # fmt: skip
    prompts = datasets.Dataset.from_dict({"prompt": ["a man", "a dog", "the", "two"] * 4, "extra": list(range(16))})
    trainer = getattr(trl, f"{kind}Trainer")(
        model=lm.model, reward_funcs=reward, args=config, train_dataset=prompts, processing_class=lm.tokenizer
    )
    trainer.train()
    assert reward.calls == 2
    means = [row["rewards/discriminator_reward/mean"] for row in trainer.state.log_history if "reward" in row]
    assert len(means) == 2
    assert all(0 <= mean <= 1 for mean in means)
    assert all(text.startswith(("a man", "a dog", "the", "two")) for text in reward.remembered)


# Preference pairs

MADE = ["a man runs .", "a dog sits .", "two men sit .", "a man runs .", "a man reads ."]
TRUE = ["a man walks .", "a dog sits .", "the dog runs far .", "a man waits ."]


def test_a_pair_is_a_real_and_a_generated_text_each_once() -> None:
    found = list(pairs(TRUE, MADE))
    assert len(found) == 3  # "a dog sits ." is real, and "a man runs ." stands there twice
    assert {row["prompt"] for row in found} == {""}
    assert {row["chosen"] for row in found} < set(TRUE)
    assert sorted(row["rejected"] for row in found) == ["a man reads .", "a man runs .", "two men sit ."]
    assert list(pairs(TRUE, MADE, n=2)) == found[:2]
    assert list(pairs(TRUE, MADE, seed=0)) == found
    assert len(list(pairs([*TRUE, *TRUE], MADE))) == 3


def test_a_shared_beginning_becomes_the_prompt() -> None:
    found = list(pairs(TRUE, MADE, prefix=2))
    assert {row["prompt"] for row in found} == {"a man"}
    assert sorted(row["chosen"] for row in found) == [" waits .", " walks ."]
    assert sorted(row["rejected"] for row in found) == [" reads .", " runs ."]
    for row in pairs(REAL, [*SHUFFLED, *OTHER], prefix=1):
        assert row["prompt"] + row["chosen"] in REAL
        assert len(row["prompt"].split()) == 1


@pytest.mark.parametrize("prefix", [0, 2])
def test_the_set_is_what_datasets_reads(tmp_path: Path, prefix: int) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{**row, "selected": row["text"] != "two men sit ."} for row in pool_rows(MADE, source="gan")]
    many = write_pairs(TRUE, rows, tmp_path / "p.jsonl", prefix=prefix)
    read = datasets.load_dataset("json", data_files=str(tmp_path / "p.jsonl"), split="train", cache_dir=str(tmp_path))
    assert read.column_names == ["prompt", "chosen", "rejected"]
    assert read.num_rows == many == 2  # two of "a man", with prompt and without
    assert list(read) == [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prefix": -1}, "prefix -1 and n None make no pair; give 0 or more words, and 1 or more pairs"),
        (
            {"prefix": 3},
            "no real and no selected generated text share their first 3 words; give a smaller prefix or a larger pool",
        ),
        (
            {"pool": TRUE},
            "no real and no selected generated text differ; give a smaller prefix or a larger pool",
        ),
    ],
)
def test_where_no_pair_is_to_be_had_it_is_one_line_of_error(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        next(iter(pairs(**{"real": TRUE, "pool": MADE, **options})))
    assert str(error.value) == said
