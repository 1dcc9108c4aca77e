"""The header's ten pages: endpoint, label, and the least role that sees the link. Those that do not exist are not shown."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request

from offhook.pipeline.users import Role

_PART_OF = {
    "call": "calls",
    "exports": "calls",
    "imports": "customers",
    "uploads": "customers",
}  # blueprint -> whose page of the header it is


@dataclass(frozen=True, slots=True)
class NavItem:
    endpoint: str
    label: str
    least: Role = Role.VIEWER

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
    return [item for item in NAV if item.endpoint in current_app.view_functions and role.may(item.least)]
