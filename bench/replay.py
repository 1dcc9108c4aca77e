"""Replaying recorded callbacks: what the sender alone can do, against a server that only answers 204, and what Offhook takes.

`flask recordings replay --speed max`, signing anew, in a process of its own; the same file for both. 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import ACCOUNT, ROOT, TOKEN, database, environment, folder, kinds, table, web

from offhook.adapters.recordings.format import dump, read
from offhook.adapters.recordings.replay import with_new_sids

HEADER = ("", "callbacks/s", "sender / receiver", "p50 ms", "p99 ms", "sender's peak MiB")
_SUMMARY = re.compile(r"(\d+) sent in ([\d.]+) s.*\n\1 answered 204\n.*p50 ([\d.]+) ms, .*p99 ([\d.]+) ms")


def write_recording(path: Path, count: int) -> None:
    """Days of the small shop, each with calls of its own."""
    day = list(read(ROOT / "recordings" / "shop-day.jsonl"))
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            copy, place = divmod(number, len(day))
            file.write(dump(with_new_sids(day[place], copy.to_bytes(4, "big"))) + "\n")


@contextmanager
def bare_server() -> Iterator[int]:
    """Its port."""
    server = subprocess.Popen([sys.executable, str(ROOT / "bench" / "bare_server.py")], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()


def replayed(recording: Path, port: int, connections: int) -> tuple[float, float, float, float]:
    """(callbacks a second, p50 and p99 in ms, the sender's peak memory in MiB). Raises when one was refused."""
    options = ["--speed", "max", "--concurrency", str(connections), "--account-sid", ACCOUNT, "--auth-token", TOKEN]
    where = ["--to", f"http://127.0.0.1:{port}", "--signed-for", "https://bench.example.com"]
    command = [sys.executable, "-m", "flask", "recordings", "replay", str(recording), *where, *options]
    sender = subprocess.Popen(
        command, cwd=ROOT, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert sender.stdout is not None
    said = sender.stdout.read()
    _, status, usage = os.wait4(sender.pid, 0)
    summary = _SUMMARY.match(said)
    if status or not summary:
        raise SystemExit(f"the replay failed (status {status}):\n{said}")
    return int(summary[1]) / float(summary[2]), float(summary[3]), float(summary[4]), usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--count", type=int, default=20_000, help="callbacks, at most 200,000")
    parser.add_argument("--connections", type=int, choices=range(1, 129), default=32, metavar="1-128")
    arguments = parser.parse_args()
    with folder() as place:
        recording = place / "recording.jsonl"
        write_recording(recording, min(arguments.count, 200_000))
        with bare_server() as port:
            alone = replayed(recording, port, arguments.connections)
        rows: list[list[object]] = [["sender alone", round(alone[0]), "", *alone[1:]]]
        for kind in kinds(arguments.database):
            inner = place / kind
            inner.mkdir(mode=0o755)
            with database(kind, inner) as url, web({"DATABASE_URL": url}, inner) as (port, _):
                taken = replayed(recording, port, arguments.connections)
            rows.append([f"to Offhook on {kind}", round(taken[0]), alone[0] / taken[0], *taken[1:]])
    table(HEADER, rows)


if __name__ == "__main__":
    main()
