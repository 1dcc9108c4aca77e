"""The dashboard's users, sessions, links, tries and audit in memory, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from offhook.pipeline.users import AuditFilter, AuditLine, Identity, Invite, Role, Session, User, in_one_line
from tests.fakes.kept import Kept

_KEY = "k" * 64


class MemoryUsers:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, user: User, line: AuditLine) -> bool:
        if self.with_email(user.email) is not None or (user.identity and self.with_identity(user.identity)):
            return False
        self._kept.users[user.id] = user
        write_line(self._kept, line)
        return True

    def every(self) -> Sequence[User]:
        return sorted(self._kept.users.values(), key=lambda user: user.email)

    def with_id(self, user_id: str) -> User | None:
        return self._kept.users.get(user_id)

    def with_email(self, email: str) -> User | None:
        return next((user for user in self.every() if user.email == email), None)

    def with_identity(self, identity: Identity) -> User | None:
        return next((user for user in self.every() if user.identity == identity), None)

    def link(self, user_id: str, identity: Identity, line: AuditLine) -> bool:
        known = self.with_identity(identity)
        return (known is None or known.id == user_id) and self._change(
            user_id, line, identity=identity, linked_at=line.at
        )

    def set_password(self, user_id: str, password_hash: str, line: AuditLine) -> bool:
        return self._change(user_id, line, ends_sessions=True, password_hash=password_hash)

    def set_role(self, user_id: str, role: Role, line: AuditLine) -> bool:
        return self._change(user_id, line, role=role)

    def set_zone(self, user_id: str, zone: str, line: AuditLine) -> bool:
        return self._change(user_id, line, zone=zone)

    def disable(self, user_id: str, at: datetime | None, line: AuditLine) -> bool:
        return self._change(user_id, line, ends_sessions=at is not None, disabled_at=at)

    def remove(self, user_id: str, line: AuditLine) -> bool:
        _shut_out(self._kept, user_id)
        if self._kept.users.pop(user_id, None) is None:
            return False
        write_line(self._kept, line)
        return True

    def _change(self, user_id: str, line: AuditLine, *, ends_sessions: bool = False, **values: Any) -> bool:
        known = self._kept.users.get(user_id)
        if known is None:
            return False
        self._kept.users[user_id] = replace(known, **values)
        if ends_sessions:
            _shut_out(self._kept, user_id)
        write_line(self._kept, line)
        return True


class MemorySessions:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, session: Session, over_before: datetime, line: AuditLine) -> None:
        over = [one.id for one in self._kept.sessions.values() if one.created_at < over_before]
        for one in over:
            del self._kept.sessions[one]
        self._kept.sessions[session.id] = session
        write_line(self._kept, line)

    def with_id(self, session_id: str) -> Session | None:
        return self._kept.sessions.get(session_id)

    def seen(self, session_id: str, at: datetime) -> None:
        known = self._kept.sessions.get(session_id)
        if known is not None and known.seen_at < at:
            self._kept.sessions[session_id] = replace(known, seen_at=at)

    def of_user(self, user_id: str) -> Sequence[Session]:
        theirs = [one for one in self._kept.sessions.values() if one.user_id == user_id]
        return sorted(theirs, key=lambda one: (one.created_at, one.id))

    def end(self, session_id: str, line: AuditLine) -> bool:
        if self._kept.sessions.pop(session_id, None) is None:
            return False
        write_line(self._kept, line)
        return True

    def end_all(self, user_id: str, line: AuditLine) -> int:
        ended = _end_all(self._kept, user_id)
        write_line(self._kept, line)
        return ended

    def key(self) -> str:
        return self._kept.keys.setdefault("cookies", _KEY)


class MemoryInvites:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, invite: Invite, line: AuditLine) -> None:
        kept, is_first = self._kept.invites.values(), invite.email is None
        over = [one.id for one in kept if one.until_at <= invite.made_at or (is_first and one.email is None)]
        for one in over:
            del self._kept.invites[one]
        self._kept.invites[invite.id] = invite
        write_line(self._kept, line)

    def open(self, invite_id: str, now: datetime) -> Invite | None:
        known = self._kept.invites.get(invite_id)
        return known if known is not None and known.until_at > now else None

    def take(self, invite_id: str, now: datetime) -> bool:
        return self.open(invite_id, now) is not None and self._kept.invites.pop(invite_id, None) is not None

    def any_open(self, now: datetime) -> bool:
        return any(one.until_at > now for one in self._kept.invites.values())


class MemoryTries:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def count(self, of_what: str, window: datetime, over_before: datetime) -> int:
        for over in [key for key in self._kept.tries if key[1] < over_before]:
            del self._kept.tries[over]
        self._kept.tries[of_what, window] += 1
        return self._kept.tries[of_what, window]

    def forget(self, of_what: str, window: datetime) -> None:
        self._kept.tries.pop((of_what, window), None)


class MemoryAudit:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def write(self, line: AuditLine) -> None:
        write_line(self._kept, line)

    def forget(self, before: datetime, line: AuditLine | None) -> int:
        old = [one for one in self._kept.audit if one.at < before]
        self._kept.audit[:] = [one for one in self._kept.audit if one.at >= before]
        if old and line is not None:
            write_line(self._kept, line)
        return len(old)

    def lines(self, asked: AuditFilter, before: int | None, limit: int) -> Sequence[AuditLine]:
        found = [one for one in reversed(self._kept.audit) if _is_asked(one, asked)]
        return [one for one in found if before is None or one.seq < before][:limit]


def _is_asked(line: AuditLine, asked: AuditFilter) -> bool:
    words = ((asked.who, line.who), (asked.what, line.what), (asked.of_what, line.of_what))
    is_in_time = (asked.since is None or line.at >= asked.since) and (asked.until is None or line.at < asked.until)
    return is_in_time and all(not wanted or wanted == is_ for wanted, is_ in words)


def write_line(kept: Kept, line: AuditLine) -> None:
    """The audit's line."""
    words: dict[str, Any] = {
        name: in_one_line(getattr(line, name)) for name in ("who", "what", "of_what", "from_where")
    }
    latest = max((one.seq for one in kept.audit), default=0)
    kept.audit.append(replace(line, seq=latest + 1, **words))


def _shut_out(kept: Kept, user_id: str) -> None:
    someone = kept.users.get(user_id)
    for one in [one for one in kept.invites.values() if someone and one.email == someone.email]:
        del kept.invites[one.id]
    _end_all(kept, user_id)


def _end_all(kept: Kept, user_id: str) -> int:
    theirs = [one.id for one in kept.sessions.values() if one.user_id == user_id]
    for one in theirs:
        del kept.sessions[one]
    return len(theirs)
