"""The import of customers: every row is taken or named with its line and reason, and nothing depends on the file's dress."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.adapters.customers.csv_file import ImportReport, default_rejects_path, import_csv
from offhook.adapters.customers.fields import ImportLimits
from offhook.adapters.customers.lines import ImportRefused
from offhook.adapters.customers.spreadsheet import as_it_was
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import UNNAMED, Brought, MergeCounts
from tests.conftest import give_tables

pytestmark = pytest.mark.unit

HEADER = "phone,email,customer_id\n"
FEW = settings(max_examples=50, deadline=None)


class Table:
    """A mapping in memory that counts its transactions."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str | None, str | None]] = {}
        self.shared: dict[str, int] = {}
        self.transactions: list[int] = []

    def merge_customers(self, rows: Sequence[Customer], _brought: Brought = UNNAMED, /) -> MergeCounts:
        assert len({row.phone for row in rows}) == len(rows)
        self.transactions.append(len(rows))
        every = [self._take(row) for row in rows]
        return MergeCounts(*(every.count(what) for what in MergeCounts._fields))

    def _take(self, row: Customer) -> str:
        """What this does to its number, in the words of MergeCounts; "" for what they do not count."""
        said = (row.email, row.customer_id) if row.people == 1 else row.people
        was = self.rows.pop(row.phone, None) or self.shared.pop(row.phone, None)
        if row.people == 1:
            self.rows[row.phone] = (row.email, row.customer_id)
        else:
            self.shared[row.phone] = row.people
        if was is None or was == said:
            return "" if row.people > 1 else "added" if was is None else "unchanged"
        return "changed"

    def retire_customers(self, phones: Collection[str], _brought: Brought, /) -> int:
        return sum(self.rows.pop(phone, None) is not None for phone in phones)

    def known_phones(self, after: str, limit: int, /) -> Sequence[str]:
        return sorted(phone for phone in self.rows if phone > after)[:limit]


class Import:
    """A directory, a table, and what an import of some text does with them."""

    def __init__(self, folder: Path) -> None:
        self.table = Table()
        self.path = folder / "customers.csv"
        self.rejects = default_rejects_path(self.path)

    def __call__(self, content: str | bytes, **options: Any) -> ImportReport:
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return import_csv(self.path, self.table, **options)

    def rejected(self, path: Path | None = None) -> list[tuple[int, str, str]]:
        with (path or self.rejects).open(encoding="utf-8", newline="") as file:
            return [(int(row["line"]), row["reason"], as_it_was(row["row"])) for row in csv.DictReader(file)]

    def details(self) -> list[str]:
        with self.rejects.open(encoding="utf-8", newline="") as file:
            return [row["detail"] for row in csv.DictReader(file)]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    return Import(tmp_path)


def test_good_rows_are_taken_with_their_numbers_in_e164(imported: Import) -> None:
    report = imported(
        HEADER + '"(415) 867-5309", ann@example.com ,C1\n+44 20 7183 8750,,C2\n415.867.5310,bob@example.com,\n'
    )
    assert imported.table.rows == {
        "+14158675309": ("ann@example.com", "C1"),
        "+442071838750": (None, "C2"),
        "+14158675310": ("bob@example.com", None),
    }
    assert (report.rows, report.added, report.rejected, report.complete) == (3, 3, 0, True)
    assert report.rejects_path is None and not imported.rejects.exists()


def test_the_same_file_twice_changes_nothing(imported: Import) -> None:
    text = HEADER + "".join(f"+1415867{n:04},a{n}@example.com,C{n}\n" for n in range(300))
    imported(text)
    before = dict(imported.table.rows)
    report = imported(text)
    assert (report.unchanged, report.added, report.changed) == (report.rows, 0, 0)
    assert imported.table.rows == before


