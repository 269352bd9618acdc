"""Rating by people: sheets that give nothing away, a page that works, right scores. Raters here are simulated."""

import csv
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from chromium import Browser, find
from textgan.augmentation import pool_rows, write_pool
from textgan.augmentation.rating import Scored, Sheet, krippendorff, make, power, score
from textgan.cli import main
from textgan.errors import InputError

A = [f"gan line {i}" for i in range(400)]
B = [f"model line {i}" for i in range(400)]
REAL = [f"human line {i}" for i in range(400)]
HOSTILE = [
    '</script><script>window.hacked = 1</script>', '<img src=x onerror="window.hacked = 1">', "=HYPERLINK(1)",
    "+1", "-1", "@x", "a\u2028b", 'say "hi", <b>you</b> & co', "&lt;", "\u6625\u7720 \U0001f600",
]  # fmt: skip


def simulated_rater(sheet: Sheet, name: str, folder: Path, *, prefer: float, seed: int, careless: bool = False) -> Path:
    """A made-up rater, for tests alone: chooses A with this chance, a side of a control by a coin."""
    rng = random.Random(f"simulated rater {seed}")
    rows = []
    for item, facts in sheet.key.items():
        if facts["kind"] == "pair":
            wants_a = rng.random() < prefer
            choice = 1 if wants_a == (facts["left"] == "a") else 2
        else:
            choice = rng.choice([1, 2])
            if facts["kind"] == "attention" and not careless:
                choice = facts["answer"]
        rows.append([sheet.sha256, item, choice, name])
    return filled(folder / f"{name}.csv", rows)


