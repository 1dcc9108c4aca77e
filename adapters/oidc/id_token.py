"""What an ID token says, once it is certain that the provider made it, for us, for this sign-in, and just now. Asks nobody.

https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, import_key

# None that takes a secret: whoever knows the client's could make tokens of their own.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_LONGEST_SUBJECT = 255  # OpenID Connect Core, 2


class Forged(Exception):
    """The token is not one for this sign-in. The text says what is wrong with it in a word or two, and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose token it must be. `access_token` came with it; `leeway_seconds` is how far two clocks may differ."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str | None
    leeway_seconds: float


def keys_in(document: Any) -> KeySet:
    """The keys of a JWK set that can be used here. Others, of kinds that nobody here knows, are for somebody else."""
    listed = document.get("keys") if isinstance(document, dict) else None
    found = []
    for one in listed if isinstance(listed, list) else []:
        if not isinstance(one, dict) or one.get("kty") == "oct":
            continue
        try:
            found.append(import_key(one))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return KeySet(found)


def claims_of(text: Any, keys: KeySet, expected: Expected, now: float) -> Mapping[str, Any]:
    """Raises Forged."""
    if not isinstance(text, str):
        raise Forged("no ID token")
    try:
        token = jwt.decode(text, keys, algorithms=ALGORITHMS)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Forged(f"signature ({getattr(error, 'error', type(error).__name__)})") from None
    said = CodeIDToken(
        token.claims,
        token.header,
        {
            "iss": {"essential": True, "value": expected.issuer},
            "aud": {"essential": True, "value": expected.client_id},
            "exp": {"essential": True},
            "nonce": {"essential": True, "value": expected.nonce},
        },
        {"client_id": expected.client_id, "nonce": expected.nonce, "access_token": expected.access_token},
    )
    try:
        said.validate(int(now), int(expected.leeway_seconds))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Forged(str(getattr(error, "claim", None) or getattr(error, "error", type(error).__name__))) from None
    subject = said["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise Forged("sub")
    return dict(said)
