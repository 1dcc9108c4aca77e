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
    """What a caller's address is. PHONE alone can be found in a mapping; NUMBER is one that no known plan explains."""

    PHONE = "phone"
    NUMBER = "number"
    WITHHELD = "withheld"
    CLIENT = "client"
    SIP = "sip"
    SIM = "sim"
    SHORT_CODE = "short_code"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Caller:
    """One end of a call. `e164` is there when `kind` is PHONE and only then; `raw` is the text as it came.

    `number` is what the caller is known by: E.164, or `+` and digits that are not understood today and may be tomorrow.
    """

    kind: CallerKind
    e164: str | None
    raw: str

    @property
    def number(self) -> str | None:
        return _bare(self.raw) if self.kind is CallerKind.NUMBER else self.e164


# https://www.twilio.com/docs/voice/twiml#request-parameters and Twilio's keypad spelling of the same words
_WITHHELD_WORDS = frozenset({"", "anonymous", "restricted", "unavailable", "blocked", "unknown", "private"})
_KEYPAD = {
    "266696687": "anonymous", "7378742833": "restricted", "2562533": "blocked", "8656696": "unknown",
    "86282452253": "unavailable",
}  # fmt: skip
_KEYPAD_ENDS = frozenset(word[-4:] for word in _KEYPAD)
_KEYPAD_NUMBER = re.compile(rf"\+([1-9][0-9]{{0,2}})?({'|'.join(_KEYPAD)})")
_SCHEMES = {
    "client:": CallerKind.CLIENT,
    "sip:": CallerKind.SIP,
    "sips:": CallerKind.SIP,
    "sim:": CallerKind.SIM,
}
_SHORT_CODE = re.compile(r"[0-9]{3,6}")
_NUMBER = re.compile(r"\+[0-9]{2,40}")
# RFC 3261, 19.1.1 and 19.1.6: the user part of a SIP address, a telephone number with separators and parameters of its own
_SIP_NUMBER = re.compile(r"sips?:((?:\+|%2B)[0-9().\-]+)(?:;[^@]*)?@[^@]+", re.IGNORECASE)


def caller(text: str, region: str, *, sip_users: bool = False) -> Caller:
    """Read any `From` or `To` of Twilio's. `region` (two letters) is the country of numbers written without one.

    With `sip_users` a SIP address whose user part is a number with its country code is that number.
    """
    number = _sip_number(text) if sip_users else None
    e164 = to_e164(number or text, region)
    if e164 is not None and e164[-4:] not in _KEYPAD_ENDS:  # whatever its front was, none of those words
        return Caller(CallerKind.PHONE, e164, text)
    if _is_withheld(e164 or _bare(text)) or _bare(text) in _KEYPAD:
        return Caller(CallerKind.WITHHELD, None, text)
    return Caller(_other_kind(text) if e164 is None else CallerKind.PHONE, e164, text)


_LONGEST_REMEMBERED = 100  # characters; longer is no phone, and anybody may send it


def caller_of_call(text: str, region: str, *, sip_users: bool = False) -> Caller:
    """The same for the ends of calls, each of which is asked for when a call is folded and again when it is decided."""
    read = _remembered if len(text) <= _LONGEST_REMEMBERED else caller
    return read(text, region, sip_users=sip_users)


_remembered = lru_cache(maxsize=4096)(caller)


def _other_kind(text: str) -> CallerKind:
    """What an address is that is no phone."""
    plain = _plain(text).lower()
    scheme = plain[: plain.find(":") + 1]
    if _names_nobody(plain.removeprefix(scheme)):
        return CallerKind.WITHHELD
    if scheme in _SCHEMES:
        return _SCHEMES[scheme]
    if _SHORT_CODE.fullmatch(plain):
        return CallerKind.SHORT_CODE
    bare = _bare(text)
    return CallerKind.NUMBER if _NUMBER.fullmatch(bare) and not _is_nobodys(bare) else CallerKind.UNREADABLE


def _sip_number(text: str) -> str | None:
    found = _SIP_NUMBER.fullmatch(_plain(text))
    return found and f"+{found[1].removeprefix('+').removeprefix('%2B').removeprefix('%2b')}"


