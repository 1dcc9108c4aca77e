"""What schemathesis is to know of us: a phone number is one of a plan, as most that have the form alone are nobody's; a call is
mostly one that tests/support/filled.py has put there, often one whose conversion rests; and each valid Idempotency-Key is one
request's, as our answer to another request under it is by intent 422. What was answered to what is written down."""

import os
import re
import uuid
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st

_KEY = "Idempotency-Key"

schemathesis.openapi.format("e164", st.integers(0, 9999).map(lambda number: f"+1415555{number:04d}"))
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
