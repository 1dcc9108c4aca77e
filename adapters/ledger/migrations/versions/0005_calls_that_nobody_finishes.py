"""Calls that stay open: two small indexes, one of those that are open, one of those that were called unfinished.

An unfinished call keeps the state `open` and has a `decided_at`, so that a version that does not know the word goes on
with it when its final callback arrives. Both indexes are built ahead of this, as those of 0002 are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# name -> (table, columns, condition or "")
ONLINE_INDEXES = {
    "ix_calls_open": ("calls", ["first_received_at"], "state = 'open' AND decided_at IS NULL"),
    "ix_calls_unfinished": ("calls", ["decided_at"], "state = 'open' AND decided_at IS NOT NULL"),
}


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
