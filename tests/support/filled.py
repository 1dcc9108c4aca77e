"""A ledger that has been running for a while: many rows in each table that grows, inserted in bulk. Imports nothing of Offhook."""

from __future__ import annotations

from tests.support import ledger
from tests.support.twilio import ACCOUNT_SID

ROWS = 20_000
GROWING = ("callbacks", "legs", "calls", "decisions", "conversions", "attempts", "customers")
_LONG_AGO = 1_600_000_000_000_000  # microseconds since the epoch
_FAR = 4_000_000_000_000_000


def fill(url: str, rows: int = ROWS) -> None:
    """So many old calls; a tenth parked, a few that wait for a time far ahead or for a person. No statistics on Postgres."""
    is_sqlite = url.startswith("sqlite")
    sid = "printf('CA%032x', i)" if is_sqlite else "'CA' || lpad(to_hex(i), 32, '0')"
    phone = "'+1999' || i"
    if not is_sqlite:
        for table in GROWING:
            ledger.change(url, f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    key, when, no_body = f"'{ACCOUNT_SID}', {sid}", f"{_LONG_AGO} + i", "x''" if is_sqlite else "''::bytea"
    call_state = "CASE WHEN i % 10 = 0 THEN 'parked' WHEN i % 1000 = 1 THEN 'settling' ELSE 'converted' END"
    state = "CASE WHEN i % 500 = 0 THEN 'dead' WHEN i % 500 = 1 THEN 'pending' WHEN i % 500 = 2 THEN 'sending' ELSE 'delivered' END"
    parent = "CASE WHEN i % 3 = 0 THEN " + sid.replace("i)", "i - 1)") + " END"
    values = {
        "callbacks (dedupe_key, account_sid, call_sid, parent_call_sid, received_at, method, target, content_type, headers, body, source, folded)":
            f"'old' || i, {key}, {parent}, {when}, 'POST', '/twilio/status', '', '[]', {no_body}, 'webhook', 1",
        "legs (account_sid, call_sid, parent_call_sid, root_sid)": f"{key}, NULL, {sid}",
        "calls (account_sid, call_sid, state, status, direction, from_number, to_number, customer_phone, callbacks, legs, first_received_at, settle_at)":
            f"{key}, {call_state}, 'completed', 'inbound', {phone}, '', '+1888' || i, 1, 1, {when}, {_FAR} + i",
        "decisions (account_sid, call_sid, decided_at, result, reasons, rules_version, mapping_version)":
            f"{key}, {when}, 'converted', '[]', 'v', 1",
        "conversions (account_sid, call_sid, action, order_id, payload, state, reason, created_at, horizon_from, due_at, fence, lease_until, attempts, expired_leases, maybe_sent)":
            f"{key}, 'phone_call', {sid}, {no_body}, {state}, '', {when}, {when}, {_FAR} + i, 1, {_FAR} + i, 1, 0, 0",
        "attempts (account_sid, call_sid, fence, number, started_at, finished_at, result, reason, answer, next_state)":
            f"{key}, 1, 1, {when}, {when}, 'delivered', '', '', 'delivered'",
        "customers (phone, email, changed_at)": f"{phone}, 'old' || i || '@example.test', {when}",
    }  # fmt: skip
    for table, row in values.items():
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
        ledger.change(url, f"INSERT INTO {table} {numbers} SELECT {row} FROM n")
