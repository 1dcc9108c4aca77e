"""A destination in memory: takes what comes, or does what it was asked to."""

from __future__ import annotations

import json

from offhook.pipeline.conversion import Conversion
from offhook.pipeline.delivery import Outcome, Result

_ANSWERS = {
    "takes": Outcome(Result.DELIVERED, "delivered", 200),
    "refuses": Outcome(Result.REFUSED, "http_400", 400),
    "is busy": Outcome(Result.RETRY, "http_503", 503),
    "lets nobody in": Outcome(Result.BLOCKED, "http_403", 403),
    "takes and says nothing": Outcome(Result.MAYBE_SENT, "reset"),
    "is not there": Outcome(Result.RETRY, "connect"),
}


def encode(conversion: Conversion, /) -> bytes:
    """`Encode`: who, what and how much, the same bytes each time."""
    fields = {"action": conversion.action, "order_id": conversion.order_id, "email": conversion.email}
    return json.dumps(fields).encode()


class MemoryDestination:
    """`received` are the payloads that arrived, in order."""

    def __init__(self, does: str = "takes") -> None:
        self.does = does
        self.received: list[bytes] = []

    def send(self, payload: bytes) -> Outcome:
        if self.does != "is not there":
            self.received.append(payload)
        return _ANSWERS[self.does]
