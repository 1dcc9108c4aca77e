"""How a customer's email is sent: tidied, and as a hash where that is wanted. The ledger keeps it in clear."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256


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
