"""`flask unknown`: the numbers whose calls wait for a customer."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerCommand, offhook
from offhook.adapters.commands.shown import Format, show_list, shows
from offhook.pipeline.masking import in_clear
from offhook.pipeline.phone import mask
from offhook.pipeline.unknown_listed import TO_FILL_IN, row_to_fill_in

_COLUMNS = ("phone", "calls", "oldest_at", "latest_at")


@click.command(cls=LedgerCommand)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000), help="Most numbers shown.")
@click.option("--in-clear", "is_clear", is_flag=True, help="Show whole numbers, as --csv always does.")
@shows
@with_appcontext
def unknown(limit: int, is_clear: bool, shown: Format) -> None:
    """List the numbers whose calls wait for a customer: those that called most often first, then the latest.

    With --csv it is a file to fill in: write an email or a customer id beside the numbers that you know, and import it. Rows
    that are left empty change nothing.

    \b
    flask unknown
    flask unknown --csv --limit 10000 > unknown.csv
    flask customers import unknown.csv
    """
    hide = in_clear if is_clear or shown is Format.CSV else mask
    found = offhook().ledger.unknown.most_frequent(limit)
    rows = [row_to_fill_in(one, hide) for one in found]
    show_list(rows, shown, TO_FILL_IN if shown is Format.CSV else _COLUMNS)
