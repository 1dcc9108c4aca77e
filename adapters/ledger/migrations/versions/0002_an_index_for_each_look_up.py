"""An index for each look-up, so that nothing gets slower with age.

It only adds. On tables that are large by now the indexes are built before the migration, one at a time and without
keeping intake waiting (adapters/ledger/migrate.py reads ONLINE_INDEXES); then nothing is left to do here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# name -> (table, columns, condition or "")
ONLINE_INDEXES = {
    "ix_callbacks_parent": ("callbacks", ["parent_call_sid", "account_sid"], "parent_call_sid IS NOT NULL"),
    "ix_callbacks_received_at": ("callbacks", ["received_at", "seq"], ""),
    "ix_conversions_state": ("conversions", ["state", "created_at"], ""),
}


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition) if condition else None
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
