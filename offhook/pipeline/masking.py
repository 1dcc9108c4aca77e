"""Persons hidden in a text: emails, numbers, and the addresses of a call however they are spelled. SIDs and times stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from offhook.pipeline.phone import mask, mask_numbers_in

Masking = Callable[[str], str]

PERSONS = frozenset({"CallerName", "CallToken", "StirPassportToken"})
"""Parameters of Twilio's that say who somebody is, in whatever form."""

_AT = r"(?:@|%40|\\u0040)"
_EMAIL = re.compile(
    rf"""([^\s"'<>@,;:=()\[\]{{}}\\/&?%])[^\s"'<>@,;:=()\[\]{{}}\\/&?%]*({_AT}[^\s"'<>@,;:()\[\]{{}}\\/&?]+)"""
)
_SHORTEST = 7  # digits of a number that is looked for without its first ones
_BETWEEN = r"[\s().-]{0,3}"
_LOOKS_LIKE_A_NUMBER = re.compile(rf"\+?[0-9](?:{_BETWEEN}[0-9]){{{_SHORTEST - 1},}}")


def mask_email(text: str) -> str:
    """`ann@example.com` as `a***@example.com`, wherever it stands; a hash stays."""
    return _EMAIL.sub(r"\1***\2", text)


def hidden(text: str) -> str:
    """A text in which somebody may be named, as a customer's name or what a person typed: emails and numbers hidden in part."""
    return mask_numbers_in(mask_email(text))


def mask_digits(text: str) -> str:
    """Whatever has as many digits as a number, however it is written. Times and SIDs may be masked by it, too."""
    return _LOOKS_LIKE_A_NUMBER.sub(lambda found: mask(found[0]), text)


def in_clear(text: str) -> str:
    """Hides nothing."""
    return text


def masking(addresses: Iterable[str | None], ours: str = "") -> Masking:
    """Hides every email and every number that shows as one, and these addresses also where they do not:
    `+14155550100` as 4155550100 or (415) 555-0100. `ours` (E.164) is our own number, which names nobody and stays.
    """
    known = {address for address in addresses if address and address != ours}
    words = {address: mask(address) for address in known if len(address) > 3 and mask(address) != address}
    digits = re.compile("|".join(filter(None, map(_spellings, sorted(known)))) or r"(?!)")

    def hide(text: str) -> str:
        for address, masked in words.items():
            text = text.replace(address, masked)
        return digits.sub(lambda found: mask(found[0]), hidden(text))

    return _but(ours, hide) if ours else hide


def _but(ours: str, hide: Masking) -> Masking:
    whole = re.compile(rf"((?<![0-9+]){re.escape(ours)}(?![0-9]))")

    def hide_others(text: str) -> str:
        return "".join(piece if piece == ours else hide(piece) for piece in whole.split(text))

    return hide_others


def _spellings(address: str) -> str:
    """A pattern for the number with or without its first digits, the longest first; "" where it has too few."""
    number = "".join(char for char in address.partition("@")[0] if char.isdigit())
    tails = [_BETWEEN.join(number[begin:]) for begin in range(len(number) - _SHORTEST + 1)]
    return rf"(?<![0-9A-Za-z])(?:{'|'.join(tails)})(?![0-9A-Za-z])" if tails else ""
