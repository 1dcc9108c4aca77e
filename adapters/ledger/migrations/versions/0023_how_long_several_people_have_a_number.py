"""Until when it is believed that several people have a number, where a look-up said so: it is asked for again, as one person's is.

It only adds: the version before believes it for ever. What look-ups said of several people before is asked for again now.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

_BY_LOOK_UPS = (
    "row_id IN (SELECT r.id FROM customer_rows AS r JOIN imports AS i ON i.id = r.brought_by WHERE i.source = 'lookup')"
)
_OVER = f"UPDATE shared_numbers SET fresh_until = changed_at WHERE {_BY_LOOK_UPS}"
# Those of which no call is parked are forgotten at their turn.
_ASKED_AGAIN = (
    "INSERT INTO lookups (phone, state, due_at, fence, attempts, source, reason, to_release) "
    f"SELECT phone, 'unknown', changed_at, 0, 0, '', '', 0 FROM shared_numbers WHERE {_BY_LOOK_UPS} "
    "ON CONFLICT (phone) DO NOTHING"
)


def upgrade() -> None:
    op.add_column("shared_numbers", sa.Column("fresh_until", sa.BigInteger(), nullable=True))
    op.execute(_OVER)
    op.execute(_ASKED_AGAIN)
