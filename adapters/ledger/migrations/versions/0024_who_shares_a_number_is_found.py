"""Somebody of several who have one number is found by email and by id, too.

It only adds: the version before does not look there. The indexes are built ahead of it, as in 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

ONLINE_INDEXES = {
    "ix_shared_people_email": ("shared_people", ["email"], "email IS NOT NULL"),
    "ix_shared_people_customer_id": ("shared_people", ["customer_id"], "customer_id IS NOT NULL"),
}


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
