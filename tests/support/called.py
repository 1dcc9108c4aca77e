"""A call with what is known of its caller, as a rule looks at it: for the tests of conditions, one and all together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from offhook.pipeline.call import Call, CallState, Leg
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.customer import Customer
from offhook.pipeline.rules.facts import EarlierCall
from offhook.pipeline.rules.trace import RuleTrace, Trail, as_kept, from_kept
from tests.support.rule_files import AGENT, CALLER, LONDON, OTHER, OURS

# A Wednesday; in New York it is 7 in the morning.
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Called:
    """A call that ended at `ended`, and what is known of its caller."""

    from_: str = CALLER
    to: str = OURS
    status: Status = Status.COMPLETED
    direction: Direction = Direction.INBOUND
    seconds: int | None = 60
    ended: datetime = NOON
    params: dict[str, str] = field(default_factory=dict)
    legs: tuple[tuple[Status, int], ...] = ()
    attributes: dict[str, str] | None = field(default_factory=dict)
    earlier: tuple[EarlierCall, ...] | None = ()
    people: int = 1

    def call(self, only: Collection[str] | None = None) -> Call:
        """With these of its parameters alone, or with all."""
        params = {name: value for name, value in self.params.items() if only is None or name in only}
        root = Leg("CA1", None, self.status, self.direction, self.from_, self.to, self.seconds, self.ended, params)
        legs = (
            Leg(f"CA1{place}", "CA1", status, Direction.OUTBOUND_DIAL, self.from_, AGENT, length, self.ended)
            for place, (status, length) in enumerate(self.legs)
        )
        return Call(CallKey("AC1", "CA1"), root, tuple(legs), 1, self.ended, self.ended)

    def customer(self) -> Customer | None:
        if self.attributes is None:
            return None
        return Customer(CALLER, "ann@example.com" if self.people == 1 else None, None, self.people, self.attributes)


def before(days: float, state: CallState = CallState.CONVERTED, ours: str = OURS) -> EarlierCall:
    """A call of the same caller that ended so many days before NOON."""
    ended = NOON - timedelta(days=days)
    return EarlierCall(CallKey("AC1", "CA0"), ours, Direction.INBOUND, ended, ended, state)


def kept(trace: Sequence[RuleTrace]) -> tuple[RuleTrace, ...]:
    """What the journal gives back of a trace."""
    outlines = {trace.outline.name: trace.outline.text} if isinstance(trace, Trail) else {}
    return from_kept(as_kept(trace), outlines)


_STATUS = st.sampled_from([Status.COMPLETED, Status.COMPLETED, Status.BUSY, Status.NO_ANSWER])
_VALUE = st.sampled_from(["gold", "12", "ü", "", "50.25", "nan", "1e9", "yes"])
_BEFORE = st.builds(
    before,
    days=st.sampled_from([0.01, 0.2, 1, 29, 400]),
    state=st.sampled_from([CallState.CONVERTED, CallState.PARKED, CallState.SKIPPED]),
    ours=st.sampled_from([OURS, OTHER]),
)


def _latest_first(calls: list[EarlierCall]) -> tuple[EarlierCall, ...]:
    return tuple(sorted(calls, key=lambda one: one.started_at, reverse=True))


CALLS: st.SearchStrategy[Called] = st.builds(
    Called,
    from_=st.sampled_from([CALLER, CALLER, LONDON, OURS, "anonymous", "client:ann", "12345"]),
    to=st.sampled_from([OURS, OTHER, CALLER, "(415) 555-0100", ""]),
    status=_STATUS,
    direction=st.sampled_from([Direction.INBOUND, Direction.INBOUND, Direction.OUTBOUND_API]),
    seconds=st.none() | st.integers(0, 100),
    ended=st.integers(0, 14 * 24).map(lambda half_hours: NOON + timedelta(minutes=30 * half_hours)),
    params=st.dictionaries(st.sampled_from(["Menu", "StirVerstat"]), _VALUE)
    | st.sampled_from([{"AnsweredBy": "human"}, {"AnsweredBy": "machine_start"}, {"AnsweredBy": "unknown"}]),
    legs=st.lists(st.tuples(_STATUS, st.integers(0, 90)), max_size=2).map(tuple),
    attributes=st.none() | st.dictionaries(st.sampled_from(["tier", "Größe", "value"]), _VALUE),
    earlier=st.none() | st.lists(_BEFORE, max_size=3).map(_latest_first),
    people=st.sampled_from([1, 1, 1, 2]),
)
