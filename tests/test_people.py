"""Rows are found by the person that they are about in one folder of the ledger, and such columns have one type."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.adapters.ledger.people.spelled import every_spelling, found_by
from offhook.adapters.ledger.schema import PersonText, metadata

pytestmark = pytest.mark.unit

LEDGER = Path(__file__).parent.parent / "adapters" / "ledger"
OF_A_JOB = {"arguments", "asked_by", "result"}  # may name persons; nobody is looked for by them
OF_THE_AUDIT = {"who", "of_what"}  # users of the dashboard, among others
OF_A_PERSON = {"phone", "email", "customer_id", "attributes", "customer_phone", "from_number", "to_number"}
FOLDER = ("asked_for", "audited", "callers", "customers", "spelled", "unknown")
_COLUMN = rf"(?:\w+\.)?\b(?:{'|'.join(sorted(OF_A_PERSON))})\b"
_OPERATOR = r"(?:=|<>|!=|<=?|>=?|\bNOT IN\b|\bIN\b|\bLIKE\b|\bBETWEEN\b|\bIS\b)"
_COMPARED = re.compile(
    rf"{_COLUMN}\s*{_OPERATOR}|{_OPERATOR}\s*\(?{_COLUMN}|(?:CONFLICT|USING|ORDER BY|GROUP BY)\s*\(?{_COLUMN}",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(r"\bSET\b.*?(?=\bFROM\b|\bWHERE\b|\bRETURNING\b|$)", re.IGNORECASE | re.DOTALL)


def sql_of(tree: ast.AST) -> Iterator[str]:
    """Each text of the module, an f-string with a mark for each of its values. Docstrings are no SQL."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (prose | inner):
            yield node.value


def is_any_column(node: ast.expr) -> bool:
    is_of_a_table = isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".c")
    return is_of_a_table and isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant)


def columns_named(tree: ast.AST) -> Iterator[str]:
    """Columns of persons that are written as `table.c.name` or `table.c["name"]`: what an expression is made from. One that is
    named by a variable, and compared, may be any.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in OF_A_PERSON and ast.unparse(node.value).endswith(".c"):
            yield ast.unparse(node)
        if isinstance(node, ast.Attribute) and node.attr in OF_THE_AUDIT and ast.unparse(node.value) == "audit.c":
            yield ast.unparse(node)
        if isinstance(node, ast.Compare):
            yield from (ast.unparse(each) for each in (node.left, *node.comparators) if is_any_column(each))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_any_column(node.func.value):
            yield ast.unparse(node)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".c"):
            yield from (name for name in OF_A_PERSON if name in ast.unparse(node.slice))


def comparisons(source: str) -> list[str]:
    tree = ast.parse(source)
    texts = (_ASSIGNED.sub("", text) for text in sql_of(tree))
    return [*columns_named(tree), *(text for text in texts if _COMPARED.search(text))]


@pytest.mark.parametrize(
    "source",
    [
        "select(calls).where(calls.c.customer_phone.in_(phones))",
        'select(calls).where(calls.c["customer_phone"] > after)',
        "select(audit).where(audit.c.who == wanted)",
        "select(audit).where(audit.c[column] == wanted)",
        "select(audit).where(audit.c[column].in_(wanted))",
        'text("SELECT 1 FROM customers WHERE email = :email")',
        'f"DELETE FROM customers AS t WHERE t.customer_id IN ({some})"',
        'f"UPDATE calls SET customer_phone = v.phone FROM {rows} WHERE calls.from_number = v.phone"',
        'sql = "INSERT INTO customers (phone) VALUES (1) ON CONFLICT (phone) DO NOTHING"',
        'sql = "SELECT 1 FROM calls ORDER BY customer_phone"',
    ],
)
def test_a_comparison_is_seen_however_it_is_written(source: str) -> None:
    assert comparisons(source)


def test_no_module_of_the_ledger_compares_a_column_that_names_a_person_but_those_of_one_folder() -> None:
    found = {str(path.relative_to(LEDGER)): comparisons(path.read_text()) for path in LEDGER.rglob("*.py")}
    of_the_folder = {name: found.pop(f"people/{name}.py") for name in FOLDER}
    assert all(of_the_folder.values())
    assert found.pop("people/__init__.py") == []
    found = {name: lines for name, lines in found.items() if not name.startswith("migrations/")}
    found.pop("schema.py")  # the columns themselves, and their indexes
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_each_column_that_names_a_person_has_the_one_type() -> None:
    of_a_person = {
        column.name
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, PersonText)
    }
    assert of_a_person == OF_A_PERSON | OF_A_JOB | OF_THE_AUDIT
    others = {
        str(column)
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name in OF_A_PERSON and not isinstance(column.type, PersonText)
    }
    assert others == set()


def test_a_number_that_was_found_is_so_by_each_spelling_that_was_asked_by() -> None:
    ours, other, stranger = "+525555550142", "+5215555550142", "+14155550142"
    assert found_by([other, ours, stranger], {other}) == {other: other, ours: other}
    assert found_by([other], {ours, other}) == {other: ours}
    assert every_spelling([other, ours], now=1) == every_spelling([ours], now=1)
