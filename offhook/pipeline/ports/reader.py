"""How what arrived is read in our words, now and whenever it is read anew."""

from __future__ import annotations

from typing import Protocol

from offhook.pipeline.callback import Callback, RawCallback


class Reader(Protocol):
    """Reads a raw callback in our words; total, see `adapters/twilio/reading.py`."""

    def __call__(self, raw: RawCallback, /) -> Callback: ...
