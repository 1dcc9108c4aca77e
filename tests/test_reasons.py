"""Every reason word that the program can write is in the one table, and the table has no other; the pages are made from it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import EnumType
from functools import cache
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from offhook.adapters import problem_details
from offhook.adapters.customers import fields
from offhook.adapters.ledger import health, postgres, sqlite
from offhook.adapters.rockerbox.client import outcome_of
from offhook.adapters.twilio.signature import Check
from offhook.pipeline.reasons import (
    AFTERWARDS,
    OF_IMPORTS,
    OF_LOOK_UPS,
    OF_PROBLEMS,
    OF_REFUSALS,
    OF_SIGN_IN,
    OF_THE_BACKLOG,
    OF_THE_DATABASE,
    REASONS,
    Known,
    known,
    remedy,
    sentence,
)
from offhook.pipeline.rules.conditions import CONDITIONS, EVERY
from offhook.pipeline.single_sign_on import Refusal
from tests.support.pages import DOCS, PAGES

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
CALLS = ("offhook/pipeline", "adapters/ledger", "adapters/rockerbox", "adapters/way_out", "adapters/commands")
REFUSALS = ("adapters/twilio", "adapters/web")
NAMES_OF_FIELDS = {
    "status",
    "direction",
    "error",
    "state",
}  # of what is logged and answered, beside what they mean as words
TABLES = (REASONS, OF_REFUSALS, OF_THE_DATABASE, OF_THE_BACKLOG, OF_PROBLEMS, OF_IMPORTS, OF_LOOK_UPS, OF_SIGN_IN)
# Where a word stands among the arguments, by what is called.
PLACES = {
    "why": 0,
    "Reason": 0,
    "sentence": 0,
    "Outcome": 1,
    "Next": 1,
    "note": 0,
    "_release": 1,
    "of_call": 0,
    "Ends": 3,
}
IN_SQL = re.compile(r"\breason = '([a-z_]+)'")
NO_REASONS = {"text"}  # the type of a column


def named(node: ast.expr, module: ModuleType) -> list[str]:
    """The text of a constant of the module, or of a member of an enum."""
    match node:
        case ast.Name(id=name) if isinstance(getattr(module, name, None), str):
            return [getattr(module, name)]
        case ast.Name(id="words"):  # of connections: with a proxy or without one
            return ["", "proxy_"]
        case ast.Attribute(value=ast.Name(id=name), attr=member) if isinstance(getattr(module, name, None), EnumType):
            return [str(getattr(module, name)[member].value)]
    return []


def spelled(node: ast.expr, module: ModuleType) -> list[str]:
    """Every text that an expression may be, `*` for what is not written there; none for a word that is passed on."""
    match node:
        case ast.Constant(value=str(word)):
            return [word]
        case ast.Name() | ast.Attribute():
            return named(node, module)
        case ast.IfExp(body=one, orelse=other):
            return [*spelled(one, module), *spelled(other, module)]
        case ast.BoolOp(values=values):
            return [word for value in values for word in spelled(value, module)]
        case ast.JoinedStr(values=parts):
            return ["".join(texts) for texts in product(*(spelled(part, module) for part in parts))]
        case ast.FormattedValue(value=value):
            return spelled(value, module) or ["*"]
    return []


def modules_of(rooms: Iterable[str]) -> Iterator[tuple[ast.Module, ModuleType]]:
    """The modules of some rooms, each as it is written and as it runs."""
    paths = (path for room in rooms for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)
    return map(_read, paths)


@cache
def _read(path: Path) -> tuple[ast.Module, ModuleType]:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    module = importlib.import_module(name if name.startswith("offhook.") else f"offhook.{name}")
    return ast.parse(path.read_text(encoding="utf-8")), module


def given_to(tree: ast.Module, module: ModuleType, places: Mapping[str, int]) -> Iterator[str]:
    """The words among the arguments of what is called."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in places:
                given = [*node.args[places[called] :][:1], *(k.value for k in node.keywords if k.arg == "reason")]
                yield from (word for each in given for word in spelled(each, module))


