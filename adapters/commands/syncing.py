"""`flask customers sync`: a list of customers from an address or a path, once or again and again."""

from __future__ import annotations

import threading
from typing import cast

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import LedgerCommand, fail, offhook
from offhook.adapters.commands.periods import length
from offhook.adapters.commands.shown import Format, show_record, shows
from offhook.adapters.customers.csv_file import Replace
from offhook.adapters.customers.fetching import Access
from offhook.adapters.customers.lines import ImportRefused
from offhook.adapters.customers.sync import CustomerSync, SyncSource, counts_of
from offhook.settings import Settings


def sync_source(settings: Settings, location: str = "", every_seconds: float | None = None) -> SyncSource | None:
    """The list that the settings name, or this one; None without any."""
    found = location or settings.customers_sync.get_secret_value()
    if not found:
        return None
    return SyncSource(
        location=found,
        every_seconds=every_seconds or settings.customers_sync_seconds,
        columns=cast(tuple[str, str, str], settings.customers_columns),
        region=settings.default_country,
        conflict=settings.shared_numbers,
        limits=settings.import_limits,
        lower_emails=settings.email_lowercase,
        replacing=Replace(settings.customers_retire_share) if settings.customers_sync_replace else None,
        access=Access(
            settings.customers_sync_authorization.get_secret_value(),
            settings.customers_sync_max_bytes,
            settings.customers_sync_deadline_seconds,
            settings.ca_file,
            settings.egress_proxy.get_secret_value(),
        ),
    )


def _seconds(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    seconds = length(value)
    if seconds == 0:
        raise click.BadParameter("it must be a second or more, e.g. 30m or 1h")
    return float(seconds)


@click.command("sync", cls=LedgerCommand)
@click.argument("location", required=False, default="")
@click.option("--every", "every_seconds", callback=_seconds, metavar="1h", help="Go on, and look at it so often.")
@shows
@with_appcontext
def sync(location: str, every_seconds: float | None, shown: Format) -> None:
    """Take a list of customers from an address or a path.

    LOCATION is an address (http, https) or a path; what is there is taken where it is another than last time.
    Without a LOCATION it is that of OFFHOOK_CUSTOMERS_SYNC, which workers take by themselves. It may be gzipped,
    and is read
    as `flask customers import` reads it. An address is asked with the ETag of last time, within
    OFFHOOK_CUSTOMERS_SYNC_SECONDS
    and up to OFFHOOK_CUSTOMERS_SYNC_MAX_BYTES.

    \b
    flask customers sync https://crm.example.com/customers.csv
    flask customers sync --every 1h
    """
    service = offhook()
    source = sync_source(service.settings, location, every_seconds)
    if source is None:
        fail("Which list? Name its address or path, or set OFFHOOK_CUSTOMERS_SYNC.", 2)
    syncing = CustomerSync(source, service.ledger, service.ledger.clock)
    if every_seconds is not None:
        syncing.run(threading.Event())
        return
    try:
        report = syncing.now()
    except ImportRefused as error:
        fail(str(error))
    if report is not None:
        audit(service, "flask customers", "customers imported", source.name)
    counts = None if report is None else counts_of(report)
    if shown is Format.TABLE and counts is None:
        click.echo(f"{source.name} is the same as last time.")
        return
    show_record({"source": source.name, "is_new": counts is not None, **(counts or {})}, shown)
