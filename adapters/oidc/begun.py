"""A sign-in that was begun: what the browser alone may come back with, and how it can fail. Loads no library."""

from __future__ import annotations

import secrets
from dataclasses import dataclass


class Failed(Exception):
    """Nobody came in. `word` is one of slow, unreachable, wrong_answer, client_refused, code_refused, forged; `detail` is for the log,
    and holds no secret.
    """

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(word)
        self.word, self.detail = word, detail


@dataclass(frozen=True, slots=True)
class Begun:
    """It belongs into the browser's cookie, and counts once."""

    state: str
    nonce: str
    verifier: str


def begin_anew() -> Begun:
    """https://www.rfc-editor.org/rfc/rfc7636#section-4.1: 256 random bits each."""
    return Begun(*(secrets.token_urlsafe(32) for _ in range(3)))
