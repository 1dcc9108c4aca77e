"""`flask rockerbox ...`: what Rockerbox would make of what is sent, a file for its QA, and counts to lay beside its page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.adapters.commands.periods import ago, day, month
from offhook.adapters.commands.shown import Format, in_utc, opened, refuse_two, show_done, show_list, show_record, shows
from offhook.adapters.customers.spreadsheet import write_rows
from offhook.adapters.rockerbox import qa as qa_file
from offhook.adapters.rockerbox.dedupe import DedupeKey
from offhook.adapters.rockerbox.preflight import Account, Finding, Level, Preflight, Report, record
from offhook.pipeline.delivery import Resend
from offhook.pipeline.ports.sent import Sent
from offhook.pipeline.words import counted
from offhook.settings import Settings

_HOURS = ("hour", "action", "count")
_LISTED = ("check", "level", "count", "samples")


@click.group(cls=LedgerGroup)
def rockerbox() -> None:
    """What Rockerbox makes of conversions: check them, write a file for its QA, count them by hour.

    \b
    flask rockerbox preflight                            would each of them count?
    flask rockerbox qa --month 2026-10 --output qa.csv   the file for Conversion QA
    flask rockerbox hours --day 2026-11-24               counts to lay beside its Webhooks page
    """


def _key(_context: click.Context, _parameter: click.Parameter, value: str | None) -> DedupeKey | None:
    try:
        return None if value is None else DedupeKey.of_account(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@rockerbox.command()
@click.option("--since", callback=ago, default="30d", show_default=True, help="What was made in this time: 12h, 30d.")
@click.option(
    "--key",
    callback=_key,
    metavar="FIELDS",
    help="Judge by this deduplication key, e.g. email,date,action.  [default: ROCKERBOX_DEDUPE_KEY, else order_id]",
)
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings, too.")
@shows
@with_appcontext
def preflight(since: datetime, key: DedupeKey | None, strict: bool, shown: Format) -> None:
    """Say which conversions Rockerbox would not count or match.

    What it would take for one call, what lacks a field, what looks like a mistake: each finding comes with what it means and
    what can be done, and docs/rockerbox.md has all of them. Nothing is sent or changed. Exit code 0 when
    nothing is wrong (warnings may be there), 1 when something is, 2 when it could not be checked.

    \b
    flask rockerbox preflight
    flask rockerbox preflight --since 7d --strict --json
    flask rockerbox preflight --key customer_id,date,action
    """
    service = offhook()
    account, until = account_of(service.settings, key), service.ledger.clock()
    look = Preflight(account, service.settings.preflight_keys)
    for line in chain.from_iterable(_sent(service).made(since, until)):
        look.look(line)
    report = look.report()
    _show_preflight(report, account, since, until, shown)
    if report.errors or (strict and report.findings):
        raise SystemExit(1)


def _sent(service: Offhook) -> Sent:
    return service.ledger.sent


def account_of(settings: Settings, key: DedupeKey | None) -> Account:
    """The account as the settings say it, or with this key."""
    chosen = key or settings.dedupe_key
    return Account(
        key=None if chosen is None else DedupeKey(chosen.fields, settings.rockerbox_cross_day),
        cross_day=settings.rockerbox_cross_day,
        day_zone=ZoneInfo(settings.rockerbox_day_zone),
        resend=Resend(settings.resend_ambiguous),
        tolerance_seconds=settings.clock_tolerance_seconds,
    )


def _show_preflight(report: Report, account: Account, since: datetime, until: datetime, shown: Format) -> None:
    match shown:
        case Format.JSON:
            show_record(record(report, account, since, until), shown)
        case Format.CSV:
            show_list([_in_short(one) for one in report.findings], shown, _LISTED)
        case Format.TABLE:
            _show_in_words(report, account, since)


def _in_short(one: Finding) -> dict[str, object]:
    samples = "  ".join(f"{each.call_sid} ({each.found})" if each.found else each.call_sid for each in one.samples)
    return {"check": one.check, "level": one.level.value, "count": one.count, "samples": samples}


def _show_in_words(report: Report, account: Account, since: datetime) -> None:
    many = counted(report.conversions, "conversion", "conversions")
    click.echo(
        f"{many} since {in_utc(since)}, {_share(report)}. Key {account.presumed_key}; the day turns in {account.day_zone}."
    )
    if report.is_partial:
        click.echo(
            "There were more keys than OFFHOOK_PREFLIGHT_KEYS: each was compared with the latest before it alone."
        )
    for one in report.findings:
        _show_finding(one)
    errors, warnings = report.errors, len(report.findings) - report.errors
    click.echo(f"\nErrors: {errors}, warnings: {warnings}." if report.findings else "Nothing was found.")


def _share(report: Report) -> str:
    if not report.without_email:
        return "each with an email" if report.conversions else "nothing to check"
    return f"{100 * report.without_email / report.conversions:.1f} % without an email"


def _show_finding(one: Finding) -> None:
    click.echo()
    count = "" if one.count is None else f" ({one.count})"
    colour = "red" if one.level is Level.ERROR else "yellow"
    click.secho(f"{one.level.value} {one.check}{count}", fg=colour, bold=True)
    click.echo(f"    {one.sentence}\n    {one.remedy}")
    for sample in one.samples:
        click.echo(f"    {sample.call_sid}  {sample.found}".rstrip())


@rockerbox.command()
@click.option(
    "--month", "begins", callback=month, required=True, help="2026-10: by the time of the call, in ROCKERBOX_DAY_ZONE."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    required=True,
    help="The file, which only you may read; `-` for standard output.",
)
@shows
@with_appcontext
def qa(begins: datetime, output: Path, shown: Format) -> None:
    """Write a month's conversions as the CSV of Conversion QA.

    EMAILS AND CUSTOMER IDS STAND IN IT IN CLEAR, as that is what it is for: share it with care, and remove it afterwards. What a
    spreadsheet would run as a formula gets an apostrophe before it. `order_timestamp` is UTC. `customer_type` is `returning`
    where an earlier call of the same number was converted, as far back as the ledger goes, else `new`. Every conversion of the
    month is in it, whatever became of its delivery; how many were not delivered is said at the end. --json and --csv are
    about the file, and want one by --output.

    \b
    flask rockerbox qa --month 2026-10 --output qa.csv
    flask rockerbox qa --month 2026-10 --output qa.csv --json
    """
    refuse_two(output, "the file", shown)
    service = offhook()
    since, until = qa_file.month_of(begins, ZoneInfo(service.settings.rockerbox_day_zone))
    late = timedelta(days=service.settings.qa_late_days)
    made = qa_file.made_for(_sent(service), since, until, service.ledger.clock(), late)
    written = qa_file.Written()
    try:
        with opened(output) as file:
            write_rows(file, [qa_file.COLUMNS])
            write_rows(file, written.rows(_sent(service), made))
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}", 2)
    show_done(
        f"{counted(written.count, 'conversion', 'conversions')} written, with emails and customer ids in clear."
        f"{written.undelivered_in_words}",
        [("file", output), ("conversions", written.count), ("undelivered", written.undelivered)],
        shown,
        err=True,
    )


@rockerbox.command()
@click.option("--day", "begins", callback=day, required=True, help="2026-11-24, in UTC, as Rockerbox's page has it.")
@shows
@with_appcontext
def hours(begins: datetime, shown: Format) -> None:
    """Count what was delivered on a day, by UTC hour and action.

    These are figures to lay beside Rockerbox's Webhooks page. It counts when Rockerbox answered, so that what left in the last
    second of an hour may stand in the next. What may have arrived (`ambiguous`) is not counted, and may stand on that page.

    \b
    flask rockerbox hours --day 2026-11-24
    flask rockerbox hours --day 2026-11-24 --csv
    """
    since = begins.replace(tzinfo=UTC)
    found = _sent(offhook()).delivered(since, since + timedelta(days=1))
    show_list(found, shown, _HOURS)
    if shown is Format.TABLE:
        click.echo(f"{sum(one.count for one in found)} delivered on {since:%Y-%m-%d} (UTC).")
