"""`flask unknown`: the numbers whose calls wait for a customer."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerCommand, offhook
from offhook.adapters.commands.shown import Format, say_more, show_list, shows
from offhook.pipeline.masking import in_clear
from offhook.pipeline.phone import mask
from offhook.pipeline.unknown_listed import TO_FILL_IN, row_to_fill_in

_SHOWN = 50
_COLUMNS = ("phone", "calls", "oldest_at", "latest_at")


@click.command(cls=LedgerCommand)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    help=f"Most numbers shown: {_SHOWN} if not given, or with --csv OFFHOOK_UNKNOWN_FILE_ROWS.",
)
@click.option("--in-clear", "is_clear", is_flag=True, help="Show whole numbers, as --csv always does.")
@shows
@with_appcontext
def unknown(limit: int | None, is_clear: bool, shown: Format) -> None:
    """List the numbers whose calls wait for a customer: those that called most often first, then the latest.

    With --csv it is a file to fill in: write an email or a customer id beside the numbers that you know, and import it. Rows
    that are left empty change nothing.

    \b
    flask unknown
    flask unknown --csv > unknown.csv
    flask customers import unknown.csv
    """
    hide = in_clear if is_clear or shown is Format.CSV else mask
    service = offhook()
    most = limit or (service.settings.unknown_file_rows if shown is Format.CSV else _SHOWN)
    found = service.ledger.unknown.most_frequent(most + 1)
    rows = [row_to_fill_in(one, hide) for one in found[:most]]
    show_list(rows, shown, TO_FILL_IN if shown is Format.CSV else _COLUMNS)
    if len(found) > most:
        say_more(most)
