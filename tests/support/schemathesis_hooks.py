"""What schemathesis is to know of us: a phone number is one of a plan, as most that have the form alone are nobody's; and each
valid Idempotency-Key is one request's, as our answer to another request under it is by intent 422."""

import re
import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st

_KEY = "Idempotency-Key"

schemathesis.openapi.format("e164", st.integers(0, 9999).map(lambda number: f"+1415555{number:04d}"))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if re.fullmatch("[!-~]{1,255}", str((case.headers or {}).get(_KEY, ""))):
        case.headers[_KEY] = str(uuid.uuid4())
