"""One call audits a pool: what was planted in it stands in the tables, the JSON and the page, and the page is inert."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from textgan import grammar
from textgan.audits import audit
from textgan.augmentation import pool_rows, read_pool, verify_pool, write_pool
from textgan.augmentation.audit import Lexicon, found, plant_canaries, read_canaries
from textgan.augmentation.folder import FORMS, seal_pool, write_shards
from textgan.cli import main
from textgan.discriminators import CNN
from textgan.errors import InputError
from textgan.generators import LSTM
from textgan.lm import pretrain_small
from textgan.recipes import MLE, SeqGAN
from textgan.training import fit

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>\u202e zara'

NAMES = Lexicon({"female": ["zara"], "male": ["zeno"]}, [("zara", "zeno")])


def people(n: int, seed: int, female: float = 0.2) -> list[str]:
    """Sentences of the grammar, some of which Zara or Zeno says: words that the grammar lacks."""
    rng = np.random.default_rng(seed)
    who = rng.choice(["zara says", "zeno says", "one says"], size=n, p=[female, 0.3, 0.7 - female])
    return [f"{a} {b}" for a, b in zip(who.tolist(), grammar.sentences(n, seed), strict=True)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text with canaries, a control, a run that read the real text again and again, and a pool of leaks."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "clean.txt").write_text("\n".join(people(400, 1)) + "\n")
    (folder / "control.txt").write_text("\n".join(people(400, 2)) + "\n")
    (folder / "valid.txt").write_text("\n".join(people(60, 3)) + "\n")
    plant_canaries(folder / "clean.txt", 4, out=folder / "real.txt", key=folder / "canaries.json", repeats=40, seed=1)
    recipe = MLE(mle_steps=200, batch=32, early_stopping=False, generator=LSTM(32, 64, dropout=0.0))
    fit(recipe, folder / "real.txt", valid=folder / "valid.txt", out=folder / "run", progress=False)
    (folder / "names.yaml").write_text("groups: {female: [zara], male: [zeno]}\nswaps: [[zara, zeno]]")
    texts = people(340, 4, female=0.02) + people(400, 1)[:60]  # few women, and 60 lines of the real text
    rows = list(pool_rows(texts, source="mle", run="run", seed=0))
    rng = np.random.default_rng(0)
    for row in rows:
        row["scores"] = {"ratio": float(rng.random())}
        row["selected"] = row["scores"]["ratio"] > 0.3
    write_pool(rows, folder / "pool.jsonl")
    return folder


def test_an_audit_finds_what_was_planted_and_says_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        str(place / "pool.jsonl"), "--real", place / "real.txt", "--control", place / "control.txt", "--run",
        place / "run", "--canaries", place / "canaries.json", "--lexicon", place / "names.yaml", "--out",
        tmp_path / "out",
    ]  # fmt: skip
    assert main(["audit", *map(str, asked)]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    share, real = found["shares"]["pool"]["female"], found["shares"]["real"]["female"]
    expected = (0.02 * 340 + 0.2 * 60) / 400
    assert share["low"] < expected < share["high"] < real["low"]
    assert found["differences"]["selected"]["female"]["high"] < 0
    assert found["total_variation"]["pool"]["value"] > found["total_variation"]["pool"]["chance"]
    assert found["shares"]["real"]["female"]["n"] == 400  # the canaries are none of the real text's lines
    assert found["total_variation"]["control"]["value"] < 0.1
    for way in ("raking", "quota"):
        done = found["constrained"][way]
        within = 1e-9 if way == "raking" else 1 / done["rows"]
        assert done["achieved"]["female"] == pytest.approx(done["target"]["female"], abs=within)
    assert found["constrained"]["raking"]["effective_sample"] < found["about"]["pool"]["selected"]
    # 60 of 400 lines were taken from the training text
    assert found["overlap"]["pool"]["verbatim"]["low"] > 0.05
    assert found["overlap"]["pool"]["verbatim"]["low"] < 0.15 < found["overlap"]["pool"]["verbatim"]["high"] + 0.02
    # 40 copies each, read some 30 times: above almost all of 4,095 candidates; unseen ones have 1.44 on average
    assert min(found["canaries"]["exposure"]["generator"]) > 8
    assert found["counterfactual"]["generator"]["size"]["lines"] > 100
    assert {(s["ratio"], s["kept"]) for s in found["sensitivity"]} >= {(0.1, 1.0), (0.1, 0.5), (0.5, 1.0)}
    assert "lines came through" in said
    assert f"of the pool lines mention female, less than real text's {100 * real['share']:.2f} %" in said
    assert said.strip().endswith("audit.html")
    assert found["findings"] == [line for line in said.splitlines() if line in found["findings"]]


def test_what_is_selected_is_looked_at_beside_the_pool(tmp_path: Path) -> None:
    """60 of 400 lines and a canary were copied, and the selection has left all of them out; filters gave some of the
    rows no ratio, as `select` does."""
    real, secret = people(400, 1), "the canary of this text"
    key = {"lines": [secret], "words": ["a", "b"], "length": 5}
    (tmp_path / "key.json").write_text(json.dumps(key))
    rows = list(pool_rows([*real[:60], secret, *people(340, 4)], source="mle"))
    for row in rows:
        row["selected"] = row["index"] > 60
        row["scores"] = {"ratio": 1 + row["index"]} if row["index"] >= 40 else {}
    write_pool(rows, tmp_path / "pool.jsonl")
    done = audit(
        tmp_path / "pool.jsonl", real, control=people(400, 2), canaries=tmp_path / "key.json", lexicon=NAMES,
        out=tmp_path / "out",
    )  # fmt: skip
    assert done.overlap["pool"].verbatim.above and not done.overlap["selected"].verbatim.above
    assert done.overlap["selected"].lines == 340
    said = " ".join(done.findings())
    assert "of the pool's lines share the whole line" in said and "of the selected lines share the whole line" in said
    assert done.extracted == {"pool": 1, "selected": 0}
    assert "Of the canaries the pool's lines hold 100.00 % and the selected lines hold none." in said
    # scores run from 41 to 401; of the 361 rows that have one 180 are kept at .5
    assert done.about["pool"]["scored"] == 361
    assert {s.threshold for s in done.sensitivity if s.kept == 0.5} == {401 - 180 + 1}
    assert "among the 361 lines that have it" in (tmp_path / "out" / "audit.html").read_text()


def test_the_same_audit_gives_the_same_bytes(place: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        audit(place / "pool.jsonl", place / "real.txt", control=place / "control.txt", out=tmp_path / name)
    for file in ("audit.json", "audit.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_fresh_real_sample_is_cleared_and_what_was_not_given_is_said(tmp_path: Path) -> None:
    done = audit(people(400, 8), people(400, 9), control=people(400, 10), lexicon=NAMES, out=tmp_path)
    assert not done.overlap["pool"].verbatim.above
    assert all(low < 0 < high for _, low, high in done.differences["pool"].values())
    assert done.absent["counterfactuals of a generator"] == "none was given"
    assert done.absent["exposure of canaries"] == "no canaries were given"
    assert "sensitivity to the threshold" in done.absent
    page = (tmp_path / "audit.html").read_text()
    assert "none was given" in page
    alone = audit(people(50, 8), people(50, 9))
    assert alone.absent["overlap with the training text"].startswith("no control text was given")


def test_a_language_model_and_a_discriminators_logit_are_asked_too(place: Path, tmp_path: Path) -> None:
    lm = pretrain_small(people(60, 1), tmp_path / "lm", layers=1, width=16, steps=2)
    prefers = {"discriminator": lambda lines: np.array([3.0 * ("zara" in line) for line in lines])}
    done = audit(people(100, 1), people(100, 2), lexicon=NAMES, lm=lm, scorers=prefers)
    assert done.counterfactual["language model"].size.mean > 0
    assert done.counterfactual["discriminator"].size.mean == pytest.approx(3)
    assert done.counterfactual["discriminator"].toward["male > female"].mean == pytest.approx(3)


def test_the_runs_own_d_is_asked_too_and_told_where_there_is_none(place: Path, tmp_path: Path) -> None:
    """D learns from a text that speaks of Zeno alone, against a generator that writes all words alike."""
    texts = [line.replace("zara", "zeno") for line in people(300, 1)] + ["zara says hello"]
    recipe = SeqGAN(
        mle_steps=0, judge_steps=80, adversarial_steps=0, batch=32, discriminator_lr=3e-3,
        discriminator=CNN(8, (1, 2), (8, 8), 0.0), generator=LSTM(8, 12, dropout=0.0),
    )  # fmt: skip
    fit(recipe, texts, valid=people(40, 3), out=tmp_path / "run", progress=False)
    done = audit(people(100, 1), people(200, 2), lexicon=NAMES, run=tmp_path / "run")
    found = done.counterfactual["discriminator"]
    assert found.toward["female > male"].low > 0 > found.toward["male > female"].high
    assert found.size.low > 0 and "counterfactuals of a discriminator" not in done.absent
    assert any("what the discriminator makes of a line by" in x and "in its logit" in x for x in done.findings())
    assert {"generator", "discriminator"} == set(done.counterfactual)
    without = audit(people(100, 1), people(100, 2), lexicon=NAMES, run=place / "run")
    assert without.absent["counterfactuals of a discriminator"].startswith("mle has no discriminator")


def test_the_page_is_inert_whatever_the_texts_and_the_lexicon_hold(tmp_path: Path) -> None:
    (tmp_path / "<b>groups.yaml").write_text('groups: {"<i>who</i>": [zara], "b": [zeno]}')
    texts = [HOSTILE, *people(60, 1)]
    done = audit(texts, texts, control=people(61, 3), lexicon=tmp_path / "<b>groups.yaml", out=tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert HOSTILE in done.overlap["pool"].copied
    for bad in ("<script", "<img", "<i>", "<b>groups", "\u202e", "http:", "https:"):
        assert bad not in page
    assert "default-src &#x27;none&#x27;" in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["pool.txt", "--real", "real.txt", "--lexicon", "empty.yaml"],
            "group 'b' is empty; give it at least one word",
        ),
        (["pool.txt", "--real", "real.txt", "--run", "nowhere"], "nowhere: no such folder; a run is a folder"),
        (["pool.txt", "--real", "real.txt", "--canaries", "empty.yaml"], "empty.yaml: holds no canaries"),
        (["none.jsonl", "--real", "real.txt"], "none.jsonl: cannot read the pool: No such file or directory"),
        (["unselected.jsonl", "--real", "real.txt"], "holds no selected row with text"),
        (["weights.jsonl", "--real", "real.txt"], "weight and scores must be numbers"),
        (["pool.txt", "--real", "none.txt"], "none.txt: no such file"),
        (["pool.txt", "--real", "real.txt", "--control", "real.txt"], "100 % of its lines stand in the real text"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pool.txt").write_text("a woman\n")
    Path("real.txt").write_text("a man\n")
    Path("empty.yaml").write_text("groups: {a: [man], b: []}")
    Path("unselected.jsonl").write_text('{"text": "a", "selected": false}\n')
    Path("weights.jsonl").write_text('{"text": "a", "weight": "much"}\n')
    assert main(["audit", *options, "--out", "out"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_very_little_text_is_audited_without_figures_that_cannot_be_had(tmp_path: Path) -> None:
    done = audit(["zara"], ["zeno"], control=["a dog"], lexicon=NAMES, out=tmp_path)
    assert done.overlap == {}
    assert set(done.absent) >= {"raking to real text's shares", "overlap with the training text", "amplification"}
    json.loads((tmp_path / "audit.json").read_text(), parse_constant=lambda name: pytest.fail(name))


# The constrained pool


@pytest.fixture
def few_women(tmp_path: Path) -> Path:
    """A pool folder of 300 rows of which 240 are selected, with few women and scores; and real text beside it."""
    rows = list(pool_rows(people(300, 4, female=0.05), source="gan"))
    for row in rows:
        row["scores"] = {"ratio": 0.5, "d": -1.0}
        row |= {} if row["index"] % 5 else {"selected": False, "weight": 0.0, "reason": "length: 1 words"}
    (tmp_path / "pool").mkdir()
    write_shards(iter(rows), tmp_path / "pool", "jsonl", lambda row: "rows" if row["selected"] else "rejected")
    source = {"run": "r", "recipe": "mle", "sha256": "ab" * 32}
    seal_pool(tmp_path / "pool", {"plan": {"source": source, "licence": "mit"}}, ["a card"])
    (tmp_path / "real.txt").write_text("\n".join(people(400, 1)) + "\n")
    (tmp_path / "names.yaml").write_text("groups: {female: [zara], male: [zeno]}")
    return tmp_path


def shares_in(pool: Path) -> dict[str, float]:
    """Of the weight of a pool's rows that are used, counted by hand."""
    rows = [row for row in read_pool(pool) if row["selected"]]
    whole = sum(row["weight"] for row in rows)
    return {name: sum(row["weight"] for row in rows if name in row["text"]) / whole for name in ("zara", "zeno")}


