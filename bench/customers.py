"""Import of 1,000,000 customers with `flask customers import`: seconds and peak memory, first time and once more.

The floor is the same file read and its rows written as they stand, in one transaction: nothing normalised, nothing compared.
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
from pathlib import Path

from rig import ROOT, database, environment, folder, kinds, table
from sqlalchemy import create_engine

TARGET_SECONDS = 30.0


def import_(url: str, file: Path) -> tuple[float, float, str]:
    """Runs the command; its seconds, peak memory in MiB, and its last line."""
    words = [sys.executable, "-m", "flask", "customers", "import", str(file)]
    said = file.with_suffix(".said")
    begun = time.perf_counter()
    with said.open("wb") as output:
        running = subprocess.Popen(
            words, cwd=ROOT, env=environment({"DATABASE_URL": url}), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(running.pid, 0)
    took = time.perf_counter() - begun
    told = said.read_text(encoding="utf-8", errors="replace").strip()
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(told[-2000:])
    return took, peak_mib(used), told.splitlines()[-1] if told else ""


def peak_mib(used: resource.struct_rusage) -> float:
    """The kernel's high-water mark of resident memory (VmHWM), of the process that ended."""
    return used.ru_maxrss / 1024


def floor(kind: str, url: str, file: Path) -> float:
    """Seconds to read the file and write its rows to a table of text."""
    begun = time.perf_counter()
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
    took = time.perf_counter() - begun
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
    print(f"\n{kind}: {count} customers; floor {bare:.1f} s; the command's last words: {first[2]}")
    body = [
        (name, took, took / TARGET_SECONDS, took / bare, round(count / took), round(peak))
        for name, (took, peak, _) in (("first import", first), ("the same again", second))
    ]
    table(("", "seconds", "of 30 s", "of the floor", "rows/s", "peak MiB"), body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--count", type=int, default=1_000_000, help="customers, at most 5,000,000")
    arguments = parser.parse_args()
    for kind in kinds(arguments.database):
        measure(kind, min(arguments.count, 5_000_000))


if __name__ == "__main__":
    main()
