"""Text comes in strictly, and goes out whole or not at all."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgan.errors import InputError
from textgan.sources import register
from textgan.text import one_line, read_lines, read_text, replacing, write_json, write_lines
from textgan.text.rows import ALL, TEXT, USED

REMEDY = "; mend the text, or read it with --encoding-errors replace or skip"
LONG = (
    "the line is longer than 1,000,000 bytes; one sentence a line was wanted; mend the text, or read it with "
    "--encoding-errors skip"
)
# What may stand in a line: all of Unicode but control characters and surrogates; separators more often than by chance.
characters = st.one_of(st.characters(exclude_categories=["Cc", "Cs"]), st.sampled_from("\t\u0085\u2028\u2029 a。"))
sentences = st.text(characters, min_size=1, max_size=30).filter(str.strip)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "FILE holds no text (blank lines: 0, skipped: 0); give at least one sentence"),
        (b"\n \r\n\xe2\x80\xa8\n", "FILE holds no text (blank lines: 3, skipped: 0); give at least one sentence"),
        (b"a\nb\xffc\n", f"FILE:2:2: byte 0xff is not UTF-8{REMEDY}"),
        (b"a \xe2\x82", f"FILE:1:3: byte 0xe2 is not UTF-8{REMEDY}"),  # cut within a character
        (b"\xed\xa0\x80\n", f"FILE:1:1: byte 0xed is not UTF-8{REMEDY}"),  # a surrogate
        (b"\xff\xfea\x00\n\x00", f"FILE:1:1: byte 0xff is not UTF-8{REMEDY}"),  # UTF-16
        ("é\x00".encode(), f"FILE:1:3: control character U+0000{REMEDY}"),
        (b"old\rMac\r", f"FILE:1:4: control character U+000D{REMEDY}"),
        ("a\x9bb".encode(), f"FILE:1:2: control character U+009B{REMEDY}"),
        (b"a\n" + b"x" * 10_000_000, f"FILE:2: {LONG}"),
    ],
)
def test_bad_bytes_are_refused_in_one_line_that_names_the_place(tmp_path: Path, raw: bytes, message: str) -> None:
    (file := tmp_path / "corpus.txt").write_bytes(raw)
    with pytest.raises(InputError) as caught:
        read_text(file)
    assert str(caught.value) == message.replace("FILE", str(file))


def test_rows_are_known_by_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a pipe and from a file of another name, too; text that only looks like them stays text."""
    rows = [{"text": "a dog", "weight": 2.0}, {"text": "a cat", "selected": False}, {"text": "a bird"}]
    written = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (file := tmp_path / "rows.json").write_bytes(written)
    for source in ("-", file):
        for wanted, found in ((TEXT, [0, 2]), (USED, [0, 2]), (ALL, [0, 1, 2])):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(written)))
            lines = read_text(source, rows=wanted).lines
            assert lines == [rows[i]["text"] if wanted == TEXT else json.dumps(rows[i]) for i in found]
    for line in ('{"text" is a key}', '{"word": "a"}', "{text}", "[1]", "{"):
        file.write_text(f"{line}\n{json.dumps(rows[0])}\n")
        assert read_text(file).lines == [line, json.dumps(rows[0])]
    file.write_bytes(written + b"a dog\n")
    with pytest.raises(InputError, match=r"rows.json:4: not a JSON row \(Expecting value\)"):
        read_text(file)


def test_a_pool_is_a_text_whatever_holds_it(tmp_path: Path) -> None:
    """Selected rows alone, over all shards; a blank row is counted as blank."""
    from textgan.augmentation.folder import FORMS, seal_pool

    rows = [{"text": f"line {i}", "selected": i != 2} for i in range(5)] + [{"text": " ", "selected": False}]
    for form in FORMS:
        folder = tmp_path / form
        folder.mkdir()
        for number, part in enumerate((rows[:3], rows[3:])):
            FORMS[form].write([row_of(row) for row in part], folder / f"rows-0000{number}.{form}")
        with pytest.raises(InputError, match="is not finished"):
            read_text(folder)
        seal_pool(folder, {}, ["# a pool"])
        found = read_text(folder)
        assert (list(found.lines), found.blank, found.name) == (["line 0", "line 1", "line 3", "line 4"], 1, form)
        assert list(read_text(folder / f"rows-00001.{form}").lines) == ["line 3", "line 4"]
        shard = folder / f"rows-00001.{form}"
        shard.write_bytes(shard.read_bytes()[:-4])
        with pytest.raises(InputError, match=rf"rows-00001.{form}: has .* bytes, and the MANIFEST says"):
            read_text(folder)


