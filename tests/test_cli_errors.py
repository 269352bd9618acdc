"""Bad input of every command: the exit code and the one exact line on standard error, never a traceback."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from textgan.cli import main
from textgan.errors import InputError
from textgan.recipes import RECIPES

TINY = "--batch 4 --mle_steps 2 --generator.hidden 8 --generator.embedding 8"
SEEDS = "a whole number from 0 to 4,294,967,295 was wanted"
COUNTS = "a whole number from 1 to 10,000,000 was wanted"
FROM_ONE = "a whole number from 1 to 1,000,000,000 was wanted"
TEMPERATURES = "a number from 0.001 to 1000 was wanted"
RATIOS = "a number from 0 to 1e+06 was wanted"
NO_FILE = "no such file; give a text file, - or grammar:N"
NO_TEXT = "holds no text (blank lines: 0, skipped: 0); give at least one sentence"
NAMES = ", ".join(sorted(recipe.name for recipe in RECIPES))  # type: ignore[attr-defined]
A_RUN = "a run is a folder that `textgan train` has written"
NO_RUN = f"no recipe.json; {A_RUN}"
NOT_UTF8 = "byte 0xff is not UTF-8; mend the text, or read it with --encoding-errors replace or skip"
A_FOLDER = "is a folder; give a text file, or a pool that `textgan generate` has written"
FULL = "out of memory; give smaller numbers (--batch, --n, the sizes of the nets) or less text"
STDIN = "- is standard input, which can be read only once"
NO_LM = (
    "no folder of that name here, and the hub did not give it (offline, or no such model); "
    'give a local model folder, or "small" for a GPT-2 made here'
)
FAMILIES = "lstm, transformer, memory, leak, infill, pretrained"
MLE = "train mle grammar:50 --out new"
SEQGAN = "train seqgan grammar:50 --out new"
SPLIT = "split grammar:100 --out new"
MIX = "mix grammar:20 grammar:10:1 --out new.txt"
EVALUATE = "evaluate grammar:50 --reference grammar:50:1"
FINETUNE = "finetune small:1x32 grammar:20 --valid grammar:20:1 --out new"

COMMANDS = (
    "train, recipes, sample, fill, generate, verify, select, evaluate, compare, sweep, split, mix, pairs, finetune, "
    "loop, experiment, audit, canaries, rate, report, quickstart, selftest"
)

# What the command line alone shows to be wrong: exit code 2, the command's name, and where to read on.
USAGE = [
    ("", "the following arguments are required: COMMAND"),
    ("sampel run", f"COMMAND: 'sampel' is not one of {COMMANDS}; did you mean sample?"),
    ("train", f"the first argument is a recipe: {NAMES}"),
    ("train --out new", f"the first argument is a recipe: {NAMES}"),
    ("train relgam grammar:50 --out new", f"recipe 'relgam' is not one of {NAMES}; did you mean relgan?"),
    ("train nogain grammar:50 --out new", f"recipe 'nogain' is not one of {NAMES}"),
    ("train mle", "the following arguments are required: CORPUS, --out"),
    ("train mle grammar:50", "the following arguments are required: --out"),
    ("train mle grammar:50 --out ''", "--out: a folder was wanted, got nothing"),
    ("train mle grammar:50 --out one.txt", "--out: a folder was wanted, got the file one.txt"),
    ("train mle - --valid - --out new", STDIN),
    (f"{MLE} extra", "'extra' is one argument too many"),
    (f"{MLE} --bacth 3", "there is no option --bacth; did you mean --batch?"),
    (f"{MLE} --bat 3", "there is no option --bat; did you mean --batch?"),
    (f"{MLE} --corpus x", "there is no option --corpus"),
    (f"{MLE} --rollouts 3", "there is no option --rollouts"),
    (f"{MLE} --preset", "--preset: expected one argument"),
    (f"{MLE} --preset paper",
     "--preset 'paper' is not one of mle's: paper-oracle, paper-coco, paper-news; did you mean paper-oracle?"),
    (f"{MLE} --mle_final_rate 2", "--mle_final_rate 2.0 must be from 0 to 1"),
    (f"{MLE} --batch", "--batch: expected one argument"),
    (f"{MLE} --batch x", "--batch: a whole number was wanted, got 'x'"),
    (f"{MLE} --batch 1.5", "--batch: a whole number was wanted, got '1.5'"),
    (f"{MLE} --batch 0", "--batch 0 must be from 1 to 65536"),
    (f"{MLE} --mle_steps -1", "--mle_steps -1 must be at least 0"),
    (f"{MLE} --mle_lr nan", "--mle_lr: a number was wanted, got 'nan'"),
    (f"{MLE} --mle_lr -1", "--mle_lr -1.0 must be at least 0"),
    (f"{MLE} --seed -1", f"--seed: {SEEDS}, got '-1'"),
    (f"{MLE} --threads 0", "--threads: a whole number from 1 to 4,096 was wanted, got '0'"),
    (f"{MLE} --device tpu", "--device: 'tpu' is not one of auto, cpu, cuda"),
    (f"{MLE} --precision fp8", "--precision: 'fp8' is not one of no, bf16"),
    (f"{MLE} --tokens wurds", "--tokens: 'wurds' is not one of words, treebank, characters, bpe; did you mean words?"),
    (f"{MLE} --vocab_size none", "--vocab_size: a whole number or null was wanted, got 'none'"),
    (f"{MLE} --min_count 0", f"--min_count: {FROM_ONE}, got '0'"),
    (f"{MLE} --max_len 0", f"--max_len: {FROM_ONE}, got '0'"),
    (f"{MLE} --encoding_errors oops", "--encoding_errors: 'oops' is not one of strict, replace, skip"),
    (f"{MLE} --eval_every 0", f"--eval_every: {FROM_ONE}, got '0'"),
    (f"{MLE} --keep 0", f"--keep: {FROM_ONE}, got '0'"),
    (f"{MLE} --generator gru", f"--generator: 'gru' is not one of {FAMILIES}"),
    (f"{MLE} --generator.hidden 0", "--generator.hidden 0 must be at least 1"),
    (f"{MLE} --generator.dropout 2", "--generator.dropout 2.0 must be from 0 to 1"),
    (f"{MLE} --generator.tied 3", "--generator.tied: true or false was wanted, got '3'"),
    (f"{MLE} --generator transformer --generator.hidden 3",
     "there is no option --generator.hidden with --generator transformer, which has width, layers, heads, dropout"),
    (f"{MLE} --discriminator cnn", "there is no option --discriminator"),
    (f"{SEQGAN} --discriminator gru", "--discriminator: 'gru' is not one of cnn, multi_cnn, recurrent, transformer"),
    (f"{SEQGAN} --rollouts 0", "--rollouts 0 must be at least 1"),
    (f"{SEQGAN} --rollout_keep 7", "--rollout_keep 7.0 must be from 0 to 1"),
    (f"{SEQGAN} --discriminator.widths 3",
     "--discriminator.widths: a list of whole numbers such as [2,3] was wanted, got '3'"),
    (f"{MLE} --config", "--config: expected one argument"),
    (f"{MLE} --config misspelt.yaml", "--config misspelt.yaml: there is no option mle_stepz; did you mean mle_steps?"),
    (f"{MLE} --config wrong-type.yaml", "--batch: a whole number was wanted, got 'lots'"),
    (f"{MLE} --config wrong-net.yaml", f"--generator: 'gru' is not one of {FAMILIES}"),
    (f"{MLE} --config other-net.yaml --generator lstm", "--config other-net.yaml: there is no option generator.width "
     "with --generator lstm, which has embedding, hidden, layers, dropout, tied, init_std"),
    ("selftest", "the following arguments are required: RECIPE"),
    ("recipes mle", "'mle' is one argument too many"),
    ("sample run", "the following arguments are required: -n"),
    ("sample -n 3", "the following arguments are required: RUN"),
    ("sample run -n 0", f"-n: {COUNTS}, got '0'"),
    ("sample run -n -1", f"-n: {COUNTS}, got '-1'"),
    ("sample run -n 10000001", f"-n: {COUNTS}, got '10000001'"),
    ("sample run -n 1.5", f"-n: {COUNTS}, got '1.5'"),
    ("sample run -n 3 --temperature 0", f"--temperature: {TEMPERATURES}, got '0'"),
    ("sample run -n 3 --temperature -1", f"--temperature: {TEMPERATURES}, got '-1'"),
    ("sample run -n 3 --temperature nan", f"--temperature: {TEMPERATURES}, got 'nan'"),
    ("sample run -n 3 --top_p 1.1", "--top-p: a number from 1e-06 to 1 was wanted, got '1.1'"),
    ("sweep run --reference ref --top-p .5,1.5", "--top-p: numbers above 0 and at most 1 were wanted, got '.5,1.5'"),
    ("sample run -n 3 --threads 0", "--threads: a whole number from 1 to 4,096 was wanted, got '0'"),
    ("sample run -n 3 --precision fp8", "--precision: 'fp8' is not one of no, bf16"),
    ("fill run lines.txt -n 0", "-n: a whole number from 1 to 10,000,000 was wanted, got '0'"),
    ("generate run -n 3 --out pool --device tpu", "--device: 'tpu' is not one of auto, cpu, cuda"),
    ("sample run -n 3 --temprature 2", "there is no option --temprature; did you mean --temperature?"),
    ("sample run -n 3 --temp 2", "there is no option --temp; did you mean --temperature?"),
    ("sample run -n 3 --seed 1e9", f"--seed: {SEEDS}, got '1e9'"),
    ("sample run -n 3 --format yaml", "--format: 'yaml' is not one of text, jsonl"),
    ("sample run -n 3 --out no/such/x.txt", "--out: no/such/x.txt: there is no folder no/such"),
    ("sample run -n 3 --out folder", "--out: a file was wanted, got the folder folder"),
    ("sample run -n 3 --out ''", "--out: a file was wanted, got nothing"),
    ("evaluate grammar:50", "the following arguments are required: --reference"),
    ("evaluate - --reference -", STDIN),
    (f"{EVALUATE} --n 0", f"--n: {COUNTS}, got '0'"),
    (f"{EVALUATE} --n -3", f"--n: {COUNTS}, got '-3'"),
    (f"{EVALUATE} --tokenise syllables", "--tokenise: 'syllables' is not one of words, characters"),
    (f"{EVALUATE} --json no/such.json", "--json: no/such.json: there is no folder no"),
    (f"{EVALUATE} --csv folder", "--csv: a file was wanted, got the folder folder"),
    ("split --parts a=.5,b=.5 --out new", "the following arguments are required: FILE"),
    (SPLIT, "the following arguments are required: --parts"),
    (f"{SPLIT} --parts train", "--parts: 'train' is not NAME=SHARE; give, say, train=.8,valid=.1,test=.1"),
    (f"{SPLIT} --parts train=most", "--parts: 'train=most' is not NAME=SHARE; give, say, train=.8,valid=.1,test=.1"),
    (f"{SPLIT} --parts a=.5,a=.5", "--parts: 'a' comes twice; give, say, train=.8,valid=.1,test=.1"),
    (f"{SPLIT} --parts a=.5,b=.5 --seed -1", f"--seed: {SEEDS}, got '-1'"),
    ("split - - --parts a=.5,b=.5 --out new", STDIN),
    ("split grammar:9 --parts a=.5,b=.5 --out one.txt", "--out: a folder was wanted, got the file one.txt"),
    (MIX, "the following arguments are required: --ratio"),
    (f"{MIX} --ratio -1", f"--ratio: {RATIOS}, got '-1'"),
    (f"{MIX} --ratio nan", f"--ratio: {RATIOS}, got 'nan'"),
    (f"{MIX} --ratio half", f"--ratio: {RATIOS}, got 'half'"),
    (f"{MIX} --ratio .5 --tokens 0", "--tokens: a whole number from 1 to 1,000,000,000,000 was wanted, got '0'"),
    ("mix - - --ratio 1 --out new.txt", STDIN),
    ("finetune small grammar:20 --out new", "the following arguments are required: --valid"),
    (f"{FINETUNE} --steps 0", f"--steps: {FROM_ONE}, got '0'"),
    (f"{FINETUNE} --lr 0", "--lr: a number from 1e-09 to 10 was wanted, got '0'"),
    (f"{FINETUNE} --device tpu", "--device: 'tpu' is not one of auto, cpu, cuda"),
    (f"{FINETUNE} --json no/such.json", "--json: no/such.json: there is no folder no"),
    ("finetune small - --valid - --out new", STDIN),
    ("report --out r.html", "the following arguments are required: RUN"),
    ("report run", "the following arguments are required: --out"),
    ("report run --out folder", "--out: a file was wanted, got the folder folder"),
    ("report run --out no/such.html", "--out: no/such.html: there is no folder no"),
    ("quickstart --sed 3", "there is no option --sed; did you mean --seed?"),
    ("quickstart --out one.txt", "--out: a folder was wanted, got the file one.txt"),
]  # fmt: skip

# What shows once files are read: exit code 1.
FAILED = [
    ("selftest nogain", f"recipe 'nogain' is not one of {NAMES}"),
    ("train mle missing --out new", f"missing: {NO_FILE}"),
    ("train mle empty.txt --out new", f"empty.txt {NO_TEXT}"),
    ("train mle folder --out new", f"folder: {A_FOLDER}"),
    ("train mle bad.txt --out new", f"bad.txt:2:2: {NOT_UTF8}"),
    ("train mle control.txt --out new", "control.txt:1:2: control character U+0000; mend the text, or read it with "
     "--encoding-errors replace or skip"),
    ("train mle one.txt --out new",
     "the corpus has 1 distinct line(s); at least 2 are needed to hold one out (or give --valid)"),
    ("train mle same.txt --out new",
     "the corpus has 1 distinct line(s); at least 2 are needed to hold one out (or give --valid)"),
    (f"{MLE} --valid missing", f"missing: {NO_FILE}"),
    ("train mle grammar:50 --out one.txt/run",
     "one.txt/run: cannot be written (Not a directory); give a folder that can"),
    ("train mle grammar:50 --out run", "run already holds a run; give --resume to go on with it or another --out"),
    (f"train mle grammar:50 --out run {TINY} --resume --seed 1",
     "--resume with other settings than the run's: seed 0 -> 1; leave them out, or use another --out"),
    (f"train mle grammar:50 --out run {TINY} --resume --batch 5",
     "--resume with other settings than the run's: batch 4 -> 5; leave them out, or use another --out"),
    ("train seqgan grammar:50 --out run --resume",
     "run is a run of mle; give `textgan train mle ... --out run --resume`"),
    (f"{MLE} --device cuda", "--device cuda, but no CUDA device was found; give --device cpu"),
    (f"{MLE} --vocab_size 2", "vocab_size 2 must be at least 5: 4 marks and one token"),
    (f"{MLE} --tokens bpe --vocab_size 100", "vocab_size 100 must be at least 260 for bpe: 4 marks and 256 bytes"),
    ("train mle two.txt --out new --min_count 9",
     "no token is left with min_count 9: the most frequent is seen 1 times"),
    (f"{MLE} --generator transformer --generator.width 30",
     "generator.width 30 must be a multiple of generator.heads 4"),
    (f"{SEQGAN} --discriminator.widths [1,2]",
     "discriminator.widths has 2 entries and discriminator.filters 8; give one number of filters for each window "
     "width"),
    (f"{MLE} --start missing", f"missing: no such folder; {A_RUN}"),
    (f"{MLE} --start run",
     "--start run has another generator; give --generator.embedding 8 --generator.hidden 8"),
    (f"train mle grammar:60 --out new {TINY} --start run",
     "--start run was trained on other tokens; train both on the same text and settings"),
    (f"{MLE} --config missing.yaml",
     "--config missing.yaml: cannot be read (No such file or directory); give a YAML file"),
    (f"{MLE} --config folder", "--config folder: cannot be read (Is a directory); give a YAML file"),
    (f"{MLE} --config broken.yaml",
     "--config broken.yaml:2: is not YAML (expected the node content, but found '<stream end>')"),
    (f"{MLE} --config one.txt", "--config one.txt: option: value on each line was wanted, got str"),
    (f"{MLE} --config bad.txt",
     '--config bad.txt: is not YAML (unacceptable character #x00ff: invalid start byte in "bad.txt", position 4)'),
    ("sample missing -n 3", f"missing: no such folder; {A_RUN}"),
    ("sample run/generator -n 3", f"run/generator: {NO_RUN} (give run)"),
    ("finetune run one.txt --valid one.txt --out t",
     "run: no config.json, so it is no model folder; give run/generator, which holds the run's model"),
    ("sample folder -n 3", f"folder: {NO_RUN}"),
    ("sample one.txt -n 3",
     f"one.txt: is a file; {A_RUN}"),
    ("sample untrained -n 3", "untrained: nothing trained yet; `textgan train ... --resume` goes on with this run"),
    ("evaluate missing --reference grammar:50", f"missing: {NO_FILE}"),
    ("evaluate grammar:50 --reference empty.txt", f"empty.txt {NO_TEXT}"),
    ("evaluate folder --reference grammar:50", f"folder: {A_FOLDER}"),
    ("evaluate grammar:50 --reference bad.txt", f"bad.txt:2:2: {NOT_UTF8}"),
    (f"{EVALUATE} --train missing", f"missing: {NO_FILE}"),
    ("evaluate grammar:0 --reference grammar:50",
     "'grammar:0': grammar:N or grammar:N:SEED was wanted, N from 1 to 10,000,000"),
    ("evaluate broken.jsonl --reference grammar:50", "broken.jsonl:1: not a JSON row (Expecting value)"),
    ("evaluate no-text.jsonl --reference grammar:50", 'no-text.jsonl:1: a JSON object with a string "text" was wanted'),
    (f"{EVALUATE} --n 51", "n is 51, but grammar:50 has 50 lines; give n of at most 50, or a longer file"),
    (f"{EVALUATE} --protocol foo",
     "there is no protocol 'foo'; there are default, texygen, textgan-pytorch, relgan, gansfallingshort"),
    (f"{EVALUATE} --protocol texygen --n 4",
     "n came beside protocol texygen, which takes its own number of lines; leave n out"),
    ("split missing --parts a=.5,b=.5 --out new", f"missing: {NO_FILE}"),
    ("split bad.txt --parts a=.5,b=.5 --out new", f"bad.txt:2:2: {NOT_UTF8}"),
    ("split one.txt --parts a=.5,b=.5 --out new", "part 'b' gets no line of 1 distinct ones (largest cluster of "
     "near-duplicates: 1); ask for a larger part or give more text"),
    (f"{SPLIT} --parts a=.8,b=.3",
     "parts a=0.8, b=0.3: shares that sum to 1 or whole numbers of lines were wanted"),
    (f"{SPLIT} --parts a=nan,b=.5",
     "parts a=nan, b=0.5: shares that sum to 1 or whole numbers of lines were wanted"),
    (f"{SPLIT} --parts a=-1", "parts a=-1: shares that sum to 1 or whole numbers of lines were wanted"),
    (f"{SPLIT} --parts a=500", "parts ask for 500 lines, and there are 100 distinct ones; ask for fewer"),
    (f"{SPLIT} --parts ../a=.5,b=.5",
     "part '../a': a name of letters, digits, - and _ was wanted, since it names a file"),
    ("mix missing grammar:10 --ratio 1 --out new.txt", f"missing: {NO_FILE}"),
    ("mix grammar:20 empty.txt --ratio 1 --out new.txt", f"empty.txt {NO_TEXT}"),
    (f"{MIX} --ratio 1", "the pool holds 10 selected lines, 20 are wanted (ratio 1 x 20 real lines); "
     "generate more or lower the ratio"),
    (f"{MIX} --ratio .5 --tokens 1", "a budget of 1 tokens holds no line (the first has 10); give more"),
    ("finetune small missing --valid grammar:20 --out new", f"missing: {NO_FILE}"),
    ("finetune small grammar:20 --valid empty.txt --out new", f"empty.txt {NO_TEXT}"),
    ("finetune small grammar:20 --valid grammar:20 --test folder --out new", f"folder: {A_FOLDER}"),
    ("finetune small:0x32 grammar:20 --valid grammar:20 --out new",
     "small:0x32: no such model; give small or small:LAYERSxWIDTH, as small:2x128"),
    ("finetune no/such-model grammar:20 --valid grammar:20 --out new", f"no/such-model: {NO_LM}"),
    ("finetune folder grammar:20 --valid grammar:20 --out new",
     "folder: no config.json, so it is no model folder; give one with config.json and safetensors"),
    (f"{FINETUNE} --device cuda", "--device cuda, but no CUDA device was found; give --device cpu"),
    ("report missing --out r.html", "missing: no such folder; give the --out folder of 'textgan train'"),
    ("report folder --out r.html", "folder: is empty; give the --out folder of 'textgan train'"),
    ("quickstart --out run", "run is not empty; give another --out"),
]  # fmt: skip

FILES = {
    "empty.txt": b"",
    "bad.txt": b"ok\nb\xffad\n",
    "control.txt": b"a\0b\nc\n",
    "one.txt": b"one sentence\n",
    "same.txt": b"a\na\na\n",
    "two.txt": b"a b\na c\n",
    "broken.jsonl": b"text\n",
    "no-text.jsonl": b'{"words": "a b"}\n',
    "misspelt.yaml": b"mle_stepz: 3\n",
    "wrong-type.yaml": b"batch: lots\n",
    "wrong-net.yaml": b"generator:\n  kind: gru\n",
    "other-net.yaml": b"generator:\n  kind: transformer\n  width: 16\n",
    "broken.yaml": b"a: [1,\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run, one that was never trained, an empty folder, and bad files."""
    here = tmp_path_factory.mktemp("place")
    for name, content in FILES.items():
        (here / name).write_bytes(content)
    (here / "folder").mkdir()
    assert main(shlex.split(f"train mle grammar:50 --out {here / 'run'} {TINY}")) == 0
    (here / "untrained").mkdir()
    (here / "untrained" / "recipe.json").write_bytes((here / "run" / "recipe.json").read_bytes())
    return here


