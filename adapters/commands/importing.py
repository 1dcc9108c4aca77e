"""`flask customers import`: a file into the mapping, what it would change beforehand, and what became of it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import (
    LedgerCommand,
    Offhook,
    collecting_seldom,
    fail,
    fail_without_database,
    offhook,
)
from offhook.adapters.commands.customer_samples import show_samples
from offhook.adapters.commands.shown import Format, in_utc, on_stderr, show_counts, show_list, show_record, shows
from offhook.adapters.customers.columns import Columns, names_of
from offhook.adapters.customers.csv_file import Beforehand, ImportReport, Replace, import_csv
from offhook.adapters.customers.lines import ImportRefused
from offhook.adapters.jobs.importing import Diff, DryRun, Samples, Waiting, record, samples_of
from offhook.pipeline.conversion import SEVERAL_CUSTOMERS
from offhook.pipeline.customer import CONFLICTS, Conflict
from offhook.pipeline.masking import in_clear, masking
from offhook.pipeline.phone import is_region
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.words import counted
from offhook.settings import renamed

_QUIET_BYTES = 1_000_000  # smaller files are done before a progress line is read
_NAMED = 8  # columns


def _three_columns(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, str, str] | None:
    if value is None:
        return None
    names = tuple(names_of(value))
    if len(names) != 3 or not names[0]:
        raise click.BadParameter(
            'name three columns, e.g. "Phone,Email,Customer ID" or "Phone|Mobile,Email,Lead ID"; '
            "leave one empty that is not there."
        )
    return names


def _country(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_region(value.upper()):
        raise click.BadParameter("must be a country's two letters, e.g. US or GB.")
    return value and value.upper()


@click.command("import", cls=LedgerCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--columns",
    callback=_three_columns,
    metavar="PHONE,EMAIL,ID",
    help='The header\'s names for phone (several: "Phone|Mobile"), email and customer id.  '
    "[default: OFFHOOK_CUSTOMERS_COLUMNS]",
)
@click.option(
    "--country",
    callback=_country,
    metavar="US",
    help="Country of numbers written without one.  [default: OFFHOOK_DEFAULT_COUNTRY]",
)
@click.option(
    "--conflict",
    type=click.Choice(CONFLICTS),
    help="The file gives one phone to several customers: none of them is credited and calls from it wait, or the row that "
    "is used.  [default: OFFHOOK_SHARED_NUMBERS]",
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Where rows go that were not used, `-` for standard error.  [default: FILE.rejected.csv, or the first free name "
    "like it]",
)
@click.option("--encoding", help="What the file is written in, e.g. cp1252.  [default: UTF-8, or UTF-16 where marked]")
@click.option("--replace", "is_whole", is_flag=True, help="FILE is all there is: whoever is not in it is retired.")
@click.option(
    "--yes-retire",
    is_flag=True,
    help="With --replace: retire however many are not in FILE.  [default: at most OFFHOOK_CUSTOMERS_RETIRE_SHARE]",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would change, with samples; change nothing but the rejects file."
)
@click.option("--strict", is_flag=True, help="Exit code 1 when a row was not used.")
@click.option("--in-clear", "is_clear", is_flag=True, help="Show whole numbers and emails in the samples.")
@shows
@with_appcontext
def import_(
    file: str,
    columns: tuple[str, str, str] | None,
    country: str | None,
    conflict: Conflict | None,
    rejects: Path | None,
    encoding: str | None,
    is_whole: bool,
    yes_retire: bool,
    dry_run: bool,
    strict: bool,
    is_clear: bool,
    shown: Format,
) -> None:
    """Take the customers of a FILE into the mapping.

    FILE is CSV or JSON lines. It may be gzipped, or `-` for standard input.

    \b
    phone,email,customer_id
    (415) 867-5309,ann@example.com,C1042
    +44 20 7183 8750,,C1043

    Numbers may be written in any usual way, several in a cell or in several columns. An email may be hashed (MD5, SHA-1
    or SHA-256 in hex); one of email and customer id may be missing. Every further column is kept as an attribute of the
    customer. The exports of usual shops and CRMs are recognised by their header. Customers who are not in FILE stay as they
    are, but with --replace; the same FILE twice changes nothing. Rows that cannot be used are written to a file, each with
    its line and reason, and the others are taken; the exit code is 1 when none was of use.

    \b
    flask customers import customers.csv
    flask customers import crm.csv.gz --columns "Phone|Mobile|Home Phone,E-mail,Contact ID" --country GB
    flask customers import customers.csv --dry-run --json
    flask customers import everybody.csv --replace
    heroku run --no-tty "flask customers import - --rejects -" < customers.csv
    """
    service = offhook()
    settings = service.settings
    for warning in renamed():
        click.echo(f"{warning}.", err=True)
    policy = conflict or settings.shared_numbers
    table = DryRun(service.ledger) if dry_run else service.ledger
    waiting = Waiting(service.ledger.unknown)
    _stand_back(settings.customers_nice)
    try:
        with collecting_seldom(), _progress(file) as progress, _rejects_of(file, rejects) as rejects_path:
            report = import_csv(
                file,
                table,
                columns=columns or cast(tuple[str, str, str], settings.customers_columns),
                region=country or settings.default_country,
                conflict=policy,
                rejects_path=rejects_path,
                encoding=encoding,
                limits=settings.import_limits,
                progress=progress,
                remark=_warn,
                lower_emails=settings.email_lowercase,
                replacing=Replace(1.0 if yes_retire else settings.customers_retire_share, dry_run)
                if is_whole
                else None,
                beforehand=waiting.look if dry_run else _noting(service, file, waiting, is_said=shown is Format.TABLE),
            )
    except ImportRefused as error:
        fail(str(error), 2)
    except LedgerUnavailable as error:
        fail_without_database(error, " Import the same file again then; rows that are in stay in.")
    if rejects_path != rejects and report.rejects_path is not None:
        report = replace(report, rejects_path=Path("the lines above"))
    samples = samples_of(
        report, table.diff if isinstance(table, DryRun) else Diff(), in_clear if is_clear else masking([])
    )
    if shown is Format.TABLE:
        _show_report(report, file, policy, dry_run)
        _show_waiting(waiting, dry_run)
        _show_samples(samples, dry_run)
    else:
        show_record(record(report, samples, waiting, dry_run), shown)
    _fail_where_it_failed(report, dry_run, strict)


def _fail_where_it_failed(report: ImportReport, dry_run: bool, strict: bool) -> None:
    if report.refused:
        fail(report.refused)
    if not report.is_of_use:
        fail(_of_no_use(report, dry_run))
    if strict and not report.complete:
        raise SystemExit(1)


def _of_no_use(report: ImportReport, dry_run: bool) -> str:
    """What an import of which no row was used did all the same."""
    is_, are = ("would be", "would be") if dry_run else ("is", "are")
    done = [
        counted(count, f"number {is_} {what}", f"numbers {are} {what}")
        for count, what in ((report.changed, "changed, and nobody's alone any more"), (report.removed, "removed"))
        if count
    ]
    if done:
        return f"No row of it was of use, but {' and '.join(done)}."
    if report.left_empty and report.is_as_it_was and not report.rejected:
        return "No row of it was filled in: the mapping is as it was."
    why = "the mapping is as it was" if report.is_as_it_was else "its numbers have several customers each"
    return f"No row of it was of use: {why}."


def _stand_back(nice: int) -> None:
    """Callbacks come first. A process that is as nice already, from an import before or by its user, stays as it is."""
    os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))


@contextmanager
def _rejects_of(file: str, wished: Path | None) -> Iterator[Path | None]:
    """Where an import may write its rejected rows. What goes to standard error is first kept whole, where nobody else reads.

    A one-off dyno's disk is gone with it, so that from there the rows of standard input come back by standard error.
    """
    if str(wished) != "-" and not (wished is None and file == "-" and os.environ.get("DYNO")):
        yield wished
        return
    with TemporaryDirectory(prefix="offhook-") as folder:
        kept = Path(folder) / "rejected.csv"
        yield kept
        if kept.exists():
            sys.stderr.write(kept.read_text(encoding="utf-8"))


@contextmanager
def _progress(file: str) -> Iterator[Callable[[int], None]]:
    """A bar for a person, a line each 10 % for a log, nothing for a small file or standard input."""
    size = 0 if file == "-" else Path(file).stat().st_size
    if size < _QUIET_BYTES:
        yield lambda _done: None
    elif sys.stderr.isatty():
        with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
            yield lambda done: bar.update(done - bar.pos)
    else:
        yield _tenths(size)


def _tenths(size: int) -> Callable[[int], None]:
    shown = 0

    def progress(done: int) -> None:
        nonlocal shown
        tenth = min(10, 10 * done // size)
        if tenth > shown:
            shown = tenth
            click.echo(f"{shown * 10} %", err=True)

    return progress


def _show_report(report: ImportReport, file: str, policy: Conflict, dry_run: bool) -> None:
    read = report.rows + report.rejected + report.left_empty
    several = f" with {counted(report.numbers, 'number', 'numbers')}" if report.numbers != report.rows else ""
    done = "; a dry run, nothing was changed" if dry_run else ""
    click.echo(f"{counted(read, 'row', 'rows')}{several} read in {report.seconds:.1f} s{done}")
    _show_columns(report)
    counts = {
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "said twice in the file": report.duplicate_rows,
        "left empty": report.left_empty,
    }
    show_counts({word: count for word, count in counts.items() if count or word == "added"})
    _show_unused(report, policy)
    if report.encoding_offered:
        again = f"flask customers import {shlex.quote(file)} --encoding {report.encoding_offered}"
        _warn(f"Rows that are not UTF-8 read well as {report.encoding_offered}, as Excel writes it: {again}")
    if report.customer_ids_that_are_emails:
        _warn(
            f"{counted(report.customer_ids_that_are_emails, 'customer id is an email', 'customer ids are emails')} "
            "(customer_id_is_email). Rockerbox asks for your own id of the customer there; put emails into the email column."
        )


_WHOSE: dict[Conflict, str] = {
    "none": f"nobody is credited, and calls from there wait ({SEVERAL_CUSTOMERS})",
    "first": "each is the one of the first row",
    "last": "each is the one of the last row",
}


def _show_unused(report: ImportReport, policy: Conflict) -> None:
    if report.rejects_path is None:
        return
    whole = report.rejected + report.conflicts
    of_rows = [f"{counted(whole, 'row was', 'rows were')} NOT used"] if whole else []
    of_rows += [f"of {report.partly:,} a part was not"] if report.partly else []
    _warn(f"{', '.join(of_rows)}. See {report.rejects_path}:")
    with on_stderr():
        show_counts(report.reasons, "reason")
    if report.shared:
        _warn(f"{counted(report.shared, 'number has', 'numbers have')} several customers; {_WHOSE[policy]}.")
    if report.became_shared:
        these = counted(report.became_shared, "of these is", "of these are")
        _warn(f"{these} counted as changed: the mapping said something else before.")


def _show_columns(report: ImportReport) -> None:
    """What the columns were taken for, where a program's export was recognised, and what else is kept."""
    columns = report.columns
    if columns is None:
        return
    if columns.program is not None:
        click.echo(f"Recognised as an export of {columns.program}: {_taken(columns)}.")
    elif len(columns.phones) > 1:
        click.echo(f"Taken: {_taken(columns)}.")
    if columns.others:
        names = [f'"{name}"' for name, _ in columns.others]
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        click.echo(f"Kept as attributes: {', '.join(names[:_NAMED])}{more}")
    if report.attributes_left_out:
        _warn(
            f"{counted(report.attributes_left_out, 'value', 'values')} of further columns left out: there are more of them "
            "than OFFHOOK_CUSTOMERS_ATTRIBUTES keeps."
        )


