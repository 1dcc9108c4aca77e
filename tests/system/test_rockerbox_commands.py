"""What lacks a field of the account's key is held and never sent, until a person has it decided anew; and the commands that say
what Rockerbox makes of conversions."""

from __future__ import annotations

import csv
import json
import stat
from datetime import UTC, datetime
from subprocess import CompletedProcess

import pytest

from tests.support import ledger
from tests.support.processes import flask
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("sqlite")

BY_ID = {"ROCKERBOX_DEDUPE_KEY": "customer_id,date,action"}
BY_EMAIL = {"ROCKERBOX_DEDUPE_KEY": "email,action", "ROCKERBOX_CROSS_DAY": "true"}  # whatever the hour of the test


def run(offhook: Offhook, *words: str, **env: str) -> CompletedProcess[str]:
    done = flask(*words, env=offhook.env(**env), folder=offhook.folder)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def calls(offhook: Offhook, count: int, state: str, **env: str) -> list[str]:
    """So many calls of the known caller, one after the other, each conversion of which comes to rest in this state."""
    sids = [new_sid() for _ in range(count)]
    with offhook.web(**env) as web, offhook.worker(**env):
        for number, sid in enumerate(sids, 1):
            assert web.twilio.send(callback(sid)).status == 204
            rest(offhook, state, number)
    return sids


def rest(offhook: Offhook, state: str, count: int = 1) -> None:
    wait_until(lambda: offhook.states() == {state: count}, shows=lambda: str(offhook.states()))


def test_what_lacks_a_field_of_the_key_never_reaches_rockerbox_until_it_is_decided_anew_with_it(
    offhook: Offhook,
) -> None:
    [sid] = calls(offhook, 1, "ambiguous", **BY_ID)
    assert (offhook.sink.requests, offhook.sink.connections) == ([], 0)
    shown = run(offhook, "conversions", "show", sid, "--raw", **BY_ID).stdout
    assert "Needs you: it lacks customer_id (key_lacks_customer_id)" in shown and "ROCKERBOX_DEDUPE_KEY" in shown
    assert "This call counts, and is not in Rockerbox, since it waits for you: it lacks" in shown
    for words in ((), ("--rebuild",), ("--as-it-is",)):
        done = run(offhook, "conversions", "retry", sid, *words, **BY_ID)
        assert (done.returncode, offhook.states()) == (1, {"ambiguous": 1}), done.stdout
    ledger.change(offhook.database_url, "UPDATE customers SET customer_id = 'C1042'")
    assert "--rebuild sends what is decided today" in run(offhook, "conversions", "retry", sid, **BY_ID).stdout
    assert run(offhook, "conversions", "retry", sid, "--rebuild", **BY_ID).returncode == 0
    with offhook.worker(**BY_ID):
        rest(offhook, "delivered")
    [request] = offhook.sink.requests
    assert json.loads(request.body)["customer_id"] == "C1042"


def test_where_the_account_has_another_key_the_same_bytes_are_sent(offhook: Offhook) -> None:
    [sid] = calls(offhook, 1, "ambiguous", **BY_ID)
    done = run(offhook, "conversions", "retry", sid, **BY_EMAIL)
    assert (done.returncode, offhook.states()) == (0, {"pending": 1}), done.stdout
    with offhook.worker(**BY_EMAIL):
        rest(offhook, "delivered")
    [request] = offhook.sink.requests
    assert "customer_id" not in json.loads(request.body)


def test_preflight_ends_with_1_where_calls_would_collapse_and_names_them(offhook: Offhook) -> None:
    first, second = calls(offhook, 2, "delivered")
    done = run(offhook, "rockerbox", "preflight", "--json", **BY_EMAIL)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["conversions"]) == (1, False, 2)
    assert (report["key"], report["cross_day"], report["day_zone"]) == (["email", "action"], True, "UTC")
    [finding] = report["findings"]
    assert (finding["check"], finding["level"], finding["count"]) == ("collapses", "error", 1)
    assert finding["samples"] == [{"call_sid": second, "found": f"as {first}"}]
    words = run(offhook, "rockerbox", "preflight", **BY_EMAIL)
    assert (
        words.returncode == 1 and f"{second}  as {first}" in words.stdout and "Errors: 1, warnings: 0." in words.stdout
    )
    assert "collapses,error,1" in run(offhook, "rockerbox", "preflight", "--csv", **BY_EMAIL).stdout


