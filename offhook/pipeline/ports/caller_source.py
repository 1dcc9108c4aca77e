"""One of the brand's own systems that can say who has a number: a CRM, a shop's database."""

from __future__ import annotations

from typing import Protocol

from offhook.pipeline.look_up import Answer


class CallerSource(Protocol):
    """Answers who has a number. Safe to ask from many threads. It changes nothing at the other side."""

    @property
    def name(self) -> str:
        """What it is called, by whoever configured it."""

    def find(self, phone: str, /) -> Answer:
        """Who has this E.164 number.

        Never raises for what the other side does, and never outlasts its own time limit. Whatever goes wrong is `Later`;
        `NotThere` is said by a source that has looked.
        """

    def close(self) -> None:
        """Close what is open. Nobody asks any more."""
