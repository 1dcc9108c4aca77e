"""Recorded callbacks sent again: first planned (pure but for reading the file), then signed anew and sent.

Never sends beyond this machine unless asked to, and keeps of a callback only what counts: memory does not grow with it.
"""

from __future__ import annotations

import ipaddress
import json
import math
import random
import re
import socket
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import blake2s
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from offhook.adapters.recordings.format import (
    Record,
    ascii_target,
    body_of,
    numbered_lines,
    parameters,
    parse,
    with_parameters,
)
from offhook.adapters.recordings.sending import STEADY, Answer, Connections, Endpoint, SteadyTime
from offhook.adapters.twilio.signature import Signer
from offhook.adapters.twilio.spelling import (
    ACCOUNT_NAMES,
    TOKEN_HEADER,
    Pairs,
    is_in_query,
    is_iso,
    parsed_time,
    with_body_hash,
    without_body_hash,
)
from offhook.pipeline.arrival import CALLBACK_PATH
from offhook.pipeline.sids import CALL, CALL_SID


@dataclass(frozen=True, slots=True)
class Replay:
    """How to send a recording again.

    `speed` divides the recorded gaps; None sends as fast as it can. `shuffle` is the seed of another order: the moments
    stay, the callbacks change places. Each callback is sent `duplicate` times, and each sending is left out with the
    probability `drop`; `seed` decides which. With `shift_to` the recording is moved in time (`received_at` and Twilio's
    Timestamp) such that its last callback is as old as it will be when sent. `new_sids`, any bytes, gives every call a
    new CallSid, the same one for the same bytes. `account_sid` puts another account in.
    """

    speed: float | None = 1.0
    shuffle: int | None = None
    duplicate: int = 1
    drop: float = 0.0
    seed: int = 0
    shift_to: datetime | None = None
    new_sids: bytes | None = None
    account_sid: str = ""

    def __post_init__(self) -> None:
        if self.speed is not None and not (0 < self.speed < math.inf):
            raise ValueError("speed must be more than 0, such as 20")
        if self.duplicate < 1:
            raise ValueError("duplicate must be 1 or more: how often each callback is sent")
        if not 0 <= self.drop < 1:
            raise ValueError("drop must be a probability from 0 to below 1, such as 0.05")


class Tape:
    """Records by number. Of a file it holds no more than where each line begins and when it was received: some 40 bytes each."""

    def __init__(self, seconds: Iterable[float], read: Callable[[int], Record]) -> None:
        self._seconds = array("d", seconds)
        self.read = read

    def __len__(self) -> int:
        return len(self._seconds)

    @classmethod
    def of_records(cls, records: Iterable[Record]) -> Tape:
        kept = tuple(records)
        return cls((each.received_at.timestamp() for each in kept), kept.__getitem__)

    @classmethod
    def of_files(cls, paths: Sequence[Path]) -> Tape:
        """The files one after the other. Reads all of them once, so that a mistake is found before anything is sent.

        Raises RecordingError.
        """
        seconds, offsets, sources = array("d"), array("q"), array("i")
        for source, path in enumerate(paths):
            for offset, line, place in numbered_lines(path):
                seconds.append(parse(line, place).received_at.timestamp())
                offsets.append(offset)
                sources.append(source)
        return cls(seconds, _Lines(paths, offsets, sources))

    def moments(self) -> array[float]:
        """Seconds after the first at which each was received. Where time goes backwards in the file it stands still."""
        moments, last, total = array("d"), None, 0.0
        for second in self._seconds:
            total += max(0.0, second - last) if last is not None else 0.0
            moments.append(total)
            last = second
        return moments

    def latest(self) -> float:
        return max(self._seconds, default=0.0)


class _Lines:
    """Reads single lines of some files, each of which stays open."""

    def __init__(self, paths: Sequence[Path], offsets: array[int], sources: array[int]) -> None:
        self._files = [path.open("rb") for path in paths]
        self._paths, self._offsets, self._sources = paths, offsets, sources

    def __call__(self, number: int) -> Record:
        source, offset = self._sources[number], self._offsets[number]
        file = self._files[source]
        if file.tell() != offset:
            file.seek(offset)
        return parse(file.readline(), f"{self._paths[source]}, byte {offset}")


class Planned(NamedTuple):
    """What to send and when, in seconds after the start."""

    delay_seconds: float
    record: Record