def _bare(text: str) -> str:
    """A number without the scheme before it and the separators in it."""
    return _NUMBER_SCHEME.sub("", _plain(text), count=1).translate(_SEPARATORS)


def _is_withheld(number: str) -> bool:
    """Twilio writes these words as numbers, with and without a country code before them: +1 737 874 2833 is RESTRICTED.

    Behind any other country code the digits may be somebody's: +44 7378 742833 is a mobile.
    """
    found = _KEYPAD_NUMBER.fullmatch(number)
    if not found:
        return False
    return found[1] in (None, "1") or not phonenumbers.is_valid_number(phonenumbers.parse(number))


def _names_nobody(address: str) -> bool:
    """RFC 3323 writes a withheld SIP caller as anonymous@anonymous.invalid; a form's `+` may come as a space."""
    user = address.partition("@")[0]
    number = "+" + user.translate(_SEPARATORS).removeprefix("+")
    return _is_withheld(number) or user.removeprefix("+") in _WITHHELD_WORDS


_NANP = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])  # +1: the USA, Canada, the Caribbean
# Area code and exchange begin with 2 to 9: https://nationalnanpa.com/number_resource_info/index.html
_NANP_NUMBER = r"(?P<first>[2-9])(?!(?P=first){9})[0-9]{2}[2-9][0-9]{6}"
_NANP_NATIONAL = re.compile(rf"(?:\+?1)?(?P<national>{_NANP_NUMBER})")
_NANP_INTERNATIONAL = re.compile(rf"\+1{_NANP_NUMBER}")
_NANP_SHAPE = re.compile(r"\+1[0-9]{10}")
_ONE_DIGIT = re.compile(r"\+([0-9])\1*")
_FLOAT = re.compile(r"\.0\W*$")  # as a spreadsheet writes a number; behind it may be what nobody sees
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_SEPARATORS = {ord(char): None for char in " ().\u00a0" + _DASHES}
# Marks that a copied number carries along and nobody sees, and spaces that phonenumbers does not know
_UNSEEN = dict.fromkeys([0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)], None)
_PLAIN = _UNSEEN | dict.fromkeys([0x09, 0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")


def to_e164(text: str, region: str) -> str | None:
    """Any usual spelling of a phone number as E.164, or None. Extensions are dropped.

    One line has one spelling, also where its country has given it two (`spellings`). Numbers of the right length pass even
    where no such number is assigned, since test numbers are of that kind; but not those of the North American plan that
    can never be assigned, which stand where there is none. `region` is the country of numbers written without one; those
    with a country code need none.
    """
    if ".0" in text and _FLOAT.search(text):  # its dot separates nothing
        return _to_e164_by_library(text, region)
    stripped = text.translate(_SEPARATORS)
    if _NANP_INTERNATIONAL.fullmatch(stripped) or _is_plain_e164(stripped):
        return stripped
    if region in _NANP:
        national = _NANP_NATIONAL.fullmatch(stripped)
        if national:
            return f"+1{national['national']}"
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
    if digits[0] == "1" or digits[:2] in _TWICE_SPELLED:
        return False
    for size in (1, 2, 3):  # no country code begins another one
        plan = _plan(digits[:size])
        if plan is not None:
            national = digits[size:]
            return len(national) in plan.lengths and not plan.prefix.match(national)
    return False


_NUMBER_SCHEME = re.compile(r"(?:tel|callto|whatsapp):", re.IGNORECASE)
_NUMBER_START = re.compile(r"[+＋()\[（［\d.\-\u2010-\u2015\u2212]")  # not "Ext 12: ...", not a SID, not client:123
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
    if number.country_code != 1 and phonenumbers.is_alpha_number(plain):  # 1-800-FLOWERS; elsewhere it is a remark
        return None
    e164 = _one_spelling(_formatted(number))
    again = phonenumbers.parse(e164)
    if phonenumbers.is_possible_number_with_reason(again) != ValidationResult.IS_POSSIBLE:  # local ones lack the area
        return None
    return None if _is_nobodys(e164) or _formatted(again) != e164 else e164


def _formatted(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _is_nobodys(number: str) -> bool:
    """True for what is written where there is no number: one digit again and again, an area code that cannot be."""
    if _NANP_SHAPE.fullmatch(number):
        return not _NANP_INTERNATIONAL.fullmatch(number)
    return _ONE_DIGIT.fullmatch(number) is not None


class _Twice(NamedTuple):
    """A country whose lines have two spellings: how the one we keep is made, and the other one made from it."""

    other: re.Pattern[str]
    kept: str
    shape: re.Pattern[str]
    back: str


# By country code. What each denotes: https://en.wikipedia.org/wiki/Telephone_numbers_in_Mexico (the 1 of mobiles, and the
# prefixes 01, 044 and 045, ended in 2019 and 2020), .../Telephone_numbers_in_Argentina (the 9 says that a mobile is dialled
# from abroad), .../Telephone_numbers_in_Brazil (mobiles had eight digits until 2016 and were given a 9 before them).
_TWICE_SPELLED = {
    "52": _Twice(
        re.compile(r"\+52(?:1|01|044|045)([2-9][0-9]{9})"), r"+52\1", re.compile(r"\+52([2-9][0-9]{9})"), r"+521\1"
    ),
    "54": _Twice(re.compile(r"\+549([1-3][0-9]{9})"), r"+54\1", re.compile(r"\+54([1-3][0-9]{9})"), r"+549\1"),
    "55": _Twice(
        re.compile(r"\+55([1-9]{2})([6-9][0-9]{7})"),
        r"+55\g<1>9\2",
        re.compile(r"\+55([1-9]{2})9([6-9][0-9]{7})"),
        r"+55\1\2",
    ),
}


def _one_spelling(e164: str) -> str:
    twice = _TWICE_SPELLED.get(e164[1:3])
    found = twice and twice.other.fullmatch(e164)
    return found.expand(twice.kept) if twice and found else e164


def spellings(e164: str) -> tuple[str, ...]:
    """Every E.164 spelling of one line, ours first: what was kept before they met here is found by the others."""
    if e164[1:3] not in _TWICE_SPELLED:
        return (e164,)
    kept = _one_spelling(e164)
    twice = _TWICE_SPELLED.get(kept[1:3])
    found = twice and twice.shape.fullmatch(kept)
    return (kept, found.expand(twice.back)) if twice and found else (kept,)


def national(e164: str) -> str:
    """A number as its own country dials it, in digits alone: `4155550100`, `02071838750`. The E.164 digits where none is known."""
    try:
        written = phonenumbers.format_number(phonenumbers.parse(e164), PhoneNumberFormat.NATIONAL)
    except NumberParseException:
        written = e164
    return "".join(char for char in written if char.isascii() and char.isdigit())


def _plain(text: str) -> str:
    return text.translate(_PLAIN).strip()


def is_region(code: str) -> bool:
    """True for the two capital letters of a country whose numbers can be read."""
    return code in phonenumbers.SUPPORTED_REGIONS


def country_of(e164: str | None) -> str | None:
    """The country of a number by its two letters; None where that is not known."""
    return _country_of(_of_block(e164)) if e164 else None


def area_code(e164: str | None) -> str | None:
    """The area code of a number, without the trunk prefix; None where it has none, or its country knows none."""
    return _area_code(_of_block(e164)) if e164 else None


def _of_block(e164: str) -> str:
    """In the North American plan lines are given out by the thousand, so one of them is looked up for all."""
    return f"{e164[:9]}000" if _NANP_INTERNATIONAL.fullmatch(e164) else e164


@lru_cache(maxsize=16_384)
def _country_of(e164: str) -> str | None:
    return phonenumbers.region_code_for_number(phonenumbers.parse(e164))


@lru_cache(maxsize=16_384)
def _area_code(e164: str) -> str | None:
    number = phonenumbers.parse(e164)
    length = phonenumbers.length_of_geographical_area_code(number)
    return phonenumbers.national_significant_number(number)[:length] or None


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
