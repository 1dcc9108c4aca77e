"""The audit's lines of commands. Who is at a terminal is not known: `who` is the command."""

from __future__ import annotations

from offhook.adapters.commands.context import Offhook
from offhook.pipeline.users import AuditLine

_WHERE = "terminal"


def line(service: Offhook, who: str, what: str, of_what: str) -> AuditLine:
    """Not yet kept: for what writes it in its own transaction. `who` is like `flask users`."""
    return AuditLine(service.ledger.clock(), who, what, of_what, _WHERE)


def audit(service: Offhook, who: str, what: str, of_what: str) -> None:
    """Keep it. Before the action: nothing is done without its line. Raises LedgerUnavailable."""
    service.ledger.audit.write(line(service, who, what, of_what))
