"""A ledger that has been running for a while: many rows in each table that grows, inserted in bulk. Imports nothing of Offhook."""

from __future__ import annotations

from collections.abc import Collection

from tests.support import ledger
from tests.support.twilio import ACCOUNT_SID

ROWS = 20_000
GROWING = (
    "callbacks",
    "legs",
    "calls",
    "decisions",
    "conversions",
    "attempts",
    "replaced",
    "customers",
    "shared_numbers",
    "shared_people",
    "customer_rows",
    "outcomes",
    "tallies",
    "rule_tallies",
    "lookups",
)
_LONG_AGO = 1_600_000_000_000_000  # microseconds since the epoch
_FAR = 4_000_000_000_000_000
_WHEN = f"{_LONG_AGO} + i"
_LATER = f"{_FAR} + i"


def fill(url: str, rows: int = ROWS, without: Collection[str] = ()) -> None:
    """So many old calls; a tenth parked, a few that wait for a time far ahead or for a person. No statistics on Postgres.

    `without` names the tables that this ledger, an older one, does not have.
    """
    is_sqlite = url.startswith("sqlite")
    if not is_sqlite:
        for row in ledger.query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            ledger.change(url, f"ALTER TABLE {row['tablename']} SET (autovacuum_enabled = false)")
    for table, values in _rows(is_sqlite).items():
        if table in without:
            continue
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
        names = ", ".join(values)
        ledger.change(url, f"INSERT INTO {table} ({names}) {numbers} SELECT {', '.join(values.values())} FROM n")


def _rows(is_sqlite: bool) -> dict[str, dict[str, str]]:
    """For each table its columns, and what the one numbered i holds, in SQL."""
    sid = "printf('CA%032x', {})" if is_sqlite else "'CA' || lpad(to_hex({}), 32, '0')"
    key = {"account_sid": f"'{ACCOUNT_SID}'", "call_sid": sid.format("i")}
    no_body = "x''" if is_sqlite else "''::bytea"
    payload = "x'7b7d'" if is_sqlite else "'{}'::bytea"
    once = {"fence": "1", "result": "'delivered'", "reason": "''"}
    return {
        "callbacks": key | _callback(no_body, sid.format("i - 1")),
        "legs": key | {"root_sid": sid.format("i")},
        "calls": key | _CALL,
        "decisions": key
        | {
            "decided_at": _WHEN,
            "result": "'converted'",
            "reasons": "'[]'",
            "rules_version": "'v'",
            "mapping_version": "1",
        },
        "conversions": key | {"payload": payload, "order_id": sid.format("i")} | _CONVERSION,
        "attempts": key
        | once
        | {"number": "1", "started_at": _WHEN, "finished_at": _WHEN, "answer": "''", "next_state": "'delivered'"},
        "replaced": key | {"action": "''", "order_id": "''", "payload": payload, "attempts": "1", "replaced_at": _WHEN},
        "customer_rows": {
            "id": "1000000000 + i",
            "phone": "'+1999' || i",
            "people": "1",
            "from_at": _WHEN,
            "brought_by": "1",
        },
        "shared_numbers": {"phone": "'+1777' || i", "people": "2", "changed_at": _WHEN},
        "shared_people": {"phone": "'+1777' || i", "place": "1", "email": "'old' || i || '@example.test'"},
        "outcomes": key | {"at": _WHEN, "number": "'+1777'", "outcome": "'delivered'", "reason": "'delivered'"},
        "tallies": {
            "hour": f"{_LONG_AGO} + i * 3600000000",
            "number": "'+1777'",
            "outcome": "'delivered'",
            "reason": "'delivered'",
            "calls": "1",
        },
        "rule_tallies": {
            "hours": "1",
            "begins": f"{_LONG_AGO} + i * 3600000000",
            "rule": "'Old'",
            "asked": "1",
            "state": "'converted'",
            "reason": "''",
            "calls": "1",
        },
        "lookups": {"phone": "'+1666' || i"} | _LOOK_UP,
        "customers": {"phone": "'+1999' || i", "email": "'old' || i || '@example.test'", "changed_at": _WHEN},
    }


def _callback(no_body: str, parent: str) -> dict[str, str]:
    return {
        "dedupe_key": "'old' || i",
        "parent_call_sid": f"CASE WHEN i % 3 = 0 THEN {parent} END",
        "received_at": _WHEN,
        "method": "'POST'",
        "target": "'/twilio/status'",
        "content_type": "''",
        "headers": "'[]'",
        "body": no_body,
        "source": "'webhook'",
        "folded": "1",
    }


_CALL = {
    "state": "CASE WHEN i % 10 = 0 THEN 'parked' WHEN i % 1000 = 1 THEN 'settling' ELSE 'converted' END",
    "status": "'completed'",
    "direction": "'inbound'",
    "from_number": "'+1999' || i",
    "to_number": "''",
    "customer_phone": "'+1888' || i",
    "callbacks": "1",
    "legs": "1",
    "first_received_at": _WHEN,
    "settle_at": _LATER,
}
_LOOK_UP = {
    "state": "CASE i % 500 WHEN 1 THEN 'wanted' ELSE 'unknown' END",
    "wanted_at": f"CASE i % 500 WHEN 1 THEN {_WHEN} END",
    "due_at": _LATER,
    "fence": "1",
    "attempts": "0",
    "source": "'crm'",
    "reason": "''",
    "to_release": "0",
}
_CONVERSION = {
    "action": "'phone_call'",
    "state": "CASE i % 500 WHEN 0 THEN 'dead' WHEN 1 THEN 'pending' WHEN 2 THEN 'sending' ELSE 'delivered' END",
    "reason": "''",
    "created_at": _WHEN,
    "horizon_from": _WHEN,
    "due_at": _LATER,
    "fence": "1",
    "lease_until": _LATER,
    "attempts": "1",
    "expired_leases": "0",
    "maybe_sent": "0",
    "delivered_at": f"CASE WHEN i % 500 > 2 THEN {_WHEN} END",
}
