"""How long after its 204 a call's conversion is first tried at the destination, at a steady pace, nothing to settle.

The worker is a process of its own. The floor is the sink asked directly, one POST after another. 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

from load import Connections
from rig import (
    Template,
    arrivals,
    ask_directly,
    database,
    flask,
    folder,
    kinds,
    percentile,
    sink,
    table,
    web,
    worker,
    write_mapping,
)

TARGET_SECONDS = 1.0


def measure(kind: str, arguments: argparse.Namespace) -> None:
    answered: dict[str, float] = {}
    template = Template.load()
    requests = [template.request(number) for number in range(int(arguments.rate * arguments.seconds))]
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        url = stack.enter_context(database(kind, place))
        target, journal = stack.enter_context(sink(place))
        env = {"DATABASE_URL": url, "ROCKERBOX_URL": target}
        write_mapping(place / "customers.csv")
        flask(env, "customers", "import", str(place / "customers.csv"))
        port, _ = stack.enter_context(web(env, place))
        stack.enter_context(worker(env, place))
        direct = ask_directly(target, 200)
        connections = Connections(port, 32)
        connections.paced(requests, arguments.rate, lambda number, at: answered.update({sid(number): at}))
        arrived = wait_for_all(journal, set(answered))
        connections.close()
    show(kind, direct, [arrived[name] - at for name, at in answered.items() if name in arrived], answered)


def sid(number: int) -> str:
    return f"CA{number:032x}"


def wait_for_all(journal: Path, names: set[str], seconds: float = 30.0) -> dict[str, float]:
    """First arrivals, once all have come or the time is over."""
    until = time.monotonic() + seconds
    while not names <= (found := arrivals(journal)).keys() and time.monotonic() < until:
        time.sleep(0.5)
    return found


def show(kind: str, direct: list[float], waits: list[float], answered: dict[str, float]) -> None:
    print(f"\n{kind}: {len(answered)} callbacks, {len(waits)} arrived at the sink")
    waits.sort()
    rows = []
    for share in (0.5, 0.95, 0.99):
        took, floor = percentile(waits, share), percentile(direct, share)
        rows.append([f"p{share * 100:.0f}", took * 1000, took / TARGET_SECONDS, floor * 1000])
    table(("204 to first attempt", "ms", "of 1 s", "POST alone ms"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second, at most 500")
    parser.add_argument("--seconds", type=float, default=20.0, help="at most 60")
    arguments = parser.parse_args()
    arguments.rate, arguments.seconds = min(arguments.rate, 500.0), min(arguments.seconds, 60.0)
    for kind in kinds(arguments.database):
        measure(kind, arguments)


if __name__ == "__main__":
    main()