def _said(line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(place)
    capsys.readouterr()
    code = main(shlex.split(line))
    return code, *capsys.readouterr()


@pytest.mark.parametrize(("line", "message"), USAGE, ids=[line or "nothing" for line, _ in USAGE])
def test_wrong_usage_is_one_line_and_exit_code_2(
    line: str, message: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*line.split()[:2], "", ""]
    named = {"train": ["train", *words[1:2]] if words[1] in ("mle", "seqgan") else ["train"], "": [], "sampel": []}
    prog = " ".join(["textgan", *named.get(words[0], words[:1])])
    code, out, err = _said(line, place, monkeypatch, capsys)
    assert err == f"{prog}: error: {message} (see {prog} --help)\n"
    assert (code, out) == (2, "")
    assert not (place / "new").exists()


@pytest.mark.parametrize(("line", "message"), FAILED, ids=[line for line, _ in FAILED])
def test_bad_input_is_one_line_and_exit_code_1(
    line: str, message: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _said(line, place, monkeypatch, capsys)
    assert err == f"textgan: error: {message}\n"
    assert (code, out) == (1, "")
    assert not (place / "new" / "recipe.json").exists()


def test_every_command_is_in_both_tables() -> None:
    commands = {"train", "sample", "evaluate", "split", "mix", "finetune", "report", "quickstart"}
    for table in (USAGE, FAILED):
        assert commands <= {line.split()[0] for line, _ in table if line}


def test_a_metric_that_is_not_there_is_answered_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name, meant in (("BLUE-4", "BLEU-4"), ("self-bleu-3", "self-BLEU-3"), ("BLEU4", "BLEU-4")):
        assert main(shlex.split(f"{EVALUATE} --metrics {name}")) == 1
        said = capsys.readouterr().err
        assert said == f"textgan: error: there is no metric {name!r}; did you mean {meant}?\n"
    assert main(shlex.split(f"{EVALUATE} --metrics likeness")) == 1
    said = capsys.readouterr().err
    assert said.startswith("textgan: error: there is no metric 'likeness'; there are BLEU, self-BLEU, ")
    assert said.endswith(", and each with its order, as in BLEU-4\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("two\nlines"), 1, "textgan: error: two lines"),
        (InputError("a \x1b[31mred\x07 name"), 1, "textgan: error: a \\x1b[31mred\\x07 name"),
        (OSError(28, "No space left on device", "run/log.jsonl"), 1,
         "textgan: error: run/log.jsonl: No space left on device"),
        (OSError(5, "Input/output error"), 1, "textgan: error: Input/output error"),
        (PermissionError(13, "Permission denied", "x"), 1, "textgan: error: x: Permission denied"),
        (MemoryError(), 1, f"textgan: error: {FULL}"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, f"textgan: error: {FULL}"),
        (KeyError("x"), 1, "textgan: error: unexpected KeyError: 'x' (TEXTGAN_TRACEBACK=1 shows where)"),
        (RuntimeError("a bug"), 1, "textgan: error: unexpected RuntimeError: a bug (TEXTGAN_TRACEBACK=1 shows where)"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 1, "textgan: error: unexpected UnicodeDecodeError: 'utf-8' "
         "codec can't decode byte 0xff in position 0: bad (TEXTGAN_TRACEBACK=1 shows where)"),
        (KeyboardInterrupt(), 130, "textgan: interrupted"),
    ],
)  # fmt: skip
def test_whatever_a_library_raises_is_one_line(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("textgan.evaluation.evaluate", fail)
    monkeypatch.setattr("os.dup2", lambda *_: None)  # or pytest would lose its own standard output
    assert main(shlex.split(EVALUATE)) == code
    assert capsys.readouterr() == ("", said + "\n")


def test_a_traceback_is_there_for_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTGAN_TRACEBACK", "1")
    with pytest.raises(InputError, match="missing: no such file"):
        main(["evaluate", "missing", "--reference", "grammar:50"])


def test_too_large_a_learning_rate_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"train mle grammar:50 --out {tmp_path / 'run'} {TINY} --mle_steps 9 --mle_lr 1e30")) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    nan = "textgan: error: StatefulGenerator: loss nan, gradient norm nan; no weight was changed"
    assert said == f"{nan}; a lower learning rate helps as a rule"