@pytest.mark.parametrize("by", ["rake", "quota"])
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_the_constrained_pool_has_the_shares_of_real_text(
    few_women: Path, by: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(few_women)
    pool = Path("pool")
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra `data`)")
        FORMS["parquet"].write(read_pool("pool"), Path("pool.parquet"))
        pool = Path("pool.parquet")
    asked = f"audit {pool} --real real.txt --lexicon names.yaml --out a --constrained new --by {by}"
    assert main(asked.split()) == 0
    said = capsys.readouterr().out
    real = [sum(name in line for line in people(400, 1)) / 400 for name in ("zara", "zeno")]
    before, after, rows = shares_in(pool), shares_in(Path("new")), list(read_pool("new"))
    kept = [row for row in rows if row["selected"]]
    assert abs(before["zara"] - real[0]) > 0.1
    assert [*after.values()] == pytest.approx(real, abs=1e-9 if by == "rake" else 1 / len(kept))
    assert verify_pool("new") == [] and {path.suffix for path in Path("new").glob("rows-*")} == {f".{form}"}
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in read_pool(pool))  # every row is there
    reasons = Counter(row.get("reason") for row in rows)
    assert reasons["length: 1 words"] == 60 and reasons[None] == len(kept)
    if by == "rake":
        assert len(kept) == 240 and len({row["weight"] for row in kept}) == 3  # hers, his and nobody's
        assert np.mean([row["weight"] for row in kept]) == pytest.approx(1)
        assert "--weight-by density_ratio" in said
    else:
        assert {row["weight"] for row in kept} == {1.0} and reasons["not chosen by quota"] == 240 - len(kept) > 0
        assert "--weight-by density_ratio" not in said
    assert all(row["scores"] == {"ratio": 0.5, "d": -1.0} for row in rows)
    made, audited = (json.loads(Path(path).read_text()) for path in ("new/provenance.json", "a/audit.json"))
    found = audited["constrained"]["raking" if by == "rake" else "quota"]
    assert (made["plan"]["by"], made["achieved"], made["plan"]["target"]) == (by, found["achieved"], found["target"])
    assert made["inputs"]["real"]["lines"] == 400 and made["funnel"][f"kept by {by}"] == len(kept)
    card = Path("new/README.md").read_text()
    how = "weighted by raking" if by == "rake" else "drawn by quota"
    assert (
        f"{how}, so that groups are mentioned as often as in real.txt: female {100 * before['zara']:.2f} % bef" in card
    )
    if form == "jsonl":  # a file alone does not say who wrote it
        assert "license: mit" in card and "written by run r" in card


