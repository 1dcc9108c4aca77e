"""A request at the door on plain parts: to which path it comes, in which header it is signed, and why one is not kept.

Pure values. The path and the header are here for those who look before anybody verifies (the web, which knows no provider's
adapter, and the settings); how a signature is made and what a request says, a provider's adapter alone knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from offhook.pipeline.callback import RawCallback

CALLBACK_PATH = "/twilio/status"
"""Where Twilio posts a call's status, behind PUBLIC_URL."""
CALLBACK_PATHS = (CALLBACK_PATH, f"{CALLBACK_PATH}/")
"""The second one is what Twilio was given where somebody wrote a slash at the end; the signature is over it. Slashes before
either make no difference to the router: they come of a PUBLIC_URL that ends in one."""
SIGNATURE_HEADER = "X-Twilio-Signature"
"""Without it a callback's body is not waited for, and nothing is kept."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as it came, of which nothing is verified.

    `target` is the raw request target (path and query) as WSGI decodes it, latin-1. `urls` are what Twilio may have signed, the
    most probable first: all end in that path and query. `headers` are in WSGI's spelling, Every-Word-Capitalised. `body` is raw.
    `received_at` is UTC.
    """

    method: str
    target: str
    urls: tuple[str, ...]
    content_type: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Explained:
    """Why callbacks are refused, as far as it can be found out: the URL that we hashed, the one that Twilio did where that came
    out (else None), and a sentence about what it usually is. No secret, no number that the masking knows.
    """

    compared_url: str
    hashed_url: str | None
    usually: str


Explain = Callable[[], Explained]
"""To be called when it is to be logged, which is seldom."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not kept: the HTTP status (400 or 403), the check that failed, the URL that was hashed (no userinfo).

    `account` is the account that it names, where we have its keys, else "". With `explain` it looks like Twilio's, so that
    many of them in a row mean that a setting is wrong.
    """

    http_status: int
    check: str
    url: str = ""
    account: str = ""
    explain: Explain | None = None


@dataclass(frozen=True, slots=True)
class OtherKind:
    """Verified, and about something else than a call's status: there is nothing to keep, and nobody's mistake."""

    kind: str


Admitted = Sequence[RawCallback] | OtherKind | Refused
Admit = Callable[[Arrived], Admitted]
"""Verifies and reads in one go, so that nobody can get at a callback that was not verified. Never raises."""
