"""The pytest plugin: signed callbacks for any app, recordings, the whole pipeline without waiting, golden files.

Where this repository was installed with pip the fixtures are there; a conftest may also say
`pytest_plugins = ["offhook.pytest_offhook"]`. All imports that cost time stay within the fixtures.

    def test_my_webhook_takes_a_day_of_calls(offhook_client, offhook_recording):
        client = offhook_client(my_flask_app, auth_token="the token that the app knows")
        assert client.play(offhook_recording("shop-day")).refused == []

    def test_the_conversions_are_those_that_we_agreed_on(offhook_pipeline, offhook_golden):
        offhook_pipeline.customers("customers.csv")
        offhook_pipeline.play("shop-day")
        offhook_golden(offhook_pipeline.run())
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from offhook.adapters.commands.context import Offhook
    from offhook.adapters.recordings.asgi import AsgiApp
    from offhook.adapters.recordings.client import Played, Reply, SignedClient, WsgiApp
    from offhook.adapters.recordings.format import Record
    from offhook.adapters.recordings.golden_use import GoldenUse
    from offhook.adapters.rockerbox.sandbox import Sandbox
    from offhook.adapters.twilio.spelling import Pairs
    from offhook.pipeline.customer import Customer
    from offhook.pipeline.story import CallOutcome

LIBRARY = Path(__file__).parent / "recordings"
ACCOUNT_SID = "AC00000000000000000000000000000001"  # the account of the library's recordings
AUTH_TOKEN = "offhook-test-token"
SHARED_KEY_ID = "webhooks_sharedkey_offhook"
SHARED_SECRET = "offhook-test-secret"
PUBLIC_URL = "https://calls.example.com"
MAX_NAME_BYTES = 200  # with its hash, its end, and what stands behind it until it is whole; file systems take 255


_UPDATE = "offhook_update_golden"
_USE: pytest.StashKey[GoldenUse] = pytest.StashKey()
_FROM_A_PROCESS = "offhook_golden_use"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("offhook", "recorded callbacks (Offhook)")
    group.addoption(
        "--offhook-update-golden",
        dest=_UPDATE,
        action="store_true",
        help="Write the golden files anew instead of comparing with them, and remove those that no test uses.",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Iterator[None]:
    """The short name, where no plugin and no conftest has it: all of them are loaded by then."""
    yield
    try:
        is_free = "--update-golden" in parser.parse_known_and_unknown_args(["--update-golden"])[1]
    except (pytest.UsageError, SystemExit):  # theirs takes a value
        is_free = False
    if is_free:
        group = parser.getgroup("offhook")
        group.addoption(
            "--update-golden", dest=_UPDATE, action="store_true", help="The same as --offhook-update-golden."
        )


def pytest_configure(config: pytest.Config) -> None:
    from offhook.adapters.recordings.golden_use import GoldenUse

    config.stash[_USE] = GoldenUse()
    config.pluginmanager.register(_Reports(config.stash[_USE]), "offhook-reports")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tests = config.stash[_USE].tests
    for item in items:
        tests.setdefault(str(item.path), []).append(item.nodeid)
    named = {arg.partition("::")[0] for arg in config.args if "::" in arg}
    config.stash[_USE].partial.update(str(config.invocation_params.dir / path) for path in named)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[_USE].partial.add(str(item.path))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of pytest-xdist is done. What it used comes with it."""
    used = getattr(node, "workeroutput", {}).get(_FROM_A_PROCESS)
    if used:
        node.config.stash[_USE].add(used)


class _Reports:
    """Takes note of the tests that pass."""

    def __init__(self, use: GoldenUse) -> None:
        self._use = use

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._use.passed.add(report.nodeid)
        elif not report.passed:
            self._use.passed.discard(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    use, output = session.config.stash[_USE], getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_FROM_A_PROCESS] = use.as_json()
    elif use.shared() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    from offhook.adapters.recordings.golden import OPTION
    from offhook.adapters.recordings.golden_use import removed, report

    use = config.stash[_USE]
    unused = use.unused()
    gone = removed(unused) if config.getoption(_UPDATE) else []
    lines = report(unused, gone, use.shared(), OPTION)
    if lines:
        terminalreporter.section("golden files (Offhook)")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture
