"""What intake bears while `flask customers import` takes in 300,000 customers: its latencies beside those without.

The worker runs all the while. Without and with take turns; each import brings customers of its own, so that all of them are
written. Once at a steady pace, which shows what callbacks wait for, and once with 32 connections that send as fast as they are
answered, where the import also takes its share of the machine. 127.0.0.1 only.

Asked for: a p99 within 1.5 times of that without.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bulk import wait_drained
from load import Run
from report import Pair, Report, asked, median, options, paired, say, sides
from rig import ROOT, databases, environment, folder, kinds
from stand import Stand, closed_loop, milliseconds, paced, stand

MOST_SECONDS = 120.0  # that one import gets


def write_files(place: Path, count: int, files: int) -> list[Path]:
    """So many CSV files of so many customers each, none of them in two."""
    words = [sys.executable, str(ROOT / "bench" / "make_customers.py"), str(count * files)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        header = next(maker.stdout)
        paths = [place / f"customers-{number}.csv" for number in range(files)]
        for path in paths:
            path.write_text(header + "".join(itertools.islice(maker.stdout, count)), encoding="utf-8")
    return paths


@contextmanager
def importing(stood: Stand, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "flask", "customers", "import", str(file)]
    with file.with_suffix(".said").open("wb") as said:
        env, code = environment(stood.env, stood.side.code), stood.side.code
        running = subprocess.Popen(words, cwd=code, env=env, stdout=said, stderr=said)
    try:
        yield running
    finally:
        running.kill()  # one that has ended minds nothing
        running.wait()


def steady(stood: Stand, arguments: Namespace, goes_on: Callable[[], bool]) -> Run:
    """At the set pace, for as long as it goes on."""
    requests = itertools.takewhile(lambda _: goes_on(), stood.requests())
    return paced(stood.port, requests, arguments.rate)


def full(stood: Stand, _arguments: Namespace, goes_on: Callable[[], bool]) -> Run:
    """As much as the server takes."""
    return closed_loop(stood.port, itertools.takewhile(lambda _: goes_on(), stood.requests()), MOST_SECONDS)


Load = Callable[[Stand, Namespace, Callable[[], bool]], Run]


def without(stood: Stand, load: Load, arguments: Namespace) -> Run:
    until = time.monotonic() + arguments.seconds
    run = load(stood, arguments, lambda: time.monotonic() < until)
    wait_drained(stood.sql)
    return run


def beside(stood: Stand, load: Load, arguments: Namespace, file: Path) -> tuple[Run, float]:
    """The run, as long as the import, and how many seconds that took."""
    begun = time.monotonic()
    with importing(stood, file) as running:
        run = load(stood, arguments, lambda: running.poll() is None and time.monotonic() < begun + MOST_SECONDS)
        if running.poll() != 0:
            raise RuntimeError(f"the import failed or took too long: {file.with_suffix('.said').read_text()[-1000:]}")
    wait_drained(stood.sql)
    return run, run.seconds


def measure(stood: Stand, files: list[Path], arguments: Namespace) -> dict[str, Pair]:
    """(without, with) of each figure."""
    figures: dict[str, Pair] = {}
    left = iter(files)
    stood.warm()
    for name, load in ((f"at {arguments.rate:g}/s", steady), ("32 connections at once", full)):
        alone, both, took = [], [], []
        for number in range(arguments.rounds):
            say(f"{stood.name}: {name}, round {number + 1} of {arguments.rounds}")
            alone.append(without(stood, load, arguments))
            run, seconds = beside(stood, load, arguments, next(left))
            both.append(run)
            took.append(seconds)
        for share, word in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (1.0, "most")):
            figures[f"{name}: {word} ms"] = (milliseconds(alone, share), milliseconds(both, share))
        figures[f"{name}: callbacks/s"] = (median(run.rate for run in alone), median(run.rate for run in both))
        figures[f"{name}: one import, s"] = (math.nan, median(took))
    return figures


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--customers", type=int, default=300_000, help="in each import, 1,000 to 1,000,000")
    parser.add_argument("--rounds", type=int, choices=range(1, 6), default=2, metavar="1-5")
    parser.add_argument("--rate", type=float, default=200.0, help="callbacks a second of the steady pace, at most 1000")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a run without an import, at most 60")
    arguments = asked(parser)
    arguments.customers = max(1000, min(arguments.customers, 1_000_000))
    arguments.rate, arguments.seconds = min(arguments.rate, 1000.0), min(arguments.seconds, 60.0)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        figures = {}
        with ExitStack() as stack:
            place = stack.enter_context(folder(arguments.folder))
            make = stack.enter_context(databases(kind, place))
            files = write_files(place, arguments.customers, 2 * arguments.rounds)
            for side in sides(arguments):
                with stand(make, place, side) as stood, stood.worker():
                    figures[side.name] = measure(stood, files, arguments)
        report.add(paired(f"{kind}: {arguments.customers:,} customers are imported", ("without", "with"), figures))


if __name__ == "__main__":
    main()
