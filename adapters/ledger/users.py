"""The dashboard's users, their sessions, links of one use, counts of tries, and the audit. Holds no secret but the cookies' key."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.people.audited import is_about
from offhook.adapters.ledger.schema import audit, invites, keys, micros, sessions, tries, users
from offhook.pipeline.users import AuditFilter, AuditLine, Identity, Invite, Role, Session, User, in_one_line

_MOST_FORGOTTEN = 100  # old rows that go in one transaction, as each new one takes some away, so that they never gather
_COOKIES = "cookies"
_FORGET_SESSIONS = text(
    "DELETE FROM sessions WHERE id IN "
    f"(SELECT id FROM sessions WHERE created_at < :before ORDER BY created_at LIMIT {_MOST_FORGOTTEN})"
)
_FORGET_TRIES = text(
    "DELETE FROM tries WHERE (of_what, since) IN "
    f"(SELECT of_what, since FROM tries WHERE since < :before ORDER BY since LIMIT {_MOST_FORGOTTEN})"
)
_COUNT = text(
    "INSERT INTO tries (of_what, since, count) VALUES (:of_what, :since, 1) "
    "ON CONFLICT (of_what, since) DO UPDATE SET count = tries.count + 1 RETURNING count"
)
_KEY = text("INSERT INTO keys (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")


def write_line(connection: Connection, line: AuditLine) -> None:
    """The audit's line, in the transaction of what it records."""
    words = {name: in_one_line(getattr(line, name)) for name in ("who", "what", "of_what", "from_where")}
    connection.execute(insert(audit).values({"at": line.at, **words}))


class UsersTable:
    """`Users` of pipeline/ports/users.py. There are few: one is found among all, so that no row is found by an email."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, user: User, line: AuditLine) -> bool:
        row = {
            "id": user.id,
            "email": user.email,
            "role": user.role.value,
            "password_hash": user.password_hash,
            "created_at": user.created_at,
            "disabled_at": user.disabled_at,
            "zone": user.zone,
            **_of_identity(user.identity, user.linked_at),
        }
        with self._database.write() as connection:
            try:
                with connection.begin_nested():
                    connection.execute(insert(users).values(row))
            except IntegrityError:
                return False
            write_line(connection, line)
        return True

    def every(self) -> Sequence[User]:
        with self._database.read() as connection:
            rows = connection.execute(select(users)).all()
        return sorted(map(_user, rows), key=lambda user: user.email)

    def with_id(self, user_id: str) -> User | None:
        with self._database.read() as connection:
            row = connection.execute(select(users).where(users.c.id == user_id)).first()
        return None if row is None else _user(row)

    def with_email(self, email: str) -> User | None:
        return next((user for user in self.every() if user.email == email), None)

    def with_identity(self, identity: Identity) -> User | None:
        asked = select(users).where(users.c.issuer == identity.issuer, users.c.subject == identity.subject)
        with self._database.read() as connection:
            row = connection.execute(asked).first()
        return None if row is None else _user(row)

    def link(self, user_id: str, identity: Identity, line: AuditLine) -> bool:
        changed = update(users).where(users.c.id == user_id).values(**_of_identity(identity, line.at))
        with self._database.write() as connection:
            try:
                with connection.begin_nested():
                    is_there = connection.execute(changed).rowcount > 0
            except IntegrityError:
                return False
            if is_there:
                write_line(connection, line)
        return is_there

    def set_password(self, user_id: str, password_hash: str, line: AuditLine) -> bool:
        return self._change(user_id, {"password_hash": password_hash}, line, ends_sessions=True)

    def set_role(self, user_id: str, role: Role, line: AuditLine) -> bool:
        return self._change(user_id, {"role": role.value}, line)

    def set_zone(self, user_id: str, zone: str, line: AuditLine) -> bool:
        return self._change(user_id, {"zone": zone}, line)

    def disable(self, user_id: str, at: datetime | None, line: AuditLine) -> bool:
        return self._change(user_id, {"disabled_at": at}, line, ends_sessions=at is not None)

    def remove(self, user_id: str, line: AuditLine) -> bool:
        with self._database.write() as connection:
            _shut_out(connection, user_id)
            if not connection.execute(delete(users).where(users.c.id == user_id)).rowcount:
                return False
            write_line(connection, line)
        return True

    def _change(self, user_id: str, values: dict[str, Any], line: AuditLine, *, ends_sessions: bool = False) -> bool:
        with self._database.write() as connection:
            if not connection.execute(update(users).where(users.c.id == user_id).values(**values)).rowcount:
                return False
            if ends_sessions:
                _shut_out(connection, user_id)
            write_line(connection, line)
        return True


class SessionsTable:
    """`Sessions` of pipeline/ports/sessions.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, session: Session, over_before: datetime, line: AuditLine) -> None:
        row = {
            "id": session.id,
            "user_id": session.user_id,
            "created_at": session.created_at,
            "seen_at": session.seen_at,
            "address": session.address,
            "came_by": session.came_by,
        }
        with self._database.write() as connection:
            connection.execute(_FORGET_SESSIONS, {"before": micros(over_before)})
            connection.execute(insert(sessions).values(row))
            write_line(connection, line)

    def with_id(self, session_id: str) -> Session | None:
        with self._database.read() as connection:
            row = connection.execute(select(sessions).where(sessions.c.id == session_id)).first()
        return None if row is None else _session(row)

    def seen(self, session_id: str, at: datetime) -> None:
        earlier = update(sessions).where(sessions.c.id == session_id, sessions.c.seen_at < at).values(seen_at=at)
        with self._database.write() as connection:
            connection.execute(earlier)

    def of_user(self, user_id: str) -> Sequence[Session]:
        asked = select(sessions).where(sessions.c.user_id == user_id).order_by(sessions.c.created_at, sessions.c.id)
        with self._database.read() as connection:
            return [_session(row) for row in connection.execute(asked)]

    def end(self, session_id: str, line: AuditLine) -> bool:
        with self._database.write() as connection:
            if not connection.execute(delete(sessions).where(sessions.c.id == session_id)).rowcount:
                return False
            write_line(connection, line)
        return True

    def end_all(self, user_id: str, line: AuditLine) -> int:
        with self._database.write() as connection:
            ended = _end_all(connection, user_id)
            write_line(connection, line)
        return ended

    def key(self) -> str:
        asked = select(keys.c.value).where(keys.c.name == _COOKIES)
        with self._database.read() as connection:
            known = connection.execute(asked).scalar()
        if known is not None:
            return str(known)
        with self._database.write() as connection:
            connection.execute(_KEY, {"name": _COOKIES, "value": secrets.token_hex(32)})
            return str(connection.execute(asked).scalar_one())


