"""An explanation in words, for a terminal. Everything that it says stands in the explanation; persons are hidden already.

A reader's words, as the page of the call has them. What an engineer looks up beside them, reason words, hashes of rules and the
states of the ledger, is there where it is asked for (`raw`), and in JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

import click

from offhook.adapters.commands.shown import Format, in_utc, show_list, show_record
from offhook.pipeline.delivery import State
from offhook.pipeline.explanation import (
    SPELLING,
    AttemptFacts,
    CallbackFacts,
    ConversionFacts,
    DecisionFacts,
    Difference,
    Explanation,
    ReasonFacts,
    RuleFacts,
)
from offhook.pipeline.explanation_words import differences, headline, said
from offhook.pipeline.story import CustomerRow, verdict
from offhook.pipeline.words import BROUGHT_BY, SOURCES, STATES, outcome_in_words, reason_in_words, word_of

COLUMNS = tuple(field.name for field in fields(Explanation))
_CALL = ("state", "direction", "status", "duration_seconds", "from_number", "to_number", "customer")
_LEG = ("call_sid", "parent_call_sid", "direction", "status", "duration_seconds")
_CALLBACK = ("received_at", "call_sid", "status", "source", "delay_seconds", "method", "bytes")
_ATTEMPT = ("number", "started_at", "reason", "next_state", "status_code", "answer")
_RAW_ATTEMPT = ("number", "started_at", "result", "reason", "next_state", "status_code", "answer")
_MOST_OF_AN_ANSWER = 200  # characters
raw_option = click.option(
    "--raw", is_flag=True, help="Also the words of the ledger and of docs/reasons.md, and the hash of the rules."
)
"""Of each command that shows an explanation, as its argument `raw`."""


def show_explanation(found: Explanation, *, raw: bool) -> None:
    """The verdict and what can be done; then what arrived, what was decided, what was sent, what came back, and today."""
    click.secho(f"Call {found.call_sid} of account {found.account_sid}", bold=True)
    click.echo(f"{word_of(found.verdict).label}. {found.sentence if raw else headline(found)}")
    click.echo(found.remedy)
    click.echo()
    facts = {name: getattr(found.call, name) for name in _CALL}
    show_record({**facts, "state": _in_words(STATES, found.call.state, raw)}, Format.TABLE)
    if len(found.legs) > 1:
        _title("Its legs")
        show_list(found.legs, Format.TABLE, _LEG)
    _title("What arrived")
    show_list([_arrived(one, raw) for one in found.callbacks], Format.TABLE, _CALLBACK)
    _title("What was decided")
    for one in found.decisions:
        _show_decision(found, one, raw)
    if not found.decisions:
        click.echo("nothing yet")
    _show_sent(found, raw)
    _show_today(found, raw)


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _in_words(words: Mapping[str, str], word: str, raw: bool) -> str:
    """The reader's words for a word of the ledger's, or both."""
    text = words.get(word, word)
    return f"{text} ({word})" if raw and text != word else text


def _arrived(one: CallbackFacts, raw: bool) -> Mapping[str, object]:
    return {name: getattr(one, name) for name in _CALLBACK} | {"source": _in_words(SOURCES, one.source, raw)}


def _show_decision(found: Explanation, one: DecisionFacts, raw: bool) -> None:
    by = f"  (rules {one.rules_version}, customer list {one.mapping_version})" if raw else ""
    rule = f" by the rule {one.rule}" if one.rule else ""
    click.echo(f"{in_utc(one.decided_at)}  {_in_words(STATES, one.result, raw)}{rule}{by}")
    if one.who is not None:
        _show_reason(found, one.who, raw)
    for reason in one.reasons:
        _show_reason(found, reason, raw)
        if one is found.decisions[-1]:  # what was done about those before is done
            _show_remedy(reason)
    for tried in one.trace:
        _show_trace(tried)
    if one.customer is not None:
        click.echo(f"    {_customer(one.customer)}")


def _show_reason(found: Explanation, one: ReasonFacts, raw: bool) -> None:
    click.echo(f"    {one.reason}: {one.sentence}" if raw else f"    {said(one.sentence, found)}")


def _show_remedy(reason: ReasonFacts | ConversionFacts) -> None:
    """What can be done about a reason, where its sentence has not said so already."""
    if reason.remedy and reason.remedy not in reason.sentence:
        click.echo(f"        {reason.remedy}")


_HOLDS = {True: "holds", False: "does not hold", None: "unknown"}


def _show_trace(tried: RuleFacts) -> None:
    click.echo(f"    rule {tried.rule or '(the last one)'}: {_HOLDS[tried.holds]}")
    for one in tried.conditions:
        click.echo(f"        {one.key}: asks {one.asked}, found {one.found}: {_HOLDS[one.holds]}")


def _customer(row: CustomerRow) -> str:
    who = ", ".join(value for value in (row.email, row.customer_id) if value) or "not one alone"
    until = f" until {in_utc(row.until_at)}" if row.until_at else ""
    by = f"{BROUGHT_BY.get(row.source, row.source)} {row.name}".strip()
    return f"customer {who}, said by: {by}, from {in_utc(row.from_at)}{until}"


def _show_sent(found: Explanation, raw: bool) -> None:
    now = found.conversion
    if now is None:
        return
    for number, old in enumerate(found.replaced):
        _title(f"What was sent until {in_utc(old.replaced_at)}, when it was decided anew")
        _show_payload(old.payload)
        _show_attempts((one for one in found.attempts if one.of_replaced == number), raw)
    _title("What is sent")
    _show_payload(now.payload)
    word = f" ({now.reason})" if raw else ""
    due = f", due {in_utc(now.due_at)}" if now.due_at else ""
    click.echo(f"{outcome_in_words(verdict('', now.state), now.reason)}{word}{due}")
    if now.state != State.DELIVERED:
        _show_remedy(now)
    _show_attempts((one for one in found.attempts if one.of_replaced is None), raw)


def _show_payload(payload: Mapping[str, str]) -> None:
    show_record(payload, Format.JSON)


def _show_attempts(attempts: Iterable[AttemptFacts], raw: bool) -> None:
    rows: Sequence[Mapping[str, object]] = [_in_short(row, raw) for row in attempts]
    if rows:
        show_list(rows, Format.TABLE, _RAW_ATTEMPT if raw else _ATTEMPT)


def _in_short(row: AttemptFacts, raw: bool) -> Mapping[str, object]:
    after = f"none: it came late, {in_utc(row.finished_at)}" if row.came_late else _after(row.next_state)
    short = {"next_state": after, "answer": row.answer[:_MOST_OF_AN_ANSWER]}
    words = {} if raw else {"reason": reason_in_words(row.reason)}
    return {name: getattr(row, name) for name in _RAW_ATTEMPT} | short | words


def _after(state: str) -> str:
    """Where a conversion stands, in a reader's words."""
    return word_of(verdict("", state)).label


def _show_today(found: Explanation, raw: bool) -> None:
    today = found.today
    _title("What would become of it today")
    click.echo(f"{word_of(today.verdict).label}. {today.sentence}")
    for one in today.differences if raw else differences(found):
        click.echo(f"    {changed_line(one, '--reveal')}")


def changed_line(one: Difference, option: str) -> str:
    """Old and new in a line; where both look alike, since persons are hidden, the option that shows them."""
    then, now = ("-" if value is None else value for value in (one.then, one.now))
    if one.what == SPELLING:
        return "spelled otherwise"
    return f"{one.what}: {then} -> {f'another one ({option} shows it)' if then == now else now}"