def test_rows_that_weigh_unlike_are_raked_from_there_and_not_counted(
    few_women: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(few_women)
    rows = [row | {"weight": row["weight"] * (1 + row["index"] % 3)} for row in read_pool("pool")]
    write_pool(rows, "p.jsonl")
    asked = "audit p.jsonl --real real.txt --lexicon names.yaml --out a --constrained new"
    assert main([*asked.split(), "--by", "quota"]) == 1
    assert capsys.readouterr().err.startswith(
        "textgan: error: --constrained: the rows weigh unlike, and a quota counts"
    )
    assert Path("a/audit.json").exists() and not Path("new").exists()
    assert main(asked.split()) == 0
    real = [sum(name in line for line in people(400, 1)) / 400 for name in ("zara", "zeno")]
    assert [*shares_in(Path("new")).values()] == pytest.approx(real, abs=1e-9)
    was = {row["id"]: row["weight"] for row in rows}
    moved = {round(row["weight"] / was[row["id"]], 9) for row in read_pool("new") if row["selected"]}
    assert len(moved) == 3  # one factor for hers, his and nobody's


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("pool --by quota", 2, "--by is about the constrained pool; give --constrained NEWPOOL"),
        ("pool --constrained new --by half", 2, "--by: 'half' is not one of rake, quota"),
        ("real.txt --constrained new", 1, "real.txt: lines are no rows to be weighed; --constrained needs a folder"),
        ("pool --constrained pool", 1, "pool: is there already; give a new folder as --constrained"),
        ("pool --constrained a", 1, "a: is there already; give a new folder as --constrained"),
        ("men.jsonl --constrained new", 1, "cannot be had: no row mentions female; generate more or leave it out"),
    ],
)
def test_a_constrained_pool_that_cannot_be_is_one_line(
    few_women: Path, line: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(few_women)
    write_pool(pool_rows(people(60, 4, female=0), source="gan"), "men.jsonl")
    before = {path: path.read_bytes() for path in Path("pool").iterdir()}
    assert main(["audit", *line.split(), "--real", "real.txt", "--lexicon", "names.yaml", "--out", "a"]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not Path("new").exists()
    assert {path: path.read_bytes() for path in Path("pool").iterdir()} == before


def test_canaries_come_back_from_their_file_and_the_text_holds_them(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(people(200, 1)) + "\n")
    out, key = tmp_path / "planted.txt", tmp_path / "k.json"
    asked = ["canaries", text, "-n", "3", "--repeats", "2", "--out", out, "--key", key]
    assert main([str(word) for word in asked]) == 0
    canaries = read_canaries(key)
    lines = out.read_text().splitlines()
    assert [lines.count(line) for line in canaries.lines] == [2, 2, 2]
    assert len(lines) == 206
    (tmp_path / "k.json").write_text('{"lines": [], "words": [], "length": 6}')
    with pytest.raises(InputError, match="holds no canaries"):
        read_canaries(tmp_path / "k.json")


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ([8.0, 9.0, 10.0], "they are remembered"),
        ([1.0, 3.0, 2.0], "nothing is shown to be remembered"),
        ([1.4] * 19 + [12.0], "they are remembered"),  # one of twenty is enough
        ([0.1] * 20, "nothing is shown to be remembered"),
    ],
)
def test_exposure_is_told_beside_what_chance_does(bits: list[float], said: str) -> None:
    assert said in found._exposed(bits, "generator")


