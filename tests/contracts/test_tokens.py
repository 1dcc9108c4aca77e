"""What `Tokens` promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.tokens import Scope, is_of, new_token, presented
from offhook.pipeline.users import AuditFilter, AuditLine
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

MINUTE = timedelta(minutes=1)
LINE = AuditLine(NOON, "ann@example.com", "token made", "crm", "127.0.0.1")
REVOKED = replace(LINE, what="token revoked")


def test_tokens_are_kept_without_their_secrets_the_first_made_first(ledger: WholeLedger) -> None:
    crm, text = new_token("crm", [Scope.CUSTOMERS_WRITE, Scope.CUSTOMERS_READ], NOON + MINUTE)
    shop, _ = new_token("shop", [Scope.TALLIES_READ], NOON)
    assert ledger.tokens.add(crm, LINE)
    assert ledger.tokens.add(shop, LINE)
    assert list(ledger.tokens.every()) == [shop, crm]
    shown = presented(text)
    assert shown is not None
    assert is_of(crm, shown)
    assert not is_of(shop, shown)
    assert shown.secret not in repr(ledger.tokens.every())


def test_a_name_is_one_tokens_until_that_is_revoked(ledger: WholeLedger) -> None:
    first, again = (new_token("crm", [Scope.CUSTOMERS_READ], NOON + n * MINUTE)[0] for n in (0, 1))
    assert ledger.tokens.add(first, LINE)
    assert not ledger.tokens.add(again, LINE)
    assert ledger.tokens.revoke("crm", NOON, REVOKED)
    assert not ledger.tokens.revoke("crm", NOON, REVOKED)
    assert ledger.tokens.add(again, LINE)
    assert [(one.id, one.revoked_at) for one in ledger.tokens.every()] == [(first.id, NOON), (again.id, None)]
    lines = [one.what for one in ledger.audit.lines(AuditFilter(), None, 10)]
    assert lines == ["token made", "token revoked", "token made"], "none of what changed nothing"


def test_the_last_use_is_the_latest(ledger: WholeLedger) -> None:
    token, _ = new_token("crm", [Scope.CUSTOMERS_READ], NOON)
    ledger.tokens.add(token, LINE)
    ledger.tokens.used("0" * 12, NOON)
    for at in (NOON + MINUTE, NOON):
        ledger.tokens.used(token.id, at)
    assert [one.last_used_at for one in ledger.tokens.every()] == [NOON + MINUTE]
