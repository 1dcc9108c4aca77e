"""`flask recordings ...`: callbacks out of the ledger and other places into files, and files sent again, signed anew."""

from __future__ import annotations

import click

from offhook.adapters.commands.context import LedgerGroup
from offhook.adapters.commands.listed import RECORDINGS


@click.group(cls=LedgerGroup)
def recordings() -> None:
    """Recorded callbacks: into a file, with pseudonyms instead of persons, and sent again, signed anew.

    \b
    flask recordings export --since 1h --output calls.jsonl      from the ledger
    flask recordings tap calls.jsonl                             as they come in
    flask recordings import tunnel.har --output calls.jsonl      from a HAR file, a raw request, a log, Twilio's alerts
    flask recordings replay calls.jsonl --to http://127.0.0.1:8000 --account-sid AC... --auth-token ...
    """


for command in RECORDINGS:
    recordings.add_command(command)
