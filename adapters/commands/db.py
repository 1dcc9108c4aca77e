"""`flask db ...`: the ledger's tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.adapters.commands.shown import Format, beside, show_done, show_list, show_record, shows
from offhook.adapters.commands.tallies import NOT_WHOLE
from offhook.adapters.ledger.backup import Doubted
from offhook.adapters.ledger.engine import LedgerRefused
from offhook.adapters.ledger.sqlite import file_of
from offhook.adapters.ledger.tables import Tables
from offhook.adapters.rules_file.problems import RulesError
from offhook.pipeline.delivery import resend_since
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.steps import ParkedReview, decide_batch, fold_batch, review_parked_batch
from offhook.pipeline.words import counted

if TYPE_CHECKING:
    from offhook.adapters.ledger.migrate import Upgraded

_BATCH = 200


@click.group(cls=LedgerGroup)
def db() -> None:
    """The ledger, Offhook's database: create its tables, bring them up to date, back it up.

    Run `flask db upgrade` before the first start and after each update of Offhook. `flask up` and the Procfile's release phase do.

    \b
    flask db upgrade
    flask db backup offhook-2026-03-12.db
    """


@db.command()
@click.argument("revision", default="head")
@shows
@with_appcontext
def upgrade(revision: str, shown: Format) -> None:
    """Create or update the tables of DATABASE_URL. Running it twice changes nothing.

    REVISION is one that `flask db history` lists; without it, the newest.

    Tables that a newer version of Offhook has migrated stay as they are, and this version works with them: after a
    rollback there is nothing to undo.

    With --json `before` is the revision before it, `database`, `needed` and `tables` are those of `flask db current`, and
    `tallies_are_whole` is false where `flask tallies rebuild` has something to count.

    \b
    flask db upgrade
    flask db upgrade --json
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
    if done.tables is Tables.FOREIGN:
        fail(_FOREIGN.format(done.after))
    is_whole = service.ledger.tallies.is_whole() if done.tables.are_usable else None
    standing = _standing(done.after, service.ledger.migrations.head(), done.tables)
    record = [("before", done.before or _EMPTY), *standing, ("tallies_are_whole", is_whole)]
    show_done(_upgraded(service, done), record, shown)
    if is_whole is False:
        with beside(shown):
            click.echo(NOT_WHOLE)


def _upgraded(service: Offhook, done: Upgraded) -> str:
    where = "SQLite" if service.settings.is_sqlite else "Postgres"
    if done.tables is Tables.AHEAD:
        return f"{where} ledger is at {done.after}: {_AHEAD}; nothing to do."
    if done.before != done.after:
        return f"{where} ledger: {done.before or _EMPTY} -> {done.after}"
    return f"{where} ledger is at {done.after}."


def _standing(found: str | None, needed: str, tables: Tables) -> list[tuple[str, object]]:
    return [("database", found or _EMPTY), ("needed", needed), ("tables", tables)]


_EMPTY = "empty"

_AHEAD = "the database was migrated by a newer version"
_FOREIGN = (
    "The database is at revision {}, which this version does not know, and has not the tables that this version needs: "
    "is DATABASE_URL another program's? If a much newer Offhook has migrated it, run that version."
)


@db.command()
@shows
@with_appcontext
def current(shown: Format) -> None:
    """Show at which revision the tables are, and which one is needed. Exit code 1 when this version cannot work with them.

    \b
    flask db current
    flask db current --json
    """
    migrations = offhook().ledger.migrations
    try:
        tables, found = migrations.state(), migrations.current()
    except LedgerUnavailable as error:
        fail(f"The database does not answer: {error}")
    show_record(_standing(found, migrations.head(), tables), shown)
    if tables is Tables.AHEAD:
        click.echo(f"All is well: {_AHEAD}, and this one works with it.", err=True)
    elif tables is Tables.FOREIGN:
        fail(_FOREIGN.format(found))
    elif not tables.are_usable:
        fail("Run `flask db upgrade`.")


