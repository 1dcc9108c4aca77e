"""`flask rules ...`: what counts, checked and read back in English."""

from __future__ import annotations

from datetime import timedelta

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.pipeline.ports import LedgerUnavailable, Sign
from offhook.pipeline.rules import RulesError, in_english
from offhook.settings import Settings


@click.group(cls=LedgerGroup)
def rules() -> None:
    """What counts as a conversion (offhook.toml). Copy offhook.toml.example to begin.

    \b
    flask rules check
    """


@rules.command()
@with_appcontext
def check() -> None:
    """Check the rules, read them back in English, and say by which ones each running worker decides.

    Exit code 1 and the lines to correct when something is wrong.

    \b
    flask rules check
    """
    service = offhook()
    try:
        found = service.rules()
    except RulesError as error:
        _tell_workers(service, None)
        fail(str(error))
    settings = service.settings
    if settings.rules_set_aside:
        click.echo(f"{settings.rules_set_aside}.", err=True)
    click.echo(_where(settings), nl=False)
    click.echo(f"version {found.version}\n{in_english(found)}")
    _tell_workers(service, found.version)


def _tell_workers(service: Offhook, version: str | None) -> None:
    """By which rules each running worker decides; `version` is that of the ones here, None where they cannot be used."""
    if not service.ledger.database.is_there:
        return
    service.ledger.look_at_clock()
    since = service.ledger.clock() - timedelta(seconds=service.settings.worker_lost_seconds)
    try:
        alive = service.ledger.workers.seen_since(since)
    except LedgerUnavailable as error:  # to check rules one needs no database
        click.echo(f"Which rules running workers use cannot be told: {error}", err=True)
        return
    if not alive:
        click.echo("No worker is running.")
    for seen in alive:
        click.echo(_worker_line(seen.sign, version))


def _worker_line(sign: Sign, version: str | None) -> str:
    who = f"Worker on {sign.host}, process {sign.pid}, since {sign.started_at:%Y-%m-%d %H:%M:%SZ}"
    if sign.rules_version == version:
        return f"{who}: uses these rules."
    then = ""
    if version is not None:
        then = " It takes a changed file up within seconds; if this stays, it reads another one, or other settings."
    return f"{who}: uses rules version {sign.rules_version}, NOT these.{then}"


def _where(settings: Settings) -> str:
    if settings.rules_text.strip():
        return "OFFHOOK_RULES: "
    where = settings.config
    return f"{where}: " if where.exists() else f"There is no {where}; these are the defaults. "