def test_preflight_ends_with_0_for_a_warning_and_with_1_where_it_is_strict(offhook: Offhook) -> None:
    calls(offhook, 2, "delivered")
    for words, code in (((), 0), (("--strict",), 1), (("--key", "order_id", "--strict"), 0)):
        done = run(offhook, "rockerbox", "preflight", *words)
        assert (done.returncode, "key_not_set" in done.stdout) == (code, "--key" not in words), done.stdout
    assert run(offhook, "rockerbox", "preflight", "--key", "email,action", ROCKERBOX_CROSS_DAY="true").returncode == 1
    assert run(offhook, "rockerbox", "preflight", "--key", "date").returncode == 2
    assert (
        "Nothing was found"
        in run(offhook, "rockerbox", "preflight", "--since", "1s", ROCKERBOX_DEDUPE_KEY="order_id").stdout
    )


def test_the_file_for_qa_is_its_owners_alone_has_everything_in_clear_and_no_formula(offhook: Offhook) -> None:
    ledger.change(offhook.database_url, "UPDATE customers SET customer_id = '=1+1'")
    (offhook.folder / "offhook.toml").write_text("revenue = 27.5\n")
    first, second = calls(offhook, 2, "delivered")
    month = f"{datetime.now(UTC):%Y-%m}"
    path = offhook.folder / "qa.csv"
    done = run(offhook, "rockerbox", "qa", "--month", month, "--output", str(path))
    assert (done.returncode, "2 conversions written" in done.stderr, "in clear" in done.stderr) == (0, True, True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["order_id", "order_timestamp", "email", "customer_id", "revenue", "customer_type"]
    assert [(row["order_id"], row["customer_type"]) for row in rows] == [(first, "new"), (second, "returning")]
    assert {(row["email"], row["customer_id"], row["revenue"]) for row in rows} == {
        ("caller@example.test", "'=1+1", "27.50")
    }
    assert all(datetime.fromisoformat(row["order_timestamp"]).tzinfo == UTC for row in rows)
    same = run(offhook, "rockerbox", "qa", "--month", month, "--output", "-")
    assert same.stdout.splitlines() == path.read_text().splitlines()
    assert len(run(offhook, "rockerbox", "qa", "--month", "2001-02", "--output", "-").stdout.splitlines()) == 1


def test_what_was_delivered_is_counted_by_the_utc_hour_and_action(offhook: Offhook) -> None:
    calls(offhook, 2, "delivered")
    [row] = ledger.query(
        offhook.database_url, "SELECT min(delivered_at) AS at, max(delivered_at) AS last FROM conversions"
    )
    hours = {row[name] // 3_600_000_000 for name in ("at", "last")}
    days = {datetime.fromtimestamp(hour * 3600, UTC).date() for hour in hours}
    found = [
        one
        for day in days
        for one in json.loads(run(offhook, "rockerbox", "hours", "--day", str(day), "--json").stdout)
    ]
    assert sum(one["count"] for one in found) == 2
    assert {one["action"] for one in found} == {"phone_call"}
    assert {datetime.fromisoformat(one["hour"]).timestamp() / 3600 for one in found} == hours
    shown = run(offhook, "rockerbox", "hours", "--day", "2001-02-03").stdout
    assert "0 delivered on 2001-02-03 (UTC)." in shown


@pytest.mark.parametrize(
    "words",
    [
        ("qa", "--month", "October", "--output", "qa.csv"),
        ("qa", "--month", "2026-13", "--output", "qa.csv"),
        ("qa", "--month", "0001-01", "--output", "qa.csv"),
        ("qa", "--month", "2026-10", "--output", "no/such/folder/qa.csv"),
        ("hours", "--day", "2026-02-30"),
        ("preflight", "--since", "a month"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_sentence_and_2(offhook: Offhook, words: tuple[str, ...]) -> None:
    done = run(offhook, "rockerbox", *words)
    assert done.returncode == 2 and done.stderr
