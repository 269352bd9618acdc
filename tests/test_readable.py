"""Figures and columns as people read them."""

from textgan.readable import DASH, columns, number, percent, signed, span


def test_numbers_are_written_for_people() -> None:
    values = [0.12345, 3.14159, 25.13, 1234.5, 1000, 0, -0.5, 1e-5, None]
    written = ["0.123", "3.14", "25.1", "1,234", "1,000", "0", "\u22120.500", "1.00e\u221205", DASH]
    assert [number(value) for value in values] == written
    written = ["+0.100", "\u22120.100", "0.000", "\u00b10.000", DASH]
    assert [signed(value) for value in (0.1, -0.1, 0.0, 1e-6, None)] == written
    assert (percent(0.25), span(-0.01, 0.02)) == ("25.00 %", "\u22121.00 to 2.00")


def test_columns_stand_below_each_other_and_cannot_steer_a_terminal() -> None:
    rows = [("name", "n"), ("a\x1b[31m", "10"), ("bb", "\u202e7")]
    assert columns(rows) == ["name    n", "a?[31m  10", "bb      ?7"]  # the widest cell and two spaces
    assert columns(rows, rule=True)[1] == "-" * 10  # as long as the longest line
