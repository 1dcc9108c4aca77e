"""Writes a CSV of N customers to standard output: deterministic, in the spellings that people use. Imports nothing of ours.

    python bench/make_customers.py 1000000 > customers.csv
    python bench/make_customers.py 1000000 --bad 0.001 --conflicts 0.001 > customers.csv

Without --bad and --conflicts every row is good and every phone stands once.
"""

from __future__ import annotations

import argparse
import random
import sys

SPELLINGS = (
    "+1{area}{exchange}{line}",
    "{area}{exchange}{line}",
    '"({area}) {exchange}-{line}"',
    "{area}-{exchange}-{line}",
    "{area}.{exchange}.{line}",
    "1-{area}-{exchange}-{line}",
    "+1 ({area}) {exchange} {line}",
)
BAD = ("n/a,nobody{n}@example.com,C{n}", "+1{area}{exchange}{line},,", "anonymous,a{n}@example.com,C{n}", "12,b@c,C{n}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("--bad", type=float, default=0.0, help="share of rows that must be rejected")
    parser.add_argument(
        "--conflicts", type=float, default=0.0, help="share of rows that give a phone to a second customer"
    )
    asked = parser.parse_args()
    sys.stdout.reconfigure(newline="\n")  # type: ignore[union-attr]
    write, dice = sys.stdout.write, random.Random(20_261_124)
    write("phone,email,customer_id\n")
    for n in range(asked.rows):
        write(row(n, dice, asked.bad, asked.conflicts))


def row(n: int, dice: random.Random, bad: float, conflicts: float) -> str:
    """The row of customer `n`. 7,919,999 is coprime to the count of numbers, so that none comes twice."""
    chance = dice.random()
    owner = dice.randrange(n) if n and bad <= chance < bad + conflicts else n
    number = (owner * 7_919_999 + 12_345) % 6_400_000_000
    area, rest = 200 + number // 8_000_000 % 800, number % 8_000_000
    parts = {"n": n, "area": area, "exchange": 200 + rest // 10_000, "line": f"{rest % 10_000:04}"}
    if chance < bad:
        return dice.choice(BAD).format(**parts) + "\n"
    email = f"customer{n}@example.com" if n % 10 else ""
    return f"{SPELLINGS[n % len(SPELLINGS)].format(**parts)},{email},C{n:08}\n"


if __name__ == "__main__":
    main()
