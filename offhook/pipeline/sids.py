"""The shape of Twilio's SIDs: two letters that say what it names, and 32 hex digits. Texts only; whose a SID is, it never knows.

https://www.twilio.com/docs/glossary/what-is-a-sid
"""

from __future__ import annotations

import re

CALL, ACCOUNT, API_KEY = "CA", "AC", "SK"
"""The first two letters of the SIDs that we ask for."""
WRITTEN = "[A-Z]{2}[0-9a-f]{32}"
"""A pattern: any SID, just as Twilio writes it."""
_DIGITS = "[0-9a-fA-F]{32}"  # some programs between Twilio and us write them in capitals
CALL_SID = CALL + _DIGITS
"""A pattern: the SID of a call, to be found within a text."""
LOOSE = "[0-9A-Za-z]"
"""A pattern: one character of what is let through behind the two letters where a person makes a SID up, as `AC1` in a test."""

_SID = re.compile(f"[A-Z]{{2}}{_DIGITS}")
_ANY_CASE = re.compile(f"[A-Za-z]{{2}}{_DIGITS}")


def is_sid(text: str) -> bool:
    """True for a SID of any kind, its digits in any case."""
    return bool(_SID.fullmatch(text))


def is_account_sid(text: str) -> bool:
    """True for the SID of an account, its digits in any case."""
    return is_sid(text) and text.startswith(ACCOUNT)


def typed_kind(text: str) -> str:
    """The two letters, in capitals, of a SID that a person typed or pasted in any case; "" where it is none."""
    return text[:2].upper() if _ANY_CASE.fullmatch(text) else ""