class InvitesTable:
    """`Invites` of pipeline/ports/invites.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, invite: Invite, line: AuditLine) -> None:
        row = {
            "id": invite.id,
            "email": invite.email,
            "role": invite.role.value,
            "made_at": invite.made_at,
            "until_at": invite.until_at,
        }
        with self._database.write() as connection:
            connection.execute(delete(invites).where(invites.c.until_at <= invite.made_at))
            if invite.email is None:
                _take_back(connection, None)
            connection.execute(insert(invites).values(row))
            write_line(connection, line)

    def open(self, invite_id: str, now: datetime) -> Invite | None:
        asked = select(invites).where(invites.c.id == invite_id, invites.c.until_at > now)
        with self._database.read() as connection:
            row = connection.execute(asked).first()
        return None if row is None else Invite(row.id, row.email, Role(row.role), row.made_at, row.until_at)

    def take(self, invite_id: str, now: datetime) -> bool:
        ours = delete(invites).where(invites.c.id == invite_id, invites.c.until_at > now)
        with self._database.write() as connection:
            return connection.execute(ours).rowcount > 0

    def any_open(self, now: datetime) -> bool:
        with self._database.read() as connection:
            return connection.execute(select(invites.c.id).where(invites.c.until_at > now).limit(1)).first() is not None


class TriesTable:
    """`Tries` of pipeline/ports/tries.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, of_what: str, window: datetime, over_before: datetime) -> int:
        with self._database.write() as connection:
            connection.execute(_FORGET_TRIES, {"before": micros(over_before)})
            return int(connection.execute(_COUNT, {"of_what": of_what, "since": micros(window)}).scalar_one())

    def forget(self, of_what: str, window: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(delete(tries).where(tries.c.of_what == of_what, tries.c.since == window))


class AuditTable:
    """`Audit` of pipeline/ports/audit.py."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, line: AuditLine) -> None:
        with self._database.write() as connection:
            write_line(connection, line)

    def forget(self, before: datetime, line: AuditLine | None) -> int:
        oldest = select(audit.c.seq).where(audit.c.at < before).order_by(audit.c.at).limit(_MOST_FORGOTTEN)
        with self._database.write() as connection:
            gone = connection.execute(delete(audit).where(audit.c.seq.in_(oldest))).rowcount
            if gone and line is not None:
                write_line(connection, line)
        return gone

    def lines(self, asked: AuditFilter, before: int | None, limit: int) -> Sequence[AuditLine]:
        found = select(audit).where(*is_about(asked)).order_by(audit.c.seq.desc()).limit(limit)
        if asked.what:
            found = found.where(audit.c.what == asked.what)
        if before is not None:
            found = found.where(audit.c.seq < before)
        if asked.since is not None:
            found = found.where(audit.c.at >= asked.since)
        if asked.until is not None:
            found = found.where(audit.c.at < asked.until)
        with self._database.read(patient=True) as connection:
            rows = connection.execute(found).all()
        return [AuditLine(row.at, row.who, row.what, row.of_what, row.from_where, row.seq) for row in rows]


def _shut_out(connection: Connection, user_id: str) -> None:
    """No session and no link lets anybody in as this user."""
    someone = connection.execute(select(users).where(users.c.id == user_id)).first()
    if someone is not None:
        _take_back(connection, someone.email)
    _end_all(connection, user_id)


def _take_back(connection: Connection, email: str | None) -> None:
    """The links for this email, or for the first user. There are few links: found among all, as users are."""
    theirs = [row.id for row in connection.execute(select(invites)) if row.email == email]
    connection.execute(delete(invites).where(invites.c.id.in_(theirs)))


def _end_all(connection: Connection, user_id: str) -> int:
    return connection.execute(delete(sessions).where(sessions.c.user_id == user_id)).rowcount


def _user(row: Row[Any]) -> User:
    identity = None if row.subject is None else Identity(row.issuer, row.subject)
    known = (row.password_hash, row.created_at, row.disabled_at, row.zone)
    return User(row.id, row.email, Role(row.role), *known, identity, row.linked_at)


def _of_identity(identity: Identity | None, linked_at: datetime | None) -> dict[str, Any]:
    return {"issuer": identity and identity.issuer, "subject": identity and identity.subject, "linked_at": linked_at}


def _session(row: Row[Any]) -> Session:
    return Session(row.id, row.user_id, row.created_at, row.seen_at, row.address, row.came_by or "")
