"""A recording sent again: what is planned, how it is signed, and what is reported of the answers. The receivers are real."""

from __future__ import annotations

import itertools
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.recordings.format import Record, RecordingError, dump, parameters, read
from offhook.adapters.recordings.replay import (
    Latencies,
    Planned,
    RemoteTarget,
    Replay,
    Summary,
    Tape,
    is_this_machine,
    plan,
    replay,
    request_bytes,
    target,
)
from offhook.adapters.recordings.sending import Answer, SteadyTime
from offhook.adapters.twilio.keys import Account, Keyring
from offhook.adapters.twilio.signature import Verified, verify
from offhook.adapters.twilio.signature import sign as signature_for
from offhook.adapters.twilio.spelling import Pairs, presented_urls
from tests.support.arriving import arrived
from tests.support.processes import bare_environment

pytestmark = pytest.mark.unit

LIBRARY = Path(__file__).parent.parent / "recordings"
AT = datetime(2026, 3, 12, 14, 0, tzinfo=UTC)
TOKEN = "a-token-for-tests"
ACCOUNT_SID = "AC00000000000000000000000000000001"


def sign(url: str, pairs: Pairs, signing: str) -> Mapping[str, str]:
    return {"X-Twilio-Signature": signature_for(url, pairs, TOKEN)}


def numbered(count: int, gap_seconds: float = 10.0) -> list[Record]:
    return [
        Record(AT + timedelta(seconds=gap_seconds * n), "POST", "/s", form=(("CallSid", f"CA{n:032x}"), ("n", str(n))))
        for n in range(count)
    ]


def numbers(planned: Iterator[Planned]) -> list[int]:
    return [int(dict(parameters(each.record))["n"]) for each in planned]


