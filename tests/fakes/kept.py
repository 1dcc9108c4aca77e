"""What a ledger keeps, as plain Python values. The parts of the fake share one of these, as tables are shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from datetime import datetime

from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Blockade, Breaker, Sending, State
from offhook.pipeline.jobs import Job, JobFile
from offhook.pipeline.ports.answered import Answer
from offhook.pipeline.ports.books import Folded, Link, Stored
from offhook.pipeline.ports.history import HistoryLine, ImportLine
from offhook.pipeline.ports.look_ups import LookUpState
from offhook.pipeline.ports.outbox import Attempt
from offhook.pipeline.ports.past import RulesUsed
from offhook.pipeline.ports.signs import Seen
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.refusals import Run
from offhook.pipeline.rules.held import Held
from offhook.pipeline.rules.kinds import NumberList
from offhook.pipeline.story import DecisionLine, ReplacedLine
from offhook.pipeline.tokens import Token
from offhook.pipeline.users import AuditLine, Invite, Session, User


@dataclass(slots=True)
class KeptCall:
    folded: Folded
    state: str
    customer_phone: str | None
    decided_at: datetime | None = None
    was_put_off: bool = False


@dataclass(slots=True)
class KeptConversion:
    key: CallKey
    action: str
    order_id: str
    payload: bytes
    created_at: datetime
    horizon_from: datetime
    due_at: datetime | None
    state: State = State.PENDING
    reason: str = "new"
    fence: int = 0
    lease_until: datetime | None = None
    attempts: int = 0
    expired_leases: int = 0
    maybe_sent: bool = False
    first_attempt_at: datetime | None = None
    delivered_at: datetime | None = None

    def sending(self) -> Sending:
        """As it is claimed."""
        assert self.first_attempt_at is not None
        columns = (self.fence, self.attempts, self.expired_leases, self.horizon_from, self.first_attempt_at)
        return Sending(self.key, *columns, self.maybe_sent, self.payload)


@dataclass(slots=True)
class KeptAttempt:
    attempt: Attempt
    came_late: bool


@dataclass(slots=True)
class KeptLookUp:
    state: LookUpState
    wanted_at: datetime | None
    due_at: datetime
    fence: int = 0
    attempts: int = 0
    source: str = ""
    reason: str = ""
    to_release: bool = False


@dataclass(slots=True)
class KeptAnswer:
    """`free_at` is when its key is free again; until it is answered that comes sooner than `kept_until`."""

    fingerprint: str
    kept_until: datetime
    free_at: datetime
    answer: Answer | None = None


@dataclass(slots=True)
class KeptJob:
    """`due_at` is None once it is over; `checkpoint` is JSON."""

    job: Job
    due_at: datetime | None
    fence: int = 0
    checkpoint: str | None = None


@dataclass(slots=True)
class Kept:
    """`callbacks` by their numbers, which count from 1; `folded` are the numbers of those that a call has taken in."""

    callbacks: dict[int, RawCallback] = field(default_factory=dict)
    folded: set[int] = field(default_factory=set)
    links: dict[CallKey, Link] = field(default_factory=dict)
    calls: dict[CallKey, KeptCall] = field(default_factory=dict)
    decisions: list[tuple[CallKey, DecisionLine]] = field(default_factory=list)
    conversions: dict[CallKey, KeptConversion] = field(default_factory=dict)
    attempts: list[KeptAttempt] = field(default_factory=list)
    replaced: list[tuple[CallKey, ReplacedLine]] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    rule_uses: list[RulesUsed] = field(default_factory=list)
    lists: dict[str, tuple[NumberList, ...]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    history: list[HistoryLine] = field(default_factory=list)
    imports: dict[tuple[str, str, str], ImportLine] = field(default_factory=dict)
    syncs: dict[str, tuple[str | None, datetime]] = field(default_factory=dict)
    mapping_version: int = 0
    released_changes: int = 0
    breaker: Breaker = field(default_factory=Breaker)
    blockade: Blockade = field(default_factory=Blockade)
    intake_counts: Counter[str] = field(default_factory=Counter)
    runs: dict[str, Run] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    invites: dict[str, Invite] = field(default_factory=dict)
    tries: Counter[tuple[str, datetime]] = field(default_factory=Counter)
    audit: list[AuditLine] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    answered: dict[tuple[str, str], KeptAnswer] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    look_ups: dict[str, KeptLookUp] = field(default_factory=dict)
    jobs: dict[int, KeptJob] = field(default_factory=dict)
    job_files: dict[int, JobFile] = field(default_factory=dict)
    job_pieces: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def stored(self) -> list[Stored]:
        """Every callback, in the order of arrival."""
        return [Stored(seq, raw) for seq, raw in self.callbacks.items()]


class Unreachable(Kept):
    """Of which nothing can be read or changed now."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        if name in _NAMES:
            raise LedgerUnavailable("nothing is there", "unreachable")
        return super().__getattribute__(name)


_NAMES = frozenset(one.name for one in fields(Kept))
