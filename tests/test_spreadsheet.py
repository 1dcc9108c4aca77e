"""CSV that people open in a spreadsheet: nothing in it is run, and nothing of it is lost on the way back."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.customers.csv_file import import_csv
from offhook.adapters.customers.fields import Reason
from offhook.adapters.customers.spreadsheet import as_it_was, as_text, write_rows
from tests.test_customers_csv import Table

pytestmark = pytest.mark.unit

FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
RUN = (*FORMULAS, "\t", "\r", "\n", "\0")
PIECES = st.sampled_from([*RUN, "'", '"', ",", ";", "|", " ", "\u00a0", "a", "1", "cmd|' /C calc'!A0"])
CELLS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=12)


def is_run(cell: str) -> bool:
    """What a spreadsheet may take for a formula; some ignore white space before it."""
    return cell.startswith(RUN) or cell.strip().startswith(FORMULAS)


@given(CELLS)
def test_no_cell_is_run(cell: str) -> None:
    assert not is_run(as_text(cell))


@given(CELLS, st.sampled_from(",;\t|"))
def test_no_part_of_a_cell_is_run_where_another_character_separates(cell: str, separator: str) -> None:
    """Excel takes a CSV apart at what the computer's region says, whatever is in quotes."""
    parts = re.split(rf'[{separator}"\r\n]', as_text(cell))
    assert [part for part in parts if part.strip().startswith(FORMULAS)] == []


@given(CELLS)
def test_what_was_made_text_comes_back_as_it_was(cell: str) -> None:
    assert as_it_was(as_text(cell)) == cell


@given(st.lists(CELLS, min_size=1, max_size=4))
def test_a_file_gives_back_the_cells_that_were_written(cells: list[str]) -> None:
    file = io.StringIO(newline="")
    write_rows(file, [cells])
    [read] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert [as_it_was(cell) for cell in read] == cells


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("+14155550100", "'+14155550100"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("-5", "'-5"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t'=1"),
        ('+1415,"=1;=2",C1', "'+1415,\"'=1;'=2\",C1"),
        ("'=1", "''=1"),
        ("'", "''"),
        ("", ""),
        ("C-1", "C-1"),
        ("ann+tag@example.com", "ann+tag@example.com"),
        ("415-867-5309,,C1", "415-867-5309,,C1"),
    ],
)
def test_only_what_would_be_run_is_marked(cell: str, text: str) -> None:
    assert as_text(cell) == text


def test_time_grows_with_the_length_of_a_cell_alone() -> None:
    """65,536 characters, a row's limit, in the shapes that could make a pattern look again and again."""
    for shape in ("\t", "'", ",", ", ", "\t ", '"', "\u00a0"):
        cell = shape * 32_000 + " " * 1000 + "x"
        assert as_it_was(as_text(cell)) == cell


CUSTOMERS = st.tuples(
    st.sampled_from(["+14158675309", "(415) 867-5310", "+447700900123", "415-867-5311"]),
    st.sampled_from(["", "a@example.com", "=a@example.com", "+a@example.com", "-a@example.com", "'=a@example.com"]),
    st.sampled_from(["C1", "=1+1", "-5", "@x", "'-5", "C;=1", 'C"=1', "＝1", "+14155550100"]),
)


@given(st.lists(CUSTOMERS, min_size=1, max_size=6, unique_by=lambda row: row[0]))
def test_a_mapping_that_we_wrote_is_imported_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    """Through our CSV, or through anybody's that marks nothing; but for an apostrophe that somebody's spreadsheet put there."""
    folder = tmp_path_factory.mktemp("mapping")
    ours, theirs = folder / "ours.csv", folder / "theirs.csv"
    named = [("phone", "email", "customer_id"), *rows]
    with ours.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, named)
    cells = [cell for row in csv.reader(ours.open(encoding="utf-8", newline="")) for cell in row]
    assert not any(map(is_run, cells))
    table = Table()
    assert import_csv(ours, table).complete
    phones = ["+14158675309", "+14158675310", "+447700900123", "+14158675311"]
    by_spelling = dict(zip(["+14158675309", "(415) 867-5310", "+447700900123", "415-867-5311"], phones, strict=True))
    assert table.rows == {by_spelling[row[0]]: (row[1].lstrip("'") or None, row[2].lstrip("'")) for row in rows}
    with theirs.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([row for row in named if "'" not in "".join(row)])
    assert import_csv(theirs, Table()).complete


ROWS = st.sampled_from(
    [
        "+14158675309,=nobody,C1",
        "-5,a@example.com,C1",
        "=cmd|' /C calc'!A0,a@example.com,C1",
        '"=1+1",a@example.com,C1',
        "@x,,C1",
        '+14158675309,"nobody;=1",C1',
        "+14158675309,,",
        "'+1415,a@example.com,C1",
        "+14158675310,\t=nobody,C1",
    ]
)


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_rejected_rows_put_back_under_a_header_are_judged_as_before(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("rejects")
    first, second = folder / "first.csv", folder / "second.csv"
    first.write_text("phone,email,customer_id\n" + "\n".join(rows) + "\n", encoding="utf-8")
    report = import_csv(first, Table())
    assert report.rejected == len(rows) and report.rejects_path
    with report.rejects_path.open(encoding="utf-8", newline="") as file:
        rejects = list(csv.DictReader(file))
    assert [row for row in rejects if any(map(is_run, row.values()))] == []
    assert [as_it_was(row["row"]) for row in rejects] == rows
    second.write_text("phone,email,customer_id\n" + "".join(f"{row['row']}\n" for row in rejects), encoding="utf-8")
    assert import_csv(second, Table()).reasons == report.reasons
    assert Reason.COLUMNS not in report.reasons