def file_of(tmp_path: Path, records: list[Record], name: str = "calls.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(f"{dump(record)}\n\n" for record in records), encoding="utf-8")
    return path


# --- the plan


def test_the_recorded_gaps_are_kept(tmp_path: Path) -> None:
    tape = Tape.of_files([file_of(tmp_path, numbered(4))])
    assert [each.delay_seconds for each in plan(tape, Replay())] == [0, 10, 20, 30]


def test_speed_divides_the_gaps_and_none_takes_them_away() -> None:
    tape = Tape.of_records(numbered(4))
    assert [each.delay_seconds for each in plan(tape, Replay(speed=20))] == [0, 0.5, 1, 1.5]
    assert [each.delay_seconds for each in plan(tape, Replay(speed=None))] == [0, 0, 0, 0]


def test_a_recording_out_of_order_is_sent_in_the_order_of_its_lines() -> None:
    first, second, third = numbered(3)
    delays = [each.delay_seconds for each in plan(Tape.of_records([second, first, third]), Replay())]
    assert delays == [0, 0, 20]


def test_several_files_follow_one_another(tmp_path: Path) -> None:
    records = numbered(5)
    paths = [file_of(tmp_path, records[:2], "a.jsonl"), file_of(tmp_path, records[2:], "b.jsonl")]
    assert numbers(plan(Tape.of_files(paths), Replay())) == [0, 1, 2, 3, 4]


@given(st.integers(0, 40), st.integers(), st.integers(1, 4))
def test_a_shuffle_loses_and_adds_nothing_and_is_the_same_for_a_seed(count: int, seed: int, copies: int) -> None:
    tape = Tape.of_records(numbered(count))
    options = Replay(speed=1, shuffle=seed, duplicate=copies)
    once = list(plan(tape, options))
    assert Counter(numbers(iter(once))) == Counter(dict.fromkeys(range(count), copies))
    assert once == list(plan(tape, options))
    assert [each.delay_seconds for each in once] == sorted(each.delay_seconds for each in once)


def test_a_shuffle_changes_the_order_and_another_seed_changes_it_otherwise() -> None:
    tape = Tape.of_records(numbered(30))
    orders = [numbers(plan(tape, Replay(shuffle=seed))) for seed in (1, 2)]
    assert orders[0] != orders[1] != list(range(30)) != orders[0]


def test_a_drop_leaves_out_about_its_share_and_the_same_ones_for_a_seed() -> None:
    tape = Tape.of_records(numbered(2000))
    kept = numbers(plan(tape, Replay(drop=0.05, seed=3)))
    assert 1860 < len(kept) < 1940
    assert kept == numbers(plan(tape, Replay(drop=0.05, seed=3)))
    assert kept != numbers(plan(tape, Replay(drop=0.05, seed=4)))


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": -1}, {"duplicate": 0}, {"drop": 1.0}, {"drop": -0.1}])
def test_an_impossible_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Replay(**options)


def test_a_shift_moves_the_time_of_arrival_and_twilios_own_and_keeps_their_distances() -> None:
    now = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    original = list(read(LIBRARY / "shop-day.jsonl"))
    moved = [each.record for each in plan(Tape.of_records(original), Replay(speed=None, shift_to=now))]
    assert max(record.received_at for record in moved) == pytest.approx(now, abs=timedelta(milliseconds=1))
    by = moved[0].received_at - original[0].received_at
    for old, new in zip(original, moved, strict=True):
        assert new.received_at - old.received_at == by
        timestamps = [parsedate_to_datetime(dict(parameters(each))["Timestamp"]) for each in (old, new)]
        assert abs(timestamps[1] - timestamps[0] - by) < timedelta(seconds=1)
        unchanged = [[pair for pair in parameters(each) if pair[0] != "Timestamp"] for each in (old, new)]
        assert unchanged[0] == unchanged[1]


@pytest.mark.parametrize("speed", [None, 1.0, 20.0])
def test_nothing_is_shifted_beyond_the_moment_at_which_it_is_sent(speed: float | None) -> None:
    now = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    for each in plan(Tape.of_records(numbered(10)), Replay(speed=speed, shift_to=now)):
        assert each.record.received_at <= now + timedelta(seconds=each.delay_seconds, milliseconds=1)


def test_at_the_recorded_pace_a_shifted_callback_is_sent_when_it_was_received() -> None:
    now = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    for each in plan(Tape.of_records(numbered(10)), Replay(speed=1, shift_to=now)):
        assert abs(each.record.received_at - now - timedelta(seconds=each.delay_seconds)) < timedelta(milliseconds=1)


def test_a_shift_and_new_sids_reach_into_event_streams() -> None:
    original = next(read(LIBRARY / "event-stream.jsonl"))
    options = Replay(speed=None, shift_to=AT + timedelta(days=30), new_sids=b"run 1")
    changed = next(plan(Tape.of_records([original]), options)).record
    old, new = json.loads(original.json or ""), json.loads(changed.json or "")
    assert [event["data"]["sid"] for event in new] == [each["data"]["request"]["parameters"]["CallSid"] for each in new]
    assert new[0]["data"]["sid"] == new[1]["data"]["sid"] != old[0]["data"]["sid"]
    assert len({event["id"] for event in (*old, *new)}) == 6
    assert new[0]["data"]["request"]["parameters"]["Timestamp"] == "Sat, 11 Apr 2026 13:58:24 +0000"
    assert new[0]["data"]["timestamp"] != old[0]["data"]["timestamp"]


def test_a_timestamp_that_is_none_stays_as_it_is() -> None:
    record = Record(AT, "POST", "/s", form=(("CallSid", "CA1"), ("Timestamp", "soon")))
    moved = next(plan(Tape.of_records([record]), Replay(speed=None, shift_to=AT + timedelta(days=1)))).record
    assert dict(parameters(moved))["Timestamp"] == "soon"


def test_new_sids_keep_families_together_and_differ_from_run_to_run() -> None:
    tape = Tape.of_files([LIBRARY / "child-then-parent.jsonl"])

    def sids(run: bytes | None) -> list[str]:
        child, parent = (dict(parameters(each.record)) for each in plan(tape, Replay(new_sids=run)))
        assert child["ParentCallSid"] == parent["CallSid"] != child["CallSid"]
        return [child["CallSid"], parent["CallSid"]]

    made = [*sids(None), *sids(b"run 1"), *sids(b"run 2")]
    assert len(set(made)) == 6
    assert all(re.fullmatch("CA[0-9a-f]{32}", sid) for sid in made)
    assert sids(b"run 1") == made[2:4]


def test_another_account_can_be_put_in() -> None:
    for name in ("answered", "get", "event-stream"):
        tape = Tape.of_files([LIBRARY / f"{name}.jsonl"])
        for each in plan(tape, Replay(account_sid="ACffffffffffffffffffffffffffffffff")):
            line = dump(each.record)
            assert ACCOUNT_SID not in line
            assert "ACffffffffffffffffffffffffffffffff" in line


def test_a_mistake_in_the_last_line_is_found_before_anything_is_planned(tmp_path: Path) -> None:
    path = file_of(tmp_path, numbered(3))
    path.write_text(path.read_text() + "broken\n")
    with pytest.raises(RecordingError, match="line 7"):
        Tape.of_files([path])


# --- the target


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1/x", "http://[::1]:8000/", "http://127.9.9.9/"]
)
def test_this_machine_may_always_be_the_target(url: str) -> None:
    assert target(url).endpoint.addresses


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/", "https://192.0.2.1/x", "http://0.0.0.0:8000/", "http://[2001:db8::1]/"]
)
def test_another_machine_is_refused_unless_it_is_meant(url: str) -> None:
    with pytest.raises(RemoteTarget, match="--yes-remote"):
        target(url)
    assert target(url, yes_remote=True).endpoint.addresses


