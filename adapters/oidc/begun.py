"""A sign-in that was begun: what the browser alone may come back with, and how it can fail. Loads no library."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass


class Failed(Exception):
    """Nobody came in. `word` is one of reasons.OF_SIGN_IN; `detail` is for the log, and holds no secret."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(word)
        self.word, self.detail = word, detail


@dataclass(frozen=True, slots=True)
class Begun:
    """It belongs into the browser's cookie, and counts once. `issuer` is whom the browser was sent to; `names_itself`: that one says
    who it is when it sends a browser back.
    """

    state: str
    nonce: str
    verifier: str
    issuer: str
    names_itself: bool

    def check_issuer(self, said: Sequence[str]) -> None:
        """`said` is each `iss` that the browser came back with. Raises Failed where another provider than the one that was asked
        sent it, or nobody says who did: a code of one provider is never shown to another.

        https://www.rfc-editor.org/rfc/rfc9207#section-2.4
        """
        if list(said) != [self.issuer] and (said or self.names_itself):
            raise Failed("forged", "iss")


def begin_anew(issuer: str, *, names_itself: bool) -> Begun:
    """https://www.rfc-editor.org/rfc/rfc7636#section-4.1: 256 random bits each."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Begun(state, nonce, verifier, issuer, names_itself)
