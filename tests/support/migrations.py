"""Migrations as a later version would bring them: ours, and those of a folder beside them."""

from __future__ import annotations

import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from tests.support.processes import REPOSITORY

_OURS = REPOSITORY / "adapters" / "ledger" / "migrations"
_FUTURE = '''"""What the next version adds."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("erasures", sa.Column("call_sid", sa.Text(), primary_key=True))
    op.add_column("callbacks", sa.Column("edge", sa.Text(), nullable=True))
    op.add_column("calls", sa.Column("campaign", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("customers") as customers:
        customers.add_column(sa.Column("name", sa.Text(), nullable=True))
    op.create_index("ix_calls_campaign", "calls", ["campaign"])
'''


def upgrade_to(url: str, revision: str, *, beside: Path | None = None) -> None:
    """Bring the database to `revision`; `beside` is a folder with further migrations."""
    config = Config()
    folders = [_OURS / "versions", *([beside] if beside else [])]
    config.set_main_option("script_location", str(_OURS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, folders)))
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def next_version(folder: Path, head: str) -> Path:
    """A folder with the migration of a version that is not written yet, on top of `head`."""
    folder.mkdir()
    (folder / "9999_what_comes_next.py").write_text(_FUTURE.format(head=head))
    return folder
