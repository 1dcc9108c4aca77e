"""Where a request came from: what proxies say of it, and whose address it is. Pure functions on text."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, IPv6Network, ip_address

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""What this machine calls itself in an address."""
_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::\d+)?|([\d.]+):\d+")
_OF_ONE_HOUSE = 64  # bits: whoever has one IPv6 address has at least all that begin so (RFC 6177)


def outermost(forwarded: str, believed: int) -> str:
    """The address in X-Forwarded-For that the outermost of so many believed proxies saw; "" where it says none.

    Each proxy appends what it saw, so only the last `believed` are not the sender's own words.
    """
    seen = [one.strip() for one in forwarded.split(",") if one.strip()]
    if not believed or not seen:
        return ""
    text = seen[max(0, len(seen) - believed)]
    found = _WITH_PORT.fullmatch(text)
    return _plain(found[1] or found[2] if found else text)


def _plain(text: str) -> str:
    """An address as everybody writes it; "" for what is none. A scope (`%eth0`) is any text at all, and no part of one here."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str((found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found)


def whose(address: str) -> str:
    """What is counted as one sender: the address; of IPv6 the network that one line has, whose addresses anybody may change."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Network((int(found), _OF_ONE_HOUSE), strict=False)) if isinstance(found, IPv6Address) else address
