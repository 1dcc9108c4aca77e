"""The header's ten pages: endpoint, label, and the least role that sees the link. Those that do not exist are not shown."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from flask import current_app, g, request

from offhook.adapters.dashboard.parts import parts
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.story import NeedsPeople
from offhook.pipeline.users import Role
from offhook.pipeline.words import bounded

_PART_OF = {
    "call": "calls",
    "exports": "calls",
    "imports": "customers",
    "uploads": "customers",
}  # blueprint -> whose page of the header it is


@dataclass(frozen=True, slots=True)
class NavItem:
    """`count` is how much waits there, "" for nothing, and `of_what` what that does, for whoever has the page read aloud."""

    endpoint: str
    label: str
    least: Role = Role.VIEWER
    count: str = ""
    of_what: str = ""

    @property
    def is_here(self) -> bool:
        """Whether this is the page that is shown, or one of its blueprint's."""
        of = (request.endpoint or "").partition(".")[0]
        return _PART_OF.get(of, of) == self.endpoint.partition(".")[0]


NAV = (
    NavItem("overview.shown", "Overview"),
    NavItem("calls.shown", "Calls"),
    NavItem("unknown.shown", "Unknown callers"),
    NavItem("deliveries.shown", "Deliveries"),
    NavItem("customers.shown", "Customers"),
    NavItem("rules.shown", "Rules"),
    NavItem("rockerbox.shown", "Rockerbox"),
    NavItem("setup.shown", "Set-up"),
    NavItem("audit.shown", "Audit", Role.ADMIN),
)


def nav_of(role: Role) -> list[NavItem]:
    """What somebody of this role finds in the header."""
    found = [item for item in NAV if item.endpoint in current_app.view_functions and role.may(item.least)]
    return [_with_count(item) for item in found]


def needs_people() -> NeedsPeople:
    """How much waits for somebody, asked once a request. Raises LedgerUnavailable."""
    if "needs_people" not in g:
        g.needs_people = parts().reads.stories.needs_people()
    return cast(NeedsPeople, g.needs_people)


def without_counts() -> None:
    """Asks nothing for the header of this request: its page says what went wrong."""
    g.needs_people = NeedsPeople()


def _with_count(item: NavItem) -> NavItem:
    """A header without its counts is better than no page."""
    if item.endpoint not in _OF_WHAT:
        return item
    found, (one, many) = NeedsPeople(), _OF_WHAT[item.endpoint]
    with suppress(LedgerUnavailable):
        found = needs_people()
    count = found.unknown if item.endpoint == "unknown.shown" else found.held
    return replace(item, count=bounded(count), of_what=one if count == 1 else many) if count else item


_OF_WHAT = {"unknown.shown": ("call waits", "calls wait"), "deliveries.shown": ("call needs you", "calls need you")}
