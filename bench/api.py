"""What a busy API costs intake: the rate of callbacks with it, as a ratio to that without, round by round on one web process.

The API's clients are a process of their own: four of them, each asking for a page of calls as soon as it has an answer, and
waiting as long as a 429 says. So the service is as busy with them as its rate limit lets it be. 127.0.0.1 only.

Asked for: 0.95 or more.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from report import Report, asked, compared, in_turns, options, sides
from rig import databases, folder, kinds
from stand import Stand, closed_loop, stand

CLIENTS = 4


@contextmanager
def busy(stood: Stand, token: str) -> Iterator[list[int]]:
    """Clients that ask the API until the block ends; then the list has how many answers each kind of status had."""
    command = [sys.executable, __file__, "--client", str(stood.port), token]
    counts: list[int] = []
    clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert clients.stdout is not None
        clients.stdout.readline()  # they have had their first answer
        yield counts
    finally:
        said, _ = clients.communicate()
        counts += json.loads(said)


def client(port: int, token: str) -> None:
    """Ask until standard input ends; print [answered, asked to wait]."""
    ends, counts, first = threading.Event(), [0, 0], threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not ends.is_set():
            connection.request("GET", "/api/v1/calls?limit=50", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            counts[answer.status != 200] += 1
            first.set()
            if answer.status != 200:
                ends.wait(float(answer.headers.get("Retry-After", 1)))

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    first.wait()
    print("begun", flush=True)
    sys.stdin.read()
    ends.set()
    for thread in threads:
        thread.join()
    print(json.dumps(counts))


def rate(stood: Stand, seconds: float, most_per_second: int) -> float:
    requests = list(itertools.islice(stood.requests(), int(seconds * most_per_second)))
    return closed_loop(stood.port, requests, seconds).rate


def measure(kind: str, arguments: Namespace) -> dict[str, dict[str, float]]:
    found = {}
    with ExitStack() as stack:
        place = stack.enter_context(folder(arguments.folder))
        make = stack.enter_context(databases(kind, place))
        for side in sides(arguments):
            stood = stack.enter_context(stand(make, place, side))
            made = stood.flask("tokens", "create", "--name", "bench", "--scope", "calls:read", "--json")
            token = json.loads(made)["token"]
            with stood.worker():
                stood.warm()
            time.sleep(3)  # the web process knows the token
            found[side.name] = rounds(stood, token, kind, arguments)
    return found


def rounds(stood: Stand, token: str, kind: str, arguments: Namespace) -> dict[str, float]:
    answered = 0

    def measured() -> float:
        return rate(stood, arguments.seconds, arguments.most_per_second)

    def measured_beside() -> float:
        nonlocal answered
        with busy(stood, token) as counts:
            found = measured()
        answered += counts[0]
        return found

    alone, beside = in_turns(measured, measured_beside, arguments.rounds, kind)
    ratios = [one / other for one, other in zip(beside, alone, strict=True)]
    return {
        "callbacks/s alone": statistics.median(alone),
        "callbacks/s with a busy API": statistics.median(beside),
        "ratio, median of the rounds": statistics.median(ratios),
        "answers of the API/s": answered / (arguments.rounds * arguments.seconds),
    }


def main() -> None:
    if sys.argv[1:2] == ["--client"]:
        client(int(sys.argv[2]), sys.argv[3])
        return
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, choices=range(1, 21), default=8, metavar="1-20")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run, at most 30")
    parser.add_argument("--most-per-second", type=int, default=5000, help="requests made ready for each second")
    arguments = asked(parser)
    arguments.seconds = min(arguments.seconds, 30.0)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        report.add(compared(f"{kind}: intake beside the API", measure(kind, arguments)))


if __name__ == "__main__":
    main()
