"""`flask tallies ...`: the sums that `flask today` shows."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, offhook
from offhook.adapters.commands.shown import Format, show_record, shows

NOT_WHOLE = "Calls from before figures were kept are not counted yet: `flask tallies rebuild` counts them."


@click.group(cls=LedgerGroup)
def tallies() -> None:
    """The sums of calls that `flask today` shows. They are kept as the calls move, and need no care.

    \b
    flask tallies rebuild       count everything anew, e.g. after an update from a version that kept no sums
    """


@tallies.command()
@shows
@with_appcontext
def rebuild(shown: Format) -> None:
    """Count every call anew. The worker may go on meanwhile; twice does no harm.

    `moved` are the calls that were counted in another place than where they belong, or in none; `hours` those whose sums
    were wrong. Both are 0 where all was right. The calls that `flask unknown` counts are counted anew, too.

    \b
    flask tallies rebuild
    flask tallies rebuild --json
    """
    done = offhook().ledger.tallies.count_anew()
    show_record(done, shown)
