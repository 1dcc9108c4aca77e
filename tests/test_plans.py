"""Nothing gets slower with age: on a filled ledger no statement of web, worker or command reads a growing table through.

Without statistics, which a restore, an upgrade or a Postgres without autovacuum does not have. Nothing here measures time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from offhook.adapters.commands.context import Offhook
from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.look_up import Answer, Asked, Found, Later, LookUpPolicy, NotThere
from offhook.pipeline.looking_up import looked_up, take_in
from offhook.pipeline.ports.customers import UNNAMED
from offhook.pipeline.ports.signs import Sign
from offhook.pipeline.ports.unknown import CallersMark
from offhook.pipeline.refusals import Run
from offhook.pipeline.steps import (
    attempt,
    decide_anew,
    decide_batch,
    deliver_batch,
    fold_batch,
    give_up_batch,
    leave_unfinished_batch,
    release_batch,
)
from offhook.pipeline.story import CallFilter, ConversionFilter
from offhook.service import build
from offhook.settings import given
from tests import sinks
from tests.support.arriving import read_request
from tests.support.filled import GROWING, ROWS, fill
from tests.support.ledger import count
from tests.support.plans import Plans, watched
from tests.support.twilio import ACCOUNT_SID

NOW = datetime.now(UTC)
_LEAF = f"CA{7:032x}"


def callback(sid: str, caller: str, status: str = "completed", parent: str | None = None) -> RawCallback:
    params = {"CallSid": sid, "AccountSid": ACCOUNT_SID, "From": caller, "To": "+14155550199", "CallStatus": status}
    params |= {"Direction": "outbound-dial", "ParentCallSid": parent} if parent else {"Direction": "inbound"}
    body = urlencode(params | {"CallDuration": "10"}).encode()
    found = read_request("POST", "/twilio/status", "application/x-www-form-urlencoded", {}, body, NOW, ACCOUNT_SID)
    assert isinstance(found, tuple)
    return found[0]


def calls(name: str, how_many: int, caller: str) -> Iterator[RawCallback]:
    """Calls with two callbacks and a child leg each."""
    for number in range(how_many):
        sid = f"CA{name}{number:030x}"
        yield callback(sid, caller, "ringing")
        yield callback(sid, caller)
        yield callback(f"CA{name}{number + 1000:030x}", caller, parent=sid)


KNOWN, UNKNOWN = "+14155550100", "+14155550101"


def everything(url: str, sink: sinks.Sink) -> Plans:
    """All that web, worker and commands do, once; every statement of it looked at."""
    settings = {
        "DATABASE_URL": url,
        "ROCKERBOX_URL": sink.url,
        "ROCKERBOX_ADVERTISER_ID": "a",
        "OFFHOOK_SETTLE_SECONDS": "0",
        "OFFHOOK_UNKNOWN_DAYS": "3650",  # the old calls that are parked wait on
    }
    service = build(given(settings))
    with watched(service.ledger.database.engine) as plans:
        works(service.ledger, service)
        is_looked_at(service.ledger)
    service.ledger.close()
    return plans


def works(ledger: SqlLedger, service: Offhook) -> None:
    worker = service.worker()
    ledger.merge_customers([Customer(KNOWN, "a@example.test", None)])
    ledger.append([*calls("1a", 20, KNOWN), *calls("1b", 5, UNKNOWN)])
    ledger.append([callback(_LEAF, KNOWN)])
    while worker.keep_books_once():
        pass
    ledger.append([callback(_LEAF, KNOWN, "ringing", parent=f"CA1b{0:030x}")])  # what stood alone hangs from another
    ledger.append([*calls("1c", 1, KNOWN)][-1:])  # a child whose parent has sent nothing
    while worker.keep_books_once():
        pass
    assert deliver_batch(ledger, service.destination, service.policy, 60, ledger.clock) == 20
    shared, people = (UNKNOWN, "+14155550102", "+14155550103"), (("c@example.test", "C3"), ("d@example.test", None))
    several = [Customer(phone, None, None, people=2, others=people) for phone in shared]
    ledger.merge_customers(several)  # and one of them is one person's again
    while worker.keep_books_once():
        pass
    ledger.merge_customers([Customer(UNKNOWN, "b@example.test", None)])
    while worker.keep_books_once():
        pass
    assert ledger.retire_customers(["+14155550102", "+19991"], UNNAMED) == 2
    taken = ledger.claim(ledger.clock(), 3, 60, service.policy).taken
    refused = [attempt(one, Outcome(Result.REFUSED, "http_400", 400), NOW, NOW, service.policy) for one in taken[:1]]
    ledger.finish(refused, ledger.clock())
    ledger.expire_leases(ledger.clock() + timedelta(seconds=61), service.policy)
    assert len(leave_unfinished_batch(ledger, service.judge(), NOW + timedelta(hours=25), 24 * 3600, 50)) == 1
    assert give_up_batch(ledger, service.judge(), NOW, 1000 * 86400, 50) == 50
    assert is_decided_anew(ledger, service, refused[0].sending.key) == 1
    fill(service.settings.database_url.replace("+psycopg", ""), ROWS + 100, without=set(GROWING) - {"lookups"})
    are_looked_up(ledger, service)


def are_looked_up(ledger: SqlLedger, service: Offhook) -> None:
    """Callers whom nobody has: one is found, one is unknown, one is asked again; and nobody looks up any more."""
    callers, policy, judge = [f"+1415555013{number}" for number in range(3)], LookUpPolicy(), service.judge()
    for place, phone in enumerate(callers):
        ledger.append([*calls(f"2{place}", 3, phone)])
    while fold_batch(ledger, judge, 200):
        pass
    now = ledger.clock() + timedelta(seconds=1)
    assert decide_batch(ledger, judge, now, 200, look_ups=policy) == 9
    answers: list[Answer] = [Found("a@example.test", None), NotThere(), Later("dns")]
    claimed = sorted(ledger.claim_look_ups(now, 8, 30), key=lambda one: one.phone)
    said = [Asked(one.phone, answer, "crm") for one, answer in zip(claimed, answers, strict=True)]
    take_in(ledger, said, ledger.fresh_numbers(callers, now), now, policy)
    done = [looked_up(one, asked, now, policy) for one, asked in zip(claimed, said, strict=True)]
    ledger.finish_look_ups(done)
    assert release_batch(ledger, judge, now, 200) == 2
    assert decide_batch(ledger, judge, now + timedelta(seconds=1), 200, look_ups=policy) == 6
    much_later = now + timedelta(days=1)
    assert len(ledger.claim_look_ups(much_later, 8, 30)) == 2
    assert ledger.look_ups(50)
    assert ledger.look_up_of(callers[2]) is not None
    assert release_batch(ledger, judge, much_later, 50, every=True) == 50


def is_decided_anew(ledger: SqlLedger, service: Offhook, key: CallKey) -> int:
    rebuilding = ledger.rebuilding
    [story] = ledger.stories.of_call(key.call_sid)
    assert story.conversion is not None
    assert rebuilding.may_be_rebuilt([story.conversion]) == {key}
    decided = decide_anew(rebuilding.known_calls(), [key], service.judge(), ledger.clock())
    return rebuilding.rebuild(decided, {key: story.conversion.fence}, ledger.clock())


def is_looked_at(ledger: SqlLedger) -> None:
    ledger.prove_writable(5)
    ledger.backlog(ledger.clock())
    refused = Run(ACCOUNT_SID, 1, ledger.clock(), ledger.clock())
    assert [run.count for run in ledger.intake_counts.add({"other/recording": 1}, [refused])] == [1]
    assert [run.count for run in ledger.intake_sums().runs] == [1]
    seen = ledger.stories
    assert len(seen.conversions((), 50)) == 50
    assert seen.conversions(("dead", "sending"), 50)
    assert seen.conversion_counts()["delivered"] > 10_000
    assert seen.latest_delivered_at() is not None
    assert min(seen.needs_people().held, seen.needs_people().unknown) > 0
    assert seen.of_call(f"CA1a{0:030x}")[0].conversion is not None
    assert not seen.of_call("CA" + "f" * 32)
    assert len(seen.calls_of(KNOWN, 10)) == 10
    assert len(seen.calls_of("+188811", 10)) == 1
    lists_calls(ledger)
    ledger.workers.leave_sign(Sign("w", "host", 1, "0.1.0", "rules", NOW), ledger.clock())
    assert len(ledger.workers.seen_since(NOW)) == 1
    ledger.workers.forget_signs(NOW)
    ledger.workers.take_back_sign("w")
    assert not seen.has_callbacks("CA" + "f" * 32)
    assert len(list(seen.every_callback(since=NOW - timedelta(seconds=60)))) > 70
    assert len(list(seen.every_callback(call_sid=f"CA1a{0:030x}"))) == 3
    following = seen.following()
    ledger.append([callback("CA" + "e" * 32, KNOWN)])
    assert len(following.fresh()) == 1
    following.fresh()
    assert ledger.retry([row.key for row in seen.conversions(("dead",), 5)], ledger.clock()) == 5
    assert ledger.find_customers([KNOWN])
    assert len(ledger.history.of_numbers([KNOWN, UNKNOWN])) == 3
    assert ledger.history.imports(50)
    assert len(next(iter(ledger.history.touched(1)))) == 500
    assert ledger.history.numbers_named("a@example.test")
    [latest] = ledger.history.imports(1)
    assert ledger.history.import_(latest.id) == latest
    assert not any(one.id >= latest.id for one in ledger.history.imports(50, latest.id))
    assert ledger.history.line(1)
    ledger.history.mark_undone(latest.id, NOW)
    assert len(ledger.known_phones("", 50)) == len(ledger.unknown.callers("", 50)) == 50
    assert not ledger.unknown.are_more_than(10_000)
    for ask in (ledger.unknown.most_frequent, ledger.unknown.latest):
        *_, last = ask(50)
        assert ask(50, CallersMark(last.calls, last.latest_at, last.phone))
    shared = [one.phone for one in ledger.history.shared_numbers("", 50)]
    assert len(shared) == len(ledger.history.shared_among(shared)) == 50
    assert ledger.waiting(with_open=True).parked_since is not None
    assert len(seen.unfinished(50)) == seen.unfinished_count() == 1
    is_read_by_period(ledger)
    is_read_by_pages(ledger)


def is_read_by_pages(ledger: SqlLedger) -> None:
    for wanted in (
        ConversionFilter(("dead", "ambiguous"), maybe_sent=False),
        ConversionFilter(("delivered",), since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1)),
        ConversionFilter(("delivered",)),
    ):
        page = ledger.stories.conversions_page(wanted, None, 5)
        keys = [one.key for one in page.conversions]
        assert len(ledger.stories.conversions_of(keys)) == len(keys)
        ledger.stories.latest_attempts(keys)
        ledger.stories.conversions_page(wanted, page.after, 5)
    ledger.stories.way_out()
    ledger.past.rules_used(5)
    ledger.past.use_of("v")


def is_read_by_period(ledger: SqlLedger) -> None:
    since, until = NOW - timedelta(hours=1), NOW + timedelta(days=2)
    made = [line.key for page in ledger.sent.made(since, until) for line in page]
    assert 20 < len(made) < 30
    assert len(ledger.sent.returning(made)) < len(made)
    assert sum(one.count for one in ledger.sent.delivered(since, until)) == 20
    first = next(iter(ledger.sent.made(datetime(2020, 1, 1, tzinfo=UTC), until)))  # of all that there is, a page alone
    assert ledger.sent.returning([line.key for line in first[:100]]) == set()


def lists_calls(ledger: SqlLedger) -> None:
    """By each index, and by several conditions; by the names that a call is found by; and the sums."""
    long_ago, ours = datetime(2020, 9, 13, 12, 26, tzinfo=UTC), "+14155550199"
    wanted = [
        CallFilter(since=NOW - timedelta(hours=1)),
        CallFilter(until=long_ago + timedelta(minutes=5)),
        CallFilter(number=ours),
        CallFilter(outcome="delivered", number=ours, since=NOW - timedelta(hours=1)),
        CallFilter(reason="http_400", outcome="refused", state="converted"),
        CallFilter(phones=(KNOWN, UNKNOWN), number=ours),
        CallFilter(source="webhook", least_seconds=1, number=ours),
    ]
    for one in wanted:
        page = ledger.stories.calls(one, None, 5)
        if page.after is not None:
            ledger.stories.calls(one, page.after, 5)
    assert len(ledger.stories.calls(wanted[2], None, 5).calls) == 5
    assert len(ledger.stories.with_order_id(f"CA1a{0:030x}", 5)) == 1
    assert KNOWN in ledger.stories.phones_of("a@example.test", 5)
    assert "+14155550103" in ledger.stories.phones_of("d@example.test", 5)
    assert sum(one.calls for one in ledger.tallies.between(NOW - timedelta(hours=1), NOW + timedelta(hours=1))) > 20
    hours = [NOW + timedelta(hours=number) for number in range(-30 * 24, 3, 24)]
    for number in (None, ours):
        found = ledger.tallies.summed([*hours, NOW + timedelta(hours=1)], number)
        assert sum(one.calls for one in found.spans) > 20
        assert sum(one.calls for one in found.places) > 20
    by_rule = ledger.tallies.by_rule(NOW - timedelta(days=30), NOW + timedelta(hours=1))
    assert sum(one.calls for one in by_rule.rules) > 20
    assert sum(one.calls for one in by_rule.places) > 20
    assert ledger.stories.latest_callback_at() is not None
    assert not ledger.stories.phones_of("nobody", 5) and ledger.tallies.is_whole()


@pytest.fixture
def filled_url(database_url: str) -> str:
    fill(database_url, without=["lookups"])  # a worker without sources forgets them
    return database_url


def test_no_statement_reads_a_growing_table_through(filled_url: str) -> None:
    with sinks.Sink() as sink:
        plans = everything(filled_url, sink)
    assert plans.scans == []
    done = " ".join(plans.seen)
    for table in GROWING:
        assert f"INSERT INTO {table}" in done, table
        assert count(filled_url, table) > ROWS, table
    for table in ("callbacks", "calls", "conversions"):
        assert f"UPDATE {table}" in done, table
    # The heaviest marks some 75 callbacks in each of their indexes. A look-up of 75 calls by their account alone: 14,000.
    assert plans.blocks < 2000, f"{plans.blocks} blocks: {plans.heaviest}"
