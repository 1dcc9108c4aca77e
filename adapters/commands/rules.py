"""`flask rules ...`: what counts, checked and read back in English."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.adapters.commands.rules_anew import apply_command, backtest_command
from offhook.adapters.commands.shown import Format, show_list, show_record, shows
from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.schema import json_schema
from offhook.adapters.rules_file.then import unsaid
from offhook.pipeline.phone import mask
from offhook.pipeline.ports.signs import Sign
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.held import Held
from offhook.settings import Settings


@click.group(cls=LedgerGroup)
def rules() -> None:
    """What counts as a conversion (offhook.toml). Copy offhook.toml.example to begin.

    \b
    flask rules check           mistakes with line and remedy, or the rules in English
    flask rules show            the rules that hold, or those of a decision of then, in English
    flask rules backtest --file new.toml --since 90d      what other rules would have made of your calls
    flask rules apply --since 30d                         decide skipped and waiting calls anew
    flask rules schema          a JSON schema of the file, for editors
    """


rules.add_command(backtest_command)
rules.add_command(apply_command)


@rules.command()
@shows
@with_appcontext
def check(shown: Format) -> None:
    """Check the rules, read them back in English, list who uses them.

    Each running worker is listed, with whether it decides by these rules or by others. Exit code 1 and the lines to
    correct when something is wrong, which --json has as `problems`. --csv has the workers alone.

    \b
    flask rules check
    flask rules check --json
    """
    service = offhook()
    try:
        found = service.rules()
    except RulesError as error:
        if shown is Format.TABLE:
            _show_workers(_workers(service, None), shown, is_usable=False)
        elif shown is Format.JSON:
            show_record([("problems", _problems(error))], shown)
        fail(str(error))
    settings = service.settings
    if settings.rules_set_aside:
        click.echo(f"{settings.rules_set_aside}.", err=True)
    workers = _workers(service, found.version)
    if shown is Format.JSON:
        sentences = in_english(found).splitlines()
        where = _where(settings).strip().removesuffix(":")
        show_record(
            [("where", where), ("version", found.version), ("sentences", sentences), ("workers", workers)], shown
        )
        return
    if shown is Format.TABLE:
        click.echo(f"{_where(settings)}version {found.version}\n{in_english(found)}")
    _show_workers(workers, shown, is_usable=True)


def _problems(error: RulesError) -> list[dict[str, object]]:
    """What the lines on standard error say; `line` is null of what stands in none."""
    return [{"file": error.file_name, "line": one.line or None, "what": one.message} for one in error.problems]


@rules.command()
@click.option("--version", help="Those of a decision of then, by the version that it names.")
@click.option("--use", type=int, help="Those of a time in which they held, by its number.")
@click.option("--list", "file", help="The numbers that this file held then, which those rules name in callers_in.")
@click.option("--in-clear", "--reveal", "is_clear", is_flag=True, help="Show whole numbers, not masked.")
@shows
@with_appcontext
def show(version: str | None, use: int | None, file: str | None, is_clear: bool, shown: Format) -> None:
    """Read the rules back in English.

    With --version the text is printed that was in use under it when decisions named it, with the defaults that held then
    where it says nothing, and with --list as well the numbers of a file that it names, as they were then. `flask conversions
    show CALLSID --raw` names the version of a call's decision. With --use it is the text of a time in which rules held: the
    dashboard has its number in the address of the page to which Rules leads under "Rules of before" (`use=12`). Nothing is
    checked against the workers that run: `flask rules check` does.

    \b
    flask rules show
    flask rules show --use 12
    """
    service = offhook()
    if use is not None:
        version = _used(service, use, version)
    if file is not None:
        _show_list(service, version, file, shown, is_clear=is_clear)
        return
    if version:
        _show_then(service, version, shown)
        return
    try:
        found = service.rules()
    except RulesError as error:
        fail(str(error))
    if shown is Format.TABLE:
        click.echo(in_english(found))
    else:
        show_record([("version", found.version), ("sentences", in_english(found).splitlines())], shown)


def _used(service: Offhook, use: int, version: str | None) -> str:
    """The version of the rules that held in this time."""
    if version:
        raise click.UsageError("--use and --version name the same: give one of them.")
    found = service.ledger.past.rules_used(1, use) if use > 0 else ()
    if not found or found[0].number != use:
        fail(f"Rules never began to hold under the number {use}.")
    return found[0].version


def _show_then(service: Offhook, version: str, shown: Format) -> None:
    """The text that was kept. What it leaves to defaults and what lists it names is said beside it, so that a file of it is
    what it was.
    """
    text = service.ledger.kept_rules(version)
    if text is None:
        named = "`flask conversions show CALLSID --raw` names that of a call"
        fail(f"No rules were ever used under the version {version}. {named}.")
    lists, held = service.ledger.past.lists_used(version), service.ledger.past.held(version)
    if shown is not Format.TABLE:
        show_record([("version", version), ("text", text), ("held", held), ("lists", lists)], shown)
        return
    if text.strip():
        click.echo(text)
    _say_what_held(text, held)
    for one in lists:
        shows_them = f"`flask rules show --version {version} --list {shlex.quote(one.file)}` shows them"
        click.echo(f"Numbers that {one.file} held then: {one.count}; {shows_them}.", err=True)


def _say_what_held(text: str, held: Held | None) -> None:
    """The defaults of then: as a file that says the same, where there was none, else beside the file."""
    if held is None:
        click.echo("What held where this says nothing was not kept: an older Offhook used these rules.", err=True)
        return
    defaults = unsaid(text, held)
    if not text.strip():
        click.echo(f"# There was no {_FILE}, or nothing in it; these defaults held (Offhook {held.offhook}):")
        click.echo("\n".join([*defaults, "", *(f"# {sentence}" for sentence in held.sentences)]))
    elif defaults:
        where = f"Where the file says nothing, these defaults held (Offhook {held.offhook})"
        click.echo(f"{where}: {'; '.join(defaults)}.", err=True)


def _show_list(service: Offhook, version: str | None, file: str, shown: Format, *, is_clear: bool) -> None:
    if not version:
        raise click.UsageError("--list needs --version or --use; today's list is the file itself.")
    lists = service.ledger.past.lists_used(version)
    found = next((one for one in lists if one.file == file), None)
    if found is None:
        known = ", ".join(one.file for one in lists) or "none"
        fail(f"No list {file} is kept of the version {version}; kept: {known}.")
    numbers = service.ledger.past.listed(found.digest, found.count)
    show_list([{"phone": one if is_clear else mask(one)} for one in numbers], shown, ("phone",))


@rules.command()
def schema() -> None:
    """Print a JSON schema of offhook.toml, for editors.

    With it an editor completes and checks the file.

    \b
    flask rules schema > offhook.schema.json
    """
    show_record(json_schema(), Format.JSON)


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that is alive, and whether it decides by the rules that are here now."""

    host: str
    process: int
    since: datetime
    rules_version: str
    rules: str


