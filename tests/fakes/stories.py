"""What is shown of calls, from memory: `Stories` without a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from offhook.pipeline import story
from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.counting import CallOfTally, Place, place_of
from offhook.pipeline.phone import spellings
from offhook.pipeline.sending_again import RESTING
from offhook.pipeline.story import (
    AttemptLine,
    CallFilter,
    CallLine,
    CallOutcome,
    CallsPage,
    ConversionFilter,
    ConversionLine,
    ConversionsPage,
    CountedCall,
    NeedsPeople,
    PageMark,
    Story,
    WayOut,
)
from offhook.pipeline.unfinished import UNFINISHED
from tests.fakes.kept import Kept, KeptAttempt, KeptCall, KeptConversion


class MemoryStories:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def conversions(self, states: Collection[str], limit: int) -> Sequence[ConversionLine]:
        found = [one for one in self._kept.conversions.values() if not states or one.state in states]
        return [conversion_line(one) for one in sorted(found, key=lambda one: one.created_at, reverse=True)[:limit]]

    def conversions_page(self, wanted: ConversionFilter, after: PageMark | None, limit: int) -> ConversionsPage:
        marked = sorted(
            (
                (PageMark(one.created_at, one.key.call_sid, one.key.account_sid), one)
                for one in self._kept.conversions.values()
                if (not wanted.states or one.state in wanted.states)
                and wanted.reason in (None, one.reason)
                and wanted.maybe_sent in (None, one.maybe_sent)
                and (wanted.since is None or one.created_at >= wanted.since)
                and (wanted.until is None or one.created_at < wanted.until)
            ),
            key=lambda one: one[0],
            reverse=True,
        )
        found = [(mark, one) for mark, one in marked if after is None or mark < after]
        end = found[limit - 1][0] if len(found) > limit else None
        return ConversionsPage([conversion_line(one) for _, one in found[:limit]], end)

    def conversions_of(self, keys: Collection[CallKey]) -> Sequence[ConversionLine]:
        return [conversion_line(self._kept.conversions[key]) for key in keys if key in self._kept.conversions]

    def latest_attempts(self, keys: Collection[CallKey]) -> Mapping[CallKey, AttemptLine]:
        made = [(one.attempt.sending.key, one) for one in self._kept.attempts]
        return {key: _attempt(one) for key, one in made if key in keys}

    def way_out(self) -> WayOut:
        breaker, blockade = self._kept.breaker, self._kept.blockade
        return WayOut(breaker.failures, breaker.open_until, blockade.reason, blockade.changed_at)

    def conversion_counts(self) -> Mapping[str, int]:
        counts = Counter(one.state.value for one in self._kept.conversions.values())
        return {state: _bounded(count) for state, count in counts.items()}

    def needs_people(self) -> NeedsPeople:
        counts = Counter(one.state for one in self._kept.conversions.values())
        parked = sum(one.state == "parked" for one in self._kept.calls.values())
        return NeedsPeople(sum(_bounded(counts[state]) for state in RESTING), _bounded(parked))

    def unfinished(self, limit: int) -> Sequence[CallLine]:
        found = [one for one in self._calls().values() if one.state == UNFINISHED]
        return sorted(found, key=lambda one: str(one.decided_at), reverse=True)[:limit]

    def unfinished_count(self) -> int:
        return _bounded(len(self.unfinished(len(self._kept.calls))))

    def of_call(self, call_sid: str) -> Sequence[Story]:
        roots = {
            CallKey(key.account_sid, link.root): None for key, link in self._kept.links.items() if key[1] == call_sid
        }
        calls = self._calls()
        return [self._story(calls[root]) for root in sorted(roots) if root in calls]

    def calls_of(self, phone: str, limit: int) -> Sequence[CallLine]:
        found = [one for one in self._calls().values() if one.customer_phone in spellings(phone)]
        return sorted(found, key=lambda one: one.first_received_at, reverse=True)[:limit]

    def calls(self, wanted: CallFilter, after: PageMark | None, limit: int) -> CallsPage:
        every, counted = self._calls(), places(self._kept)
        found = sorted(
            ((PageMark(place.at, key.call_sid, key.account_sid), key) for key, place in counted.items()), reverse=True
        )
        found = [(mark, key) for mark, key in found if after is None or mark < after]
        held = [(mark, _counted(every[key], counted[key])) for mark, key in found]
        wished = [(mark, one) for mark, one in held if _is_wanted(one, counted[one.call.key], wanted)]
        wished = [(mark, one) for mark, one in wished if self._came_by(one.call.key, wanted.source)]
        end = wished[limit - 1][0] if len(wished) > limit else None
        return CallsPage([one for _, one in wished[:limit]], end)

    def _came_by(self, key: CallKey, source: str | None) -> bool:
        came = {raw.source for raw in self._kept.callbacks.values() if raw.key == key}
        return source is None or source in came

    def with_order_id(self, order_id: str, limit: int) -> Sequence[CallLine]:
        sent = [one for one in self._kept.conversions.values() if one.order_id == order_id]
        newest = sorted(sent, key=lambda one: one.created_at, reverse=True)[:limit]
        calls = self._calls()
        roots = [CallKey(one.key.account_sid, self._kept.links[one.key].root) for one in newest]
        return [calls[root] for root in dict.fromkeys(roots) if root in calls]

    def phones_of(self, name: str, limit: int) -> Sequence[str]:
        emails = (name, name.lower())
        kept = ((phone, ((one.email, one.customer_id), *one.others)) for phone, one in self._kept.customers.items())
        found = (phone for phone, people in kept if any(email in emails or id_ == name for email, id_ in people))
        return sorted(found)[:limit]

    def has_callbacks(self, call_sid: str) -> bool:
        return any(call_sid in (raw.call_sid, raw.parent_call_sid) for raw in self._kept.callbacks.values())

    def latest_callback_at(self) -> datetime | None:
        return next((raw.received_at for raw in reversed(self._kept.callbacks.values())), None)

    def latest_delivered_at(self) -> datetime | None:
        arrived = (one.delivered_at for one in self._kept.conversions.values())
        return max((at for at in arrived if at is not None), default=None)

    def every_callback(self, *, since: datetime | None = None, call_sid: str | None = None) -> Iterator[RawCallback]:
        for raw in self._kept.callbacks.values():
            if (since is None or raw.received_at >= since) and call_sid in (None, raw.call_sid, raw.parent_call_sid):
                yield raw

    def outcomes(self) -> Sequence[CallOutcome]:
        calls = sorted(self._calls().values(), key=lambda one: (one.first_received_at, one.key.call_sid))
        return [self._outcome(one) for one in calls]

    def following(self) -> MemoryFollowing:
        return MemoryFollowing(self._kept)

    def _calls(self) -> dict[CallKey, CallLine]:
        return {key: _call(one) for key, one in self._kept.calls.items() if one.state != "merged"}

    def _story(self, call: CallLine) -> Story:
        family = {
            key for key, link in self._kept.links.items() if (key.account_sid, link.root) == (call.key[0], call.key[1])
        }
        kept = sent_for(self._kept, call.key)
        keys = {call.key, kept.key} if kept else {call.key}
        return Story(
            call=call,
            callbacks=[raw for raw in self._kept.callbacks.values() if raw.key in family],
            decisions=[line for key, line in self._kept.decisions if key in keys],
            conversion=conversion_line(kept) if kept else None,
            attempts=[_attempt(one) for one in self._kept.attempts if kept and one.attempt.sending.key == kept.key],
            replaced=[line for key, line in self._kept.replaced if kept and key == kept.key],
        )

    def _outcome(self, call: CallLine) -> CallOutcome:
        kept = sent_for(self._kept, call.key)
        decided = [line for key, line in self._kept.decisions if key == (kept.key if kept else call.key)]
        return CallOutcome(
            call.key,
            call.state,
            tuple(reason.word for reason in decided[-1].reasons) if decided else (),
            kept.payload if kept else None,
            kept.state.value if kept else None,
        )


class MemoryFollowing:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._seen = len(kept.callbacks)

    def fresh(self, limit: int = 500) -> Sequence[RawCallback]:
        newer = list(self._kept.callbacks.values())[self._seen :][:limit]
        self._seen += len(newer)
        return newer


def _counted(call: CallLine, place: Place) -> CountedCall:
    return CountedCall(call, place.number, place.outcome, place.reason)


def _is_wanted(one: CountedCall, place: Place, wanted: CallFilter) -> bool:
    same = ((wanted.number, one.number), (wanted.outcome, one.outcome), (wanted.reason, one.reason))
    known = wanted.phones is None or one.call.customer_phone in [s for each in wanted.phones for s in spellings(each)]
    is_in_time = (wanted.since or place.at) <= place.at and (wanted.until is None or place.at < wanted.until)
    return known and is_in_time and wanted.is_of(one.call) and all(w in (None, h) for w, h in same)


def places(kept: Kept) -> dict[CallKey, Place]:
    """Where each call is counted."""
    found = {key: place_of(one) for key, one in calls_of_tally(kept).items()}
    return {key: place for key, place in found.items() if place is not None}


def calls_of_tally(kept: Kept) -> dict[CallKey, CallOfTally]:
    """What each place depends on."""
    return {key: _of_tally(kept, key, one) for key, one in kept.calls.items()}


def _of_tally(kept: Kept, key: CallKey, one: KeptCall) -> CallOfTally:
    root, sent = one.folded.call.root, sent_for(kept, key)
    decided = [line for of, line in kept.decisions if of == key]
    by = [line for of, line in kept.decisions if of == (sent.key if sent else key)]
    return CallOfTally(
        state=one.state,
        first_received_at=one.folded.call.first_received_at,
        direction=root.direction.value if root else "unknown",
        from_=root.from_ if root else "",
        to=root.to if root else "",
        is_decided=one.decided_at is not None,
        words=[reason.word for reason in decided[-1].reasons] if decided else (),
        delivery=sent.state.value if sent else None,
        why=sent.reason if sent else None,
        rule=by[-1].rule if by else None,
    )


def sent_for(kept: Kept, root: CallKey) -> KeptConversion | None:
    """The conversion of a call: its own, or that of a leg which stood as a call of its own."""
    family = [key for key, link in kept.links.items() if (key.account_sid, link.root) == root]
    sent = [kept.conversions[key] for key in family if key in kept.conversions]
    return min(sent, key=lambda one: (one.key != root, one.created_at, one.key), default=None)


def _bounded(count: int) -> int:
    return min(count, story.COUNTED_UP_TO + 1)


def _call(one: KeptCall) -> CallLine:
    call, root = one.folded.call, one.folded.call.root
    return CallLine(
        key=call.key,
        state=UNFINISHED if one.state == "open" and one.decided_at else one.state,
        status=root.status.value if root else "unknown",
        direction=root.direction.value if root else "unknown",
        from_=root.from_ if root else "",
        to=root.to if root else "",
        customer_phone=one.customer_phone,
        duration_seconds=root.duration_seconds if root else None,
        callbacks=call.callbacks,
        legs=len(call.children) + (1 if root else 0),
        first_received_at=call.first_received_at,
        final_at=call.final_at,
        settle_at=one.folded.settle_at,
        decided_at=one.decided_at,
    )


def conversion_line(one: KeptConversion) -> ConversionLine:
    return ConversionLine(
        key=one.key,
        action=one.action,
        order_id=one.order_id,
        payload=one.payload,
        state=one.state.value,
        reason=one.reason,
        created_at=one.created_at,
        due_at=one.due_at,
        fence=one.fence,
        attempts=one.attempts,
        maybe_sent=one.maybe_sent,
        delivered_at=one.delivered_at,
    )


def _attempt(one: KeptAttempt) -> AttemptLine:
    made = one.attempt
    return AttemptLine(
        number=made.sending.attempts,
        started_at=made.started_at,
        finished_at=made.finished_at,
        result=made.outcome.result.value,
        reason=made.outcome.reason,
        status_code=made.outcome.status_code,
        answer=made.outcome.answer,
        next_state="late" if one.came_late else made.next.state.value,
        came_late=one.came_late,
    )