def plan(tape: Tape, options: Replay) -> Iterator[Planned]:
    """What a replay sends, in order. The same tape and options give the same plan (but for `shift_to`)."""
    moments = tape.moments()
    draw = random.Random(options.seed)
    change = _changes(options, tape.latest(), moments[-1] if moments else 0.0)
    order = _order(len(tape) * options.duplicate, options.shuffle)
    for slot, place in enumerate(order):
        if options.drop and draw.random() < options.drop:
            continue
        delay = moments[slot // options.duplicate] / options.speed if options.speed else 0.0
        yield Planned(delay, change(tape.read(place // options.duplicate)))


def _order(count: int, seed: int | None) -> Sequence[int]:
    if seed is None:
        return range(count)
    order = array("q", range(count))
    random.Random(seed).shuffle(order)
    return order


Change = Callable[[Record], Record]


def _changes(options: Replay, latest: float, length_seconds: float) -> Change:
    changes: list[Change] = []
    if options.shift_to is not None:
        played = length_seconds / options.speed if options.speed else 0.0
        by = options.shift_to - datetime.fromtimestamp(latest, UTC) + timedelta(seconds=played)
        changes.append(lambda record: shifted(record, by))
    if options.new_sids is not None:
        key = blake2s(options.new_sids).digest()
        changes.append(lambda record: with_new_sids(record, key))
    if options.account_sid:
        changes.append(lambda record: of_account(record, options.account_sid))

    def change(record: Record) -> Record:
        for each in changes:
            record = each(record)
        return record

    return change


def shifted(record: Record, by: timedelta) -> Record:
    """The record as if it had come earlier or later: `received_at`, and the parameter Timestamp where it can be read."""

    def later(name: str, value: str) -> str:
        return _later(value, by) if name in ("Timestamp", "timestamp", "time", "requestDateCreated") else value

    return replace(_with_values(record, later), received_at=record.received_at + by)


def _later(text: str, by: timedelta) -> str:
    parsed = parsed_time(text)
    if parsed is None:  # as it came
        return text
    try:
        later = parsed + by
        if is_iso(text):
            return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return format_datetime(later)
    except (ValueError, OverflowError):  # no calendar has it: as it came
        return text


_CALL_SID = re.compile(CALL_SID)
_CALL_SID_NAMES = frozenset({"CallSid", "ParentCallSid"})


def with_new_sids(record: Record, key: bytes) -> Record:
    """The record as one of other calls. The same key and the same old SID make the same new SID, so families stay."""

    def renew(old: str) -> str:
        return f"{CALL}{blake2s(old.encode(), key=key, digest_size=16).hexdigest()}"

    def renewed(name: str, value: str) -> str:
        if name in _CALL_SID_NAMES and value:
            return renew(value)
        return _CALL_SID.sub(lambda found: renew(found[0]), value) if CALL in value else value

    def other_event(name: str, value: str) -> str:
        if name == "id":  # it distinguishes events
            return f"NO{blake2s(value.encode(), key=key, digest_size=16).hexdigest()}"
        return renewed(name, value)

    token = blake2s(json.dumps(record.headers).encode(), key=key, digest_size=16).hexdigest()
    headers = tuple((name, token if name == TOKEN_HEADER else value) for name, value in record.headers)
    return replace(_with_values(record, renewed if record.json is None else other_event), headers=headers)


def of_account(record: Record, account_sid: str) -> Record:
    """The record as one of another account's."""
    return _with_values(record, lambda name, value: account_sid if name in ACCOUNT_NAMES and value else value)


def _with_values(record: Record, change: Callable[[str, str], str]) -> Record:
    """The record with `change(name, value)` for each parameter, or for each string of a JSON body."""
    if record.json is not None:
        value = json.loads(record.json)
        return replace(record, json=json.dumps(_in_json("", value, change), ensure_ascii=False))
    return with_parameters(record, tuple([(name, change(name, value)) for name, value in parameters(record)]))


def _in_json(name: str, value: Any, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return change(name, value)
    if isinstance(value, list):
        return [_in_json(name, each, change) for each in value]
    if isinstance(value, dict):
        return {key: _in_json(key, each, change) for key, each in value.items()}
    return value


class RemoteTarget(ValueError):
    """The target is not on this machine, and nobody said that it may be elsewhere."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a replay goes.

    `url` with a path: that path takes the recorded one's place; without: the recorded path is kept. Recorded queries
    are kept in any case. `base` is what the receiver believes to be called by, without path; `signed_path` and
    `signed_query` are those of an address that was given for signing.
    """

    endpoint: Endpoint
    base: str
    path: str
    query: str
    signed_path: str = ""
    signed_query: str = ""

    def of(self, record: Record) -> str:
        """The request target for a record, with the hash of a JSON body as Twilio adds it."""
        path, _, recorded = without_body_hash(record.path_and_query).partition("?")
        query = "&".join(filter(None, (self.query, recorded)))
        asked = f"{self.path or path}?{query}" if query else self.path or path
        return with_body_hash(asked, record.json.encode()) if record.json is not None else asked

    def signed_url(self, path_and_query: str) -> str:
        """The URL that Twilio would have signed for this request target.

        An address with a path is a whole one where it ends as the target does; else it goes before the target, as
        Offhook's PUBLIC_URL does.
        """
        path, _, query = path_and_query.partition("?")
        is_whole = path.strip("/") and f"{self.signed_path.rstrip('/')}/".endswith(f"{path.rstrip('/')}/")
        signed = self.signed_path if is_whole else f"{self.signed_path.rstrip('/')}{path}"
        query = query or (self.signed_query if is_whole else "")
        return f"{self.base}{signed}?{query}" if query else f"{self.base}{signed}"


def target(url: str, *, yes_remote: bool = False, signed_for: str = "", public_url: str = "") -> Target:
    """The target that `url` names, looked up once.

    `signed_for` is the receiver's public address, up to its path or with it. Without one it is `public_url` where the
    target is this machine, else `url`'s own. Raises RemoteTarget, and ValueError for what is no URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no URL to send to; write it as http://127.0.0.1:8000{CALLBACK_PATH}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = tuple(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(parts.hostname, port)))
    except OSError as error:
        raise ValueError(f"the host {parts.hostname} is not known ({error}); correct the URL") from None
    if not yes_remote and not is_this_machine(addresses):
        raise RemoteTarget(
            f"{parts.hostname} is not this machine. A replay sends its receiver calls that never were; "
            "if you mean it, add --yes-remote"
        )
    host = parts.netloc.rpartition("@")[2]
    path = ascii_target(parts.path) if parts.path not in ("", "/") else ""
    endpoint = Endpoint(addresses, port, host, parts.hostname if parts.scheme == "https" else "")
    given = signed_for or (public_url if is_this_machine(addresses) else "") or f"{parts.scheme}://{host}"
    return Target(endpoint, *_address(given, path, ascii_target(f"/?{parts.query}")[2:]))


def _address(text: str, path: str, query: str) -> tuple[str, str, str, str, str]:
    """(base, path, query, path for signing, query for signing) with what is sent in between. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{text!r} is no address to sign for; write it as https://calls.example.com")
    signed = ascii_target(parts.path) if parts.path not in ("", "/") else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", path, query, signed, parts.query


def is_this_machine(addresses: Iterable[str]) -> bool:
    """True when none of the addresses leads elsewhere: a name may have several."""
    return all(map(_is_loopback, addresses))


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


class Request(NamedTuple):
    """A request as it goes out, but for its Host header. `target` is the request target: path and query."""

    method: str
    target: str
    headers: Pairs
    body: bytes


def signed_request(record: Record, to: Target, sign: Signer) -> Request:
    """The record as a request, signed for the target."""
    body, content_type = body_of(record)
    path_and_query = to.of(record)
    headers = dict(record.headers)
    headers.pop("Content-Type", None)
    headers |= sign(to.signed_url(path_and_query), record.form or (), record.signing)
    if not is_in_query(record.method):
        headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    return Request(record.method, path_and_query, tuple(headers.items()), body)


def request_bytes(record: Record, to: Target, sign: Signer) -> bytes:
    """The whole request, signed for the target."""
    method, path_and_query, headers, body = signed_request(record, to, sign)
    lines = [f"{method} {path_and_query} HTTP/1.1", f"Host: {to.endpoint.host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join((*lines, "", "")).encode("latin-1", "replace") + body


class Latencies:
    """Durations in a histogram of fixed size: buckets of 2 %, from 10 microseconds to three hours."""

    _FIRST, _STEP, _COUNT = 1e-5, math.log(1.02), 1050

    def __init__(self) -> None:
        self._counts = array("q", bytes(8 * self._COUNT))
        self.total = 0

    def add(self, seconds: float) -> None:
        place = int(math.log(seconds / self._FIRST) / self._STEP) if seconds > self._FIRST else 0
        self._counts[min(place, self._COUNT - 1)] += 1
        self.total += 1

    def percentile(self, share: float) -> float:
        """Seconds within which `share` (0.95) of them fell, no more than 2 % too much; 0 when there are none."""
        needed, seen = math.ceil(self.total * share), 0
        for place, count in enumerate(self._counts):
            seen += count
            if count and seen >= needed:
                return float(self._FIRST * math.exp((place + 1) * self._STEP))
        return 0.0


_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(slots=True)
class Summary:
    """What became of a replay. `errors` counts by their word what got no answer, `unsent` those of them that found nobody to
    connect to; `interrupted` when somebody ended it.
    """

    by_status: dict[int, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    unsent: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def sent(self) -> int:
        """How many went out, answered or not."""
        return sum(self.by_status.values()) + sum(self.errors.values()) - self.unsent

    @property
    def refused(self) -> int:
        """Answers that were no 2xx."""
        return sum(count for status, count in self.by_status.items() if not 200 <= status < 300)

    @property
    def exit_code(self) -> int:
        """1 when something was refused or not answered, 130 (as shells have it) when it was interrupted."""
        return 130 if self.interrupted else int(bool(self.refused or self.errors))

    @property
    def rate(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0

    def add(self, answer: Answer) -> None:
        if answer.status is None:
            self.errors[answer.error] = self.errors.get(answer.error, 0) + 1
            self.unsent += not answer.sent
            return
        self.by_status[answer.status] = self.by_status.get(answer.status, 0) + 1
        self.latencies.add(answer.seconds)

    def as_record(self) -> dict[str, object]:
        """All of it, as JSON has it; a latency is None where nothing was answered."""
        counts = {"sent": self.sent, "by_status": dict(sorted(self.by_status.items())), "errors": self.errors}
        pace = {"interrupted": self.interrupted, "seconds": round(self.seconds, 3), "per_second": round(self.rate, 1)}
        found = self._percentiles() if self.latencies.total else {}
        return {**counts, **pace, **{f"{name}_ms": found.get(name) for name in _PERCENTILES}}

    def _percentiles(self) -> dict[str, float]:
        """In milliseconds."""
        return {name: round(1000 * self.latencies.percentile(share), 1) for name, share in _PERCENTILES.items()}

    def __str__(self) -> str:
        ended = ", then interrupted" if self.interrupted else ""
        lines = [f"{self.sent} sent in {self.seconds:.1f} s ({self.rate:.0f}/s){ended}"]
        lines += [f"{count} answered {status}" for status, count in sorted(self.by_status.items())]
        lines += [f"{count} without an answer: {word}" for word, count in sorted(self.errors.items())]
        if self.latencies.total:
            lines.append(", ".join(f"{name} {value:.1f} ms" for name, value in self._percentiles().items()))
        return "\n".join(lines)


def replay(
    planned: Iterable[Planned],
    to: Target,
    sign: Signer,
    *,
    concurrency: int = 8,
    timeout_seconds: float = 15.0,
    on_answer: Callable[[Answer], None] | None = None,
    time_passes: SteadyTime = STEADY,
) -> Summary:
    """Send what was planned over `concurrency` connections that stay open; at most so many callbacks are under way.

    One that is due while all are busy waits for the next free one. `on_answer` is called for each that is done with.
    Does not raise for what the receiver does, nor for Ctrl-C. Twilio itself gives up after 15 s, hence `timeout_seconds`.
    """
    summary = Summary()

    def take(answer: Answer) -> None:
        summary.add(answer)
        if on_answer:
            on_answer(answer)

    connections = Connections(to.endpoint, concurrency, timeout_seconds, take, time_passes)
    start = time_passes.now()
    try:
        for delay_seconds, record in planned:
            connections.wait(start + delay_seconds)
            connections.send(request_bytes(record, to, sign))
        connections.finish()
    except KeyboardInterrupt:  # at the recorded pace it may take a day: what was sent so far is worth showing
        summary.interrupted = True
    finally:
        connections.close()
    summary.seconds = time_passes.now() - start
    return summary
