"""What may have arrived is found by the day it left; that a destination takes nothing is known to all workers.

It only adds: the version before neither reads nor writes any of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("breakers", sa.Column("blocked_reason", sa.Text(), nullable=True))
    op.add_column("breakers", sa.Column("blocked_changed_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_conversions_maybe_sent",
        "conversions",
        ["first_attempt_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending' AND maybe_sent = 1"),
        postgresql_where=sa.text("state = 'pending' AND maybe_sent = 1"),
    )
