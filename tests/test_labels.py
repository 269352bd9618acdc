"""Text with classes: read, trained on, sampled by label, scored without; refused where it does not belong."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from textgan import grammar
from textgan.augmentation import pool_rows, write_pool
from textgan.batches import TextSettings, prepare
from textgan.cli import main
from textgan.errors import InputError
from textgan.generators import LSTM
from textgan.recipes import MLE, SentiGAN
from textgan.runs import Run
from textgan.sequences import EOS, split_labels
from textgan.text import same_form
from textgan.training import fit

LINES = ["up\tyes yes", "down\tno no no", "up\tyes yes yes", "down\tno no"] * 20
SETTINGS = {"mle_steps": 150, "judge_steps": 0, "adversarial_steps": 0, "mle_lr": 0.02, "batch": 16}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = SentiGAN(**SETTINGS, generator=LSTM(8, 16, dropout=0.0))  # type: ignore[arg-type]
    return fit(recipe, LINES, out=tmp_path_factory.mktemp("labels") / "run", valid=LINES[:4], progress=False)


def test_a_label_is_the_first_column_and_the_last_ids() -> None:
    data = prepare(LINES, LINES[:4], TextSettings(), classes=True)
    assert data.labels == {"down": 40, "up": 40}
    size = data.tokenizer.get_vocab_size()
    sentences, labels = split_labels(torch.from_numpy(data.held_out.batch([0, 1])))
    assert labels.tolist() == [size - 1, size - 2]
    assert data.tokenizer.decode(sentences[1][:3].tolist()) == "no no no" and sentences[1][3] == EOS
    assert data.held_out_lines == ["yes yes", "no no no", "yes yes yes", "no no"]
    assert data.tokenizer.token_to_id("<label:up>") == size - 1


def test_json_lines_are_read_like_tabs() -> None:
    rows = [json.dumps({"label": label, "text": text}) for label, text in (x.split("\t") for x in LINES)]
    a, b = (prepare(x, x[:4], TextSettings(), classes=True) for x in (LINES, rows))
    assert np.array_equal(a.train.ids, b.train.ids)
    assert a.labels == b.labels


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_a_file_of_rows_is_read_with_its_labels(form: str, tmp_path: Path) -> None:
    """A .jsonl is rows everywhere else, whose text alone is read."""
    rows = [{"label": label, "text": text} for label, text in (x.split("\t") for x in LINES)]
    unused = {"label": "third", "text": "not of it", "selected": False}
    file = tmp_path / f"rows.{form}"
    if form == "parquet":
        arrow = pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra `data`")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist([row | {"selected": True} for row in rows] + [unused]), file)
    else:
        more = [unused] if form == "jsonl" else []
        file.write_text("".join(json.dumps(row) + "\n" for row in rows + more))
    a, b = (prepare(text, LINES[:4], TextSettings(), classes=True) for text in (LINES, file))
    assert np.array_equal(a.train.ids, b.train.ids) and a.labels == b.labels
    recipe = SentiGAN(**SETTINGS | {"mle_steps": 1}, generator=LSTM(8, 16, dropout=0.0))  # type: ignore[arg-type]
    assert fit(recipe, file, valid=file, out=tmp_path / "run", progress=False).labels == a.labels


def test_each_label_has_its_own_text(run: Run) -> None:
    for label, word, other in (("up", "yes", "no"), ("down", "no", "yes")):
        words = " ".join(run.sample_text(100, label=label)).split()
        assert words.count(word) > 0.95 * len(words), (label, other)
    mixed = " ".join(run.sample_text(200)).split()
    assert min(mixed.count("yes"), mixed.count("no")) > 0.25 * len(mixed)  # both as often as in the training text
    assert not any("<label" in line for line in run.sample_text(200, temperature=5.0))


def test_a_line_without_a_label_has_the_probability_of_all_classes_together(run: Run) -> None:
    (found,), (tokens,) = run.log_probs(["yes yes"])
    ids = torch.tensor([[run.tokenizer.token_to_id("yes")] * 2 + [EOS]])
    size = run.generator.vocab_size
    with torch.no_grad():
        each = [run.generator.log_probs(ids, torch.tensor([size - k])).sum().item() for k in (1, 2)]
    assert found == pytest.approx(math.log(sum(map(math.exp, each)) / 2), abs=1e-5)
    assert tokens == 3


def test_generate_begins_with_a_label(run: Run) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = run.path / "generator"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompt = torch.tensor([[tokenizer.convert_tokens_to_ids("<label:up>")]] * 50)
    torch.manual_seed(0)
    words = " ".join(tokenizer.batch_decode(model.generate(prompt), skip_special_tokens=True)).split()
    assert words.count("yes") > 0.9 * len(words)


@pytest.mark.parametrize(
    ("recipe", "lines", "problem"),
    [
        (MLE, LINES, "lines holds labelled text, and mle has no classes; give the text alone, a recipe with classes "
         "(sentigan, catgan), or --prompt given where prompts were meant"),
        (SentiGAN, ["yes yes", "no"], 'lines:1: sentigan has classes and wants label<TAB>text, or JSON with "label" '
         'and "text" on each line'),
        (SentiGAN, ["up\tyes yes", "up\tyes no"], "the text has the one label 'up'; at least 2 are wanted"),
    ],
)  # fmt: skip
def test_labels_where_they_do_not_belong_are_one_line(
    recipe: type, lines: list[str], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(problem)}$"):
        fit(recipe(), lines, out=tmp_path / "x", valid=lines, progress=False)


def test_the_command_samples_a_label_and_refuses_another(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run.path), "-n", "20", "--label", "down"]) == 0
    assert "yes" not in capsys.readouterr().out.replace("yes", "", 1)
    assert main(["sample", str(run.path), "-n", "3", "--label", "left"]) == 1
    assert capsys.readouterr().err == "textgan: error: --label 'left' is not one of down, up\n"


# Columns


def labelled(path: Path, n: int, seed: int) -> str:
    lines = grammar.sample(n, seed)
    path.write_text("".join(f"{'ab'[row % 2]}\t{line}\n" for row, line in enumerate(lines)))
    return str(path)


@pytest.mark.parametrize(
    "line",
    [
        "audit POOL --real TABS --out OUT",
        "audit POOL --real PLAIN --control TABS --out OUT",
        "select POOL --real TABS --out OUT",
        "select POOL --real PLAIN --judge TABS --out OUT",
        "rate make POOL TABS -n 5 --out OUT",
        "rate make TABS POOL -n 5 --out OUT",
        "pairs TABS POOL --out OUT",
        "evaluate PLAIN --reference TABS",
        "evaluate PLAIN --reference PLAIN --train TABS",
        "compare PLAIN OTHER --reference TABS",
    ],
)
def test_real_text_with_a_label_is_not_compared_with_text_alone(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pool(pool_rows(grammar.sample(60, 3), source="gan"), tmp_path / "pool.jsonl")
    for name, seed in (("plain.txt", 4), ("other.txt", 5)):
        (tmp_path / name).write_text("\n".join(grammar.sample(60, seed)) + "\n")
    places = {
        "POOL": "pool.jsonl", "PLAIN": "plain.txt", "OTHER": "other.txt", "OUT": "out",
        "TABS": Path(labelled(tmp_path / "tabs.tsv", 80, 6)).name,
    }  # fmt: skip
    asked = [str(tmp_path / places[word]) if word in places else word for word in line.split()]
    assert main(asked) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "tabs.tsv is label<TAB>text or prompt<TAB>text, and the generated text has" in said
    assert not (tmp_path / "out").exists()


def test_text_with_a_tab_on_both_sides_or_in_a_few_lines_is_text() -> None:
    same_form("real", ["a\tb"] * 9, ["c\td"] * 9)
    same_form("real", ["a\tb", "c", "d"], ["e"])
    same_form("real", [], ["e"])
