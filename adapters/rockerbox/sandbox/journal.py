"""What the sandbox kept: each event with what became of it, in bounded memory, and counters that stay exact.

The advertiser id is a credential: it distinguishes accounts and is never kept in clear.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from offhook.adapters.private_file import open_to_append
from offhook.adapters.rockerbox.checks import Reading, fields_of, read
from offhook.adapters.rockerbox.dedupe import Day, DedupeKey, Seen
from offhook.pipeline.machine import machine_time

KEEP_EVENTS = 10_000
KEEP_BYTES = 64_000_000  # of bodies in memory, however few events that is
KEEP_HOURS = 31 * 24


class NotWritten(Exception):
    """The file did not take the event, so it was not kept at all."""


class Verdict(StrEnum):
    """What became of an event that was kept."""

    COUNTED = "counted"
    DUPLICATE = "duplicate"
    NOT_COUNTED = "not_counted"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Event:
    """One POST that was kept, the `number`-th since the start or the last reset.

    `raw` is the body to the byte. `reasons` say why it was not counted. `answered` is what the sender got: a
    status, or the scripted failure. `hour` is the UTC hour it counts for.
    """

    number: int
    arrived_at: datetime
    verdict: Verdict
    reasons: tuple[str, ...]
    raw: bytes
    answered: str
    hour: datetime

    @property
    def body(self) -> str:
        """The text; what is no UTF-8 shows as a replacement character."""
        return self.raw.decode("utf-8", "replace")

    @property
    def fields(self) -> Mapping[str, Any]:
        return fields_of(self.raw)

    def as_json(self) -> dict[str, Any]:
        """Ready for `json.dumps`; `body_base64` is there when the body is no UTF-8 and so not exact as text."""
        fields: dict[str, Any] = {
            "number": self.number,
            "arrived_at": self.arrived_at.isoformat(),
            "verdict": self.verdict,
            "reasons": self.reasons,
            "answered": self.answered,
            "sha256": sha256(self.raw).hexdigest(),
            "body": self.body,
        }
        return (
            fields if self.body.encode() == self.raw else fields | {"body_base64": base64.b64encode(self.raw).decode()}
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """The counters at one moment. `hours` maps a UTC hour to its counts by verdict, `earlier` counts dropped hours.

    `not_kept` counts requests that a scripted failure or a limit kept out, by that failure or status.
    """

    counts: Mapping[Verdict, int]
    hours: Mapping[datetime, Mapping[Verdict, int]]
    earlier: int
    not_kept: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        hours = {f"{hour:%Y-%m-%dT%H:00Z}": dict(counts) for hour, counts in sorted(self.hours.items())}
        return {"counts": self.counts, "hours": hours, "earlier": self.earlier, "not_kept": self.not_kept}


class Journal:
    """Judges and keeps events, in the order of their arrival. Safe for threads.

    `keep` bounds the events in memory, `max_keys` the deduplication keys. `persist` is a file that gets each event as a
    line of JSON before the answer; it holds the bodies in clear and is made readable for its owner alone.
    """

    def __init__(
        self,
        key: DedupeKey,
        *,
        keep: int,
        max_keys: int,
        persist: Path | None,
        clock: Callable[[], datetime] = machine_time,
    ) -> None:
        self.key = key
        self._clock = clock
        self._keep = keep
        self._max_keys = max_keys
        self._changed = threading.Condition()
        self._file = None if persist is None else open_to_append(persist)
        self._start()

    def _start(self) -> None:
        self._number = 0
        self._bytes = 0
        self._events: deque[Event] = deque()
        self._counts: Counter[Verdict] = Counter()
        self._hours: dict[datetime, Counter[Verdict]] = {}
        self._earlier = 0
        self._not_kept: Counter[str] = Counter()
        self._seen = Seen(self._max_keys)

    def reset(self) -> None:
        """Forget events, counters and keys; the file stays as it is."""
        with self._changed:
            self._start()

    def close(self) -> None:
        with self._changed:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def take(self, body: bytes, advertiser: str, answered: str = "") -> Event:
        """Judge one POST and keep it. `answered` is the scripted answer, if any. Raises NotWritten when the file fails."""
        reading = read(body) if advertiser else _without_advertiser(read(body))
        with self._changed:
            now = self._clock()
            moment = now if self.key.day is Day.ARRIVAL else reading.occurred_at or now
            verdict, reasons, mark = self._judge(reading, moment, advertiser)
            answer = answered or ("400" if verdict is Verdict.INVALID else "200")
            hour = moment.replace(minute=0, second=0, microsecond=0)
            event = Event(self._number + 1, now, verdict, reasons, body, answer, hour)
            self._write(event)  # what cannot be written is not kept, so it may come first
            self._remember(event, mark)
            self._changed.notify_all()
        return event

    def _judge(
        self, reading: Reading, moment: datetime, advertiser: str
    ) -> tuple[Verdict, tuple[str, ...], bytes | None]:
        if reading.problems:
            return Verdict.INVALID, reading.problems, None
        missing = self.key.missing(reading.fields)
        if missing:
            return Verdict.NOT_COUNTED, tuple(f"the key needs {name}" for name in missing), None
        mark = self.key.mark(reading.fields, moment, advertiser)
        if mark in self._seen:
            return Verdict.DUPLICATE, (f"the first one with the same {self.key} won",), None
        return Verdict.COUNTED, (), mark

    def _write(self, event: Event) -> None:
        if self._file is not None:
            _append(self._file, json.dumps(event.as_json()).encode() + b"\n")

    def _remember(self, event: Event, mark: bytes | None) -> None:
        if mark is not None:
            self._seen.add(mark)
        self._number = event.number
        self._counts[event.verdict] += 1
        self._hours.setdefault(event.hour, Counter())[event.verdict] += 1
        if len(self._hours) > KEEP_HOURS:
            self._earlier += self._hours.pop(min(self._hours)).total()
        self._events.append(event)
        self._bytes += len(event.raw)
        while len(self._events) > self._keep or self._bytes > KEEP_BYTES:
            self._bytes -= len(self._events.popleft().raw)

    def count_not_kept(self, why: str) -> None:
        with self._changed:
            self._not_kept[why] += 1

    def events(self, last: int | None = None) -> list[Event]:
        """The last events, oldest first."""
        with self._changed:
            every = list(self._events)
        return every if last is None else every[max(len(every) - last, 0) :]

    def summary(self) -> Summary:
        with self._changed:
            counts = {verdict: self._counts[verdict] for verdict in Verdict}
            hours = {hour: dict(counter) for hour, counter in self._hours.items()}
            return Summary(counts, hours, self._earlier, dict(self._not_kept))

    def wait_for(self, count: int, timeout: float, verdict: Verdict | None = None) -> None:
        """Until `count` events were kept, or `count` of a verdict. Raises TimeoutError with what there is after `timeout` s."""
        reached: Callable[[], bool] = lambda: (self._counts[verdict] if verdict else self._number) >= count  # noqa: E731
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                raise TimeoutError(
                    f"{self._number} events after {timeout:g} s instead of {count}: {dict(self._counts)}"
                )


def _without_advertiser(reading: Reading) -> Reading:
    problem = "the query must name the advertiser: /webhook/data?advertiser=ID"
    return Reading(reading.fields, (problem, *reading.problems), reading.occurred_at)


def _append(file: int, line: bytes) -> None:
    """All of the line or nothing of it."""
    before = os.fstat(file).st_size
    try:
        written = os.write(file, line)
    except OSError as error:
        raise NotWritten(f"the event cannot be written to the file: {error.strerror}") from error
    if written < len(line):
        os.ftruncate(file, before)
        raise NotWritten("the event cannot be written to the file: no space is left for it")
