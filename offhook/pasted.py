"""What people paste into settings: undressed where that is harmless, and named for what it is where it cannot be right.

Texts only; never shows a value, which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from urllib.parse import SplitResult, urlsplit

from offhook.adapters.addresses import LOOPBACK
from offhook.pipeline.arrival import CALLBACK_PATH
from offhook.pipeline.sids import ACCOUNT, API_KEY, LOOSE, typed_kind

_PAIRS = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "„": "“", "«": "»"}
_AROUND = re.compile("^[\\s\u200b-\u200d\u2060\ufeff]+|[\\s\u200b-\u200d\u2060\ufeff]+$")
_PLACEHOLDER = re.compile(
    r"<.*>|\{.*\}|\.{3,}|[x*]{4,}|(your|my|insert|enter)[ _-].*|change[ _-]?me|todo", re.IGNORECASE
)
_OURS = re.compile("OFF?_?HOOK|ROCKERBOX")
# What Kubernetes gives each container where a service is named offhook:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_KUBERNETES = re.compile(r"OFFHOOK_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)")
_ALIKE = 0.7
_ALMOST_THE_SAME = 0.9


def undressed(text: str, name: str = "") -> str:
    """Without what a paste brings along: blanks and invisible characters around, `NAME=` before, one pair of quotes around.

    Quotes stay where the same stand inside, for then they belong to it.
    """
    while True:
        bare = _AROUND.sub("", text)
        bare = re.sub(rf"^(export\s+)?{re.escape(name)}\s*=", "", bare) if name else bare
        if len(bare) > 1 and _PAIRS.get(bare[0]) == bare[-1] and not {bare[0], bare[-1]} & set(bare[1:-1]):
            bare = bare[1:-1]
        if bare == text:
            return bare
        text = bare


def parts(text: str) -> tuple[str, ...]:
    """A comma-separated list, each part undressed and none empty."""
    return tuple(part for part in map(undressed, text.split(",")) if part)


def account_sid(text: str) -> str:
    """Twilio's spelling of an Account SID, AC and 32 hex digits; "" stays. Raises ValueError."""
    kind = typed_kind(text)
    if not text or kind == ACCOUNT:
        return kind + text[2:].lower()
    if kind == API_KEY:
        raise ValueError(
            "is the SID of an API key (SK...), which belongs into TWILIO_API_KEY; here goes your account's, AC..."
        )
    if kind:
        raise ValueError(f"is a SID of another kind ({kind}...); an Account SID begins with AC")
    shape = f"has {len(text)} characters" + (", a blank among them" if re.search(r"\s", text) else "")
    raise ValueError(f"must be your Account SID: AC and 32 digits from 0 to f, 34 characters; this {shape}")


def api_key(text: str) -> str:
    """The name that goes with an API secret. Raises ValueError for what is none."""
    # Loose: what stands for a key in a trial need not be Twilio's, and Twilio is asked anyway.
    if text and not re.fullmatch(f"({API_KEY}|{ACCOUNT}){LOOSE}+", text):
        raise ValueError("must be the SID of an API key, which begins with SK")
    return text


def secret(text: str, what: str) -> str:
    """A token or key of letters, digits and signs without blanks. Raises ValueError, which does not show it."""
    if _PLACEHOLDER.fullmatch(text):
        raise ValueError(f"is a placeholder; put {what} there")
    if kind := typed_kind(text):
        raise ValueError(f"is a SID ({kind}...); put {what} there")
    if "://" in text:
        raise ValueError(f"is a URL; put {what} there")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"has a blank or a character in it that none has; copy {what} again")
    return text


def advertiser_id(text: str) -> str:
    """Rockerbox's id of the advertiser. Raises ValueError, which does not show it."""
    if "advertiser=" in text or text.startswith(("http:", "https:")):
        raise ValueError("is a URL or a piece of one; give only what stands behind `advertiser=` in it")
    if re.search("[/?&=#]", text):
        raise ValueError("has a character in it that belongs to a URL; give your advertiser id alone")
    return secret(text, "your advertiser id")


def public_url(text: str) -> str:
    """An address that Twilio was given, up to the path of the callback, which is taken off. Raises ValueError."""
    found = _address(text)
    if found.query or found.fragment:
        raise ValueError("must be like https://calls.example.com, with no query and no fragment")
    bare = text.rstrip("/")
    return bare.removesuffix(CALLBACK_PATH) if bare.endswith(CALLBACK_PATH) else text


def whole_url(text: str, example: str) -> str:
    """An address to send to; "" stays. Raises ValueError."""
    if text:
        _address(text, example)
    return text


def issuer(text: str) -> str:
    """A provider's address as it names itself; "" stays. What is asked for its addresses and keys must be https, but on this machine.

    Raises ValueError.
    """
    if not text:
        return text
    example = "https://accounts.google.com"
    bare = text.removesuffix("/").removesuffix("/.well-known/openid-configuration") if "/.well-known/" in text else text
    found = _address(bare, example)
    if found.query or found.fragment or found.username is not None:
        raise ValueError(f"must be like {example}, with no user, no query and no fragment")
    if found.scheme != "https" and found.hostname not in LOOPBACK:
        raise ValueError(f"must begin with https://, like {example}")
    return bare


def _address(text: str, example: str = "https://calls.example.com") -> SplitResult:
    try:
        found = urlsplit(text)
        host, _ = found.hostname or "", found.port
    except ValueError:
        raise ValueError(f"is no URL; it must be like {example}") from None
    if found.scheme in ("http", "https") and host not in ("", "http", "https") and not re.search(r"[\s,;]", text):
        return found
    is_bare = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/\S*)?", text) and not re.match("https?:?/", text)
    raise ValueError(f"must be like {example}" + (f"; did you mean https://{text}?" if is_bare else ""))


def strangers(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Names that look like ours and are no setting -> the one that was meant, or "" where none is like it.

    Whoever calls leaves out what other programs may have named so. Case does not count.
    """
    ours = sorted({name.upper() for name in names if _OURS.search(name.upper())} - set(known))
    return {name: _meant(name, known) for name in ours if not _KUBERNETES.fullmatch(name)} if ours else {}


def _meant(name: str, known: Collection[str]) -> str:
    """By what stands behind the prefix, which all share."""
    bare = name.removeprefix("OFFHOOK_")
    if bare != name and bare in known:
        return bare
    return alike(name, known)


def alike(name: str, known: Collection[str]) -> str:
    """The setting that is most like a name; "" when none is."""

    def likeness(one: str) -> float:
        same_room = name.partition("_")[0] == one.partition("_")[0]
        ours, theirs = (each.partition("_")[2] if same_room else each for each in (name, one))
        found = SequenceMatcher(None, ours, theirs).ratio()
        return found if found >= (_ALIKE if same_room else _ALMOST_THE_SAME) else 0.0

    best = max(sorted(known), key=likeness, default="")
    return best if best and likeness(best) else ""