def test_a_changed_row_is_counted_as_changed(imported: Import) -> None:
    imported(HEADER + "+14158675309,ann@example.com,C1\n+14158675310,,C2\n")
    report = imported(HEADER + "+14158675309,ann@example.org,C1\n+14158675310,,C2\n")
    assert (report.changed, report.unchanged) == (1, 1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",a@example.com,C1", "phone_missing"),
        (" ,a@example.com,C1", "phone_missing"),
        ("Anonymous,a@example.com,C1", "phone_withheld"),
        ("+86282452253,a@example.com,C1", "phone_withheld"),
        ("12345,a@example.com,C1", "phone_unreadable"),
        ("hello,a@example.com,C1", "phone_unreadable"),
        ("client:ann,a@example.com,C1", "phone_unreadable"),
        ("4.158675309E+09,a@example.com,C1", "phone_unreadable"),
        ("+14158675309,,", "no_customer"),
        ("+14158675309, , ", "no_customer"),
        ("+14158675309,nobody,C1", "email_invalid"),
        ("+14158675309,a b@example.com,C1", "email_invalid"),
        ("+14158675309,abcdef0123456789,C1", "email_invalid"),
        ("+14158675309,a\x07@example.com,C1", "control_character"),
        ("+14158675309,a@example.com,C\x001", "control_character"),
        ("+14158675309,,6.9401E+12", "id_lost_digits"),
        ("+14158675309,,6,9401e+12", "columns"),
        ("+14158675309", "no_customer"),
        ("+14158675309,,NULL", "no_customer"),
        ("+14158675309,n/a,#N/A", "no_customer"),
        ("null,a@example.com,C1", "phone_missing"),
        ("+17378742833,a@example.com,C1", "phone_withheld"),
        ("+10000000000,a@example.com,C1", "phone_unreadable"),
        ("4155550142.5,a@example.com,C1", "phone_unreadable"),
        ("+14158675309,nobody; noone,C1", "email_invalid"),
        ("+14158675309,a@example.com,C1,more", "columns"),
        (f"+1415867{'5' * 100},a@example.com,C1", "too_long"),
        (f"+14158675309,{'a' * 400}@example.com,C1", "too_long"),
        (f"+14158675309,a@example.com,{'C' * 400}", "too_long"),
        (f"+14158675309,a@example.com,{'C' * 100_000}", "too_long"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_reason_and_the_others_are_taken(
    imported: Import, row: str, reason: str
) -> None:
    report = imported(f"{HEADER}+14158675000,x@example.com,C0\n{row}\n+14158675001,y@example.com,C9\n")
    [(line, found, text)] = imported.rejected()
    assert (line, found) == (3, reason)
    assert text == row or (len(row) > 65_536 and row.startswith(text))
    assert sorted(imported.table.rows) == ["+14158675000", "+14158675001"]
    assert (report.rows, report.rejected, report.reasons) == (2, 1, {reason: 1})
    assert report.rejects_path == imported.rejects and not report.complete


def test_bytes_that_are_not_utf8_cost_only_their_own_row_and_stand_in_the_rejects(imported: Import) -> None:
    imported(HEADER.encode() + b"+14158675309,jos\xe9@example.com,C1\n+14158675310,jos\xc3\xa9@example.com,C2\n")
    assert imported.rejected() == [(2, "not_utf8", "+14158675309,jos\\xe9@example.com,C1")]
    assert imported.table.rows == {"+14158675310": ("josé@example.com", "C2")}
    assert "--encoding cp1252" in imported.details()[0]


@pytest.mark.parametrize(
    ("encoding", "option"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("utf-16-le", "utf-16-le"), ("cp1252", "cp1252")],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_line_ends_and_delimiters_are_all_the_same(
    imported: Import, encoding: str, option: str | None, newline: str, delimiter: str
) -> None:
    text = "Phone,EMAIL, customer_id \n+14158675309,josé@example.com,C1\nbad,a@example.com,C2\n+14158675310,,C3"
    imported(text.replace(",", delimiter).replace("\n", newline).encode(encoding), encoding=option)
    assert imported.table.rows == {"+14158675309": ("josé@example.com", "C1"), "+14158675310": (None, "C3")}
    assert [line for line, _, _ in imported.rejected()] == [3]


def test_what_another_encoding_cannot_read_is_rejected_too(imported: Import) -> None:
    imported(HEADER.encode() + b"+14158675309,jos\x81@example.com,C1\n", encoding="cp1252")
    assert [reason for _, reason, _ in imported.rejected()] == ["not_decodable"]


def test_a_gzipped_file_is_read_as_it_is(imported: Import) -> None:
    imported(gzip.compress((HEADER + "+14158675309,,C1\n").encode()))
    assert list(imported.table.rows) == ["+14158675309"]


def test_a_gzipped_file_that_was_cut_off_is_refused_before_anything_is_taken(imported: Import) -> None:
    rows = "".join(f"+1415{2_000_000 + n * 7919 % 8_000_000},a{n * 7919}@example.com,C{n}\n" for n in range(20_000))
    with pytest.raises(ImportRefused, match="cannot be read to its end"):
        imported(gzip.compress((HEADER + rows).encode())[:-2000], chunk_rows=100)
    assert imported.table.transactions == []


@pytest.mark.parametrize(
    "content",
    [HEADER + "+14158675309,,C1\n" * 100, '{"phone": "+14158675309", "customer_id": "C1"}\n' * 50, HEADER + "x" * 3000],
)
def test_a_gzipped_file_that_unpacks_to_more_than_it_may_is_refused_before_anything_is_taken(
    imported: Import, content: str
) -> None:
    with pytest.raises(ImportRefused, match=r"more than 1,200 bytes .*OFFHOOK_CUSTOMERS_UNPACKED_BYTES.*smaller files"):
        imported(gzip.compress(content.encode()), limits=ImportLimits(unpacked=1200), chunk_rows=10)
    assert imported.table.transactions == [] and not imported.rejects.exists()


def test_a_gzipped_file_may_unpack_to_as_much_as_the_limit_says_and_one_that_is_not_packed_to_more(
    imported: Import,
) -> None:
    content = (HEADER + "+14158675309,,C1\n" * 100).encode()
    assert imported(gzip.compress(content), limits=ImportLimits(unpacked=len(content))).rows == 100
    assert imported(content, limits=ImportLimits(unpacked=1200)).rows == 100


def test_rows_that_cannot_be_used_are_progress_too(imported: Import) -> None:
    seen: list[int] = []
    imported(HEADER + "nobody,,\n" * 95, chunk_rows=10, progress=seen.append)
    assert len(seen) == 11


def test_standard_input_is_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEADER + "+14158675309,,C1\nx,,C1\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))
    table = Table()
    report = import_csv("-", table, rejects_path=tmp_path / "rejects.csv")
    assert (report.rows, report.rejected, list(table.rows)) == (1, 1, ["+14158675309"])
    assert not sys.stdin.closed


def test_excels_sep_line_and_blank_lines_are_no_rows(imported: Import) -> None:
    report = imported("sep=;\n\nphone;email;customer_id\n\n+14158675309;;C1\n  \n;;\n")
    assert (report.rows, report.rejected) == (1, 1)
    assert imported.rejected() == [(7, "phone_missing", ";;")]


def test_line_numbers_are_those_of_an_editor_although_a_quoted_field_holds_newlines(imported: Import) -> None:
    imported('phone,email,note\n+14158675309,a@example.com,"one\r\ntwo\nthree"\nbad,b@example.com,x\n')
    assert [(line, reason) for line, reason, _ in imported.rejected()] == [(5, "phone_unreadable")]


@pytest.mark.parametrize("good_rows", [3, 20_000])
def test_a_quote_that_is_never_closed_costs_one_row_and_not_the_rest_of_the_file(
    imported: Import, good_rows: int
) -> None:
    good = [f"+1415{2_000_000 + n},a{n}@example.com,C{n}\n" for n in range(good_rows)]
    report = imported(HEADER + good[0] + '+14168675309,"oops@example.com,C1\n' + "".join(good[1:]))
    assert imported.rejected() == [(3, "quotes", '+14168675309,"oops@example.com,C1')]
    assert report.rows == good_rows


def test_a_spreadsheets_way_to_keep_a_plus_is_understood(imported: Import) -> None:
    imported(HEADER + '\'+14158675309,,C1\n"=""+14158675310""",,C2\n')
    assert sorted(imported.table.rows) == ["+14158675309", "+14158675310"]


@pytest.mark.parametrize("length", [32, 40, 64])
def test_an_email_may_be_hashed(imported: Import, length: int) -> None:
    imported(HEADER + f"+14158675309,{'aB3' * 30:.{length}},\n")
    assert imported.table.rows["+14158675309"] == (("aB3" * 30)[:length], None)


def test_a_customer_id_that_is_an_email_is_taken_and_counted(imported: Import) -> None:
    report = imported(HEADER + "+14158675309,,ann@example.com\n+14158675310,,C@2\n+14158675311,,C3\n")
    assert (report.rows, report.customer_ids_that_are_emails) == (3, 2)


@pytest.mark.parametrize("columns", [("Mobile", "E-Mail", "Id"), (" mobile ", "", "ID")])
def test_columns_have_the_names_that_they_are_said_to_have(imported: Import, columns: tuple[str, str, str]) -> None:
    imported("ID,Name,MOBILE,\nC1,Ann,+14158675309,\n", columns=columns)
    assert imported.table.rows == {"+14158675309": (None, "C1")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"Telephone;Mail\n1;2\n", '"Telephone", "Mail".*--columns.*OFFHOOK_CUSTOMERS_COLUMNS'),
        (b"phone,name\n1,2\n", '"phone", "name"'),
        (b"email,customer_id\n1,2\n", '"email", "customer_id"'),
        (b"phone,Phone,email\n1,2,3\n", '"phone" twice'),
        (b"t\xe9l\xe9phone,email\n", r"t.*l.*phone"),
        ("phone,email\n".encode("utf-16-le"), "--encoding utf-16-le"),
        (b"x" * 100_000, "is it a CSV file"),
        (b"\x1f\x8b broken", "cannot be read"),
    ],
)
def test_a_file_without_its_columns_is_refused_with_what_to_do(imported: Import, content: bytes, message: str) -> None:
    with pytest.raises(ImportRefused, match=message):
        imported(content)
    assert imported.table.transactions == []


