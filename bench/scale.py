"""An empty ledger beside one with 1,000,000 calls: intake, fold, decide, deliver, /readyz and what people ask for.

The old calls are copies of some that the service itself has stored: converted ones, some of them with legs, callers whom
nobody knows, busy lines, calls that never ended; over 400 days, and a customer for each third of them. Both ledgers stand
beside each other and take turns. 127.0.0.1 only.
"""

from __future__ import annotations

import itertools
import math
import time
import urllib.request
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bulk import DAY, Plan, add_customers, copy, in_bulk, settle, wait_drained
from report import Report, Table, asked, median, options, paired, say, sides
from rig import Maker, databases, folder, kinds, random_sid
from stand import (
    Stand,
    add,
    closed_loop,
    converted,
    delivered_pace,
    folded_pace,
    last_seq,
    milliseconds,
    only_stored,
    paced,
    parked,
    pending,
    skipped,
    stand,
    unended,
    with_legs,
)

CUSTOMERS_FROM = 12_012_000_000
WEIGHTS = {0: 55, 1: 15, 2: 15, 3: 10, 4: 5}  # of a hundred: converted, with legs, parked, skipped, never ended
_COUNTED = ("callbacks", "calls", "conversions", "customers")
Figures = dict[str, list[float]]


def fill(stood: Stand, calls: int) -> None:
    """A past of so many calls."""
    begun = time.monotonic()
    specimens = [converted(stood), with_legs(stood), parked(stood), skipped(stood), unended(stood)]
    customers = max(1, calls // 3)
    with in_bulk(stood.sql):
        add_customers(stood.sql, customers, CUSTOMERS_FROM)
        copy(stood.sql, specimens, Plan("past", calls, WEIGHTS, 400 * DAY, CUSTOMERS_FROM, customers))
    counts = ", ".join(f"{stood.sql.number(f'SELECT count(*) FROM {name}'):,} {name}" for name in _COUNTED)
    say(f"  {stood.name}: {counts} in {time.monotonic() - begun:.0f} s")


def measure_intake(stood: Stand, figures: Figures, arguments: Namespace) -> None:
    """At a steady pace, and as much as it takes; the worker folds and delivers meanwhile."""
    with stood.worker():
        stood.warm()
        count = int(arguments.rate * arguments.seconds)
        steady = paced(stood.port, itertools.islice(stood.requests(), count), arguments.rate)
        wait_drained(stood.sql)
        callbacks = list(itertools.islice(stood.requests(), int(5000 * arguments.seconds)))
        full = closed_loop(stood.port, callbacks, arguments.seconds)
        wait_drained(stood.sql)
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        figures[f"intake at {arguments.rate:g}/s, {name} ms"].append(milliseconds([steady], share))
    figures["intake, callbacks/s"].append(full.rate)
    figures["intake at that rate, p99 ms"].append(milliseconds([full], 0.99))


def measure_fold(stood: Stand, figures: Figures, arguments: Namespace) -> None:
    """Callbacks of calls that have not ended: they are folded, and nothing follows."""
    specimen, seed = only_stored(stood, status="ringing"), f"fold{len(figures['fold, callbacks/s'])}"
    before = last_seq(stood)
    add(stood, specimen, arguments.count, seed)
    with stood.worker():
        seen = folded_pace(stood, before, arguments.count, arguments.longest)
    figures["fold, callbacks/s"].append(seen.per_second)


def measure_all_the_way(stood: Stand, figures: Figures, arguments: Namespace) -> None:
    """Callbacks of completed calls: folded, decided, delivered."""
    name = "fold, decide and deliver, calls/s"
    specimen, seed, already = only_stored(stood), f"way{len(figures[name])}", len(stood.journal.look())
    add(stood, specimen, arguments.count, seed)
    with stood.worker():
        figures[name].append(delivered_pace(stood, already, arguments.count, arguments.longest).per_second)
        wait_drained(stood.sql)


def measure_deliver(stood: Stand, figures: Figures, arguments: Namespace) -> None:
    """Conversions that wait in the outbox: claimed, sent to a sink that answers at once, finished."""
    name = "claim and deliver, conversions/s"
    specimen, seed = pending(converted(stood)), f"due{len(figures[name])}"
    already = len(stood.journal.look())
    add(stood, specimen, arguments.count, seed)
    with stood.worker():
        figures[name].append(delivered_pace(stood, already, arguments.count, arguments.longest).per_second)
        wait_drained(stood.sql)


def measure_questions(stood: Stand, figures: Figures, _arguments: Namespace) -> None:
    """The least of five. Commands count with Python's start and all: the ratio is blunt, the difference says more."""
    nobodys = random_sid("nobody's")
    asked_for: dict[str, Callable[[], object]] = {
        "/readyz, ms": lambda: _ready(stood.port),
        "`conversions show` of a call that never came, ms": lambda: stood.flask(
            "conversions", "show", nobodys, may_fail=True
        ),
        "`conversions list`, ms": lambda: stood.flask("conversions", "list"),
    }
    for name, ask in asked_for.items():
        figures[name].append(min(_took(ask) for _ in range(5)))


def _ready(port: int) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30).close()