def offhook_client() -> Iterator[Callable[..., SignedClient]]:
    """(app or URL, auth_token=... or shared_key=(id, secret, algorithm)) -> a client that signs as Twilio does.

    For an app, WSGI or ASGI: `base_url`, the address that it believes to be called at ("http://localhost"). For a URL:
    `signed_for`, where its public address is another one, and `yes_remote` to send beyond this machine. Async tests
    await what the client gives.
    """
    from offhook.adapters.recordings.client import of_app, of_url
    from offhook.adapters.twilio.signature import by_auth_token, by_shared_key

    made: list[SignedClient] = []

    def client(
        receiver: WsgiApp | AsgiApp | str,
        *,
        auth_token: str = "",
        shared_key: tuple[str, str, str] | None = None,
        **more: Any,
    ) -> SignedClient:
        if bool(auth_token) == bool(shared_key):
            raise ValueError('say how to sign: auth_token="..." or shared_key=(id, secret, "HMAC_SHA256"), one of them')
        sign = by_shared_key(*shared_key) if shared_key else by_auth_token(auth_token)
        made.append(of_url(receiver, sign, **more) if isinstance(receiver, str) else of_app(receiver, sign, **more))
        return made[-1]

    yield client
    for each in made:
        each.close()


@pytest.fixture
def offhook_recording(request: pytest.FixtureRequest) -> Callable[..., tuple[Record, ...]]:
    """(name or path) -> the callbacks of a recording.

    A path is looked for beside the test's file, then in pytest's root folder. A plain name without `.jsonl` is one of
    the library's, such as "answered" or "shop-day". Raises RecordingError with file, line and field.
    """
    from offhook.adapters.recordings.format import read

    return lambda name: tuple(read(find_file(name, _folders_of(request))))


def _folders_of(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    return request.path.parent, request.config.rootpath


def find_file(name: str | Path, folders: Iterable[Path]) -> Path:
    """The file that is meant: in one of the folders, else in the library. Raises FileNotFoundError with what there is."""
    for path in (*(folder / name for folder in folders), LIBRARY / name, LIBRARY / f"{name}.jsonl"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in LIBRARY.glob("*.jsonl")))
    raise FileNotFoundError(f"there is no file {str(name)!r}; name one beside the test, or a recording of: {known}")


@pytest.fixture
def offhook_settings() -> Mapping[str, str]:
    """Settings for `offhook_pipeline` by the names of their variables; override this fixture to change them."""
    return {}


@pytest.fixture
def offhook_database_url(tmp_path: Path) -> str:
    """An empty database for `offhook_pipeline`: SQLite. Override this fixture to run on Postgres."""
    return f"sqlite:///{tmp_path}/offhook.db"


@pytest.fixture
def offhook_pipeline(
    request: pytest.FixtureRequest, offhook_database_url: str, offhook_settings: Mapping[str, str], tmp_path: Path
) -> Iterator[Pipeline]:
    """A whole Offhook with a ledger of its own and a sandbox Rockerbox, in one thread and without waiting."""
    with open_pipeline(offhook_database_url, tmp_path, offhook_settings, _folders_of(request)) as pipeline:
        yield pipeline


