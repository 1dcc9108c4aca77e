"""How the database goes about each statement that a ledger issues: planned (SQLite), planned and counted (Postgres)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

from tests.support.filled import GROWING

# Walks along a small index, whose rows are only what waits now.
_SMALL = {"ix_callbacks_unfolded", "ix_calls_due", "ix_calls_parked_at", "ix_conversions_due", "ix_conversions_leases"}
_SMALL |= {"ix_conversions_maybe_sent", "ix_calls_open", "ix_calls_unfinished", "ix_calls_waiting"}
_WATCHED = {*GROWING, "day_tallies", "unknown_callers"}
_SMALL |= {"ix_lookups_wanted", "ix_lookups_to_release", "ix_lookups_due"}  # along the last one no further than a LIMIT


@dataclass
class Plans:
    """`seen` are the statements, `scans` those that read a growing table from one end to the other, with the reason;
    `blocks` is the most that a statement touched (Postgres).
    """

    seen: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    blocks: int = 0
    heaviest: str = ""


@contextmanager
def watched(engine: Engine) -> Iterator[Plans]:
    """Look at every statement on the engine until the block ends."""
    plans = Plans()
    look = _look_sqlite if engine.name == "sqlite" else _look_postgres

    def before(connection: Connection, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
        question, prefix = _question(statement)
        if question:
            plans.seen.append(question)
            look(plans, connection, prefix, question, values[0] if many else values)

    event.listen(engine, "before_cursor_execute", before)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", before)


def _question(statement: str) -> tuple[str, str]:
    """(what is asked, what is said before it); a transaction's beginning and end ask nothing."""
    prefix = ""
    if "; BEGIN; " in statement:
        _, _, rest = statement.partition("; BEGIN; ")
        *limits, question, _end = rest.split("; ") if rest.endswith("COMMIT") else (*rest.split("; "), "", "")
        statement, prefix = question, "; ".join(["BEGIN", *limits])
    asks = re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", statement)
    return (statement, prefix) if asks else ("", "")


def _look_sqlite(plans: Plans, connection: Connection, _: str, statement: str, values: Any) -> None:
    cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
    steps = [step for *_, step in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values or ()).fetchall()]
    if statement.startswith("UPDATE") and "json_each" in statement and not steps[0].startswith("SCAN json_each"):
        plans.scans.append(f"the keys for each of many rows, {steps}: {statement}")
    for step in steps:
        found = re.match(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
        if not found or _table(found[2], statement) not in _WATCHED:
            continue
        walks = found[3] and "LIMIT" in statement and "WHERE" not in statement
        is_through = found[1] == "SCAN" and found[3] not in _SMALL and not walks
        if is_through or step.endswith("(account_sid=?)"):  # one account has nearly all rows
            plans.scans.append(f"{step}: {statement}")


def _table(name: str, statement: str) -> str:
    """What an alias stands for."""
    found = re.search(rf"(\w+) AS {name}\b", statement)
    return found[1] if found else name


def _look_postgres(plans: Plans, connection: Connection, prefix: str, statement: str, values: Any) -> None:
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor:
        cursor.execute(prefix or "SAVEPOINT look")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values or None)
        [explained] = cursor.fetchone()
        cursor.execute("ROLLBACK" if prefix else "ROLLBACK TO look")
    plan = (json.loads(explained) if isinstance(explained, str) else explained)[0]["Plan"]
    blocks = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    if blocks > plans.blocks:
        plans.blocks, plans.heaviest = blocks, statement
    plans.scans += [f"{reason}: {statement}" for reason in _scans(plan, under_limit=False)]


def _scans(node: dict[str, Any], *, under_limit: bool) -> Iterator[str]:
    kind, table, index = node["Node Type"], node.get("Relation Name"), node.get("Index Name")
    if kind == "Seq Scan" and table in _WATCHED:
        yield f"Seq Scan on {table}"
    if "Index" in kind and index not in _SMALL and "Index Cond" not in node:
        walks = under_limit and "Filter" not in node
        is_of_growing = index is not None and any(name in index for name in _WATCHED)
        if is_of_growing and not walks:
            yield f"all of {index}"
    for child in node.get("Plans", []):
        yield from _scans(child, under_limit=kind == "Limit")
