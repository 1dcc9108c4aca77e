"""How what arrived is read in our words, now and whenever it is read anew."""

from __future__ import annotations

from typing import Protocol

from offhook.pipeline.callback import Callback, RawCallback


class Reader(Protocol):
    """Reads a raw callback in our words, and has it whole beside them. Total: whatever was kept is read, and what nobody can read
    is UNKNOWN or None. A callback that a ledger gives back is read as it was when it arrived.

    Of its parameters it may leave out those that are not among `names`: whoever reads a million callbacks looks at a few of
    each. All of our words are read then, too.
    """

    def __call__(self, raw: RawCallback, names: frozenset[str] | None = None, /) -> Callback: ...
