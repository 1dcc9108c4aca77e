"""A list of customers from an address or a path: taken where it is another than last time, by one worker, whole or not at all."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.adapters.customers.csv_file import Replace
from offhook.adapters.customers.fetching import Access, shown
from offhook.adapters.customers.fields import ImportLimits
from offhook.adapters.customers.lines import ImportRefused
from offhook.adapters.customers.sync import CustomerSync, SyncSource
from offhook.pipeline.customer import Customer
from offhook.service import build
from offhook.settings import given
from tests import sinks
from tests.fakes.callbacks import CALLER, NOON, OTHER
from tests.fakes.ledger import MemoryLedger
from tests.support.egress import EgressProxy
from tests.support.waiting import wait_until

ANN = Customer(CALLER, "ann@example.com", None)
LIST = f"phone,email\n{CALLER},ann@example.com\n".encode()
BOTH = LIST + f"{OTHER},bo@example.com\n".encode()


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> sinks.Behaviour:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    return sinks.raw("\r\n".join([*head, *headers, "", ""]).encode() + body)


class Office:
    """A ledger in memory whose clock is set by hand, and a list that it takes."""

    def __init__(self, location: str, **changes: Any) -> None:
        self.ledger = MemoryLedger()
        self.now = NOON
        self.source = SyncSource(
            location=location,
            every_seconds=3600,
            columns=("phone", "email", "customer_id"),
            region="US",
            conflict="none",
            limits=ImportLimits(),
            lower_emails=True,
            replacing=None,
            access=Access(),
        )
        self.source = replace(self.source, **changes)
        self.sync = CustomerSync(self.source, self.ledger, lambda: self.now)

    def people(self) -> dict[str, Customer]:
        return dict(self.ledger.find_customers([CALLER, OTHER]))


@pytest.fixture
def sink() -> Iterator[sinks.Sink]:
    with sinks.Sink() as running:
        yield running


def at(sink: sinks.Sink) -> str:
    return f"{sink.url.rsplit('/', 1)[0]}/customers.csv"


def test_a_list_is_taken_from_an_address_and_asked_for_by_its_version_from_then_on(sink: sinks.Sink) -> None:
    sink.behave(answer(LIST, 'ETag: "1"'), answer(b"", status="304 Not Modified"), answer(BOTH, 'ETag: "2"'))
    office = Office(at(sink))
    report = office.sync.now()
    assert report is not None and report.added == 1 and office.people() == {CALLER: ANN}
    assert office.sync.now() is None
    assert office.sync.now() is not None and set(office.people()) == {CALLER, OTHER}
    asked = [seen.headers.get("if-none-match") for seen in sink.requests]
    assert asked == [None, '"1"', '"1"']
    [second, first] = office.ledger.history.imports(10)
    assert (first.source, first.name, second.added) == ("sync", at(sink), 1)


def test_without_an_etag_the_time_of_the_last_change_serves(sink: sinks.Sink) -> None:
    changed = "Thu, 12 Mar 2026 12:00:00 GMT"
    sink.behave(answer(LIST, f"Last-Modified: {changed}"), answer(LIST))
    office = Office(at(sink))
    office.sync.now()
    assert office.sync.now() is not None
    assert office.sync.now() is not None
    assert [seen.headers.get("if-modified-since") for seen in sink.requests] == [None, changed, None]


@pytest.mark.parametrize("headers", [("Content-Encoding: gzip",), ("Content-Type: application/gzip",)])
def test_a_list_may_be_packed_by_the_server_or_be_a_packed_file(sink: sinks.Sink, headers: tuple[str, ...]) -> None:
    sink.behave(answer(gzip.compress(LIST), *headers))
    office = Office(at(sink))
    office.sync.now()
    assert office.people() == {CALLER: ANN}
    assert sink.requests[0].headers["accept-encoding"] == "gzip"


def test_who_asks_is_said_and_shown_nowhere(sink: sinks.Sink) -> None:
    sink.behave(answer(LIST))
    office = Office(f"{at(sink)}?key=hush", access=Access(authorization="Bearer hush"))
    office.sync.now()
    assert sink.requests[0].headers["authorization"] == "Bearer hush" and "key=hush" in sink.requests[0].path
    text = f"{office.source} {office.sync.name} {office.ledger.history.imports(10)}"
    assert "hush" not in text
    sink.behave(answer(LIST))
    Office(at(sink).replace("http://", "http://ann:hush@")).sync.now()
    assert sink.requests[1].headers["authorization"].startswith("Basic ")
    assert shown("https://ann:hush@crm.example.com:8443/a.csv?t=hush") == "https://crm.example.com:8443/a.csv"


BROKEN = {
    "an error": answer(b"no", status="500 Oops"),
    "a sign-in": answer(b"no", status="401 No"),
    "nothing new, unasked": answer(b"", status="304 Not Modified"),
    "less than it says": answer(LIST, length=len(LIST) + 10),
    "packed and cut off": answer(gzip.compress(LIST)[:-9], "Content-Encoding: gzip", length=9999),
    "too large": answer(LIST * 500),
    "too large when unpacked": answer(gzip.compress(LIST * 500), "Content-Encoding: gzip"),
    "no list": answer(b"<html>sign in</html>"),
}


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
def test_what_is_no_whole_list_changes_nothing(sink: sinks.Sink, behaviour: sinks.Behaviour) -> None:
    sink.behave(behaviour)
    office = Office(at(sink), access=Access(max_bytes=10_000))
    with pytest.raises(ImportRefused):
        office.sync.now()
    assert office.people() == {} and office.ledger.syncs.version(office.sync.name) is None


@pytest.mark.parametrize("headers", [('ETag: "1"',), ("Content-Encoding: gzip",)])
def test_a_packed_list_that_unpacks_to_more_than_it_may_changes_nothing(
    sink: sinks.Sink, headers: tuple[str, ...]
) -> None:
    """A server that packs what is packed already packs it twice; the outer one is held to OFFHOOK_CUSTOMERS_SYNC_MAX_BYTES."""
    packed = gzip.compress(BOTH + b"nobody,\n" * 1000)
    sink.behave(answer(gzip.compress(packed) if "gzip" in headers[0] else packed, *headers))
    office = Office(at(sink), limits=ImportLimits(unpacked=5000))
    with pytest.raises(ImportRefused, match="OFFHOOK_CUSTOMERS_UNPACKED_BYTES"):
        office.sync.now()
    assert office.people() == {} and office.ledger.syncs.version(office.sync.name) is None


DRIPS = {
    "its head": sinks.drip_head(0.02),
    "its body": sinks.drip_body(0.02),
    "answers before the answer": sinks.endless_continue(),
    "nothing": sinks.black_hole(),
    "redirects": sinks.after(0.1, sinks.redirect("/customers.csv")),
    "what leads on": sinks.raw(b"HTTP/1.1 302 On\r\nLocation: /a\r\nContent-Length: 9\r\n\r\n", keep=True),
}


@pytest.mark.parametrize("behaviour", DRIPS.values(), ids=DRIPS)
def test_a_list_that_comes_slowly_is_given_up_after_its_time(sink: sinks.Sink, behaviour: sinks.Behaviour) -> None:
    """The runner's bound is the only other end: without the deadline a drip would hold the thread for as long as it goes on."""
    sink.behave(behaviour)
    office = Office(at(sink), access=Access(seconds=1.0))
    with pytest.raises(ImportRefused, match="took longer"):
        office.sync.now()
    assert office.people() == {} and office.ledger.syncs.version(office.sync.name) is None


