"""Which calls waited for their callers to be looked up: it was guessed from when they are due, which is wrong around midnight.

It only adds: calls that the version before puts off are not marked as late. Those that wait for a look-up now are put off.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

_PUT_OFF = (
    "UPDATE calls SET put_off = 1 WHERE state = 'settling' AND customer_phone IN "
    "(SELECT phone FROM lookups WHERE wanted_at IS NOT NULL OR to_release = 1)"
)


def upgrade() -> None:
    op.add_column("calls", sa.Column("put_off", sa.SmallInteger(), nullable=True))
    op.execute(sa.text(_PUT_OFF))
