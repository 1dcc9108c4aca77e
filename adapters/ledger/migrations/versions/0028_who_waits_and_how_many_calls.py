"""A row for each number whose calls wait, so that a list of unknown callers is read by its pages and counts nothing.

The database itself keeps them, by triggers on `calls`, where a call begins or ceases to wait, or another number or time of it is
known: so they are right as well where the version before goes on writing, and no other call pays. Whoever changes them on Postgres
has a turn until the transaction ends, for a statement changes calls in the order of their keys and not of their numbers. The index
of waiting calls gets their times, by which the first and the last are found that are left; the narrower one goes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

ONLINE_INDEXES = {"ix_calls_parked_at": ("calls", ["customer_phone", "first_received_at"], "state = 'parked'")}
_TURN = 0x0FF_4028
_OLD_WAITS = "OLD.state = 'parked' AND OLD.customer_phone > ''"
_NEW_WAITS = "NEW.state = 'parked' AND NEW.customer_phone > ''"
_OF_BEFORE = (
    "INSERT INTO unknown_callers (phone, calls, oldest_at, latest_at) "
    "SELECT customer_phone, count(*), min(first_received_at), max(first_received_at) FROM calls "
    "WHERE state = 'parked' AND customer_phone > '' GROUP BY customer_phone"
)


def _left(of: str, kept: str) -> str:
    """The first or last of those that still wait. On Postgres this is asked when all calls of the statement have been changed: none
    may be left, though some of those that went are still counted.
    """
    waiting = "c.state = 'parked' AND c.customer_phone = OLD.customer_phone"
    return f"coalesce((SELECT {of}(c.first_received_at) FROM calls AS c WHERE {waiting}), {kept})"


_LAST_ONE_LEAVES = (
    "DELETE FROM unknown_callers WHERE phone = OLD.customer_phone AND calls <= 1 AND OLD.state = 'parked'"
)
_ONE_LEAVES = (
    "UPDATE unknown_callers SET calls = calls - 1, "
    f"oldest_at = CASE oldest_at WHEN OLD.first_received_at THEN {_left('min', 'oldest_at')} ELSE oldest_at END, "
    f"latest_at = CASE latest_at WHEN OLD.first_received_at THEN {_left('max', 'latest_at')} ELSE latest_at END "
    "WHERE phone = OLD.customer_phone AND OLD.state = 'parked'"
)


def _one_comes(least: str, greatest: str) -> str:
    """The WHERE lets SQLite read ON as no part of the SELECT, too."""
    return (
        "INSERT INTO unknown_callers (phone, calls, oldest_at, latest_at) "
        f"SELECT NEW.customer_phone, 1, NEW.first_received_at, NEW.first_received_at WHERE {_NEW_WAITS} "
        "ON CONFLICT (phone) DO UPDATE SET calls = unknown_callers.calls + 1, "
        f"oldest_at = {least}(unknown_callers.oldest_at, excluded.oldest_at), "
        f"latest_at = {greatest}(unknown_callers.latest_at, excluded.latest_at)"
    )


def _is_moved(differs: str) -> str:
    changed = [f"OLD.{name} {differs} NEW.{name}" for name in ("state", "customer_phone", "first_received_at")]
    return f"(OLD.state = 'parked' OR NEW.state = 'parked') AND ({' OR '.join(changed)})"


_ON_SQLITE = {
    "insert": ("INSERT", _NEW_WAITS, [_one_comes("min", "max")]),
    "delete": ("DELETE", _OLD_WAITS, [_LAST_ONE_LEAVES, _ONE_LEAVES]),
    "update": (
        "UPDATE OF state, customer_phone, first_received_at",
        _is_moved("IS NOT"),
        [_LAST_ONE_LEAVES, _ONE_LEAVES, _one_comes("min", "max")],
    ),
}
_ON_POSTGRES = {
    "insert": ("INSERT", _NEW_WAITS),
    "delete": ("DELETE", _OLD_WAITS),
    "update": ("UPDATE OF state, customer_phone, first_received_at", _is_moved("IS DISTINCT FROM")),
}
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION offhook_keep_unknown_callers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock({_TURN});
  IF TG_OP <> 'INSERT' THEN
    {_LAST_ONE_LEAVES};
    IF NOT FOUND THEN
      {_ONE_LEAVES};
    END IF;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    {_one_comes("least", "greatest")};
  END IF;
  RETURN NULL;
END $$"""


def upgrade() -> None:
    for name, (table, columns, condition) in ONLINE_INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=False, if_not_exists=True, sqlite_where=where, postgresql_where=where
        )
    op.create_table(
        "unknown_callers",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("oldest_at", sa.BigInteger(), nullable=False),
        sa.Column("latest_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phone", name=op.f("pk_unknown_callers")),
    )
    latest = sa.text("latest_at DESC")
    op.create_index("ix_unknown_callers_calls", "unknown_callers", [sa.text("calls DESC"), latest, "phone"])
    op.create_index("ix_unknown_callers_latest_at", "unknown_callers", [latest, "phone"])
    if op.get_bind().dialect.name == "sqlite":
        for name, (what, condition, steps) in _ON_SQLITE.items():
            done = "; ".join(steps)
            op.execute(
                f"CREATE TRIGGER unknown_callers_{name} AFTER {what} ON calls WHEN {condition} BEGIN {done}; END"
            )
    else:
        op.execute(_FUNCTION)
        for name, (what, condition) in _ON_POSTGRES.items():
            op.execute(
                f"CREATE TRIGGER unknown_callers_{name} AFTER {what} ON calls FOR EACH ROW WHEN ({condition}) "
                "EXECUTE FUNCTION offhook_keep_unknown_callers()"
            )
    op.execute(_OF_BEFORE)  # the books wait until this is over: CREATE TRIGGER keeps writers out
    op.drop_index("ix_calls_parked", "calls", if_exists=True)
