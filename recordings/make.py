"""Writes the library of recordings and its customers.csv, the same bytes each time: `python -m recordings.make`.

Everything here is assembled from the documented shape of a callback; nobody's call is in it. The numbers are of the
ranges kept for fiction (+1 NPA 555 01xx; +44 20 7946 0xxx, ofcom.org.uk), the SIDs are hashes of their own names.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path

from offhook.adapters.recordings.format import (
    SHARED_KEY_SHA256,
    Record,
    dump,
    encoded,
)
from offhook.adapters.twilio.spelling import (
    AGENT,
    AGENT_HEADER,
    FORM_CONTENT_TYPE,
    JSON_CONTENT_TYPE,
    TOKEN_HEADER,
    Pairs,
)
from offhook.pipeline.arrival import CALLBACK_PATH

ACCOUNT_SID = "AC00000000000000000000000000000001"
MORNING = datetime(2026, 3, 12, 14, 0, tzinfo=UTC)  # a Thursday, ten in the morning in Indiana


@dataclass(frozen=True, slots=True)
class Place:
    """What Twilio says of where a number is. Empty where it does not know."""

    city: str = ""
    state: str = ""
    zip: str = ""
    country: str = "US"


MUNCIE = Place("MUNCIE", "IN", "47303")
LAFAYETTE = Place("LAFAYETTE", "IN", "47907")
INDIANAPOLIS = Place("INDIANAPOLIS", "IN", "46204")
EVANSVILLE = Place("EVANSVILLE", "IN", "47708")
FORT_WAYNE = Place("FORT WAYNE", "IN", "46802")
LONDON = Place(country="GB")
NOWHERE = Place(country="")

SHOP = "+17655550100"  # on the door and on the van
SHOP_WEB = "+17655550101"  # on the web site
SHOP_RADIO = "+13175550102"  # in the radio spot
CLERK = "+17655550110"  # where the shop's calls are passed on to
CALLER = "+17655550142"


@dataclass(frozen=True, slots=True)
class LegState:
    """One callback to be, of a leg in one of its states: who called whom, what became of it, and when.

    `seconds` is the length of the leg.
    """

    name: str
    status: str = "completed"
    from_: str = CALLER
    to: str = SHOP
    seconds: int = 0
    at: datetime = MORNING
    direction: str = "inbound"
    sequence: int = 0
    caller_place: Place = LAFAYETTE
    called_place: Place = MUNCIE
    parent: str = ""
    more: Pairs = ()


def sid(prefix: str, name: str) -> str:
    """A SID of the right form that is nobody's."""
    return prefix + sha256(f"offhook {prefix} {name}".encode()).hexdigest()[:32]


