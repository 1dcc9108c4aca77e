"""An index of what was delivered by the time of its delivery, for the counts by hour that lie beside Rockerbox's own page.

It only adds: the version before neither reads nor needs it. It is built ahead of this, as those of 0002 are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

# name -> (table, columns, condition or "")
ONLINE_INDEXES = {"ix_conversions_delivered_at": ("conversions", ["delivered_at"], "delivered_at IS NOT NULL")}


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