def test_a_handshake_that_drips_is_given_up_after_its_time() -> None:
    with sinks.Sink(handshake=False, greeting=b"\x16\x03\x03\x40\x00" + b"z" * 1000, tls=None) as sink:
        office = Office(at(sink).replace("http://", "https://"), access=Access(seconds=1.0))
        with pytest.raises(ImportRefused, match="took longer"):
            office.sync.now()


def test_a_list_may_be_elsewhere_and_what_leads_there_is_not_read_for_ever(sink: sinks.Sink) -> None:
    sink.behave(sinks.redirect("/today.csv"), answer(LIST))
    office = Office(at(sink), access=Access(authorization="Bearer hush"))
    office.sync.now()
    assert office.people() == {CALLER: ANN}
    assert [seen.path for seen in sink.requests] == ["/webhook/customers.csv", "/today.csv"]
    sink.behave(sinks.endless(b"HTTP/1.1 302 On\r\nLocation: /today.csv\r\n\r\n", b"z" * 8192), answer(BOTH))
    office.sync.now()
    assert set(office.people()) == {CALLER, OTHER}


def test_a_list_comes_through_a_proxy_that_asks_for_a_login(sink: sinks.Sink) -> None:
    sink.behave(answer(LIST))
    with EgressProxy(sink.port, login="ann:hush") as proxy:
        access = Access(proxy_url=f"http://ann:hush@127.0.0.1:{proxy.port}")
        office = Office("http://crm.example.com/customers.csv", access=access)
        office.sync.now()
    assert office.people() == {CALLER: ANN}
    assert "proxy-authorization" not in sink.requests[0].headers


