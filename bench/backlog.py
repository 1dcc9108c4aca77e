"""100,000 callbacks wait when the worker starts: how fast they are gone, and what deliveries, intake and a fresh call bear.

They are made in bulk, as copies of one that intake itself has stored, of completed calls of known callers. While the worker
is at them, fresh calls go on coming in at a steady pace. Deliveries get a trial of their own, with a full outbox, first with
nothing to fold and then beside callbacks of callers whom nobody knows, which are folded and decided and add nothing to the
outbox. A fresh call's wait is counted in seconds and, since seconds are the machine's, in how many of those that waited
reached the sink before it. 127.0.0.1 only.
"""

from __future__ import annotations

import bisect
import itertools
import math
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from bulk import Sql, settle, sid, wait_drained
from load import Run
from report import Report, asked, compared, options, ratio, say, sides
from rig import Template, caller_of, cpu_seconds, databases, folder, kinds, percentile, random_sid
from stand import (
    STRANGER,
    Stand,
    add,
    converted,
    delivered_pace,
    last_seq,
    milliseconds,
    only_stored,
    paced,
    pending,
    stand,
)

STRANGERS_PER_CONVERSION = 4  # so many more to fold than to send, that the books are kept for as long as is sent


def quiet_intake(stood: Stand, arguments: Namespace) -> Run:
    """With the worker running, and nothing that waits."""
    with stood.worker():
        stood.warm()
        run = paced(
            stood.port, itertools.islice(stood.requests(), int(arguments.rate * arguments.seconds)), arguments.rate
        )
        wait_drained(stood.sql)
    return run


def quiet_deliveries(stood: Stand, arguments: Namespace) -> float:
    """Conversions a second out of a full outbox."""
    add(stood, pending(converted(stood)), arguments.outbox, "quiet")
    settle(stood.sql)
    already = len(stood.journal.look())
    with stood.worker():
        return delivered_pace(stood, already, arguments.outbox, arguments.longest).per_second


def deliveries_beside_books(stood: Stand, arguments: Namespace) -> tuple[float, float]:
    """(conversions delivered, callbacks folded) a second, for as long as there is both to send and to fold."""
    strangers = STRANGERS_PER_CONVERSION * arguments.outbox
    waiting, full = only_stored(stood, STRANGER), pending(converted(stood))
    before = last_seq(stood)
    add(stood, waiting, strangers, "strangers")
    last = last_seq(stood)
    add(stood, full, arguments.outbox, "beside")
    settle(stood.sql)
    left = "SELECT count(*) FROM callbacks WHERE folded = 0 AND seq > ? AND seq <= ?"
    with stood.worker():
        rates = _while_both(stood, lambda: stood.sql.number(left, (before, last)), strangers, arguments)
        wait_drained(stood.sql)
    return rates


def _while_both(stood: Stand, left: Callable[[], int], strangers: int, arguments: Namespace) -> tuple[float, float]:
    already, until = len(stood.journal.look()), time.monotonic() + arguments.longest
    begun: tuple[float, int, int] | None = None
    while True:
        now, sent, folded = time.monotonic(), len(stood.journal.look()) - already, strangers - left()
        if begun is None and sent and folded:
            begun = (now, sent, folded)
        if sent >= arguments.outbox or folded >= strangers or now > until:
            break
        time.sleep(0.05)
    if begun is None:
        return math.nan, math.nan
    return (sent - begun[1]) / (now - begun[0]), (folded - begun[2]) / (now - begun[0])


@dataclass(slots=True)
class Fresh:
    """Calls that come in while others wait: when each was answered 204, and the latencies, once `stop` was called."""

    stood: Stand
    per_second: float
    answered: dict[str, float] = field(default_factory=dict)
    run: Run = field(default_factory=Run)
    failure: BaseException | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._come_in, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join(120)
        if self.failure is not None:
            raise self.failure

    def _come_in(self) -> None:
        try:
            self.run = paced(self.stood.port, self._requests(), self.per_second, self._note)
        except BaseException as failure:
            self.failure = failure

    def _requests(self) -> Iterator[bytes]:
        template = Template.load()
        for number in itertools.takewhile(lambda _: not self._over.is_set(), itertools.count()):
            yield template.request_of(self._sid(number), caller_of(number))

    def _sid(self, number: int) -> str:
        return random_sid(self.stood.name, "fresh", number)

    def _note(self, number: int, at: float) -> None:
        self.answered[self._sid(number)] = at


