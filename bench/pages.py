"""What each page of the dashboard takes with 1,000,000 calls in the ledger, and what people who click cost intake.

The calls are copies of some that the service itself has stored: converted ones, some of them with legs, some that Rockerbox
refused or that may have arrived, callers whom nobody knows, lines that were busy, calls that never ended; of ten tracked
numbers, over 90 days, and a customer for each third of them. The sums by the hour are those of these calls. Each page is
asked for by one signed-in admin through the project's gunicorn; `web CPU` is that of the web process, without Postgres.

With `--clicking N` so many people, in a process of their own, click through the pages, each a pause after the answer, while
callbacks come in as fast as they are taken: the rate with them, of that without, round by round. An answer to a callback
that is no 204 ends the bench. 127.0.0.1 only.

Asked for: p95 of 300 ms, a first paint of 3 requests and 150 KB, and 0.95 of intake.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote_plus, urlencode

from api import rate
from bulk import DAY, Plan, Specimen, Sql, add_customers, copy, in_bulk
from report import Report, Side, Table, asked, in_turns, options, say
from rig import cpu_seconds, databases, environment, folder, kinds, percentile
from scale import CUSTOMERS_FROM
from stand import Stand, converted, parked, skipped, stand, unended, with_legs

EMAIL, PASSWORD = "bench@example.com", "a short walk by the sea"
NUMBERS, DAYS = 10, 90
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_OLDER = re.compile(r'href="[^"]*[?&](?:amp;)?after=([^"&]+)')
_PAINTED = re.compile(r'<(?:link rel="stylesheet" href|script src|img src)="([^"]+)"')
_NO_CALLS_NUMBER = "+14155559999"
_AUDIT_LINES = 100_000


# The ledger


def fill(stood: Stand, calls: int) -> None:
    """A past of so many calls, with the sums that the service would have kept of them."""
    begun, sql = time.monotonic(), stood.sql
    specimens = _specimens(stood)
    weights = {place: weight for place, (_, weight) in enumerate(specimens)}
    customers = calls // 3 | 1  # odd: else each caller has calls of one kind alone
    for table in sql.tables_of_calls():
        sql.rows(f"DELETE FROM {table}")
    with in_bulk(sql):
        add_customers(sql, customers, CUSTOMERS_FROM)
        _add_history(sql)
        plan = Plan("pages", calls, weights, DAYS * DAY, CUSTOMERS_FROM, customers, numbers=NUMBERS)
        copy(sql, [one for one, _ in specimens], plan)
        _add_sums(sql)
        _add_audit(sql)
    shown = ", ".join(
        f"{sql.number(f'SELECT count(*) FROM {name}'):,} {name}" for name in ("calls", "conversions", "tallies")
    )
    say(f"  {shown} in {time.monotonic() - begun:.0f} s")


def _specimens(stood: Stand) -> list[tuple[Specimen, int]]:
    """Calls of many kinds, and how many of a hundred are of each."""
    sent, busy, nobody = converted(stood), skipped(stood), parked(stood)
    far = time.time_ns() // 1000 + int(1000 * DAY) * 1_000_000
    rests = {"delivered_at": None, "due_at": None}
    weighed = [
        (sent, 38),
        (with_legs(stood), 10),
        (_stands(sent, "on_its_way", "http_503", state="pending", delivered_at=None, due_at=far), 1),
        (_stands(sent, "refused", "http_422", state="dead", **rests), 1),
        (_stands(sent, "refused", "http_400", state="dead", **rests), 1),
        (_stands(sent, "held", "deadline", state="ambiguous", maybe_sent=1, **rests), 1),
        (nobody, 12),
        (_decided(nobody, "several_customers"), 2),
        (busy, 10),
        *((_decided(busy, word), 4) for word in ("too_short", "not_answered", "outside_hours", "number_not_tracked")),
        (_decided(busy, "unknown_too_long"), 4),
        (unended(stood), 4),
    ]
    return [(replace(one, ours=one.rows["outcomes"][0]["number"].lstrip("+")), weight) for one, weight in weighed]


def _stands(one: Specimen, outcome: str, reason: str, **columns: object) -> Specimen:
    """A conversion that stands elsewhere on its way."""
    moved = one.altered("conversions", reason=reason, **columns).altered("outcomes", outcome=outcome, reason=reason)
    return moved.altered("attempts", reason=reason, next_state=columns["state"], status_code=422, answer="{}")


def _decided(one: Specimen, word: str) -> Specimen:
    return one.altered("outcomes", reason=word, rule_reason=word).altered(
        "decisions", reasons=json.dumps([[word, "A sentence."]])
    )


def _add_history(sql: Sql) -> None:
    sql.rows("DELETE FROM customer_rows")
    sql.rows(
        "INSERT INTO customer_rows (id, phone, email, customer_id, people, from_at, brought_by) SELECT "
        "row_number() OVER (ORDER BY phone), phone, email, customer_id, 1, changed_at, 1 FROM customers"
    )


def _add_sums(sql: Sql) -> None:
    """What `flask tallies rebuild` comes to, in one statement; the sums by the day follow by themselves."""
    hour, names = "at - at % 3600000000", "number, outcome, reason"
    sql.rows("DELETE FROM tallies")
    sql.rows(
        f"INSERT INTO tallies SELECT {hour}, {names}, count(*) FROM outcomes WHERE outcome <> 'merged' GROUP BY {hour}, {names}"
    )
    sql.rows("DELETE FROM rule_tallies")
    by_rule = "coalesce(rule, ''), CASE WHEN rule IS NULL THEN 0 ELSE 1 END, rule_state, rule_reason"
    for hours in (1, 24):
        begins = f"at - at % {hours * 3_600_000_000}"
        sql.rows(
            f"INSERT INTO rule_tallies SELECT {hours}, {begins}, {by_rule}, count(*) FROM outcomes WHERE rule_state IS NOT NULL "
            f"GROUP BY {begins}, {by_rule}"
        )
    sql.rows("UPDATE counters SET value = 1 WHERE name = 'tallies_whole'")


def _add_audit(sql: Sql) -> None:
    now = time.time_ns() // 1000
    sql.rows(
        f"INSERT INTO audit (at, who, what, of_what, from_where) SELECT {now} - n, 'bench', 'sign in', 'n' || n, '127.0.0.1' "
        f"FROM (SELECT row_number() OVER (ORDER BY call_sid) AS n FROM calls LIMIT {_AUDIT_LINES}) AS numbered"
    )


# A browser


@dataclass(slots=True)
class Browser:
    """Keeps its connection and its cookies; takes gzip. `bytes_read` are those of the last answer, its headers with it."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    connection: http.client.HTTPConnection | None = None
    retry_after: float = 1.0
    bytes_read: int = 0

    def ask(self, path: str, method: str = "GET", **fields: str) -> tuple[int, bytes]:
        self.connection = self.connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Accept-Encoding": "gzip", "Accept": "text/html", "Host": "bench.example.com"}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if fields:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, urlencode(fields) if fields else None, headers)
        answer = self.connection.getresponse()
        body = answer.read()
        self.bytes_read = len(body) + sum(len(name) + len(value) + 4 for name, value in answer.getheaders()) + 19
        self.retry_after = float(answer.headers.get("Retry-After", 1))
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, body

    def sign_in(self) -> Browser:
        _, page = self.ask("/login")
        found = _TOKEN.search(_text(page))
        assert found, "no form to sign in"
        status, _ = self.ask("/login", "POST", csrf_token=found[1], email=EMAIL, password=PASSWORD)
        assert status == 303, f"signing in was answered {status}"
        return self


