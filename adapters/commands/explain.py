"""`flask explain ...`: why a call is in Rockerbox, or is not."""

from __future__ import annotations

from typing import NoReturn

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.calls import show_calls
from offhook.adapters.commands.context import LedgerCommand, Offhook, fail, offhook
from offhook.adapters.commands.explanation_shown import COLUMNS, raw_option, show_explanation
from offhook.adapters.commands.named_call import no_call_of, say_more_numbers
from offhook.adapters.commands.shown import Format, show_list, show_record, shows
from offhook.adapters.rules_file.problems import RulesError
from offhook.pipeline.explanation import Anew, Explanation, anew_of, hiding, look_up_for, rows_of_then
from offhook.pipeline.explanation import explain as explain_story
from offhook.pipeline.finding import Named, call_sid, calls_named, counted_calls, story_of, typed
from offhook.pipeline.masking import Masking, hidden, in_clear
from offhook.pipeline.story import Story


def _show_schema(context: click.Context, _parameter: click.Parameter, is_wished: bool) -> None:
    """Before the name is asked for, and without a ledger."""
    if is_wished and not context.resilient_parsing:
        from offhook.adapters.commands.explain_schema import schema

        show_record(schema(), Format.JSON)
        context.exit()


@click.command(cls=LedgerCommand)
@click.argument("name", metavar="CALLSID|NUMBER|EMAIL|CUSTOMER_ID|ORDER_ID")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_schema,
    help="Show the JSON schema and end.",
)
@click.option("--reveal", is_flag=True, help="Show numbers and emails whole, not masked.")
@raw_option
@shows
@with_appcontext
def explain(name: str, reveal: bool, raw: bool, shown: Format) -> None:
    """Explain a call: why is it in Rockerbox, or why not, and what can be done?

    First the verdict and the remedy; then what arrived, what was decided and why, what was sent, what came back, and what
    today's rules and customers would do. What means several calls lists them. --json is one object, by
    docs/schema/explain.json; where several calls are meant it is a list of them.

    \b
    flask explain CA123...
    flask explain "(415) 867-5309" --reveal
    flask explain ann@example.com
    flask explain CA123... --raw
    flask explain CA123... --json
    flask explain --schema > explain.schema.json
    """
    service = offhook()
    found = explained(service, name, shown, reveal=reveal)
    if shown is Format.JSON:
        show_record(found, shown)
    elif shown is Format.CSV:
        show_list([found], shown, COLUMNS)
    else:
        show_explanation(found, raw=raw)


def explained(service: Offhook, name: str, shown: Format, *, reveal: bool) -> Explanation:
    """The one call that is meant. Ends the command where it is none, or, with a list, where there are several."""
    known, ledger = service.settings, service.ledger
    most, most_numbers = known.short_list_rows, known.customer_numbers
    found = calls_named(ledger.history, ledger.stories, name, known.default_country, most, most_numbers)
    if not found.calls:
        _fail_without_call(service, name)
    if len(found.calls) > 1 or found.is_more:
        _list(service, found, name, shown, reveal=reveal)
    [line] = found.calls
    story = story_of(ledger.stories, line)
    look_up = look_up_for(story, service.ledger.look_up_of)
    rows = rows_of_then(service.ledger.history, story)
    return explain_story(story, service.read, _anew(service, story), _masking_of(story, reveal), rows, look_up)


def _anew(service: Offhook, story: Story) -> Anew:
    try:
        judge = service.judge()
    except RulesError as error:
        return Anew(unknown=f"What would be decided today is unknown: the rules cannot be used. {error}")
    known = service.ledger.rebuilding.known_calls()
    return anew_of(known, story.call.key, judge, service.ledger.clock())


def _masking_of(story: Story, reveal: bool) -> Masking:
    return in_clear if reveal else hiding(story.call)


def _list(service: Offhook, found: Named, name: str, shown: Format, *, reveal: bool) -> NoReturn:
    """The calls that the name may mean, as `flask calls list` has them."""
    show_calls(counted_calls(service.ledger.stories, found), shown, reveal=reveal, in_words=True)
    more = f" (the newest {len(found.calls)} of more)" if found.is_more else ""
    click.echo(f"Calls of {_hidden(name)}{more}; `flask explain CALLSID` has all about one.", err=True)
    if found.is_more_numbers:
        say_more_numbers(service.settings.customer_numbers)
    raise SystemExit(0)


def _hidden(name: str) -> str:
    return hidden(typed(name))


def _fail_without_call(service: Offhook, name: str) -> NoReturn:
    sid = call_sid(name)
    if sid is None:
        waits = service.ledger.waiting().oldest_callback is not None
        why = " Callbacks wait that no worker has taken in yet: is `flask worker` running?" if waits else ""
        message, code = no_call_of(name, service.settings.default_country)
        fail(f"{message}{why}", code)
    if service.ledger.stories.has_callbacks(sid):
        fail(f"Callbacks of {sid} have arrived and no worker has taken them in yet. Is `flask worker` running?")
    fail(
        f"No callback of {sid} has arrived. If Twilio's console shows the call, look there at its request "
        "inspector: was the status callback sent, to which URL, and what was the answer?"
    )
