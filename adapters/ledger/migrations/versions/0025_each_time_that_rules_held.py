"""From when on rules held, each time that they did: rules that come back stood with their first use alone.

It only adds: the version before goes on noting first uses, in `rules`. Each of those is a use here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_FIRST_USES = (
    "INSERT INTO rule_uses (id, version, began_at) "
    "SELECT row_number() OVER (ORDER BY first_used_at, version), version, first_used_at FROM rules "
    "WHERE version NOT LIKE 'asked-%'"
)


def upgrade() -> None:
    op.create_table(
        "rule_uses",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_uses")),
    )
    op.execute(sa.text(_FIRST_USES))
