"""Numbers that are looked up, in memory: `LookUps` without a database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from offhook.pipeline.customer import Customer
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.look_ups import LookedUp, LookUpLine, LookUpState, Wanted
from tests.fakes.customers import MemoryCustomers
from tests.fakes.kept import Kept, KeptLookUp


class MemoryLookUps:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._customers = MemoryCustomers(kept)

    def want(self, phone: str, now: datetime) -> None:
        """A call waits for it."""
        one = self._kept.look_ups.setdefault(_line(phone), KeptLookUp(LookUpState.WANTED, now, now))
        if one.state is not LookUpState.WANTED:
            one.state, one.due_at = LookUpState.WANTED, now
        one.wanted_at, one.to_release = one.wanted_at or now, False

    def release(self, phone: str, *, every: bool) -> None:
        """No call waits for it any more."""
        one = self._kept.look_ups[phone]
        if every or one.state is not LookUpState.UNKNOWN:
            del self._kept.look_ups[phone]
        else:
            one.wanted_at, one.to_release = None, False

    def claim_look_ups(self, now: datetime, limit: int, lease_seconds: float, /) -> Sequence[Wanted]:
        due = {
            phone: one
            for phone, one in self._kept.look_ups.items()
            if one.state is not LookUpState.KNOWN and one.due_at <= now
        }
        for phone in [phone for phone, one in due.items() if one.state is LookUpState.UNKNOWN]:
            if not self._has_waiting(phone):
                del self._kept.look_ups[phone], due[phone]
        taken = sorted(due, key=lambda phone: (due[phone].wanted_at is None, due[phone].due_at))[:limit]
        for phone in taken:
            one = due[phone]
            one.state, one.fence = LookUpState.WANTED, one.fence + 1
            one.due_at = now + timedelta(seconds=lease_seconds)
        return [Wanted(phone, due[phone].fence, due[phone].attempts) for phone in taken]

    def _has_waiting(self, phone: str) -> bool:
        waiting = [one.customer_phone for one in self._kept.calls.values() if one.state in ("parked", "settling")]
        return any(one in spellings(phone) for one in waiting)

    def finish_look_ups(self, done: Collection[LookedUp], /) -> None:
        for each in done:
            one = self._kept.look_ups.get(each.wanted.phone)
            if one is None or (one.fence, one.state) != (each.wanted.fence, LookUpState.WANTED):
                continue
            one.state, one.due_at, one.attempts = each.state, each.due_at, each.attempts
            one.source, one.reason = each.source, each.reason
            is_unknown, is_to_say = each.state is LookUpState.UNKNOWN, one.wanted_at is not None or each.has_several
            one.to_release = each.state is LookUpState.KNOWN or (is_unknown and is_to_say)

    def fresh_numbers(self, phones: Collection[str], now: datetime, /) -> Collection[str]:
        known = self._customers.find_customers(phones)
        return {phone for phone in phones if self._is_fresh(phone, now) or _is_good(known.get(phone), now)}

    def _is_fresh(self, phone: str, now: datetime) -> bool:
        one = self._kept.look_ups.get(_line(phone))
        return one is not None and one.state is LookUpState.UNKNOWN and one.due_at > now

    def look_ups(self, limit: int, /) -> Sequence[LookUpLine]:
        found = [
            LookUpLine(phone, one.wanted_at, one.due_at, one.attempts, one.source, one.reason)
            for phone, one in self._kept.look_ups.items()
            if one.state is LookUpState.WANTED
        ]
        return sorted(found, key=lambda one: one.due_at)[:limit]

    def look_up_of(self, phone: str, /) -> LookUpLine | None:
        return next((one for one in self.look_ups(len(self._kept.look_ups)) if one.phone == _line(phone)), None)


def _is_good(customer: Customer | None, now: datetime) -> bool:
    return customer is not None and (customer.fresh_until is None or customer.fresh_until > now)


def _line(phone: str) -> str:
    return spellings(phone)[0]
