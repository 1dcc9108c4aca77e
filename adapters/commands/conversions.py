"""`flask conversions ...`: what was sent, what waits, what needs a person, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, fail, offhook
from offhook.adapters.commands.explain import explained
from offhook.adapters.commands.explanation_shown import COLUMNS, raw_option, show_explanation
from offhook.adapters.commands.named_call import only_call_sid
from offhook.adapters.commands.retrying import again, show_again
from offhook.adapters.commands.shown import Format, in_utc, show_list, shows
from offhook.pipeline.delivery import State
from offhook.pipeline.ports.stories import Stories
from offhook.pipeline.sending_again import RETRYABLE
from offhook.pipeline.story import COUNTED_UP_TO, CallLine, ConversionLine
from offhook.pipeline.unfinished import REMEDY, UNFINISHED

_STATES = [state.value for state in State]
_LISTED = ("at", "state", "call_sid", "action", "attempts", "reason")


@click.group(cls=LedgerGroup)
def conversions() -> None:
    """What was sent to Rockerbox, what waits, and what needs a person.

    \b
    pending       waits for its turn, or for the next attempt
    sending       is being sent
    delivered     Rockerbox has it
    dead          refused by Rockerbox, or not delivered within 72 hours
    ambiguous     held: it may have arrived, and a second copy could count; or it
                  lacks a field of the account's deduplication key, and none would
    quarantined   held: three workers vanished while they sent it
    unfinished    no conversion: a call whose end Twilio never reported

    \b
    flask conversions list --state dead             what was refused, or given up
    flask conversions list --state unfinished       calls whose end Twilio never reported
    flask conversions show CA123...                 everything about one call, as `flask explain`
    flask conversions retry CA123...                send it again
    """


@conversions.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*_STATES, UNFINISHED]),
    help="Only these; may be given twice.",
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most rows shown.")
@shows
@with_appcontext
def list_(states: tuple[str, ...], limit: int, shown: Format) -> None:
    """List conversions and unfinished calls, the newest first.

    Below the table stands how many there are in each state, counted no further than 10000. `flask conversions --help`
    says what the states mean.

    \b
    flask conversions list
    flask conversions list --csv --limit 10000
    flask conversions list --state dead --state ambiguous --limit 500
    """
    stories = offhook().ledger.stories
    rows: list[dict[str, Any]] = []
    if not states or set(states) != {UNFINISHED}:
        found = stories.conversions([state for state in states if state != UNFINISHED], limit)
        rows += [_conversion_row(row) for row in found]
    if not states or UNFINISHED in states:
        rows += [_unfinished_row(row) for row in stories.unfinished(limit)]
    show_list(sorted(rows, key=lambda row: row["at"], reverse=True)[:limit], shown, _LISTED)
    if shown is Format.TABLE:
        _show_counts(stories)


def _show_counts(stories: Stories) -> None:
    counts = {**stories.conversion_counts(), UNFINISHED: stories.unfinished_count()}
    states = (*_STATES, UNFINISHED)
    click.echo()
    show_list([{state: _counted(counts.get(state, 0)) for state in states}], Format.TABLE, states)
    if counts[UNFINISHED]:
        click.echo(f"{UNFINISHED}: no final status of these calls came in time. {REMEDY}")


def _conversion_row(row: ConversionLine) -> dict[str, Any]:
    held = (row.created_at, row.state, row.key.call_sid, row.action, row.attempts, row.reason)
    return dict(zip(_LISTED, held, strict=True))


def _unfinished_row(row: CallLine) -> dict[str, Any]:
    why = f"{row.status}, first callback {in_utc(row.first_received_at)}"
    return dict(
        zip(
            _LISTED,
            (row.decided_at or row.first_received_at, UNFINISHED, row.key.call_sid, None, None, why),
            strict=True,
        )
    )


def _counted(found: int) -> int | str:
    return found if found <= COUNTED_UP_TO else f"{COUNTED_UP_TO}+"


@conversions.command()
@click.argument("call", metavar="CALLSID|NUMBER")
@click.option("--in-clear", "--reveal", "is_clear", is_flag=True, help="Show numbers and emails whole, not masked.")
@raw_option
@shows
@with_appcontext
def show(call: str, is_clear: bool, raw: bool, shown: Format) -> None:
    """Show all about a call.

    Why is it in Rockerbox, or why not? The same as `flask explain`.

    \b
    flask conversions show CA123...
    flask conversions show "(415) 867-5309" --in-clear
    flask conversions show CA123... --json          a list of one; `flask explain` gives the object alone
    """
    found = explained(offhook(), call, shown, reveal=is_clear)
    if shown is Format.TABLE:
        show_explanation(found, raw=raw)
    else:
        show_list([found], shown, COLUMNS)


@conversions.command()
@click.argument("call_sids", nargs=-1)
@click.option("--all", "every", type=click.Choice(RETRYABLE), help="All that are in this state.")
@click.option("--yes", is_flag=True, help="Also those that may have arrived already (ambiguous, quarantined).")
@click.option(
    "--rebuild/--as-it-is",
    "rebuild",
    default=None,
    help="What was refused, or held before it was sent: decide anew by today's rules and customers, or send the same bytes "
    "again.  [default: ask on a terminal, else the same]",
)
@click.option("--in-clear", "is_clear", is_flag=True, help="Show numbers and emails whole, not masked.")
@shows
@with_appcontext
def retry(
    call_sids: tuple[str, ...], every: str | None, yes: bool, rebuild: bool | None, is_clear: bool, shown: Format
) -> None:
    """Send conversions again that are dead, ambiguous or quarantined.

    Rockerbox counts a second copy when it comes on another day and cross-day deduplication is off: look at its Webhooks
    page whether an ambiguous one has arrived before you send it again.

    Where today's rules and customers would make another conversion, old and new are shown. What was refused with a 4xx, or held
    as it lacks a field of the account's deduplication key, and was never in doubt, may be decided anew; what may have arrived
    never is.

    \b
    flask conversions retry CA123...
    flask conversions retry --all dead --rebuild
    flask conversions retry CA123... --yes          it may have arrived, and you have looked
    flask conversions retry --all dead --csv        a line for each: how it was sent, what is otherwise today
    """
    if not call_sids and every is None:
        fail("Name one or more CallSids, or --all dead.", 2)
    rows = _chosen(call_sids, every)
    done = again(rows, yes=yes, anew=rebuild, is_clear=is_clear, shown=shown)
    if shown is Format.TABLE:
        click.echo(f"{done.moved} will be sent again.")
    else:
        show_again(done, rows, shown, is_clear=is_clear)
    if done.moved == 0 and call_sids and not rows:
        fail("None of these is dead, ambiguous or quarantined; `flask conversions show CALLSID` says where it stands.")
    if done.moved == 0 and rows and not done.is_declined:
        raise SystemExit(1)


def _chosen(call_sids: Sequence[str], every: str | None) -> list[ConversionLine]:
    stories = offhook().ledger.stories
    named = [story.conversion for sid in map(only_call_sid, call_sids) for story in stories.of_call(sid)]
    chosen = [one for one in named if one is not None and one.state in RETRYABLE]
    return chosen + (list(stories.conversions([every], 1_000_000)) if every else [])
