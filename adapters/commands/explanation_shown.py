"""An explanation in words, for a terminal. Everything that it says stands in the explanation; persons are hidden already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

import click

from offhook.adapters.commands.shown import Format, in_utc, show_list, show_record
from offhook.pipeline.delivery import State
from offhook.pipeline.explanation import (
    SPELLING,
    AttemptFacts,
    ConversionFacts,
    DecisionFacts,
    Difference,
    Explanation,
    ReasonFacts,
    RuleFacts,
    Today,
)
from offhook.pipeline.story import CustomerRow, verdict
from offhook.pipeline.words import STATES, outcome_in_words, word_of

COLUMNS = tuple(field.name for field in fields(Explanation))
_CALL = ("state", "direction", "status", "duration_seconds", "from_number", "to_number", "customer")
_LEG = ("call_sid", "parent_call_sid", "direction", "status", "duration_seconds")
_CALLBACK = ("received_at", "call_sid", "status", "source", "delay_seconds", "method", "bytes")
_ATTEMPT = ("number", "started_at", "result", "reason", "next_state", "status_code", "answer")
_MOST_OF_AN_ANSWER = 200  # characters


def show_explanation(found: Explanation) -> None:
    """The verdict and what can be done; then what arrived, what was decided, what was sent, what came back, and today."""
    click.secho(f"Call {found.call_sid} of account {found.account_sid}", bold=True)
    click.echo(f"{word_of(found.verdict).label}. {found.sentence}")
    click.echo(found.remedy)
    click.echo()
    facts = {name: getattr(found.call, name) for name in _CALL}
    show_record({**facts, "state": STATES.get(found.call.state, found.call.state)}, Format.TABLE)
    if len(found.legs) > 1:
        _title("Its legs")
        show_list(found.legs, Format.TABLE, _LEG)
    _title("What arrived")
    show_list(found.callbacks, Format.TABLE, _CALLBACK)
    _title("What was decided")
    for one in found.decisions:
        _show_decision(one, is_last=one is found.decisions[-1])
    if not found.decisions:
        click.echo("nothing yet")
    _show_sent(found)
    _show_today(found.today)


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _show_decision(one: DecisionFacts, *, is_last: bool) -> None:
    by = f"rules {one.rules_version}, customer list {one.mapping_version}"
    rule = f" by the rule {one.rule}" if one.rule else ""
    click.echo(f"{in_utc(one.decided_at)}  {STATES.get(one.result, one.result)}{rule}  ({by})")
    if one.who is not None:
        click.echo(f"    {one.who.reason}: {one.who.sentence}")
    for reason in one.reasons:
        click.echo(f"    {reason.reason}: {reason.sentence}")
        if is_last:  # what was done about those before is done
            _show_remedy(reason)
    for tried in one.trace:
        _show_trace(tried)
    if one.customer is not None:
        click.echo(f"    {_customer(one.customer)}")


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
    who = ", ".join(value for value in (row.email, row.customer_id) if value)
    until = f" until {in_utc(row.until_at)}" if row.until_at else ""
    return f"customer {who} by {row.source} {row.name}, from {in_utc(row.from_at)}{until}"


def _show_sent(found: Explanation) -> None:
    now = found.conversion
    if now is None:
        return
    for number, old in enumerate(found.replaced):
        _title(f"What was sent until {in_utc(old.replaced_at)}, when it was decided anew")
        _show_payload(old.payload)
        _show_attempts(one for one in found.attempts if one.of_replaced == number)
    _title("What is sent")
    _show_payload(now.payload)
    due = f", due {in_utc(now.due_at)}" if now.due_at else ""
    click.echo(f"{outcome_in_words(verdict('', now.state), now.reason)} ({now.reason}){due}")
    if now.state != State.DELIVERED:
        _show_remedy(now)
    _show_attempts(one for one in found.attempts if one.of_replaced is None)


def _show_payload(payload: Mapping[str, str]) -> None:
    show_record(payload, Format.JSON)


def _show_attempts(attempts: Iterable[AttemptFacts]) -> None:
    rows: Sequence[Mapping[str, object]] = [_in_short(row) for row in attempts]
    if rows:
        show_list(rows, Format.TABLE, _ATTEMPT)


def _in_short(row: AttemptFacts) -> Mapping[str, object]:
    after = f"none: it came late, {in_utc(row.finished_at)}" if row.came_late else _after(row.next_state)
    short = {"next_state": after, "answer": row.answer[:_MOST_OF_AN_ANSWER]}
    return {name: getattr(row, name) for name in _ATTEMPT} | short


def _after(state: str) -> str:
    """Where a conversion stands, in a reader's words."""
    return word_of(verdict("", state)).label


def _show_today(today: Today) -> None:
    _title("What would become of it today")
    click.echo(f"{word_of(today.verdict).label}. {today.sentence}")
    for one in today.differences:
        click.echo(f"    {changed_line(one, '--reveal')}")


def changed_line(one: Difference, option: str) -> str:
    """Old and new in a line; where both look alike, since persons are hidden, the option that shows them."""
    then, now = ("-" if value is None else value for value in (one.then, one.now))
    if one.what == SPELLING:
        return "spelled otherwise"
    return f"{one.what}: {then} -> {f'another one ({option} shows it)' if then == now else now}"
