"""How a bench is asked and how it answers: common options, progress on stderr, Markdown tables on stdout, the same as JSON.

Knows nothing of what is measured. A figure that could not be taken is NaN, and shown as a dash.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rig import ROOT, filesystem, is_in_memory, on_disk

_BEGUN = time.monotonic()
Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Side:
    """One version of the service: the word that stands above its column, and the folder of its checkout."""

    name: str
    code: Path


@dataclass(frozen=True, slots=True)
class Table:
    """`header` has a word for each column; numbers stand to the right of the first."""

    title: str
    header: Sequence[str]
    rows: Sequence[Row]


def options(about: str | None) -> argparse.ArgumentParser:
    """The options that all of these benches share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--code", type=Path, default=ROOT, help="the checkout to be measured; this one by default")
    parser.add_argument("--before", type=Path, help="an older checkout, measured beside it in the same run")
    parser.add_argument("--folder", type=Path, help="where ledgers are made: a folder on a disk, not in memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    return parser


def asked(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, checked: checkouts that are none, and a folder in memory, end it with a word."""
    arguments = parser.parse_args()
    for code in filter(None, (arguments.code, arguments.before)):
        if not (code / "app.py").is_file():
            parser.error(f"{code} is no checkout of the service: it has no app.py")
    arguments.folder = arguments.folder or on_disk()
    if not arguments.folder.is_dir() or is_in_memory(arguments.folder):
        parser.error(f"{arguments.folder} is no folder on a disk; name another with --folder")
    return arguments


def sides(arguments: argparse.Namespace) -> list[Side]:
    """Before, when there is one, and after."""
    after = Side("after" if arguments.before else "", arguments.code.resolve())
    return [Side("before", arguments.before.resolve()), after] if arguments.before else [after]


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"[{time.monotonic() - _BEGUN:6.1f} s] {text}", file=sys.stderr, flush=True)


def in_turns(
    one: Callable[[], float], other: Callable[[], float], rounds: int, word: str
) -> tuple[list[float], list[float]]:
    """What both measure, round by round. Each is first in every other round: what comes second has the larger ledger."""
    found: dict[Callable[[], float], list[float]] = {one: [], other: []}
    for number in range(rounds):
        say(f"{word}: round {number + 1} of {rounds}")
        for measured in (one, other) if number % 2 == 0 else (other, one):
            found[measured].append(measured())
    return found[one], found[other]


class Report:
    """Tables are printed as they come, so that a run which is broken off has shown what it measured."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._json: Path | None = arguments.json
        self._tables: list[Table] = []
        self._facts: dict[str, object] = {
            "bench": Path(sys.argv[0]).name,
            "versions": {side.name or "code": commit(side.code) for side in sides(arguments)},
            "cores": os.cpu_count(),
            "load_average_at_start": round(os.getloadavg()[0], 2),
            "filesystem": filesystem(arguments.folder),
            "options": {name: _plain(value) for name, value in vars(arguments).items()},
        }
        versions = ", ".join(" ".join(filter(None, (side.name, commit(side.code)))) for side in sides(arguments))
        machine = (
            f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, ledgers on {filesystem(arguments.folder)}"
        )
        print(f"{self._facts['bench']}: {versions}; {machine}", flush=True)

    def add(self, table: Table) -> None:
        print(f"\n{table.title}\n\n{markdown(table)}", flush=True)
        self._tables.append(table)
        if self._json:
            facts = {**self._facts, "tables": [asdict(each) for each in self._tables]}
            self._json.write_text(json.dumps(_finite(facts), indent=1), encoding="utf-8")


def compared(title: str, figures: Mapping[str, Mapping[str, float]]) -> Table:
    """A row for each figure and a column for each side (the outer name); two of them have their ratio beside them."""
    names, columns = list(next(iter(figures.values()))), list(figures)
    header = ["", *(column or "value" for column in columns), *(["after / before"] if len(columns) == 2 else [])]
    rows = []
    for name in names:
        values = [figures[column].get(name, math.nan) for column in columns]
        rows.append([name, *values, *([ratio(values[1], values[0])] if len(values) == 2 else [])])
    return Table(title, header, rows)


Pair = tuple[float, float]


def paired(title: str, words: tuple[str, str], figures: Mapping[str, Mapping[str, Pair]]) -> Table:
    """A row for each figure; for each side (the outer name) the two values that `words` name, and the second to the first."""
    header = [""]
    rows: list[list[object]] = [[name] for name in next(iter(figures.values()))]
    for side, known in figures.items():
        header += [f"{side} {word}".strip() for word in (*words, f"{words[1]} / {words[0]}")]
        for row in rows:
            first, second = known[str(row[0])]
            row += [first, second, ratio(second, first)]
    return Table(title, header, rows)


def ratio(value: float, base: float) -> float:
    return value / base if base else math.nan


def median(values: Iterable[float]) -> float:
    """Of those that could be taken."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def markdown(table: Table) -> str:
    cells = [list(table.header), *([_cell(value) for value in row] for row in table.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.header))]
    lines = ["| " + " | ".join(_padded(row, widths)) + " |" for row in cells]
    rule = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if at == 0 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _plain(value: object) -> object:
    """Names of folders stay out of what is kept: a version is named by its commit."""
    return value.name if isinstance(value, Path) else value


def _finite(value: object) -> object:
    """JSON has neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def commit(code: Path) -> str:
    """The commit of a checkout, and whether something was changed in it since."""
    words = ["git", "-C", str(code), "describe", "--always", "--dirty", "--exclude=*"]
    described = subprocess.run(words, capture_output=True, text=True)
    return described.stdout.strip() or "no commit"
