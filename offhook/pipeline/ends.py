"""The two ends of a call: who the customer is, and which number is ours. Decides nothing else.

The customer of an inbound call is its caller, of an outbound one whom it reached. Where that end is one of our own people
(a browser phone, a SIP phone, a number under [ours]), the customer is the far end of the leg that was answered: that is what
click-to-call and browser phones look like, https://www.twilio.com/docs/voice/twiml/dial.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from offhook.pipeline.call import Call, Leg
from offhook.pipeline.callback import Direction
from offhook.pipeline.phone import Caller, CallerKind, caller_of_call
from offhook.pipeline.rules.facts import answered_leg


@dataclass(frozen=True, slots=True)
class Numbering:
    """How numbers are read: the country of those written without one, and whether a SIP caller is who its address says.

    Anybody can write any number into a SIP address, so the latter is for those whose own switchboard does.
    """

    region: str = "US"
    sip_callers: bool = False


@dataclass(frozen=True, slots=True)
class Ends:
    """`customer` is the customer's end, `ours` our end in E.164 (or as it came), `direction` which way the call went between
    the two. `word` is the reason why the customer is who it is: `called_us`, `we_called`, `reached_by_agent`.
    """

    customer: Caller
    ours: str
    direction: Direction
    word: str


def ends_of(call: Call, numbering: Numbering, ours: Collection[str] = ()) -> Ends:
    """Both ends. `ours` are numbers (E.164) of our own people."""
    root = call.root
    if root is None:
        return Ends(caller_of_call("", numbering.region), "", Direction.UNKNOWN, "no_root_leg")
    ends = _by_direction(root, numbering)
    if not is_our_own(ends.customer, ours):
        return ends
    leg = answered_leg(call) or next(iter(call.children), None)
    return ends if leg is None else _by_agent(ends, leg, numbering)


def customer_number(call: Call, numbering: Numbering, ours: Collection[str] = ()) -> Caller:
    """The customer's end alone."""
    return ends_of(call, numbering, ours).customer


def _by_direction(root: Leg, numbering: Numbering) -> Ends:
    if root.direction is Direction.OUTBOUND_API:
        theirs = their_end(root.to, root.details.get("FromCountry"), numbering)
        return Ends(theirs, our_end(root.from_, numbering), root.direction, "we_called")
    theirs = their_end(root.from_, root.details.get("ToCountry"), numbering)
    return Ends(theirs, our_end(root.to, numbering), root.direction, "called_us")


def _by_agent(ends: Ends, leg: Leg, numbering: Numbering) -> Ends:
    """We called: one of our own people was put through to the customer."""
    customer = their_end(leg.to, leg.details.get("FromCountry"), numbering)
    shown = our_end(leg.from_, numbering)
    ours = ends.ours if ends.direction is Direction.OUTBOUND_API or not shown.startswith("+") else shown
    return Ends(customer, ours, Direction.OUTBOUND_API, "reached_by_agent")


def their_end(address: str, country: str | None, numbering: Numbering) -> Caller:
    """A national spelling is read as a number of the other end's country, as Twilio gives it, else of the default one."""
    return caller_of_call(address, country or numbering.region, sip_users=numbering.sip_callers)


def our_end(address: str, numbering: Numbering) -> str:
    """What Twilio's number dialled by SIP is called is ours to say, so a SIP address with a number is that number."""
    return caller_of_call(address, numbering.region, sip_users=True).e164 or address


def is_our_own(end: Caller, ours: Collection[str] = ()) -> bool:
    """A browser phone, a SIP phone, or a number (E.164) of our own people."""
    return end.kind in (CallerKind.CLIENT, CallerKind.SIP) or (end.e164 is not None and end.e164 in ours)
