"""DATABASE_URL as providers and other programs write it, put into the words that libpq knows. Connects to nothing.

What is wrong is said without a piece of the address, for any piece may be one of the password.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from urllib.parse import unquote, unquote_to_bytes

# What others write for the same thing: https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# node-postgres and Prisma: encrypted, by whatever certificate. That is libpq's `require`.
_SSL_WORDS = {
    "no-verify": "require",
    "true": "require",
    "1": "require",
    "on": "require",
    "accept_invalid_certs": "require",
    "strict": "verify-full",
    "false": "prefer",
    "0": "prefer",
    "off": "prefer",
}
# Of other drivers and poolers. Offhook prepares no statement, needs no word for a pooler, and its pool is a setting.
_NEEDLESS = frozenset(
    [
        "pgbouncer",
        "prepare_threshold",
        "prepareThreshold",
        "prepared_statements",
        "prepared_statement_cache_size",
        "statement_cache_size",
        "preparedStatementCacheQueries",
        "connection_limit",
        "pool_timeout",
        "pool_size",
        "max_overflow",
        "pool_pre_ping",
        "pool_recycle",
        "pgbouncer_mode",
        "supa",
        "supavisor",
        "workaround",
        "uselibpqcompat",
        "encoding",
        "charset",
        "async_fallback",
    ]
)
_SCHEMAS = frozenset({"schema", "currentSchema", "search_path"})
_WRITERS = ("any", "read-write", "primary")
_NUMBERS = frozenset(
    ["connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"]
)
_ENCODE = (
    "the user or the password holds a character that must be percent-encoded: "
    "@ as %40, / as %2F, ? as %3F, # as %23, % as %25, a blank as %20"
)
_NAME = re.compile("[A-Za-z][A-Za-z_]{0,40}")
_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def libpq_address(address: str) -> str:
    """An address without its scheme, `user:password@host,host:port/name?key=value`, as libpq takes it behind postgresql://.

    Raises ValueError with what to write instead.
    """
    if find_spec("psycopg") is None:
        raise ValueError("names a Postgres, whose driver is not installed: pip install 'offhook[postgres]'")
    # As libpq reads it: an @ before any / ends what names the user.
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    at = re.search("[@/]", address)
    user, rest = (address[: at.end()], address[at.end() :]) if at and at[0] == "@" else ("", address)
    if "@" in rest or not _is_encoded(address):
        raise ValueError(_ENCODE)
    place, _, query = rest.partition("?")
    hosts = _hosts(place.partition("/")[0])
    words = _words(query)
    if len(hosts) > 1:  # the first one may be a standby
        words.setdefault("target_session_attrs", "read-write")
    found = "&".join(f"{name}={value}" for name, value in words.items())
    return f"{user}{place}{'?' if found else ''}{found}"


def _is_encoded(address: str) -> bool:
    """True when no blank is in it, and each % begins a byte of UTF-8 text without NUL."""
    try:
        text = unquote_to_bytes(address).decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in text and not _PERCENT.search(address) and not re.search(r"\s", address)


def _hosts(listed: str) -> list[str]:
    """Each with its port. Raises ValueError."""
    hosts = listed.split(",")
    for host in hosts:
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::([0-9]*))?", host)
        if found is None or int(found[2] or 1) not in range(1, 65536):
            raise ValueError(
                "the host or its port is wrong: write host:5432, a port from 1 to 65535, an IPv6 address in [brackets]; "
                "if it is the password that has a : or [ after an @ or /, percent-encode that"
            )
        if len(hosts) > 1 and host.isdigit():
            raise ValueError("each of several hosts has a port of its own: one:5432,two:5433")
    return hosts


def _words(query: str) -> dict[str, str]:
    """Parameters that libpq knows, their values still percent-encoded. Raises ValueError."""
    found: dict[str, str] = {}
    ssl = ""
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        plain = unquote(value)
        if not _NAME.fullmatch(name):
            raise ValueError("what stands behind the ? must be name=value, joined by &")
        if not value or name in _NEEDLESS or (name in _SCHEMAS and plain == "public"):
            continue
        if name in ("ssl", "sslaccept"):
            ssl = _ssl_mode(name, plain)
        elif name == "sslmode":
            found[name] = _ssl_mode(name, plain)
        else:
            _check(name, plain)
            found[name] = value
    return {**({"sslmode": ssl} if ssl else {}), **found}


def _ssl_mode(name: str, value: str) -> str:
    mode = _SSL_WORDS.get(value.lower(), value.lower())
    if mode not in _SSL_MODES:
        raise ValueError(f"{name} has a value that nobody knows: write sslmode= and one of {', '.join(_SSL_MODES)}")
    return mode


def _check(name: str, value: str) -> None:
    """Raises ValueError for what libpq does not know, or would do that cannot work."""
    if name in _SCHEMAS:
        raise ValueError(
            f"take {name} out, and give the schema to the user once: ALTER ROLE offhook SET search_path = your_schema"
        )
    if name == "targetServerType":
        raise ValueError("instead of targetServerType write target_session_attrs=read-write")
    if name == "target_session_attrs" and value not in _WRITERS:
        raise ValueError("target_session_attrs must be read-write, for Offhook writes")
    if name in _NUMBERS and not re.fullmatch("-?[0-9]{1,9}", value):
        raise ValueError(f"{name} must be a whole number")
    if name not in _known():
        raise ValueError(f"libpq knows no parameter {name}: take it out")


def _known() -> frozenset[str]:
    """Asked for only where the database is Postgres, so that nobody else waits for its driver."""
    from psycopg.pq import Conninfo

    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())
