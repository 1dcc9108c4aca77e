"""Who is at the other end, in E.164, and how a number looks in a log. Holds no list of numbers and never guesses one.

A number that cannot be read for certain is None: a wrong match would credit a stranger's advertising.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult


class CallerKind(StrEnum):
    """What a caller's address is. PHONE alone can be looked up."""

    PHONE = "phone"
    WITHHELD = "withheld"
    CLIENT = "client"
    SIP = "sip"
    SIM = "sim"
    SHORT_CODE = "short_code"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Caller:
    """One end of a call. `e164` is there when `kind` is PHONE and only then; `raw` is the text as it came."""

    kind: CallerKind
    e164: str | None
    raw: str


# https://www.twilio.com/docs/voice/twiml#request-parameters and Twilio's keypad spelling of the same words
_WITHHELD_WORDS = frozenset({"", "anonymous", "restricted", "unavailable", "blocked", "unknown", "private"})
_WITHHELD_NUMBERS = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
_SCHEMES = {
    "client:": CallerKind.CLIENT,
    "sip:": CallerKind.SIP,
    "sips:": CallerKind.SIP,
    "sim:": CallerKind.SIM,
}
_SHORT_CODE = re.compile(r"[0-9]{3,6}")


def caller(text: str, region: str) -> Caller:
    """Read any `From` or `To` of Twilio's. `region` (two letters) is the country of numbers written without one."""
    e164 = to_e164(text, region)
    if e164 is not None:
        withheld = e164 in _WITHHELD_NUMBERS
        return Caller(CallerKind.WITHHELD if withheld else CallerKind.PHONE, None if withheld else e164, text)
    plain = _plain(text).lower()
    scheme = plain[: plain.find(":") + 1]
    if _names_nobody(plain.removeprefix(scheme)):
        return Caller(CallerKind.WITHHELD, None, text)
    if scheme in _SCHEMES:
        return Caller(_SCHEMES[scheme], None, text)
    return Caller(CallerKind.SHORT_CODE if _SHORT_CODE.fullmatch(plain) else CallerKind.UNREADABLE, None, text)


def _names_nobody(address: str) -> bool:
    """RFC 3323 writes a withheld SIP caller as anonymous@anonymous.invalid; a form's `+` may come as a space."""
    number = "+" + address.translate(_SEPARATORS).removeprefix("+")
    return number in _WITHHELD_NUMBERS or address.partition("@")[0].removeprefix("+") in _WITHHELD_WORDS


