"""Tables in Markdown: cells whole and as they are."""

from izhi.experiments.tables import markdown


def cells(line):
    return [cell.strip() for cell in line.strip("|").replace("\\|", "\0").split("|")]


def test_a_table_has_a_rule_with_its_alignments_and_a_line_for_each_row():
    lines = markdown(("name", "share"), [("LUT", "1.5%"), ("FF", 12)], right=(1,)).splitlines()
    assert [cells(line) for line in (lines[0], *lines[2:])] == [
        ["name", "share"], ["LUT", "1.5%"], ["FF", "12"]
    ]  # fmt: skip
    first, second = cells(lines[1])
    assert (first, second) == ("---", "---:")
    assert lines[2] == "| LUT | 1.5% |"


def test_cells_are_neither_cut_nor_wrapped_nor_interpreted():
    long = "of a very long cell " * 100
    lines = markdown(("", "b"), [(long, "[bold]a|b[/bold]"), ("two\nlines", ":smile:")]).splitlines()
    assert len(lines) == 4
    assert cells(lines[2]) == [long.strip(), "[bold]a\0b[/bold]"]
    assert cells(lines[3]) == ["two lines", ":smile:"]
