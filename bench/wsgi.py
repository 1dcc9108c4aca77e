"""What a callback costs between gunicorn and the ledger: CPU of a WSGI call that verifies and reads, logs and answers 204, in
one process without a socket and without a ledger. The floor is an empty Flask app in the same process, in turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from report import Report, Side, asked, compared, median, options, say, sides
from rig import LONGEST_SECONDS, ROOT, Template, environment, folder, random_sid


def requests_of(count: int) -> list[tuple[dict[str, str], str]]:
    """(headers, body) of the 30-parameter callback, each signed for a CallSid of its own."""
    template = Template.load()
    made = []
    for number in range(count):
        head, _, body = (
            template.request_of(random_sid("wsgi", number), f"+1415555{number:04}").decode().partition("\r\n\r\n")
        )
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        del headers["Content-Length"]
        made.append((headers, body))
    return made


def turn(side: Side, question: str, place: Path) -> dict[str, list[float]]:
    """Seconds of CPU a call, of each turn of the empty app and of ours. Log lines go to a file, as a server's do."""
    env = environment(
        {"DATABASE_URL": f"sqlite:///{place / 'none.db'}", "ROCKERBOX_URL": "http://127.0.0.1:9"}, side.code
    )
    with (place / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, str(ROOT / "bench" / "wsgi_side.py")],
            cwd=place,
            env={**env, "PYTHONPATH": str(side.code)},
            input=question,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    if done.returncode:
        sys.exit((place / "log").read_text()[-2000:])
    took: dict[str, list[float]] = json.loads(done.stdout)
    return took


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """For each side the medians, in microseconds, and the median of each turn's ratio to the empty app."""
    question = json.dumps({"turns": arguments.turns, "requests": requests_of(arguments.count)})
    ours: dict[str, list[float]] = {side.name: [] for side in sides(arguments)}
    floor: dict[str, list[float]] = {side.name: [] for side in sides(arguments)}
    with folder(arguments.folder) as place:
        for number in range(arguments.rounds):
            for side in sides(arguments):
                took = turn(side, question, place)
                ours[side.name] += took["ours"][1:]  # the first turn warms up
                floor[side.name] += took["empty"][1:]
            say(f"round {number + 1} of {arguments.rounds}")
    return {
        name: {
            "empty Flask app, µs": 1e6 * median(floor[name]),
            "Offhook, µs": 1e6 * median(ours[name]),
            "Offhook / empty app": median(mine / bare for mine, bare in zip(ours[name], floor[name], strict=True)),
        }
        for name in ours
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each version, one after the other")
    parser.add_argument("--turns", type=int, default=6, help="of each app in a process; the first warms up")
    parser.add_argument("--count", type=int, default=1000, help="callbacks in a turn, at most 10,000")
    arguments = asked(parser)
    arguments.count = max(1, min(arguments.count, 10_000))
    arguments.turns = max(2, arguments.turns)
    Report(arguments).add(compared("CPU of a callback's WSGI call", measure(arguments)))


if __name__ == "__main__":
    main()
