"""By which rule each call is counted, and the sums of that by the hour and by the UTC day.

It only adds: the version before writes none of it. What it decides is counted by rule once this version has to do with the
call again, or by `flask tallies rebuild`, which counts the calls of before as well.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    for name in ("rule", "rule_state", "rule_reason"):
        op.add_column("outcomes", sa.Column(name, sa.Text(), nullable=True))
    op.create_table(
        "rule_tallies",
        sa.Column("hours", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("begins", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("asked", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hours", "begins", "rule", "asked", "state", "reason", name=op.f("pk_rule_tallies")),
    )
