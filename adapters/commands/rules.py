"""`flask rules ...`: what counts, checked and read back in English."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from adapters.commands.context import LedgerGroup, fail, offhook
from pipeline.rules import RulesError, in_english
from settings import Settings


@click.group(cls=LedgerGroup)
def rules() -> None:
    """What shall count as a conversion (offhook.toml). Copy offhook.toml.example to begin."""


@rules.command()
@with_appcontext
def check() -> None:
    """Check the rules and read them back in English. Exit code 1 and the lines to correct when something is wrong."""
    service = offhook()
    try:
        found = service.rules()
    except RulesError as error:
        fail(str(error))
    settings = service.settings
    if settings.rules_set_aside:
        click.echo(f"{settings.rules_set_aside}.", err=True)
    click.echo(_where(settings), nl=False)
    click.echo(f"version {found.version}\n{in_english(found)}")


def _where(settings: Settings) -> str:
    if settings.rules_text.strip():
        return "OFFHOOK_RULES: "
    where = settings.config
    return f"{where}: " if where.exists() else f"There is no {where}; these are the defaults. "
