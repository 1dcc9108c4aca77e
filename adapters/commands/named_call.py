"""What a person types to name a call: its CallSid in any case, and what to say where there is none. Finds nothing."""

from __future__ import annotations

import click

from offhook.adapters.commands.context import fail
from offhook.pipeline.finding import call_sid, typed
from offhook.pipeline.masking import mask_email
from offhook.pipeline.phone import caller, mask
from offhook.pipeline.sids import CALL, typed_kind

_SHOWN = 60


def only_call_sid(text: str) -> str:
    """The CallSid. Ends the command with 2 where it is none."""
    plain = typed(text)
    finds = "`flask explain NUMBER` finds the calls of a number."
    return call_sid(text) or fail(f"{_shown(plain)} is no CallSid: {_why_not(plain)}. {finds}", 2)


def no_call_of(text: str, country: str) -> tuple[str, int]:
    """What to say of a name by which no call is known, and the exit code: 2 where it looks like none at all.

    `country` is that of numbers written without one.
    """
    words = typed(text)
    phone = caller(words, country).number
    if phone:
        return f"No call of {mask(phone)} is known; a call is found by the customer's number.", 1
    if "@" in words:
        return f"No call of {mask_email(words)} is known: no customer is known by this email, or none has called.", 1
    number = f"a phone number, international (+...) or of {country}, nor a customer id or an order id that is known"
    return f"{_shown(words)} is neither a CallSid ({_why_not(words)}) nor {number}.", 2


def say_more_numbers(most: int) -> None:
    """Behind a list of calls: the customer has more than `most` numbers, and the others were not looked for."""
    click.echo(
        f"This customer has more than {most} numbers: calls of {most} of them are looked at (OFFHOOK_CUSTOMER_NUMBERS).",
        err=True,
    )


def _why_not(plain: str) -> str:
    expected = f"{CALL} and 32 of 0-9 and a-f"
    kind = typed_kind(plain)
    if kind not in ("", CALL):
        return f"{expected}; one that begins with {kind} is of something else"
    if plain[:2].upper() != CALL:
        return expected
    if len(plain) != 34:
        return f"{expected}, 34 characters in all; this has {len(plain)}"
    return f"{expected}; this has other characters"


def _shown(plain: str) -> str:
    return f'"{plain[:_SHOWN]}{"..." if len(plain) > _SHOWN else ""}"'