def test_a_name_of_which_one_address_leads_elsewhere_is_elsewhere() -> None:
    assert is_this_machine(["127.0.0.1", "::1", "::ffff:127.0.0.1"])
    assert not is_this_machine(["127.0.0.1", "192.0.2.1"])


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1/", "http://", "", "http://no-such-host.invalid/"])
def test_what_is_no_url_is_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(ValueError, match=r"write it as|correct the URL"):
        target(url)


@pytest.mark.parametrize(
    ("url", "recorded", "sent"),
    [
        ("http://127.0.0.1:1", "/twilio/status", "/twilio/status"),
        ("http://127.0.0.1:1/", "/twilio/status?a=b", "/twilio/status?a=b"),
        ("http://127.0.0.1:1/hook", "/twilio/status", "/hook"),
        ("http://127.0.0.1:1/hook?x=1", "/twilio/status?a=b%20c", "/hook?x=1&a=b%20c"),
    ],
)
def test_the_path_of_the_target_goes_before_the_recorded_one(url: str, recorded: str, sent: str) -> None:
    assert target(url).of(Record(AT, "POST", recorded, form=())) == sent


@pytest.mark.parametrize("name", sorted(path.stem for path in LIBRARY.glob("*.jsonl")))
def test_what_is_sent_verifies_at_the_receiver(name: str) -> None:
    """Offhook's own verification, for another public URL than the one that is connected to."""
    keyring = Keyring({ACCOUNT_SID: Account(ACCOUNT_SID, (TOKEN,), {})})
    to = target("http://127.0.0.1:8000/hook", signed_for="https://calls.example.com/")
    for record in itertools.islice(read(LIBRARY / f"{name}.jsonl"), 20):
        method, raw_target, headers, body = parts(request_bytes(record, to, sign))
        urls = presented_urls(["https://calls.example.com"], raw_target)
        signed = headers["X-Twilio-Signature"]
        request = arrived(method, urls, headers.get("Content-Type", ""), body, signed, target=raw_target)
        assert isinstance(verify(request, keyring), Verified)
        assert headers["Host"] == "127.0.0.1:8000"