@pytest.fixture
def offhook_golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """(what came out, name="...") compares with `golden/<test file>/<test>.json` beside the test's file.

    What came out is CallSid -> fields, such as `offhook_pipeline.run()` gives. Fails with each call and field that
    differs; `pytest --offhook-update-golden` writes the file instead. A file belongs to one test.
    """
    from offhook.adapters.recordings.golden import check, message, text_of
    from offhook.adapters.recordings.golden_values import GoldenError

    mine: set[Path] = set()

    def golden(outcomes: Mapping[str, Mapping[str, Any]], name: str = "") -> None:
        __tracebackhide__ = True
        path = golden_path(request.path, name or request.node.nodeid.partition("::")[2])
        if path in mine:
            pytest.fail(f"two comparisons of this test use {path}: give each its name=...", pytrace=False)
        mine.add(path)
        try:
            content = sha256(text_of(outcomes).encode()).hexdigest()
            if other := request.config.stash[_USE].claim(path, request.node.nodeid, content):
                raise GoldenError(f"{other} uses {path}, too: give each its name=...")
            differences = check(path, outcomes, update=request.config.getoption(_UPDATE))
            wrong = message(path, differences) if differences else ""
        except GoldenError as error:
            wrong = str(error)
        if wrong:
            pytest.fail(wrong, pytrace=False)

    return golden


def golden_path(test_file: Path, name: str) -> Path:
    """Where the golden file of a test is. `name` may hold anything, and may be longer than a file's name.

    No two names share a file: where a name is changed to be one of a file, and where a file system that takes capitals
    for small letters would mix it with another, a hash of it follows.
    """
    from offhook.adapters.recordings.golden_use import golden_folder

    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.").encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    if plain != name or plain != plain.lower() or not plain:
        plain = f"{plain}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}".lstrip("-")
    return golden_folder(test_file) / f"{plain}.json"


@contextmanager
def open_pipeline(
    database_url: str, folder: Path, settings: Mapping[str, str] | None = None, look_in: Iterable[Path] = ()
) -> Iterator[Pipeline]:
    """A Pipeline on an empty database; `folder` gets its rules. The environment and `.env` play no part.

    `look_in` are folders in which names of files are looked for, before the library.
    """
    from offhook.adapters.rockerbox.sandbox import Sandbox

    with Sandbox() as sandbox:
        pipeline = Pipeline(database_url, folder, sandbox, settings or {}, look_in)
        try:
            pipeline.service.ledger.migrations.upgrade()
            yield pipeline
        finally:
            pipeline.service.ledger.close()


