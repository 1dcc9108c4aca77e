"""How many conversions one worker delivers: against a sink that takes 100 ms, and against one that answers at once.

The outbox is filled through the real fold and decide. The floor is the same client in as many threads, without a ledger.
127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from rig import (
    ACCOUNT,
    Template,
    arrivals,
    cpu_seconds,
    database,
    flask,
    folder,
    kinds,
    settings_for,
    sink,
    table,
    worker,
    write_mapping,
)

from offhook.adapters.rockerbox.client import Rockerbox
from offhook.adapters.twilio.reading import NotACallback, read_request
from offhook.pipeline.callback import RawCallback
from offhook.service import build

THREADS = 32
FORM = "application/x-www-form-urlencoded; charset=UTF-8"
PAYLOAD = (
    b'{"email":"caller1@example.com","customer_id":"customer-1","action":"phone_call","order_id":"x","timestamp":"1"}'
)


def raw(template: Template, number: int) -> RawCallback:
    body = template.request(number).partition(b"\r\n\r\n")[2]
    read = read_request("POST", "/twilio/status", FORM, {}, body, datetime.now(UTC), ACCOUNT)
    assert not isinstance(read, NotACallback)
    return read[0]


def fill(env: dict[str, str], count: int) -> float:
    """Put `count` conversions into the outbox. Returns calls folded and decided in a second."""
    service, template = build(settings_for(env)), Template.load()
    raws = [raw(template, number) for number in range(count)]
    for start in range(0, count, 64):
        service.ledger.append(raws[start : start + 64])
    books, begun = service.worker(), time.perf_counter()
    while books.keep_books_once():
        pass
    service.ledger.close()
    return count / (time.perf_counter() - begun)


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


def rate_at(journal: Path, count: int, seconds: float = 120.0) -> float:
    """Requests a second between the first and the last at the sink, once all have come."""
    until = time.monotonic() + seconds
    while len(found := arrivals(journal)) < count and time.monotonic() < until:
        time.sleep(0.5)
    times = sorted(found.values())
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) == count else 0.0


def measure(kind: str, delay_seconds: float, count: int) -> None:
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        env = {"DATABASE_URL": stack.enter_context(database(kind, place)), "OFFHOOK_DELIVERY_THREADS": str(THREADS)}
        bare, _ = stack.enter_context(sink(place, delay_seconds))
        env["ROCKERBOX_URL"], journal = stack.enter_context(sink(place, delay_seconds))
        write_mapping(place / "customers.csv")
        flask(env, "customers", "import", str(place / "customers.csv"))
        booked = fill(env, count)
        client_alone = floor(bare, count // 2)
        pid = stack.enter_context(worker(env, place))
        delivered = rate_at(journal, count)
        cpu = cpu_seconds(pid) / count * 1000
    target = 0.9 * THREADS / delay_seconds if delay_seconds else 500.0
    print(f"\n{kind}: {count} conversions, sink answers after {delay_seconds * 1000:.0f} ms, {THREADS} threads")
    row = [
        f"{kind}",
        round(delivered),
        delivered / target,
        delivered / client_alone,
        round(client_alone),
        round(booked),
        cpu,
    ]
    table(("", "deliveries/s", "of the target", "of the floor", "floor/s", "decided/s", "worker CPU ms"), [row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--count", type=int, default=8000, help="conversions for the instant sink, at most 50,000")
    arguments = parser.parse_args()
    count = max(1000, min(arguments.count, 50_000))
    for kind in kinds(arguments.database):
        measure(kind, 0.1, count // 2)
        measure(kind, 0.0, count)


if __name__ == "__main__":
    main()
