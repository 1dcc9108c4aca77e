"""Durable intake against the floor: the same gunicorn, configuration, verification and parsing, then 204 without keeping it.

What is kept is kept while the worker folds, decides and delivers to a sink all the while, each call with a CallSid as
Twilio's are. Floor and store take turns in short rounds, so that whatever else the machine does meets both; the worker has
got done before the floor has its turn. Beside them stand two apps that people write by hand. 127.0.0.1 only.

Asked for: 0.60 of the floor or more, and a p99 of 50 ms or less.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bulk import wait_drained
from load import Run
from report import Report, Row, Side, Table, asked, options, say, sides
from rig import ROOT, Template, caller_of, cpu_seconds, databases, folder, kinds, random_sid, sink, web
from stand import Stand, closed_loop, milliseconds, stand

HEADER = (
    "",
    "requests/s",
    "of the floor",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "server CPU ms",
    "folded meanwhile/s",
    "delivered meanwhile/s",
)
_BY_HAND = (
    ("bare", "Flask and Twilio's validator by hand: verified, lost with the process"),
    ("inline", "the same, which posts to a destination of 100 ms before it answers"),
)


@dataclass(slots=True)
class Turn:
    """One server that takes its turn in each round: its runs, and its own CPU seconds in them.

    `stood` is the ledger where it keeps what comes; without one it keeps nothing. `floor` is the turn it is compared with.
    """

    name: str
    port: int
    pid: int
    stood: Stand | None = None
    floor: Turn | None = None
    runs: list[Run] = field(default_factory=list)
    cpu: float = 0.0
    folded: float = 0.0
    delivered: float = 0.0

    def row(self) -> Row:
        waits = [milliseconds(self.runs, share) for share in (0.5, 0.95, 0.99)]
        rate = statistics.median(run.rate for run in self.runs)
        seconds, count = sum(run.seconds for run in self.runs), sum(len(run.latencies) for run in self.runs)
        meanwhile = [self.folded / seconds, self.delivered / seconds] if self.stood else [math.nan, math.nan]
        return [self.name, rate, self.of_floor(), *waits, self.cpu * 1000 / max(1, count), *meanwhile]

    def of_floor(self) -> float:
        """The median of the rounds' own ratios."""
        floor = self.floor or self
        return statistics.median(mine.rate / bare.rate for mine, bare in zip(self.runs, floor.runs, strict=True))


def take_turn(turn: Turn, requests: Callable[[float], list[bytes]], seconds: float) -> None:
    callbacks = requests(seconds)
    before, booked = cpu_seconds(turn.pid), _booked(turn)
    run = closed_loop(turn.port, callbacks, seconds)
    turn.runs.append(run)
    turn.cpu += cpu_seconds(turn.pid) - before
    after = _booked(turn)
    turn.folded += after[0] + len(run.latencies) - booked[0]
    turn.delivered += after[1] - booked[1]
    if turn.stood and not wait_drained(turn.stood.sql):
        raise RuntimeError("the worker did not get done; the next round would say nothing")


def _booked(turn: Turn) -> tuple[int, int]:
    """(less one for each callback that waits to be folded, one more for each that came to the sink)"""
    if turn.stood is None:
        return 0, 0
    waiting = turn.stood.sql.number("SELECT count(*) FROM callbacks WHERE folded = 0")
    return -waiting, len(turn.stood.journal.look())


def turns_of(stack: ExitStack, side: Side, stood: Stand) -> list[Turn]:
    """The floor of one version, and the version itself with its worker running."""
    bare = stack.enter_context(web(stood.env, stood.place, "bench.floor_app:app()", side.code))
    stack.enter_context(stood.worker())
    floor = Turn(f"{side.name} floor".strip(), *bare)
    return [floor, Turn(f"{side.name} stored, worker running".strip(), stood.port, stood.pid, stood, floor)]


def by_hand(stack: ExitStack, place: Path, env: dict[str, str], floor: Turn) -> list[Turn]:
    slow, _ = stack.enter_context(sink(place, 0.1))
    turns = []
    for name, title in _BY_HAND:
        inner = place / name
        inner.mkdir(mode=0o755)
        app = f"bench.by_hand:{name}()"
        turns.append(Turn(title, *stack.enter_context(web({**env, "BENCH_SINK": slow}, inner, app, ROOT)), None, floor))
    return turns


def compare(kind: str, processes: int, threads: int, arguments: argparse.Namespace) -> Table:
    """One table: all that take turns, on one database, with one number of processes and threads."""
    env = {"WEB_CONCURRENCY": str(processes), "OFFHOOK_WEB_THREADS": str(threads)}
    numbers, template = itertools.count(), Template.load()

    def requests(seconds: float) -> list[bytes]:
        some = itertools.islice(numbers, int(seconds * arguments.most_per_second))
        return [template.request_of(random_sid(kind, number), caller_of(number)) for number in some]

    with ExitStack() as stack:
        place = stack.enter_context(folder(arguments.folder))
        make = stack.enter_context(databases(kind, place))
        turns: list[Turn] = []
        for side in sides(arguments):
            turns += turns_of(stack, side, stack.enter_context(stand(make, place, side, env=env)))
        if not arguments.no_by_hand:
            turns += by_hand(stack, place, env, turns[-2])
        play(turns, requests, arguments)
    title = f"{kind}: WEB_CONCURRENCY={processes} OFFHOOK_WEB_THREADS={threads}, {arguments.rounds} rounds of {arguments.seconds:g} s"
    return Table(f"{title}, 32 connections", HEADER, [turn.row() for turn in turns])


def play(turns: list[Turn], requests: Callable[[float], list[bytes]], arguments: argparse.Namespace) -> None:
    """A short turn for each to get warm, and the rounds."""
    for turn in turns:
        take_turn(turn, requests, 1.0)
        turn.runs.clear()
        turn.cpu = turn.folded = turn.delivered = 0.0
    for number in range(arguments.rounds):
        say(f"round {number + 1} of {arguments.rounds}")
        for turn in turns:
            take_turn(turn, requests, arguments.seconds)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=5, metavar="1-10")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run, at most 30")
    parser.add_argument("--processes", type=int, nargs="+", default=[1], help="WEB_CONCURRENCY; several to compare")
    parser.add_argument("--threads", type=int, nargs="+", default=[16], help="OFFHOOK_WEB_THREADS; several to compare")
    parser.add_argument("--most-per-second", type=int, default=5000, help="requests made ready for each second")
    parser.add_argument("--no-by-hand", action="store_true", help="leave out the two apps that people write by hand")
    arguments = asked(parser)
    arguments.seconds = min(arguments.seconds, 30.0)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        for processes, threads in itertools.product(arguments.processes, arguments.threads):
            say(f"{kind}, {processes} x {threads}")
            report.add(compare(kind, processes, threads, arguments))


if __name__ == "__main__":
    main()
