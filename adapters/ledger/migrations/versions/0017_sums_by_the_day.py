"""The sums of calls by UTC day beside those by the hour, so that a page of 90 days reads few rows.

The database itself keeps them, by a trigger: so they are right as well where the version before goes on writing the sums by the hour,
and `flask tallies rebuild` makes both right.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_DAY = 86_400_000_000  # microseconds
_ADDED = "ON CONFLICT (day, number, outcome, reason) DO UPDATE SET calls = day_tallies.calls + excluded.calls"
_OF_BEFORE = (
    f"INSERT INTO day_tallies SELECT hour / {_DAY} * {_DAY}, number, outcome, reason, sum(calls) FROM tallies "
    f"GROUP BY hour / {_DAY} * {_DAY}, number, outcome, reason HAVING sum(calls) <> 0"
)
# What happened -> whose row it is, and by how much the sum changes.
_ON_SQLITE = {
    "INSERT": ("NEW", "NEW.calls"),
    "UPDATE": ("NEW", "NEW.calls - OLD.calls"),
    "DELETE": ("OLD", "-OLD.calls"),
}
_ON_POSTGRES = f"""
CREATE OR REPLACE FUNCTION offhook_count_by_day() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  cell record;
  change bigint;
BEGIN
  IF TG_OP = 'DELETE' THEN
    cell = OLD; change = -OLD.calls;
  ELSIF TG_OP = 'UPDATE' THEN
    cell = NEW; change = NEW.calls - OLD.calls;
  ELSE
    cell = NEW; change = NEW.calls;
  END IF;
  INSERT INTO day_tallies VALUES (cell.hour / {_DAY} * {_DAY}, cell.number, cell.outcome, cell.reason, change) {_ADDED};
  RETURN NULL;
END $$"""


def upgrade() -> None:
    op.create_table(
        "day_tallies",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "number", "outcome", "reason", name=op.f("pk_day_tallies")),
    )
    if op.get_bind().dialect.name == "sqlite":
        for what, (row, change) in _ON_SQLITE.items():
            cell = f"{row}.hour / {_DAY} * {_DAY}, {row}.number, {row}.outcome, {row}.reason, {change}"
            op.execute(
                f"CREATE TRIGGER tallies_by_day_{what.lower()} AFTER {what} ON tallies BEGIN "
                f"INSERT INTO day_tallies VALUES ({cell}) {_ADDED}; END"
            )
    else:
        op.execute(_ON_POSTGRES)
        op.execute(
            "CREATE TRIGGER tallies_by_day AFTER INSERT OR UPDATE OR DELETE ON tallies "
            "FOR EACH ROW EXECUTE FUNCTION offhook_count_by_day()"
        )
    op.execute(_OF_BEFORE)  # whoever writes sums waits until this is over: CREATE TRIGGER keeps writers out
