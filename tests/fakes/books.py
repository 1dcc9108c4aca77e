"""The books in memory: `Books` without a database. Each method says and does all of it at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from offhook.pipeline.call import CALL_MOVES, CallEvent, CallState, root_of
from offhook.pipeline.callback import CallKey, Direction, RawCallback
from offhook.pipeline.conversion import SEVERAL_CUSTOMERS, Convert, Park, Reason, Skip
from offhook.pipeline.customer import Customer
from offhook.pipeline.look_up import number_to_ask
from offhook.pipeline.phone import spellings
from offhook.pipeline.ports.books import (
    Answered,
    Asking,
    CallBefore,
    Decided,
    Families,
    Folded,
    Link,
    ParkedPage,
    Settled,
    Stored,
)
from offhook.pipeline.ports.look_ups import LookUpState
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rules.facts import is_by_person
from offhook.pipeline.story import DecisionLine
from offhook.pipeline.unfinished import UNFINISHED, OpenCall
from tests.fakes.customers import MemoryCustomers
from tests.fakes.kept import Kept, KeptCall, KeptConversion
from tests.fakes.look_ups import MemoryLookUps

_RESULTS = {Convert: "converted", Park: "parked", Skip: "skipped"}


class MemoryBooks:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._customers = MemoryCustomers(kept)
        self._look_ups = MemoryLookUps(kept)

    def unfolded(self, limit: int, *, newest: bool = False) -> Sequence[Stored]:
        waiting = [one for one in self._kept.stored() if one.seq not in self._kept.folded]
        return waiting[max(0, len(waiting) - limit) :] if newest else waiting[:limit]

    def families(self, fresh: Sequence[Stored]) -> Families:
        links = _links(self._kept.links, fresh)
        touched = {CallKey(one.raw.account_sid, links[one.raw.key].root) for one in fresh}
        members = {key: link for key, link in links.items() if CallKey(key.account_sid, link.root) in touched}
        rows = [one for one in self._kept.stored() if one.raw.key in members]
        new = {key: link for key, link in members.items() if self._kept.links.get(key) != link}
        absorbed = [key for key, link in new.items() if key.call_sid != link.root and self._is_a_call(key)]
        return Families(
            calls=_by_root(rows, members),
            seqs={one.seq for one in (*rows, *fresh) if one in fresh or self._is_to_take(one, members)},
            links=new,
            absorbed=absorbed,
            converted={
                CallKey(key.account_sid, links[key].root)
                for key in absorbed
                if self._kept.calls[key].state == "converted"
            },
        )

    def _is_a_call(self, key: CallKey) -> bool:
        return key in self._kept.calls and self._kept.calls[key].state != "merged"

    def _is_to_take(self, one: Stored, members: Mapping[CallKey, Link]) -> bool:
        return one.seq not in self._kept.folded and _is_linked(one.raw, members)

    def save(self, families: Families, folded: Sequence[Folded]) -> None:
        if set(families.seqs) & self._kept.folded:
            raise LedgerUnavailable("the books were changed by somebody else meanwhile", "busy")
        states = {one.call.key: self._after(one, families) for one in folded}
        self._kept.links.update(families.links)
        for key in families.absorbed:
            self._kept.calls[key].state = "merged"
        for one in folded:
            self._save_call(one, states[one.call.key])
        self._kept.folded.update(families.seqs)

    def _after(self, one: Folded, families: Families) -> CallState:
        """Where the call stands when it has taken its callbacks in. Raises IllegalMove."""
        state = CallState.SETTLING if one.settle_at else CallState.OPEN
        state = CallState.CONVERTED if one.call.key in families.converted else state
        was = self._kept.calls.get(one.call.key)
        if was is None:
            return CALL_MOVES.first(state)
        stood = CallState.MERGED if one.call.key in families.absorbed else CallState(was.state)
        if any(state in CALL_MOVES.rows.get((stood, event), ()) for event in (CallEvent.FOLD, CallEvent.LEG_CONVERTED)):
            return state
        return CALL_MOVES.check(stood, CallEvent.FOLD_LATE, stood)

    def _save_call(self, one: Folded, state: str) -> None:
        was = self._kept.calls.get(one.call.key)
        if was is None:
            self._kept.calls[one.call.key] = KeptCall(one, state, one.customer_phone)
            return
        was.folded, was.customer_phone, was.state = one, one.customer_phone or was.customer_phone, state

    def due(self, now: datetime, limit: int, *, newest: bool = False) -> Sequence[CallKey]:
        waiting = [
            (one.folded.settle_at, key)
            for key, one in self._kept.calls.items()
            if one.state == "settling" and one.folded.settle_at is not None and one.folded.settle_at <= now
        ]
        return [key for _, key in sorted(waiting, reverse=newest)[:limit]]

    def parked(self, after: str, limit: int) -> ParkedPage:
        waiting = sorted(
            (one.customer_phone, key)
            for key, one in self._kept.calls.items()
            if one.state == "parked" and one.customer_phone is not None and one.customer_phone > after
        )
        page = waiting[:limit]
        found = [key for phone, key in page if self._says_something_else(key, phone)]
        if len(page) < limit:
            return ParkedPage(found, None)
        last, key = page[-1]
        if key not in found:
            return ParkedPage(found, last)
        return ParkedPage(found, max((phone for phone, _ in page if phone != last), default=after))

    def _says_something_else(self, key: CallKey, phone: str) -> bool:
        customer = self._customers.find_customers([phone]).get(phone)
        if customer is None or customer.people == 1:
            return customer is not None
        reasons = [reason.word for of, line in self._kept.decisions if of == key for reason in line.reasons]
        return SEVERAL_CUSTOMERS not in reasons[-1:]

    def parked_since(self, before: datetime, limit: int) -> Sequence[CallKey]:
        waiting = [
            (one.folded.call.first_received_at, key)
            for key, one in self._kept.calls.items()
            if one.state == "parked" and one.folded.call.first_received_at <= before
        ]
        return [key for _, key in sorted(waiting)[:limit]]

    def settled(self, keys: Collection[CallKey]) -> Settled:
        members = {
            key: link for key, link in self._kept.links.items() if CallKey(key.account_sid, link.root) in set(keys)
        }
        rows = [one for one in self._kept.stored() if one.raw.key in members]
        children = [one for one in self._kept.stored() if _parent(one.raw) in members]
        waiting = [
            one
            for one in self._kept.stored()
            if one in (*rows, *children) and one.seq not in self._kept.folded and not _is_linked(one.raw, members)
        ]
        return Settled(_by_root(rows, members), waiting)

    def calls_before(self, asking: Sequence[Asking], limit: int) -> Sequence[Sequence[CallBefore]]:
        return [self._calls_before(one)[:limit] for one in asking]

    def _calls_before(self, asked: Asking) -> list[CallBefore]:
        found = [
            _before(one)
            for one in self._kept.calls.values()
            if one.customer_phone in spellings(asked.phone)
            and one.folded.call.key != asked.but
            and one.state != "merged"
            and one.folded.call.first_received_at <= asked.until
        ]
        return sorted(found, key=lambda call: call.first_received_at, reverse=True)

    def customers(self, phones: Collection[str]) -> tuple[Mapping[str, Customer], int]:
        return self._customers.find_customers(phones), self._kept.mapping_version

    def customers_as_of(self, asked: Collection[tuple[str, datetime]]) -> Mapping[tuple[str, datetime], Customer]:
        found = {}
        for phone, at in asked:
            lines = [line for line in self._kept.history if line.customer.phone in spellings(phone)]
            still = [
                line for line in lines if line.customer.people == 1 and (line.until_at is None or line.until_at > at)
            ]
            if still:
                found[phone, at] = replace(min(still, key=lambda line: line.from_at).customer, phone=phone)
        return found

    def waited(self, keys: Collection[CallKey]) -> Collection[CallKey]:
        kept = {key: self._kept.calls[key] for key in keys}
        return {
            key for key, one in kept.items() if one.state == "parked" or (one.state == "settling" and one.was_put_off)
        }

    def record(self, decided: Collection[Decided], event: CallEvent = CallEvent.DECIDE) -> None:
        may = ("settling", "parked") if event is CallEvent.DECIDE else ("skipped", "parked")
        if any(self._kept.calls[one.call.key].state not in may for one in decided):
            raise LedgerUnavailable("the books were changed by somebody else meanwhile", "busy")
        for one in decided:
            call, result = self._kept.calls[one.call.key], _RESULTS[type(one.decision)]
            call.state, call.decided_at, call.customer_phone = result, one.decided_at, one.customer_phone
            self._journal(one.call.key, line_of(one, result))
            if isinstance(one.decision, Convert):
                self._kept.conversions[one.call.key] = _conversion(one, one.decision)

    def _journal(self, key: CallKey, line: DecisionLine) -> None:
        self._kept.decisions.append((key, line))

    def unresolved(self, keys: Collection[CallKey], now: datetime) -> Mapping[CallKey, str]:
        numbers = {key: number_to_ask(self._kept.calls[key].customer_phone) for key in keys}
        asked = {key: phone for key, phone in numbers.items() if phone}
        fresh = self._look_ups.fresh_numbers(asked.values(), now)
        return {key: phone for key, phone in asked.items() if phone not in fresh}

    def let_wait(self, asked: Mapping[CallKey, str], now: datetime, until: datetime) -> None:
        for key, phone in asked.items():
            call = self._kept.calls[key]
            call.folded = replace(call.folded, settle_at=until)
            call.was_put_off = True
            self._look_ups.want(phone, now)

    def answered(self, limit: int, *, every: bool = False) -> Answered:
        waiting = {phone: one.state for phone, one in self._kept.look_ups.items() if every or one.to_release}
        answered = dict(list(waiting.items())[:limit])
        parked = [
            key
            for key, one in self._kept.calls.items()
            if one.state == "parked"
            and one.customer_phone is not None
            and any(phone in spellings(one.customer_phone) for phone in answered)
            and self._says_something_else(key, one.customer_phone)
        ]
        return Answered(answered, parked)

    def release(
        self, numbers: Mapping[str, LookUpState], now: datetime, settled_before: datetime, *, every: bool = False
    ) -> None:
        for phone, state in numbers.items():
            if not every and self._kept.look_ups[phone].state is not state:
                continue
            self._release_calls(phone, now, settled_before)
            self._look_ups.release(phone, every=every)

    def _release_calls(self, phone: str, now: datetime, settled_before: datetime) -> None:
        for one in self._kept.calls.values():
            is_of = one.customer_phone is not None and phone in spellings(one.customer_phone)
            at, end = one.folded.settle_at, one.folded.call.final_at
            if is_of and one.state == "settling" and at and at > now and end and end <= settled_before:
                one.folded = replace(one.folded, settle_at=now)

    def open_since(self, before: datetime, limit: int) -> Sequence[OpenCall]:
        found = [
            _open_call(one)
            for one in self._kept.calls.values()
            if one.state == "open" and one.decided_at is None and one.folded.call.first_received_at <= before
        ]
        return sorted(found, key=lambda one: one.first_received_at)[:limit]

    def leave_unfinished(self, why: Mapping[CallKey, str], now: datetime, rules_version: str) -> None:
        if any((self._kept.calls[key].state, self._kept.calls[key].decided_at) != ("open", None) for key in why):
            raise LedgerUnavailable("the books were changed by somebody else meanwhile", "busy")
        for key, sentence in why.items():
            self._kept.calls[key].decided_at = now
            self._journal(key, DecisionLine(now, UNFINISHED, (Reason(UNFINISHED, sentence),), rules_version, 0))


def _links(known: Mapping[CallKey, Link], fresh: Sequence[Stored]) -> dict[CallKey, Link]:
    """Where each leg hangs, now that `fresh` have come."""
    parents = {key: link.parent for key, link in known.items() if link.parent}
    parents |= {one.raw.key: one.raw.parent_call_sid for one in fresh if one.raw.parent_call_sid}
    every = {*known, *(one.raw.key for one in fresh)}
    every |= {CallKey(key.account_sid, parent) for key, parent in parents.items()}
    return {key: Link(parents.get(key), root_of(key.call_sid, _of_account(parents, key))) for key in every}


def _of_account(parents: Mapping[CallKey, str], key: CallKey) -> dict[str, str]:
    return {leg.call_sid: parent for leg, parent in parents.items() if leg.account_sid == key.account_sid}


def _parent(raw: RawCallback) -> CallKey | None:
    return CallKey(raw.account_sid, raw.parent_call_sid) if raw.parent_call_sid else None


def _is_linked(raw: RawCallback, members: Mapping[CallKey, Link]) -> bool:
    """True when the callback says nothing new about where its leg hangs."""
    link = members.get(raw.key)
    return link is not None and raw.parent_call_sid in (None, link.parent)


def _by_root(rows: Iterable[Stored], members: Mapping[CallKey, Link]) -> dict[CallKey, list[RawCallback]]:
    found: dict[CallKey, list[RawCallback]] = {}
    for one in rows:
        found.setdefault(CallKey(one.raw.account_sid, members[one.raw.key].root), []).append(one.raw)
    return found


def _open_call(one: KeptCall) -> OpenCall:
    call = one.folded.call
    status = call.root.status.value if call.root else "unknown"
    return OpenCall(call.key, status, len(call.children) + (1 if call.root else 0), call.first_received_at)


def line_of(one: Decided, result: str) -> DecisionLine:
    """A decision as the journal keeps it."""
    because = one.decision.because
    columns = (one.decided_at, result, one.decision.reasons, one.rules_version, one.mapping_version)
    return DecisionLine(*columns, because.who, because.rule, because.trace, one.customer_row)


def _before(one: KeptCall) -> CallBefore:
    call, root = one.folded.call, one.folded.call.root
    return CallBefore(
        key=call.key,
        state=CallState(one.state),
        direction=root.direction if root else Direction.UNKNOWN,
        from_=root.from_ if root else "",
        to=root.to if root else "",
        duration_seconds=root.duration_seconds if root else None,
        first_received_at=call.first_received_at,
        ended_at=root.ended_at if root else None,
        answered=is_by_person(call),
    )


def _conversion(one: Decided, decision: Convert) -> KeptConversion:
    assert one.payload is not None
    conversion = decision.conversion
    return KeptConversion(
        one.call.key, conversion.action, conversion.order_id, one.payload, one.decided_at, one.decided_at, one.due_at
    )
