"""The commands as a user types them: one round trip from a grammar to a report, by the names the contract gives."""

from __future__ import annotations

import io
import json
import math
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from textgan import grammar
from textgan.cli import main
from textgan.errors import InputError
from textgan.metrics.protocols import PROTOCOLS
from textgan.recipes import MLE, RECIPES
from textgan.runs import Run
from textgan.updates import check_recipe

SMALL = "--batch 8 --generator.hidden 16 --generator.embedding 8 --eval_every 5 --log_every 2"
GAME = "--judge_steps 2 --adversarial_steps 2 --rollouts 2 --discriminator.widths [1,2] --discriminator.filters [8,8]"
COMMANDS = ["train mle", "train seqgan", "train relgan", "recipes", "sample", "generate", "select", "evaluate",
            "compare", "sweep", "split", "mix", "finetune", "report", "quickstart", "selftest"]  # fmt: skip


class Journey(NamedTuple):
    """Where the round trip was made, and what each command wrote on standard output."""

    folder: Path
    said: dict[str, str]


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """Every command once, in one folder."""
    lines = [
        "split grammar:300 --parts train=.8,valid=.1,test=.1 --seed 0 --out parts",
        f"train mle parts/train.txt --out mle --valid parts/valid.txt --mle_steps 5 {SMALL}",
        f"train seqgan parts/train.txt --out gan --valid parts/valid.txt --start mle --mle_steps 0 {SMALL} {GAME}",
        "sample gan -n 40 --seed 3 --out text.txt",
        "sample gan -n 200 --seed 3 --temperature 0.8 --format jsonl --out pool.jsonl",
        "evaluate text.txt --reference parts/test.txt --train parts/train.txt --n 20 --json gan/evaluation.json",
        "mix parts/train.txt pool.jsonl --ratio 0.5 --seed 1 --out mixed.txt",
        "finetune mle/generator mixed.txt --valid parts/valid.txt --test parts/test.txt --steps 3 --out tuned "
        "--json gan/finetune.json",
        "report mle gan --out report.html",
    ]
    folder = tmp_path_factory.mktemp("journey")
    said: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in lines:
            patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
            assert main(shlex.split(line)) == 0, line
            sys.stdout.seek(0)
            said[" ".join(line.split()[:2])] = sys.stdout.read()
    return Journey(folder, said)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_split_writes_each_part_and_what_it_found(journey: Journey) -> None:
    parts = {name: _lines(journey.folder / "parts" / f"{name}.txt") for name in ("train", "valid", "test")}
    told = _json(journey.folder / "parts" / "split.json")
    assert told["parts"] == {name: len(lines) for name, lines in parts.items()}
    assert (told["seed"], told["found"]["lines"]) == (0, 300)
    assert [source["name"] for source in told["sources"]] == ["grammar:300"]
    assert not set(parts["train"]) & {*parts["valid"], *parts["test"]}


def test_train_leaves_a_run_folder_with_the_flags_in_it(journey: Journey) -> None:
    run = journey.folder / "gan"
    recipe = _json(run / "recipe.json")
    assert (recipe["recipe"], recipe["seed"], recipe["start"]["run"]) == ("seqgan", 0, "mle")
    fields = recipe["fields"]
    assert fields["generator"] == {"kind": "lstm", "embedding": 8, "hidden": 16, "layers": 1, "dropout": 0.3,
                                   "tied": True, "init_std": 0.0}  # fmt: skip
    assert (fields["discriminator"]["kind"], fields["discriminator"]["widths"]) == ("cnn", [1, 2])
    assert recipe["schedule"]["eval_every"] == 5
    assert _lines(run / "heldout.txt") == _lines(journey.folder / "parts" / "valid.txt")
    assert {row["phase"] for row in map(json.loads, _lines(run / "log.jsonl"))} == {"mle", "judge", "adversarial"}
    assert (run / "generator" / "model.safetensors").exists()


def test_a_run_that_starts_from_another_begins_with_its_likelihood(journey: Journey) -> None:
    end = Run.open(journey.folder / "mle").evaluated[-1]
    begin = Run.open(journey.folder / "gan").log[0]
    assert begin["step"] == 0
    assert begin["valid_nll"] == pytest.approx(end["valid_nll"], rel=1e-6)