def _start(*arguments: str, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "textgan", *arguments]
    return subprocess.Popen(command, cwd=cwd, text=True, **{"stdout": pipe, "stderr": pipe} | options)


def test_a_reader_that_leaves_early_is_no_error(place: Path) -> None:
    sample = _start("sample", "run", "-n", "4000", cwd=place)
    assert sample.stdout is not None and sample.stderr is not None
    assert sample.stdout.readline().strip()
    sample.stdout.close()
    assert (sample.stderr.read(), sample.wait()) == ("", 0)
    sample.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line(place: Path) -> None:
    with open("/dev/full", "w") as full:
        process = _start(*f"{EVALUATE} --metrics BLEU-2".split(), cwd=place, stdout=full)
        assert process.communicate()[1] == "textgan: error: No space left on device\n"
    assert process.returncode == 1


def test_closed_streams_and_a_terminal_without_signs_are_no_error(place: Path) -> None:
    closed = f"{shlex.quote(sys.executable)} -m textgan split --help >&- 2>&-"
    assert subprocess.run(["sh", "-c", closed], cwd=place).returncode == 0
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    out, err = _start(*f"{EVALUATE} --metrics BLEU-2".split(), cwd=place, env=plain).communicate()
    assert err == ""
    assert "\\u2191" in out  # the arrow that says "higher is better"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_resume_finishes_it(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"train mle grammar:60 --out run {TINY} --mle_steps 400 --eval_every 40"
    process = _start(*line.split(), cwd=tmp_path)
    second = tmp_path / "run" / "samples" / "000040.txt"
    deadline = time.monotonic() + 120
    while not second.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    last = err.replace("\r", "\n").splitlines()[-1]
    assert last.startswith("textgan: run: stopped at step ") and last.endswith("; saved, --resume goes on")
    assert "Traceback" not in err
    monkeypatch.chdir(tmp_path)
    assert main([*line.split(), "--resume"]) == 0
    steps = [json.loads(row)["step"] for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(0, 401, 10))