def test_canaries_that_no_model_saw_are_called_remembered_as_seldom_as_is_said() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 10):
        drawn = rng.exponential(1 / np.log(2), (1000, n))
        said = [found._exposed(bits.tolist(), "generator") for bits in drawn]
        assert sum("they are remembered" in one for one in said) < 65  # two tests, 5 %


def test_canaries_that_a_run_cannot_read_to_their_end_are_no_evidence(tmp_path: Path) -> None:
    lines = [f"{a} {b} {c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrst"]
    plant_canaries(lines, 3, out=tmp_path / "planted.txt", key=tmp_path / "key.json", length=9)
    run = fit(MLE(mle_steps=2, batch=8, generator=LSTM(4, 8)), lines, out=tmp_path / "run", progress=False)
    done = audit(run.sample_text(60), lines, canaries=tmp_path / "key.json", run=run.path)
    assert not done.exposure
    assert "they are longer than the 4 tokens" in done.absent["exposure of canaries in the generator"]
    assert any("not measured: exposure of canaries in the generator" in line for line in done.to_lines())


def test_a_language_model_exposes_the_canaries_that_it_read_and_no_others(place: Path, tmp_path: Path) -> None:
    """As the run does: each canary 40 times in the text, read some five times; without them 1.44 bits are the mean."""
    how = {"layers": 1, "width": 64, "vocab_size": 400, "steps": 120, "lr": 5e-3}
    for name, told in (("real", "they are remembered"), ("clean", "nothing is shown to be remembered")):
        lm = pretrain_small((place / f"{name}.txt").read_text().splitlines(), tmp_path / name, **how)
        done = audit(
            people(60, 4), place / "real.txt", lm=lm, canaries=place / "canaries.json", lexicon=NAMES,
            out=tmp_path / f"{name}-audit",
        )  # fmt: skip
        assert set(done.exposure) == {"language model"}
        assert done.absent["exposure of canaries in a generator"] == "none was given"
        assert any("In the language model the 4 canaries" in said and told in said for said in done.findings())
        written = json.loads((tmp_path / f"{name}-audit" / "audit.json").read_text())
        assert written["canaries"]["exposure"] == done.exposure
        assert "Exposure of canaries in the language model" in (tmp_path / f"{name}-audit" / "audit.html").read_text()
        bits = done.exposure["language model"]
        assert min(bits) > 8 if name == "real" else np.mean(bits) < 5