def test_what_cannot_be_opened_or_written_is_refused(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="cannot be opened"):
        import_csv(tmp_path / "nowhere.csv", imported.table)
    with pytest.raises(ImportRefused, match="no text encoding"):
        imported(HEADER, encoding="klingon")
    with pytest.raises(ImportRefused, match="no text encoding"):
        imported(HEADER, encoding="rot13")
    with pytest.raises(ImportRefused, match="--rejects"):
        imported(HEADER, rejects_path=tmp_path / "no" / "such" / "folder.csv")
    with pytest.raises(ImportRefused, match="--rejects"):
        imported(HEADER, rejects_path=imported.path)


def test_a_header_alone_is_an_import_of_nothing(imported: Import) -> None:
    report = imported(HEADER)
    assert (report.rows, report.rejected, report.complete, imported.table.transactions) == (0, 0, True, [])


THREE = """\
+14158675309,a@example.com,C1
+14158675310,z@example.com,C9
(415) 867-5309,b@example.com,C2
+14158675309,a@example.com,C1
"""


@pytest.mark.parametrize(
    ("conflict", "winner", "lines", "duplicates"),
    [
        ("last", ("a@example.com", "C1"), [4], 1),
        ("first", ("a@example.com", "C1"), [4], 1),
        ("none", None, [2, 4], 1),
    ],
)
def test_one_phone_with_two_customers_is_a_conflict_and_settled_by_the_policy(
    imported: Import, conflict: Any, winner: Any, lines: list[int], duplicates: int
) -> None:
    report = imported(HEADER + THREE, conflict=conflict)
    assert imported.table.rows.get("+14158675309") == winner
    assert imported.table.rows["+14158675310"] == ("z@example.com", "C9")
    assert [(line, reason) for line, reason, _ in imported.rejected()] == [(line, "conflict") for line in lines]
    assert (report.conflicts, report.duplicate_rows, report.rejected) == (len(lines), duplicates, 0)
    assert imported.table.shared == ({"+14158675309": 2} if winner is None else {})
    assert report.rows == report.added + report.duplicate_rows + report.conflicts


@pytest.mark.parametrize(("conflict", "winner", "loser_line"), [("last", "C2", 2), ("first", "C1", 3)])
def test_a_conflict_names_the_line_that_is_used_and_shows_the_one_that_is_not(
    imported: Import, conflict: Any, winner: str, loser_line: int
) -> None:
    imported(HEADER + "+14158675309,,C1\n415-867-5309,,C2\n", conflict=conflict)
    assert imported.table.rows == {"+14158675309": (None, winner)}
    [(line, _, row)] = imported.rejected()
    assert line == loser_line and row.startswith(("+14158675309", "415-867-5309")[loser_line - 2])
    assert f"line {5 - loser_line} " in imported.details()[0]


def test_an_identical_row_is_no_conflict(imported: Import) -> None:
    report = imported(HEADER + "+14158675309,,C1\n(415) 867-5309,,C1\n")
    assert (report.rows, report.added, report.duplicate_rows, report.conflicts) == (2, 1, 1, 0)
    assert not imported.rejects.exists()


def test_the_rejects_of_one_import_stay_whatever_the_next_one_rejects(imported: Import) -> None:
    paths = [imported(HEADER + row).rejects_path for row in ("x,,C1\n", "+14158675309,,C1\n", "y,,C1\n", "y,,C1\n")]
    names = ["customers.csv.rejected.csv", None, "customers.csv.rejected-2.csv", "customers.csv.rejected-2.csv"]
    assert [path and path.name for path in paths] == names
    assert imported.rejected() == [(2, "phone_unreadable", "x,,C1")]
    assert "y,,C1" in (imported.path.parent / names[2]).read_text()  # type: ignore[operator]
    assert sorted(path.name for path in imported.path.parent.iterdir()) == sorted(
        {"customers.csv", *filter(None, names)}
    )


