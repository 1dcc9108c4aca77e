"""What `flask rules backtest` takes over a past of calls: seconds and peak memory, at two sizes, by the rules of fifty.py.

The calls are copies of some that the service itself has stored: converted ones, some of them with legs, callers whom nobody
knows, busy lines; over 400 days. That memory is constant is seen by the two sizes. 127.0.0.1 only.
Asked for: 120 s for 1,000,000.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

from fifty import ONE, fifty
from report import Report, Table, asked, options, say, sides
from rig import databases, environment, folder, kinds
from scale import fill
from stand import Stand, stand

TEXTS = {"1 rule": ONE, "50 rules": fifty()}


def backtest(stood: Stand, file: Path) -> tuple[float, float]:
    """Seconds, and MiB at the peak."""
    words = [sys.executable, "-m", "flask", "rules", "backtest", "--file", str(file), "--since", "500d", "--json"]
    begun = time.monotonic()
    env = environment(stood.env, stood.side.code)
    running = subprocess.Popen(words, cwd=stood.side.code, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"flask rules backtest ended with {running.returncode}")
    return time.monotonic() - begun, used.ru_maxrss / 1024


def measure(kind: str, arguments: Namespace) -> Table:
    rows: list[list[object]] = []
    for calls in (arguments.calls // 10, arguments.calls):
        with ExitStack() as stack:
            place = stack.enter_context(folder(arguments.folder))
            make = stack.enter_context(databases(kind, place))
            stood = stack.enter_context(stand(make, place, sides(arguments)[-1]))
            say(f"{kind}: a past of {calls:,} calls is made")
            fill(stood, calls)
            for name, text in TEXTS.items():
                file = stood.place / "new.toml"
                file.write_text(text, encoding="utf-8")
                seconds, peak = backtest(stood, file)
                rows.append([f"{calls:,} calls, {name}", seconds, calls / seconds, peak])
    return Table(f"{kind}: flask rules backtest", ["", "s", "calls/s", "peak MiB"], rows)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000, help="of the larger past, 1,000 to 10,000,000")
    arguments = asked(parser)
    arguments.calls = max(1000, min(arguments.calls, 10_000_000))
    report = Report(arguments)
    for kind in kinds(arguments.database):
        report.add(measure(kind, arguments))


if __name__ == "__main__":
    main()
