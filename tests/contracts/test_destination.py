"""What `Destination` and `Encode` promise: Rockerbox, the first against a real server, and the fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from offhook.adapters.rockerbox.client import Rockerbox
from offhook.adapters.rockerbox.payload import encode
from offhook.pipeline.callback import CallKey
from offhook.pipeline.conversion import Conversion
from offhook.pipeline.delivery import Result
from offhook.pipeline.ports.destination import Destination, Encode
from tests import sinks
from tests.fakes import destination as fake_destination
from tests.fakes.destination import MemoryDestination

_BEHAVIOURS = {
    "takes": sinks.answer(200),
    "refuses": sinks.answer(400),
    "is busy": sinks.answer(503),
    "lets nobody in": sinks.answer(403),
    "takes and says nothing": sinks.reset(),
}
RESULTS = {
    "takes": Result.DELIVERED,
    "refuses": Result.REFUSED,
    "is busy": Result.RETRY,
    "lets nobody in": Result.BLOCKED,
    "takes and says nothing": Result.MAYBE_SENT,
    "is not there": Result.RETRY,
}
PAYLOAD = '{"action":"phone_call","name":"Zoë"}'.encode()


@dataclass(frozen=True, slots=True)
class BothSides:
    """A destination; what its other side `does` from now on, and what it `received`."""

    destination: Destination
    does: Callable[[str], None]
    received: Callable[[], list[bytes]]


@pytest.fixture(params=["memory", "rockerbox"])
def sides(request: pytest.FixtureRequest) -> Iterator[BothSides]:
    if request.param == "memory":
        fake = MemoryDestination()
        yield BothSides(fake, lambda what: setattr(fake, "does", what), lambda: fake.received)
        return
    with sinks.Sink() as sink, closing(_rockerbox(sink.url)) as rockerbox:

        def does(what: str) -> None:
            sink.close() if what == "is not there" else sink.behave(_BEHAVIOURS[what])

        yield BothSides(rockerbox, does, lambda: [seen.body for seen in sink.requests])


def _rockerbox(url: str) -> Rockerbox:
    return Rockerbox(url, "an id", connect_timeout_seconds=60.0, total_deadline_seconds=60.0)


@pytest.mark.parametrize("what", RESULTS)
def test_whatever_the_other_side_does_is_an_outcome_and_never_an_error(sides: BothSides, what: str) -> None:
    sides.does(what)
    outcome = sides.destination.send(PAYLOAD)
    assert outcome.result is RESULTS[what]
    assert outcome.reason and " " not in outcome.reason


@pytest.mark.parametrize("what", ["takes", "refuses", "is busy", "lets nobody in"])
def test_an_answer_comes_with_its_status(sides: BothSides, what: str) -> None:
    sides.does(what)
    assert sides.destination.send(PAYLOAD).status_code is not None


@pytest.mark.parametrize("what", ["takes and says nothing", "is not there"])
def test_where_nothing_was_answered_there_is_no_status(sides: BothSides, what: str) -> None:
    sides.does(what)
    assert sides.destination.send(PAYLOAD).status_code is None


def test_each_attempt_is_the_very_bytes_and_one_request(sides: BothSides) -> None:
    sides.destination.send(PAYLOAD)
    sides.does("is busy")
    sides.destination.send(PAYLOAD)
    assert sides.received() == [PAYLOAD, PAYLOAD]


def test_what_it_did_once_says_nothing_of_the_next_time(sides: BothSides) -> None:
    for what in ("takes and says nothing", "lets nobody in", "takes", "refuses", "takes"):
        sides.does(what)
        assert sides.destination.send(PAYLOAD).result is RESULTS[what]


# What a rule or a mapping may bring: every code point, lone surrogates included, and every number.
any_text = st.text(st.characters(exclude_categories=()), max_size=20)
CONVERSIONS = st.builds(
    Conversion,
    key=st.just(CallKey("AC1", "CA1")),
    email=st.none() | any_text,
    customer_id=st.none() | any_text,
    action=any_text,
    occurred_at=st.datetimes(timezones=st.just(UTC)),
    order_id=any_text,
    revenue=st.none() | st.decimals(),
    extra=st.dictionaries(any_text, any_text | st.integers() | st.floats() | st.booleans(), max_size=4),
)


@pytest.mark.parametrize("written", [encode, fake_destination.encode], ids=["rockerbox", "memory"])
@for_all(conversion=CONVERSIONS)
def test_whatever_was_decided_has_bytes_and_always_the_same(written: Encode, conversion: Conversion) -> None:
    first = written(conversion)
    assert isinstance(first, bytes) and first
    assert written(conversion) == first
