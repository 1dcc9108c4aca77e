"""How what arrived is read in our words, now and whenever it is read anew."""

from __future__ import annotations

from typing import Protocol

from offhook.pipeline.callback import Callback, RawCallback


class Reader(Protocol):
    """Reads a raw callback in our words; total, see `adapters/twilio/reading.py`. Of its parameters it may leave out those
    that are not among `names`: whoever reads a million callbacks looks at a few of each. All of our words are read then, too.
    """

    def __call__(self, raw: RawCallback, names: frozenset[str] | None = None, /) -> Callback: ...
