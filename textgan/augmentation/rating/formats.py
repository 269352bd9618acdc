"""A sheet as people can fill it in: a page, a table, and tasks for Label Studio. All text in them is inert."""

import base64
import csv
import hashlib
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from textgan.text import write_json, write_lines

COLUMNS = ("sheet", "item", "left", "right", "choice")
TEMPLATE = Path(__file__).with_name("page.html")
CHOICES = {"left": "1", "right": "2", "tie": "0"}  # Label Studio's words for ours
LABELLING = """<View>
  <Header value="{question}"/>
  <View style="display:flex;gap:24px">
    <View style="flex:1"><Text name="left" value="$left"/></View>
    <View style="flex:1"><Text name="right" value="$right"/></View>
  </View>
  <Choices name="choice" toName="left" choice="single" showInline="true">
    <Choice value="left" hotkey="1"/>
    <Choice value="right" hotkey="2"/>
    <Choice value="tie" hotkey="0"/>
  </Choices>
</View>"""


def write_sheet(items: Sequence[tuple[str, str, str]], sha256: str, question: str, out: Path) -> None:
    """sheet.html, sheet.csv, label-studio.json and label-studio.xml of the items (id, left, right).

    Label Studio 1.23.2 imported the last two; `rate score` reads its exports as JSON, JSON-MIN and CSV alike.
    """
    write_lines(out / "sheet.html", page(items, sha256, question).rstrip("\n").split("\n"))
    write_lines(out / "sheet.csv", table(items, sha256))
    tasks = [{"data": {"sheet": sha256, "item": item, "left": left, "right": right}} for item, left, right in items]
    write_json(out / "label-studio.json", tasks)  # without "id", which Label Studio keeps for itself on import
    write_lines(out / "label-studio.xml", LABELLING.format(question=escape(question)).split("\n"))


def page(items: Sequence[tuple[str, str, str]], sha256: str, question: str) -> str:
    """One HTML file: its script is its own and is named by its hash in the page's policy; the items are data."""
    before, rest = TEMPLATE.read_text(encoding="utf-8").split("<script>")
    script, after = rest.split("</script>")
    mark = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = json.dumps({"sheet": sha256, "question": question, "items": items}, ensure_ascii=True)
    data = data.replace("<", "\\u003c").replace("&", "\\u0026")  # so no sentence can end the element that holds it
    return f"{before.replace('SCRIPT-HASH', mark).replace('SHEET-DATA', data)}<script>{script}</script>{after}"


def table(items: Sequence[tuple[str, str, str]], sha256: str) -> list[str]:
    """The lines of a CSV with an empty column `choice`: 1 left, 2 right, 0 neither."""
    return [_row(COLUMNS), *(_row((sha256, item, left, right, "")) for item, left, right in items)]


def _row(cells: Sequence[Any]) -> str:
    """A CSV line; a cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    stream = io.StringIO()
    guarded = [f"'{cell}" if str(cell).startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells]
    csv.writer(stream, lineterminator="").writerow(guarded)
    return stream.getvalue()