def _taken(columns: Columns) -> str:
    phones = " and ".join(f'"{columns.names[place].strip()}"' for _, place in columns.phones)
    others = (("email", columns.email), ("customer id", columns.customer_id))
    named = [f'{what} from "{columns.names[place].strip()}"' for what, place in others if place is not None]
    return ", ".join([f"phones from {phones}", *named])


def _show_waiting(waiting: Waiting, dry_run: bool) -> None:
    if dry_run and waiting.calls:
        click.echo(f"It would release {_in_words(waiting)}.")


def _noting(service: Offhook, file: str, waiting: Waiting, *, is_said: bool) -> Beforehand:
    """Looks, says what the import releases where that `is_said`, and writes the audit's line, before anything changes."""

    def look(will_name: Callable[[Collection[str]], bool]) -> None:
        waiting.look(will_name)
        if waiting.calls and is_said:
            click.echo(f"This releases {_in_words(waiting)}.", err=True)
        name = "standard input" if file == "-" else Path(file).name
        audit(service, "flask customers", "customers imported", name)

    return look


def _in_words(waiting: Waiting) -> str:
    """The calls and the time of the oldest, for a person."""
    since = f", the oldest of {in_utc(waiting.oldest_at)}" if waiting.oldest_at else ""
    return f"{counted(waiting.calls, 'waiting call', 'waiting calls')}{since}"


def _show_samples(samples: Samples, dry_run: bool) -> None:
    """Those that a dry run found, kind by kind, and of what was not used, all of which stands in the rejects file."""
    if not dry_run:
        return
    show_samples([{"what": kind, **one} for kind in ("added", "changed", "removed") for one in samples[kind]])
    left_out = [{"what": kind, **one} for kind in ("conflicts", "rejected") for one in samples[kind]]
    if left_out:
        click.echo()
        show_list(left_out, Format.TABLE, ("what", "line", "reason", "detail"))


def _warn(text: str) -> None:
    click.secho(text, err=True, fg="yellow")