def _text(page: bytes) -> str:
    if page.startswith(b"\x1f\x8b"):
        import gzip

        page = gzip.decompress(page)
    return page.decode()


def add_user(stood: Stand) -> None:
    words = [sys.executable, "-m", "flask", "users", "create", "--email", EMAIL, "--role", "admin", "--password-stdin"]
    env, code = environment(stood.env, stood.side.code), stood.side.code
    done = subprocess.run(words, cwd=code, env=env, input=f"{PASSWORD}\n", text=True, capture_output=True)
    if done.returncode and "is a user" not in done.stderr:
        raise RuntimeError(done.stderr)


# The pages


def pages_of(stood: Stand, browser: Browser) -> dict[str, str]:
    """Every page and what is asked of it: a name for each address."""
    sql = stood.sql

    def one(question: str) -> str:
        return str(sql.rows(f"{question} LIMIT 1")[0][0])

    of = "SELECT call_sid FROM outcomes WHERE outcome"
    sent, refused, nobodys = (one(f"{of} = '{word}'") for word in ("delivered", "refused", "unknown_caller"))
    phone = one("SELECT customer_phone FROM calls WHERE state = 'converted'")
    customer = one(f"SELECT customer_id FROM customers WHERE phone = '{phone}'")
    email = one(f"SELECT email FROM customers WHERE phone = '{phone}'")
    ours = one("SELECT number FROM tallies WHERE number > ''")
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAYS / 2 * DAY))
    deep = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - (DAYS - 1) * DAY))
    number = quote_plus(ours)
    found = {f"overview, {name}": f"/?range={name}" for name in ("today", "7d", "30d", "90d")}
    found |= {
        "overview, a week long ago": f"/?from={day}&to={_later(day, 6)}",
        "overview, 90 days, one number": f"/?range=90d&number={number}",
        "calls": "/calls",
        "calls, an old page by its key": f"/calls?{_behind(browser, f'/calls?until={deep}')}",
        "calls, today": "/calls?span=today",
        "calls, of a number": f"/calls?number={number}",
        "calls, an outcome": "/calls?outcome=refused",
        "calls, a reason": "/calls?reason=http_422",
        "calls, a reason and another number": f"/calls?reason=http_422&number={quote_plus(_NO_CALLS_NUMBER)}",
        "calls, a state": "/calls?state=no-end",
        "calls, long ones": "/calls?least=100000",
        "calls, a source": "/calls?source=rest",
        "calls, of a customer": f"/calls?customer={quote_plus(email)}",
        "calls, all columns": "/calls?" + "&".join(f"col={name}" for name in ("when", "customer", "decided", "id")),
        "calls, how many are new": f"/calls/new?than={_behind(browser, '/calls').removeprefix('after=')}",
        "a call, delivered": f"/calls/{sent}",
        "a call, refused": f"/calls/{refused}",
        "a call, unknown caller": f"/calls/{nobodys}",
        "search, a phone": f"/search?q={quote_plus(phone)}",
        "search, our number": f"/search?q={number}",
        "search, an email": f"/search?q={quote_plus(email)}",
        "search, a customer id": f"/search?q={quote_plus(customer)}",
        "search, a CallSid": f"/search?q={sent}",
        "search, an order that is none": "/search?q=order-of-nobody",
        "unknown callers": "/unknown",
        "unknown callers, by their last call": "/unknown?order=latest",
        "unknown callers, the page after": f"/unknown?{_behind(browser, '/unknown')}",
    }
    found |= {
        f"deliveries, {name}": f"/deliveries?show={name}"
        for name in ("open", "way", "refused", "maybe", "held", "done")
    }
    return found | {
        "deliveries, an old page by its key": f"/deliveries?show=done&{_behind(browser, f'/deliveries?show=done&until={deep}')}",
        "deliveries, a reason": "/deliveries?show=refused&reason=http_400",
        "customers": "/customers",
        "customers, an email": f"/customers?q={quote_plus(email)}",
        "customers, a phone": f"/customers?q={quote_plus(phone)}",
        "customers, conflicts": "/customers/conflicts",
        "customers, imports": "/customers/imports",
        "rules": "/rules",
        "rockerbox": "/rockerbox",
        "rockerbox, a day, 90 days checked": f"/rockerbox?day={day}&check=90",
        "set-up": "/setup",
        "account": "/account",
        "audit": "/audit",
        "audit, the page after": f"/audit?{_behind(browser, '/audit')}",
    }