class Pipeline:
    """Offhook as it is, but that its time is the recording's, and jumps.

    `client` sends signed callbacks to its Flask app, `sandbox` is its Rockerbox, `service` its parts. Each callback is
    received when the recording says, so the same recording gives the same conversions, whenever it is played.
    """

    def __init__(
        self,
        database_url: str,
        folder: Path,
        sandbox: Sandbox,
        settings: Mapping[str, str],
        look_in: Iterable[Path] = (),
    ) -> None:
        from offhook.adapters.private_file import write_whole
        from offhook.adapters.recordings.client import of_app
        from offhook.pipeline.rehearsal import JumpingClock
        from offhook.service import build, web
        from offhook.settings import given

        self._folder = folder
        self._look_in = tuple(look_in)
        self._rules = folder / "offhook.toml"
        write_whole(self._rules, "")
        self._received_at = _LONG_AGO
        self.sandbox = sandbox
        self.clock = JumpingClock(_LONG_AGO)
        self.service: Offhook = build(given({**self._settings(database_url), **settings}))
        self.app = web(self.service, clock=lambda: self._received_at)
        self.client = of_app(self.app, _sign, base_url=PUBLIC_URL)

    def _settings(self, database_url: str) -> dict[str, str]:
        keys = {"auth_tokens": [AUTH_TOKEN], "shared_keys": {SHARED_KEY_ID: SHARED_SECRET}}
        return {
            "DATABASE_URL": database_url,
            "TWILIO_KEYRING": json.dumps({ACCOUNT_SID: keys}),
            "PUBLIC_URL": PUBLIC_URL,
            "ROCKERBOX_ADVERTISER_ID": "offhook-test",
            "ROCKERBOX_URL": f"{self.sandbox.url}/webhook/data",
            "OFFHOOK_CONFIG": str(self._rules),
        }

    def rules(self, toml: str) -> None:
        """The text of an offhook.toml, for all that is decided from now on. Raises RulesError at once if it is wrong."""
        from offhook.adapters.private_file import write_whole

        write_whole(self._rules, toml)
        self.service.rules()

    def customers(self, source: str | Path | Iterable[tuple[str, str | None, str | None] | Customer]) -> None:
        """The mapping: a CSV file with the columns phone, email, customer_id, or such rows, their phones in E.164.

        Raises ValueError for a row of a file that cannot be used.
        """
        from offhook.adapters.customers.csv_file import import_csv
        from offhook.pipeline.customer import Customer

        if not isinstance(source, str | Path):
            self.service.ledger.merge_customers([Customer(*row) if isinstance(row, tuple) else row for row in source])
            return
        path, rejects = find_file(source, self._look_in), self._folder / "rejected.csv"
        region = self.service.settings.default_country
        report = import_csv(path, self.service.ledger, region=region, rejects_path=rejects)
        if not report.complete:
            raise ValueError(f"{path}: some rows cannot be used:\n{rejects.read_text(encoding='utf-8')}")

    def play(self, recording: str | Path | Iterable[Record], **options: Any) -> Played:
        """Send a recording, signed, each callback at its recorded time; `options` are those of a replay (shuffle, ...).

        All callbacks become those of the one account that the pipeline knows. Raises AssertionError when one is refused.
        """
        from offhook.adapters.recordings.client import Played, played
        from offhook.adapters.recordings.format import read

        records = read(find_file(recording, self._look_in)) if isinstance(recording, str | Path) else recording
        replies = Played(tuple(map(self.send, played(records, **{"account_sid": ACCOUNT_SID, **options}))))
        if replies.refused:
            raise AssertionError(
                f"{len(replies.refused)} of {len(replies)} callbacks were refused: {replies.refused[:3]}"
            )
        return replies

    def send(self, record: Record) -> Reply:
        """One callback, received at the recorded time. It must be of the account that the pipeline knows."""
        self._received_at = record.received_at
        self.clock.jump_to(record.received_at)
        return self.client.send(record)

    def run(self) -> dict[str, dict[str, Any]]:
        """Fold, decide and deliver to the end, retries included; then `outcomes()`."""
        from offhook.from_settings import pace
        from offhook.pipeline.rehearsal import run_to_end

        service = self.service
        run_to_end(
            service.ledger, service.destination, service.judge(), service.policy, pace(service.settings), self.clock
        )
        return self.outcomes()

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """CallSid -> what became of the call: its state, the reasons, and of a conversion the payload and its delivery."""
        return {outcome.key.call_sid: _shown(outcome) for outcome in self.service.ledger.stories.outcomes()}

    @property
    def conversions(self) -> list[dict[str, Any]]:
        """The payloads, in the order of the calls."""
        return [outcome["conversion"] for outcome in self.outcomes().values() if "conversion" in outcome]


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _shown(outcome: CallOutcome) -> dict[str, Any]:
    shown: dict[str, Any] = {"state": outcome.state, "reasons": list(outcome.reasons)}
    if outcome.payload is None:
        return shown
    return shown | {"delivery": outcome.delivery, "conversion": json.loads(outcome.payload)}


def _sign(url: str, pairs: Pairs, signing: str) -> Mapping[str, str]:
    """As the recording says that the original was signed."""
    from offhook.adapters.recordings.format import SHARED_KEY_SHA1, SHARED_KEY_SHA256
    from offhook.adapters.twilio.signature import by_auth_token, by_shared_key
    from offhook.adapters.twilio.spelling import HMAC_SHA1, HMAC_SHA256

    algorithm = {SHARED_KEY_SHA1: HMAC_SHA1, SHARED_KEY_SHA256: HMAC_SHA256}.get(signing)
    sign = by_shared_key(SHARED_KEY_ID, SHARED_SECRET, algorithm) if algorithm else by_auth_token(AUTH_TOKEN)
    return sign(url, pairs, signing)
