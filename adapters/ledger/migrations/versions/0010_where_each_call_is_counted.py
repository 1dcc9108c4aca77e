"""What became of each call, and the sums of that by the hour; a conversion is found by its order id, a customer by name.

It only adds: the version before neither reads nor writes any of it, and what it did meanwhile is counted by
`flask tallies rebuild`, as are the calls of before. The indexes are built ahead of it, as in 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# name -> (table, columns, condition or "")
ONLINE_INDEXES = {
    "ix_conversions_order_id": ("conversions", ["order_id"], ""),
    "ix_customers_email": ("customers", ["email"], "email IS NOT NULL"),
    "ix_customers_customer_id": ("customers", ["customer_id"], "customer_id IS NOT NULL"),
}
# Where nothing was ever kept, nothing is left to be counted.
_WHOLE = "INSERT INTO counters (name, value) SELECT 'tallies_whole', 1 WHERE NOT EXISTS (SELECT 1 FROM calls)"


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition) if condition else None
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
    op.create_table(
        "outcomes",
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("call_sid", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "call_sid", name=op.f("pk_outcomes")),
    )
    op.create_index("ix_outcomes_at", "outcomes", ["at", "call_sid"], unique=False)
    for name in ("number", "outcome", "reason"):
        op.create_index(f"ix_outcomes_{name}", "outcomes", [name, "at", "call_sid"], unique=False)
    op.create_table(
        "tallies",
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "number", "outcome", "reason", name=op.f("pk_tallies")),
    )
    op.execute(_WHOLE)
