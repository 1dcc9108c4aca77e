"""Lines of the audit by the users whom they name: who did something, and to whom it was done."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement

from offhook.adapters.ledger.schema import audit
from offhook.pipeline.users import AuditFilter


def is_about(asked: AuditFilter) -> Iterator[ColumnElement[bool]]:
    """Hold together for the lines whose `who` and `of_what` the filter lets through."""
    if asked.who:
        yield audit.c.who == asked.who
    if asked.of_what:
        yield audit.c.of_what == asked.of_what