def returned_by(tree: ast.Module, module: ModuleType, name: str) -> Iterator[str]:
    """The words that a function gives back."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            yield from (word for value in returned for word in spelled(value, module) if word)


def words_in(tree: ast.Module, module: ModuleType) -> Iterator[str]:
    """The reason words of calls and conversions that a module of the program writes."""
    yield from given_to(tree, module, PLACES)
    yield from returned_by(tree, module, "reason_of")
    for node in ast.walk(tree):
        match node:
            case ast.Dict():
                pairs = zip(node.keys, node.values, strict=True)
                found = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "reason"]
                yield from (word for value in found for word in spelled(value, module))
            case ast.Constant(value=str(text)):
                yield from IN_SQL.findall(text)


def written() -> set[str]:
    """All that can be written, those of the conditions besides."""
    found = {word for tree, module in modules_of(CALLS) for word in words_in(tree, module)} - NO_REASONS
    return found | {condition.reason for condition in EVERY}


def under(tree: ast.Module, module: ModuleType, name: str) -> Iterator[str]:
    """The words that stand under this name in what is logged or answered, each of which is one of ours or is passed on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == name:
                    is_of_python = isinstance(value, ast.Attribute) and value.attr == "__name__"
                    yield from [ast.unparse(value)] if is_of_python else spelled(value, module)


def written_of_problems() -> set[str]:
    found = {"not-found", "method-not-allowed", "bad-request", "request-entity-too-large"}  # of the HTTP library
    found |= {*problem_details._UNREAD.values()}
    for tree, module in modules_of(["adapters/api", "adapters/web"]):
        found |= {*given_to(tree, module, {"problem": 1, "Problem": 1, "later": 0})}
    return found


def written_of_the_backlog() -> set[str]:
    return {*health._WAITS.values(), "no_worker"}


def written_of_refusals() -> set[str]:
    found = {each.value for each in Check}
    for tree, module in modules_of(REFUSALS):
        found |= {*under(tree, module, "check")}
        found |= {*given_to(tree, module, {"Refused": 1, "TurnedAway": 1, "refused": 0})}
        found |= {*returned_by(tree, module, "_what_is_missing")}
    return found


def written_of_the_database() -> set[str]:
    found = {"failing", *sqlite._WORDS.values(), *postgres._WORDS.values()}
    for tree, module in modules_of(["adapters/ledger", "adapters/web", "adapters/commands", "offhook/pipeline"]):
        found |= {
            *given_to(tree, module, {"LedgerUnavailable": 1, "_not_ready": 0}),
            *returned_by(tree, module, "word_of"),
        }
        found |= {*under(tree, module, "word")} if module.__name__.endswith("ledger.watch") else set()
    return found


def written_of_imports() -> set[str]:
    trees = modules_of(["adapters/customers"])
    return {word for tree, module in trees for word in given_to(tree, module, {"Problem": 0})} | {*fields.Reason}


def written_of_look_ups() -> set[str]:
    found: set[str] = set()
    for tree, module in modules_of(["adapters/customers", "adapters/way_out", "offhook/pipeline"]):
        found |= {*given_to(tree, module, {"Later": 0, "WrongAnswer": 0, "note": 0})}
        found |= {*returned_by(tree, module, "reason_of")} if "way_out" in module.__name__ else set()
    return found


def written_of_sign_in() -> set[str]:
    trees = modules_of(["adapters/oidc", "adapters/dashboard"])
    found = {word for tree, module in trees for word in given_to(tree, module, {"Failed": 0, "_refused": 0})}
    return found | {*Refusal}


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


