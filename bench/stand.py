"""A ledger of one version of the service with all that stands around it: a sink, customers, web and worker when wanted.

What is measured on it is somebody else's affair; here are the moves that several benches make.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from bulk import Plan, Specimen, Sql, copy, specimen, wait_drained
from load import Connections, Run
from report import Side
from rig import Journal, Maker, Template, caller_of, flask, percentile, random_sid, sink, web, worker, write_mapping

CONNECTIONS = 32
STRANGER = "+13012009999"  # a caller whom the mapping does not know
_PENDING = {
    "state": "pending",
    "reason": "new",
    "fence": 0,
    "attempts": 0,
    "expired_leases": 0,
    "maybe_sent": 0,
    "lease_until": None,
    "first_attempt_at": None,
    "delivered_at": None,
}


@dataclass(slots=True)
class Stand:
    """`port` and `pid` are those of the web process, 0 while there is none."""

    name: str
    side: Side
    place: Path
    env: dict[str, str]
    sql: Sql
    journal: Journal
    port: int = 0
    pid: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)
    template: Template = field(default_factory=Template.load)

    def requests(self) -> Iterator[bytes]:
        """Signed callbacks of completed calls of known callers, each of a call of its own, for ever."""
        for number in self.numbers:
            yield self.template.request_of(self.sid(number), caller_of(number))

    def sid(self, number: int) -> str:
        """The CallSid of the request that was the `number`th."""
        return random_sid(self.name, number)

    def flask(self, *words: str, may_fail: bool = False) -> str:
        return flask(self.env, *words, code=self.side.code, may_fail=may_fail)

    def warm(self) -> None:
        """Some callbacks all the way, uncounted: the worker has started, connections are open, statements are known."""
        closed_loop(self.port, itertools.islice(self.requests(), 300), 5.0)
        wait_drained(self.sql)

    @contextmanager
    def worker(self) -> Iterator[int]:
        """`flask worker` in a process of its own; gives its pid."""
        with worker(self.env, self.place, self.side.code) as pid:
            yield pid


@contextmanager
def stand(
    make: Maker,
    place: Path,
    side: Side,
    name: str = "",
    *,
    env: Mapping[str, str] = MappingProxyType({}),
    delay_seconds: float = 0.0,
) -> Iterator[Stand]:
    """An empty ledger with the mapping, a sink that answers after so long, and a web process."""
    label = f"{side.name or 'code'}_{name}".rstrip("_")
    inner = place / label
    inner.mkdir(mode=0o755, exist_ok=True)
    with ExitStack() as stack:
        url = make(label, side.code)
        target, path = stack.enter_context(sink(inner, delay_seconds))
        known = {"DATABASE_URL": url, "ROCKERBOX_URL": target, "OFFHOOK_SETTLE_SECONDS": "0", **env}
        write_mapping(inner / "customers.csv")
        flask(known, "customers", "import", str(inner / "customers.csv"), code=side.code)
        sql = Sql(url)
        stack.callback(sql.close)
        made = Stand(label, side, inner, known, sql, Journal(path))
        made.port, made.pid = stack.enter_context(web(known, inner, code=side.code))
        yield made


def closed_loop(port: int, requests: Iterable[bytes], seconds: float, connections: int = CONNECTIONS) -> Run:
    """As many as the server takes."""
    clients = Connections(port, connections)
    try:
        return clients.closed_loop(requests, seconds)
    finally:
        clients.close()


def paced(
    port: int,
    requests: Iterable[bytes],
    per_second: float,
    answered: Callable[[int, float], None] = lambda _number, _at: None,
) -> Run:
    """At a steady pace, until the requests end."""
    clients = Connections(port, CONNECTIONS)
    try:
        return clients.paced(requests, per_second, answered)
    finally:
        clients.close()


def milliseconds(runs: Iterable[Run], share: float) -> float:
    """A percentile of the latencies of several runs together."""
    return percentile(sorted(wait * 1000 for run in runs for wait in run.latencies), share)


# Calls as the service has stored them


def converted(stood: Stand) -> Specimen:
    """A completed call of a known caller: decided and delivered."""
    return _lived_through(stood, "converted", [Template.load()])


def parked(stood: Stand) -> Specimen:
    """A completed call of somebody unknown."""
    return replace(_lived_through(stood, "parked", [Template.load()], caller=STRANGER), is_strangers=True)


def skipped(stood: Stand) -> Specimen:
    """A call that found the line busy."""
    return _lived_through(stood, "skipped", [Template.load(CallStatus="busy", CallDuration="0")])


def unended(stood: Stand) -> Specimen:
    """A call that rang, and of which no later callback came."""
    return _lived_through(stood, "open", [Template.load(CallStatus="ringing")])


def with_legs(stood: Stand) -> Specimen:
    """A completed call with a child leg that sent callbacks from its start on: five callbacks, delivered."""
    child = [
        _child(status, number) for number, status in enumerate(("initiated", "ringing", "in-progress", "completed"))
    ]
    return _lived_through(stood, "converted", [*child, Template.load()])


def _child(status: str, number: int) -> Template:
    return Template.load(
        ParentCallSid="{parent}", Direction="outbound-dial", CallStatus=status, SequenceNumber=str(number)
    )


def _lived_through(stood: Stand, state: str, callbacks: list[Template], caller: str = caller_of(1)) -> Specimen:
    """Stored, folded, decided and, where it is a conversion, delivered. A template with a parent is one of the child leg."""
    number = next(stood.numbers)
    root, child = random_sid(stood.name, "specimen", number), random_sid(stood.name, "child", number)
    requests = [
        each.request_of(child, caller, root) if "{parent}" in each.body else each.request_of(root, caller)
        for each in callbacks
    ]
    closed_loop(stood.port, requests, 30.0, connections=1)
    with stood.worker():
        if not wait_drained(stood.sql):
            raise RuntimeError(f"the worker did not get done with one call that should be {state}")
    found = specimen(stood.sql, (root, child) if len(callbacks) > 1 else (root,), caller)
    if (is_state := found.rows["calls"][0]["state"]) != state:
        raise RuntimeError(f"a call that should be {state} is {is_state}")
    return found


def only_stored(stood: Stand, caller: str = caller_of(1), status: str = "completed") -> Specimen:
    """A callback that intake has stored and no worker has seen: no worker may run. The callback is taken out again."""
    sid = random_sid(stood.name, caller, status)
    closed_loop(stood.port, [Template.load(CallStatus=status).request_of(sid, caller)], 30.0, connections=1)
    found = specimen(stood.sql, (sid,), caller)
    stood.sql.rows("DELETE FROM callbacks WHERE call_sid = ?", (sid,))
    return replace(found, is_strangers=caller == STRANGER)


def pending(delivered: Specimen) -> Specimen:
    """The same call before its conversion was first tried."""
    due = delivered.rows["conversions"][0]["created_at"]
    return delivered.without("attempts").altered("conversions", **_PENDING, due_at=due)


# Work that waits, and how fast it goes


def add(stood: Stand, one: Specimen, count: int, seed: str) -> None:
    """Copies of one specimen, whose CallSids are `bulk.sid(stood.name + seed, number)`."""
    copy(stood.sql, [one], Plan(f"{stood.name}{seed}", count))


@dataclass(frozen=True, slots=True)
class Pace:
    """What was seen of work that got done: how many a second, how many in all, and how long that took."""

    per_second: float
    done: int
    seconds: float


def pace(done: Callable[[], int], total: int, seconds: float, look_seconds: float = 0.02) -> Pace:
    """Watch until `total` is done or the time is over. The clock starts once the first has been done: no start-up counts."""
    until = time.monotonic() + seconds
    first: tuple[float, int] | None = None
    while time.monotonic() < until:
        count = done()
        if first is None and count:
            first = (time.monotonic(), count)
        if count >= total:
            break
        time.sleep(look_seconds)
    if first is None:
        return Pace(0.0, 0, seconds)
    took = max(time.monotonic() - first[0], 1e-9)
    return Pace((count - first[1]) / took, count, took)


def folded_pace(stood: Stand, after_seq: int, total: int, seconds: float) -> Pace:
    """How fast the callbacks with a greater number than `after_seq` are folded."""
    left = "SELECT count(*) FROM callbacks WHERE folded = 0 AND seq > ?"
    return pace(lambda: total - stood.sql.number(left, (after_seq,)), total, seconds)


def delivered_pace(stood: Stand, already: int, total: int, seconds: float) -> Pace:
    """How fast conversions come to the sink, of which `already` have come before. By the sink's own clock."""
    seen = pace(lambda: len(stood.journal.look()) - already, total, seconds)
    times = list(stood.journal.first.values())[already:]
    return Pace((len(times) - 1) / (times[-1] - times[0]), len(times), seen.seconds) if len(times) > 1 else seen


def last_seq(stood: Stand) -> int:
    return stood.sql.number("SELECT max(seq) FROM callbacks")
