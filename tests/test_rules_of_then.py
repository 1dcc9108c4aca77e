"""`flask rules show --version`: what held when a call was decided can be read years later, in whatever release."""

from __future__ import annotations

import json

import pytest
from click.testing import Result

from offhook.adapters.rules_file.reading import parse
from offhook.main import commands_alone
from offhook.pipeline.rules import Rules
from offhook.pipeline.version import VERSION
from offhook.service import build
from offhook.settings import given
from tests.fakes.callbacks import NOON

pytestmark = pytest.mark.mostly("sqlite")


def shown(url: str, rules: Rules, *more: str) -> Result:
    """What the command says of rules that were used once."""
    app = commands_alone()
    app.extensions["offhook"] = service = build(given({"DATABASE_URL": url}))
    service.ledger.keep_rules(rules, NOON)
    done: Result = app.test_cli_runner().invoke(args=["rules", "show", "--version", rules.version, *more])
    service.ledger.close()
    assert done.exit_code == 0, done.output
    return done


def test_where_there_was_no_file_the_defaults_of_then_are_shown_as_one_that_says_the_same(database_url: str) -> None:
    text = shown(database_url, Rules()).stdout
    assert f"There was no offhook.toml, or nothing in it; these defaults held (Offhook {VERSION}):" in text
    assert 'action = "phone_call"\n' in text and "min_duration_seconds = 0\n" in text
    assert "# A call counts when it " in text
    assert parse(text) == Rules()
    assert parse(text).version == Rules().version


def test_the_defaults_that_a_file_relied_on_are_said_beside_it(database_url: str) -> None:
    rules = parse('min_duration_seconds = 30\naction = "call" # ours\n')
    done = shown(database_url, rules)
    assert done.stdout == f"{rules.text}\n"
    assert f"Where the file says nothing, these defaults held (Offhook {VERSION}): " in done.stderr
    assert 'statuses = ["completed"]; ' in done.stderr
    assert "min_duration_seconds" not in done.stderr and "action" not in done.stderr


def test_a_document_has_what_held_said_or_not(database_url: str) -> None:
    found = json.loads(shown(database_url, parse("min_duration_seconds = 30\n"), "--json").stdout)
    assert found["text"] == "min_duration_seconds = 30\n"
    assert found["held"]["offhook"] == VERSION
    assert found["held"]["settings"]["min_duration_seconds"] == 30
    assert found["held"]["settings"]["action"] == "phone_call"
    assert any("at least 30 s" in sentence for sentence in found["held"]["sentences"])
