"""`flask customers ...`: the mapping from phone numbers to customers, filled and looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, fail, offhook
from offhook.adapters.commands.customer_history import (
    HISTORY,
    PEOPLE,
    conflicts,
    history_rows,
    imports,
    names_of_imports,
    people_rows,
    undo_,
)
from offhook.adapters.commands.importing import import_
from offhook.adapters.commands.looking_up import lookup, lookups
from offhook.adapters.commands.shown import Format, show_list, show_record, shows
from offhook.adapters.commands.syncing import sync
from offhook.pipeline.conversion import SEVERAL_CUSTOMERS
from offhook.pipeline.customer import Customer
from offhook.pipeline.masking import Masking, in_clear, masking
from offhook.pipeline.phone import mask, to_e164


@click.group(cls=LedgerGroup)
def customers() -> None:
    """Who calls: the mapping from phone numbers to the emails and customer ids that Rockerbox knows.

    \b
    flask customers import customers.csv       fill it, or bring it up to date
    flask customers show "(415) 867-5309"      who has this number?
    flask customers lookup "(415) 867-5309"    who do the systems say has it that are asked (OFFHOOK_LOOKUPS)?
    flask customers conflicts                  which numbers have several customers?
    flask customers imports                    what brought them; `undo` takes an import back
    """


for _command in (import_, sync, imports, undo_, conflicts, lookup, lookups):
    customers.add_command(_command)


@customers.command()
@click.argument("who")
@click.option("--in-clear", "--reveal", "is_clear", is_flag=True, help="Show whole numbers and emails, not masked.")
@shows
@with_appcontext
def show(who: str, is_clear: bool, shown: Format) -> None:
    """Show a customer by a number, an email or an id.

    WHO is a phone number in any usual spelling, an email or a customer id. The history of each number is shown with it, and
    of a number that several customers have each of them. Exit code 1 when nobody has it now, or several have.

    \b
    flask customers show "(415) 867-5309"
    flask customers show ann@example.com
    flask customers show "(415) 867-5309" --json --in-clear
    """
    service = offhook()
    country = service.settings.default_country
    e164 = to_e164(who, country)
    named = service.ledger.history.numbers_named(who) or ([] if e164 is None else [e164])
    if not named:
        fail(f'"{who}" is no phone number, neither international nor of {country}, nor any customer\'s email or id.', 2)
    lines = service.ledger.history.of_numbers(named)
    hide = in_clear if is_clear else masking(named)
    found = service.ledger.find_customers(named)
    history = history_rows(lines, names_of_imports(lines), hide)
    shared = {
        one.phone: people_rows(one, found.get(one.phone), hide) for one in service.ledger.history.shared_among(named)
    }
    records = [_record(found[phone], shared.get(phone, []), hide) for phone in named if phone in found]
    _show(records, history, shown)
    if not any(one.people == 1 for one in found.values()):
        fail(_why_nobody(named[0], found.get(named[0])))


def _record(one: Customer, people: Sequence[dict[str, object]], hide: Masking) -> dict[str, object]:
    held = ((name, getattr(one, name)) for name in ("phone", "email", "customer_id"))
    attributes = {name: hide(value) for name, value in one.attributes.items()}
    return {
        **{name: hide(value) if value else None for name, value in held},
        "attributes": attributes,
        "people": people,
    }


def _show(records: Sequence[dict[str, object]], history: Sequence[dict[str, object]], shown: Format) -> None:
    """One record, or several where the customer has several numbers; as text without what is empty. `people` are the several
    customers of a number.
    """
    if shown is not Format.TABLE:
        if len(records) == 1:
            show_record({**records[0], "history": history}, shown)
        elif records:
            show_list([{**one, "history": history} for one in records], shown, (*records[0], "history"))
        return
    for record in records:
        _show_as_text(record)
    if history:
        click.echo()
        show_list(history, shown, [name for name in HISTORY if any(line[name] is not None for line in history)])


def _show_as_text(record: dict[str, object]) -> None:
    if record["email"] or record["customer_id"]:
        show_record({name: record[name] for name in ("phone", "email", "customer_id")}, Format.TABLE)
    for name, value in dict(cast(dict[str, str], record["attributes"])).items():
        click.echo(f"  {name}: {value}")
    if people := cast(Sequence[dict[str, object]], record["people"]):
        show_list(people, Format.TABLE, PEOPLE)


def _why_nobody(phone: str, customer: Customer | None) -> str:
    if customer is None:
        return f"Nobody has {mask(phone)}. Calls from it wait (parked) until `flask customers import` brings it."
    return (
        f"{customer.people} customers have {mask(phone)} ({SEVERAL_CUSTOMERS}): nobody is credited, and calls from it "
        "wait until an import gives it to one of them, or to the first or last with --conflict."
    )