def test_sample_writes_n_lines_or_n_rows_with_their_provenance(journey: Journey) -> None:
    assert len(_lines(journey.folder / "text.txt")) == 40
    rows = [json.loads(line) for line in _lines(journey.folder / "pool.jsonl")]
    assert [row["index"] for row in rows] == list(range(200))
    assert len({row["id"] for row in rows}) == 200
    first = rows[0]
    keys = "id text source generator run seed index temperature scores flags selected weight"
    assert list(first) == keys.split()
    sha = Run.open(journey.folder / "gan").weights_sha256
    assert first["generator"] == {"name": "seqgan", "sha256": sha}
    assert (first["run"], first["seed"], first["temperature"]) == ("gan", 3, 0.8)


def test_the_same_seed_samples_the_same_bytes_and_another_seed_others(
    journey: Journey, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(journey.folder)
    assert main(shlex.split("sample gan -n 40 --seed 3")) == 0
    out, err = capsysbinary.readouterr()
    assert (out, err) == ((journey.folder / "text.txt").read_bytes(), b"")
    assert main(shlex.split("sample gan -n 40 --seed 4 --out -")) == 0
    assert capsysbinary.readouterr().out != out
    assert main(shlex.split("sample gan -n 40 --seed 3 --temperature 0.5")) == 0
    assert capsysbinary.readouterr().out != out


def test_evaluate_writes_scores_beside_real_texts_own(journey: Journey) -> None:
    found = _json(journey.folder / "gan" / "evaluation.json")
    assert (found["text"], found["reference"], found["n"], found["seed"]) == ("text.txt", "test.txt", 20, 0)
    names = [f"{metric}-{k}" for metric in ("BLEU", "self-BLEU") for k in (2, 3, 4, 5)]
    names += [f"distinct-{k}" for k in (1, 2, 3, 4)]
    for rows in (found["scores"], found["real"]):
        by_name = {row["name"]: row for row in rows}
        assert set(names) <= set(by_name)
        for row in rows:
            assert {"name", "value", "better", "n", "signature"} <= set(row)
            assert isinstance(row["value"], float) and math.isfinite(row["value"])
            assert row["better"] in ("higher", "lower", "match")
            assert row["signature"].startswith(row["name"] + "|")
        assert by_name["BLEU-4"]["n"] == 20
    table = journey.said["evaluate text.txt"]
    assert table.startswith("text.txt: 20 lines (seed 0) against test.txt, protocol default\n")
    assert all(name in table for name in names)


def test_standard_input_and_output_stand_where_a_file_may(
    journey: Journey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(journey.folder)

    def piped(name: str) -> None:
        content = io.BytesIO((journey.folder / name).read_bytes())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content, encoding="utf-8"))

    piped("text.txt")
    assert main(shlex.split("evaluate - --reference parts/test.txt --metrics BLEU --n 20 --json -")) == 0
    found = json.loads(capsys.readouterr().out)  # and nothing else
    whole = {row["name"]: row for row in _json(journey.folder / "gan" / "evaluation.json")["scores"]}
    assert found["text"] == "standard input"
    assert [row["value"] for row in found["scores"]] == [whole[row["name"]]["value"] for row in found["scores"]]

    piped("pool.jsonl")
    assert main(shlex.split("mix parts/train.txt - --ratio 0.5 --seed 1 --out -")) == 0
    assert capsys.readouterr().out == (journey.folder / "mixed.txt").read_text(encoding="utf-8")

    piped("parts/train.txt")
    assert main(shlex.split(f"train mle - --out piped --valid parts/valid.txt --mle_steps 5 {SMALL}")) == 0
    assert _lines(journey.folder / "piped" / "log.jsonl") == _lines(journey.folder / "mle" / "log.jsonl")

    capsys.readouterr()
    assert main(shlex.split("report mle --out -")) == 0
    assert capsys.readouterr().out.rstrip().endswith("</html>")


