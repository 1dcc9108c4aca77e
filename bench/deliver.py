"""How many conversions one worker delivers: against a sink that takes 100 ms, and against one that answers at once.

The outbox is filled with copies of a call that the service itself has decided. The floor is the client of this code in as
many threads, without a ledger. Versions and floor take turns in short rounds. 127.0.0.1 only.

Asked for: 0.90 of what the threads can send to a sink that takes 100 ms, and 500 a second to one that answers at once.
"""

from __future__ import annotations

import itertools
import threading
import time
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import dataclass, field

from bulk import Specimen, settle
from report import Report, asked, compared, median, options, ratio, say, sides
from rig import cpu_seconds, databases, folder, kinds, sink
from stand import Stand, add, converted, delivered_pace, pending, stand

from offhook.adapters.rockerbox.client import Rockerbox

THREADS = 32
LONGEST_SECONDS = 120.0
PAYLOAD = (
    b'{"email":"caller1@example.com","customer_id":"customer-1","action":"phone_call","order_id":"x","timestamp":"1"}'
)


@dataclass(slots=True)
class Delivering:
    """One version: conversions a second of each of its turns, and the CPU of its worker for each conversion."""

    stood: Stand
    due: Specimen
    rates: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def take_turn(self, count: int) -> None:
        add(self.stood, self.due, count, f"turn{len(self.rates)}")
        settle(self.stood.sql)
        already = len(self.stood.journal.look())
        with self.stood.worker() as pid:
            self.rates.append(delivered_pace(self.stood, already, count, LONGEST_SECONDS).per_second)
            self.milliseconds.append(cpu_seconds(pid) / count * 1000)


def floor(target: str, count: int) -> float:
    """Deliveries a second of the client alone."""
    client, left, guard = Rockerbox(target, "bench"), itertools.count(), threading.Lock()

    def send() -> None:
        while True:
            with guard:
                if next(left) >= count:
                    return
            client.send(PAYLOAD)

    threads = [threading.Thread(target=send) for _ in range(THREADS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    return count / (time.perf_counter() - begun)


def measure(kind: str, delay_seconds: float, count: int, arguments: Namespace) -> dict[str, dict[str, float]]:
    with ExitStack() as stack:
        place = stack.enter_context(folder(arguments.folder))
        make = stack.enter_context(databases(kind, place))
        bare, _ = stack.enter_context(sink(place, delay_seconds))
        every = []
        for side in sides(arguments):
            env = {"OFFHOOK_DELIVERY_THREADS": str(THREADS)}
            stood = stack.enter_context(stand(make, place, side, env=env, delay_seconds=delay_seconds))
            every.append(Delivering(stood, pending(converted(stood))))
        alone = []
        for number in range(arguments.rounds):
            say(f"{kind}, {delay_seconds * 1000:.0f} ms: round {number + 1} of {arguments.rounds}")
            alone.append(floor(bare, count // 2))
            for each in every:
                each.take_turn(count)
        return {each.stood.side.name: figures(each, alone, delay_seconds) for each in every}


def figures(seen: Delivering, alone: list[float], delay_seconds: float) -> dict[str, float]:
    target = THREADS / delay_seconds if delay_seconds else 500.0
    return {
        "deliveries/s": median(seen.rates),
        f"of {target:g}/s": median(seen.rates) / target,
        "of the floor": median(ratio(rate, bare) for rate, bare in zip(seen.rates, alone, strict=True)),
        "worker CPU ms a conversion": median(seen.milliseconds),
        "floor/s": median(alone),
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument(
        "--count", type=int, default=6000, help="conversions a turn for the instant sink, at most 50,000"
    )
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=3, metavar="1-10")
    arguments = asked(parser)
    count = max(1000, min(arguments.count, 50_000))
    report = Report(arguments)
    for kind in kinds(arguments.database):
        for delay_seconds, some in ((0.1, count // 2), (0.0, count)):
            title = f"{kind}: {some:,} conversions a turn, sink answers after {delay_seconds * 1000:.0f} ms, {THREADS} threads"
            report.add(compared(title, measure(kind, delay_seconds, some, arguments)))


if __name__ == "__main__":
    main()
