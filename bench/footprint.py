"""Memory of web and worker after their start and after 1,000 callbacks, and seconds from start to the first 204.

The floor is a gunicorn with as many processes and threads, and an empty Flask app. 127.0.0.1 only.
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
    database,
    flask,
    folder,
    kinds,
    memory_mib,
    sink,
    table,
    tree,
    web,
    worker,
    write_mapping,
)


def resident(pid: int) -> float:
    """RSS of a process and its children, in MiB; pages that they share are counted in each."""
    return sum(memory_mib(one) for one in tree(pid))


def post(port: int, requests: list[bytes]) -> None:
    connections = Connections(port, 1)
    connections.closed_loop(requests, 60.0)
    connections.close()


def measure(kind: str, arguments: argparse.Namespace) -> None:
    template = Template.load()
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        env = {"DATABASE_URL": stack.enter_context(database(kind, place)), "WEB_CONCURRENCY": str(arguments.processes)}
        env["ROCKERBOX_URL"], journal = stack.enter_context(sink(place))
        write_mapping(place / "customers.csv")
        flask(env, "customers", "import", str(place / "customers.csv"))
        empty, bare_seconds = first_answer(stack, env, place, "bench.empty_app:app")
        bare = resident(empty[1])
        (port, pid), seconds = first_answer(stack, env, place, "app:app", [template.request(0)])
        worker_pid = stack.enter_context(worker(env, place))
        wait_for(journal, 1)
        started = resident(pid), resident(worker_pid)
        post(port, [template.request(number) for number in range(1, arguments.count)])
        wait_for(journal, arguments.count)
        after = resident(pid), resident(worker_pid)
    print(f"\n{kind}: WEB_CONCURRENCY={arguments.processes}; empty Flask app: {bare:.0f} MiB, {bare_seconds:.2f} s")
    names = (f"web (master and {arguments.processes})", "worker")
    rows = [(name, start, end, end / bare) for name, start, end in zip(names, started, after, strict=True)]
    table(("RSS in MiB", "after start", f"after {arguments.count} callbacks", "of the empty app"), rows)
    print(f"start to first 204: {seconds:.2f} s ({seconds / bare_seconds:.2f} of the empty app's start)")


def first_answer(
    stack: ExitStack, env: dict[str, str], place: Path, app: str, requests: list[bytes] | None = None
) -> tuple[tuple[int, int], float]:
    """Starts a server; (port, pid), and the seconds until it answered (the requests, where there are any)."""
    begun = time.perf_counter()
    server = stack.enter_context(web(env, place, app))
    if requests:
        post(server[0], requests)
    return server, time.perf_counter() - begun


def wait_for(journal: Path, count: int, seconds: float = 60.0) -> None:
    """Until the sink has seen so many."""
    until = time.monotonic() + seconds
    while len(arrivals(journal)) < count:
        if time.monotonic() > until:
            raise RuntimeError("the worker did not deliver in time")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--processes", type=int, default=1, help="WEB_CONCURRENCY")
    parser.add_argument("--count", type=int, default=1000, help="callbacks, at most 10,000")
    arguments = parser.parse_args()
    arguments.count = max(2, min(arguments.count, 10_000))
    for kind in kinds(arguments.database):
        measure(kind, arguments)


if __name__ == "__main__":
    main()
