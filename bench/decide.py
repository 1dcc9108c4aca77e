"""How many calls are decided a second of CPU by fifty rules and by one: in memory, without a ledger.

Calls have a leg that was talked to, a customer with further columns and some calls before; most go through all of the rules.
With --before another version is measured beside this one, each in a process of its own, in turns. CPU is counted and not
the clock, so that neighbours matter less. Asked for: 5,000 a second with fifty.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from fifty import ONE, fifty
from report import Report, asked, compared, median, options, say, sides
from rig import Template, random_sid

DISTINCT = 500
ASKED = 5000


def decided(count: int) -> dict[str, float]:
    """Calls a second of CPU of the version that Python finds."""
    from offhook.adapters.rules_file.reading import parse
    from offhook.pipeline.conversion import decide
    from offhook.pipeline.ends import Numbering

    calls, numbering = [_call(number) for number in range(DISTINCT)], Numbering("US")
    found = {}
    for name, text in (("50 rules", fifty()), ("1 rule", ONE)):
        rules = parse(text)

        def once(rules: Any = rules) -> None:
            for call, customer, earlier in calls:
                decide(call, customer, rules, numbering, earlier)

        found[name] = _per_second(once, count)
    return found


def _per_second(once: Callable[[], None], count: int) -> float:
    once()
    turns = max(1, count // DISTINCT)
    begun = time.process_time()
    for _ in range(turns):
        once()
    return turns * DISTINCT / (time.process_time() - begun)


def _call(number: int) -> tuple[Any, Any, Sequence[Any]]:
    """A call of two callbacks, who called, and what the caller did before."""
    from offhook.pipeline.call import Call, CallState, Leg
    from offhook.pipeline.callback import CallKey, Direction, Status
    from offhook.pipeline.customer import Customer
    from offhook.pipeline.rules.facts import EarlierCall

    sid, caller, ours = random_sid("decide", number), f"+1415555{number:04}", f"+1212555{number % 20:04}"
    ended = datetime(2026, 11, 2, 14, tzinfo=UTC) + timedelta(minutes=37 * number)
    details = {**dict(parse_qsl(Template.load().body)), "CallSid": sid, "From": caller, "To": ours}
    root = Leg(sid, None, Status.COMPLETED, Direction.INBOUND, caller, ours, 90 + number % 60, ended, details)
    child = Leg(f"{sid}b", sid, Status.COMPLETED, Direction.OUTBOUND_DIAL, caller, "+12125559999", 80, ended, details)
    key = CallKey("AC1", sid)
    who = Customer(caller, f"{number}@example.com", f"C{number}", 1, {"tier": f"tier {number % 9}", "orders": "7"})
    before = [
        EarlierCall(
            CallKey("AC1", f"{sid}{day}"), ours, Direction.INBOUND,
            ended - timedelta(days=70 + day), ended - timedelta(days=70 + day), CallState.CONVERTED,
        )
        for day in range(3)
    ]  # fmt: skip
    return Call(key, root, (child,), 2, ended, ended), who, before


def measure(arguments: Namespace) -> dict[str, dict[str, float]]:
    seen: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides(arguments)}
    for number in range(arguments.rounds):
        say(f"round {number + 1} of {arguments.rounds}")
        for side in sides(arguments):
            command = [sys.executable, __file__, "--count", str(arguments.count), "--side"]
            env = {**os.environ, "PYTHONPATH": str(side.code)}
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=600)
            seen[side.name].append(json.loads(done.stdout))
    return {side: _figures(rounds) for side, rounds in seen.items()}


def _figures(rounds: list[dict[str, float]]) -> dict[str, float]:
    found = {f"{name}, calls/s of CPU": median(one[name] for one in rounds) for name in rounds[0]}
    return {**found, f"50 rules, of {ASKED:,}/s": found["50 rules, calls/s of CPU"] / ASKED}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="calls a turn, at most 1,000,000")
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=5, metavar="1-10")
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    if "--side" in sys.argv:
        sys.path.insert(0, os.environ["PYTHONPATH"])  # before the folder of this bench
        print(json.dumps(decided(min(parser.parse_args().count, 1_000_000))))
        return
    arguments = asked(parser)
    report = Report(arguments)
    report.add(compared("Calls decided, in one process without a ledger", measure(arguments)))


if __name__ == "__main__":
    main()
