"""Where somebody comes from: what forged headers and many addresses of one sender do to the limit of sign-ins and to the audit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offhook.adapters.addresses import outermost, whose
from offhook.pipeline.users import AuditFilter
from tests.support.browsing import Browsing, browsing


@pytest.mark.unit
@pytest.mark.parametrize(
    ("forwarded", "believed", "found"),
    [
        ("203.0.113.7", 0, ""),
        ("", 1, ""),
        (" , ", 1, ""),
        ("10.9.8.7, 203.0.113.7", 1, "203.0.113.7"),
        ("10.9.8.7, 203.0.113.7, 10.0.0.1", 2, "203.0.113.7"),
        ("203.0.113.7", 3, "203.0.113.7"),
        ("203.0.113.7:49152", 1, "203.0.113.7"),
        ("[2001:db8::7]:49152", 1, "2001:db8::7"),
        ("[2001:DB8:0::7]", 1, "2001:db8::7"),
        ("::ffff:203.0.113.7", 1, "203.0.113.7"),
        ("fe80::1%eth0 by admin", 1, "fe80::1"),
        ("unknown", 1, ""),
        ("_hidden", 1, ""),
        ("127.0.0.1\x1b[2K", 1, ""),
        ("1.2.3.4.5", 1, ""),
        ("a" * 10_000, 1, ""),
    ],
)
def test_of_what_proxies_say_the_outermost_that_is_believed_counts_and_only_an_address(
    forwarded: str, believed: int, found: str
) -> None:
    assert outermost(forwarded, believed) == found


@pytest.mark.unit
def test_all_addresses_of_one_line_are_one_sender() -> None:
    assert whose("203.0.113.7") == "203.0.113.7"
    assert whose("2001:db8:1:2:3:4:5:6") == whose("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert whose("2001:db8:1:3::") != whose("2001:db8:1:2::")
    assert whose("unknown") == "unknown"


@pytest.fixture
def site(database_url: str, request: pytest.FixtureRequest) -> Iterator[Browsing]:
    tries = {"OFFHOOK_SIGN_IN_ADDRESS_TRIES": "2", "OFFHOOK_SIGN_IN_WINDOW_SECONDS": "86400"}
    found = browsing(database_url, OFFHOOK_DASHBOARD_PROXIES=str(request.param), **tries)
    found.app.config["WTF_CSRF_ENABLED"] = False
    yield found
    found.service.ledger.close()


def answers(site: Browsing, forwarded: list[str], remote: str = "10.0.0.1") -> list[int]:
    """To a wrong password for another account each time, from these."""
    client = site.app.test_client()
    return [
        client.post(
            "/login",
            data={"email": f"{n}@example.com", "password": "wrong"},
            headers={"X-Forwarded-For": said},
            environ_base={"REMOTE_ADDR": remote},
        ).status_code
        for n, said in enumerate(forwarded)
    ]


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize("site", [0], indirect=True)
def test_where_no_proxy_is_believed_a_header_evades_no_limit_and_is_in_no_audit(site: Browsing) -> None:
    assert answers(site, [f"203.0.113.{n}" for n in range(3)]) == [401, 401, 429]
    assert {one.from_where for one in site.service.ledger.audit.lines(AuditFilter(), None, 9)} == {"10.0.0.1"}


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize("site", [1], indirect=True)
@pytest.mark.parametrize(
    "forwarded",
    [
        [f"198.51.100.{n}, 203.0.113.7" for n in range(3)],
        [f"203.0.113.7:{n + 1000}" for n in range(3)],
        [f"2001:db8:1:2::{n}" for n in range(3)],
        ["203.0.113.7", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]:80"],
        ["admin@example.com", "unknown", "\x7f"],
    ],
    ids=["forged before the proxy's", "another port", "another address of one network", "spelled anew", "no address"],
)
def test_behind_a_proxy_one_sender_is_one_however_it_says_so(site: Browsing, forwarded: list[str]) -> None:
    assert answers(site, forwarded) == [401, 401, 429]
    for line in site.service.ledger.audit.lines(AuditFilter(), None, 9):
        assert line.from_where.startswith(("203.0.113.7", "2001:db8:1:2::", "10.0.0.1"))
        assert ":1000" not in line.from_where


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize("site", [1], indirect=True)
def test_behind_a_proxy_others_are_not_kept_out_by_one(site: Browsing) -> None:
    assert answers(site, ["203.0.113.7", "203.0.113.7", "203.0.113.7", "203.0.113.8"]) == [401, 401, 429, 401]
