"""What `Reader` promises: Twilio's, and the tests' own, of callbacks as they arrive and as each ledger gives them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from offhook.adapters.twilio import reading
from offhook.adapters.twilio.spelling import FORM_CONTENT_TYPE
from offhook.pipeline.callback import Direction, RawCallback, Status
from offhook.pipeline.ports.reader import Reader
from tests.contracts.conftest import WholeLedger
from tests.fakes import callbacks
from tests.fakes.callbacks import ACCOUNT, CALLER, NOON, OURS, sid
from tests.support.arriving import read_request

_FORM = (
    f"CallSid={sid(1)}&AccountSid={ACCOUNT}&From=%2B14155550100&To=%2B14155550199&Direction=inbound&CallStatus=completed"
    "&CallDuration=60&FromCity=Z%C3%BCrich&FromCity=M%00nich"
)

_TARGET = "/twilio/status?\u00fc=%00&x"


def _twilios() -> Sequence[RawCallback]:
    by_post = read_request("POST", _TARGET, FORM_CONTENT_TYPE, {}, _FORM.encode(), NOON, ACCOUNT)
    other = _FORM.replace(sid(1), sid(2))
    by_get = read_request("GET", f"/twilio/status?{other}", "", {}, b"", NOON + timedelta(seconds=1), ACCOUNT)
    assert isinstance(by_post, tuple) and isinstance(by_get, tuple)
    return *by_post, *by_get


@dataclass(frozen=True, slots=True)
class Ours:
    """A reader, and two callbacks of the same call but for their SID, as it finds them."""

    read: Reader
    raws: Sequence[RawCallback]


READERS = {
    "memory": Ours(callbacks.read, (callbacks.raw(1), callbacks.raw(2, at=NOON + timedelta(seconds=1)))),
    "twilio": Ours(reading.read, _twilios()),
}


@pytest.fixture(params=READERS)
def ours(request: pytest.FixtureRequest) -> Ours:
    return READERS[request.param]


@pytest.mark.unit
def test_a_callback_is_read_in_our_words_with_the_raw_one_whole_beside_it(ours: Ours) -> None:
    for raw in ours.raws:
        found = ours.read(raw)
        assert found.raw is raw
        assert (found.status, found.direction) == (Status.COMPLETED, Direction.INBOUND)
        assert (found.from_, found.to, found.duration_seconds) == (CALLER, OURS, 60)
        assert (found.params["From"], found.params["To"]) == (CALLER, OURS)


@pytest.mark.unit
@pytest.mark.parametrize("names", [frozenset[str](), frozenset({"To", "FromCity", "none"})])
def test_of_a_few_parameters_each_is_as_of_all_and_so_are_all_our_words(ours: Ours, names: frozenset[str]) -> None:
    for raw in ours.raws:
        whole, some = ours.read(raw), ours.read(raw, names)
        assert replace(some, params={}) == replace(whole, params={})
        assert {name: some.params.get(name) for name in names} == {name: whole.params.get(name) for name in names}
        assert some.params.items() <= whole.params.items()


@pytest.mark.unit
@pytest.mark.parametrize("reader", READERS)
@for_all(
    body=st.binary(max_size=40)
    | st.sampled_from([b"[]", b"1", b"null", b'{"status": [], "direction": {}}', b"[" * 9999]),
    target=st.text(max_size=20),
    how=st.sampled_from([("POST", FORM_CONTENT_TYPE), ("POST", "application/json"), ("GET", ""), ("?", "?")]),
    source=st.sampled_from(["webhook", "event-stream", "rest"]),
)
def test_whatever_was_kept_is_read_and_what_nobody_can_read_is_unknown(
    reader: str, body: bytes, target: str, how: tuple[str, str], source: str
) -> None:
    method, content_type = how
    raw = RawCallback("k", ACCOUNT, sid(1), None, NOON, method, target, content_type, (), body, source)
    found = READERS[reader].read(raw)
    assert found.raw is raw
    assert found.status in Status and found.direction in Direction


def test_what_a_ledger_gives_back_is_read_as_what_arrived(ledger: WholeLedger, ours: Ours) -> None:
    ledger.append(ours.raws)
    kept = list(ledger.stories.every_callback())
    assert [ours.read(raw) for raw in kept] == [ours.read(raw) for raw in ours.raws]
