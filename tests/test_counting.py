"""Where a call is counted, and figures that add up: pure functions, no ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.pipeline.call import CallState
from offhook.pipeline.counting import KINDS, CallOfTally, Place, Tally, figures, our_number, place_of
from offhook.pipeline.delivery import State
from offhook.pipeline.story import Verdict, verdict

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 12, 12, 34, 56, 789, tzinfo=UTC)
OURS, THEIRS = "+14155550199", "+14155550100"


@pytest.mark.parametrize(
    ("direction", "from_", "to", "ours"),
    [
        ("inbound", THEIRS, OURS, OURS),
        ("inbound", "anonymous", OURS, OURS),
        ("inbound", f"sip:{THEIRS}@trunk.example.com", f"sip:{OURS}@us1.sip.twilio.com", OURS),
        ("outbound-api", OURS, THEIRS, OURS),
        ("outbound-dial", OURS, THEIRS, ""),
        ("unknown", THEIRS, OURS, ""),
        ("inbound", "client:agent", THEIRS, ""),
        ("inbound", "sip:ann@desk.example.com", THEIRS, ""),
        ("inbound", THEIRS, "sip:hotline@us1.sip.twilio.com", ""),
        ("inbound", THEIRS, "(415) 555-0199", ""),
        ("inbound", THEIRS, "", ""),
    ],
)
def test_a_call_is_counted_by_our_number_and_by_none_that_may_be_a_customers(
    direction: str, from_: str, to: str, ours: str
) -> None:
    assert our_number(direction, from_, to) == ours


def call_in(state: str, delivery: str | None = None, why: str | None = None, words: Sequence[str] = ()) -> CallOfTally:
    return CallOfTally(state, AT, "inbound", THEIRS, OURS, bool(words), words, delivery, why)


@pytest.mark.parametrize(
    ("call", "outcome", "reason"),
    [
        (call_in("open"), "not_finished", "not_ended"),
        (call_in("open", words=["unfinished"]), "not_finished", "unfinished"),
        (call_in("settling"), "not_finished", "settling"),
        (call_in("settling", words=["unfinished"]), "not_finished", "settling"),
        (call_in("skipped", words=["too_short", "status"]), "does_not_count", "too_short"),
        (call_in("parked", words=["caller_not_in_mapping"]), "unknown_caller", "caller_not_in_mapping"),
        (call_in("converted", "pending", "new"), "on_its_way", "new"),
        (call_in("converted", "sending", "http_503"), "on_its_way", "http_503"),
        (call_in("converted", "delivered", "delivered"), "delivered", "delivered"),
        (call_in("converted", "dead", "http_400"), "refused", "http_400"),
        (call_in("converted", "ambiguous", "day_turned"), "held", "day_turned"),
        (call_in("converted", "quarantined", "leases_expired"), "held", "leases_expired"),
        (call_in("skipped", "delivered", "delivered", ["status"]), "delivered", "delivered"),
    ],
)
def test_each_call_has_one_place(call: CallOfTally, outcome: str, reason: str) -> None:
    place = place_of(call)
    assert place == Place(AT, OURS, outcome, reason)
    assert place is not None and place.cell.hour == datetime(2026, 3, 12, 12, tzinfo=UTC)


def test_a_leg_of_another_call_has_none() -> None:
    assert place_of(call_in("merged", "delivered", "delivered")) is None


def test_every_state_has_a_verdict_and_every_verdict_a_state() -> None:
    found = {verdict(state, None) for state in CallState} | {verdict("converted", state) for state in State}
    assert found == set(Verdict)
    assert (verdict("of a newer version", None), verdict("converted", "of a newer version")) == (
        Verdict.NOT_FINISHED,
        Verdict.ON_ITS_WAY,
    )


TALLIES = st.builds(
    Tally,
    st.integers(0, 3).map(lambda hours: AT + timedelta(hours=hours)),
    st.sampled_from([OURS, THEIRS, ""]),
    st.sampled_from([*Verdict, "of a newer version"]).map(str),
    st.sampled_from(["new", "too_short", "http_400", ""]),
    st.integers(1, 5),
)


@given(st.lists(TALLIES))
def test_figures_add_up(tallies: list[Tally]) -> None:
    found = figures(tallies)
    assert found.calls == sum(one.calls for one in tallies)
    assert found.calls == sum(getattr(found, kind) for kind in KINDS)
    assert found.calls == sum(found.by_reason.values())
    assert found.calls == sum(sum(kinds.values()) for kinds in found.by_number.values())
    converted = (Verdict.DELIVERED, Verdict.ON_ITS_WAY, Verdict.HELD, Verdict.REFUSED)
    assert found.converted == sum(found.by_outcome[one] for one in converted)
    assert list(found.by_reason.values()) == sorted(found.by_reason.values(), reverse=True)
