"""Workers leave a sign of life; a conversion that is decided anew keeps what it replaces; a caller's calls are found.

It only adds: the version before neither reads nor writes any of it. The index is built ahead of it, as in 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ONLINE_INDEXES = {"ix_calls_customer_phone": ("calls", ["customer_phone", "first_received_at"], "")}


def upgrade() -> None:
    for name, (table, columns, _) in ONLINE_INDEXES.items():
        op.create_index(name, table, columns, unique=False, if_not_exists=True)
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("rules_version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_index("ix_workers_seen_at", "workers", ["seen_at"], unique=False)
    op.create_table(
        "replaced",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("call_sid", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("replaced_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replaced")),
    )
    op.create_index("ix_replaced_call", "replaced", ["call_sid", "account_sid"], unique=False)
