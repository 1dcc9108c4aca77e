"""The ledger's tables. The migrations make them; a test holds both against each other.

Times are whole microseconds since the epoch, UTC, the same on SQLite and Postgres; in Python they are aware datetimes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
HOUR = 3_600_000_000
"""An hour of those whole microseconds that a Moment is kept as."""


def micros(moment: datetime) -> int:
    """An aware time as whole microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)


def moment(value: int | None) -> datetime | None:
    """The aware time of whole microseconds since the epoch."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as whole microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return micros_or_none(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return moment(value)


class PersonText(TypeDecorator[str]):
    """Every column that names a person (a number, an email, a customer id) has this type. Whatever is written to one, or
    looked up by one, goes through `kept`, whatever is read through `shown`, so that encryption at rest can be added here.
    Rows are found by such a column in the folder people/ and nowhere else.
    """

    impl = Text
    cache_ok = True

    @staticmethod
    def kept(value: str | None) -> str | None:
        """A value as the database holds it; for statements that spell their rows themselves, too."""
        return value

    @staticmethod
    def shown(value: str | None) -> str | None:
        """What `kept` was given."""
        return value

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return PersonText.kept(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return PersonText.shown(value)


_Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only as INTEGER

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# Append only: what arrived, exactly as it came. `folded` is 1 once a call has taken it in.
callbacks = Table(
    "callbacks",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("dedupe_key", Text, nullable=False),
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("parent_call_sid", Text),
    Column("received_at", Moment, nullable=False),
    Column("method", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("folded", SmallInteger, nullable=False, server_default="0"),
    Index("uq_callbacks_dedupe_key", "dedupe_key", unique=True),
    Index("ix_callbacks_call", "call_sid", "account_sid"),
    Index("ix_callbacks_unfolded", "seq", **_where("folded = 0")),
    Index("ix_callbacks_parent", "parent_call_sid", "account_sid", **_where("parent_call_sid IS NOT NULL")),
    Index("ix_callbacks_received_at", "received_at", "seq"),
)

# Which leg hangs from which, and the root at the top: the family of a call.
legs = Table(
    "legs",
    metadata,
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("parent_call_sid", Text),
    Column("root_sid", Text, nullable=False),
    PrimaryKeyConstraint("account_sid", "call_sid"),
    Index("ix_legs_root", "root_sid", "account_sid"),
)

# One row a call to the customer. `state` moves as CALL_MOVES says (docs/states.md). An open one with a `decided_at` is
# unfinished: no final status came in time, and should one come after all, it goes on as any other. `answered` is 1 where a
# person did, NULL where nobody knows; `put_off` 1 where it waited for its caller to be looked up.
calls = Table(
    "calls",
    metadata,
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("from_number", PersonText, nullable=False),
    Column("to_number", PersonText, nullable=False),
    Column("customer_phone", PersonText),
    Column("duration_seconds", Integer),
    Column("callbacks", Integer, nullable=False),
    Column("legs", Integer, nullable=False),
    Column("first_received_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("final_at", Moment),
    Column("settle_at", Moment),
    Column("decided_at", Moment),
    Column("answered", SmallInteger),
    Column("put_off", SmallInteger),
    PrimaryKeyConstraint("account_sid", "call_sid"),
    Index("ix_calls_due", "settle_at", **_where("state = 'settling'")),
    Index("ix_calls_parked_at", "customer_phone", "first_received_at", **_where("state = 'parked'")),
    Index("ix_calls_waiting", "first_received_at", **_where("state = 'parked'")),
    Index("ix_calls_first_received_at", "first_received_at"),
    Index("ix_calls_open", "first_received_at", **_where("state = 'open' AND decided_at IS NULL")),
    Index("ix_calls_unfinished", "decided_at", **_where("state = 'open' AND decided_at IS NOT NULL")),
    Index("ix_calls_customer_phone", "customer_phone", "first_received_at"),
)

# The numbers whose calls wait for a customer, with how many, and when the first and the last came. Nobody writes these: triggers
# on `calls` do (migration 0028), whichever version writes there.
unknown_callers = Table(
    "unknown_callers",
    metadata,
    Column("phone", PersonText, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("oldest_at", Moment, nullable=False),
    Column("latest_at", Moment, nullable=False),
)
_of = unknown_callers.c
Index("ix_unknown_callers_calls", _of.calls.desc(), _of.latest_at.desc(), _of.phone)
Index("ix_unknown_callers_latest_at", _of.latest_at.desc(), _of.phone)

# The journal of decisions: append only. `reasons` is JSON, a list of [word, sentence], `who` one of them: why the customer is
# who it is. `rule` is the name of the rule that matched, `trace` how the rules were gone through (pipeline/rules/trace.py).
decisions = Table(
    "decisions",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("result", Text, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("rules_version", Text, nullable=False),
    Column("mapping_version", BigInteger, nullable=False),
    Column("who", Text),
    Column("rule", Text),
    Column("trace", Text),
    Column("customer_row", BigInteger),
    Index("ix_decisions_call", "call_sid", "account_sid"),
)

# Texts that decisions point at, by names that never mean another: each set of rules that was ever used, by its version, and
# what such a set asks, as a trace points at it (`Outline` of pipeline/rules/trace.py), with the numbers of files that it names.
rules = Table(
    "rules",
    metadata,
    Column("version", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("first_used_at", Moment, nullable=False),
)

# A row each time that other rules than those before began to hold. The numbers have no gaps: whoever notes one takes the next.
rule_uses = Table(
    "rule_uses",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=False),
    Column("version", Text, nullable=False),
    Column("began_at", Moment, nullable=False),
)

# The outbox: one row a call at the most, for ever; that is what the primary key is for.
conversions = Table(
    "conversions",
    metadata,
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("horizon_from", Moment, nullable=False),
    Column("due_at", Moment),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Moment),
    Column("attempts", Integer, nullable=False),
    Column("expired_leases", Integer, nullable=False),
    Column("maybe_sent", SmallInteger, nullable=False),
    Column("first_attempt_at", Moment),
    Column("delivered_at", Moment),
    PrimaryKeyConstraint("account_sid", "call_sid"),
    Index("ix_conversions_due", "due_at", **_where("state = 'pending'")),
    Index("ix_conversions_leases", "lease_until", **_where("state = 'sending'")),
    Index("ix_conversions_maybe_sent", "first_attempt_at", **_where("state = 'pending' AND maybe_sent = 1")),
    Index("ix_conversions_held", "created_at", **_where("state IN ('dead', 'ambiguous', 'quarantined')")),
    Index("ix_conversions_created_at", "created_at"),
    Index("ix_conversions_state", "state", "created_at"),
    Index("ix_conversions_delivered_at", "delivered_at", **_where("delivered_at IS NOT NULL")),
    Index("ix_conversions_order_id", "order_id"),
)

# The journal of attempts: append only.
attempts = Table(
    "attempts",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment, nullable=False),
    Column("result", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status_code", Integer),
    Column("answer", Text, nullable=False),
    Column("next_state", Text, nullable=False),
    Index("ix_attempts_call", "call_sid", "account_sid"),
)

# What a conversion was before it was decided anew: append only. `attempts` is how many were made with it, all in all.
replaced = Table(
    "replaced",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("replaced_at", Moment, nullable=False),
    Index("ix_replaced_call", "call_sid", "account_sid"),
)

breakers = Table(
    "breakers",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("opened", Integer, nullable=False),
    Column("open_until", Moment),
    Column("blocked_reason", Text),
    Column("blocked_changed_at", Moment),
)

# The brand's mapping: what holds now. `phone` is E.164, `attributes` JSON, `row_id` the row of `customer_rows` that says so
# (none for what stood here before there were any), `fresh_until` there only where a look-up said it.
customers = Table(
    "customers",
    metadata,
    Column("phone", PersonText, primary_key=True),
    Column("email", PersonText),
    Column("customer_id", PersonText),
    Column("changed_at", Moment, nullable=False),
    Column("attributes", PersonText),
    Column("row_id", BigInteger),
    Column("fresh_until", Moment),
    Index("ix_customers_email", "email", **_where("email IS NOT NULL")),
    Index("ix_customers_customer_id", "customer_id", **_where("customer_id IS NOT NULL")),
)

# Numbers that several customers have: nobody is credited, whatever `customers` says of them. `phone` is E.164, `fresh_until` as
# there.
shared_numbers = Table(
    "shared_numbers",
    metadata,
    Column("phone", PersonText, primary_key=True),
    Column("people", Integer, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("row_id", BigInteger),
    Column("fresh_until", Moment),
)

# Who the several customers of a number are, whoever of them is credited: some of them, in the order of their source.
shared_people = Table(
    "shared_people",
    metadata,
    Column("phone", PersonText, nullable=False),
    Column("place", Integer, nullable=False),
    Column("email", PersonText),
    Column("customer_id", PersonText),
    PrimaryKeyConstraint("phone", "place"),
    Index("ix_shared_people_email", "email", **_where("email IS NOT NULL")),
    Index("ix_shared_people_customer_id", "customer_id", **_where("customer_id IS NOT NULL")),
)

# What brought rows: an import, a call of the API, a look-up. Those of one source, name and `run` are one row here.
imports = Table(
    "imports",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("added", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("unchanged", Integer, nullable=False),
    Column("retired", Integer, nullable=False),
    Column("undone_at", Moment),
    Index("uq_imports_run", "source", "name", "run", unique=True),
)

# The mapping's history: what was said of a number, from when to when it held (`until_at` is NULL while it does), and which
# of `imports` brought and ended it. Numbered by ourselves (`counters`), so that `customers` can point here at once.
# Who has an email or an id now is found in `customers`; the indexes here are of rows that hold no longer, for such keys come
# in no order and are what an import takes longest with.
customer_rows = Table(
    "customer_rows",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=False),
    Column("phone", PersonText, nullable=False),
    Column("email", PersonText),
    Column("customer_id", PersonText),
    Column("attributes", PersonText),
    Column("people", Integer, nullable=False),
    Column("from_at", Moment, nullable=False),
    Column("until_at", Moment),
    Column("brought_by", BigInteger),
    Column("ended_by", BigInteger),
    Index("ix_customer_rows_phone", "phone", "from_at"),
    Index("ix_customer_rows_past_email", "email", **_where("email IS NOT NULL AND until_at IS NOT NULL")),
    Index("ix_customer_rows_past_id", "customer_id", **_where("customer_id IS NOT NULL AND until_at IS NOT NULL")),
    Index("ix_customer_rows_brought_by", "brought_by"),
    Index("ix_customer_rows_ended_by", "ended_by", **_where("ended_by IS NOT NULL")),
)

# Lists of customers that are fetched again and again: when next, and which version was taken last.
syncs = Table(
    "syncs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text),
    Column("due_at", Moment, nullable=False),
)

# Numbers that the brand's own systems are asked for (OFFHOOK_LOOKUPS), and those that they did not know: `due_at` is when one
# is asked for next. `wanted_at` is since when an undecided call waits for it, `reason` why the last attempt failed. What a
# claim of one worker wrote counts while `fence` is the same. The calls of an answer are released by the bookkeeper.
lookups = Table(
    "lookups",
    metadata,
    Column("phone", PersonText, primary_key=True),
    Column("state", Text, nullable=False),
    Column("wanted_at", Moment),
    Column("due_at", Moment, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("to_release", SmallInteger, nullable=False),
    Index("ix_lookups_due", "due_at", **_where("state <> 'known'")),
    Index("ix_lookups_wanted", "wanted_at", **_where("state = 'wanted'")),
    Index("ix_lookups_to_release", "to_release", **_where("to_release = 1")),
)

# Single numbers: mapping_version, the last row of the mapping's history, and the mark that /readyz writes to see whether the
# disk takes it.
counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# One row a worker that runs, and of those that vanished until somebody removes it. `seen_at` is its last sign of life.
workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("rules_version", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Index("ix_workers_seen_at", "seen_at"),
)

# What became of each call, and since when it is known: where it is counted in `tallies`. `outcome` is a verdict of
# pipeline/story.py, or `merged` for a leg of another call, which is not counted. `number` is ours, "" where it is not known.
# Where it is counted in `rule_tallies`: `rule` (NULL: none was asked), `rule_state` (NULL: nowhere) and `rule_reason`.
outcomes = Table(
    "outcomes",
    metadata,
    Column("account_sid", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("number", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rule", Text),
    Column("rule_state", Text),
    Column("rule_reason", Text),
    PrimaryKeyConstraint("account_sid", "call_sid"),
    Index("ix_outcomes_at", "at", "call_sid"),
    Index("ix_outcomes_number", "number", "at", "call_sid"),
    Index("ix_outcomes_outcome", "outcome", "at", "call_sid"),
    Index("ix_outcomes_reason", "reason", "at", "call_sid"),
)

# How many calls stand in each place: the sums of `outcomes` by the hour. Kept when the calls themselves are gone.
tallies = Table(
    "tallies",
    metadata,
    Column("hour", Moment, nullable=False),
    Column("number", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    PrimaryKeyConstraint("hour", "number", "outcome", "reason"),
)

# The same by UTC day. Nobody writes these: triggers on `tallies` do (migration 0017), whichever version writes there.
day_tallies = Table(
    "day_tallies",
    metadata,
    Column("day", Moment, nullable=False),
    Column("number", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "number", "outcome", "reason"),
)

# How many calls each rule decided so: the sums of `outcomes` by rule, of the one hour or of the 24 of a UTC day that `begins`.
# `rule` is the name that it had then, "" for the last one, and where none was `asked` (0). `state` is a word of `calls`.
rule_tallies = Table(
    "rule_tallies",
    metadata,
    Column("hours", SmallInteger, nullable=False, autoincrement=False),
    Column("begins", Moment, nullable=False),
    Column("rule", Text, nullable=False),
    Column("asked", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    PrimaryKeyConstraint("hours", "begins", "rule", "asked", "state", "reason"),
)

# Who may use the API. `scopes` are words with a blank between them; of the secret its hash alone is kept.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
    Index("uq_tokens_name", "name", unique=True, **_where("revoked_at IS NULL")),
)

# What was answered to writes of the API, by the keys of whoever sent them; it names no person. Free again at `free_at`.
answers = Table(
    "answers",
    metadata,
    Column("token_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("kept_until", Moment, nullable=False),
    Column("free_at", Moment, nullable=False),
    Column("status", Integer),
    Column("body", Text),
    PrimaryKeyConstraint("token_id", "key"),
    Index("ix_answers_free_at", "free_at"),
)

# Who may use the dashboard. `password_hash` is Argon2's; NULL for who comes by a link or single sign-on. `subject` is who they are
# to the provider `issuer`; NULL for who never came by one. `linked_at`: since when; NULL where that is not known.
users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", PersonText, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
    Column("zone", Text, nullable=False),
    Column("issuer", Text),
    Column("subject", Text),
    Column("linked_at", Moment),
    Index("uq_users_email", "email", unique=True),
    Index("uq_users_subject", "issuer", "subject", unique=True),
)

# Who is signed in; `id` is the hash of what the browser holds. A row that is taken away is a session that has ended. `came_by` is the
# issuer of single sign-on; "" or NULL for a password or a link.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("address", Text, nullable=False),
    Column("came_by", Text),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_created_at", "created_at"),
)

# Links of one use, by the hash of what they hold. Whoever follows one takes its row away.
invites = Table(
    "invites",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", PersonText),
    Column("role", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("until_at", Moment, nullable=False),
)

# How often something was tried within the window that began at `since`. `of_what` holds no person in clear.
tries = Table(
    "tries",
    metadata,
    Column("of_what", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("of_what", "since"),
    Index("ix_tries_since", "since"),
)

# Who did what, append only. `who` and `of_what` may be a user of the dashboard by their email; `of_what` else names a call, a
# token, a file, and never a number or an email of a caller in clear.
audit = Table(
    "audit",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("who", PersonText, nullable=False),
    Column("what", Text, nullable=False),
    Column("of_what", PersonText, nullable=False),
    Column("from_where", Text, nullable=False),
    Index("ix_audit_at", "at"),
    Index("ix_audit_of_what", "of_what", "seq"),
)

# Random keys that all processes share: `cookies` signs those of the dashboard.
keys = Table(
    "keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# Long work that people asked for (pipeline/jobs.py): `state` moves as JOB_MOVES says. `due_at` is when it may be taken up:
# since it was asked for, or when its lease is over; NULL once it is over. `arguments`, `checkpoint` and `result` are JSON.
jobs = Table(
    "jobs",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("arguments", PersonText, nullable=False),
    Column("asked_by", PersonText, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", Moment),
    Column("fence", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("of_how_many", BigInteger),
    Column("sentence", Text, nullable=False),
    Column("checkpoint", Text),
    Column("result", PersonText),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("cancel_asked_at", Moment),
    Index("ix_jobs_due_at", "due_at", **_where("due_at IS NOT NULL")),
    Index("ix_jobs_finished_at", "finished_at", **_where("finished_at IS NOT NULL")),
)

# What was uploaded for a job and what came of it, in pieces; they hold persons in clear, and go with their job. `job_id` is
# NULL until a job has it.
job_files = Table(
    "job_files",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("job_id", BigInteger),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("is_whole", SmallInteger, nullable=False),
    Index("ix_job_files_job_id", "job_id", **_where("job_id IS NOT NULL")),
    Index("ix_job_files_orphans", "made_at", **_where("job_id IS NULL")),
)
job_pieces = Table(
    "job_pieces",
    metadata,
    Column("file_id", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("file_id", "place"),
)
