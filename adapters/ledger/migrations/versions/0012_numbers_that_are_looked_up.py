"""Which numbers the brand's own systems are asked for, when next, and what the last attempt came to.

It only adds: the version before decides calls without asking, those that wait for an answer within a minute.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "lookups",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("wanted_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("to_release", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_lookups")),
    )
    for name, column, condition in (
        ("ix_lookups_due", "due_at", "state <> 'known'"),
        ("ix_lookups_wanted", "wanted_at", "state = 'wanted'"),
        ("ix_lookups_to_release", "to_release", "to_release = 1"),
    ):
        where = sa.text(condition)
        op.create_index(name, "lookups", [column], unique=False, sqlite_where=where, postgresql_where=where)
