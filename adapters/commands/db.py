"""`flask db ...`: the ledger's tables."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from adapters.commands.context import fail, offhook
from pipeline.ports import LedgerUnavailable


@click.group()
def db() -> None:
    """The ledger's tables: create them, bring them up to date.

    Run `flask db upgrade` before the first start and after each update of Offhook. The Procfile's release phase does.
    """


@db.command()
@click.argument("revision", default="head")
@with_appcontext
def upgrade(revision: str) -> None:
    """Create or update the tables of DATABASE_URL. Running it twice changes nothing."""
    service = offhook()
    try:
        before = service.ledger.migrations.current()
        service.ledger.migrations.upgrade(revision)
        after = service.ledger.migrations.current()
    except LedgerUnavailable as error:
        fail(f"The database cannot be changed: {error}\nIs DATABASE_URL right, and the database running?")
    where = "SQLite" if service.settings.is_sqlite else "Postgres"
    click.echo(
        f"{where} ledger: {before or 'empty'} -> {after}" if before != after else f"{where} ledger is at {after}."
    )


@db.command()
@with_appcontext
def current() -> None:
    """Show where the tables stand and what this version needs. Exit code 1 when they differ."""
    migrations = offhook().ledger.migrations
    try:
        found, needed = migrations.current(), migrations.head()
    except LedgerUnavailable as error:
        fail(f"The database does not answer: {error}")
    click.echo(f"database: {found or 'empty'}\nneeded:   {needed}")
    if found != needed:
        fail("Run `flask db upgrade`.")


@db.command()
@with_appcontext
def history() -> None:
    """List the migrations, oldest first."""
    for revision, told in offhook().ledger.migrations.history():
        click.echo(f"{revision}  {told}")
