"""Callers are looked up by a real worker, by HTTP and by SQL, whatever the source does: not one call is lost or wrongly skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import sinks
from tests.support import ledger
from tests.support.crm import Row, fill_shop, knows, knows_or_404
from tests.support.processes import Web, flask
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

NUMBERS = [f"+141555502{number:02d}" for number in range(24)]
KNOWN, UNKNOWN = NUMBERS[:16], NUMBERS[16:]
PEOPLE: dict[str, Sequence[Row]] = {
    phone: [{"email": f"caller{place}@example.test", "id": f"C{place}"}] for place, phone in enumerate(KNOWN)
}
TROUBLE: list[sinks.Behaviour] = [
    sinks.answer(500),
    sinks.black_hole(),
    sinks.drip_head(0.05),
    sinks.drip_body(0.05),
    sinks.not_json(),
    sinks.answer(200, b'{"error":"rate limit"}'),
    sinks.rate_limited("0"),
    sinks.reset(),
    sinks.close_before_answer(),
    sinks.cut_body(),
    sinks.answer(401),
    sinks.redirect("/elsewhere"),
]
QUICK = {
    "OFFHOOK_LOOKUP_DEADLINE_SECONDS": "0.4",
    "OFFHOOK_LOOKUP_BASE_SECONDS": "0.05",
    "OFFHOOK_LOOKUP_CAP_SECONDS": "0.3",
    "OFFHOOK_DEADLINE_SECONDS": "15",
    "OFFHOOK_LEASE_SECONDS": "60",
}


def of_crm(port: int) -> str:
    return f'[crm]\nurl = "http://127.0.0.1:{port}/c?phone={{phone}}"\nrecord = "$.results"\nemail = "$.email"\nid = "$.id"\n'


def call(web: Web, phones: Sequence[str]) -> None:
    for phone in phones:
        assert web.twilio.send(callback(new_sid(), From=phone)).status == 204


def states(offhook: Offhook) -> dict[str, int]:
    rows = ledger.query(offhook.database_url, "SELECT state, count(*) AS found FROM calls GROUP BY state")
    return {row["state"]: row["found"] for row in rows}


def sent(offhook: Offhook) -> list[str]:
    return sorted(json.loads(seen.body)["email"] for seen in offhook.sink.requests)


def expected() -> list[str]:
    return sorted(str(people[0]["email"]) for people in PEOPLE.values())


@pytest.fixture
def crm() -> Iterator[sinks.Sink]:
    with sinks.Sink(knows(PEOPLE)) as running:
        yield running


@pytest.mark.mostly("sqlite")
def test_whatever_a_source_does_each_call_is_decided_once_it_can_be(offhook: Offhook, crm: sinks.Sink) -> None:
    crm.behave(*(TROUBLE * 4), knows(PEOPLE))
    settings = QUICK | {"OFFHOOK_LOOKUPS": of_crm(crm.port)}
    with offhook.web() as web, offhook.worker(**settings) as worker:
        call(web, NUMBERS)
        wait_until(lambda: states(offhook) == {"converted": 16, "parked": 8}, shows=lambda: worker.log[-3000:])
        wait_until(lambda: offhook.states() == {"delivered": 16})
    assert sent(offhook) == expected()
    assert ledger.count(offhook.database_url, "decisions") == len(
        NUMBERS
    )  # each once, and nobody was unknown meanwhile
    assert "look_up_unanswered" in worker.log
    for phone in NUMBERS:
        assert phone not in worker.log


@pytest.mark.mostly("postgres")
def test_while_a_source_is_dead_calls_wait_in_sight_and_survive_a_kill(offhook: Offhook) -> None:
    port = sinks.closed_port()
    settings = QUICK | {"OFFHOOK_LOOKUPS": of_crm(port)}
    with offhook.web() as web, offhook.worker(**settings) as worker:
        call(web, NUMBERS)
        attempts = "attempts >= 2"
        wait_until(lambda: ledger.count(offhook.database_url, "lookups", attempts) == len(NUMBERS))
        assert states(offhook) == {"settling": len(NUMBERS)}
        ready = json.loads(web.twilio.get("/readyz").body)
        assert ready["callers_to_look_up"] == len(NUMBERS)
        assert ready["oldest_caller_not_looked_up_seconds"] > 0 and ready["backlog_age_seconds"] > 0
        behind = json.loads(web.twilio.get("/readyz?backlog=0").body)
        assert "a call waits for its caller to be looked up" in behind["what"]
        listed = flask("customers", "lookups", "--json", env=offhook.env(), folder=offhook.folder)
        rows = json.loads(listed.stdout)
        assert {row["reason"] for row in rows} == {"connect_refused"} and len(rows) == len(NUMBERS)
        [first] = ledger.query(offhook.database_url, "SELECT min(call_sid) AS sid FROM calls")
        story = flask("conversions", "show", first["sid"], env=offhook.env(), folder=offhook.folder).stdout
        assert "its caller is being looked up; crm is asked again at" in story and "nobody listens" in story
        worker.kill()
        with sinks.Sink(knows(PEOPLE), port=port), offhook.worker(**settings), ExitStack():
            wait_until(lambda: states(offhook) == {"converted": 16, "parked": 8})
            wait_until(lambda: offhook.states() == {"delivered": 16})
    assert sent(offhook) == expected()
    assert ledger.count(offhook.database_url, "decisions") == len(NUMBERS)


@pytest.mark.mostly("postgres")  # where they work side by side
def test_several_workers_that_are_killed_lose_and_skip_none(offhook: Offhook, crm: sinks.Sink) -> None:
    """On SQLite as on Postgres; a number that somebody asked for as he was killed is asked for again when the claim is over."""
    crm.behave(*([sinks.black_hole()] * 6), sinks.after(0.02, knows(PEOPLE)))
    settings = QUICK | {"OFFHOOK_LOOKUPS": of_crm(crm.port), "OFFHOOK_LOOKUP_DEADLINE_SECONDS": "5"}
    with offhook.web() as web, offhook.worker(**settings) as first:
        call(web, NUMBERS)
        crm.wait_for(4)
        first.kill()
        with offhook.worker(**settings):
            wait_until(lambda: states(offhook) == {"converted": 16, "parked": 8})
            wait_until(lambda: offhook.states() == {"delivered": 16})
    orders = {(body["email"], body["order_id"]) for body in (json.loads(seen.body) for seen in offhook.sink.requests)}
    assert (
        sorted(email for email, _ in orders) == expected()
    )  # what was under way as it was killed came again, as the same order
    assert ledger.count(offhook.database_url, "decisions") == len(NUMBERS)


@pytest.mark.mostly("sqlite")
def test_a_shop_s_database_is_asked_after_the_crm_and_may_be_gone_for_a_while(
    offhook: Offhook, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_sqlite = offhook.database_url.startswith("sqlite")
    shop = f"sqlite:///{tmp_path}/shop.db" if is_sqlite else request.getfixturevalue("postgres").fresh_database()
    people = {phone: [{"email": one[0]["email"], "customer_id": one[0]["id"]}] for phone, one in PEOPLE.items()}
    with sinks.Sink(knows_or_404({})) as crm:
        of_shop = (
            f'[shop]\ndatabase = "{shop}"\nsql = "SELECT email, customer_id, tier FROM people WHERE phone = :phone"\n'
        )
        sources = tmp_path / "sources.toml"
        sources.write_text(of_crm(crm.port) + of_shop)
        settings = QUICK | {"OFFHOOK_LOOKUPS": str(sources)}
        with offhook.web() as web, offhook.worker(**settings) as worker:
            call(web, NUMBERS)
            wait_until(lambda: ledger.count(offhook.database_url, "lookups", "attempts >= 1") > 0)
            assert set(states(offhook)) == {"settling"}
            fill_shop(shop, people)
            done = {"converted": 16, "parked": 8}
            wait_until(lambda: states(offhook) == done, shows=lambda: f"{states(offhook)} {worker.log[-3000:]}")
            wait_until(lambda: offhook.states() == {"delivered": 16})
    assert sent(offhook) == expected()


@pytest.mark.mostly("sqlite")
def test_a_person_asks_the_sources_and_nothing_is_written_unless_it_is_to_be(offhook: Offhook, crm: sinks.Sink) -> None:
    env = offhook.env(OFFHOOK_LOOKUPS=of_crm(crm.port))

    def lookup(*words: str) -> tuple[int, str, str]:
        done = flask("customers", "lookup", *words, env=env, folder=offhook.folder)
        return done.returncode, done.stdout, done.stderr

    before = ledger.query(offhook.database_url, "SELECT * FROM customers")
    code, said, _ = lookup(KNOWN[0], "--json", "--in-clear")
    [row] = json.loads(said)
    assert (code, row["source"], row["answer"], row["email"]) == (0, "crm", "found", "caller0@example.test")
    assert "caller0@example.test" not in lookup(KNOWN[0])[1]
    code, _, error = lookup(UNKNOWN[0])
    assert code == 1 and "No source knows" in error
    crm.behave(sinks.answer(503))
    code, said, error = lookup(KNOWN[0], "--save")
    assert code == 1 and "http_503" in said and "would wait" in error
    assert ledger.query(offhook.database_url, "SELECT * FROM customers") == before
    crm.behave(knows(PEOPLE))
    assert lookup(KNOWN[0], "--save")[0] == 0
    shown = flask("customers", "show", KNOWN[0], "--in-clear", "--json", env=env, folder=offhook.folder)
    assert "caller0@example.test" in shown.stdout
    caller = ledger.query(offhook.database_url, "SELECT phone FROM customers WHERE email = 'caller@example.test'")
    code, _, error = lookup(caller[0]["phone"], "--save")
    assert "that stays" in error


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize("command", [["worker"], ["customers", "lookup", KNOWN[0]]])
def test_sources_that_cannot_be_used_are_refused_with_all_that_is_wrong(offhook: Offhook, command: list[str]) -> None:
    if not offhook.database_url.startswith("sqlite"):
        pytest.skip("the same on both")
    env = offhook.env(OFFHOOK_LOOKUPS='[crm]\nurl = "http://x/?key=s3cret"\n[shop]\nsql = "SELECT 1"')
    done = flask(*command, env=env, folder=offhook.folder)
    assert done.returncode == 2
    assert "OFFHOOK_LOOKUPS: [crm]" in done.stderr and "[shop] database: is missing" in done.stderr
    assert "s3cret" not in done.stderr
