"""The dashboard as people of each role use it: the real pages on a real ledger, in this process, without a server between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.routing import Rule

from offhook.adapters.commands.context import Offhook
from offhook.api_and_dashboard import dashboard
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.steps import attempt
from offhook.pipeline.users import AuditLine, Role, Session, User, new_secret, new_user_id
from offhook.service import build
from offhook.settings import given
from tests.support.arriving import read_request
from tests.support.processes import READS_AS_LONG_AS_IT_TAKES

ACCOUNT = f"AC{1:032x}"
ANN, BO, OURS = "+14155550101", "+14155550102", "+14155550199"


def sid(number: int) -> str:
    return f"CA{number:032x}"


@dataclass
class Person:
    """Somebody who is signed in."""

    client: FlaskClient
    email: str

    def get(self, path: str, **headers: str) -> Any:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=said)

    def post(self, path: str, *, page: str, csrf: bool = True, **fields: Any) -> Any:
        """Send the form of a page, with the token that stands in it."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).text)
        assert token is not None, page
        data = {**fields, **({"csrf_token": token[1]} if csrf else {})}
        return self.client.post(path, data=data)


@dataclass
class Browsing:
    """A dashboard, and calls that come in."""

    service: Offhook
    app: Flask
    at: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(hours=1))

    def person(self, role: Role) -> Person:
        """Somebody new of this role."""
        ledger, now = self.service.ledger, datetime.now(UTC)
        email = f"{role.value}-{new_user_id()}@example.test"
        line = AuditLine(now, "", "user created", email, "")
        someone = User(new_user_id(), email, role, None, now)
        assert ledger.users.add(someone, line)
        secret, kept = new_secret()
        ledger.sessions.add(Session(kept, someone.id, now, now, ""), now - timedelta(days=1), line)
        client = self.app.test_client()
        with client.session_transaction() as session:
            session["sid"] = secret
        return Person(client, email)

    def call(
        self,
        number: int,
        *,
        caller: str = ANN,
        seconds: int = 90,
        decide: bool = True,
        account: str = ACCOUNT,
        more: Mapping[str, str] | None = None,
    ) -> str:
        """A call that is over, a minute after the one before; folded and decided."""
        self.at += timedelta(minutes=1)
        said: Mapping[str, str] = {
            "CallSid": sid(number),
            "AccountSid": account,
            "From": caller,
            "To": OURS,
            "Direction": "inbound",
            "CallStatus": "completed",
            "CallDuration": str(seconds),
            **(more or {}),
        }
        body = urlencode(said).encode()
        form = "application/x-www-form-urlencoded"
        found = read_request("POST", "/twilio/status", form, {}, body, self.at, account)
        assert isinstance(found, tuple)
        self.service.ledger.append(found)
        if decide:
            self.work()
        return sid(number)

    def refused(self, number: int, *, caller: str) -> str:
        """The CallSid of such a call that Rockerbox refused; its caller is known by now."""
        self.know(caller, "cy@example.com")
        made = self.call(number, caller=caller)
        self.attempted(Outcome(Result.REFUSED, "http_422", 422, "no"))
        return made

    def attempted(self, outcome: Outcome, ends: datetime | None = None) -> None:
        """What became of all that is due, by an attempt of now which ends then."""
        ledger, now = self.service.ledger, datetime.now(UTC)
        for claimed in ledger.claim(now, 99, 60, RetryPolicy()).taken:
            ledger.finish([attempt(claimed, outcome, now, ends or now, RetryPolicy())], ends or now)

    def work(self) -> None:
        """What a worker does with calls, until nothing is left."""
        worker = self.service.worker()
        while worker.keep_books_once():
            pass

    def know(self, phone: str, email: str | None, customer_id: str | None = None) -> None:
        self.service.ledger.merge_customers([Customer(phone, email, customer_id)])


RULES = """min_duration_seconds = 30
[[numbers]]
number = "+14155550199"
label = "TV spring"
"""


class CompiledOnce(BytecodeCache):
    """The templates of all dashboards of this process: to compile them anew for each would take a third of its test's time."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key, bucket.checksum] = bucket.code


_compiled = CompiledOnce()


def _builders_made_once() -> None:
    """How an address is written from its rule is a function that werkzeug makes of source, twice a rule; here once a process."""
    make, known = Rule._compile_builder, dict[tuple[object, ...], Any]()

    def remembered(rule: Rule, append_unknown: bool = True) -> Any:
        kind = (rule.rule, append_unknown, tuple(rule._trace), repr(rule.defaults))
        if kind not in known:
            known[kind] = make(rule, append_unknown)
        return known[kind]

    Rule._compile_builder = remembered  # type: ignore[method-assign, assignment]


_builders_made_once()


def browsing(url: str, **changes: str) -> Browsing:
    """A dashboard over this database, whose calls are decided at once. Close its ledger at the end."""
    known = {"DATABASE_URL": url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "t" * 32}
    known |= READS_AS_LONG_AS_IT_TAKES
    service = build(given(known | {"OFFHOOK_SETTLE_SECONDS": "0", "OFFHOOK_RULES": RULES} | changes))
    app = dashboard(service)
    app.jinja_env.bytecode_cache = _compiled
    return Browsing(service, app)


def site_of(**changes: str) -> Any:
    """The fixture `site` of a file of tests: a dashboard over the test's own database. ANN is a customer, nobody knows others."""

    @pytest.fixture
    def site(database_url: str) -> Iterator[Browsing]:
        found = browsing(database_url, **changes)
        found.know(ANN, "ann@example.com", "C-77")
        yield found
        found.service.ledger.close()

    return site
