"""`flask db ...`: the ledger's tables."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from adapters.commands.context import LedgerGroup, fail, offhook
from adapters.ledger.engine import LedgerRefused
from adapters.ledger.migrate import Tables
from pipeline.ports import LedgerUnavailable


@click.group(cls=LedgerGroup)
def db() -> None:
    """The ledger's tables: create them, bring them up to date.

    Run `flask db upgrade` before the first start and after each update of Offhook. The Procfile's release phase does.
    """


@db.command()
@click.argument("revision", default="head")
@with_appcontext
def upgrade(revision: str) -> None:
    """Create or update the tables of DATABASE_URL. Running it twice changes nothing.

    Tables that a newer version of Offhook has migrated stay as they are, and this version works with them: after a
    rollback there is nothing to undo.
    """
    service = offhook()
    if not service.ledger.migrations.can_be(revision):
        fail(f'"{revision}" is no revision: `flask db history` lists them; without one it is the newest.', 2)
    try:
        done = service.ledger.migrations.upgrade(revision)
    except LedgerRefused as error:
        fail(str(error))
    except LedgerUnavailable as error:
        fail(f"The database cannot be changed: {error}\nIs DATABASE_URL right, and the database running?")
    where = "SQLite" if service.settings.is_sqlite else "Postgres"
    if done.tables is Tables.FOREIGN:
        fail(_FOREIGN.format(done.after))
    if done.tables is Tables.AHEAD:
        click.echo(f"{where} ledger is at {done.after}: {_AHEAD}; nothing to do.")
    elif done.before != done.after:
        click.echo(f"{where} ledger: {done.before or 'empty'} -> {done.after}")
    else:
        click.echo(f"{where} ledger is at {done.after}.")


_AHEAD = "the database was migrated by a newer version"
_FOREIGN = (
    "The database is at revision {}, which this version does not know, and has not the tables that this version needs: "
    "is DATABASE_URL another program's? If a much newer Offhook has migrated it, run that version."
)


@db.command()
@with_appcontext
def current() -> None:
    """Show where the tables stand and what this version needs. Exit code 1 when this version cannot work with them."""
    migrations = offhook().ledger.migrations
    try:
        tables, found = migrations.state(), migrations.current()
    except LedgerUnavailable as error:
        fail(f"The database does not answer: {error}")
    click.echo(f"database: {found or 'empty'}\nneeded:   {migrations.head()}\ntables:   {tables}")
    if tables is Tables.AHEAD:
        click.echo(f"All is well: {_AHEAD}, and this one works with it.")
    elif tables is Tables.FOREIGN:
        fail(_FOREIGN.format(found))
    elif not tables.are_usable:
        fail("Run `flask db upgrade`.")


@db.command()
@with_appcontext
def history() -> None:
    """List the migrations, oldest first."""
    for revision, told in offhook().ledger.migrations.history():
        click.echo(f"{revision}  {told}")
