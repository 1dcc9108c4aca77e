"""Customers keep their further columns and their history: which import said what of a number, from when to when it held.

It only adds: the version before goes on with `customers` as it was. What stands there already gets its history with the
next import that speaks of it, so that no upgrade holds callbacks up for as long as a copy of all customers would take.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ONLINE_INDEXES = {"ix_calls_waiting": ("calls", ["first_received_at"], "state = 'parked'")}


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
    op.add_column("customers", sa.Column("attributes", sa.Text(), nullable=True))
    op.add_column("customers", sa.Column("row_id", sa.BigInteger(), nullable=True))
    op.add_column("customers", sa.Column("fresh_until", sa.BigInteger(), nullable=True))
    op.add_column("shared_numbers", sa.Column("row_id", sa.BigInteger(), nullable=True))
    _imports()
    _customer_rows()
    op.create_table(
        "shared_people",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("phone", "place", name=op.f("pk_shared_people")),
    )


def _imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("retired", sa.Integer(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_index("uq_imports_run", "imports", ["source", "name", "run"], unique=True)


def _customer_rows() -> None:
    op.create_table(
        "customer_rows",
        sa.Column("id", _SERIAL, autoincrement=False, nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=True),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("from_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=True),
        sa.Column("brought_by", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_rows")),
    )
    conditions = {
        "ix_customer_rows_email": ("email", "email IS NOT NULL"),
        "ix_customer_rows_customer_id": ("customer_id", "customer_id IS NOT NULL"),
        "ix_customer_rows_ended_by": ("ended_by", "ended_by IS NOT NULL"),
    }
    op.create_index("ix_customer_rows_phone", "customer_rows", ["phone", "from_at"], unique=False)
    op.create_index("ix_customer_rows_brought_by", "customer_rows", ["brought_by"], unique=False)
    for name, (column, condition) in conditions.items():
        where = sa.text(condition)
        op.create_index(name, "customer_rows", [column], unique=False, sqlite_where=where, postgresql_where=where)
