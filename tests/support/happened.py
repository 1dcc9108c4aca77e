"""A dashboard in which everything has happened once: a call of each verdict and state, each kind of job, customers of each way in."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.job_kinds import (
    KINDS,
    BacktestRules,
    PreflightConversions,
    QaFile,
    RetryConversions,
    UndoImport,
    enqueue,
)
from offhook.pipeline.jobs import JobState
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.steps import attempt, fold_batch, leave_unfinished_batch
from offhook.pipeline.tokens import new_token
from offhook.pipeline.users import AuditLine, Role
from offhook.service import job_runner
from tests.support.browsing import ANN, BO, RULES, Browsing, Person, sid

POLICY = RetryPolicy()
OTHER_ACCOUNT = f"AC{2:032x}"
CY, DI, ED = "+14155550103", "+14155550104", "+14155550105"
DELIVERED, UNKNOWN, TOO_SHORT, REFUSED, HELD, QUARANTINED, RETRIED, ON_ITS_WAY, WITHHELD, SHARED, TWICE = range(1, 12)
RINGING, UNFINISHED, JUST_ENDED = 12, 13, 14
"""The numbers of the calls."""
_RULES_OF_NOW = """{rules}
[[rule]]
name = "Much too short"
skip = "wrong_number"
when = {{ max_duration_seconds = 3 }}
[[rule]]
name = "Blocked"
skip = "blocked"
when.callers_in = "{file}"
"""
BLOCKED = 12
"""Numbers in the file that the rules name: more than a short list shows."""
TRIED = "min_duration_seconds = 3\n"
LIST = f"phone,email,customer_id,tier\n{ANN},ann@example.com,C-78,gold\n{DI},di@example.com,,\nnobody,x@example.com,,\n"
_LIST_OF_ONE = b"phone,email\n+14155550106,fay@example.com\n"


def happens(site: Browsing) -> Mapping[str, str]:
    """Has it all happened in a new dashboard, whose rules are `rules_of_now`. For each address of its map that has a variable, one
    that there is.
    """
    ledger = site.service.ledger
    _customers(site)
    _calls(site)
    _jobs(site)
    ledger.tokens.add(new_token("crm", ["calls:read"], ledger.clock())[0], line(site, "token made", "crm"))
    [brought, *_] = ledger.history.imports(1)
    looked = min((one for one in ledger.jobs.latest(99) if one.kind == "import_customers"), key=lambda one: one.id)
    return {
        "/calls/<call_sid>": f"/calls/{sid(DELIVERED)}",
        "/rules/<version>": f"/rules/{site.service.judge().rules.version}",
        "/customers/imports/<import_id>": f"/customers/imports/{brought.id}",
        "/customers/jobs/<job_id>": f"/customers/jobs/{looked.id}",
        "/customers/jobs/<job_id>/progress": f"/customers/jobs/{looked.id}/progress",
        "/jobs/of/<name>": "/jobs/of/exports?back=/calls",
    }


def rules_of_now(folder: Path) -> str:
    """Rules that name a file of numbers, which is in this folder then."""
    file = folder / "blocked.txt"
    file.write_text("".join(f"+1415555{number:04}\n" for number in range(900, 900 + BLOCKED)))
    return _RULES_OF_NOW.format(rules=RULES, file=file)


def line(site: Browsing, what: str, of_what: str) -> AuditLine:
    return AuditLine(site.service.ledger.clock(), "test", what, of_what, "test")


def _customers(site: Browsing) -> None:
    ledger = site.service.ledger
    for email, name in (("old@example.com", "old.csv"), ("ann@example.com", "crm.csv")):
        ledger.merge_customers(
            [Customer(ANN, email, "C-77", attributes={"tier": "gold"})], Brought(Source.IMPORT, name, run=name)
        )
    others = (("cy@example.com", None), ("cyril@example.com", "C-3"))
    ledger.merge_customers(
        [Customer(CY, None, None, people=2, others=others)], Brought(Source.SYNC, "https://crm.example")
    )


def _calls(site: Browsing) -> None:
    ledger, judge = site.service.ledger, site.service.judge
    site.call(DELIVERED)
    comes_to(site, Outcome(Result.DELIVERED, "delivered", 200, '{"ok": true}'))
    site.call(UNKNOWN, caller=BO)
    site.call(TOO_SHORT, seconds=5)
    site.call(REFUSED)
    comes_to(site, Outcome(Result.REFUSED, "http_422", 422, '{"error": "no such ann@example.com"}'))
    site.call(HELD)
    comes_to(site, Outcome(Result.MAYBE_SENT, "deadline"), after=timedelta(days=4))
    site.call(QUARANTINED)
    now = datetime.now(UTC)
    [_claimed] = ledger.claim(now, 1, 60, POLICY).taken
    [_expired] = ledger.expire_leases(now + timedelta(minutes=5), replace(POLICY, max_expired_leases=1))
    site.call(RETRIED)
    comes_to(site, Outcome(Result.RETRY, "http_503", 503, "busy"))
    site.call(ON_ITS_WAY)
    site.call(WITHHELD, caller="anonymous")
    site.call(SHARED, caller=CY)
    site.call(TWICE, seconds=2)
    site.call(TWICE, caller=DI, account=OTHER_ACCOUNT)
    site.call(UNFINISHED, caller=DI, more={"CallStatus": "ringing"})
    assert leave_unfinished_batch(ledger, judge(), datetime.now(UTC), 60, 10)
    site.call(RINGING, caller=DI, more={"CallStatus": "ringing"})
    site.call(JUST_ENDED, caller=ED, decide=False)
    while fold_batch(ledger, judge(), 100):
        pass


def comes_to(site: Browsing, outcome: Outcome, after: timedelta = timedelta(0)) -> None:
    """What became of the one conversion that is due."""
    ledger, now = site.service.ledger, datetime.now(UTC)
    [claimed] = ledger.claim(now, 1, 60, POLICY).taken
    ledger.finish([attempt(claimed, outcome, now, now + after, POLICY)], now + after)


def _jobs(site: Browsing) -> None:
    """Each kind of job, done; of a file of customers the look, and another that is imported and taken back. And one that waits."""
    operator, ledger = site.person(Role.OPERATOR), site.service.ledger
    looked = [_uploads(operator, file) for file in (LIST.encode(), _LIST_OF_ONE)]
    works(site)
    assert operator.post(f"/customers/jobs/{looked[1]}/import", page="/customers").status_code == 303
    works(site)
    assert operator.post("/calls/files", page="/calls", back="/calls").status_code == 303
    now = ledger.clock()
    for asked in (
        UndoImport(ledger.history.imports(1)[0].id),
        BacktestRules(now - timedelta(days=7), TRIED),
        QaFile(f"{now:%Y-%m}"),
        PreflightConversions(now - timedelta(days=7)),
        RetryConversions(call_sids=(sid(DELIVERED),)),
    ):
        enqueue(ledger.jobs, asked, "operator@example.com", now)
    works(site)
    jobs = ledger.jobs.latest(99)
    assert ({one.kind for one in jobs}, {one.state for one in jobs}) == (set(KINDS), {JobState.DONE})
    enqueue(ledger.jobs, QaFile("2026-09"), "operator@example.com", now)


def _uploads(operator: Person, file: bytes) -> int:
    """The job that is to look at it."""
    answer = operator.post("/customers/uploads", page="/customers", file=(io.BytesIO(file), "crm.csv"))
    return int(answer.headers["Location"].rpartition("/")[2])


def works(site: Browsing) -> None:
    """A worker does the jobs that wait."""
    runner = job_runner(site.service.settings, site.service.ledger, site.service.judge)
    while runner.once():
        pass
