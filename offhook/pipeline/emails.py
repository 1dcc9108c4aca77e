"""How a customer's email is sent: tidied, and as a hash where that is wanted. The ledger keeps it in clear."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

HASHED = "|".join(f"[0-9a-fA-F]{{{length}}}" for length in (32, 40, 64))
"""The pattern of what an email may be instead: its MD5, SHA-1 or SHA-256 in hex."""
EMAIL_OR_HASH = re.compile(rf"[^\s@,;]+@[^\s@,;]+|{HASHED}")
"""What is taken for a customer's email, whoever brings it."""


@dataclass(frozen=True, slots=True)
class Emails:
    """`lower` is setting OFFHOOK_EMAIL_LOWERCASE, `hashed` OFFHOOK_EMAIL_SHA256."""

    lower: bool = True
    hashed: bool = False

    def sent(self, email: str | None) -> str | None:
        """The email as it leaves; None where there is none. Of what is a hash already no second one is made.

        A hash is that of the address without blanks and in lower case, whatever `lower` says, as everybody makes them.
        """
        tidy = (email or "").strip()
        if not tidy:
            return None
        if self.hashed and "@" in tidy:
            return sha256(tidy.lower().encode("utf-8", "replace")).hexdigest()
        return tidy.lower() if self.lower else tidy
