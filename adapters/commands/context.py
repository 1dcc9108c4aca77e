"""What every command has at hand: the parts of the service as `service.build` put them together, and what is checked before
a process starts. Builds nothing itself."""

from __future__ import annotations

import gc
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click
from flask import current_app

from offhook.adapters import logs
from offhook.pipeline.ports.unavailable import LedgerUnavailable

if TYPE_CHECKING:  # a command that needs no database, or no settings, does not wait for their libraries either
    from offhook.adapters.ledger.store import SqlLedger
    from offhook.adapters.rockerbox.client import Rockerbox
    from offhook.pipeline.delivery import RetryPolicy
    from offhook.pipeline.ports.caller_source import CallerSource
    from offhook.pipeline.ports.reader import Reader
    from offhook.pipeline.rules import Rules
    from offhook.pipeline.skew import Skew
    from offhook.pipeline.steps import Judge
    from offhook.pipeline.worker import Worker
    from offhook.settings import Needed, Settings


@dataclass(frozen=True, slots=True)
class Offhook:
    """The service. `rules` and `judge` read the rules at each call and raise RulesError, and so does `worker`, which makes
    a new worker, not started. `sources` makes those that are asked who calls, and raises SettingsError.
    """

    settings: Settings
    ledger: SqlLedger
    destination: Rockerbox
    destination_skew: Skew
    read: Reader
    policy: RetryPolicy
    rules: Callable[[], Rules]
    judge: Callable[[], Judge]
    worker: Callable[[], Worker]
    sources: Callable[[], Sequence[CallerSource]]

    def check_worker(self) -> list[str]:
        """Warnings; raises with everything that keeps a worker from starting."""
        problems = self.settings.missing_for_worker() + self._wrong_rules() + self._wrong_sources()
        return self._refuse_or_warn(problems)

    def _wrong_sources(self) -> list[str]:
        from offhook.settings import SettingsError

        try:
            self.sources()
        except SettingsError as error:
            return str(error).splitlines()
        return []

    def check_web(self) -> list[str]:
        """Warnings; raises with everything that keeps a web process from starting."""
        from offhook.settings import platform_url

        inline = self.settings.worker == "inline"
        problems = self.settings.missing_for_web()
        problems += self.settings.missing_for_worker() + self._wrong_sources() if inline else []
        warnings = self._refuse_or_warn(problems + self._wrong_rules())
        if not self.settings.public_urls:
            warnings.append(
                "PUBLIC_URL is not set: the Host header of each request is believed, so a callback signed for another "
                "host of yours could be replayed here. Set it to the address that Twilio was given."
            )
        said = platform_url(os.environ)
        if said is not None and self.settings.public_urls == (said[1],):
            warnings.append(
                f"callbacks must be signed for {said[1]}, the address that {said[0]} says; set PUBLIC_URL if Twilio has another"
            )
        return warnings

    def _wrong_rules(self) -> list[str]:
        from offhook.adapters.rules_file.problems import RulesError

        try:
            self.rules()
        except RulesError as error:
            return [str(error)]
        return []

    def _refuse_or_warn(self, problems: list[str]) -> list[str]:
        from offhook.adapters.ledger.engine import LedgerRefused
        from offhook.settings import SettingsError, renamed, unknown

        if self.settings.ephemeral_disk() and not self.settings.allow_ephemeral_sqlite:
            problems = [*problems, _EPHEMERAL]
        warnings = [f"{name} is no setting of Offhook's and does nothing" for name in unknown()]
        warnings += renamed()
        warnings += filter(None, [self.settings.rules_set_aside])
        try:
            warnings += self.ledger.check(allow_old_sqlite=self.settings.allow_old_sqlite)
            warnings += filter(None, [self.ledger.tables().warning])
        except LedgerRefused as error:
            problems = [*problems, str(error)]
        except LedgerUnavailable as error:
            if self.settings.is_sqlite:
                problems = [*problems, f"DATABASE_URL: the SQLite file cannot be opened or written ({error})."]
            warnings.append(f"the database does not answer yet ({error}); until it does, callbacks are answered 503")
        if problems:
            raise SettingsError("Offhook cannot start:\n" + "\n".join(f"  {problem}" for problem in problems))
        return warnings


_EPHEMERAL = (
    "This platform wipes the disk at each restart, and the ledger is a SQLite file on it: calls would be lost. "
    "Add a Postgres (heroku addons:create heroku-postgresql) or set OFFHOOK_ALLOW_EPHEMERAL_SQLITE=1 to try it out."
)


def offhook(needed: Needed = lambda _: []) -> Offhook:
    """The service of the running command, put together when it is first asked for.

    A wrong setting ends the command, and `needed` names what is missing besides.
    """
    known = current_app.extensions
    if "offhook" not in known:
        known["offhook"] = known["offhook.build"](known_settings(needed))
    return cast("Offhook", known["offhook"])


def known_settings(needed: Needed = lambda _: []) -> Settings:
    """The settings of the running command, for what needs no more than them; see `offhook`."""
    from offhook.settings import SettingsError, load

    known = current_app.extensions
    if "offhook" in known:
        return cast("Offhook", known["offhook"]).settings
    if "offhook.settings" not in known:
        try:
            known["offhook.settings"] = load(needed)
        except SettingsError as error:
            fail(str(error), 2)
        logs.configure(known["offhook.settings"].log_level)
    return cast("Settings", known["offhook.settings"])


class LedgerCommand(click.Command):
    """A command that ends with one line when the ledger cannot be used, whatever it was doing."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except LedgerUnavailable as error:
            fail_without_database(error)

    def get_help(self, ctx: click.Context) -> str:
        return as_called(super().get_help(ctx), ctx)


class LedgerGroup(click.Group):
    """Its commands are LedgerCommands."""

    command_class = LedgerCommand

    def get_help(self, ctx: click.Context) -> str:
        return as_called(super().get_help(ctx), ctx)


_EXAMPLE = re.compile(r'(?<![\w"])flask (?=[a-z])')  # not within quotes, where it is said to another machine


def as_called(text: str, context: click.Context) -> str:
    """A help whose examples begin with the program that was called: `offhook`, where `flask` would find no app."""
    return _EXAMPLE.sub("offhook ", text) if context.find_root().info_name == "offhook" else text


def fail_without_database(error: LedgerUnavailable, then: str = "") -> NoReturn:
    """End the command because the ledger cannot be used, with what to do about it; `then` is what to do afterwards."""
    try:
        tables_are_usable = offhook().ledger.tables().are_usable
    except LedgerUnavailable:
        tables_are_usable = True  # that is unknown, so it is not what is said
    if not tables_are_usable:
        fail("The database has no tables of this version yet: run `flask db upgrade` first.")
    if error.word in ("slow", "locked"):
        seconds = known_settings().statement_seconds
        why = "somebody holds a lock" if error.word == "locked" else "it took longer than it may"
        fail(
            f"The database did not answer in time ({why}): ask for less, or give it longer with "
            f"OFFHOOK_STATEMENT_SECONDS, which is {seconds:g}.{then}"
        )
    fail(f"The database does not answer: {error}{then}")


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a message on stderr and an exit code. So it is with --json and --csv, too: stdout holds the document
    that somebody reads, or nothing, and never another one in its place."""
    click.secho(message, err=True, fg="red")
    raise SystemExit(code)


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """While a command goes through many rows. What Python has loaded stays until the end; to look for garbage in it after each few
    hundred rows takes a tenth of a backtest's time, a fourth of an import's.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def stop_when_asked() -> threading.Event:
    """It is set once this process is asked to end, by SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
