"""`flask customers ...`: the mapping from phone numbers to customers, filled and looked up."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from offhook.adapters.commands.context import LedgerGroup, fail, offhook
from offhook.adapters.commands.importing import import_
from offhook.adapters.commands.looking_up import lookup, lookups
from offhook.adapters.commands.shown import Format, show_record, shows
from offhook.pipeline.conversion import SEVERAL_CUSTOMERS
from offhook.pipeline.masking import in_clear, masking
from offhook.pipeline.phone import mask, to_e164


@click.group(cls=LedgerGroup)
def customers() -> None:
    """Who calls: the mapping from phone numbers to the emails and customer ids that Rockerbox knows.

    \b
    flask customers import customers.csv       fill it, or bring it up to date
    flask customers show "(415) 867-5309"      who has this number?
    flask customers lookup "(415) 867-5309"    who do the systems say has it that are asked (OFFHOOK_LOOKUPS)?
    """


customers.add_command(import_)
customers.add_command(lookup)
customers.add_command(lookups)


@customers.command()
@click.argument("phone")
@click.option("--in-clear", "is_clear", is_flag=True, help="Show the whole number and email.")
@shows
@with_appcontext
def show(phone: str, is_clear: bool, shown: Format) -> None:
    """Show which customer has a PHONE number, in any usual spelling. Exit code 1 when nobody has it, or several have.

    \b
    flask customers show "(415) 867-5309"
    flask customers show "(415) 867-5309" --json --in-clear
    """
    service = offhook()
    country = service.settings.default_country
    e164 = to_e164(phone, country) or fail(f'"{phone}" is no phone number, neither international nor of {country}.', 2)
    found = service.ledger.find_customers([e164]).get(e164)
    parked = f"Nobody has {mask(e164)}. Calls from it wait (parked) until `flask customers import` brings it."
    customer = found or fail(parked)
    if customer.people > 1:
        fail(
            f"{customer.people} customers have {mask(e164)} ({SEVERAL_CUSTOMERS}): nobody is credited, and calls from it "
            "wait until an import gives it to one of them, or to the first or last with --conflict."
        )
    hide = in_clear if is_clear else masking([customer.phone])
    held = ((name, getattr(customer, name)) for name in ("phone", "email", "customer_id"))
    show_record([(name, hide(value) if value else None) for name, value in held], shown)
