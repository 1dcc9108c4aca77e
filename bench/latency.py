"""How long after its 204 a call's conversion is first tried at the destination, at a steady pace, nothing to settle.

The worker is a process of its own. The floor is the sink asked directly, one POST after another. Versions take turns in
short rounds, so that whatever else the machine does meets both. 127.0.0.1 only.

Asked for: a p95 of 1 s or less.
"""

from __future__ import annotations

import itertools
import time
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import dataclass, field

from report import Report, asked, compared, options, say, sides
from rig import ask_directly, databases, folder, kinds, percentile
from stand import Stand, paced, stand

SHARES = (0.5, 0.95, 0.99)
LOST_AFTER_SECONDS = 30.0


@dataclass(slots=True)
class Seen:
    """Of one version: seconds from a 204 to the first attempt, those of a POST straight to its sink, and what never came."""

    stood: Stand
    waits: list[float] = field(default_factory=list)
    direct: list[float] = field(default_factory=list)
    lost: int = 0

    def take_turn(self, rate: float, seconds: float) -> None:
        self.direct += ask_directly(self.stood.env["ROCKERBOX_URL"], 50)
        answered: dict[int, float] = {}
        first = next(self.stood.numbers) + 1  # the calls of this turn are numbered from here on
        paced(self.stood.port, itertools.islice(self.stood.requests(), int(rate * seconds)), rate, answered.__setitem__)
        names = {self.stood.sid(first + number): at for number, at in answered.items()}
        arrived = self._wait_for(set(names))
        self.lost += len(names.keys() - arrived.keys())
        self.waits += [arrived[name] - at for name, at in names.items() if name in arrived]

    def _wait_for(self, names: set[str]) -> dict[str, float]:
        until = time.monotonic() + LOST_AFTER_SECONDS
        while not names <= (found := self.stood.journal.look()).keys() and time.monotonic() < until:
            time.sleep(0.2)
        return found

    def figures(self) -> dict[str, float]:
        waits, direct = sorted(self.waits), sorted(self.direct)
        return {
            **{f"204 to first attempt, p{share * 100:.0f} ms": percentile(waits, share) * 1000 for share in SHARES},
            "a POST alone, p95 ms": percentile(direct, 0.95) * 1000,
            "calls": len(waits),
            "never came": self.lost,
        }


def measure(kind: str, arguments: Namespace) -> dict[str, dict[str, float]]:
    with ExitStack() as stack:
        place = stack.enter_context(folder(arguments.folder))
        make = stack.enter_context(databases(kind, place))
        seen = []
        for side in sides(arguments):
            stood = stack.enter_context(stand(make, place, side))
            stack.enter_context(stood.worker())
            stood.warm()
            seen.append(Seen(stood))
        for number in range(arguments.rounds):
            say(f"{kind}: round {number + 1} of {arguments.rounds}")
            for each in seen:
                each.take_turn(arguments.rate, arguments.seconds)
        return {each.stood.side.name: each.figures() for each in seen}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second, at most 500")
    parser.add_argument("--rounds", type=int, choices=range(1, 11), default=4, metavar="1-10")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round, at most 60")
    arguments = asked(parser)
    arguments.rate, arguments.seconds = min(arguments.rate, 500.0), min(arguments.seconds, 60.0)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        report.add(compared(f"{kind}: {arguments.rate:g} calls/s", measure(kind, arguments)))


if __name__ == "__main__":
    main()