def test_every_table_format_is_written(
    journey: Journey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(journey.folder)
    line = (
        "evaluate text.txt --reference parts/test.txt --metrics BLEU-2,distinct --csv t.csv --html t.html --tex t.tex"
    )
    assert main(shlex.split(line)) == 0
    assert (journey.folder / "t.csv").read_text().count("\n") == 1 + 1 + 4  # head, BLEU-2, distinct-1..4
    assert "<html" in (journey.folder / "t.html").read_text()
    assert "\\begin{tabular}" in (journey.folder / "t.tex").read_text()


def test_mix_adds_ratio_synthetic_lines_to_all_real_ones(journey: Journey) -> None:
    real, mixed = _lines(journey.folder / "parts" / "train.txt"), _lines(journey.folder / "mixed.txt")
    pool = {json.loads(line)["text"] for line in _lines(journey.folder / "pool.jsonl")}
    assert len(mixed) == len(real) + math.floor(0.5 * len(real) + 0.5)
    rest = list(mixed)
    for line in real:
        rest.remove(line)
    assert set(rest) <= pool


def test_finetune_tells_nll_and_perplexity_and_which_model_it_was(journey: Journey) -> None:
    found = _json(journey.folder / "gan" / "finetune.json")
    assert {"nll_per_token", "nll_per_byte", "perplexity", "lm"} <= set(found)
    assert found["perplexity"] == pytest.approx(math.exp(found["nll_per_token"]))
    assert 0 < found["nll_per_byte"] < found["nll_per_token"]
    assert found["lm"].startswith("local folder generator (textgan_lstm")
    assert (found["measured_on"], found["steps"]) == ("test", 3)
    assert (journey.folder / "tuned" / "model.safetensors").exists()
    assert f"perplexity {found['perplexity']:.2f}" in journey.said["finetune mle/generator"]


def test_report_is_one_page_about_all_runs_and_its_name_is_told(journey: Journey) -> None:
    page = (journey.folder / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert all(name in page for name in ("mle", "gan", "seqgan", "self-BLEU"))
    assert journey.said["report mle"] == "report.html\n"


def test_standard_output_is_for_results_alone(journey: Journey) -> None:
    quiet = ("train mle", "train seqgan", "split grammar:300", "sample gan", "mix parts/train.txt")
    assert {name: journey.said[name] for name in quiet} == dict.fromkeys(quiet, "")


def _printed(line: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The options that --print_config gives for a command line."""
    capsys.readouterr()
    assert main(shlex.split(f"{line} --print_config")) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return yaml.safe_load(out)


def test_printed_options_are_a_config_file_that_gives_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"train seqgan grammar:60 --out a --mle_steps 2 {SMALL} {GAME} --min_count 2"
    options = _printed(line, capsys)
    assert main(shlex.split(line)) == 0
    Path("a.yaml").write_text(yaml.safe_dump(options))
    assert main(shlex.split("train seqgan --config a.yaml --out b")) == 0  # a flag wins over the file
    assert (tmp_path / "b" / "recipe.json").read_bytes() == (tmp_path / "a" / "recipe.json").read_bytes()
    assert (tmp_path / "b" / "log.jsonl").read_bytes() == (tmp_path / "a" / "log.jsonl").read_bytes()


@pytest.mark.parametrize(
    "config",
    [
        "generator: transformer\ngenerator.width: 16\nmle_lr: 1e-4\n",
        "generator:\n  kind: transformer\n  width: 16\nmle-lr: 0.0001\n",
        "generator.kind: transformer\ngenerator.width: 16\nmle_lr: 1.0e-4\nvalid:\n",
    ],
)
def test_config_files_may_nest_or_dot_and_yaml_floats_need_no_point(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(config)
    options = _printed(f"train mle grammar:60 --out a --config {tmp_path / 'c.yaml'} --batch 4", capsys)
    assert options["generator"] == {"kind": "transformer", "width": 16, "layers": 2, "heads": 4, "dropout": 0.1}
    assert (options["mle_lr"], options["batch"], options["valid"]) == (1e-4, 4, None)


def test_flags_win_over_the_config_wherever_they_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("batch: 4\ncorpus: grammar:9\ngenerator: {kind: lstm}\nmle_steps: 7\n")
    line = f"train mle grammar:60 --out a --batch 5 --generator transformer --config {tmp_path / 'c.yaml'}"
    options = _printed(line, capsys)
    assert (options["batch"], options["corpus"], options["mle_steps"]) == (5, "grammar:60", 7)
    assert options["generator"]["kind"] == "transformer"


def test_flags_and_files_win_over_the_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = _printed("train seqgan grammar:60 --out a --rollouts 2 --preset paper-oracle", capsys)
    assert (options["rollouts"], options["mle_steps"], options["generator"]["hidden"]) == (2, 18720, 32)
    assert options["discriminator"]["widths"][-1] == 20
    (tmp_path / "c.yaml").write_text("batch: 4\nmle_steps: 7\n")
    line = f"train seqgan grammar:60 --out a --preset=paper-oracle --config {tmp_path / 'c.yaml'} --batch 5"
    options = _printed(f"{line} --generator transformer", capsys)
    assert (options["batch"], options["mle_steps"], options["judge_steps"]) == (5, 7, 23400)
    assert options["generator"]["width"] == 128  # another family than the preset's: its own sizes


def test_the_presets_name_is_kept_with_the_fields_that_have_left_it(tmp_path: Path) -> None:
    line = "train mle grammar:60 --preset paper-oracle --mle_steps 2 --device cpu"
    assert main(shlex.split(f"{line} --out {tmp_path / 'run'}")) == 0
    settings = _json(tmp_path / "run" / "recipe.json")
    assert settings["preset"] == {"name": "paper-oracle", "changed": ["mle_steps"]}
    assert settings["fields"]["generator"]["init_std"] == 0.1


def test_recipes_lists_every_recipe_with_its_paper_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["recipe", "paper", "bridge", "opponent", "presets"]
    assert [row.split()[0] for row in rows] == [recipe.name for recipe in RECIPES]  # type: ignore[attr-defined]
    papers = "paper-oracle, paper-coco, paper-news"
    assert all(row.endswith(papers) for row in rows if row.split()[0] in ("mle", "seqgan"))


def test_dashes_and_equals_signs_are_as_good_as_underscores_and_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    options = _printed(
        "train mle grammar:60 --out=a-b --mle-steps=3 --generator=transformer --generator.width=8", capsys
    )
    assert (options["out"], options["mle_steps"], options["generator"]["width"]) == ("a-b", 3, 8)


def test_every_field_of_every_recipe_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    for recipe in RECIPES:
        name = recipe.name  # type: ignore[attr-defined]
        assert main(["train", name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: textgan train {name} CORPUS --out RUN [options]\n")
        assert all(f"--{field} " in shown for field in vars(recipe()))
        assert all(f"--generator.{field} " in shown for field in vars(recipe().generator))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_tells_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"usage: textgan {command} ")
    assert max(map(len, out.splitlines())) <= 80
    described = [line for line in out.splitlines() if line.startswith("  --")]
    assert described
    assert "==SUPPRESS==" not in out and "%(" not in out


def test_the_help_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    whole = capsys.readouterr().out
    assert "textgan train --help" in whole
    assert all(f"\n    {command.split()[0]}" in whole for command in COMMANDS)
    assert main(["train", "--help"]) == 0
    names = sorted(recipe.name for recipe in RECIPES)  # type: ignore[attr-defined]
    assert f"recipes: {', '.join(names)}\n" in capsys.readouterr().out
    assert main(["evaluate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(protocol.name in shown for protocol in PROTOCOLS)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from textgan.cli import main\n"
        "main(['--help']); main(['sample', '--help']); main(['sample', 'x'])\n"
        "main(['train', '--help']); main(['train', 'sqgan'])\n"
        "print(*sorted({'torch', 'transformers', 'jsonargparse', 'numpy', 'yaml', 'nltk'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_a_recipes_help_does_not_wait_for_transformers() -> None:
    code = (
        "import sys; from textgan.cli import main\n"
        "main(['train', 'mle', '--help']); print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    import textgan

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"textgan {textgan.__version__}\n"


def test_a_folder_holds_one_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another split has left would share lines with the new parts; the same may be made again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.txt").write_text("\n".join(grammar.sample(200)))
    three, two = "train=.8,valid=.1,test=.1", "train=.9,test=.1"
    assert [main(["split", "own.txt", "--parts", three, "--out", "c"]) for _ in range(2)] == [0, 0]
    before = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    assert main(["split", "own.txt", "--parts", two, "--out", "c"]) == 1
    assert "c/split.json is there already, and not of this split; give another --out" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    assert main(["split", "own.txt", "--parts", "train=.8,own=.2", "--out", "."]) == 1
    assert len((tmp_path / "own.txt").read_text().splitlines()) == 200


@pytest.mark.parametrize(
    "line",
    [
        "evaluate a.txt --reference b.txt --metrics length --json a.txt", "mix a.txt b.txt --ratio .1 --out ./a.txt",
        "mix a.txt b.txt --ratio .1 --out b.txt", "pairs a.txt b.txt --out link.txt",
        "canaries a.txt -n 2 --out a.txt --key k",
        "canaries a.txt -n 2 --out c.txt --key c.txt", "compare a.txt b.txt --reference b.txt --json b.txt",
    ],
)  # fmt: skip
def test_what_is_written_takes_the_place_of_nothing_that_is_read(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a.txt", 1), ("b.txt", 2)):
        (tmp_path / name).write_text("\n".join(grammar.sample(60, seed=seed)))
    (tmp_path / "link.txt").symlink_to("b.txt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(shlex.split(line)) == 2
    assert "is read, or written by another option; give another file" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_game_that_begins_with_noise_and_is_not_made_for_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TextGAIL's preset has no maximum likelihood, as its paper's G is a trained GPT-2."""
    tiny = ["--batch", "8", "--generator.embedding", "4", "--generator.hidden", "4"]
    game = ["--mle_steps", "0", "--judge_steps", "0", "--adversarial_steps", "1", "--rollouts", "1"]
    start = str(tmp_path / "mle")
    assert main(["train", "mle", "grammar:40", "--out", start, "--mle_steps", "1", *tiny]) == 0
    for name, more, noise in (("cold", [], True), ("warm", ["--start", start], False)):
        assert main(["train", "seqgan", "grammar:40", "--out", str(tmp_path / name), *game, *tiny, *more]) == 0
        assert ("warning: seqgan's game begins with noise" in capsys.readouterr().err) is noise
    scratch = ["--out", str(tmp_path / "scratch"), "--adversarial_steps", "1", *tiny]
    assert main(["train", "scratchgan", "grammar:40", *scratch]) == 0
    assert "begins with noise" not in capsys.readouterr().err  # it is made for that


def test_what_spoils_a_figure_is_told_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, other, glued = (tmp_path / name for name in ("own.txt", "other.txt", "glued.txt"))
    own.write_text("\n".join(grammar.sample(80)))
    other.write_text("\n".join(f"ein anderer satz {i}" for i in range(40)))
    glued.write_text("\n".join("".join(line.split()) for line in grammar.sample(80)))
    tiny = ["--mle_steps", "1", "--batch", "8", "--generator.embedding", "4", "--generator.hidden", "4"]
    spoilt = (
        (own, own, "held-out lines stand in the training text"),
        (own, other, "of the held-out text's words are unknown"),
        (glued, None, "--tokens characters (text without spaces)"),
    )
    for place, (train, valid, said) in enumerate(spoilt):
        more = ["--valid", str(valid)] if valid else []
        assert main(["train", "mle", str(train), *more, "--out", str(tmp_path / f"run{place}"), *tiny]) == 0
        assert said in capsys.readouterr().err
    assert main(["train", "mle", str(own), "--prompt", "99", "--out", str(tmp_path / "prompt"), *tiny]) == 0
    assert "100% of the lines are no longer than their prompt" in capsys.readouterr().err
    long = tmp_path / "long.txt"
    long.write_text(own.read_text() + "\n" + "word " * 1000)
    assert main(["train", "mle", str(long), "--out", str(tmp_path / "long"), *tiny]) == 0
    assert "a few long lines make each step and each sample long; give --max_len" in capsys.readouterr().err
    cut = ["--out", str(tmp_path / "cut"), "--max_len", "3", *tiny]
    assert main(["train", "mle", str(own), *cut]) == 0
    assert "of the training lines are longer than 3 tokens and are cut" in capsys.readouterr().err
    assert main(["evaluate", str(glued), "--reference", str(glued), "--metrics", "length"]) == 0
    assert "nearly all scored lines are one word; tokenise by characters" in capsys.readouterr().out


def test_resume_goes_on_at_the_runs_own_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever is told that --resume goes on need not know what the run was begun with."""
    run, line = tmp_path / "run", ["train", "seqgan", "grammar:60", "--out", str(tmp_path / "run")]
    tiny = ["--batch", "8", "--generator", "transformer", "--generator.width", "8", "--generator.heads", "2",
            "--generator.layers", "1", "--mle_steps", "3", "--judge_steps", "1", "--rollouts", "1", "--seed", "3",
            "--control", "constant", "--vocab_size", "40", "--eval_every", "2"]  # fmt: skip
    assert main([*line, *tiny, "--adversarial_steps", "2"]) == 0
    log = (run / "log.jsonl").read_bytes()
    (run / "ckpt-000006").rename(tmp_path / "gone")
    assert main([*line, "--resume"]) == 0
    assert (run / "log.jsonl").read_bytes() == log
    capsys.readouterr()
    assert main([*line, "--resume", "--rollouts", "2"]) == 1
    assert "rollouts 1 -> 2; leave them out" in capsys.readouterr().err
    other = tmp_path / "mistyped"
    assert main([*line[:-1], str(other), "--resume", *tiny, "--adversarial_steps", "0"]) == 0
    assert f"nothing to resume in {other}; it begins anew" in capsys.readouterr().err


def test_sample_takes_no_place_of_what_a_run_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, prompts = tmp_path / "run", tmp_path / "prompts.txt"
    tiny = ["--batch", "8", "--generator.embedding", "4", "--generator.hidden", "4", "--mle_steps", "1"]
    assert main(["train", "mle", "grammar:60", "--out", str(run), *tiny]) == 0
    for name in ("recipe.json", "log.jsonl", "generator/model.safetensors"):
        before = (run / name).read_bytes()
        assert main(["sample", str(run), "-n", "1", "--out", str(run / name)]) == 2
        assert (run / name).read_bytes() == before
    assert main(["sample", str(run), "-n", "1", "--out", str(run / "samples.txt")]) == 0
    prompts.write_text("a\n\na man\n")
    capsys.readouterr()
    assert main(["sample", str(run), "-n", "2", "--prompts", str(prompts)]) == 0
    assert "1 blank lines are left out" in capsys.readouterr().err
    with pytest.raises(InputError, match="prompts: a list of lines was wanted, got one string"):
        Run.open(run).sample_text(2, prompts="a man")


def test_a_damaged_run_says_what_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, tiny = tmp_path / "run", ["--batch", "8", "--generator.embedding", "4", "--generator.hidden", "4"]
    tiny += ["--log_every", "1"]
    line = ["train", "mle", "grammar:60", "--out", str(run), *tiny]
    assert main([*line, "--mle_steps", "4"]) == 0
    weights, config = run / "generator" / "model.safetensors", run / "generator" / "config.json"
    flipped = bytearray(weights.read_bytes())
    flipped[-1] ^= 1  # a number that is another one, which nothing but its hash can tell
    manifest = run / "generator" / "MANIFEST.json"
    for path, damaged in ((weights, bytes(flipped)), (weights, weights.read_bytes()[:100]), (config, b"{")):
        sound = path.read_bytes()
        path.write_bytes(damaged)
        assert main(["sample", str(run), "-n", "1"]) == 1
        assert f"{run}/generator: is damaged ({path.name}" in capsys.readouterr().err
        kept = manifest.read_bytes()
        manifest.unlink()  # a generator of before, or one that its owner has changed
        assert main(["sample", str(run), "-n", "1"]) == (0 if damaged == flipped else 1)
        assert (f"{run}/generator: is damaged (" in capsys.readouterr().err) is (damaged != flipped)
        manifest.write_bytes(kept)
        path.write_bytes(sound)

    def crowded(folder: Path) -> None:
        raise RuntimeError("can't allocate memory: you tried to allocate 9 bytes")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textgan.runs.load_generator", crowded)
        assert main(["sample", str(run), "-n", "1"]) == 1
    assert "damaged" not in capsys.readouterr().err
    rows = (run / "log.jsonl").read_bytes().splitlines(keepends=True)
    (run / "log.jsonl").write_bytes(b"".join(rows[:-2]) + rows[-2][:9])
    with pytest.raises(InputError, match=r"log.jsonl: is damaged"):
        Run.open(run).log  # noqa: B018
    assert main([*line, "--mle_steps", "4", "--resume"]) == 0
    assert "log.jsonl has lost" in capsys.readouterr().err
    assert (run / "log.jsonl").read_bytes() == b"".join(rows[:-2])


def test_a_prompt_of_unknown_words_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["--mle_steps", "1", "--batch", "8", "--generator.embedding", "4", "--generator.hidden", "4"]
    assert main(["train", "mle", "grammar:60", "--out", str(tmp_path / "run"), *tiny]) == 0
    (tmp_path / "prompts").write_text("two dogs\na zzzz qqq\n")
    assert main(["sample", str(tmp_path / "run"), "-n", "2", "--prompts", str(tmp_path / "prompts")]) == 1
    assert "prompt 2: the run does not know 'zzzz', 'qqq' (1 of 2 prompts" in capsys.readouterr().err


def test_a_number_that_is_none_is_refused_in_python_too() -> None:
    with pytest.raises(InputError, match="--mle_steps '3' must be a number"):
        check_recipe(MLE(mle_steps="3"))  # type: ignore[arg-type]
