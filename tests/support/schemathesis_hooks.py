"""What schemathesis is to know of us: a phone number that has the form is one of a country, as others are by intent 422 and no
schema can say so; a call is mostly one that tests/support/filled.py has put there, often one whose conversion rests; and each
valid Idempotency-Key is one request's, as our answer to another request under it is by intent 422. What was answered to what is
written down."""

import os
import re
import uuid
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import phonenumbers
import schemathesis
from hypothesis import strategies as st

_KEY = "Idempotency-Key"
_FORM = re.compile(r"\+[1-9][0-9]{6,14}")
PHONES = [f"+141555501{number:02d}" for number in range(20)]
"""A few, so that one that is asked for is often one that somebody has."""

_from_regex = st.from_regex


def _deferred(*arguments: Any, **named: Any) -> st.SearchStrategy[str]:
    """Hypothesis reads a class of characters one by one, of which ours of printed ones have 55,000, and anew wherever the text of a
    pattern is filtered: more than half of what the whole run took. What is deferred is read once, whoever filters it.
    """
    made = _from_regex(*arguments, **named)
    return st.deferred(lambda: made)


once: Any = cache(_deferred)
st.from_regex = once

schemathesis.openapi.format("e164", st.sampled_from(PHONES))
_RESTS = st.integers(1, 4).map(lambda number: 500 * number)
schemathesis.openapi.format("call-sid", st.one_of(_RESTS, st.integers(1, 3000)).map(lambda number: f"CA{number:032x}"))


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    with Path(os.environ["ANSWERED"]).open("a") as file:
        file.write(f"{case.method.upper()} {case.path} {response.status_code}\n")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if re.fullmatch("[!-~]{1,255}", str((case.headers or {}).get(_KEY, ""))):
        case.headers[_KEY] = str(uuid.uuid4())
    rows = case.body.get("customers") if isinstance(case.body, dict) else None
    for place in (case.path_parameters, *(rows if isinstance(rows, list) else ())):
        if isinstance(place, dict) and _is_nobodys(place.get("phone")):
            place["phone"] = PHONES[0]


def _is_nobodys(phone: object) -> bool:
    """It has the form, and no country has such a number."""
    plain = unquote(phone) if isinstance(phone, str) else ""  # in a path it may be written for one already
    if not _FORM.fullmatch(plain):
        return False
    try:
        return not phonenumbers.is_valid_number(phonenumbers.parse(plain))
    except phonenumbers.NumberParseException:
        return True
