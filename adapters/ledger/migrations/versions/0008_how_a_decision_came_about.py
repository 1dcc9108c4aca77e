"""How a decision came about, whether a person answered a call, and the text of each set of rules that was used.

It only adds: the version before goes on without.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for column in ("who", "rule", "trace"):
        op.add_column("decisions", sa.Column(column, sa.Text()))
    op.add_column("decisions", sa.Column("customer_row", sa.BigInteger()))
    op.add_column("calls", sa.Column("answered", sa.SmallInteger()))
    op.create_table(
        "rules",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_rules")),
    )