def _took(ask: Callable[[], object]) -> float:
    begun = time.perf_counter()
    try:
        ask()
    except OSError:  # a 503: it did not answer in its own time
        return math.inf
    return (time.perf_counter() - begun) * 1000


MEASURES = (measure_intake, measure_fold, measure_all_the_way, measure_deliver, measure_questions)


def play(stands: list[Stand], arguments: Namespace) -> dict[str, dict[str, float]]:
    """Medians of the rounds, by stand and figure."""
    figures: dict[str, Figures] = {stood.name: defaultdict(list) for stood in stands}
    for number in range(arguments.rounds):
        for measure in MEASURES:
            say(f"round {number + 1} of {arguments.rounds}: {measure.__name__.removeprefix('measure_')}")
            for stood in stands:
                settle(stood.sql, statistics=number == 0 and measure is MEASURES[0])
                measure(stood, figures[stood.name], arguments)
    return {name: {figure: median(values) for figure, values in known.items()} for name, known in figures.items()}


def table(kind: str, arguments: Namespace, figures: dict[str, dict[str, float]]) -> Table:
    """For each version: the empty ledger, the full one, and the ratio of the two."""
    pairs = {}
    for side in sides(arguments):
        empty, full = (figures[f"{side.name or 'code'}_{name}"] for name in ("empty", "full"))
        pairs[side.name] = {name: (empty[name], full[name]) for name in empty}
    return paired(f"{kind}: an empty ledger beside one with {arguments.calls:,} calls", ("empty", "full"), pairs)


def measure(kind: str, make: Maker, place: Path, arguments: Namespace) -> Table:
    with ExitStack() as stack:
        stands: list[Stand] = []
        for side in sides(arguments):
            for name in ("empty", "full"):
                made = stand(make, place, side, name, env={"OFFHOOK_READY_CACHE_SECONDS": "0"})
                stands.append(stack.enter_context(made))
        for stood in stands:
            if stood.name.endswith("full"):
                say(f"{kind}: {stood.name} is filled with {arguments.calls:,} calls")
                fill(stood, arguments.calls)
        return table(kind, arguments, play(stands, arguments))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000, help="in the full ledger, 100 to 10,000,000")
    parser.add_argument("--rounds", type=int, choices=range(1, 6), default=2, metavar="1-5")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run of intake, at most 30")
    parser.add_argument("--rate", type=float, default=200.0, help="callbacks a second of the steady pace, at most 1000")
    parser.add_argument("--count", type=int, default=5000, help="callbacks or conversions that wait, at most 100,000")
    parser.add_argument(
        "--longest", type=float, default=60.0, help="seconds that the worker gets for these, at most 600"
    )
    arguments = asked(parser)
    arguments.calls = max(100, min(arguments.calls, 10_000_000))
    arguments.seconds, arguments.rate = min(arguments.seconds, 30.0), min(arguments.rate, 1000.0)
    arguments.count, arguments.longest = min(arguments.count, 100_000), min(arguments.longest, 600.0)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        with folder(arguments.folder) as place, databases(kind, place) as make:
            report.add(measure(kind, make, place, arguments))


if __name__ == "__main__":
    main()
