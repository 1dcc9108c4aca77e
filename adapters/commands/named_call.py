"""What a person names a call by: its CallSid in any case, or the caller's number in any usual spelling."""

from __future__ import annotations

from offhook.adapters.commands.context import fail
from offhook.pipeline.phone import caller
from offhook.pipeline.sids import CALL, typed_kind

_QUOTES = " \t\r\n\"'`,;.\u2018\u2019\u201c\u201d"
_SHOWN = 60


def call_sid(text: str) -> str | None:
    """The CallSid as Twilio writes it; None when it is none."""
    plain = text.strip(_QUOTES)
    return f"{CALL}{plain[2:].lower()}" if typed_kind(plain) == CALL else None


def call_sid_or_phone(text: str, country: str) -> tuple[str | None, str | None]:
    """(CallSid, None) or (None, the number by which a caller is known). Ends the command with 2 where it is neither.

    `country` is that of numbers written without one.
    """
    sid = call_sid(text)
    if sid is not None:
        return sid, None
    phone = caller(text.strip(_QUOTES), country).number
    return (None, phone) if phone else fail(_neither(text, country), 2)


def only_call_sid(text: str) -> str:
    """The CallSid. Ends the command with 2 where it is none."""
    plain = text.strip(_QUOTES)
    finds = "`flask conversions show NUMBER` finds the calls of a number."
    return call_sid(text) or fail(f"{_shown(plain)} is no CallSid: {_why_not(plain)}. {finds}", 2)


def _neither(text: str, country: str) -> str:
    plain = text.strip(_QUOTES)
    number = f"nor a phone number, international (+...) or of {country}."
    return f"{_shown(plain)} is neither a CallSid ({_why_not(plain)}) {number}"


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
