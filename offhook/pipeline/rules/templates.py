"""Templates of the rules: the fields that they may name, filled in for a call, and read back in English. Pure text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

ExtraValue = str | int | float | bool

# What a template may name, beside every parameter of Twilio's by its own name.
FIELDS = {
    "call_sid": "the CallSid",
    "account_sid": "the AccountSid",
    "from": "the calling number",
    "to": "the number that was called",
    "label": "the tracked number's label",
    "direction": "inbound or outbound-api",
    "status": "the call's final status",
    "duration_seconds": "the call's length in seconds",
    "answered_by": "who answered (human, machine_start, ...; with answering machine detection)",
    "caller_name": "the caller's name (with caller name lookup)",
    "ended_at": "when the call ended (ISO 8601, UTC)",
    "legs": "how many legs the call had",
    **{
        f"{end}_{part}": f"the {word} of the {whose} number, as Twilio guesses it"
        for end, whose in (("from", "calling"), ("to", "called"))
        for part, word in (("city", "city"), ("state", "state"), ("zip", "postal code"), ("country", "country"))
    },
}
# Friendlier names that a list of extra fields may use.
ALIASES = {"call_duration": "duration_seconds", "tracked_number": "to", "tracked_number_label": "label"}

# A parameter of Twilio's begins with a capital; those made from SIP headers may hold a hyphen (SipHeader_X-Branch).
_PARAMETER = re.compile(r"[A-Z][A-Za-z0-9_-]*")
OF_CUSTOMER = "customer."
"""Before the name of a further column of the customer's row."""
_ATTRIBUTE = re.compile(rf"{re.escape(OF_CUSTOMER)}[^{{}}\x00-\x1f]{{1,100}}")
TOKEN = re.compile(rf"\{{\{{|\}}\}}|\{{([A-Za-z_][A-Za-z0-9_-]*|{_ATTRIBUTE.pattern})\}}|[{{}}]")
"""What means something in a template: a doubled brace, a field (group 1 is its name), a lone brace."""


def is_field(name: str) -> bool:
    """True for one of FIELDS, for whatever may be a parameter of Twilio's, and for a column of the customer's."""
    return name in FIELDS or any(pattern.fullmatch(name) for pattern in (_PARAMETER, _ATTRIBUTE))


def names_in(template: str) -> set[str]:
    """The names between its braces."""
    return {found[1] for found in TOKEN.finditer(template) if found[1]}


def render(template: str, fields: Mapping[str, str]) -> str:
    """The template with its `{fields}` filled in; what is not known is empty. No formats, no attributes: names alone."""

    def put(found: re.Match[str]) -> str:
        return fields.get(found[1], "") if found[1] else found[0][0]

    return TOKEN.sub(put, template)


def render_extra(extra: Mapping[str, ExtraValue], fields: Mapping[str, str]) -> dict[str, ExtraValue]:
    """The extra fields of a payload; those that come out empty are left out."""
    rendered = {name: render(value, fields) if isinstance(value, str) else value for name, value in extra.items()}
    return {name: value for name, value in rendered.items() if value != ""}


def value_in_english(value: ExtraValue) -> str:
    """A template, or a value that is the same for every call, as a sentence may hold it."""
    if not isinstance(value, str):
        return str(value).lower()
    alone = TOKEN.fullmatch(value)
    if alone and alone[1]:
        return _field_in_english(alone[1])
    return quoted(render(value, {name: f"<{_field_in_english(name)}>" for name in names_in(value)}))


def _field_in_english(name: str) -> str:
    if name.startswith(OF_CUSTOMER):
        return f"the customer's {name.removeprefix(OF_CUSTOMER)}"
    return FIELDS.get(name) or f"Twilio's {name}"


def quoted(text: str) -> str:
    """In quotes and on one line, whatever the text holds: it goes to a terminal."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def in_line(text: str) -> str:
    """On one line and without a character that nobody sees, whatever the text holds."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
