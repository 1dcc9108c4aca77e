"""Who a proxy is: where it listens, and what we say to it. Connects to nothing, shows no password.

User and password: https://www.rfc-editor.org/rfc/rfc7617
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

_BLANK = re.compile(r"[\s\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is spoken to in plain HTTP. `authorization` is the header's value, "" for none.

    `secrets` are the texts that may be shown nowhere.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def parse_proxy(url: str) -> Proxy:
    """`http://user:password@host:port`; user and password percent-encoded, or left out.

    Raises ValueError, whose text holds nothing of the url.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:  # its text may hold a piece of the password
        scheme, host, port = "", None, None
    is_bare = scheme and parts.path in ("", "/") and not parts.query and not parts.fragment
    if scheme != "http" or not host or port == 0 or not is_bare or _BLANK.search(url):
        raise ValueError("the proxy must be like http://proxy.example.com:3128")
    if parts.username is None:
        return Proxy(host, port or 80)
    user, password = unquote(parts.username), unquote(parts.password or "")
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    secrets = {token, password, parts.password or ""} - {""}
    return Proxy(host, port or 80, f"Basic {token}", tuple(sorted(secrets, key=len, reverse=True)))