@pytest.mark.parametrize(
    ("address", "sent", "signed"),
    [
        ("https://calls.example.com", "/twilio/status?a=b", "https://calls.example.com/twilio/status?a=b"),
        ("https://calls.example.com/", "/twilio/status", "https://calls.example.com/twilio/status"),
        (
            "https://calls.example.com/twilio/status",
            "/twilio/status?a=b",
            "https://calls.example.com/twilio/status?a=b",
        ),
        ("https://calls.example.com/v2/twilio/status", "/twilio/status", "https://calls.example.com/v2/twilio/status"),
        ("https://calls.example.com/twilio/status/", "/twilio/status", "https://calls.example.com/twilio/status/"),
        (
            "https://calls.example.com/twilio/status?t=1",
            "/twilio/status",
            "https://calls.example.com/twilio/status?t=1",
        ),
        ("https://calls.example.com/v2", "/twilio/status", "https://calls.example.com/v2/twilio/status"),
        ("https://calls.example.com/my-status", "/status", "https://calls.example.com/my-status/status"),
        ("https://me:s3cret@calls.example.com", "/", "https://calls.example.com/"),
    ],
)
def test_a_whole_address_is_understood_as_well_as_one_up_to_its_path(address: str, sent: str, signed: str) -> None:
    assert target("http://127.0.0.1:1", signed_for=address).signed_url(sent) == signed


def test_on_this_machine_the_public_url_is_signed_for_and_elsewhere_the_address_itself() -> None:
    public = "https://calls.example.com/v2"
    assert target("http://127.0.0.1:8000", public_url=public).signed_url("/s") == "https://calls.example.com/v2/s"
    assert (
        target("http://192.0.2.1:8000", yes_remote=True, public_url=public).signed_url("/s")
        == "http://192.0.2.1:8000/s"
    )
    given = target("http://127.0.0.1:8000", signed_for="http://127.0.0.1:8000", public_url=public)
    assert given.signed_url("/s") == "http://127.0.0.1:8000/s"


@pytest.mark.parametrize("address", ["calls.example.com", "ftp://calls.example.com", "https:///twilio"])
def test_what_is_no_address_to_sign_for_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="no address to sign for"):
        target("http://127.0.0.1:1", signed_for=address)


