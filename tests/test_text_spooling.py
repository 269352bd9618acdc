"""Lines, ids and held-out lines that stand on the disk are those that would stand in memory."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textgan.augmentation.mix import MixPlan, blend
from textgan.batches import Batches, Data, TextSettings, hold_out, prepare
from textgan.errors import InputError
from textgan.evaluation import draw, evaluate
from textgan.grammar import sample
from textgan.recipes import MLE, from_dict
from textgan.text import Spooled, digests, encode, ranked, spool, train_tokenizer
from textgan.training import Schedule, fit

lines_of_text = st.lists(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12), min_size=1, max_size=30
)


@given(lines=lines_of_text, read=st.integers(1, 40))
def test_spooled_lines_are_the_list_they_were(lines: list[str], read: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textgan.text.spooling.READ", read)
        spooled = Spooled(lines)
        assert list(spooled) == lines and len(spooled) == len(lines)
        for row in (0, -1, len(lines) // 2):
            assert spooled[row] == lines[row]
        for part in (slice(None), slice(1, 3), slice(2, 1), slice(-3, None, 2)):
            assert spooled[part] == lines[part]
        for outside in (len(lines), -len(lines) - 1):
            with pytest.raises(IndexError):
                spooled[outside]


def test_lines_move_to_the_disk_once_their_strings_are_too_many() -> None:
    lines = ["word " * 10] * 50  # 50 letters, about 100 bytes as a Python string
    assert isinstance(spool(lines, keep=10_000), list)
    moved = spool(iter(lines), keep=1_000)
    assert isinstance(moved, Spooled) and list(moved) == lines


def test_a_full_temporary_folder_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(InputError, match="no room for a copy of the text .No space left on device.; set TMPDIR"):
        Spooled(["x" * 100_000] * 10)


@given(lines=lines_of_text, group=st.integers(1, 5), prefix=st.integers(1, 5))
def test_ranked_lines_are_those_of_the_sorted_list(lines: list[str], group: int, prefix: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textgan.text.spooling.GROUP", group)
        patch.setattr("textgan.text.spooling.PREFIX", prefix)
        rows = np.unique(digests(lines), return_index=True)[1]
        ranks = np.random.default_rng(0).permutation(len(rows))
        for kept in (lines, Spooled(lines)):
            assert ranked(kept, rows, ranks) == [sorted(set(lines))[rank] for rank in ranks]


def test_which_lines_are_held_out_depends_on_the_distinct_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = sample(400)
    expected = [sorted(set(lines))[i] for i in np.random.default_rng(0).permutation(len(set(lines)))]
    train, held = hold_out(lines)
    assert held == expected[: len(held)] and len(held) == round(0.05 * len(set(lines)))
    monkeypatch.setattr("textgan.text.spooling.KEEP", 1000)
    shuffled = random.Random(0).sample(lines, len(lines))
    on_disk, same = hold_out(Spooled(shuffled))
    assert isinstance(on_disk, Spooled) and same == held
    assert list(on_disk) == [line for line in shuffled if line not in set(held)] and sorted(on_disk) == sorted(train)


def test_ids_on_the_disk_are_those_in_memory_and_are_cut_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textgan.text.encoding.CHUNK", 7)
    lines = [*sample(60), "a sign that nobody has seen"]
    tokenizer = train_tokenizer(lines[:50])
    direct = encode(tokenizer, lines, max_len=6)
    (tmp_path / "cut").mkdir()
    whole = encode(tokenizer, lines, folder=tmp_path)
    assert isinstance(whole.ids, np.memmap) and isinstance(whole.offsets, np.memmap)
    for again in (whole.cut(6, folder=tmp_path / "cut"), whole.cut(6), encode(tokenizer, lines).cut(6)):
        assert again.ids.tolist() == direct.ids.tolist() and again.offsets.tolist() == direct.offsets.tolist()
        assert (again.truncated, again.unk_rate) == (direct.truncated, direct.unk_rate)
    assert 0 < direct.truncated < 1 and direct.unk_rate > 0


# A corpus too large for memory


def corpus(folder: Path) -> Path:
    (file := folder / "corpus.txt").write_text("\n".join(sample(300)) + "\n")
    return file


def same(a: Data, b: Data) -> bool:
    alike = [list(a.held_out_lines) == list(b.held_out_lines), a.facts == b.facts, a.max_len == b.max_len]
    alike += [a.tokenizer.to_str() == b.tokenizer.to_str(), (a.train.ids == b.train.ids).all()]
    return all([*alike, (a.train.offsets == b.train.offsets).all(), (a.held_out.ids == b.held_out.ids).all()])


@pytest.mark.parametrize("max_len", [None, 5])
def test_a_large_corpus_is_prepared_as_a_small_one_and_found_again(
    max_len: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, settings = corpus(tmp_path), TextSettings(max_len=max_len)
    small = prepare(file, None, settings, folder=tmp_path / "text")
    assert not (tmp_path / "text").exists()
    monkeypatch.setattr("textgan.text.spooling.KEEP", 1000)
    large = prepare(file, None, settings, folder=tmp_path / "text")
    assert isinstance(large.train.ids, np.memmap) and same(large, small)
    monkeypatch.setattr("textgan.batches.train_tokenizer", lambda *_, **__: pytest.fail("it was prepared again"))
    assert same(prepare(file, None, settings, folder=tmp_path / "text"), small)


@pytest.mark.parametrize("damage", ["a flipped bit", "other text", "other settings"])
def test_ids_that_are_damaged_or_of_another_text_are_made_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textgan.text.spooling.KEEP", 1000)
    file, settings = corpus(tmp_path), TextSettings()
    prepare(file, None, settings, folder=tmp_path / "text")
    if damage == "a flipped bit":
        raw = bytearray((tmp_path / "text" / "ids.i32").read_bytes())
        raw[100] ^= 1
        (tmp_path / "text" / "ids.i32").write_bytes(raw)
    elif damage == "other text":
        file.write_text(file.read_text().replace("dog", "hound"))
    else:
        settings = TextSettings(min_count=3)
    again = prepare(file, None, settings, folder=tmp_path / "text")
    assert same(again, prepare(file, None, settings)) and isinstance(again.train.ids, np.memmap)


def test_a_run_on_a_large_corpus_equals_one_in_memory_and_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, recipe = corpus(tmp_path), MLE(mle_steps=6, batch=8)
    chosen: dict = {"schedule": Schedule(log_every=2, eval_every=3, save_every=3), "progress": False}
    whole = fit(recipe, file, out=tmp_path / "small", **chosen)
    monkeypatch.setattr("textgan.text.spooling.KEEP", 1000)
    monkeypatch.setattr("textgan.training._Training.save", _dies_after(3))
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, file, out=tmp_path / "large", **chosen)
    monkeypatch.undo()
    monkeypatch.setattr("textgan.text.spooling.KEEP", 1000)
    large = fit(recipe, file, out=tmp_path / "large", resume=True, **chosen)
    assert (large.path / "text" / "ids.i32").exists() and not (whole.path / "text").exists()
    assert large.log == whole.log and large.weights_sha256 == whole.weights_sha256
    assert json.loads((large.path / "recipe.json").read_text()) == json.loads((whole.path / "recipe.json").read_text())


def _dies_after(step: int):
    from textgan.training import _Training

    save = _Training.save

    def dying(self: _Training) -> None:
        save(self)
        if self.state.step == step:
            raise KeyboardInterrupt

    return dying


def test_a_batch_of_a_mistyped_size_and_nets_beyond_memory_are_refused_in_one_line(tmp_path: Path) -> None:
    for changes, message in (
        ({"batch": 10**9}, "--batch 1000000000 must be from 1 to 65536"),
        ({"generator": {"kind": "lstm", "hidden": 10**7}}, "the memory does not suffice .* lower --batch"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            fit(from_dict("mle", changes), sample(30), out=tmp_path / "run", progress=False)
        assert "\n" not in str(caught.value)


def test_a_batch_larger_than_the_corpus_goes_round_it() -> None:
    lines = [str(i) for i in range(5)]
    data = encode(train_tokenizer(lines), lines)
    big, small = (Batches(data, size, seed=1, device=torch.device("cpu")) for size in (23, 1))
    assert next(big)[:, 0].tolist() == [int(next(small)[0, 0]) for _ in range(23)]


def test_a_mixture_on_the_disk_is_that_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    real, pool = sample(120, 0), sample(150, 1)
    for plan in (MixPlan(0.5, seed=3), MixPlan(1.0, tokens=300)):
        small = blend(real, pool, plan)
        with monkeypatch.context() as patch:
            patch.setattr("textgan.text.spooling.KEEP", 1000)
            large = blend(real, pool, plan)
        assert isinstance(large.lines, Spooled)
        assert list(large.rows()) == list(small.rows()) and list(large.synthetic) == list(small.synthetic)
        assert large[1:2] + large[3:7] == small[1:2] + small[3:7]


def test_a_drawn_reference_is_drawn_by_the_seed_and_named_in_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    text, reference = sample(60, 0), sample(400, 1)
    chosen: dict = {"n": 50, "metrics": "BLEU-2", "groups": 0}
    drawn = [evaluate(text, reference, references=100, seed=seed, **chosen) for seed in (0, 0, 1)]
    assert drawn[0].scores == drawn[1].scores != drawn[2].scores
    rows = draw(400, 100, [0, 5])
    assert drawn[0].scores[0].value == evaluate(text, [reference[i] for i in rows], **chosen).scores[0].value
    assert evaluate(text, reference, references=400, **chosen).scores == evaluate(text, reference, **chosen).scores
    monkeypatch.setattr("textgan.text.spooling.KEEP", 1000)
    assert evaluate(text, reference, references=100, **chosen).scores == drawn[0].scores
    with pytest.raises(InputError, match="--references 1 must be at least 2"):
        evaluate(text, reference, references=1)
