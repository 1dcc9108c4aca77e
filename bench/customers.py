"""Import of 1,000,000 customers with `flask customers import`: seconds and peak memory, first time and once more.

The floor is the same file read and its rows written as they stand, in one transaction: nothing normalised, nothing compared,
no history. An import stands back from callbacks, so its seconds by the clock are more than those of CPU, which are its own
process's, without Postgres's.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rig import ROOT, database, environment, folder, kinds, table
from sqlalchemy import create_engine

TARGET_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock and of CPU, peak memory in MiB, and the command's last line."""

    seconds: float
    cpu: float
    peak: float = 0.0
    said: str = ""


def import_(url: str, file: Path) -> Took:
    """Runs the command."""
    words = [sys.executable, "-m", "flask", "customers", "import", str(file)]
    printed = file.with_suffix(".said")
    begun = time.perf_counter()
    with printed.open("wb") as out:
        running = subprocess.Popen(
            words, cwd=ROOT, env=environment({"DATABASE_URL": url}), stdout=out, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(running.pid, 0)
    took = time.perf_counter() - begun
    output = printed.read_text(encoding="utf-8", errors="replace").strip()
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(output[-2000:])
    return Took(took, used.ru_utime + used.ru_stime, peak_mib(used), output.splitlines()[-1] if output else "")


def peak_mib(used: resource.struct_rusage) -> float:
    """The kernel's high-water mark of resident memory (VmHWM), of the process that ended."""
    return used.ru_maxrss / 1024


def floor(kind: str, url: str, file: Path) -> Took:
    """Read the file and write its rows to a table of text."""
    begun, cpu = time.perf_counter(), time.process_time()
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    connection = engine.raw_connection()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE bare (phone TEXT PRIMARY KEY, email TEXT, customer_id TEXT)")
    if kind == "sqlite":
        cursor.executemany("INSERT OR IGNORE INTO bare VALUES (?, ?, ?)", rows(file))  # type: ignore[arg-type]
    else:
        with cursor.copy("COPY bare FROM STDIN") as copy:
            for row in rows(file):
                copy.write_row(row)
    connection.commit()
    cursor.execute("DROP TABLE bare")
    took = Took(time.perf_counter() - begun, time.process_time() - cpu)
    connection.commit()
    connection.close()
    engine.dispose()
    return took


def rows(file: Path) -> Iterator[list[str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        read = csv.reader(lines)
        next(read)
        yield from read


def measure(kind: str, count: int) -> None:
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        url = stack.enter_context(database(kind, place))
        file = place / "customers.csv"
        with file.open("wb") as output:
            maker = [sys.executable, str(ROOT / "bench" / "make_customers.py"), str(count)]
            subprocess.run(maker, stdout=output, check=True)
        bare = floor(kind, url, file)
        first = import_(url, file)
        second = import_(url, file)
    print(f"\n{kind}: {count} customers; floor {bare.seconds:.1f} s, {bare.cpu:.1f} s of CPU; last words: {first.said}")
    body = [
        (
            name,
            one.seconds,
            one.seconds / TARGET_SECONDS,
            one.cpu,
            one.cpu / bare.cpu,
            round(count / one.seconds),
            round(one.peak),
        )
        for name, one in (("first import", first), ("the same again", second))
    ]
    table(("", "seconds", "of 30 s", "CPU s", "of the floor's", "rows/s", "peak MiB"), body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--count", type=int, default=1_000_000, help="customers, at most 5,000,000")
    arguments = parser.parse_args()
    for kind in kinds(arguments.database):
        measure(kind, min(arguments.count, 5_000_000))


if __name__ == "__main__":
    main()
