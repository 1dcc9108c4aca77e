"""A number that several customers have: how many, so that a call from it waits instead of crediting one of them.

It only adds: the version before goes on with what `customers` says of the number, as it always did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "shared_numbers",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_shared_numbers")),
    )
