"""What may have arrived is found by the day it left; that a destination takes nothing is known to all workers.

It only adds: the version before neither reads nor writes any of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


# As in 0002.
ONLINE_INDEXES = {
    "ix_conversions_maybe_sent": ("conversions", ["first_attempt_at"], "state = 'pending' AND maybe_sent = 1"),
}


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
    op.add_column("breakers", sa.Column("blocked_reason", sa.Text(), nullable=True))
    op.add_column("breakers", sa.Column("blocked_changed_at", sa.BigInteger(), nullable=True))
