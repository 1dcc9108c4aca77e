"""What a call costs the books: folded, decided and delivered in one process, by one rule, by fifty, and by one more that has to
look at each customer's earlier calls (one a round), in turns.

The steps of the worker are made one after the other on calls that wait, of known callers, to a destination that takes
everything at once. Counted is the processor's time of the process and of its Postgres, so that neighbours matter less; what
the disk takes is in the rate by the clock. With --before another version is measured beside this one. Asked for: with fifty
rules 0.9 of the rate with one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bulk import Sql, add_customers
from fifty import ONE, fifty, looking_back
from report import Report, Table, asked, median, options, ratio, say, sides
from rig import ACCOUNT, CALLERS, Template, caller_of, databases, folder, kinds, random_sid

AT_ONCE = 200
TEXTS = {"1 rule": ONE, "50 rules": fifty(), "51 rules that look back": looking_back()}
STEPS = ("fold", "decide", "deliver")
Seen = dict[str, list[dict[str, float]]]


def side(url: str, count: int, seed: str, which: str) -> dict[str, float]:
    """Seconds of CPU and of the clock that each step takes for a call, of the version that Python finds."""
    from offhook.adapters.ledger.store import SqlLedger
    from offhook.adapters.rockerbox.payload import encode
    from offhook.adapters.rules_file.reading import parse
    from offhook.adapters.twilio.reading import read
    from offhook.pipeline import steps as moves
    from offhook.pipeline.delivery import RetryPolicy
    from offhook.pipeline.steps import Judge, decide_batch, deliver_batch, fold_batch

    numbering = vars(moves)["Numbering"]("US")  # it has moved since
    ledger, judge = SqlLedger(url), Judge(parse(TEXTS[which]), numbering, encode, read, 0.0)
    policy, destination = RetryPolicy(), taker()

    def now() -> datetime:
        return datetime.now(UTC)

    steps: dict[str, Callable[[], int]] = {
        "fold": lambda: fold_batch(ledger, judge, AT_ONCE),
        "decide": lambda: decide_batch(ledger, judge, now(), AT_ONCE),
        "deliver": lambda: deliver_batch(ledger, destination, policy, 60.0, now, AT_ONCE),
    }
    processes = [os.getpid(), *_backend(ledger)]
    _come_in(ledger, AT_ONCE, f"{seed} warm")
    for step in steps.values():
        while step():
            pass
    _come_in(ledger, count, seed)
    found = {}
    for name, step in steps.items():
        cpu, begun, done = _cpu_seconds(processes), time.monotonic(), 0
        while some := step():
            done += some
        if done != count:
            raise RuntimeError(f"{name}: {done} of {count} calls")
        found[f"{name} cpu"] = (_cpu_seconds(processes) - cpu) / count
        found[f"{name} clock"] = (time.monotonic() - begun) / count
    ledger.close()
    return found


def taker() -> Any:
    """A destination of the version that Python finds."""
    from offhook.pipeline.delivery import Outcome, Result

    class Taker:
        """Takes everything at once."""

        def send(self, _payload: bytes) -> Outcome:
            return Outcome(Result.DELIVERED, "http_200", 200)

    return Taker()


def _come_in(ledger: Any, count: int, seed: str) -> None:
    from offhook.pipeline.callback import RawCallback

    body = Template.load(Duration="90", CallDuration="90").body
    for begin in range(0, count, AT_ONCE):
        raws = []
        for number in range(begin, min(begin + AT_ONCE, count)):
            sid = random_sid(seed, number)
            text = body.replace("{sid}", sid).replace("{caller}", caller_of(number).replace("+", "%2B"))
            request = ("POST", "/twilio/status", "application/x-www-form-urlencoded", (), text.encode())
            raws.append(RawCallback(f"{sid}{seed}", ACCOUNT, sid, None, datetime.now(UTC), *request))
        ledger.append(raws)


def _backend(ledger: Any) -> list[int]:
    """Postgres: the process that serves this one's connection, the only one that one thread needs."""
    if ledger.database.is_sqlite:
        return []
    from sqlalchemy import text

    with ledger.database.read() as connection:
        return [int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())]


def _cpu_seconds(processes: list[int]) -> float:
    """Of these processes, from their threads' exact counts."""
    ticks = 0
    for pid in processes:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            ticks += int((thread / "schedstat").read_text().split()[0])
    return ticks / 1e9


def measure(kind: str, arguments: Namespace) -> dict[str, Seen]:
    """By side, by rules: the rounds."""
    with ExitStack() as stack:
        place = stack.enter_context(folder(arguments.folder))
        make = stack.enter_context(databases(kind, place))
        seen: dict[str, Seen] = {each.name: {which: [] for which in _asked_of(each.name)} for each in sides(arguments)}
        urls = {}
        for each in sides(arguments):
            for which in seen[each.name]:
                url = urls[each.name, which] = make(f"{each.name or 'code'}_{which[:2].strip()}", each.code)
                sql = Sql(url)
                add_customers(sql, CALLERS, int(caller_of(0)))
                sql.close()
        for number in range(arguments.rounds):
            say(f"{kind}: round {number + 1} of {arguments.rounds}")
            for each in sides(arguments):
                for which, rounds in seen[each.name].items():
                    words = ("--side", urls[each.name, which], "--which", which, "--seed", str(number))
                    rounds.append(_in_process(each.code, arguments.count, *words))
        return seen


def _asked_of(side_name: str) -> list[str]:
    """A version from before may know one rule alone."""
    return [next(iter(TEXTS))] if side_name == "before" else list(TEXTS)


def _in_process(code: Path, count: int, *words: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--count", str(count), *words]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(code)}, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(kind: str, seen: dict[str, Seen]) -> Table:
    """Milliseconds of CPU a call by step and together; then the clock's rate."""
    columns = {f"{name} {which}".strip(): rounds for name, known in seen.items() for which, rounds in known.items()}
    figures = {column: _figures(rounds) for column, rounds in columns.items()}
    one = next(name for name in reversed(columns) if name.endswith("1 rule"))
    rows: list[list[object]] = []
    for figure in figures[one]:
        values = {name: known[figure] for name, known in figures.items()}
        rows.append([figure, *values.values(), *(ratio(values[one], value) for value in values.values())])
    return Table(f"{kind}: what a call costs", ["", *columns, *(f"{one} / {name}" for name in columns)], rows)


def _figures(rounds: list[dict[str, float]]) -> dict[str, float]:
    cpu = {f"{step}, ms of CPU": median(1000 * one[f"{step} cpu"] for one in rounds) for step in STEPS}
    together = median(1000 * sum(one[f"{step} cpu"] for step in STEPS) for one in rounds)
    clock = median(1000 * sum(one[f"{step} clock"] for step in STEPS) for one in rounds)
    return {**cpu, "together, ms of CPU": together, "together, ms by the clock": clock}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--count", type=int, default=2000, help="calls a turn, 200 to 100,000")
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=3, metavar="1-10")
    for name in ("--side", "--which", "--seed"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    known = parser.parse_args()
    known.count = max(200, min(known.count, 100_000))
    if known.side:
        sys.path.insert(0, os.environ["PYTHONPATH"])  # before the folder of this bench
        print(json.dumps(side(known.side, known.count, known.seed, known.which)))
        return
    arguments = asked(parser)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        report.add(table(kind, measure(kind, arguments)))


if __name__ == "__main__":
    main()
