"""What Postgres knows of its tables. Nothing of ours needs it to be quick, but a plan is better for it."""

from __future__ import annotations

import logging

from sqlalchemy import text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.schema import metadata

log = logging.getLogger("offhook.ledger")

# https://www.postgresql.org/docs/current/view-pg-stats.html: a row a column, from the first ANALYZE on. A restore and an
# upgrade bring none; with autovacuum off there never are any.
_UNKNOWN = text(
    "SELECT relname FROM pg_class WHERE oid = to_regclass(:name) AND pg_relation_size(oid) > 0 "
    "AND NOT EXISTS (SELECT 1 FROM pg_stats WHERE schemaname = relnamespace::regnamespace::text AND tablename = relname)"
)


def analyze_unknown(database: Database, seconds: float = 30.0) -> list[str]:
    """ANALYZE the tables that hold rows and have no statistics. Returns their names. Each is bounded; intake goes on.

    Raises LedgerUnavailable, for a table that takes longer, too.
    """
    with database.read() as connection:
        every = [connection.execute(_UNKNOWN, {"name": table.name}).scalar() for table in metadata.sorted_tables]
    unknown = [name for name in every if name is not None]
    for name in unknown:
        with database.write(seconds=seconds) as connection:
            connection.execute(text(f"ANALYZE {name}"))
    if unknown:
        log.info("statistics_gathered", extra={"tables": unknown})
    return unknown
