"""The floor of `intake.py`: the whole service up to a verified and parsed callback, and then 204 without keeping it."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask

from offhook.pipeline.callback import RawCallback
from offhook.service import create_app


class NullInbox:
    """Keeps nothing."""

    def append(self, callbacks: Sequence[RawCallback]) -> None:
        """Takes them and forgets them."""


def app() -> Flask:
    return create_app(inbox=NullInbox())