@db.command()
@shows
@with_appcontext
def history(shown: Format) -> None:
    """List the revisions of the tables, oldest first.

    \b
    flask db history
    flask db history --csv
    """
    columns = ("revision", "about")
    rows = offhook().ledger.migrations.history()
    show_list([zip(columns, row, strict=True) for row in rows], shown, columns)


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE when it is there.")
@shows
@with_appcontext
def backup(file: Path, overwrite: bool, shown: Format) -> None:
    """Write the whole SQLite ledger into FILE, while Offhook runs.

    A plain copy of offhook.db lacks what stands in its WAL, often everything. FILE is of one moment, checked, whole or
    not there at all, and only its owner may read it. docs/operating.md has how to put it back, and Postgres.

    \b
    flask db backup offhook-2026-03-12.db
    flask db backup offhook-2026-03-12.db --json
    """
    service = offhook()
    if not service.settings.is_sqlite:
        fail(_PG_DUMP, 2)
    where = file_of(service.settings.database_url).absolute()
    if str(file.absolute()).removeprefix(str(where)) in _OF_A_LEDGER or (file.exists() and _same(file, where)):
        fail(f"{file} is the ledger itself, or belongs to it: name another file.", 2)
    try:
        size = service.ledger.backups.write(file, replace=overwrite)
    except LedgerRefused as error:
        fail(str(error))
    sentence = f"{file}: the whole ledger as it was just now, {size / 1_000_000:,.1f} MB, checked."
    show_done(sentence, [("file", file), ("bytes", size)], shown)


_OF_A_LEDGER = ("", "-wal", "-shm", "-journal", ".lock", ".books")
_PG_DUMP = (
    "This ledger is Postgres, which has its own way to be backed up while it runs:\n"
    '  pg_dump --format=custom --no-owner --file=offhook.dump "$DATABASE_URL"\n'
    "docs/operating.md has how to put it back."
)


def _same(file: Path, ledger: Path) -> bool:
    return ledger.exists() and file.samefile(ledger)


@db.command()
@shows
@with_appcontext
def restored(shown: Format) -> None:
    """Say that the ledger was put back from a backup. Run it before the worker starts; twice does no harm.

    What waited when the backup was made may have been delivered since: this ledger does not know, and a second copy could
    count. So each of these conversions is marked as one that may have arrived. Those of today are sent again, as Rockerbox
    ignores a second copy within a day; older ones are held for a person (OFFHOOK_RESEND_AMBIGUOUS).

    \b
    flask db restored
    flask db restored --json
    """
    service = offhook()
    _must_be_alone(service)
    try:
        _finish_books(service)
    except RulesError as error:
        fail(str(error))
    audit(service, "flask db", "restored from a backup", "the ledger")
    since = resend_since(service.ledger.clock(), service.policy)
    found = service.ledger.backups.doubt(since)
    if shown is Format.TABLE:
        _show_doubted(found)
    else:
        show_record(found, shown)


def _show_doubted(found: Doubted) -> None:
    wait = counted(found.waiting, "conversion waits", "conversions wait")
    click.echo(f"{wait}, and may have been sent since the backup was made:")
    again = counted(found.waiting - found.held, "is", "are")
    click.echo(f"  {again} sent again by the worker: a second copy of that day does not count")
    click.echo(
        f"  {found.held} will be held (ambiguous): look at Rockerbox's Webhooks page, then `flask conversions retry`"
    )
    if found.parked:
        click.echo(
            f"{counted(found.parked, 'call of an unknown caller waits', 'calls of unknown callers wait')} (parked). Of a caller "
            "who came into the mapping after the backup was made, they may have been sent: import that mapping now, and run this "
            "again, before the worker starts."
        )


def _must_be_alone(service: Offhook) -> None:
    with service.ledger.books() as books:
        if books is None:
            fail("A worker is at work. Stop it first, then run this, then start it.")


def _finish_books(service: Offhook) -> None:
    """Decide what can be decided now, so that what comes of it is doubted with the others."""
    ledger, judge, review = service.ledger, service.judge(), ParkedReview()
    while fold_batch(ledger, judge, _BATCH):
        pass
    ledger.backups.settle_now(ledger.clock())
    while decide_batch(ledger, judge, ledger.clock(), _BATCH):
        pass
    while review.after is not None:
        review_parked_batch(ledger, judge, ledger.clock(), _BATCH, review)
