"""The parts of a corpus share no near-duplicates, and have the sizes asked for."""

import numpy as np
import pytest

from textgan.errors import InputError
from textgan.text import near_copies, near_duplicates, split


def test_near_duplicates_are_those_of_the_slow_definition() -> None:
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(list("abcdefghijklmno"), rng.integers(1, 10))) for _ in range(300)]
    sets = [set(line.split()) for line in lines]
    for threshold in (0.5, 0.8, 1.0):
        label = list(range(300))
        for i in range(300):
            for j in range(i):
                if len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j]) - 1e-12 and label[i] != label[j]:
                    label = [label[j] if one == label[i] else one for one in label]
        found = near_duplicates(lines, threshold=threshold)
        assert (np.equal.outer(found, found) == np.equal.outer(label, label)).all()
        assert sorted(set(found.tolist())) == list(range(len(set(label))))


def test_near_copies_are_those_of_the_slow_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textgan.text.splitting.WORK", 200)  # many blocks
    rng = np.random.default_rng(2)
    lines, others = (
        [" ".join(rng.choice(list("abcdefghijk"), rng.integers(1, 9))) for _ in range(n)] for n in (200, 150)
    )
    sets, known = ([set(line.split()) for line in part] for part in (lines, others))
    for threshold in (0.5, 0.8, 1.0):
        like = [[len(one & other) >= threshold * len(one | other) - 1e-12 for other in known] for one in sets]
        slow = [row.index(True) if any(row) else -1 for row in like]
        assert near_copies(lines, others, threshold=threshold).tolist() == slow
    assert -1 in slow and max(slow) > 100  # the last threshold's: there was something to find, and to leave
    assert near_copies(["A  b .", "..."], ["x", "a b"]).tolist() == [1, -1]
    assert near_copies([], ["a"]).tolist() == [] and near_copies(["a"], []).tolist() == [-1]


def test_parts_have_the_sizes_asked_for_and_share_no_near_duplicates() -> None:
    rng = np.random.default_rng(1)
    base = [" ".join(rng.choice([f"w{i}" for i in range(500)], 9, replace=False)) for _ in range(300)]
    near = [f"{line} more" for line in base[:60]]  # 9 of 10 words
    same = [f" {line.upper()} " for line in base[:20]]
    parts = {"train": 0.8, "valid": 0.1, "test": 0.1}
    found = split([base, near, same], parts, seed=3)
    assert found.report == (380, 20, 60, 120, 2)
    assert {name: len(lines) for name, lines in found.parts.items()} == {"train": 288, "valid": 36, "test": 36}
    assert sorted(sum(found.parts.values(), [])) == sorted(base + near)
    where = {line: name for name, lines in found.parts.items() for line in lines}
    assert all(where[line] == where[f"{line} more"] for line in base[:60])
    assert {where[line] for line in base[:60]} == set(parts)  # clusters are spread like the rest
    assert split([base, near, same], parts, seed=3) == found != split([base, near, same], parts, seed=4)
    some = split([base], {"a": 100, "b": 50}).parts
    assert (len(some["a"]), len(some["b"])) == (100, 50) and not set(some["a"]) & set(some["b"])


def test_poems_without_spaces_are_compared_by_character() -> None:
    lines = ["白日依山尽，黄河入海流。", "白日依山尽，黄河入海留。", "欲穷千里目，更上一层楼。"]
    assert near_duplicates(lines).tolist() == [0, 0, 1]
    assert near_duplicates(["! ?", "! ?", "..."]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "parts (none): shares that sum to 1 or whole numbers of lines were wanted"),
        ({"a": 0.5, "b": 0.4}, "parts a=0.5, b=0.4: shares that sum to 1 or whole numbers of lines were wanted"),
        ({"a": 1.5, "b": -0.5}, "parts a=1.5, b=-0.5: shares that sum to 1 or whole numbers of lines were wanted"),
        ({"a": float("nan")}, "parts a=nan: shares that sum to 1 or whole numbers of lines were wanted"),
        ({"a": float("inf")}, "parts a=inf: shares that sum to 1 or whole numbers of lines were wanted"),
        ({"a": 2, "b": 9}, "parts ask for 11 lines, and there are 4 distinct ones; ask for fewer"),
        ({"../a": 1.0}, "part '../a': a name of letters, digits, - and _ was wanted, since it names a file"),
        (
            {"a": 0.99, "b": 0.01},
            "part 'b' gets no line of 4 distinct ones (largest cluster of near-duplicates: 1); "
            "ask for a larger part or give more text",
        ),
    ],
)
def test_parts_that_cannot_be_are_refused(parts: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as caught:
        split([["a dog runs .", "two cats sleep .", "it rains .", "nobody came ."]], parts)
    assert str(caught.value) == message
