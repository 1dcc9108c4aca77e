"""Who the customer of a call is, and which number is ours: every kind of call that Twilio makes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.call import Call, Leg
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.conversion import Convert, Skip, decide
from offhook.pipeline.customer import Customer
from offhook.pipeline.ends import Ends, Numbering, ends_of
from offhook.pipeline.phone import caller

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
CUSTOMER, AGENT, TRACKED = "+14155550142", "+14155550199", "+14155550100"
AGENTS = frozenset({AGENT})


def leg(from_: str, to: str, seconds: int = 60, status: Status = Status.COMPLETED, sid: str = "CA2") -> Leg:
    return Leg(sid, "CA1", status, Direction.OUTBOUND_DIAL, from_, to, seconds, NOON)


def call(from_: str, to: str, direction: Direction, *legs: Leg) -> Call:
    root = Leg("CA1", None, Status.COMPLETED, direction, from_, to, 70, NOON)
    return Call(CallKey("AC1", "CA1"), root, legs, 1, NOON, NOON)


def ends(made: Call, ours: frozenset[str] = AGENTS, numbering: Numbering | None = None) -> Ends:
    return ends_of(made, numbering or Numbering(), ours)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (call(CUSTOMER, TRACKED, Direction.INBOUND), (CUSTOMER, TRACKED, Direction.INBOUND, "called_us")),
        (
            call(CUSTOMER, TRACKED, Direction.INBOUND, leg(CUSTOMER, AGENT)),
            (CUSTOMER, TRACKED, Direction.INBOUND, "called_us"),
        ),
        (call(TRACKED, CUSTOMER, Direction.OUTBOUND_API), (CUSTOMER, TRACKED, Direction.OUTBOUND_API, "we_called")),
        # click-to-call: the agent is called first, then put through
        (
            call(TRACKED, AGENT, Direction.OUTBOUND_API, leg(TRACKED, CUSTOMER)),
            (CUSTOMER, TRACKED, Direction.OUTBOUND_API, "reached_by_agent"),
        ),
        (
            call(TRACKED, "client:ann", Direction.OUTBOUND_API, leg(TRACKED, CUSTOMER)),
            (CUSTOMER, TRACKED, Direction.OUTBOUND_API, "reached_by_agent"),
        ),
        # a browser phone and a SIP phone call out: for Twilio both are inbound
        (
            call("client:ann", "AP0123", Direction.INBOUND, leg(TRACKED, CUSTOMER)),
            (CUSTOMER, TRACKED, Direction.OUTBOUND_API, "reached_by_agent"),
        ),
        (
            call(
                "sip:ann@pbx.example.com", "sip:4155550142@x.sip.twilio.com", Direction.INBOUND, leg(TRACKED, CUSTOMER)
            ),
            (CUSTOMER, TRACKED, Direction.OUTBOUND_API, "reached_by_agent"),
        ),
        # of several legs the one that was answered
        (
            call(
                TRACKED,
                AGENT,
                Direction.OUTBOUND_API,
                leg(TRACKED, "+14155550143", 0, Status.NO_ANSWER, "CA3"),
                leg(TRACKED, CUSTOMER),
            ),
            (CUSTOMER, TRACKED, Direction.OUTBOUND_API, "reached_by_agent"),
        ),
    ],
)
def test_the_customer_is_who_called_or_whom_we_or_our_people_reached(
    made: Call, expected: tuple[str, str, Direction, str]
) -> None:
    found = ends(made)
    assert (found.customer.e164, found.ours, found.direction, found.word) == expected


def test_without_a_leg_one_of_our_own_people_is_nobodys_customer() -> None:
    alone = call("client:ann", TRACKED, Direction.INBOUND)
    assert ends(alone).customer == caller("client:ann", "US")
    decision = decide(alone, None, parse(""), Numbering())
    assert [one.word for one in decision.reasons] == ["caller_not_a_phone"]


def test_a_sip_caller_whose_address_is_believed_is_a_customer() -> None:
    made = call("sip:+14155550142@pbx.example.com", TRACKED, Direction.INBOUND, leg(TRACKED, AGENT))
    assert ends(made, numbering=Numbering(sip_callers=True)).customer.e164 == CUSTOMER


def test_a_number_that_is_not_listed_under_ours_is_a_customers() -> None:
    made = call(TRACKED, AGENT, Direction.OUTBOUND_API, leg(TRACKED, CUSTOMER))
    assert ends(made, frozenset()).customer.e164 == AGENT


def test_what_our_people_call_is_outbound_and_counts_where_the_rules_say_so() -> None:
    made = call("client:ann", "AP0123", Direction.INBOUND, leg(TRACKED, CUSTOMER))
    who = Customer(CUSTOMER, "ann@example.com", None)
    by_default = decide(made, who, parse(""), Numbering())
    assert isinstance(by_default, Skip) and [one.word for one in by_default.reasons] == ["direction"]
    counted = decide(made, who, parse('directions = ["outbound-api"]'), Numbering())
    assert isinstance(counted, Convert) and counted.because.who is not None
    assert counted.because.who.sentence == (
        "The customer is +14155550142, to whom one of our own people was put through (their end of the call is ours)."
    )