def test_a_name_that_was_asked_for_is_written_over_and_goes_when_there_is_nothing_to_report(imported: Import) -> None:
    wished = imported.path.parent / "r.csv"
    assert imported(HEADER + "x,,C1\n", rejects_path=wished).rejects_path == wished
    imported(HEADER + "y,,C1\n", rejects_path=wished)
    assert "y,,C1" in wished.read_text() and "x,,C1" not in wished.read_text()
    assert imported(HEADER + "+14158675309,,C1\n", rejects_path=wished).rejects_path is None
    assert not wished.exists()


def test_rejects_stand_in_the_files_order_whatever_their_reason(imported: Import) -> None:
    imported(HEADER + "+14158675309,,C1\nx,,C1\n+14158675309,,C2\n+14158675310,,\n", conflict="last")
    assert [line for line, _, _ in imported.rejected()] == [2, 3, 5]


def test_the_table_is_given_short_transactions(imported: Import) -> None:
    imported(HEADER + "".join(f"+1415867{n:04},,C{n}\n" for n in range(25)), chunk_rows=10)
    assert imported.table.transactions == [10, 10, 5]


def test_what_the_table_raises_passes_and_leaves_no_file_behind(
    imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_rows: Sequence[Customer], _brought: Brought, /) -> MergeCounts:
        raise ConnectionError

    monkeypatch.setattr(imported.table, "merge_customers", down)
    with pytest.raises(ConnectionError):
        imported(HEADER + "+14158675309,,C1\nx,,C2\n")
    assert list(imported.path.parent.iterdir()) == [imported.path]


def test_progress_grows_to_the_size_of_the_file(imported: Import) -> None:
    positions: list[int] = []
    imported(
        HEADER + "".join(f"+1415{2_000_000 + n},,C{n}\n" for n in range(5000)),
        chunk_rows=500,
        progress=positions.append,
    )
    assert positions == sorted(positions)
    assert positions[-1] == imported.path.stat().st_size
    assert len(positions) > 10


def test_the_limit_of_a_row_can_be_set(imported: Import) -> None:
    report = imported(HEADER + f"+14158675309,,C1{' ' * 200}\n+14158675310,,C2\n", limits=ImportLimits(row=100))
    assert (report.rows, report.reasons) == (1, {"too_long": 1})


# What people's exports look like


LIKE_TWO = ("+14155550142", "+14155550143")


@pytest.mark.parametrize(
    "row",
    [
        "+14155550142,ann@example.com",
        "+14155550142,ann@example.com,,,,",
        "'+14155550142,'ann@example.com,",
        '"=""+14155550142""",mailto:ann@example.com,null',
        '"=""4155550142""","=""ann@example.com""",N/A',
        "4155550142.0,MAILTO:ann@example.com?subject=Hello,#N/A",
        "\u201c(415) 555-0142\u201d,\u2018ann@example.com\u2019,undefined",
        '"""+14155550142""",Ann <ann@example.com>,-',
        "\ufeff+14155550142\u200b,\u00a0ann@example.com\u200b,nil",
        "tel:+1-415-555-0142,<ann@example.com>,NaN",
        "415-555-0142 x101,ann@example.com,None",
    ],
)
def test_a_row_is_what_it_means_whatever_dress_its_cells_have(imported: Import, row: str) -> None:
    report = imported(f"{HEADER}{row}\n")
    assert imported.table.rows == {"+14155550142": ("ann@example.com", None)}
    assert (report.rows, report.complete, report.partly) == (1, True, 0)


@pytest.mark.parametrize(
    ("cell", "customer_id"),
    [
        ("'6940095500002", "6940095500002"),
        ('"=""0123"""', "0123"),
        ("123.0", "123"),
        ("123.00", "123"),
        ("\u201cC1\u201d", "C1"),
        ("'C1'", "C1"),
        ("''007", "007"),
        ("12E4", "12E4"),
        ("6E10", "6E10"),
        ("1.5", "1.5"),
        ("O'Brien", "O'Brien"),
        ("N", "N"),
        ("0", "0"),
        ("gid://shopify/Customer/6940095500002", "gid://shopify/Customer/6940095500002"),
    ],
)
def test_an_id_is_undressed_and_otherwise_left_alone(imported: Import, cell: str, customer_id: str) -> None:
    imported(f"{HEADER}+14155550142,,{cell}\n")
    assert imported.table.rows == {"+14155550142": (None, customer_id)}


@pytest.mark.parametrize("cell", ["6.9401E+12", "6,9401e+12", "7E+12", "'6.9401E+12"])
def test_an_id_that_lost_its_digits_is_refused_and_the_email_beside_it_used(imported: Import, cell: str) -> None:
    report = imported(f'{HEADER}+14155550144,a@example.com,"{cell}"\n')
    assert imported.table.rows == {"+14155550144": ("a@example.com", None)}
    assert [reason for _, reason, _ in imported.rejected()] == ["id_lost_digits"]
    assert "the rest of the row is used" in imported.details()[0]
    assert (report.rows, report.rejected, report.partly, report.complete) == (1, 0, 1, True)


@pytest.mark.parametrize(
    ("cell", "email", "reasons"),
    [
        ("ann@example.com; not an email", "ann@example.com", ["email_invalid"]),
        ("not an email, ann@example.com", "ann@example.com", ["email_invalid"]),
        ("ann@example.com; bo@example.com", "ann@example.com", ["email_second"]),
        ("ann@example.com;ANN@example.com", "ann@example.com", []),
        ("ann@example.com;", "ann@example.com", []),
        ("null; ann@example.com", "ann@example.com", []),
    ],
)
def test_a_second_email_in_a_cell_does_not_lose_the_row(
    imported: Import, cell: str, email: str, reasons: list[str]
) -> None:
    report = imported(f'{HEADER}+14155550142,"{cell}",C1\n')
    assert imported.table.rows == {"+14155550142": (email, "C1")}
    assert ([reason for _, reason, _ in imported.rejected()] if reasons else []) == reasons
    assert report.rejected == 0


