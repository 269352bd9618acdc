"""Exports are inert: text becomes text in a terminal, a spreadsheet, a browser and LaTeX."""

from __future__ import annotations

import csv
import io

from textgan.evaluation import Evaluation, evaluate
from textgan.grammar import sample
from textgan.metrics import Score
from textgan.metrics.tables import together, with_interval

HOSTILE = "<script>alert(1)</script>\x1b[31m_&"
SCORES = [
    Score("BLEU-4", 0.34343, "higher", 50, "BLEU-4|n:50", 0.33, 0.36),
    Score("=1+1", 7.0, "match", 50, "=1+1|n:50"),
]
EVALUATION = Evaluation(
    SCORES, SCORES[:1], HOSTILE, "real.txt", 50, 0, ["a warning"], {"distinct-4": "no 4-grams"}, {"BLEU-4": "below"}, []
)


def test_the_table_has_value_interval_real_text_arrow_verdict_and_what_is_missing() -> None:
    table = EVALUATION.to_table()
    row = next(line for line in table.splitlines() if line.startswith("BLEU-4"))
    assert row.split() == ["BLEU-4", "0.343", "±", "0.015", "0.343", "±", "0.015", "↑", "below"]
    assert "not measured: distinct-4: no 4-grams" in table
    assert "warning: a warning" in table
    assert "\x1b" not in table


def test_the_table_of_all_metrics_fits_80_columns_and_begins_with_the_verdicts_in_short() -> None:
    table = evaluate(sample(60, 1) * 2, sample(240, 2), train=sample(240, 3), metrics="quick").to_table()
    head, rest = table.split("\n\n", 1)
    short, rows = rest.split("\n\n", 2)[:2]
    assert head.startswith("the text: 120 lines")
    assert any(line.startswith("less diverse than real text: self-BLEU-2..5") for line in short.splitlines())
    assert max(map(len, rows.splitlines())) <= 80


def test_names_of_neighbouring_orders_stand_together() -> None:
    names = ["BLEU-2", "BLEU-3", "BLEU-5", "novel-1-grams", "novel-2-grams", "MAUVE", "MAUVE*", "EAD"]
    assert together(names) == "BLEU-2..3, BLEU-5, novel-1..2-grams, MAUVE, MAUVE*, EAD"


def test_a_value_is_shown_to_the_place_of_its_error() -> None:
    shown = [with_interval(Score("m", 12.3456, "lower", 9, "m", 12.3456 - h, 12.3456 + h)) for h in (0.0, 0.0123, 3.4)]
    assert shown == ["12.35 ± 0", "12.346 ± 0.012", "12.3 ± 3.4"]


def test_csv_has_a_line_a_metric_and_no_formula() -> None:
    first, second = csv.DictReader(io.StringIO(EVALUATION.to_csv()))
    assert (float(first["value"]), float(first["real"]), first["verdict"]) == (0.34343, 0.34343, "below")
    assert (second["name"], second["real"]) == ("'=1+1", "")


def test_html_is_escaped_and_loads_nothing() -> None:
    page = EVALUATION.to_html()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page


def test_tex_is_escaped() -> None:
    score = Score("a_b & c%", 1.5, "lower", 3, "a_b")
    tex = EVALUATION._replace(scores=[score]).to_tex()
    assert r"a\_b \& c\% & 1.5 & - & $\downarrow$ & 3 \\" in tex
