"""CSV that a spreadsheet shows and never runs, and the way back. Knows nothing of customers.

A cell that begins with one of a few characters is a formula to Excel, LibreOffice and Google Sheets, and it may come from
a caller's name or a stranger's CRM. An apostrophe before it makes it text. The same within a cell behind what may
separate cells elsewhere: a spreadsheet that expects semicolons takes a cell with one apart.
https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import IO

from offhook.pipeline.plain import plain

_FORMULAS = r"=+\-@＝＋－＠"  # the full-width ones count where Japanese or Chinese is the language
# The apostrophes, none or some, where one more makes text of what comes: at the beginning, and behind a separator.
_MARKS = re.compile(
    rf"""^'*(?=\s*?[{_FORMULAS}\t\r\n\0])|(?<=[,;|\t\r\n"])'*(?=[^\S\t\r\n]*[{_FORMULAS}])""",
)


def as_text(cell: object) -> str:
    """The cell so that no spreadsheet runs it. What has apostrophes there already gets one more, so that none is lost."""
    text = str(cell)
    if not text.strip("'"):
        return text and f"'{text}"
    return _MARKS.sub(lambda marks: f"'{marks[0]}", text)


def as_it_was(cell: str) -> str:
    """The cell before `as_text`. What never went through it stays as it is, but for an apostrophe before a formula."""
    if "'" not in cell:
        return cell
    return _MARKS.sub(lambda marks: marks[0][1:], cell) if cell.strip("'") else cell[1:]


def as_csv(rows: Iterable[Iterable[object]]) -> str:
    """Rows of values as the text of a file, or of a piece of one: nothing for None, a time as JSON has it."""
    text = io.StringIO()
    write_rows(text, (["" if cell is None else plain(cell) for cell in row] for row in rows))
    return text.getvalue()


def write_rows(file: IO[str], rows: Iterable[Iterable[object]]) -> None:
    """Rows as CSV. Raises OSError."""
    csv.writer(file).writerows([as_text(cell) for cell in row] for row in rows)
