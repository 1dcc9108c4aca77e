"""Every reason word that the program can write is in the one table, and the table has no other; the pages are made from it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from offhook.adapters.rockerbox.client import outcome_of
from offhook.pipeline.reasons import AFTERWARDS, REASONS, known, remedy, sentence
from offhook.pipeline.rules.conditions import CONDITIONS, EVERY
from tests.support.pages import DOCS, PAGES

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
ROOMS = ("offhook/pipeline", "adapters/ledger", "adapters/rockerbox", "adapters/commands")
# Where a word stands among the arguments, by what is called.
PLACES = {"why": 0, "Reason": 0, "sentence": 0, "Outcome": 1, "Next": 1, "note": 0, "_release": 1}
IN_SQL = re.compile(r"\breason = '([a-z_]+)'")
NO_REASONS = {"text", "no answer within its time"}  # the type of a column; what a log of the ledger's says


def spelled(node: ast.expr, module: ModuleType) -> list[str]:
    """Every text that an expression may be, `*` for what is not written there; none for a word that is passed on."""
    match node:
        case ast.Constant(value=str(word)):
            return [word]
        case ast.Name(id=name) if isinstance(getattr(module, name, None), str):
            return [getattr(module, name)]
        case ast.Name(id="words"):  # of connections: with a proxy or without one
            return ["", "proxy_"]
        case ast.IfExp(body=one, orelse=other):
            return [*spelled(one, module), *spelled(other, module)]
        case ast.BoolOp(values=values):
            return [word for value in values for word in spelled(value, module)]
        case ast.JoinedStr(values=parts):
            return ["".join(texts) for texts in product(*(spelled(part, module) for part in parts))]
        case ast.FormattedValue(value=value):
            return spelled(value, module) or ["*"]
    return []


def words_in(path: Path) -> Iterator[str]:
    """The reason words that a module of the program writes."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    module = importlib.import_module(name if name.startswith("offhook.") else f"offhook.{name}")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in PLACES:
                given = [*node.args[PLACES[called] :][:1], *(k.value for k in node.keywords if k.arg == "reason")]
                yield from (word for each in given for word in spelled(each, module))
            case ast.Dict():
                pairs = zip(node.keys, node.values, strict=True)
                found = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "reason"]
                yield from (word for value in found for word in spelled(value, module))
            case ast.FunctionDef(name="_reason_of"):
                returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
                yield from (word for value in returned for word in spelled(value, module))
            case ast.Constant(value=str(text)):
                yield from IN_SQL.findall(text)


def written() -> set[str]:
    """All that can be written, those of the conditions besides."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]
    found = {word for path in paths for word in words_in(path)} - NO_REASONS
    return found | {condition.reason for condition in EVERY}


def some(word: str) -> list[str]:
    """The word, or where it has a `*` some that it may be."""
    samples = {
        "http_*": [outcome_of(status).reason for status in range(300, 700)],
        "proxy_*": ["proxy_407", "proxy_reset"],
    }
    return samples.get(word, [word.replace("*", "KeyError")])


def test_every_reason_that_the_program_can_write_has_a_sentence() -> None:
    found = written()
    assert {"status", "unfinished", "http_*", "proxy_dns", "asked_by_a_person", "rebuilt", "day_turned"} <= found
    assert [each for word in found for each in some(word) if known(each) is None] == []


def test_no_reason_is_told_of_that_the_program_does_not_write() -> None:
    used = {id(known(each)) for word in written() for each in some(word)}
    assert [word for word, told in REASONS.items() if id(told) not in used] == []


def test_a_word_that_begins_as_several_do_is_the_longest_of_them() -> None:
    assert (known("proxy_407"), known("proxy_502")) == (REASONS["proxy_4*"], REASONS["proxy_*"])
    assert (known("http_400"), known("http_404")) == (REASONS["http_400"], REASONS["http_4*"])


def test_what_is_said_of_a_status_is_what_becomes_of_its_conversion() -> None:
    for status in (*range(200, 209), *range(300, 600)):
        outcome = outcome_of(status)
        assert remedy(outcome.reason) == remedy(outcome.reason, outcome.result), status


@pytest.mark.parametrize("named", [frozenset(), frozenset({400, 404, 429, 503})])
def test_a_status_that_the_setting_moves_has_the_remedy_of_where_it_went(named: frozenset[int]) -> None:
    for status in range(400, 600):
        outcome = outcome_of(status, maybe_sent=named)
        assert remedy(outcome.reason, outcome.result).endswith(AFTERWARDS[outcome.result])
    assert "ambiguous" in remedy("http_400", "maybe_sent") and "ambiguous" not in remedy("http_502", "retry")


def test_a_word_of_another_version_has_no_remedy_and_is_no_error() -> None:
    assert (known("of_tomorrow"), remedy("of_tomorrow"), remedy("")) == (None, "", "")


def test_what_differs_from_call_to_call_stands_in_the_sentence() -> None:
    assert sentence("caller_not_in_mapping", 1, number="+999123").startswith(
        "No customer has the number +999123, which"
    )
    assert sentence("several_customers", people=2, phone="{x}").startswith("2 customers have the number {x}, so")


def test_conditions_have_reasons_of_their_own() -> None:
    words = [condition.reason for condition in EVERY]
    assert len(set(words)) == len(words)
    for condition in EVERY:
        assert condition.remedy and condition.explained
    for condition in CONDITIONS.values():
        assert condition.sentence.format(found="1", asked="2") != condition.sentence


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_made_from_a_table_is_up_to_date(name: str) -> None:
    told = "run `.venv/bin/python -m tests.support.pages`"
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), told