def _later(day: str, days: int) -> str:
    at = time.mktime(time.strptime(day, "%Y-%m-%d")) + days * DAY
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _behind(browser: Browser, path: str) -> str:
    """The key of the page after this one; of none where it is the last."""
    found = _OLDER.search(_text(browser.ask(path)[1]))
    return f"after={found[1]}" if found else ""


@dataclass(frozen=True, slots=True)
class Took:
    """One page: milliseconds by the clock in order, the web process's own per answer, the bytes of one, and other answers."""

    waits: list[float]
    cpu: float
    bytes: int
    wrong: int


def look(stood: Stand, browser: Browser, path: str, times: int) -> Took:
    browser.ask(path)  # caches of statements and templates are warm after a process's first minute
    waits, wrong, before = [], 0, cpu_seconds(stood.pid)
    for _ in range(times):
        begun = time.perf_counter()
        status, _ = browser.ask(path)
        waits.append((time.perf_counter() - begun) * 1000)
        wrong += status not in (200, 204, 303)
    return Took(sorted(waits), (cpu_seconds(stood.pid) - before) * 1000 / times, browser.bytes_read, wrong)


def each_page(kind: str, stood: Stand, times: int, only: str) -> Table:
    browser = Browser(stood.port).sign_in()
    rows = []
    for name, path in pages_of(stood, browser).items():
        if only in name:
            took = look(stood, browser, path, times)
            p50, p95 = (percentile(took.waits, share) for share in (0.5, 0.95))
            rows.append([name, p50, p95, took.cpu, took.bytes / 1000, took.wrong])
            say(f"  {name}: {p50:.0f} / {p95:.0f} ms, CPU {took.cpu:.0f} ms{', NOT ANSWERED' if took.wrong else ''}")
    return Table(f"{kind}: each page {times} times", ["", "p50 ms", "p95 ms", "web CPU ms", "KB", "not answered"], rows)


