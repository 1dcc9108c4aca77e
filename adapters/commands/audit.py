"""`flask audit`: who did what in the dashboard, by the API and by commands."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerCommand, offhook
from offhook.adapters.commands.shown import Format, show_list, shows
from offhook.pipeline.audit_lines import COLUMNS, every
from offhook.pipeline.users import AuditFilter


@click.command(cls=LedgerCommand)
@click.option("--who", default="", help="The email of who did it.")
@click.option("--what", default="", help="What was done, as it is shown.")
@click.option("--of", "of_what", default="", help="What it was done to: a CallSid, a user, a name.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]), help="From then on (a day of UTC).")
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]), help="Before then.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many, the newest.")
@click.option("--all", "is_all", is_flag=True, help="However many there are.")
@shows
@with_appcontext
def audit(
    who: str,
    what: str,
    of_what: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    is_all: bool,
    shown: Format,
) -> None:
    """List who did what, the newest first: sign-ins, reveals, and every action of the dashboard, the API and commands.

    A line is kept for ever, or for OFFHOOK_AUDIT_DAYS; then a worker removes it, and a line "audit pruned" says so.

    \b
    flask audit
    flask audit --who ann@example.com --since 2026-11-01
    flask audit --all --csv > audit.csv
    """
    asked = AuditFilter(who, what, of_what, _in_utc(since), _in_utc(until))
    show_list(every(offhook().ledger.audit, asked, None if is_all else limit), shown, COLUMNS)


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
