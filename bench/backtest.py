"""What `flask rules backtest` takes over a past of calls: seconds and peak memory, at two sizes, by one rule and by the fifty
of fifty.py. One rule asks nothing that the ledger's row of a call does not say; for the fifty all callbacks are read.

The calls are copies of some that went through the steps of the worker: converted ones, some of them with legs, callers whom
nobody knows, busy lines; over 400 days. That memory is constant is seen by the two sizes. 127.0.0.1 only.
Asked for: 120 s for 1,000,000.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from books import taker
from bulk import DAY, Plan, Specimen, Sql, add_customers, copy, in_bulk, specimen
from fifty import ONE, fifty
from report import Report, Table, asked, options, say, sides
from rig import ACCOUNT, Template, databases, environment, folder, kinds, random_sid
from scale import CUSTOMERS_FROM
from stand import STRANGER

TEXTS = {"1 rule": ONE, "50 rules": fifty()}
WEIGHTS = {0: 60, 1: 15, 2: 15, 3: 10}  # of a hundred: converted, with legs, of strangers, busy lines
LEG = ("initiated", "ringing", "in-progress", "completed")


def fill(url: str, calls: int, seed: str, customers: int) -> None:
    """So many calls more, of so many customers, by the version that Python finds."""
    sql = Sql(url)
    if not sql.number("SELECT count(*) FROM customers"):
        add_customers(sql, customers, CUSTOMERS_FROM)
    specimens = _specimens(url, sql, seed)
    with in_bulk(sql):
        copy(sql, specimens, Plan(seed, calls, WEIGHTS, 400 * DAY, CUSTOMERS_FROM, customers))
    sql.close()


def _specimens(url: str, sql: Sql, seed: str) -> list[Specimen]:
    """One call of each kind, as the service keeps it."""
    known = f"+{CUSTOMERS_FROM}"
    child = [
        Template.load(
            ParentCallSid="{parent}", Direction="outbound-dial", CallStatus=status, SequenceNumber=str(number)
        )
        for number, status in enumerate(LEG)
    ]
    by_kind = {
        "converted": (known, [Template.load()]),
        "legs": (known, [*child, Template.load()]),
        "strangers": (STRANGER, [Template.load()]),
        "busy": (known, [Template.load(CallStatus="busy", CallDuration="0")]),
    }
    found = []
    for kind, (caller, callbacks) in by_kind.items():
        root, leg = random_sid(seed, kind), random_sid(seed, kind, "leg")
        _live_through(url, [_raw(each, caller, root, leg, at) for at, each in enumerate(callbacks)])
        one = specimen(sql, (root, leg) if kind == "legs" else (root,), caller)
        found.append(Specimen(one.sids, one.caller, one.rows, is_strangers=kind == "strangers"))
    return found


def _raw(template: Template, caller: str, root: str, leg: str, at: int) -> Any:
    from offhook.pipeline.callback import RawCallback

    is_child = "{parent}" in template.body
    sid, parent = (leg, root) if is_child else (root, None)
    body = template.body.replace("{sid}", sid).replace("{parent}", root).replace("{caller}", caller.replace("+", "%2B"))
    request = ("POST", "/twilio/status", "application/x-www-form-urlencoded", (), body.encode())
    return RawCallback(f"{sid}{at}", ACCOUNT, sid, parent, datetime.now(UTC), *request)


def _live_through(url: str, raws: Sequence[Any]) -> None:
    """Stored, folded, decided and, where it is a conversion, delivered."""
    from offhook.adapters.ledger.store import SqlLedger
    from offhook.adapters.rockerbox.payload import encode
    from offhook.adapters.rules_file.reading import parse
    from offhook.adapters.twilio.reading import read
    from offhook.pipeline.delivery import RetryPolicy
    from offhook.pipeline.ends import Numbering
    from offhook.pipeline.steps import Judge, decide_batch, deliver_batch, fold_batch

    def now() -> datetime:
        return datetime.now(UTC)

    ledger, judge = SqlLedger(url), Judge(parse(ONE), Numbering("US"), encode, read, 0.0)
    ledger.append(raws)
    if fold_batch(ledger, judge, 100) != len(raws) or decide_batch(ledger, judge, now(), 100) != 1:
        raise RuntimeError("a call was not decided")
    deliver_batch(ledger, taker(), RetryPolicy(), 60.0, now)
    ledger.close()


def backtest(url: str, code: Path, file: Path) -> tuple[float, float, float]:
    """Seconds by the clock and of CPU (without Postgres), and MiB at the peak."""
    words = [sys.executable, "-m", "flask", "rules", "backtest", "--file", str(file), "--since", "500d", "--json"]
    begun = time.monotonic()
    env = environment({"DATABASE_URL": url}, code)
    running = subprocess.Popen(words, cwd=code, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"flask rules backtest ended with {running.returncode}")
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(kind: str, arguments: Namespace) -> Table:
    rows: list[list[object]] = []
    code = sides(arguments)[-1].code
    with ExitStack() as stack:
        place = stack.enter_context(folder(arguments.folder))
        make = stack.enter_context(databases(kind, place))
        url, there = make("past", code), 0
        for calls in (arguments.calls // 10, arguments.calls):
            say(f"{kind}: a past of {calls:,} calls is made")
            many = {"--calls": calls - there, "--seed": f"past {calls}", "--customers": arguments.calls // 3}
            words = [sys.executable, __file__, "--fill", url, *(str(word) for each in many.items() for word in each)]
            subprocess.run(words, env={**os.environ, "PYTHONPATH": str(code)}, check=True)
            there = calls
            for name, text in TEXTS.items():
                file = place / "new.toml"
                file.write_text(text, encoding="utf-8")
                say(f"{kind}: {name}")
                seconds, cpu, peak = backtest(url, code, file)
                rows.append([f"{calls:,} calls, {name}", seconds, cpu, calls / seconds, peak])
    return Table(f"{kind}: flask rules backtest", ["", "s", "of them CPU", "calls/s", "peak MiB"], rows)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000, help="of the larger past, 1,000 to 10,000,000")
    for name in ("--fill", "--seed"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--customers", type=int, help=argparse.SUPPRESS)
    known = parser.parse_args()
    if known.fill:
        sys.path.insert(0, os.environ["PYTHONPATH"])  # before the folder of this bench
        fill(known.fill, known.calls, known.seed, known.customers)
        return
    arguments = asked(parser)
    arguments.calls = max(1000, min(arguments.calls, 10_000_000))
    report = Report(arguments)
    for kind in kinds(arguments.database):
        report.add(measure(kind, arguments))


if __name__ == "__main__":
    main()