@pytest.mark.parametrize(
    ("cell", "region", "phones"),
    [
        ("+14155550142; +14155550143", "US", LIKE_TWO),
        ("(415) 555-0142, (415) 555-0143", "US", LIKE_TWO),
        ("415-555-0142 / 415-555-0143", "US", LIKE_TWO),
        ("4155550142/4155550143", "US", LIKE_TWO),
        ("4155550142;4155550143", "US", LIKE_TWO),
        ("+1 415 555 0142 +1 415 555 0143", "US", LIKE_TWO),
        ("4155550142 or 4155550143", "US", LIKE_TWO),
        ("4155550142 & 4155550143", "US", LIKE_TWO),
        ("'4155550142'\n'4155550143'", "US", LIKE_TWO),
        ("415-555-0142  415-555-0143", "US", LIKE_TWO),
        ("4155550142 x101; 4155550143 x102", "US", LIKE_TWO),
        ("4155550142; ext. 101", "US", LIKE_TWO[:1]),
        ("4155550142, mobile", "US", LIKE_TWO[:1]),
        ("4155550142; 4155550142", "US", LIKE_TWO[:1]),
        ("07131/1234567", "DE", ("+4971311234567",)),
        ("07131 / 1234567", "DE", ("+4971311234567",)),
        ("0 71 31  12 34 56 7", "DE", ("+4971311234567",)),
        ("07131/1234567; 07131/7654321", "DE", ("+4971311234567", "+4971317654321")),
    ],
)
def test_two_numbers_in_a_cell_are_two_numbers_and_one_with_signs_in_it_is_one(
    imported: Import, cell: str, region: str, phones: tuple[str, ...]
) -> None:
    report = imported(f'{HEADER}"{cell}",ann@example.com,C1\n', region=region)
    assert imported.table.rows == dict.fromkeys(phones, ("ann@example.com", "C1"))
    assert (report.rows, report.numbers, report.partly) == (1, len(phones), 0)


def test_a_number_that_cannot_be_read_beside_one_that_can_is_reported_and_loses_nothing(imported: Import) -> None:
    report = imported(HEADER + '"4155550142; 867-5309",,C1\n')
    assert imported.table.rows == {"+14155550142": (None, "C1")}
    assert [reason for _, reason, _ in imported.rejected()] == ["phone_unreadable"]
    assert (report.rejected, report.partly) == (0, 1)


SEVERAL = "Lead ID,Phone,Mobile,Home Phone,Email\n"
SEVERAL_COLUMNS = ("Phone|Mobile|Home Phone", "Email", "Lead ID")


def test_several_columns_of_phones_are_several_numbers_of_one_customer(imported: Import) -> None:
    report = imported(
        SEVERAL + "L1,(415) 555-0142,,415-555-0143,ann@example.com\nL2,,,,bo@example.com\nL3,,x,4155550144,\n",
        columns=SEVERAL_COLUMNS,
    )
    assert imported.table.rows == {
        **dict.fromkeys(LIKE_TWO, ("ann@example.com", "L1")),
        "+14155550144": (None, "L3"),
    }
    assert [(line, reason) for line, reason, _ in imported.rejected()] == [
        (3, "phone_missing"),
        (4, "phone_unreadable"),
    ]
    assert '"Mobile"' in imported.details()[1]
    assert (report.rows, report.numbers, report.rejected, report.partly) == (2, 3, 1, 1)


def test_conflicts_are_seen_over_all_columns_of_phones(imported: Import) -> None:
    text = SEVERAL + "L1,4155550142,,,ann@example.com\nL2,,4155550143,4155550142,bo@example.com\n"
    report = imported(text, columns=SEVERAL_COLUMNS)
    assert imported.table.shared == {"+14155550142": 2}
    assert imported.table.rows == {"+14155550143": ("bo@example.com", "L2")}
    assert (report.conflicts, report.shared) == (2, 1)


def test_a_file_separated_by_bars_may_have_several_columns_of_phones(imported: Import) -> None:
    imported("Phone|Mobile|Id\n4155550142|4155550143|C1\n", columns=("Phone|Mobile", "", "Id"))
    assert imported.table.rows == dict.fromkeys(LIKE_TWO, (None, "C1"))


# One number, several people


SWITCHBOARD = (
    "(415) 555-0142 x101,ann@example.com,1\n(415) 555-0142 x102,bo@example.com,2\n4155550142,cy@example.com,3\n"
)


def test_a_number_of_several_people_is_nobodys_unless_a_policy_says_whose(imported: Import) -> None:
    report = imported(HEADER + SWITCHBOARD)
    assert (imported.table.shared, imported.table.rows) == ({"+14155550142": 3}, {})
    assert (report.conflicts, report.shared, report.is_of_use) == (3, 1, False)
    assert all("3 customers have this number" in detail for detail in imported.details())
    for policy, who in (("first", "1"), ("last", "3")):
        imported(HEADER + SWITCHBOARD, conflict=policy)
        assert imported.table.rows["+14155550142"][1] == who


@pytest.mark.parametrize(
    ("rows", "person"),
    [
        (",ann@example.com,C1|,ann@example.com,", ("ann@example.com", "C1")),
        (",ann@example.com,C1|,,C1", ("ann@example.com", "C1")),
        (",ann@example.com,|,Ann@Example.com,C1", ("Ann@Example.com", "C1")),
        (",ann@example.com,C1|,ann@example.com,C2", ("ann@example.com", "C2")),
        (",ann@example.com,C1|,ann@example.org,C1", ("ann@example.org", "C1")),
        (",ann@example.com,|,,C1|,ann@example.com,C1", ("ann@example.com", "C1")),
        (",ann@example.com,C1|,ann@example.org,C2|,ann@example.com,C2", ("ann@example.com", "C2")),
    ],
)
def test_rows_that_name_the_same_person_are_no_conflict(imported: Import, rows: str, person: Any) -> None:
    text = "".join(f"+14155550142{row}\n" for row in rows.split("|"))
    report = imported(HEADER + text)
    assert imported.table.rows == {"+14155550142": person}
    assert (report.conflicts, report.duplicate_rows) == (0, rows.count("|"))


