"""What is recorded, redacted and replayed on a fresh ledger comes to the same decisions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import ledger
from tests.support.processes import REPOSITORY, flask
from tests.support.twilio import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("postgres")

DAY = REPOSITORY / "recordings" / "shop-day.jsonl"


def replay(offhook: Offhook, file: Path, port: int, *options: str) -> str:
    where = ("--to", f"http://127.0.0.1:{port}", "--signed-for", PUBLIC_URL, "--auth-token", AUTH_TOKEN)
    options = ("--speed", "max", *options)
    done = flask("recordings", "replay", str(file), *where, *options, env=offhook.env(), folder=offhook.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def decisions(offhook: Offhook) -> dict[str, int]:
    rows = ledger.query(offhook.database_url, "SELECT reasons, result FROM decisions")
    words = [(row["result"], json.loads(row["reasons"])[0][0]) for row in rows]
    return {f"{one}": words.count(one) for one in words}


@pytest.mark.parametrize(
    "options", [("--shuffle", "7"), ("--duplicate", "3", "--shuffle", "8")], ids=["shuffled", "tripled"]
)
def test_a_day_of_a_shop_comes_to_the_same_conversions_in_any_order(options: tuple[str, ...], offhook: Offhook) -> None:
    mapping = REPOSITORY / "recordings" / "customers.csv"
    rejects = str(offhook.folder / "rejects.csv")
    done = flask("customers", "import", str(mapping), "--rejects", rejects, env=offhook.env(), folder=offhook.folder)
    assert done.returncode == 0, done.stderr
    with offhook.web() as web, offhook.worker():
        assert "answered 204" in replay(offhook, DAY, web.port, "--account-sid", ACCOUNT_SID, *options)
        wait_until(
            lambda: ledger.count(offhook.database_url, "calls", "decided_at IS NOT NULL") == 300,
            shows=lambda: "undecided",
        )
        wait_until(lambda: set(offhook.states()) == {"delivered"}, shows=lambda: str(offhook.states()))
    sent = sorted(json.loads(request.body)["order_id"] for request in offhook.sink.requests)
    assert len(sent) == len(set(sent)) == offhook.states()["delivered"]
    assert sent == sorted(calls_that_count(mapping))


def digits(number: str) -> str:
    """The national number of a spelling with or without +1 or +44."""
    return "".join(filter(str.isdigit, number))[-10:]


def calls_that_count(mapping: Path) -> set[str]:
    """The completed inbound calls of the day whose caller is in the mapping, by a reading of the two files alone."""
    known = {digits(line.rsplit(",", 2)[0]) for line in mapping.read_text().splitlines()[1:]}
    forms = [dict(json.loads(line)["form"]) for line in DAY.read_text().splitlines()]
    whole = [one for one in forms if one["Direction"] == "inbound" and one["CallStatus"] == "completed"]
    return {one["CallSid"] for one in whole if digits(one["From"]) in known and len(digits(one["From"])) == 10}


def test_an_export_names_nobody_and_replays_to_the_same_decisions(offhook: Offhook, tmp_path: Path) -> None:
    with offhook.web() as web, offhook.worker():
        replay(offhook, DAY, web.port, "--account-sid", ACCOUNT_SID)
        wait_until(
            lambda: ledger.count(offhook.database_url, "calls", "decided_at IS NOT NULL") == 300,
            shows=lambda: "undecided",
        )
        before = decisions(offhook)
        exported = tmp_path / "export.jsonl"
        done = flask("recordings", "export", "--output", str(exported), env=offhook.env(), folder=offhook.folder)
        assert done.returncode == 0, done.stderr
        text = exported.read_text()
        rows = ledger.query(offhook.database_url, "SELECT from_number, call_sid FROM calls")
        assert not [
            row
            for row in rows
            if row["call_sid"] in text or (row["from_number"][:1] == "+" and row["from_number"] in text)
        ]
        for table in ("decisions", "conversions", "attempts", "calls", "legs", "callbacks"):
            ledger.change(offhook.database_url, f"DELETE FROM {table}")
        replay(offhook, exported, web.port, "--account-sid", ACCOUNT_SID)
        wait_until(
            lambda: ledger.count(offhook.database_url, "calls", "decided_at IS NOT NULL") == 300,
            shows=lambda: "undecided",
        )
        assert decisions(offhook) == before
