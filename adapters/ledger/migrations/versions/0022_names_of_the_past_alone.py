"""Emails and ids of history have an index for what is over alone: who is a customer now is found in `customers`, which has both.

They come in no order, so each index of them cost an import a page of its own to read, to log and to write back for each
row. The version before needs neither to import, decide or undo; its `customers show` of an email or an id reads the whole
history for as long as it still runs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0019"

ONLINE_INDEXES = {
    "ix_customer_rows_past_email": ("customer_rows", ["email"], "email IS NOT NULL AND until_at IS NOT NULL"),
    "ix_customer_rows_past_id": ("customer_rows", ["customer_id"], "customer_id IS NOT NULL AND until_at IS NOT NULL"),
}


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
    for column in ("email", "customer_id"):
        op.drop_index(f"ix_customer_rows_{column}", "customer_rows", if_exists=True)