def test_of_more_people_than_are_kept_apart_there_are_at_least_so_many(imported: Import) -> None:
    imported(HEADER + "".join(f"+14155550142,,C{n}\n" for n in range(30)), limits=ImportLimits(people=10))
    assert imported.table.shared == {"+14155550142": 11}
    assert "at least 11 customers" in imported.details()[0]


PEOPLE = st.lists(
    st.tuples(st.sampled_from(["", "a@x", "b@x", "c@x"]), st.sampled_from(["", "1", "2", "3"])), max_size=7
)


@FEW
@given(people=PEOPLE.map(lambda rows: [row for row in rows if any(row)]))
def test_people_are_those_whom_a_name_connects(imported: Import, people: list[tuple[str, str]]) -> None:
    groups: list[set[str]] = []
    for row in people:
        names = {f"{place}{name}" for place, name in enumerate(row) if name}
        joined = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names] + [names.union(*joined)]
    imported.table = Table()
    report = imported(HEADER + "".join(f"+14155550142,{email},{who}\n" for email, who in people))
    assert imported.table.shared == ({"+14155550142": len(groups)} if len(groups) > 1 else {})
    assert report.numbers == len(people)


# Headers, and files that are no CSV


@pytest.mark.parametrize(
    ("header", "suggested"),
    [
        ("Phone,Email,Lead ID", '--columns "phone,email,Lead ID"'),
        ("phone,email,contactId", '--columns "phone,email,contactId"'),
        ("phone,email,Kundennummer", '--columns "phone,email,Kundennummer"'),
        ("phone,customer_id,Work E-mail", '--columns "phone,Work E-mail,customer_id"'),
    ],
)
def test_a_column_that_stands_there_under_another_name_is_asked_for(
    imported: Import, header: str, suggested: str
) -> None:
    with pytest.raises(ImportRefused) as refused:
        imported(f"{header}\n4155550142,ann@example.com,L1\n")
    message = str(refused.value)
    assert suggested in message and all(f'"{name}"' in message for name in header.split(","))
    assert imported.table.transactions == []


@pytest.mark.parametrize(
    ("header", "remarks"),
    [
        ("phone,email", ["customer_id"]),
        ("phone,email,name,city,zip code,Order number", ["customer_id"]),
        ("phone,customer_id", ["email"]),
        ("phone,email,Customer ID", []),
        ("PHONE,E-Mail,customer id", []),
    ],
)
def test_a_default_column_that_is_not_there_is_said_at_the_start(
    imported: Import, header: str, remarks: list[str]
) -> None:
    said: list[str] = []
    row = {"phone": "4155550142", "email": "ann@example.com", "customer id": "C1"}
    cells = ",".join(row.get(name.lower().replace("-", "").replace("_", " "), "") for name in header.split(","))
    imported(f"{header}\n{cells}\n", remark=said.append)
    assert len(said) == len(remarks)
    for text, name in zip(said, remarks, strict=True):
        assert f'no column "{name}"' in text and all(f'"{column}"' in text for column in header.split(","))