_NANP = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])  # +1: the USA, Canada, the Caribbean
_NANP_NATIONAL = re.compile(r"(?:\+?1)?([2-9][0-9]{9})")
_NANP_INTERNATIONAL = re.compile(r"\+1[0-9]{10}")
_FLOAT = re.compile(r"\.0\W*$")  # as a spreadsheet writes a number; behind it may be what nobody sees
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_SEPARATORS = {ord(char): None for char in " ().\u00a0" + _DASHES}
# Marks that a copied number carries along and nobody sees, and spaces that phonenumbers does not know
_UNSEEN = dict.fromkeys([0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)], None)
_PLAIN = _UNSEEN | dict.fromkeys([0x09, 0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")


def to_e164(text: str, region: str) -> str | None:
    """Any usual spelling of a phone number as E.164, or None. Extensions are dropped.

    Numbers of the right length pass even where no such number is assigned, since test numbers are of that kind.
    `region` is the country of numbers written without one; those with a country code need none.
    """
    if _FLOAT.search(text):  # its dot separates nothing
        return _to_e164_by_library(text, region)
    stripped = text.translate(_SEPARATORS)
    if _NANP_INTERNATIONAL.fullmatch(stripped) or _is_plain_e164(stripped):
        return stripped
    if region in _NANP:
        national = _NANP_NATIONAL.fullmatch(stripped)
        if national:
            return f"+1{national[1]}"
    return _to_e164_by_library(text, region)


_PLAIN_E164 = re.compile(r"\+([1-9][0-9]{6,14})")


class _Plan(NamedTuple):
    """What phonenumbers knows of a country code: how long its numbers are, and what it would take off their front."""

    lengths: frozenset[int]
    prefix: re.Pattern[str]


@lru_cache(maxsize=1000)
def _plan(country_code: str) -> _Plan | None:
    region = phonenumbers.region_code_for_country_code(int(country_code))
    known = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    if known is None or known.general_desc is None:
        return None
    lengths = frozenset(known.general_desc.possible_length) - frozenset(known.general_desc.possible_length_local_only)
    return _Plan(lengths, re.compile(f"0|(?:{known.national_prefix_for_parsing or '0'})"))


def _is_plain_e164(text: str) -> bool:
    """True when phonenumbers would take `text` and leave it as it is: twenty times as fast as to ask it."""
    found = _PLAIN_E164.fullmatch(text)
    if not found:
        return False
    digits = found[1]
    for size in (1, 2, 3):  # no country code begins another one
        plan = _plan(digits[:size])
        if plan is not None:
            national = digits[size:]
            return len(national) in plan.lengths and not plan.prefix.match(national)
    return False


_NUMBER_SCHEME = re.compile(r"(?:tel|callto|whatsapp):", re.IGNORECASE)
_NUMBER_START = re.compile(r"[+＋(\[（［\d.\-\u2010-\u2015\u2212]")  # not "Ext 12: ...", not a SID, not client:123
_SPREADSHEET = re.compile(r"\+?\d+(?:[.,]\d+)?[eE][+-]?\d+")  # 4.15868E+09 has lost digits
_LONGEST = 64


def _to_e164_by_library(text: str, region: str) -> str | None:
    """The slow way, which decides what is right: phonenumbers with what it does not know of spellings."""
    plain = _NUMBER_SCHEME.sub("", _plain(text), count=1).removesuffix(".0")  # a spreadsheet's float
    if len(plain) > _LONGEST or "@" in plain or not _NUMBER_START.match(plain) or _SPREADSHEET.fullmatch(plain):
        return None
    found = _parse(plain, region.upper())
    if found is None and plain.startswith("00"):  # understood everywhere, though it is dialled so in some places only
        return _parse(f"+{plain[2:]}", "")
    return found


def _parse(plain: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(plain, region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:  # local ones lack the area
        return None
    if number.country_code != 1 and phonenumbers.is_alpha_number(plain):  # 1-800-FLOWERS; elsewhere it is a remark
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _plain(text: str) -> str:
    return text.translate(_PLAIN).strip()


def is_region(code: str) -> bool:
    """True for the two capital letters of a country whose numbers can be read."""
    return code in phonenumbers.SUPPORTED_REGIONS


_ADDRESS = re.compile(r"(\w+:)?(.*)", re.DOTALL)


def mask(text: str) -> str:
    """An address fit for a log: `+15551234567` as `+1555***4567`, `client:alice` as `client:al***`; words stay."""
    plain = _plain(text)
    if plain.lower() in _WITHHELD_WORDS:
        return plain
    scheme, address = _ADDRESS.fullmatch(plain).groups(default="")  # type: ignore[union-attr]  # matches anything
    digits = "".join(char for char in address.partition("@")[0] if char.isdigit())
    if len(digits) < 3:
        return f"{scheme}{address[:2]}***"
    return f"{scheme}{'+' if address.startswith('+') else ''}{_mask_digits(digits)}"


def _mask_digits(digits: str) -> str:
    """Three digits or more are hidden, whatever the length."""
    length = len(digits)
    if length >= 10:
        return f"{digits[: min(length - 7, 4)]}***{digits[-4:]}"
    return f"{digits[:2] if length >= 7 else ''}***{digits[-2:]}"


_NUMBER_IN_TEXT = re.compile(
    r"(\+|%(?:25)*2B|\\u002B"  # as it is, in a URL (once more for each time it was quoted), in JSON
    r"|\b(?:tel|callto|sips?|whatsapp)(?::|%(?:25)*3A)"
    r"|\b(?:From|To|Caller|Called|ForwardedFrom)=)"
    r"([0-9]{7,})",
    re.IGNORECASE,
)


def mask_numbers_in(text: str) -> str:
    """A URL or a message with every phone number in it masked: `+` or `%2B` and 7 digits or more, also after `tel:`,
    `sip:`, `whatsapp:` and in Twilio's parameters. SIDs, which have neither, stay."""
    return _NUMBER_IN_TEXT.sub(lambda found: found[1] + _mask_digits(found[2]), text)