_FILE = "offhook.toml"
_THESE, _OTHERS = "these", "NOT these"
_COLUMNS = tuple(field.name for field in fields(RunningWorker))


def _workers(service: Offhook, version: str | None) -> list[RunningWorker] | None:
    """Those that are alive; `version` is that of the rules here, None where they cannot be used. None where nobody knows."""
    if not service.ledger.database.is_there:
        return None
    service.ledger.look_at_clock()
    since = service.ledger.clock() - timedelta(seconds=service.settings.worker_lost_seconds)
    try:
        alive = service.ledger.workers.seen_since(since)
    except LedgerUnavailable as error:  # to check rules one needs no database
        click.echo(f"Which rules running workers use is unknown: {error}", err=True)
        return None
    return [_running(seen.sign, version) for seen in alive]


def _running(sign: Sign, version: str | None) -> RunningWorker:
    rules = _THESE if sign.rules_version == version else _OTHERS
    return RunningWorker(sign.host, sign.pid, sign.started_at, sign.rules_version, rules)


def _show_workers(workers: Sequence[RunningWorker] | None, shown: Format, *, is_usable: bool) -> None:
    if shown is Format.CSV:
        show_list(workers or (), shown, _COLUMNS)
    elif workers:
        click.echo("\nWorkers that run:")
        show_list(workers, shown, _COLUMNS)
        if is_usable and any(worker.rules == _OTHERS for worker in workers):
            click.echo(_WHY_OTHERS)
    elif workers is not None:
        click.echo("No worker is running.")


_WHY_OTHERS = (
    "A worker takes a changed file up within seconds; where NOT these stays, it reads another file, or other settings."
)


def _where(settings: Settings) -> str:
    if settings.rules_text.strip():
        return "OFFHOOK_RULES: "
    where = settings.config
    return f"{where}: " if where.exists() else f"There is no {where}; these are the defaults. "
