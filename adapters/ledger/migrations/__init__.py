"""The ledger's migrations, which Alembic finds by their files."""