def filled(path: Path, rows: list[list[Any]]) -> Path:
    """A filled sheet, as a spreadsheet saves it."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["sheet", "item", "choice", "rater"], *rows])
    return path


# Planning


def test_the_pairs_needed_are_those_of_the_exact_sign_test() -> None:
    assert power(0.6) == 210
    assert power(0.55) == 805
    for n, enough in ((205, False), (210, True)):  # its power by hand: reject at c wins or more, or c losses or more
        c = next(c for c in range(n + 1) if binom.sf(c - 1, n, 0.5) <= 0.025)
        found = binom.sf(c - 1, n, 0.6) + binom.cdf(n - c, n, 0.6)
        assert (found >= 0.8) == enough


def test_a_weaker_preference_a_stricter_level_and_a_higher_chance_need_more() -> None:
    assert power(0.55) > power(0.6) > power(0.7) > power(0.9) >= 5
    assert power(0.6, level=0.01) > 210 < power(0.6, chance=0.9)
    for preference in (0.5, 0.4, 1.0, math.nan):
        with pytest.raises(InputError, match=r"give a share from 0\.505 to 0\.995"):
            power(preference)


# Sheets


def test_a_sheet_is_blind_and_its_key_is_apart(tmp_path: Path) -> None:
    sheet = make(A, B, n=60, real=REAL, out=tmp_path, seed=3)
    kinds = Counter(facts["kind"] for facts in sheet.key.values())
    assert kinds == {"pair": 60, "attention": 6, "control": 6}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["for-raters", "key.json"]
    for item in sheet.items:  # the key knows which side is which
        facts = sheet.key[item.id]
        if facts["kind"] == "pair":
            assert item.left.startswith("gan" if facts["left"] == "a" else "model")
            assert item.right.startswith("model" if facts["left"] == "a" else "gan")
        elif facts["kind"] == "control":
            assert item.left.startswith("human")
            assert item.right.startswith("human")
        else:
            right = (item.left, item.right)[facts["answer"] - 1]
            assert "not" not in right
            assert "Leave" not in right
    lefts = [facts["left"] for facts in sheet.key.values() if facts["kind"] == "pair"]
    assert 15 < lefts.count("a") < 45  # a fair coin: 30 -+ 3.9 standard deviations
    for name in ("sheet.html", "sheet.csv", "label-studio.json", "label-studio.xml"):
        written = (tmp_path / "for-raters" / name).read_text()
        assert '"kind"' not in written
        assert "attention" not in written.replace("pay attention", "")
        assert name == "label-studio.xml" or sheet.sha256 in written


def test_the_same_seed_gives_the_same_sheet_and_another_one_another(tmp_path: Path) -> None:
    sheets = [make(A, B, n=20, real=REAL, out=tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2))]
    one, same, other = (
        {p.name: p.read_bytes() for p in sorted((tmp_path / str(i)).rglob("*")) if p.is_file()} for i in range(3)
    )
    assert one == same
    assert one != other
    assert sheets[0].sha256 == sheets[1].sha256 != sheets[2].sha256


def test_the_key_of_another_sheet_is_not_written_over(tmp_path: Path) -> None:
    make(A, B, n=9, out=tmp_path)
    key = (tmp_path / "key.json").read_bytes()
    make(A, B, n=9, out=tmp_path)  # the same sheet again is no loss
    with pytest.raises(InputError, match="holds the key of another sheet"):
        make(A, B, n=9, seed=1, out=tmp_path)
    assert (tmp_path / "key.json").read_bytes() == key


def test_no_line_comes_twice_even_where_the_texts_share_lines(tmp_path: Path) -> None:
    sheet = make([*A[:30], "both"], [*B[:30], "both", A[0]], n=30, out=tmp_path / "made", attention=0)
    lines = [line for item in sheet.items for line in (item.left, item.right)]
    assert len(set(lines)) == len(lines) == 60
    with pytest.raises(InputError, match=r"text A \(lines\) has 30 distinct unused lines, 31 are wanted; lower -n"):
        make(A[:30], B, n=31, out=tmp_path)
    with pytest.raises(InputError, match="5 controls need real text; give --real"):
        make(A, B, n=3, controls=5, out=tmp_path)


def test_a_csv_starts_no_formula_and_keeps_every_line_whole(tmp_path: Path) -> None:
    make(HOSTILE, B, n=len(HOSTILE), out=tmp_path, attention=0)
    text = (tmp_path / "for-raters" / "sheet.csv").read_text()
    rows = list(csv.DictReader(text.split("\n")[:-1]))
    cells = [row[side] for row in rows for side in ("left", "right")]
    assert len(rows) == len(HOSTILE)
    assert [cell for cell in cells if cell[0] in "=+-@"] == []
    assert {cell.removeprefix("'") for cell in cells} >= set(HOSTILE)


# Scores


def test_a_planted_preference_is_found_with_an_interval_that_holds_it(tmp_path: Path) -> None:
    sheet = make(A, B, n=210, out=tmp_path / "made", real=REAL)
    files = [simulated_rater(sheet, f"simulated-{i}", tmp_path, prefer=0.7, seed=i) for i in range(6)]
    assert score(tmp_path / "made", files).finding.endswith("people prefer A.")
    done = score(tmp_path / "made", files[:3])  # who stand for themselves alone
    assert done.win_rate == pytest.approx(0.7, abs=0.06)  # of 630 answers: sd .018
    assert done.low < 0.7 < done.high
    assert done.low > 0.5
    assert done.p < 1e-6
    assert done.wins + done.losses + done.draws == done.pairs == 210
    assert (done.raters, done.answers, done.clusters) == (3, 630, "raters and items")
    assert done.sides is not None
    assert done.sides.low < 0.5 < done.sides.high
    assert done.controls is not None
    assert done.controls.answers == 3 * 21
    assert done.finding.startswith("A (lines) is chosen over B (lines) in 7")
    assert done.finding.endswith("these 3 raters prefer A; others may not.")
    json.dumps(done.to_json(), allow_nan=False)


def test_no_preference_is_claimed_seldom(tmp_path: Path) -> None:
    sheet = make(A, B, n=100, out=tmp_path / "made", attention=0)
    claims = 0
    for seed in range(40):
        done = score(tmp_path / "made", [simulated_rater(sheet, "simulated", tmp_path, prefer=0.5, seed=seed)])
        assert done.clusters == "items"
        claims += not done.low <= 0.5 <= done.high
    assert claims <= 7  # .05 of 40 is 2; more than 7 have a chance of .001


def test_raters_who_do_not_read_are_left_out_and_counted(tmp_path: Path) -> None:
    sheet = make(A, B, n=100, out=tmp_path / "made")
    good = simulated_rater(sheet, "simulated-good", tmp_path, prefer=1.0, seed=1)
    bad = simulated_rater(sheet, "simulated-bad", tmp_path, prefer=0.0, seed=2, careless=True)
    done = score(tmp_path / "made", [good, bad])
    assert [(one.rater, one.of) for one in done.excluded] == [("simulated-bad", 10)]
    assert done.excluded[0].failed > 2.5
    assert done.win_rate == 1.0
    assert done.low < 1  # answers that are all alike are no certainty: Wilson's interval of 100 pairs
    assert any("simulated-bad: " in line for line in done.to_lines())
    with pytest.raises(InputError, match="nothing is left to score: 1 raters failed the attention items"):
        score(tmp_path / "made", [bad])


def test_a_rater_who_skips_what_would_show_that_he_reads_is_told(tmp_path: Path) -> None:
    sheet = make(A, B, n=20, out=tmp_path / "made")
    reads = simulated_rater(sheet, "simulated-reads", tmp_path, prefer=1.0, seed=1)
    rows = [[sheet.sha256, item, "" if facts["kind"] == "attention" else 1, "simulated-skips"]
            for item, facts in sheet.key.items()]  # fmt: skip
    done = score(tmp_path / "made", [reads, filled(tmp_path / "skips.csv", rows)])
    assert (done.raters, done.unchecked, done.excluded) == (2, ["simulated-skips"], [])
    assert any("simulated-skips: answered none of the attention items" in line for line in done.to_lines())
    plain = make(A, B, n=20, out=tmp_path / "plain", attention=0)
    assert score(tmp_path / "plain", [simulated_rater(plain, "s", tmp_path, prefer=1.0, seed=1)]).unchecked == []


def test_a_tie_is_half_a_win_and_blank_cells_are_counted(tmp_path: Path) -> None:
    sheet = make(A, B, n=4, out=tmp_path / "made", attention=0)
    sides = {item: facts["left"] for item, facts in sheet.key.items()}
    a_wins = {item: 1 if left == "a" else 2 for item, left in sides.items()}
    i = list(sides)
    rows = [[i[0], a_wins[i[0]]], [i[1], 3 - a_wins[i[1]]], [i[2], 0], [i[3], ""]]
    done = score(tmp_path / "made", [filled(tmp_path / "r.csv", [[sheet.sha256, *row, ""] for row in rows])])
    assert done.win_rate == pytest.approx((1 + 0 + 0.5) / 3)
    assert (done.wins, done.losses, done.draws, done.neither, done.blank, done.unrated) == (1, 1, 1, 1, 1, 1)
    assert done.p == 1.0
    assert done.alpha is None


def test_the_sign_test_is_the_exact_one(tmp_path: Path) -> None:
    sheet = make(A, B, n=10, out=tmp_path / "made", attention=0)
    rows = [
        [
            sheet.sha256,
            item,
            (1 if facts["left"] == "a" else 2) if place < 9 else (2 if facts["left"] == "a" else 1),
            "",
        ]
        for place, (item, facts) in enumerate(sheet.key.items())
    ]
    done = score(tmp_path / "made", [filled(tmp_path / "r.csv", rows)])
    assert done.p == pytest.approx(2 * (1 + 10) / 2**10)  # 9 or 10 of 10, on either side


def test_krippendorffs_alpha_is_that_of_his_worked_examples() -> None:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": A binary, B nominal, C with missing values
    a = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    b = [[*map(ord, "aabbdcccedda")], [*map(ord, "babbbcccedd") , ord("d")]]  # fmt: skip
    x = math.nan
    c = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, x, x, x],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, x, 3],
        [x, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, x],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, x],
    ]
    for data, published in ((a, 0.095), (b, 0.692), (c, 0.743)):
        assert krippendorff(np.array(data, dtype=float)) == pytest.approx(published, abs=5e-4)
    assert krippendorff(np.array([[1.0, 0.0], [1.0, 0.0]])) == 1
    assert krippendorff(np.array([[1.0, 1.0], [1.0, 1.0]])) is None  # nothing varies
    assert krippendorff(np.array([[1.0, 0.0]])) is None  # one rater


def test_raters_that_guess_do_not_agree_and_clusters_widen_the_interval(tmp_path: Path) -> None:
    sheet = make(A, B, n=200, out=tmp_path / "made", attention=0)
    guess = [simulated_rater(sheet, f"simulated-{i}", tmp_path, prefer=0.5, seed=i) for i in range(4)]
    free = score(tmp_path / "made", guess)
    assert free.alpha == pytest.approx(0, abs=0.1)
    # four copies of one rater are one rater: their interval may not be that of 800 answers
    rows = [line.split(",")[:3] for line in guess[0].read_text().split()[1:]]
    copies = [filled(tmp_path / f"copy-{i}.csv", [[*row, f"copy-{i}"] for row in rows]) for i in range(4)]
    bound = score(tmp_path / "made", copies)
    assert bound.alpha == 1
    assert bound.high - bound.low > 1.6 * 2 * 1.96 * math.sqrt(0.25 / 800)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["0" * 64, "i1", "1", ""], "r.csv:2: answers sheet 000000000000, the key is of "),
        (["SHEET", "i1", "3", ""], "r.csv:2: choice '3' is none of 1 (left), 2 (right), 0 (neither)"),
        (["SHEET", "i1", "both", ""], "r.csv:2: choice 'both' is none of 1 (left), 2 (right), 0 (neither)"),
        (["SHEET", "i9", "1", ""], "r.csv:2: item 'i9' is not in the sheet"),
    ],
)
def test_a_sheet_that_does_not_fit_is_one_line(tmp_path: Path, row: list[str], said: str) -> None:
    sheet = make(A, B, n=5, out=tmp_path / "made", attention=0)
    path = filled(tmp_path / "r.csv", [[cell.replace("SHEET", sheet.sha256) for cell in row]])
    with pytest.raises(InputError) as caught:
        score(tmp_path / "made", [path])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_sheet_or_no_key_is_one_line(tmp_path: Path) -> None:
    sheet = make(A, B, n=5, out=tmp_path / "made", attention=0)
    twice = filled(tmp_path / "twice.csv", [[sheet.sha256, "i1", "1", "x"], [sheet.sha256, "i1", "2", "x"]])
    once = filled(tmp_path / "once.csv", [[sheet.sha256, "i1", "1", "x"]])
    (tmp_path / "bad.json").write_text('{"ratings": [1]}')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    for files, said in (
        ([twice], "'x' answers item i1 twice"),
        ([once, once], "rater 'x' stands in another file too"),
        ([tmp_path / "bad.json"], "is neither the page's export nor Label Studio's"),
        ([tmp_path / "list.json"], "is neither the page's export nor Label Studio's"),
        ([tmp_path / "bytes.csv"], "is not UTF-8"),
        ([tmp_path / "columns.csv"], "has no column 'choice'; wanted sheet, item and choice"),
        ([tmp_path / "none.csv"], "cannot be read (No such file or directory)"),
        ([tmp_path / "made" / "for-raters" / "sheet.csv"], "no pair has an answer"),
    ):
        with pytest.raises(InputError) as caught:
            score(tmp_path / "made", files)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file; give the folder that `textgan rate make` has written"):
        score(tmp_path, [once])
    (tmp_path / "key.json").write_text('{"items": {"i1": {}}}')
    with pytest.raises(InputError, match="is not a key"):
        score(tmp_path, [once])


def test_csv_page_and_label_studio_give_the_same_scores(tmp_path: Path) -> None:
    sheet = make(A, B, n=12, out=tmp_path / "made")
    path = simulated_rater(sheet, "simulated", tmp_path, prefer=0.8, seed=5)
    rows = list(csv.DictReader(path.open()))
    ratings = [{"item": row["item"], "choice": int(row["choice"]), "seconds": 1.5} for row in rows]
    page = tmp_path / "page.json"
    page.write_text(json.dumps({"sheet": sheet.sha256, "rater": "simulated", "ratings": ratings}))
    words = {"1": "left", "2": "right", "0": "tie"}
    choices = {row["item"]: words[row["choice"]] for row in rows}
    tasks = json.loads((tmp_path / "made" / "for-raters" / "label-studio.json").read_text())
    for task in tasks:
        result = {"from_name": "choice", "to_name": "left", "type": "choices", "value": {"choices": [choices[task["data"]["item"]]]}}  # fmt: skip  # noqa: E501
        task["annotations"] = [{"completed_by": "simulated", "was_cancelled": False, "result": [result]}]
    studio = tmp_path / "studio.json"
    studio.write_text(json.dumps(tasks))
    least = tmp_path / "least.json"  # as Label Studio's own converter writes its JSON-MIN and CSV
    flat = [task["data"] | {"choice": choices[task["data"]["item"]], "annotator": "simulated"} for task in tasks]
    least.write_text(json.dumps(flat))
    with (tmp_path / "theirs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, flat[0].keys(), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(flat)
    semicolons = tmp_path / "simulated-2.csv"
    semicolons.write_text("\ufeff" + path.read_text().replace(",", ";"))
    found: list[Scored] = [score(tmp_path / "made", [file]) for file in (path, page, studio, semicolons)]
    found += [score(tmp_path / "made", [file]) for file in (least, tmp_path / "theirs.csv")]
    assert all(one == found[0] for one in found)
    assert all(set(task) == {"data", "annotations"} for task in tasks)  # an "id" of ours would be no business of theirs


# The page in a browser

browser = pytest.mark.skipif(find() is None, reason="no Chromium is installed")


@browser
def test_the_page_is_rated_by_keyboard_keeps_its_progress_and_saves_what_scores(tmp_path: Path) -> None:
    sheet = make(A, B, n=5, real=REAL, out=tmp_path / "made", attention=1, controls=1)
    kept = {1: "1", 2: "2", 0: "0"}
    with Browser(tmp_path) as page:
        page.open(tmp_path / "made" / "for-raters" / "sheet.html")

        def said(name: str) -> Any:
            return page.run(f"document.getElementById('{name}').textContent")

        assert page.run("document.querySelector('#left span').textContent") == sheet.items[0].left
        assert page.run("document.querySelector('#right span').textContent") == sheet.items[0].right
        assert said("question") == sheet.question
        for key in ("1", "ArrowRight", "0", "ArrowUp"):  # left, right, neither, and back to the third
            page.press(key)
        assert said("count") == "Pair 3 of 7"
        assert page.run("document.getElementById('neither').classList.contains('on')")  # its answer is shown
        page.press("ArrowLeft")
        page.reload()
        assert said("count") == "Pair 4 of 7"
        assert page.run("Object.values(state.choices)") == [1, 2, 1]
        page.run("document.getElementById('rater').focus()")
        for letter in "d2":  # typing a name rates nothing
            page.press(letter)
        assert page.run("document.getElementById('rater').value") == "d2"
        assert said("count") == "Pair 4 of 7"
        page.run("document.getElementById('rater').blur()")
        for key in ("ArrowDown", "2", "1", "2", "1"):  # one stroke more than there are pairs
            page.press(key)
        assert said("done") == "All 7 answered. Thank you."
        for kind in ("csv", "json"):
            page.run(f"document.getElementById('{kind}').click()")
        saved = [page.downloaded(kind) for kind in ("csv", "json")]
        rows = list(csv.DictReader(saved[0].open()))
        assert [row["choice"] for row in rows] == [kept[i] for i in (1, 2, 1, 0, 2, 1, 2)]
        assert [row["item"] for row in rows] == [item.id for item in sheet.items]
        assert {row["rater"] for row in rows} == {"d2"}
        one, other = (score(tmp_path / "made", [file], failed=1) for file in saved)
    assert one == other
    assert one.answers == 5


@browser
def test_hostile_lines_are_only_read_on_the_page(tmp_path: Path) -> None:
    sheet = make(HOSTILE, B, n=len(HOSTILE), out=tmp_path / "made", question="</title><b>?</b>")
    with Browser(tmp_path) as page:
        page.open(tmp_path / "made" / "for-raters" / "sheet.html")
        for item in sheet.items:
            assert page.run("document.querySelector('#left span').textContent") == item.left
            assert page.run("document.querySelector('#right span').textContent") == item.right
            page.press("1")
        assert page.run("window.hacked") is None
        assert page.run("document.querySelectorAll('img, b, iframe').length") == 0
        # the policy holds even against a script that were let in
        page.run(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked=1'}))"
        )
        assert page.run("window.hacked") is None


# The commands


def test_the_commands_make_plan_and_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pool_rows([*A, "left out"], source="gan", seed=0)
    write_pool(({**row, "selected": row["text"] != "left out"} for row in rows), tmp_path / "pool.jsonl")
    (tmp_path / "b.txt").write_text("\n".join(B) + "\n")
    (tmp_path / "real.txt").write_text("\n".join(REAL) + "\n")
    made = str(tmp_path / "made")
    pool, b, real = (tmp_path / name for name in ("pool.jsonl", "b.txt", "real.txt"))
    asked = ["make", pool, b, "--real", real, "-n", 40, "--out", made]
    assert main(["rate", *map(str, asked)]) == 0
    assert "40 pairs, 4 attention items, 4 controls" in capsys.readouterr().out
    assert main(["rate", "power", "--pref", ".6"]) == 0
    assert capsys.readouterr().out == "210\n"
    key = json.loads((tmp_path / "made" / "key.json").read_text())
    assert [key["texts"][name]["name"] for name in ("a", "b", "real")] == [pool.name, b.name, real.name]
    written = list(csv.DictReader((tmp_path / "made" / "for-raters" / "sheet.csv").open()))
    assert not any("left out" in row[side] for row in written for side in ("left", "right"))
    sheet = Sheet([], key["items"], key["sheet"], "")
    file = simulated_rater(sheet, "simulated", tmp_path, prefer=1.0, seed=1)
    assert main(["rate", "score", made, str(file), "--json", str(tmp_path / "score.json")]) == 0
    assert "this rater prefers A; others may not" in capsys.readouterr().out
    assert json.loads((tmp_path / "score.json").read_text())["win_rate"] == 1


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["power", "--pref", ".5"], 2, "--pref: a number from 0.505 to 0.995 was wanted, got '.5'"),
        (["make", "grammar:9", "grammar:9:1", "-n", "0", "--out", "x"], 2, "-n: a whole number from 1 to"),
        (["make", "grammar:9", "grammar:9:1", "-n", "50", "--out", "x"], 1, "distinct unused lines, 50 are wanted"),
        (["score", "nowhere", "x.csv"], 1, "nowhere/key.json: no such file; give the folder that"),
        (["mark"], 2, "'mark' is not one of make, power, score"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], code: int,
    said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["rate", *options]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
