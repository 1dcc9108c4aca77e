"""What was answered to writes that may come twice: the same key gets the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Asked:
    """A write. `key` is what its sender calls it, and `token_id` whose keys these are; `fingerprint` is of all that it says."""

    token_id: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the body that went with it."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a key: of which write it is, and what was answered, None while that is under way."""

    fingerprint: str
    answer: Answer | None


class Answered(Protocol):
    """Answers by their keys, for a while. Each method raises LedgerUnavailable."""

    def begin(self, asked: Asked, now: datetime, kept_until: datetime, ends_by: datetime) -> Seen | None:
        """None: the key is ours, and the write may be done; whoever asks the same meanwhile gets what is Seen.

        A key is free again after `kept_until`, and one that got no answer (its process has ended) after `ends_by`.
        """

    def answered(self, asked: Asked, answer: Answer) -> None:
        """This was answered, and will be until the key is free again."""

    def give_up(self, asked: Asked) -> None:
        """Nothing was done: the key is free again, unless it was answered."""