def row_of(row: dict[str, Any]) -> dict[str, Any]:
    from textgan.augmentation.pool import pool_rows

    return next(pool_rows([row["text"]], source="x")) | row


def test_packed_files_are_called_by_their_name(tmp_path: Path) -> None:
    packed = tmp_path / "text.txt"
    for data, said in (
        (gzip.compress(b"a line"), "is gzip and no text; unpack it first"),
        (b"PAR1\x15\x04", "is parquet and no text; call it .parquet"),
    ):
        packed.write_bytes(data)
        with pytest.raises(InputError, match=f"text.txt: {said}"):
            read_text(packed, errors="replace")
    packed.write_text("PAR1 is a receptor .\n")
    assert read_text(packed).lines == ["PAR1 is a receptor ."]
    with pytest.raises(InputError, match="cannot be read"):
        read_text("a text instead of its file's name " * 30)


def test_sources_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for source, message in {
        str(tmp_path / "none.txt"): f"{tmp_path}/none.txt: no such file; give a text file, - or grammar:N",
        str(tmp_path): f"{tmp_path}: is a folder; give a text file, or a pool that `textgan generate` has written",
        str(tmp_path / "loop"): f"{tmp_path}/loop: cannot be read (Too many levels of symbolic links)",
        "two\nlines": "'two\\nlines': no such file; give a text file, - or grammar:N",
        "grammar:": "'grammar:': grammar:N or grammar:N:SEED was wanted, N from 1 to 10,000,000",
        "grammar:0": "'grammar:0': grammar:N or grammar:N:SEED was wanted, N from 1 to 10,000,000",
        "grammar:99999999": "'grammar:99999999': grammar:N or grammar:N:SEED was wanted, N from 1 to 10,000,000",
    }.items():
        with pytest.raises(InputError) as caught:
            read_text(source)
        assert str(caught.value) == message
    with pytest.raises(InputError, match="errors 'ignore' is unknown; choose strict, replace or skip"):
        read_text(["a"], errors="ignore")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "lines holds no text (blank lines: 0, skipped: 0); give at least one sentence"),
        (["a", "b\nc"], f"lines:2:2: control character U+000A{REMEDY}"),
        (["a", "\ud800"], f"lines:2:1: control character U+D800{REMEDY}"),
        (["a", 3], "lines:2: a string was wanted, got int"),
    ],
)
def test_given_strings_are_read_as_strictly_as_files(lines: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_text(lines)
    assert str(caught.value) == message


def test_bad_lines_are_replaced_or_skipped_and_counted(tmp_path: Path) -> None:
    long = b"x" * 1_000_001
    (file := tmp_path / "corpus.txt").write_bytes(b"good\r\n\nb\xffd\n\x00\na\x0cb\n" + long + b"\nlast")
    skipped = read_text(file, errors="skip")
    assert skipped[0] == ["good", "last"]
    assert (skipped.blank, skipped.replaced, skipped.skipped) == (1, 0, 4)
    with pytest.raises(InputError, match="corpus.txt:6: the line is longer than 1,000,000 bytes"):
        read_text(file, errors="replace")  # nothing could stand for such a line
    file.write_bytes(file.read_bytes().replace(long, b"y" * 1_000_000))
    replaced = read_text(file, errors="replace")
    assert replaced.lines == ["good", "b\ufffdd", "a b", "y" * 1_000_000, "last"]
    assert (replaced.blank, replaced.replaced, replaced.skipped) == (2, 2, 0)  # the NUL line became blank


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    line = "a\u2028b\u2029c\u0085d\te"
    (file := tmp_path / "corpus.txt").write_bytes(f"\ufeff{line}\r\n\n{line}".encode())
    text = read_text(file)
    digest = hashlib.sha256(f"{line}\n{line}".encode()).hexdigest()
    assert text == ([line, line], "corpus.txt", digest, 1, 0, 0)
    assert read_text(text) is text


def test_standard_input_and_the_grammar_are_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a dog\r\na c\xffat\n")))
    with pytest.raises(InputError, match="standard input:2:4: byte 0xff is not UTF-8"):
        read_text("-")
    assert len(read_lines("grammar:5")) == 5
    assert read_text("grammar:5:3").name == "grammar:5:3"
    assert read_lines("grammar:5:3") != read_lines("grammar:5:4")


def test_a_corpus_of_ones_own_is_read_like_a_file_once_it_has_a_name() -> None:
    register("counts", lambda word: (f"number {i}" for i in range(int(word.removeprefix("counts:")))))
    found = read_text("counts:3")
    assert (found.name, found.lines) == ("counts:3", ["number 0", "number 1", "number 2"])
    register("counts", lambda word: [""])
    with pytest.raises(InputError, match="counts:3 holds no text"):
        read_text("counts:3")
    with pytest.raises(InputError, match="no such file"):
        read_text("numbers:3")
    with pytest.raises(InputError, match="two at least, was wanted, got 'c'"):
        register("c", lambda word: [])


def test_a_pool_gives_the_text_of_its_selected_rows(tmp_path: Path) -> None:
    rows = [{"text": "one", "id": 1}, {"text": "two", "selected": False}, {"text": "three", "selected": True}]
    (pool := tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    text = read_text(pool)
    assert (text.lines, text.blank) == (["one", "three"], 1)
    for row, message in {
        '{"text": ': "pool.jsonl:1: not a JSON row (Expecting value)",
        "[" * 100_000: "pool.jsonl:1: not a JSON row (",
        '["one"]': 'pool.jsonl:1: a JSON object with a string "text" was wanted',
        '{"text": 3}': 'pool.jsonl:1: a JSON object with a string "text" was wanted',
        '{"text": "a\\nb"}': "pool.jsonl:1:2: control character U+000A",
        '{"text": "\\ud800"}': "pool.jsonl:1:1: control character U+D800",
    }.items():
        pool.write_text(row)
        with pytest.raises(InputError) as caught:
            read_text(pool)
        assert message in str(caught.value) and "\n" not in str(caught.value)


# Writing


@given(lines=st.lists(sentences, min_size=1).filter(lambda lines: lines[0][0] != "\ufeff"))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    file = tmp_path_factory.getbasetemp() / "round.txt"
    write_lines(file, lines)
    assert read_text(file)[:1] == (lines,)


@given(text=st.text(st.characters()))
def test_one_line_makes_any_string_a_line(text: str) -> None:
    line = one_line(text)
    assert not line.strip() or read_lines([line]) == [line]
    assert len(line) == len(text)


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    write_lines(file, ["old"])
    for write, message in [
        (lambda: write_lines(file, ["good", "bad\nline"]), "line 2 holds a newline; pass it through one_line first"),
        (lambda: write_lines(file, ["\udcff"]), "line 1 holds half a surrogate pair; pass it through one_line first"),
        (lambda: write_json(file, {"loss": float("nan")}), "cannot be written as JSON (Out of range float values"),
        (lambda: write_lines(tmp_path / "no" / "a", ["a"]), "/no/a: cannot be written (No such file or directory)"),
        (lambda: write_lines(file / "out.txt", ["a"]), "cannot be written (Not a directory)"),
        (lambda: write_lines(tmp_path, ["a"]), "cannot be written (Is a directory)"),
        (lambda: write_lines("/dev/full", ["a"]), "/dev/full: cannot be written (No space left on device)"),
    ]:
        with pytest.raises(InputError) as caught:
            write()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt), replacing(file) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    assert file.read_text() == "old\n"


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    write_lines(file, ["old"])
    script = (
        "import resource, signal, sys; from textgan.text import write_lines\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_lines(sys.argv[1], ['x' * 9000])\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=True)
    assert done.stdout == f"{file}: cannot be written (File too large)\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"] and file.read_text() == "old\n"


def test_links_stay_links_and_devices_stay_devices(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (link := tmp_path / "link").symlink_to(tmp_path / "target")
    write_json(link, {"é": [1.5, None]})
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == '{\n  "é": [\n    1.5,\n    null\n  ]\n}\n'.encode()
    write_lines(os.devnull, ["gone"])
    assert not Path(os.devnull).is_file()
    write_lines("-", ["é"])
    assert capfdbinary.readouterr().out == "é\n".encode()


def test_reading_and_writing_need_no_heavy_library() -> None:
    script = (
        "import sys, textgan.text; print([m for m in ('torch', 'scipy', 'transformers', 'nltk') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
