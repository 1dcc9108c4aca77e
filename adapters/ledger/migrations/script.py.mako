"""${message}"""

# The version before must go on working on these tables: add (a table, a column that may be NULL or has a server default,
# an index that is not unique), and take away only what no version of the last two uses. tests/test_migrations.py looks.

from alembic import op
import sqlalchemy as sa

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