def test_a_column_of_phones_that_is_not_there_is_asked_for_where_another_looks_like_it(imported: Import) -> None:
    with pytest.raises(ImportRefused, match=r'--columns "Phone\|Home tel,Email,Id"'):
        imported("Phone,Home tel,Email,Id\n4155550142,,,C1\n", columns=("Phone|Mobile", "Email", "Id"))


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook", "CSV UTF-8"),
        (zipped("customers.csv"), "a ZIP archive", "unpack"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "old Office", "CSV UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture", "export the table"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a picture", "export the table"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF", "export the table"),
        (b"BZh91AY&SY" + bytes(50), "a bzip2 archive", "unpack"),
        (b"SQLite format 3\0" + bytes(100), "a SQLite database", "as CSV"),
        (gzip.compress(zipped("customers.csv"), mtime=0), "a ZIP archive", "unpack"),
        (b"<!DOCTYPE html><html><title>Sign in</title>", "an HTML page", "sign-in"),
        (b'{"customers": []}', "JSON", "as CSV"),
        (b"BEGIN:VCARD\nTEL:1\n", "a vCard", "as CSV"),
        (b"\x01\x02\x03phone\x1b[31m,email\n", "binary data", "CSV"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_kind_is_called_by_its_name_and_never_printed(
    imported: Import, content: bytes, what: str, remedy: str
) -> None:
    with pytest.raises(ImportRefused) as refused:
        imported(content)
    message = str(refused.value)
    assert what in message and remedy in message
    assert message.isprintable() and len(message) < 300


def test_a_file_in_cp1252_is_offered_as_one(imported: Import) -> None:
    text = "phone,email,customer_id\n+14155550142,jos\u00e9@example.com,C\u00fc\n".encode("cp1252")
    assert imported(text).encoding_offered == "cp1252"
    assert imported(text, encoding="cp1252").encoding_offered is None
    assert imported.table.rows == {"+14155550142": ("jos\u00e9@example.com", "C\u00fc")}
    with pytest.raises(ImportRefused, match="--encoding cp1252"):
        imported("t\u00e9l\u00e9phone,courriel\n1,2\n".encode("cp1252"))
    assert imported(HEADER.encode() + b"+14155550142,\x81\x8d@example.com,C1\n").encoding_offered is None


# The layouts of exporters, in files of our own

EXPORTS = Path(__file__).parent / "data" / "customers"


@pytest.mark.parametrize(
    ("file", "columns", "rows", "shared", "reasons"),
    [
        (
            "shopify",
            ("Phone|Default Address Phone", "Email", "Customer ID"),
            {
                "+14155550142": ("ann@example.com", "6940095500001"),
                "+14155550143": ("bo@example.com", "6940095500002"),
                "+14155550144": (None, "6940095500003"),
            },
            {},
            {"phone_missing": 1},
        ),
        (
            "hubspot",
            ("Phone Number|Mobile Phone Number", "Email", "Record ID"),
            {"+14155550143": ("bo@example.com", "352"), "+14155550144": ("cy@example.com", "353")},
            {"+14155550142": 2},
            {"conflict": 2, "email_second": 1},
        ),
        (
            "salesforce",
            ("Phone|Mobile|Home Phone", "Email", "Contact ID"),
            {
                "+14155550142": ("ann@example.com", "0035g00000XyZ1aAAF"),
                "+14155550143": ("ann@example.com", "0035g00000XyZ1aAAF"),
                "+14155550144": (None, "0035g00000XyZ1bAAF"),
            },
            {},
            {"phone_missing": 3},
        ),
        (
            "google-contacts",
            ("Phone 1 - Value|Phone 2 - Value", "E-mail 1 - Value", ""),
            {
                "+14155550142": ("ann@example.com", None),
                "+14155550143": ("ann@example.com", None),
                "+14155550144": ("bo@example.com", None),
            },
            {},
            {"email_second": 1},
        ),
        (
            "pipedrive",
            ("Person - Phone - Work|Person - Phone - Mobile", "Person - Email - Work", "Person - ID"),
            {
                "+14155550142": ("ann@example.com", "1"),
                "+14155550143": ("ann@example.com", "1"),
                "+525555550144": ("bo@example.com", "2"),
            },
            {},
            {},
        ),
        (
            "mailchimp",
            ("Phone Number", "Email Address", "LEID"),
            {"+14155550142": ("ann@example.com", "529843605")},
            {},
            {"phone_missing": 1},
        ),
        (
            "excel-german",
            ("Telefon|Mobil", "E-Mail", "Kundennummer"),
            {
                "+49301234567": ("juergen@example.com", "10042"),
                "+491711234567": ("juergen@example.com", "10042"),
                "+49307654321": ("zoe@example.com", "10043"),
                "+49301111111": (None, "10044"),
                "+49713155501": ("gross@example.com", None),
            },
            {},
            {"id_lost_digits": 1},
        ),
        ("google-ads", ("Phone", "Email", "External Id"), {"+14155550142": ("ann@example.com", "x1")}, {}, {}),
        (
            "access",
            ("phone", "email", "customer_id"),
            {"+14155550142": ("ann@example.com", "1042"), "+14155550143": (None, "1043")},
            {},
            {"phone_missing": 1},
        ),
    ],
)
def test_an_exporters_file_is_taken_as_it_comes(
    tmp_path: Path,
    file: str,
    columns: tuple[str, str, str],
    rows: dict[str, Any],
    shared: dict[str, int],
    reasons: dict[str, int],
) -> None:
    table, is_german = Table(), file == "excel-german"
    encoding, region = ("cp1252", "DE") if is_german else (None, "US")
    report = import_csv(
        EXPORTS / f"{file}.csv",
        table,
        columns=columns,
        region=region,
        encoding=encoding,
        rejects_path=tmp_path / "r.csv",
    )
    assert table.rows == rows
    assert (table.shared, dict(report.reasons)) == (shared, reasons)


# Any file


def _checked(imported: Import, content: bytes, **options: Any) -> None:
    """The promise: nothing but ImportRefused is raised, every row is accounted for, and an import is stable."""
    try:
        report = imported(content, **options)
    except ImportRefused:
        return
    assert report.numbers == report.used + report.duplicate_rows + report.conflicts
    assert 0 <= report.became_shared <= report.shared
    assert report.rows <= report.numbers
    rows = imported.rejected(report.rejects_path) if report.rejects_path else []
    assert len(rows) == report.rejected + report.conflicts + report.partly == sum(report.reasons.values())
    assert [line for line, _, _ in rows] == sorted(line for line, _, _ in rows)
    again = imported(content, **options)
    assert (again.added, again.changed, again.rejected) == (0, 0, report.rejected)
    assert again.unchanged == again.used == report.used
    assert all(phone[0] == "+" for phone in imported.table.rows)


POLICIES = st.sampled_from(["last", "first", "none"])
ENCODINGS = st.sampled_from([None, "utf-8", "cp1252", "utf-16", "utf-16-be", "utf-7", "shift_jis", "idna", "punycode"])


@FEW
@given(
    start=st.sampled_from([b"", HEADER.encode(), b"\xff\xfe", b"\xef\xbb\xbf" + HEADER.encode(), b"\x1f\x8b"]),
    rest=st.binary(max_size=300),
    encoding=ENCODINGS,
)
def test_any_bytes_are_imported_or_refused(imported: Import, start: bytes, rest: bytes, encoding: str | None) -> None:
    _checked(imported, start + rest, encoding=encoding, limits=ImportLimits(row=120))


PHONES = st.sampled_from(
    ["+14158675309", "(415) 867-5309", "+14158675310", "x", "", "anonymous", '"', '"a\nb"', "\x00"]
)
CELLS = st.sampled_from(
    ["", "a@b", "C1", "C2", '"x', '"a, ""b"""', "é", "\udce9", "bad email", "C" * 130, "\r", "1\n2"]
)


@FEW
@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=3).flatmap(lambda c: PHONES.map(lambda p: [p, *c]))),
    conflict=POLICIES,
)
def test_rows_of_all_kinds_are_taken_or_rejected(imported: Import, rows: list[list[str]], conflict: str) -> None:
    text = HEADER + "".join(",".join(row) + "\n" for row in rows)
    _checked(imported, text.encode("utf-8", "surrogateescape"), conflict=conflict, limits=ImportLimits(row=120))


@FEW
@given(
    rows=st.lists(st.tuples(PHONES, CELLS, CELLS), max_size=20),
    conflict=POLICIES,
)
def test_taken_and_rejected_add_up_to_the_rows_of_a_well_formed_file(
    imported: Import, rows: list[tuple[str, str, str]], conflict: str
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("phone", "email", "customer_id"), *rows])
    report = imported(file.getvalue().encode("utf-8", "surrogateescape"), conflict=conflict)
    assert report.rows + report.rejected == len(rows)


