"""What every port of the ledger raises when it can neither store nor answer: LedgerUnavailable, with one plain word."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import RetryPolicy
from offhook.pipeline.ports.answered import Answer, Asked
from offhook.pipeline.ports.books import Books
from offhook.pipeline.ports.customers import UNNAMED
from offhook.pipeline.ports.look_ups import LookedUp, LookUpState, Wanted
from offhook.pipeline.ports.signs import Sign
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.refusals import Run
from offhook.pipeline.story import CallFilter, ConversionFilter, ConversionLine
from offhook.pipeline.tokens import new_token
from offhook.pipeline.users import AuditFilter, AuditLine, Invite, Role, Session, User
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import ACCOUNT, CALLER, NOON, key, raw, sid

POLICY = RetryPolicy()
SIGN = Sign("w1", "host", 7, "0.1.0", "rules 1", NOON)
TOKEN, _ = new_token("crm", ["customers:read"], NOON)
WRITE = Asked(TOKEN.id, "1", "fingerprint")
RUN = Run(ACCOUNT, 1, NOON, NOON + timedelta(minutes=1))
AUDIT_LINE = AuditLine(NOON, "ann@example.com", "sign in", "", "127.0.0.1")
USER = User("1", "ann@example.com", Role.ADMIN, None, NOON)
LOOKED_UP = LookedUp(Wanted(CALLER, 1, 0), LookUpState.UNKNOWN, NOON)
LINE = ConversionLine(key(1), "phone_call", "1", b"{}", "dead", "http_400", NOON, None, 1, 1, False, None)


def in_turn(ask: Callable[[Books], object]) -> Callable[[WholeLedger], object]:
    def asked(ledger: WholeLedger) -> object:
        with ledger.books() as books:
            return None if books is None else ask(books)

    return asked


ASKED: dict[str, Callable[[WholeLedger], object]] = {
    "Inbox.append": lambda of: of.append([raw(1)]),
    "Customers.merge_customers": lambda of: of.merge_customers([Customer(CALLER, "ann@example.com", None)]),
    "Customers.find_customers": lambda of: of.find_customers([CALLER]),
    "Customers.mapping_version": lambda of: of.mapping_version(),
    "Customers.retire_customers": lambda of: of.retire_customers([CALLER], UNNAMED),
    "Customers.known_phones": lambda of: of.known_phones("", 1),
    "UnknownCallers.callers": lambda of: of.unknown.callers("", 1),
    "UnknownCallers.most_frequent": lambda of: of.unknown.most_frequent(1),
    "UnknownCallers.latest": lambda of: of.unknown.latest(1),
    "History.of_numbers": lambda of: of.history.of_numbers([CALLER]),
    "History.shared_among": lambda of: of.history.shared_among([CALLER]),
    "History.numbers_named": lambda of: of.history.numbers_named("C1"),
    "History.line": lambda of: of.history.line(1),
    "History.import_": lambda of: of.history.import_(1),
    "History.touched": lambda of: list(of.history.touched(1)),
    "History.shared_numbers": lambda of: of.history.shared_numbers("", 1),
    "History.mark_undone": lambda of: of.history.mark_undone(1, NOON),
    "History.imports": lambda of: of.history.imports(1),
    "Syncs.claim": lambda of: of.syncs.claim("crm", NOON, NOON),
    "Syncs.version": lambda of: of.syncs.version("crm"),
    "Syncs.taken": lambda of: of.syncs.taken("crm", "1", NOON),
    "Signs.leave_sign": lambda of: of.workers.leave_sign(SIGN, NOON),
    "Signs.take_back_sign": lambda of: of.workers.take_back_sign("w1"),
    "Signs.forget_signs": lambda of: of.workers.forget_signs(NOON),
    "Signs.seen_since": lambda of: of.workers.seen_since(NOON),
    "IntakeCounts.add": lambda of: of.intake_counts.add({"other/recording": 1}, [RUN]),
    "IntakeCounts.sums": lambda of: of.intake_counts.sums(),
    "Stories.conversions": lambda of: of.stories.conversions([], 1),
    "Stories.conversions_page": lambda of: of.stories.conversions_page(ConversionFilter(), None, 1),
    "Stories.conversions_of": lambda of: of.stories.conversions_of([key(1)]),
    "Stories.latest_attempts": lambda of: of.stories.latest_attempts([key(1)]),
    "Stories.way_out": lambda of: of.stories.way_out(),
    "Stories.conversion_counts": lambda of: of.stories.conversion_counts(),
    "Stories.unfinished": lambda of: of.stories.unfinished(1),
    "Stories.unfinished_count": lambda of: of.stories.unfinished_count(),
    "Stories.of_call": lambda of: of.stories.of_call(sid(1)),
    "Stories.calls_of": lambda of: of.stories.calls_of(CALLER, 1),
    "Stories.calls": lambda of: of.stories.calls(CallFilter(), None, 1),
    "Stories.with_order_id": lambda of: of.stories.with_order_id("1", 1),
    "Stories.phones_of": lambda of: of.stories.phones_of("ann@example.com", 1),
    "Stories.has_callbacks": lambda of: of.stories.has_callbacks(sid(1)),
    "Stories.latest_callback_at": lambda of: of.stories.latest_callback_at(),
    "Stories.every_callback": lambda of: list(of.stories.every_callback()),
    "Stories.every_callback of a call": lambda of: list(of.stories.every_callback(call_sid=sid(1))),
    "Stories.outcomes": lambda of: of.stories.outcomes(),
    "Stories.following": lambda of: of.stories.following().fresh(),
    "Sent.made": lambda of: list(of.sent.made(NOON, NOON + timedelta(days=1))),
    "Sent.returning": lambda of: of.sent.returning([key(1)]),
    "Sent.delivered": lambda of: of.sent.delivered(NOON, NOON + timedelta(days=1)),
    "Past.rules_used": lambda of: of.past.rules_used(1),
    "Past.text_of": lambda of: of.past.text_of("v"),
    "Past.use_of": lambda of: of.past.use_of("v"),
    "Past.held": lambda of: of.past.held("v"),
    "Past.lists_used": lambda of: of.past.lists_used("v"),
    "Past.listed": lambda of: of.past.listed("d", 1),
    "Tallies.between": lambda of: of.tallies.between(NOON, NOON),
    "Tallies.summed": lambda of: of.tallies.summed([NOON, NOON + timedelta(days=1)]),
    "Tallies.by_rule": lambda of: of.tallies.by_rule(NOON, NOON),
    "Tallies.is_whole": lambda of: of.tallies.is_whole(),
    "Tallies.count_anew": lambda of: of.tallies.count_anew(),
    "Tokens.add": lambda of: of.tokens.add(TOKEN, AUDIT_LINE),
    "Tokens.every": lambda of: of.tokens.every(),
    "Tokens.revoke": lambda of: of.tokens.revoke("crm", NOON, AUDIT_LINE),
    "Tokens.used": lambda of: of.tokens.used(TOKEN.id, NOON),
    "Answered.begin": lambda of: of.answered.begin(WRITE, NOON, NOON, NOON),
    "Answered.answered": lambda of: of.answered.answered(WRITE, Answer(200, "{}")),
    "Answered.give_up": lambda of: of.answered.give_up(WRITE),
    "Users.add": lambda of: of.users.add(USER, AUDIT_LINE),
    "Users.every": lambda of: of.users.every(),
    "Users.with_id": lambda of: of.users.with_id("1"),
    "Users.with_email": lambda of: of.users.with_email("ann@example.com"),
    "Users.set_password": lambda of: of.users.set_password("1", "hash", AUDIT_LINE),
    "Users.set_role": lambda of: of.users.set_role("1", Role.ADMIN, AUDIT_LINE),
    "Users.set_zone": lambda of: of.users.set_zone("1", "UTC", AUDIT_LINE),
    "Users.disable": lambda of: of.users.disable("1", NOON, AUDIT_LINE),
    "Users.remove": lambda of: of.users.remove("1", AUDIT_LINE),
    "Sessions.add": lambda of: of.sessions.add(Session("s", "1", NOON, NOON, ""), NOON, AUDIT_LINE),
    "Sessions.with_id": lambda of: of.sessions.with_id("s"),
    "Sessions.seen": lambda of: of.sessions.seen("s", NOON),
    "Sessions.of_user": lambda of: of.sessions.of_user("1"),
    "Sessions.end": lambda of: of.sessions.end("s", AUDIT_LINE),
    "Sessions.end_all": lambda of: of.sessions.end_all("1", AUDIT_LINE),
    "Sessions.key": lambda of: of.sessions.key(),
    "Invites.add": lambda of: of.invites.add(Invite("i", None, Role.ADMIN, NOON, NOON), AUDIT_LINE),
    "Invites.open": lambda of: of.invites.open("i", NOON),
    "Invites.take": lambda of: of.invites.take("i", NOON),
    "Invites.any_open": lambda of: of.invites.any_open(NOON),
    "Tries.count": lambda of: of.tries.count("a", NOON, NOON),
    "Tries.forget": lambda of: of.tries.forget("a", NOON),
    "Audit.write": lambda of: of.audit.write(AUDIT_LINE),
    "Audit.forget": lambda of: of.audit.forget(NOON, None),
    "Audit.lines": lambda of: of.audit.lines(AuditFilter(), None, 1),
    "Books": in_turn(lambda books: books.unfolded(1)),
    "LookUps.claim_look_ups": lambda of: of.claim_look_ups(NOON, 1, 60),
    "LookUps.finish_look_ups": lambda of: of.finish_look_ups([LOOKED_UP]),
    "LookUps.fresh_numbers": lambda of: of.fresh_numbers([CALLER], NOON),
    "LookUps.look_ups": lambda of: of.look_ups(1),
    "LookUps.look_up_of": lambda of: of.look_up_of(CALLER),
    "Outbox.claim": lambda of: of.claim(NOON, 1, 60, POLICY),
    "Outbox.expire_leases": lambda of: of.expire_leases(NOON, POLICY),
    "Outbox.retry": lambda of: of.retry([key(1)], NOON),
    "Watched.waiting": lambda of: of.waiting(),
    "Rebuilding.known_calls": lambda of: of.rebuilding.known_calls().settled([key(1)]),
    "Rebuilding.may_be_rebuilt": lambda of: of.rebuilding.may_be_rebuilt([LINE]),
}


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def unreachable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WholeLedger]:
    """A ledger whose database is not there."""
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        opened = _memory() if request.param == "memory" else _on_sql(_address(request.param, tmp_path, port))
        yield opened
        opened.close()


def _address(kind: str, folder: Path, port: int) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/offhook.db"
    return f"postgresql://offhook@127.0.0.1:{port}/offhook"


def _memory() -> WholeLedger:
    from tests.fakes.kept import Unreachable
    from tests.fakes.ledger import MemoryLedger

    return MemoryLedger(kept=Unreachable())


def _on_sql(url: str) -> WholeLedger:
    from offhook.adapters.ledger.engine import Patience
    from offhook.adapters.ledger.store import SqlLedger
    from offhook.settings import given

    return SqlLedger(given({"DATABASE_URL": url}).database_url, patience=Patience(store_seconds=2.0))


@pytest.mark.parametrize("asked", ASKED)
def test_a_ledger_that_is_not_there_says_so_in_one_word_whatever_is_asked(unreachable: WholeLedger, asked: str) -> None:
    with pytest.raises(LedgerUnavailable) as raised:
        ASKED[asked](unreachable)
    assert re.fullmatch("[a-z_]+", raised.value.word)
    assert not unreachable.news.wait(0)
