"""Whatever names a person is written, looked up and read through one type of the ledger, so that it can be encrypted there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from offhook.adapters.ledger.schema import PersonText, metadata
from offhook.adapters.ledger.store import SqlLedger
from offhook.pipeline.customer import Customer
from offhook.pipeline.job_kinds import ExportCalls, enqueue
from offhook.pipeline.jobs import JobEvent, Progress
from offhook.pipeline.look_up import LookUpPolicy
from offhook.pipeline.ports.look_ups import LookedUp, LookUpState
from offhook.pipeline.steps import decide_batch, release_batch
from offhook.pipeline.users import AuditFilter, AuditLine, Invite, Role, User
from offhook.settings import given
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, OTHER, key, raw, sid
from tests.support.ledger import query

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
NOBODY = "+14155550133"
LATER = NOON + timedelta(hours=1)


def hidden(value: str | None) -> str | None:
    return None if value is None else f"kept:{value[::-1]}"


def unhidden(value: str | None) -> str | None:
    assert value is None or value.startswith("kept:"), f"{value!r} was written past the type"
    return None if value is None else value.removeprefix("kept:")[::-1]


@pytest.fixture
def ledger(database_url: str, monkeypatch: pytest.MonkeyPatch) -> SqlLedger:
    monkeypatch.setattr(PersonText, "kept", staticmethod(hidden))
    monkeypatch.setattr(PersonText, "shown", staticmethod(unhidden))
    return SqlLedger(given({"DATABASE_URL": database_url}).database_url)


def test_nothing_of_a_person_is_written_looked_up_or_read_past_the_one_type(
    ledger: SqlLedger, database_url: str
) -> None:
    ann = Customer(CALLER, "ann@example.com", "C1", attributes={"tier": "gold"})
    several = Customer(CALLER, None, None, people=2)
    ledger.merge_customers([ann])
    ledger.append([raw(1), raw(2, caller=OTHER), raw(3, "ringing")])
    steps.fold(ledger)
    assert steps.decide(ledger, NOON) == 2
    assert ledger.find_customers([CALLER, OTHER]) == {CALLER: ann}
    assert {one.key for one in ledger.stories.calls_of(CALLER, 10)} == {key(1), key(3)}
    [story] = ledger.stories.of_call(sid(2))
    assert (story.call.state, story.call.from_, story.call.customer_phone) == ("parked", OTHER, OTHER)

    bo = Customer(OTHER, "bo@example.com", None)
    ledger.merge_customers([bo, replace(several, others=(("ann@example.com", "C1"), ("eve@example.com", "C9")))])
    assert ledger.find_customers([CALLER, OTHER]) == {CALLER: several, OTHER: bo}
    ledger.merge_customers([ann])
    assert ledger.find_customers([CALLER]) == {CALLER: ann}
    assert [line.customer for line in ledger.history.of_numbers([CALLER])] == [ann, several, ann]
    with ledger.books() as books:
        assert books is not None and books.parked("", 10).to_decide == [key(2)]

    policy, much_later = LookUpPolicy(), LATER + timedelta(days=1)
    ledger.append([raw(4, caller=NOBODY)])
    steps.fold(ledger)
    assert decide_batch(ledger, steps.JUDGE, NOON, 10, look_ups=policy) == 1
    [wanted] = ledger.claim_look_ups(NOON, 10, 30)
    assert wanted.phone == ledger.look_ups(10)[0].phone == NOBODY
    ledger.finish_look_ups([LookedUp(wanted, LookUpState.UNKNOWN, LATER)])
    assert ledger.fresh_numbers([NOBODY, CALLER, "+14155550155"], NOON) == {NOBODY, CALLER}
    assert release_batch(ledger, steps.JUDGE, NOON, 10) == 1
    assert decide_batch(ledger, steps.JUDGE, NOON, 10, look_ups=policy) == 1
    assert [one.phone for one in ledger.claim_look_ups(much_later, 10, 30)] == [NOBODY]

    line = AuditLine(NOON, "ann@example.com", "user added", "ann@example.com", "")
    assert ledger.users.add(User("u1", "ann@example.com", Role.VIEWER, None, NOON), line)
    assert ledger.users.with_email("ann@example.com") is not None
    for named in (AuditFilter(who=line.who), AuditFilter(of_what=line.of_what)):
        [found] = ledger.audit.lines(named, None, 9)
        assert (found.who, found.of_what) == ("ann@example.com", "ann@example.com")
    assert ledger.audit.lines(AuditFilter(who="bo@example.com"), None, 9) == []
    ledger.invites.add(Invite("i1", "bo@example.com", Role.VIEWER, NOON, LATER), line)

    asked = enqueue(ledger.jobs, ExportCalls(phones=(CALLER,)), "ann@example.com", NOON)
    taken = ledger.jobs.claim(NOON, 60, 3).taken
    assert taken is not None
    ledger.jobs.finish(asked, taken.fence, JobEvent.FINISH, Progress(), NOON, result={"phone": CALLER})
    job = ledger.jobs.job(asked)
    assert job is not None
    assert (job.arguments, job.asked_by, job.result) == ({"phones": [CALLER]}, "ann@example.com", {"phone": CALLER})

    of_persons = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, PersonText)
    }
    written = {
        (table, name): [row[name] for row in query(database_url, f"SELECT {name} FROM {table}")]
        for table, name in of_persons
    }
    assert [value for values in written.values() for value in values if value and not value.startswith("kept:")] == []
    emptied = {place for place in of_persons if place[0] in ("shared_numbers", "shared_people")}
    assert all(written[place] for place in of_persons - emptied)
    ledger.close()