def _peak_bytes(path: Path) -> int:
    class Nothing(Table):
        def merge_customers(self, rows: Sequence[Customer], _brought: Brought = UNNAMED, /) -> MergeCounts:
            return MergeCounts(len(rows), 0, 0)

    tracemalloc.start()
    try:
        import_csv(path, Nothing(), chunk_rows=1000)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MAKE_CUSTOMERS = Path(__file__).parents[1] / "bench" / "make_customers.py"


def _made(path: Path, rows: int, *options: str) -> Path:
    with path.open("wb") as file:
        subprocess.run([sys.executable, MAKE_CUSTOMERS, str(rows), *options], stdout=file, check=True)
    return path


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large = (
        _made(tmp_path / f"{rows}.csv", rows, "--bad", "0.05", "--conflicts", "0.05") for rows in (2_500, 10_000)
    )
    _peak_bytes(small)  # what is cached once
    assert _peak_bytes(large) < 1.2 * _peak_bytes(small) + 100_000


def test_memory_does_not_grow_with_the_rows_of_one_phone(tmp_path: Path) -> None:
    paths = []
    for rows in (2_500, 10_000):
        paths.append(tmp_path / f"{rows}.csv")
        paths[-1].write_text(HEADER + "".join(f"+14158675309,,C{n}\n" for n in range(rows)))
    _peak_bytes(paths[0])
    assert _peak_bytes(paths[1]) < 1.2 * _peak_bytes(paths[0]) + 100_000


def test_the_made_customers_are_good_and_all_different(tmp_path: Path) -> None:
    report = import_csv(_made(tmp_path / "made.csv", 3000), Table())
    assert (report.rows, report.added, report.complete) == (3000, 3000, True)


# The command


class Console:
    """`flask customers ...` on a SQLite ledger of its own."""

    def __init__(self, folder: Path) -> None:
        from offhook.service import create_app

        self.app = create_app()
        self.file = folder / "customers.csv"

    def __call__(self, *words: str, stdin: str | None = None) -> Any:
        return self.app.test_cli_runner().invoke(args=list(words), input=stdin)


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Console:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", give_tables(f"sqlite:///{tmp_path}/offhook.db", request))
    monkeypatch.setenv("OFFHOOK_CUSTOMERS_NICE", "0")  # the process is that of the tests
    return Console(tmp_path)


def test_the_command_fills_the_mapping_and_shows_who_is_in_it(console: Console) -> None:
    console.file.write_text(HEADER + "(415) 867-5309,ann@example.com,C1\n")
    result = console("customers", "import", str(console.file))
    assert result.exit_code == 0, result.output
    assert "1 row read" in result.stdout and "\ncount  what\n    1  added\n" in result.stdout and not result.stderr
    shown = console("customers", "show", "415.867.5309")
    assert shown.exit_code == 0
    assert "+1415***5309" in shown.stdout and "a***@example.com" in shown.stdout and "C1" in shown.stdout
    assert "8675309" not in shown.stdout and "ann" not in shown.stdout
    clear = console("customers", "show", "415.867.5309", "--in-clear").stdout
    assert "+14158675309" in clear and "ann@example.com" in clear


def test_rejects_are_printed_plainly_and_fail_the_command_only_when_strict(console: Console) -> None:
    console.file.write_text(HEADER + "+14158675309,,C1\nx,,C2\n")
    result = console("customers", "import", str(console.file))
    assert result.exit_code == 0
    assert "1 row was NOT used" in result.stderr and "customers.csv.rejected.csv" in result.stderr
    assert "\ncount  reason\n    1  phone_unreadable\n" in result.stderr
    assert console("customers", "import", str(console.file), "--strict").exit_code == 1


def test_a_dry_run_counts_and_changes_nothing(console: Console) -> None:
    console.file.write_text(HEADER + "+14158675309,,C1\n+14158675310,,C2\n")
    console("customers", "import", str(console.file))
    console.file.write_text(HEADER + "+14158675309,,C1\n+14158675310,,C8\n+14158675311,,C3\n")
    result = console("customers", "import", str(console.file), "--dry-run")
    assert [f"1  {word}" in result.stdout for word in ("added", "changed", "unchanged")] == [True] * 3
    assert "nothing was changed" in result.stdout
    assert "C2" in console("customers", "show", "+14158675310").stdout
    assert console("customers", "show", "+14158675311").exit_code == 1


def test_options_say_how_the_file_is_to_be_read(console: Console) -> None:
    text = "Mobile;Id\n020 7183 8750;C1\n+442071838750;C2\n"
    options = ("--columns", "Mobile,,Id", "--country", "gb", "--conflict", "first", "--rejects", "r.csv")
    result = console("customers", "import", "-", *options, stdin=text)
    assert result.exit_code == 0, result.output
    assert "C1" in console("customers", "show", "+442071838750").stdout
    assert "conflict" in Path("r.csv").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("import", "nowhere.csv"),
        ("import", "wrong.csv"),
        ("import", "good.csv", "--columns", "phone,email"),
        ("import", "good.csv", "--country", "Narnia"),
        ("import", "good.csv", "--conflict", "both"),
        ("import", "good.csv", "--encoding", "klingon"),
        ("show", "hello"),
    ],
)
def test_wrong_usage_and_unreadable_files_are_exit_code_2(console: Console, words: tuple[str, ...]) -> None:
    Path("wrong.csv").write_text("a,b\n1,2\n")
    Path("good.csv").write_text(HEADER)
    result = console("customers", *words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_customer_id_that_is_an_email_is_warned_of(console: Console) -> None:
    console.file.write_text(HEADER + "+14158675309,,ann@example.com\n")
    assert "customer_id_is_email" in console("customers", "import", str(console.file)).stderr


def test_a_long_import_without_a_terminal_prints_each_tenth_on_a_line(console: Console) -> None:
    _made(console.file, 25_000)
    result = console("customers", "import", str(console.file))
    assert result.stderr.split("\n")[-2] == "100 %"
    assert 2 <= result.stderr.count("%") <= 10


def test_the_help_teaches_by_example() -> None:
    from offhook.adapters.commands.customers import customers

    printed = CliRunner().invoke(customers, ["import", "--help"]).output
    assert "flask customers import customers.csv" in printed and "phone,email,customer_id" in printed
