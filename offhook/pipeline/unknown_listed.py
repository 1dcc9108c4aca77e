"""Unknown callers as a file to fill in: who writes an email or a customer id beside a number may import it as it is."""

from __future__ import annotations

from offhook.pipeline.masking import Masking
from offhook.pipeline.ports.unknown import UnknownCaller

TO_FILL_IN = ("phone", "email", "customer_id", "calls", "oldest_at", "latest_at")


def row_to_fill_in(one: UnknownCaller, hide: Masking) -> dict[str, object]:
    """The columns of TO_FILL_IN, those that are to be filled in with None. `hide` is asked of the number."""
    said = {"phone": hide(one.phone), "email": None, "customer_id": None}
    return {**said, "calls": one.calls, "oldest_at": one.oldest_at, "latest_at": one.latest_at}
