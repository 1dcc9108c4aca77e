"""In: a request on plain parts becomes callbacks, or the reason why it does not. Pure: keeps nothing, and nothing makes it raise."""

from __future__ import annotations

from offhook.adapters.twilio.explaining import explain
from offhook.adapters.twilio.keys import Keyring
from offhook.adapters.twilio.reading import read_request
from offhook.adapters.twilio.signature import MAX_FIELDS, Forged, verify
from offhook.adapters.twilio.spelling import AGENT, AGENT_HEADER
from offhook.pipeline.arrival import SIGNATURE_HEADER, Admitted, Arrived, Explained, Refused


def receive(arrived: Arrived, keyring: Keyring, *, max_fields: int = MAX_FIELDS) -> Admitted:
    """Verifies and reads in one call: the content that was verified is the one that is kept.

    The callbacks, or that it is Twilio's and of another kind, or refused: 403 where no key of ours made the signature, 400
    where it is signed and no call callback.
    """
    verified = verify(arrived, keyring, max_fields=max_fields)
    if isinstance(verified, Forged):
        return _refused(arrived, keyring, verified, max_fields)
    return read_request(arrived, verified)


def _refused(arrived: Arrived, keyring: Keyring, forged: Forged, max_fields: int) -> Refused:
    def explained() -> Explained:
        guess = explain(arrived, keyring, forged.check, max_fields)
        return Explained(forged.url, guess.hashed_url, guess.usually)

    return Refused(
        403, forged.check, forged.url, forged.account_sid, explained if _looks_like_twilios(arrived) else None
    )


def _looks_like_twilios(arrived: Arrived) -> bool:
    return bool(arrived.headers.get(SIGNATURE_HEADER)) or arrived.headers.get(AGENT_HEADER, "").startswith(AGENT)