def first_paint(kind: str, stood: Stand) -> Table:
    """Without anything cached: the page, and what it names."""
    browser = Browser(stood.port).sign_in()
    _, page = browser.ask("/")
    sizes = [browser.bytes_read]
    for path in _PAINTED.findall(_text(page)):
        browser.ask(path)
        sizes.append(browser.bytes_read)
    return Table(f"{kind}: first paint of /", ["", "requests", "KB"], [["overview", len(sizes), sum(sizes) / 1000]])


# People who click


@contextmanager
def clicking(stood: Stand, people: int, browser: Browser, paths: list[str], pause: float) -> Iterator[list[int]]:
    """People who click until the block ends; then the list has [answered, asked to wait, anything else]."""
    known = json.dumps(
        {"port": stood.port, "cookies": browser.cookies, "people": people, "paths": paths, "pause": pause}
    )
    counts: list[int] = []
    clients = subprocess.Popen(
        [sys.executable, __file__, "--client", known], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert clients.stdout is not None
        clients.stdout.readline()
        yield counts
    finally:
        said, _ = clients.communicate()
        counts += json.loads(said)


def click(port: int, cookies: dict[str, str], people: int, paths: list[str], pause: float) -> None:
    """Ask until standard input ends; print [answered, asked to wait, anything else]."""
    ends, counts = threading.Event(), [0, 0, 0]

    def person(number: int) -> None:
        browser = Browser(port, dict(cookies))
        mine = itertools.cycle(paths[number * 3 % len(paths) :] + paths[: number * 3 % len(paths)])
        while not ends.is_set():
            status, _ = browser.ask(next(mine))
            counts[0 if status in (200, 204, 303) else 1 if status == 503 else 2] += 1
            ends.wait(max(pause, browser.retry_after if status == 503 else 0))

    threads = [threading.Thread(target=person, args=(number,)) for number in range(people)]
    print("begun", flush=True)
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ends.set()
    for thread in threads:
        thread.join()
    print(json.dumps(counts))


def beside(kind: str, stood: Stand, arguments: Namespace) -> Table:
    """Rounds of intake alone and with the people, in turns."""
    stood.numbers = itertools.count(time.time_ns() // 1000)  # a kept ledger has seen those of before
    browser = Browser(stood.port).sign_in()
    paths = list(pages_of(stood, browser).values())
    rate(stood, 1.0, arguments.most_per_second)
    counts = [0, 0, 0]

    def measured() -> float:
        return rate(stood, arguments.seconds, arguments.most_per_second)

    def measured_beside() -> float:
        with clicking(stood, arguments.clicking, browser, paths, arguments.pause) as seen:
            found = measured()
        counts[:] = [sum(pair) for pair in zip(counts, seen, strict=True)]
        return found

    alone, with_them = in_turns(measured, measured_beside, arguments.rounds, kind)
    ratios = [one / other for one, other in zip(with_them, alone, strict=True)]
    rows = [
        ["callbacks/s alone", statistics.median(alone)],
        ["callbacks/s beside people who click", statistics.median(with_them)],
        ["ratio, median of the rounds", statistics.median(ratios)],
        ["callbacks that were not answered 204", 0],
        ["pages shown", counts[0]],
        ["pages that asked to come again", counts[1]],
        ["pages that failed", counts[2]],
    ]
    return Table(f"{kind}: intake beside {arguments.clicking} people who click", ["", "value"], rows)


# The bench


def measure(kind: str, arguments: Namespace, report: Report) -> None:
    with ExitStack() as stack:
        place = _place(stack, arguments)
        make = stack.enter_context(databases(kind, place))
        side = Side("", arguments.code.resolve())
        stood = stack.enter_context(stand(make, place, side, kind, env=_ENV))
        if stood.sql.number("SELECT count(*) FROM calls") < arguments.calls:
            say(f"{kind}: a past of {arguments.calls:,} calls is made")
            fill(stood, arguments.calls)
        add_user(stood)
        time.sleep(3)  # the web process knows that there is a user
        if arguments.clicking:
            report.add(beside(kind, stood, arguments))
            return
        report.add(first_paint(kind, stood))
        report.add(each_page(kind, stood, arguments.times, arguments.only))


_ENV: Mapping[str, str] = {
    "OFFHOOK_UNKNOWN_DAYS": "3650",  # the old calls of strangers wait on
    "OFFHOOK_SIGN_IN_ADDRESS_TRIES": "1000",
    "OFFHOOK_DASHBOARD_ZONE": "America/Los_Angeles",  # whose days are not those that are summed
}


def _place(stack: ExitStack, arguments: Namespace) -> Path:
    if not arguments.keep:
        return stack.enter_context(folder(arguments.folder))
    arguments.keep.mkdir(mode=0o755, parents=True, exist_ok=True)
    return Path(arguments.keep).resolve()


def _options() -> ArgumentParser:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000, help="in the ledger, 1,000 to 10,000,000")
    parser.add_argument("--times", type=int, default=20, help="that each page is asked for, at most 1000")
    parser.add_argument("--only", default="", metavar="WORD", help="the pages whose name has this in it")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the filled ledgers there, for another run")
    parser.add_argument("--clicking", type=int, default=0, metavar="N", help="people who click while callbacks come in")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds that each of them reads an answer for")
    parser.add_argument("--rounds", type=int, choices=range(1, 21), default=8, metavar="1-20")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run of intake, at most 30")
    parser.add_argument("--most-per-second", type=int, default=5000, help="requests made ready for each second")
    return parser


def main() -> None:
    if sys.argv[1:2] == ["--client"]:
        click(**json.loads(sys.argv[2]))
        return
    arguments = asked(_options())
    arguments.calls = max(1000, min(arguments.calls, 10_000_000))
    arguments.times, arguments.seconds = min(arguments.times, 1000), min(arguments.seconds, 30.0)
    report = Report(arguments)
    for kind in kinds(arguments.database):
        measure(kind, arguments, report)


if __name__ == "__main__":
    main()
