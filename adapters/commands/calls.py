"""`flask calls ...`: calls by what became of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, Offhook, fail, offhook
from offhook.adapters.commands.named_call import say_more_numbers
from offhook.adapters.commands.periods import ago
from offhook.adapters.commands.shown import Format, say_more, show_list, shows
from offhook.adapters.commands.tallies import NOT_WHOLE
from offhook.adapters.rules_file.problems import RulesError
from offhook.pipeline.call import CallState
from offhook.pipeline.calls_listed import COLUMNS, ON_A_TERMINAL, PAGE, every, row
from offhook.pipeline.finding import numbers_ever_of
from offhook.pipeline.phone import caller
from offhook.pipeline.reasons import OF_DECISIONS, known
from offhook.pipeline.story import CallFilter, CountedCall, Verdict
from offhook.pipeline.unfinished import UNFINISHED
from offhook.pipeline.words import SOURCES, label_of, reason_in_words

_STATES = [*(state.value for state in CallState if state is not CallState.MERGED), UNFINISHED]


@click.group(cls=LedgerGroup)
def calls() -> None:
    """The calls, by what became of them. `flask explain CALLSID` has all about one.

    \b
    flask calls list --since 1d
    """


@calls.command("list")
@click.option("--since", callback=ago, help="Only what came in this time: 90m, 1h, 2d.")
@click.option("--until", callback=ago, help="Only what came before this time: 90m, 1h, 2d ago.")
@click.option("--number", help="Only calls of this tracked number, in any spelling.")
@click.option("--outcome", type=click.Choice([one.value for one in Verdict]), help="Only those with this verdict.")
@click.option("--reason", help="Only those with this reason word; `flask today` and docs/reasons.md have them.")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state of a call (docs/states.md).")
@click.option("--customer", help="Only those of a customer: a number in any spelling, an email or a customer id.")
@click.option("--least-seconds", type=click.IntRange(0), help="Only those that lasted at least so long.")
@click.option("--most-seconds", type=click.IntRange(0), help="Only those that lasted so long at most.")
@click.option("--source", type=click.Choice(list(SOURCES)), help="Only those of which Twilio's report came so.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000), help="Most rows shown.")
@click.option("--reveal", is_flag=True, help="Show callers' numbers whole, not masked.")
@shows
@with_appcontext
def list_(
    since: datetime | None,
    until: datetime | None,
    number: str | None,
    outcome: str | None,
    reason: str | None,
    state: str | None,
    customer: str | None,
    least_seconds: int | None,
    most_seconds: int | None,
    source: str | None,
    limit: int,
    reveal: bool,
    shown: Format,
) -> None:
    """List calls, the newest first. All that is asked for must hold.

    \b
    flask calls list --since 1d --outcome unknown_caller
    flask calls list --reason too_short --number "(415) 555-0100" --csv
    flask calls list --customer ann@example.com --json
    flask calls list --least-seconds 60 --source event-stream
    """
    service = offhook()
    country = service.settings.default_country
    ours = None if number is None else _number(number, country)
    ledger, most = service.ledger, service.settings.customer_numbers
    numbers = None if customer is None else numbers_ever_of(ledger.history, ledger.stories, customer, country, most)
    phones = None if numbers is None else tuple(numbers.phones)
    wanted = CallFilter(since, until, ours, outcome, reason, state, phones, least_seconds, most_seconds, source)
    found = [] if phones == () else list(islice(every(ledger.stories, wanted, min(limit + 1, PAGE)), limit + 1))
    show_calls(found[:limit], shown, reveal=reveal)
    if reason is not None and not found:
        _say_unknown_reason(service, reason)
    if len(found) > limit:
        say_more(limit)
    if not ledger.tallies.is_whole():
        click.echo(NOT_WHOLE, err=True)
    if numbers is not None and numbers.is_more:
        say_more_numbers(most)


def _say_unknown_reason(service: Offhook, reason: str) -> None:
    """Where the word is none of ours and none of the rules that hold, it may be misspelt; or rules of before gave it."""
    try:
        own = [rule.skip for rule in service.rules().blocks if rule.skip]
    except RulesError:
        own = []
    if reason in own or known(reason) or known(f"{reason} "):
        return
    words = sorted({*(word.partition(" ")[0] for word in OF_DECISIONS), *own})
    near = difflib.get_close_matches(reason.lower(), words, n=1)
    meant = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(words)}."
    said = f'No call has the reason "{reason[:60]}", which is none of Offhook\'s and none of the rules that hold'
    click.echo(f"{said}. {meant} docs/reasons.md has all of Offhook's.", err=True)


def show_calls(found: Sequence[CountedCall], shown: Format, *, reveal: bool, in_words: bool = False) -> None:
    """Calls with what became of each; on a terminal without what a person does not read, and `in_words` that are a reader's."""
    is_table = shown is Format.TABLE
    rows = [row(one, reveal) | (_words(one) if is_table and in_words else {}) for one in found]
    show_list(rows, shown, ON_A_TERMINAL if is_table else COLUMNS)


def _words(one: CountedCall) -> dict[str, object]:
    """Verdict and reason as a page has them."""
    return {"outcome": label_of(one.outcome, one.reason), "reason": reason_in_words(one.reason)}


def _number(text: str, country: str) -> str:
    return caller(text, country, sip_users=True).e164 or fail(f'"{text[:60]}" is no phone number.', 2)
