"""`flask customers lookup` and `lookups`: the sources of OFFHOOK_LOOKUPS asked by hand, and the numbers that wait for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.audited import audit
from offhook.adapters.commands.context import LedgerCommand, Offhook, fail, offhook
from offhook.adapters.commands.shown import Format, show_list, shows
from offhook.pipeline.look_up import Answer, Asked, Found, Later, LookUpPolicy, NotThere
from offhook.pipeline.looking_up import asked_of, comes_to, take_in
from offhook.pipeline.masking import Masking, in_clear, masking
from offhook.pipeline.phone import mask, to_e164
from offhook.pipeline.ports.caller_source import CallerSource
from offhook.pipeline.reasons import OF_LOOK_UPS, known
from offhook.settings import SettingsError

_ANSWERED = ("source", "answer", "email", "customer_id", "attributes", "seconds", "reason", "detail")
_WAITING = ("phone", "waits_since", "due_at", "attempts", "source", "reason")
_NO_SOURCES = "No source is configured: OFFHOOK_LOOKUPS names those that are asked who calls (docs/lookups.md)."


@dataclass(frozen=True, slots=True)
class _Answered:
    """What one source answered, and how many seconds it took."""

    source: str
    answer: Answer
    seconds: float


@click.command(cls=LedgerCommand)
@click.argument("phone")
@click.option("--save", is_flag=True, help="Take what the answers come to into the mapping, as a worker would.")
@click.option("--in-clear", "is_clear", is_flag=True, help="Show the whole email.")
@shows
@with_appcontext
def lookup(phone: str, save: bool, is_clear: bool, shown: Format) -> None:
    """Ask your systems now who has a PHONE number.

    Each source of OFFHOOK_LOOKUPS is asked, and what it answers is shown; nothing is written without --save. Exit code 1
    when nobody has the number, or a source could not say.

    \b
    flask customers lookup "(415) 867-5309"
    flask customers lookup "(415) 867-5309" --save
    flask customers lookup "(415) 867-5309" --json --in-clear
    """
    service = offhook()
    country = service.settings.default_country
    e164 = to_e164(phone, country) or fail(f'"{phone}" is no phone number, neither international nor of {country}.', 2)
    answers = [_answered(source, e164) for source in _sources(service)]
    hide = in_clear if is_clear else masking([e164])
    show_list([_row(one, hide) for one in answers], shown, _ANSWERED)
    asked = comes_to(e164, ((one.source, one.answer) for one in answers))
    if save:
        _save(service, asked)
    _conclude(asked)


def _sources(service: Offhook) -> Sequence[CallerSource]:
    try:
        return service.sources() or fail(_NO_SOURCES, 2)
    except SettingsError as error:
        fail(str(error), 2)


def _answered(source: CallerSource, phone: str) -> _Answered:
    began = time.monotonic()
    return _Answered(source.name, asked_of(source, phone), round(time.monotonic() - began, 3))


def _row(one: _Answered, hide: Masking) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_ANSWERED) | {"source": one.source, "seconds": one.seconds}
    match one.answer:
        case Found(people=1) as found:
            of_several = f", one of {len(found.others)} customers" if found.others else ""
            row |= {"answer": f"found{of_several}", "attributes": dict(found.attributes)}
            row |= {name: hide(text) if (text := getattr(found, name)) else None for name in ("email", "customer_id")}
        case Found(people=people):
            row["answer"] = f"{people} customers"
        case NotThere():
            row["answer"] = "unknown"
        case Later() as later:
            row |= {"answer": "later", "reason": later.reason, "detail": later.detail}
    return row


def _save(service: Offhook, asked: Asked) -> None:
    """What somebody else said of the number, an import for one, stays."""
    ledger, lifetime = service.ledger, service.settings.lookup_fresh_seconds
    kept = [phone for phone, one in ledger.find_customers([asked.phone]).items() if one.fresh_until is None]
    if not kept and not isinstance(asked.answer, Later):
        audit(service, "flask customers", "look-up saved", mask(asked.phone))
    take_in(ledger, [asked], kept, ledger.clock(), LookUpPolicy(fresh_seconds=lifetime))
    if kept:
        click.echo("Not saved: the mapping has this number from elsewhere, and that stays.", err=True)
    elif not isinstance(asked.answer, Later):
        click.echo("Saved.", err=True)


def _conclude(asked: Asked) -> None:
    """Ends the command where nobody is credited."""
    match asked.answer:
        case Later(reason=reason):
            found = known(reason, OF_LOOK_UPS)
            said = f"{found.sentences[0].format(word=reason)} {found.advice}" if found else reason
            fail(f"{asked.source} could not say, so a call of {mask(asked.phone)} would wait. {said}")
        case NotThere():
            fail(f"No source knows {mask(asked.phone)}.")
        case Found(people=people) if people > 1:
            fail(f"{people} customers of {asked.source} have {mask(asked.phone)}: nobody is credited.")


@click.command(cls=LedgerCommand)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most rows shown.")
@click.option("--in-clear", "is_clear", is_flag=True, help="Show whole numbers.")
@shows
@with_appcontext
def lookups(limit: int, is_clear: bool, shown: Format) -> None:
    """List the numbers that wait to be looked up.

    Since when a call waits for each, when it is asked for again, after how many failures, and what was wrong the last time.

    \b
    flask customers lookups
    flask customers lookups --json --in-clear
    """
    rows = offhook().ledger.look_ups(limit)
    values = (
        (one.phone if is_clear else mask(one.phone), one.waits_since, one.due_at, one.attempts, one.source, one.reason)
        for one in rows
    )
    show_list([dict(zip(_WAITING, row, strict=True)) for row in values], shown, _WAITING)