@dataclass(frozen=True, slots=True)
class Drain:
    """What was seen while those that waited were worked off. Times are monotonic seconds."""

    begun: float
    folded: float
    sent: float
    count: int
    waited: list[float]  # when each of those that waited came to the sink, in order
    cpu_seconds: float
    fresh: Fresh

    def figures(self, stood: Stand) -> dict[str, float]:
        took, waits, passed = self.sent - self.begun, *self._of_fresh(stood.journal.first)
        return {
            "those that waited, folded a second": self.count / (self.folded - self.begun),
            "those that waited, delivered a second": len(self.waited) / took,
            "until the last of them is delivered, s": took if len(self.waited) == self.count else math.nan,
            "worker's share of a core meanwhile": self.cpu_seconds / took,
            "a fresh call waits, p50 s": percentile(waits, 0.5),
            "a fresh call waits, at most s": waits[-1],
            "those that waited sent before it, p50": percentile(passed, 0.5),
            "those that waited sent before it, most": passed[-1],
        }

    def _of_fresh(self, arrived: dict[str, float]) -> tuple[list[float], list[float]]:
        """Seconds from 204 to sink, and how many of those that waited came to the sink in them; both in order of size."""
        waits, passed = [], []
        for name, at in self.fresh.answered.items():
            came = arrived.get(name, time.monotonic())
            waits.append(came - at)
            passed.append(float(bisect.bisect(self.waited, came) - bisect.bisect(self.waited, at)))
        return sorted(waits), sorted(passed)


def drain(stood: Stand, arguments: Namespace) -> Drain:
    """The worker starts on all that waits; fresh calls come in from its first fold on, until the last one is delivered."""
    add(stood, only_stored(stood), arguments.callbacks, "backlog")
    settle(stood.sql)
    names = {sid(f"{stood.name}backlog", number) for number in range(arguments.callbacks)}
    last, fresh = last_seq(stood), Fresh(stood, arguments.rate)
    left = stood.sql.number("SELECT count(*) FROM callbacks WHERE folded = 0")
    with stood.worker() as pid:
        _until(lambda: stood.sql.number("SELECT count(*) FROM callbacks WHERE folded = 0") < left, 60.0)
        begun, cpu = time.monotonic(), cpu_seconds(pid)
        fresh.start()
        until = begun + arguments.longest
        folded = _until(lambda: not _waits(stood.sql, last), until - time.monotonic())
        _until(lambda: names <= stood.journal.look().keys(), until - time.monotonic())
        used = cpu_seconds(pid) - cpu
        fresh.stop()
        _until(lambda: fresh.answered.keys() <= stood.journal.look().keys(), 60.0)
    waited = sorted(at for name, at in stood.journal.look().items() if name in names)
    return Drain(begun, folded, waited[-1] if waited else math.nan, len(names), waited, used, fresh)


def _waits(sql: Sql, last: int) -> bool:
    return bool(sql.rows("SELECT 1 FROM callbacks WHERE folded = 0 AND seq <= ? LIMIT 1", (last,)))


def _until(holds: Callable[[], bool], seconds: float) -> float:
    """When it held; or infinity, once the time was over."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return math.inf
        time.sleep(0.2)
    return time.monotonic()


def measure(stood: Stand, arguments: Namespace) -> dict[str, float]:
    say(f"{stood.name}: quiet intake")
    quiet = quiet_intake(stood, arguments)
    say(f"{stood.name}: deliveries, alone and beside the books")
    alone = quiet_deliveries(stood, arguments)
    beside, folded = deliveries_beside_books(stood, arguments)
    say(f"{stood.name}: {arguments.callbacks:,} callbacks wait")
    drained = drain(stood, arguments)
    calm, meanwhile = milliseconds([quiet], 0.99), milliseconds([drained.fresh.run], 0.99)
    return {
        **drained.figures(stood),
        "deliveries/s with nothing to fold": alone,
        "deliveries/s while the books are kept": beside,
        "share of the rate that is left": ratio(beside, alone),
        "callbacks folded/s meanwhile": folded,
        f"intake at {arguments.rate:g}/s, quiet: p99 ms": calm,
        f"intake at {arguments.rate:g}/s, with the backlog: p99 ms": meanwhile,
        "p99 with the backlog / quiet": ratio(meanwhile, calm),
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--callbacks", type=int, default=100_000, help="that wait, 100 to 1,000,000")
    parser.add_argument("--outbox", type=int, default=8000, help="conversions in the full outbox, at most 100,000")
    parser.add_argument("--rate", type=float, default=100.0, help="fresh calls a second, at most 500")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the quiet intake, at most 60")
    parser.add_argument("--longest", type=float, default=400.0, help="seconds that the worker gets, at most 1800")
    arguments = asked(parser)
    arguments.callbacks = max(100, min(arguments.callbacks, 1_000_000))
    arguments.outbox, arguments.rate = min(arguments.outbox, 100_000), min(arguments.rate, 500.0)
    arguments.seconds, arguments.longest = min(arguments.seconds, 60.0), min(arguments.longest, 1800.0)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        figures = {}
        for side in sides(arguments):
            with ExitStack() as stack:
                place = stack.enter_context(folder(arguments.folder))
                make = stack.enter_context(databases(kind, place))
                figures[side.name] = measure(stack.enter_context(stand(make, place, side)), arguments)
        report.add(compared(f"{kind}: {arguments.callbacks:,} callbacks wait", figures))


if __name__ == "__main__":
    main()
