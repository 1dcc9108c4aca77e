"""What Alembic runs: the migrations, on the connection and in the transaction that adapters/ledger/migrate.py opened."""

from alembic import context

from offhook.adapters.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