def parts(request: bytes) -> tuple[str, str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, raw_target, _ = first.split(" ")
    return method, raw_target, dict(line.split(": ", 1) for line in lines), body


def test_a_json_body_is_sent_with_its_hash_in_the_signed_query() -> None:
    signed: list[tuple[str, Pairs]] = []

    def note(url: str, pairs: Pairs, signing: str) -> Mapping[str, str]:
        signed.append((url, pairs))
        return {}

    record = next(read(LIBRARY / "event-stream.jsonl"))
    _, raw_target, headers, body = parts(request_bytes(record, target("http://127.0.0.1:8000"), note))
    assert raw_target == f"/twilio/status?bodySHA256={sha256(body).hexdigest()}"
    assert signed == [(f"http://127.0.0.1:8000{raw_target}", ())]
    assert (headers["Content-Type"], headers["Content-Length"]) == ("application/json", str(len(body)))


def test_the_signer_is_given_how_the_original_was_signed() -> None:
    signings: list[str] = []

    def note(url: str, pairs: Pairs, signing: str) -> Mapping[str, str]:
        signings.append(signing)
        return {}

    for name in ("shared-key-sha256", "answered"):
        request_bytes(next(read(LIBRARY / f"{name}.jsonl")), target("http://127.0.0.1:1"), note)
    assert signings == ["shared_key_sha256", ""]


# --- the sending


class Receiver(BaseHTTPRequestHandler):
    """Answers as the path says: /204, /500, /chunked, /close, /old, /drop-second; keeps what it got."""

    protocol_version = "HTTP/1.1"
    got: ClassVar[list[tuple[str, bytes]]] = []
    connections: ClassVar[set[Any]] = set()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, body))
        self.connections.add(self.client_address)
        kind = self.path.strip("/")
        if kind == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in (b"4\r\nabcd\r\n", b"1\r\ne\r\n", b"0\r\n\r\n"):
                self.wfile.write(chunk)
        elif kind == "until-close":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts")
        elif kind == "continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        elif kind == "close":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        elif kind == "hang-up":
            self.close_connection = True
        elif kind == "garbage":
            self.close_connection = True
            self.wfile.write(b"SMTP ready\r\n\r\n")
        else:
            self.send_response(int(kind))
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.got.clear()
    Receiver.connections.clear()
    server = Server(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def send(url: str, count: int, **options: Any) -> Summary:
    return replay(plan(Tape.of_records(numbered(count)), Replay(speed=None)), target(url), sign, **options)


@pytest.mark.parametrize("path", ["/204", "/200", "/chunked", "/until-close", "/continue", "/close"])
def test_every_callback_arrives_however_the_receiver_ends_its_answers(receiver: str, path: str) -> None:
    summary = send(receiver + path, 25, concurrency=4)
    assert summary.by_status == {200 if path in ("/200", "/chunked", "/until-close") else 204: 25}
    assert (summary.sent, summary.refused, summary.errors, summary.exit_code) == (25, 0, {}, 0)
    assert len({body for _, body in Receiver.got}) == len(Receiver.got) == 25
    assert summary.latencies.total == 25


def test_connections_are_used_again_and_are_no_more_than_asked_for(receiver: str) -> None:
    send(receiver + "/204", 50, concurrency=3)
    assert 1 <= len(Receiver.connections) <= 3


def test_one_refused_makes_the_exit_code_one_and_is_counted(receiver: str) -> None:
    records = numbered(4)
    records[2] = Record(AT, "POST", "/403", form=(("CallSid", "CA1"),))
    records = [record if record.path_and_query == "/403" else with_path(record, "/204") for record in records]
    summary = replay(plan(Tape.of_records(records), Replay(speed=None)), target(receiver), sign)
    assert (summary.by_status, summary.refused, summary.exit_code) == ({204: 3, 403: 1}, 1, 1)
    assert "1 answered 403" in str(summary)


def with_path(record: Record, path: str) -> Record:
    return Record(record.received_at, record.method, path, form=record.form)


@pytest.mark.parametrize(("path", "word"), [("/hang-up", "closed"), ("/garbage", "bad_answer")])
def test_what_is_no_answer_is_counted_by_its_word(receiver: str, path: str, word: str) -> None:
    summary = send(receiver + path, 3, concurrency=2)
    assert (summary.errors, summary.by_status, summary.exit_code) == ({word: 3}, {}, 1)


def test_a_closed_port_is_counted_and_not_raised() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    summary = send(f"http://127.0.0.1:{port}/", 3)
    assert (summary.errors, summary.sent, summary.exit_code) == ({"connection_refused": 3}, 0, 1)


def test_a_receiver_that_never_answers_is_given_up_after_the_timeout() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        summary = send(f"http://127.0.0.1:{server.getsockname()[1]}/", 4, concurrency=4, timeout_seconds=0.2)
    assert (summary.errors, summary.sent) == ({"timeout": 4}, 4)  # sent, and nobody knows


def test_a_timeout_is_reported_in_time_though_the_next_callback_is_far_off() -> None:
    def that_is_enough(_: Answer) -> None:
        raise KeyboardInterrupt

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        to = target(f"http://127.0.0.1:{server.getsockname()[1]}/")
        planned = plan(Tape.of_records(numbered(2, gap_seconds=1e6)), Replay())
        summary = replay(planned, to, sign, timeout_seconds=0.1, on_answer=that_is_enough)
    assert (summary.errors, summary.interrupted) == ({"timeout": 1}, True)


@contextmanager
def scripted(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(server,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()
        thread.join()


def test_a_callback_sent_on_a_connection_that_the_receiver_had_given_up_is_sent_again() -> None:
    """What a worker does when it is replaced: it closes idle connections just as the next request comes."""
    got: list[bytes] = []

    def serve(server: socket.socket) -> None:
        first, _ = server.accept()
        first.recv(65536)
        first.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        got.append(first.recv(65536))
        first.close()
        second, _ = server.accept()
        got.append(second.recv(65536))
        second.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        second.close()

    with scripted(serve) as url:
        summary = send(url, 2, concurrency=1)
    assert summary.by_status == {204: 2}
    assert got[0] == got[1] != b""


class Gaps(SteadyTime):
    """Time stands still while an answer is awaited, and whatever else is waited for has passed at once."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.answers: list[Answer] = []

    def now(self) -> float:
        return sum(self.waited)

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> Iterable[selectors.SelectorKey]:
        if len(self.answers) <= len(self.waited):  # one is sent after each gap, and one before the first
            return [key for key, _ in selector.select()]
        self.waited.append(seconds)
        return []


@pytest.mark.parametrize(("speed", "gap_seconds"), [(1, 100_000), (20, 5_000)])
def test_the_gaps_are_waited_for_at_the_speed_that_was_asked_for(
    receiver: str, speed: float, gap_seconds: float
) -> None:
    gaps = Gaps()
    tape = Tape.of_records([with_path(each, "/204") for each in numbered(4, gap_seconds=100_000)])
    planned = plan(tape, Replay(speed=speed))
    summary = replay(planned, target(receiver), sign, on_answer=gaps.answers.append, time_passes=gaps)
    assert gaps.waited == [gap_seconds] * 3
    assert (summary.by_status, summary.seconds) == ({204: 4}, 3 * gap_seconds)


def test_each_answer_is_reported_as_it_comes(receiver: str) -> None:
    answers: list[Answer] = []
    send(receiver + "/500", 5, on_answer=answers.append)
    assert [answer.status for answer in answers] == [500] * 5


@given(st.lists(st.floats(1e-5, 1000), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_percentile_is_right_to_two_percent(seconds: list[float], share: float) -> None:
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    exact = sorted(seconds)[max(0, -int(-len(seconds) * share // 1) - 1)]
    assert exact * 0.999 <= latencies.percentile(share) <= exact * 1.021


def test_no_latencies_are_no_percentile() -> None:
    assert Latencies().percentile(0.99) == 0
    assert str(Summary()) == "0 sent in 0.0 s (0/s)"


@pytest.fixture
def bare_server() -> Iterator[int]:
    """The port of a server in a process of its own that answers 204 and does nothing else."""
    command = [sys.executable, str(LIBRARY.parent / "bench" / "bare_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()


def replay_by_command(recording: Path, port: int, folder: Path) -> tuple[str, int, float]:
    """(what it printed, its exit code, its peak memory in MiB)."""
    options = ["--to", f"http://127.0.0.1:{port}", "--auth-token", "x", "--speed", "max", "--shuffle", "7"]
    command = [sys.executable, "-m", "flask", "recordings", "replay", str(recording), *options]
    printed = folder / "printed.txt"
    with printed.open("w") as output:
        sender = subprocess.Popen(command, env=bare_environment(), cwd=folder, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(sender.pid, 0)
        sender.returncode = os.waitstatus_to_exitcode(status)
    return printed.read_text(), sender.returncode, usage.ru_maxrss / 1024


def test_many_callbacks_replay_in_constant_memory(bare_server: int, tmp_path: Path) -> None:
    """Shuffled, so that each is read from its place in the file, of 10 MB. The index takes 20 bytes for each callback and
    the order 8, while the arrays grow up to twice that: 1 MiB at most. Held as text alone they would take nine.
    """
    [line, *_] = (LIBRARY / "answered.jsonl").read_text().splitlines()
    sid = dict(json.loads(line)["form"])["CallSid"]
    peaks = []
    for count in (1_000, 10_000):
        recording = tmp_path / f"{count}.jsonl"
        with recording.open("w") as file:
            file.writelines(f"{line.replace(sid, f'CA{number:032x}')}\n" for number in range(count))
        printed, exit_code, peak = replay_by_command(recording, bare_server, tmp_path)
        assert exit_code == 0, printed
        assert f"{count} answered 204" in printed
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 5
