"""Durable intake against the floor: the same gunicorn, configuration, verification and parsing, then 204 without keeping it.

Floor and store take turns in short rounds, so that whatever else the machine does meets both. 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from load import Connections, Run
from rig import Template, cpu_seconds, database, folder, kinds, percentile, table, web

HEADER = ("", "requests/s", "of the floor", "p50 ms", "p95 ms", "p99 ms", "server CPU ms", "client CPU ms")


@dataclass(slots=True)
class Side:
    """One of the two servers, its runs, and the server's own CPU seconds in them."""

    name: str
    port: int
    pid: int
    runs: list[Run] = field(default_factory=list)
    cpu: float = 0.0

    def row(self, ratio: float) -> list[object]:
        waits = sorted(wait * 1000 for run in self.runs for wait in run.latencies)
        rate = statistics.median(run.rate for run in self.runs)
        client = sum(run.client_cpu_seconds for run in self.runs)
        quantiles = [percentile(waits, share) for share in (0.5, 0.95, 0.99)]
        each = 1000 / max(1, len(waits))
        return [self.name, round(rate), ratio, *quantiles, self.cpu * each, client * each]


def requests_for(template: Template, numbers: Iterator[int], seconds: float, most_per_second: int) -> list[bytes]:
    return [template.request(next(numbers)) for _ in range(int(seconds * most_per_second))]


def measure(side: Side, requests: list[bytes], arguments: argparse.Namespace, seconds: float) -> Run:
    connections = Connections(side.port, arguments.connections)
    try:
        before = cpu_seconds(side.pid)
        run = connections.closed_loop(requests, seconds)
        side.cpu += cpu_seconds(side.pid) - before
        return run
    finally:
        connections.close()


def compare(kind: str, processes: int, threads: int, arguments: argparse.Namespace) -> None:
    """One table: floor and store, on one database, with one number of processes and threads."""
    env = {"WEB_CONCURRENCY": str(processes), "OFFHOOK_WEB_THREADS": str(threads)}
    numbers, template = itertools.count(), Template.load()
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        env["DATABASE_URL"] = stack.enter_context(database(kind, place))
        floor = Side("floor", *stack.enter_context(web(env, place, "bench.floor_app:app()")))
        store = Side(kind, *stack.enter_context(web(env, place)))
        for side in (floor, store):
            measure(side, requests_for(template, numbers, 1, arguments.most_per_second), arguments, 1)
            side.cpu = 0.0
        for _ in range(arguments.rounds):
            for side in (floor, store):
                requests = requests_for(template, numbers, arguments.seconds, arguments.most_per_second)
                side.runs.append(measure(side, requests, arguments, arguments.seconds))
        show(floor, store, processes, threads)


def show(floor: Side, store: Side, processes: int, threads: int) -> None:
    ratio = statistics.median(kept.rate / bare.rate for bare, kept in zip(floor.runs, store.runs, strict=True))
    print(f"\n{store.name}: WEB_CONCURRENCY={processes} OFFHOOK_WEB_THREADS={threads}  (CPU is for each request)")
    table(HEADER, [floor.row(1.0), store.row(ratio)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=3, metavar="1-10")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run, at most 30")
    parser.add_argument("--connections", type=int, choices=range(1, 129), default=32, metavar="1-128")
    parser.add_argument("--processes", type=int, nargs="+", default=[1], help="WEB_CONCURRENCY; several to compare")
    parser.add_argument("--threads", type=int, nargs="+", default=[16], help="OFFHOOK_WEB_THREADS; several to compare")
    parser.add_argument("--most-per-second", type=int, default=5000, help="requests made ready for each second")
    arguments = parser.parse_args()
    arguments.seconds = min(arguments.seconds, 30.0)
    for kind in kinds(arguments.database):
        for processes, threads in itertools.product(arguments.processes, arguments.threads):
            compare(kind, processes, threads, arguments)


if __name__ == "__main__":
    main()