def keyed_by_reasons(node: ast.AST, module: ModuleType) -> bool:
    """A table most of whose keys are reason words: two at the least."""
    keys = [word for key in node.keys if key for word in spelled(key, module)] if isinstance(node, ast.Dict) else []
    words = [
        key
        for key in keys
        if key not in NAMES_OF_FIELDS and any(known(key, table) or known(f"{key} ", table) for table in TABLES)
    ]
    return len(words) >= 2 and len(words) * 2 > len(keys)


def test_what_is_known_of_a_reason_stands_in_one_table() -> None:
    found = [
        (module.__name__, node.lineno)
        for tree, module in modules_of(["offhook/pipeline", "adapters"])
        for node in ast.walk(tree)
        if keyed_by_reasons(node, module) and isinstance(node, ast.Dict)
    ]
    assert {name for name, _ in found} == {"offhook.pipeline.reasons"}, found


def test_no_reason_is_explained_that_the_program_does_not_write() -> None:
    used = {id(known(each)) for word in written() for each in some(word)}
    assert [word for word, entry in REASONS.items() if id(entry) not in used] == []


OTHERS = [
    (written_of_refusals, OF_REFUSALS, {"signature", "bad_target", "missing_*", "too_large", "chunk_size"}),
    (
        written_of_the_database,
        OF_THE_DATABASE,
        {"busy", "unwritable", "unsafe", "io_error", "failing", "foreign_tables"},
    ),
    (written_of_problems, OF_PROBLEMS, {"not-held", "invalid", "unauthorized", "took-too-long", "too-many-requests"}),
    (written_of_the_backlog, OF_THE_BACKLOG, {"not_folded", "no_worker"}),
    (written_of_imports, OF_IMPORTS, {"phone_missing", "not_utf8", "conflict"}),
    (written_of_sign_in, OF_SIGN_IN, {"forged", "slow", "client_refused", "used_already", "email_of_another"}),
]


@pytest.mark.parametrize(("found_by", "table", "some_of_them"), OTHERS)
def test_a_table_has_the_words_that_are_written_and_no_other(
    found_by: Callable[[], set[str]], table: Mapping[str, Known], some_of_them: set[str]
) -> None:
    found = found_by()
    assert some_of_them <= found
    assert found == set(table)


@pytest.mark.parametrize("table", TABLES[1:])
def test_what_is_wrong_outside_of_a_call_has_a_sentence_and_a_remedy(table: Mapping[str, Known]) -> None:
    assert [word for word, each in table.items() if not all(each.sentences) or not each.remedy()] == []


def test_who_does_not_come_in_reads_what_they_can_do_themselves() -> None:
    assert [word for word, each in OF_SIGN_IN.items() if len(each.sentences) != 1 or not each.to_do] == []


def test_every_word_of_a_look_up_has_a_sentence_and_a_remedy_and_there_is_no_other() -> None:
    found = written_of_look_ups()
    assert {"wrong_json", "deadline", "http_*", "redirect", "sql_hangs", "proxy_dns", "unexpected_*"} <= found
    named = {word: known(word, OF_LOOK_UPS) for word in {*found, "http_401", "http_403", "http_429"}}
    assert [word for word, each in named.items() if each is None or not each.advice or not each.sentences[0]] == []
    assert {id(each) for each in OF_LOOK_UPS.values()} == {id(each) for each in named.values()}


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
    assert "it is held" in remedy("http_400", "maybe_sent") and "it is held" not in remedy("http_502", "retry")


def test_a_word_of_another_version_has_no_remedy_and_is_no_error() -> None:
    assert (known("of_tomorrow"), remedy("of_tomorrow"), remedy("")) == (None, "", "")


def test_what_differs_from_call_to_call_stands_in_the_sentence() -> None:
    assert sentence("caller_not_in_mapping", 1, number="+999123").startswith(
        "The caller is not in your customer list: no customer has the number +999123, which"
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
    hint = "run `.venv/bin/python -m tests.support.pages`"
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), hint
