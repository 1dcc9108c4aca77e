"""Since when a user is known to a provider of OpenID Connect, and which sessions came by it: who signs out of one of those signs out
there as well.

It only adds: the version before neither reads nor writes any of it. Of users who were linked before, the audit says when.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"

_LINKED = sa.text(
    "UPDATE users SET linked_at = (SELECT max(at) FROM audit WHERE of_what = :who "
    "AND what IN ('single sign-on linked', 'user added by single sign-on')) WHERE id = :id"
)


def upgrade() -> None:
    op.add_column("users", sa.Column("linked_at", sa.BigInteger(), nullable=True))
    op.add_column("sessions", sa.Column("came_by", sa.Text(), nullable=True))
    connection = op.get_bind()
    for user in connection.execute(sa.text("SELECT id, email FROM users WHERE subject IS NOT NULL")).all():
        connection.execute(_LINKED, {"who": user.email, "id": user.id})