def test_nobody_there_is_said_without_the_secret() -> None:
    office = Office("http://ann:hush@127.0.0.1:9/customers.csv")
    with pytest.raises(ImportRefused) as refused:
        office.sync.now()
    assert "127.0.0.1:9/customers.csv cannot be fetched" in str(refused.value) and "hush" not in str(refused.value)


def test_a_path_is_taken_again_when_the_file_is_another(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    office = Office(str(file), replacing=Replace(1.0))
    with pytest.raises(ImportRefused, match="cannot be opened"):
        office.sync.now()
    file.write_bytes(BOTH)
    assert office.sync.now() is not None
    assert office.sync.now() is None
    file.write_bytes(LIST)
    report = office.sync.now()
    assert report is not None and report.removed == 1 and office.people() == {CALLER: ANN}
    assert [path.name for path in tmp_path.iterdir()] == ["customers.csv"]


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("ftp://ann:hush@crm.example.com/customers.csv", "ftp://crm.example.com/customers.csv cannot be fetched: "),
        ("S3://bucket/customers.csv?key=hush", "s3://bucket/customers.csv cannot be fetched: "),
        ("file:///etc/hush", "file:///etc/hush cannot be fetched: "),
    ],
)
def test_an_address_of_another_kind_is_refused_with_what_can_be_fetched(location: str, shown: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        Office(location).sync.now()
    assert str(refused.value) == f"{shown}a list is at an address of http or https, or at a path."


def test_an_address_that_is_none_is_refused_and_its_secret_is_not_shown(sink: sinks.Sink) -> None:
    with pytest.raises(ImportRefused, match=r"https://\.\.\. cannot be fetched") as refused:
        Office("https://ann:hush@crm.example.com:port/customers.csv").sync.now()
    assert "hush" not in str(refused.value)
    sink.behave(answer(LIST))
    assert Office(at(sink).replace("http://", "HTTP://")).sync.now() is not None


# Due


def test_one_of_all_workers_takes_it_when_it_is_due(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_bytes(LIST)
    office = Office(str(file))
    other = CustomerSync(office.source, office.ledger, lambda: office.now)
    assert office.sync.when_due() is not None
    file.write_bytes(BOTH)
    assert (office.sync.when_due(), other.when_due()) == (None, None)
    office.now += timedelta(hours=1)
    assert other.when_due() is not None
    assert office.sync.when_due() is None


def test_what_could_not_be_taken_is_tried_again_sooner(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    office = Office(str(file))
    with pytest.raises(ImportRefused):
        office.sync.when_due()
    file.write_bytes(LIST)
    assert office.sync.when_due() is None
    office.now += timedelta(minutes=5)
    assert office.sync.when_due() is not None


def test_a_worker_takes_it_by_itself_until_it_stops(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_bytes(LIST)
    office, stopping = Office(str(file)), threading.Event()
    running = threading.Thread(target=office.sync.run, args=(stopping,))
    running.start()
    wait_until(lambda: bool(office.people()))
    stopping.set()
    running.join()


def test_the_command_takes_it_once_and_says_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from offhook.service import create_app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/offhook.db")
    monkeypatch.setenv("OFFHOOK_CUSTOMERS_SYNC", "customers.csv")
    Path("customers.csv").write_bytes(BOTH)
    run = create_app().test_cli_runner().invoke
    assert run(args=["db", "upgrade"]).exit_code == 0
    found = json.loads(run(args=["customers", "sync", "--json"]).stdout)
    assert (found["is_new"], found["added"]) == (True, 2)
    assert "same as last time" in run(args=["customers", "sync"]).stdout
    assert run(args=["customers", "sync", "nowhere.csv"]).exit_code == 1
    for no_length in ("soon", "0h", "40000d"):
        assert run(args=["customers", "sync", "--every", no_length]).exit_code == 2


def test_a_worker_takes_the_list_that_the_settings_name(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(LIST)
    known = {"ROCKERBOX_ADVERTISER_ID": "a", "ROCKERBOX_URL": "http://127.0.0.1:9/none", "OFFHOOK_CUSTOMERS_NICE": "0"}
    service = build(given({"DATABASE_URL": database_url, "OFFHOOK_CUSTOMERS_SYNC": str(file), **known}))
    worker = service.worker()
    worker.start()
    wait_until(lambda: bool(service.ledger.find_customers([CALLER])))
    assert worker.stop()
    service.ledger.close()
