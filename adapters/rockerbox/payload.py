"""A Conversion as the bytes of one Rockerbox event. Pure; it may never give two spellings of the same conversion.

Fields and their forms: Rockerbox's help pages "Webhooks" and "Standard Conversion Data Formats". They ignore a second
event with the same key, and a retry must be the first one over again, so nothing here depends on the time of sending.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

from offhook.pipeline.conversion import Conversion
from offhook.pipeline.rules.results import FIXED

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(conversion: Conversion) -> bytes:
    """One JSON object in UTF-8: the fixed fields in their order, then the extra ones in theirs (by name).

    A fixed field without a value is left out, and its name is still closed to extras. Numbers that JSON cannot hold
    (NaN, the infinities) are left out. Never raises for text: what UTF-8 cannot hold becomes "?".
    """
    extra = {_clean(name): conversion.extra[name] for name in sorted(conversion.extra)}
    fixed = {name: value for name, value in _fixed(conversion).items() if value}
    fields = fixed | {name: value for name, value in extra.items() if name not in FIXED and _is_json(value)}
    cleaned = {name: _clean(value) if isinstance(value, str) else value for name, value in fields.items()}
    return json.dumps(cleaned, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _fixed(conversion: Conversion) -> dict[str, str | int | float | bool | None]:
    return {
        "email": conversion.email,
        "customer_id": conversion.customer_id,
        "action": conversion.action,
        # A string in every sample of theirs: "timestamp":"1535147451".
        "timestamp": str((conversion.occurred_at - _EPOCH) // timedelta(seconds=1)),
        "conversion_source": "phone",
        "order_id": conversion.order_id,
        "revenue": _money(conversion.revenue),
    }


def _money(amount: Decimal | None) -> str | None:
    """Dollars.cents: no symbol, no thousands separator, two places, halves away from zero."""
    if amount is None or not amount.is_finite():
        return None
    with localcontext() as context:
        context.rounding = ROUND_HALF_UP
        return f"{amount:.2f}"


def _is_json(value: str | int | float | bool) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
