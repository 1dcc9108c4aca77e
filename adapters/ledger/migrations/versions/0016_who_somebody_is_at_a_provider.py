"""Whom a provider of OpenID Connect means by a subject: the user whom it lets in.

It only adds: the version before neither reads nor writes any of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("users", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("subject", sa.Text(), nullable=True))
    op.create_index("uq_users_subject", "users", ["issuer", "subject"], unique=True)
