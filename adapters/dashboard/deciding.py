"""Calls decided again because somebody asked for it on a page, and customers whom somebody named there. Decides nothing itself."""

from __future__ import annotations

import time
from collections.abc import Sequence

from offhook.adapters.dashboard.parts import judge_now, parts
from offhook.adapters.dashboard.who import audit, user
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.steps import apply_rules
from offhook.pipeline.words import counted

_PAUSE_SECONDS = 0.05


def decided_again(keys: Sequence[CallKey]) -> int | None:
    """How many of these calls were decided by today's rules and customers; None while another decides, or where the rules
    cannot be used. Waits for a worker's turn to end. Raises LedgerUnavailable.
    """
    known = parts()
    judge = judge_now(known)
    if isinstance(judge, str):
        return None
    until = time.monotonic() + known.limits.books_seconds
    while (done := apply_rules(known.ledger, judge, keys, known.ledger.clock())) is None:
        if time.monotonic() > until:
            return None
        time.sleep(_PAUSE_SECONDS)
    return done


def named(customer: Customer, of_what: str, also: Sequence[CallKey] = ()) -> str:
    """Somebody says who has a number: that is written, and the calls that waited for it are decided at once; more of them,
    or where nobody may decide now, by the worker. `also` are calls that are decided though they do not wait. Returns what
    came of it, for whoever said it. Raises LedgerUnavailable.
    """
    ledger = parts().ledger
    audit("customer added", of_what)
    ledger.merge_customers([customer], Brought(Source.DASHBOARD, user().email))
    lines = ledger.stories.calls_of(customer.phone, parts().limits.page_rows)
    waiting = list({**dict.fromkeys(also), **{one.key: None for one in lines if one.state == CallState.PARKED}})
    if not waiting:
        return "The customer is added."
    done = decided_again(waiting)
    if not done:
        return "The customer is added. The calls that waited are decided again by themselves in a moment."
    calls = counted(done, "call was", "calls were")
    return f"The customer is added, and {calls} decided again: what counts leaves in a moment, with its own time."