def form_of(leg: LegState) -> Pairs:
    """The parameters in the order in which Twilio was seen to send them."""
    caller, called = leg.caller_place, leg.called_place
    final = leg.status not in ("queued", "initiated", "ringing", "in-progress")
    pairs = [
        ("Called", leg.to),
        ("ToState", called.state),
        ("CallerCountry", caller.country),
        ("Direction", leg.direction),
        ("Timestamp", format_datetime(leg.at.replace(microsecond=0))),
        ("CallbackSource", "call-progress-events"),
        ("CallerState", caller.state),
        ("ToZip", called.zip),
        ("SequenceNumber", str(leg.sequence)),
        ("To", leg.to),
        ("CallSid", sid("CA", leg.name)),
        ("ToCountry", called.country),
        ("CallerZip", caller.zip),
        ("CalledZip", called.zip),
        ("ApiVersion", "2010-04-01"),
        ("CallStatus", leg.status),
        ("CalledCity", called.city),
        *([("Duration", str(-(-leg.seconds // 60)))] if final else []),  # billed minutes
        ("From", leg.from_),
        *([("CallDuration", str(leg.seconds))] if final else []),
        ("AccountSid", ACCOUNT_SID),
        ("CalledCountry", called.country),
        ("CallerCity", caller.city),
        ("ToCity", called.city),
        ("FromCountry", caller.country),
        ("Caller", leg.from_),
        ("FromCity", caller.city),
        ("CalledState", called.state),
        ("FromZip", caller.zip),
        ("FromState", caller.state),
    ]
    if leg.parent:
        pairs.append(("ParentCallSid", sid("CA", leg.parent)))
    return (*pairs, *leg.more)


def record(leg: LegState, about: str, *, delay_seconds: float = 0.35) -> Record:
    """The callback as it would be recorded, `delay_seconds` after Twilio's own time of it."""
    token = sha256(f"token {leg.name} {leg.status} {leg.sequence}".encode()).hexdigest()
    return Record(
        received_at=leg.at + timedelta(seconds=delay_seconds),
        method="POST",
        path_and_query=CALLBACK_PATH,
        headers=(
            ("Content-Type", FORM_CONTENT_TYPE),
            (TOKEN_HEADER, f"{token[:8]}-{token[8:12]}-4{token[13:16]}-8{token[17:20]}-{token[20:32]}"),
            (AGENT_HEADER, f"{AGENT}1.1"),
        ),
        form=form_of(leg),
        about=about,
        captured=False,
    )


def _after(seconds: float) -> datetime:
    return MORNING + timedelta(seconds=seconds)


def answered() -> Iterator[Record]:
    yield record(LegState("answered", seconds=184), "An inbound call that was answered and lasted 184 s.")


def _outbound(name: str, last: str, sip_code: str, seconds: int, about: str) -> Iterator[Record]:
    """A call placed through the REST API with all four events subscribed."""
    call = LegState(name, from_=SHOP, to=CALLER, direction="outbound-api", caller_place=MUNCIE, called_place=LAFAYETTE)
    steps = ["initiated", "ringing", *(["in-progress"] if seconds else []), last]
    for number, status in enumerate(steps):
        ended = status == last
        yield record(
            replace(
                call,
                status=status,
                sequence=number,
                at=_after(2 * number + (seconds + 18 if ended else 0)),
                seconds=seconds if ended else 0,
                more=(("SipResponseCode", sip_code),) if ended and sip_code else (),
            ),
            about,
        )


def busy() -> Iterator[Record]:
    yield from _outbound("busy", "busy", "486", 0, "A call that we placed: the line was busy.")


def no_answer() -> Iterator[Record]:
    yield from _outbound("no-answer", "no-answer", "487", 0, "A call that we placed: nobody picked up.")


def canceled() -> Iterator[Record]:
    yield from _outbound("canceled", "canceled", "487", 0, "A call that we placed and took back while it rang.")


def failed() -> Iterator[Record]:
    yield from _outbound("failed", "failed", "404", 0, "A call that we placed to a number that does not exist.")


def outbound_answered() -> Iterator[Record]:
    yield from _outbound("outbound-answered", "completed", "200", 95, "A call that we placed and that was answered.")


def inbound_not_completed() -> Iterator[Record]:
    for number, status in enumerate(("busy", "no-answer", "canceled", "failed")):
        leg = LegState(f"inbound-{status}", status, at=_after(60 * number))
        yield record(leg, f"An inbound call that ended as {status}.")


def voicemail() -> Iterator[Record]:
    about = "A call that we placed; answering machine detection (AMD) heard the beep of a voicemail."
    *before, last = _outbound("voicemail", "completed", "200", 31, about)
    yield from before
    amd = (("AnsweredBy", "machine_end_beep"), ("MachineDetectionDuration", "4210"))
    yield replace(last, form=(last.form or ()) + amd)


def _family(name: str) -> tuple[LegState, LegState]:
    """An inbound call and the leg that <Dial> placed to the clerk, who picked up."""
    parent = LegState(name, seconds=142, at=_after(142))
    child = LegState(
        f"{name} child",
        to=CLERK,
        seconds=131,
        at=_after(141),
        direction="outbound-dial",
        sequence=3,
        parent=name,
    )
    return parent, child


def child_then_parent() -> Iterator[Record]:
    parent, child = _family("child-then-parent")
    about = "An inbound call passed on by <Dial>: the child leg's callback comes first."
    yield record(child, about)
    yield record(parent, about)


def parent_then_child() -> Iterator[Record]:
    parent, child = _family("parent-then-child")
    about = "An inbound call passed on by <Dial>: the parent's callback comes first, the child's 3 s later."
    yield record(parent, about)
    yield record(child, about, delay_seconds=4.1)


def child_no_answer() -> Iterator[Record]:
    parent, child = _family("child-no-answer")
    about = "An inbound call passed on by <Dial>: Twilio answered (completed), but the clerk did not."
    yield record(replace(child, status="no-answer", seconds=0, sequence=2, at=_after(31)), about)
    yield record(replace(parent, seconds=33, at=_after(33)), about)


def duplicates() -> Iterator[Record]:
    leg = LegState("duplicates", seconds=77)
    for number, delay in enumerate((0.3, 5.4, 11.9), start=1):
        yield record(leg, f"The same callback, three times: delivery {number}.", delay_seconds=delay)


def out_of_order() -> Iterator[Record]:
    about = "One call with its four events in an order that time did not have."
    events = list(_outbound("out-of-order", "completed", "200", 64, about))
    for number, place in enumerate((3, 1, 2, 0)):
        yield replace(events[place], received_at=_after(90 + 0.4 * number))


WITHHELD = (
    *("anonymous", "restricted", "unavailable", "blocked", "unknown", "private", ""),
    *("Anonymous", "RESTRICTED", "sip:anonymous@anonymous.invalid"),
    *("+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"),
)


def withheld() -> Iterator[Record]:
    for number, spelling in enumerate(WITHHELD):
        wrong = Place(country="TH") if spelling.startswith("+") else NOWHERE  # the geography of nobody is made up
        leg = LegState(
            f"withheld {number}", from_=spelling, seconds=40 + number, at=_after(60 * number), caller_place=wrong
        )
        yield record(leg, f"A caller who withheld the number, as {spelling!r}.")


def sip_caller() -> Iterator[Record]:
    leg = LegState("sip", from_="sip:anna@example.sip.twilio.com", seconds=58, caller_place=NOWHERE)
    yield record(leg, "A caller from a SIP domain.")
    leg = replace(leg, name="sip number", from_="sip:+17655550143@pbx.example.com:5060", at=_after(90))
    yield record(leg, "A caller from a SIP trunk: a number stands before the @.")


def client_caller() -> Iterator[Record]:
    leg = LegState("client", from_="client:anna_example", seconds=49, caller_place=NOWHERE)
    yield record(leg, "A caller in an app or browser (Voice SDK); inbound too.")


def whatsapp_caller() -> Iterator[Record]:
    leg = LegState("whatsapp", from_="whatsapp:+17655550144", to=f"whatsapp:{SHOP}", seconds=205, caller_place=NOWHERE)
    yield record(leg, "A WhatsApp call: a number behind a scheme.")


def non_ascii_city() -> Iterator[Record]:
    zurich, tokyo = Place("ZÜRICH", "ZH", "8001", "CH"), Place("東京", "", "100-0001", "JP")
    leg = LegState("city 1", seconds=66, caller_place=zurich, more=(("CallerName", "Zoë O’Brien & Søn 🐝"),))
    yield record(leg, "A city, and a caller's name, that are not ASCII.")
    yield record(replace(leg, name="city 2", at=_after(120), caller_place=tokyo), "A city written in Japanese.")


def odd_parameters() -> Iterator[Record]:
    odd = (
        ("Unheard", " with spaces "),
        ("Twice", "b"),
        ("Twice", "a"),
        ("Twice", "b"),
        ("Empty", ""),
        ("a+b&c=d%", "100 %"),
    )
    leg = LegState("odd", seconds=45, more=odd)
    yield record(leg, "Parameters that nobody announced: repeated, empty, with spaces and signs.")


def get() -> Iterator[Record]:
    posted = record(
        LegState("get", seconds=121), "A number whose callback is set to GET: all parameters stand in the query."
    )
    headers = tuple(pair for pair in posted.headers if pair[0] != "Content-Type")
    target = f"{CALLBACK_PATH}?{encoded(posted.form or ())}"
    yield replace(posted, method="GET", path_and_query=target, form=None, headers=headers)


def event_stream() -> Iterator[Record]:
    """https://www.twilio.com/docs/events/event-types/voice/status-callback"""
    calls = [
        ("ringing", LegState("event 1", "ringing", sequence=1, direction="inbound")),
        ("completed", LegState("event 1", seconds=88, at=_after(90), sequence=3)),
        ("completed", LegState("event 2", seconds=15, from_="+13175550145", at=_after(95), caller_place=INDIANAPOLIS)),
    ]
    posted = record(calls[-1][1], "A batch of Event Streams: three CloudEvents of two calls in one JSON body.")
    yield replace(
        posted,
        headers=(("Content-Type", JSON_CONTENT_TYPE), *posted.headers[2:]),
        form=None,
        json=json.dumps([_event(kind, leg) for kind, leg in calls], ensure_ascii=False),
    )


def _event(kind: str, leg: LegState) -> dict[str, object]:
    moment = leg.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = f"{leg.name} {leg.status}"
    return {
        "specversion": "1.0",
        "type": f"com.twilio.voice.status-callback.call.{kind}",
        "source": sid("AB", "event stream"),
        "id": sid("NO", name),
        "dataschema": "https://events-schemas.twilio.com/Voice.WebhookEvent/2",
        "datacontenttype": "application/json",
        "data": {
            "sid": sid("CA", leg.name),
            "timestamp": moment,
            "eventSid": sid("VW", name),
            "request": {
                "method": "POST",
                "url": "https://calls.example.com/twilio/status",
                "parameters": dict(form_of(leg)),
            },
            "response": {"responseCode": 204, "requestDuration": 41, "contentType": "", "responseBody": ""},
        },
    }


def shared_key() -> Iterator[Record]:
    leg = LegState("shared key", seconds=97)
    about = "A callback that Twilio signed with a SharedKey and HMAC-SHA256; a replay signs it so again."
    yield replace(record(leg, about), signing=SHARED_KEY_SHA256)


SHOP_CALLS = 300
_PLACES = (("765", LAFAYETTE), ("317", INDIANAPOLIS), ("812", EVANSVILLE), ("260", FORT_WAYNE), ("463", INDIANAPOLIS))
_HOURS = (0.3, 0.8, 1.1, 1.2, 1.0, 0.7, 0.9, 1.1, 1.2, 1.0, 0.6, 0.2)  # calls by hour from eight on, lunch is quiet


def shop_callers(draw: random.Random) -> list[tuple[str, Place]]:
    """The people who ring the shop that day: most from the county, some from farther, two from London."""
    numbers = {}
    for code, place in _PLACES:
        for last in draw.sample(range(111, 200), 70 if code == "765" else 30):
            numbers[f"+1{code}5550{last}"] = place
    for last in (18, 412):
        numbers[f"+442079460{last:03}"] = LONDON
    return list(numbers.items())


def shop_day() -> Iterator[Record]:
    """300 calls from eight to eight: a few people ring again, the web's number rings most, some calls are passed on."""
    draw = random.Random("a day of a small shop")
    people = shop_callers(draw)
    weights = [1 / (place + 12) for place in range(len(people))]  # a few ring often, most ring once
    records: list[Record] = []
    for number in range(SHOP_CALLS):
        records += _shop_call(draw, number, *draw.choices(people, weights)[0])
    yield from sorted(records, key=lambda each: each.received_at)


def _shop_call(draw: random.Random, number: int, who: str, where: Place) -> list[Record]:
    ours = draw.choices((SHOP, SHOP_WEB, SHOP_RADIO), (3, 5, 2))[0]
    hour = draw.choices(range(len(_HOURS)), _HOURS)[0]
    began = MORNING - timedelta(hours=2) + timedelta(hours=hour, seconds=draw.random() * 3600)
    who, where = (draw.choice(WITHHELD[:4]), NOWHERE) if draw.random() < 0.04 else (who, where)
    status = draw.choices(("completed", "no-answer", "busy", "canceled", "failed"), (88, 5, 3, 3, 1))[0]
    lasted = min(3600, int(draw.lognormvariate(4.5, 1.0)) + 2) if status == "completed" else 0
    ended = began + timedelta(seconds=lasted or draw.uniform(3, 35))
    name = f"shop {number}"
    call = LegState(name, status, who, ours, lasted, ended, caller_place=where)
    about = "One of the 300 calls of a day of a small shop." if number else "A day of a small shop: 300 calls."
    records = [record(call, about, delay_seconds=draw.uniform(0.2, 1.4))]
    if status == "completed" and draw.random() < 0.3:
        records.append(_passed_on(draw, call, about))
    if draw.random() < 0.02:
        records.append(record(call, about, delay_seconds=draw.uniform(2, 12)))  # Twilio's own retry
    return records


def _passed_on(draw: random.Random, call: LegState, about: str) -> Record:
    picked_up = draw.random() < 0.8 and call.seconds > 8
    child = replace(
        call,
        name=f"{call.name} child",
        status="completed" if picked_up else "no-answer",
        to=CLERK,
        seconds=call.seconds - 6 if picked_up else 0,
        direction="outbound-dial",
        sequence=3 if picked_up else 2,
        called_place=MUNCIE,
        parent=call.name,
    )
    return record(child, about, delay_seconds=draw.uniform(0.1, 2.5))


LIBRARY: dict[str, Callable[[], Iterable[Record]]] = {
    "answered": answered,
    "busy": busy,
    "no-answer": no_answer,
    "canceled": canceled,
    "failed": failed,
    "outbound-answered": outbound_answered,
    "inbound-not-completed": inbound_not_completed,
    "voicemail-amd": voicemail,
    "parent-then-child": parent_then_child,
    "child-then-parent": child_then_parent,
    "child-no-answer": child_no_answer,
    "duplicates": duplicates,
    "out-of-order": out_of_order,
    "withheld": withheld,
    "sip-caller": sip_caller,
    "client-caller": client_caller,
    "whatsapp-caller": whatsapp_caller,
    "non-ascii-city": non_ascii_city,
    "odd-parameters": odd_parameters,
    "get": get,
    "event-stream": event_stream,
    "shared-key-sha256": shared_key,
    "shop-day": shop_day,
}


def customers() -> Iterator[tuple[str, str, str]]:
    """The shop's own list: (phone, email, customer id) in the spellings people use. Every ninth caller is not in it."""
    draw = random.Random("a day of a small shop")
    known = [CALLER, "+17655550144", "+13175550145"]
    known += [number for number, _ in shop_callers(draw) if number not in known]
    for place, number in enumerate(known):
        if place % 9 == 8:
            continue
        email = "" if place % 11 == 5 else f"customer{place + 1}@example.com"
        customer_id = "" if place % 7 == 3 else f"C-{1001 + place}"
        yield _spelled(number, place), email, customer_id or ("" if email else f"C-{1001 + place}")


def _spelled(number: str, place: int) -> str:
    if not number.startswith("+1"):
        return f"{number[:3]} {number[3:5]} {number[5:9]} {number[9:]}"
    area, exchange, line = number[2:5], number[5:8], number[8:]
    spellings = (
        number,
        f"({area}) {exchange}-{line}",
        f"{area}-{exchange}-{line}",
        f"1 {area} {exchange} {line}",
        f"{area}.{exchange}.{line}",
    )
    return spellings[place % len(spellings)]


def customers_csv() -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("phone", "email", "customer_id"))
    writer.writerows(customers())
    return text.getvalue()


def files() -> dict[str, str]:
    """The whole library: file name -> text."""
    made = {f"{name}.jsonl": "".join(f"{dump(each)}\n" for each in make()) for name, make in LIBRARY.items()}
    return {**made, "customers.csv": customers_csv()}


def main() -> None:
    folder = Path(__file__).parent
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
