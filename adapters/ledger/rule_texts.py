"""What decisions are traced to years later: the text of their rules, what held where it says nothing, and the numbers of the
files that these named.

A list of numbers is kept once, by its digest, whichever rules named it. It names persons: it goes through their type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select, text

from offhook.adapters.ledger.books import ONCE
from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.rows import insert
from offhook.adapters.ledger.schema import PersonText, micros
from offhook.adapters.ledger.schema import rules as rules_table
from offhook.pipeline.ports.past import ListUsed
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.held import Held, held
from offhook.pipeline.rules.trace import HELD, LIST, LISTS

_held = rules_table.c
_NEWEST = "SELECT version FROM rule_uses ORDER BY id DESC LIMIT 1"
# Nothing where the rules hold already, nor where another process took the number in the same moment: then the next one.
_BEGINS = text(
    "INSERT INTO rule_uses (id, version, began_at) SELECT coalesce((SELECT max(id) FROM rule_uses), 0) + 1, "
    f"CAST(:version AS TEXT), CAST(:now AS BIGINT) WHERE coalesce(({_NEWEST}), '') <> CAST(:version AS TEXT) "
    "ON CONFLICT (id) DO NOTHING"
)
_TRIES = 2


class RuleTextsTable:
    """`RuleTexts` of pipeline/ports/rule_texts.py, and the lists of `Past`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep_rules(self, rules: Rules, now: datetime) -> None:
        """Whatever is kept already is not sent again: a list may have a million numbers."""
        texts = _texts(rules)
        with self._database.read() as connection:
            there = set(connection.scalars(select(_held.version).where(_held.version.in_(sorted(texts)))))
            newest = connection.execute(text(f"SELECT ({_NEWEST}) AS version")).scalar()
        rows = [{"version": name, "text": texts[name], "first_used_at": now} for name in texts if name not in there]
        if not rows and newest == rules.version:
            return
        kept, use = insert(rules_table, rows, ONCE), {"version": rules.version, "now": micros(now)}
        with self._database.write() as connection:
            kept.run(connection)
            for _ in range(_TRIES):
                connection.execute(_BEGINS, use)

    def kept_rules(self, version: str) -> str | None:
        """The text that was kept under a version; None where none was."""
        asked = select(_held.text).where(_held.version == version)
        with self._database.read(patient=True) as connection:
            return connection.execute(asked).scalar()

    def held(self, version: str) -> Held | None:
        kept = self.kept_rules(f"{HELD}{version}")
        return Held(**json.loads(kept)) if kept else None

    def lists_used(self, version: str) -> Sequence[ListUsed]:
        return [ListUsed(*one) for one in json.loads(self.kept_rules(f"{LISTS}{version}") or "[]")]

    def listed(self, digest: str, limit: int) -> Sequence[str]:
        numbers = PersonText.shown(self.kept_rules(f"{LIST}{digest}")) or ""
        return numbers.split("\n", limit)[:limit] if numbers else []


def _texts(rules: Rules) -> Mapping[str, str | None]:
    """All that is kept of these rules, by its name."""
    what_held = json.dumps(asdict(held(rules)), ensure_ascii=False)
    found: dict[str, str | None] = {rules.version: rules.text, f"{HELD}{rules.version}": what_held}
    if rules.lists:
        found |= {f"{LIST}{one.digest}": PersonText.kept(one.text) for one in rules.lists}
        found[f"{LISTS}{rules.version}"] = json.dumps(
            [(one.file, one.digest, len(one.numbers)) for one in rules.lists], ensure_ascii=False
        )
    return found
