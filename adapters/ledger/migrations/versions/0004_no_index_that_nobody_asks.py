"""Three indexes go: whoever knows a CallSid without its account finds the account among the callbacks.

CallSids are random, so each such index costs every call a page of its own to read, to log and to write back. The version
before needs none of them to receive, fold, decide or deliver; its `conversions show` reads a whole table for as long as it
still runs.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for table in ("legs", "calls", "conversions"):
        op.drop_index(f"ix_{table}_call_sid", table, if_exists=True)
