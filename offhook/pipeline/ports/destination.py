"""Where conversions go, and the bytes that go there."""

from __future__ import annotations

from typing import Protocol

from offhook.pipeline.conversion import Conversion
from offhook.pipeline.delivery import Outcome


class Encode(Protocol):
    """Writes a conversion as its destination reads it. Total: what was decided can be sent."""

    def __call__(self, conversion: Conversion, /) -> bytes:
        """The bytes that every attempt will send: the same each time. Never raises, whatever the texts and numbers are."""


class Destination(Protocol):
    """Where conversions go."""

    def send(self, payload: bytes) -> Outcome:
        """One attempt. Never raises for what the other side does.

        `Result.HELD` says that nothing was sent: the destination would count nothing of these bytes.
        """
