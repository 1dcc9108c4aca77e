"""What the demonstration has to show: a month of calls that went through every step, and a link for its one user.

Only `flask up` calls it, where nothing is configured. The clock alone is made up: each round of calls is kept, folded, decided
and sent to the demonstration's own sandbox at the time that it stands for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from offhook.adapters.commands.audited import line
from offhook.adapters.commands.context import Offhook
from offhook.adapters.recordings.format import Record, parameters, with_parameters
from offhook.adapters.recordings.month import month
from offhook.adapters.recordings.replay import Tape, Target, signed_request, target
from offhook.adapters.rockerbox.sandbox import Sandbox
from offhook.adapters.twilio.keys import Account, Keyring, keyring_of
from offhook.adapters.twilio.receive import receive
from offhook.adapters.twilio.signature import Signer, by_auth_token
from offhook.pipeline.arrival import Arrived, OtherKind, Refused
from offhook.pipeline.callback import CallKey, RawCallback
from offhook.pipeline.delivery import Sending
from offhook.pipeline.ports.outbox import Attempt
from offhook.pipeline.steps import Judge, decide_batch, deliver, fold_batch, give_up_batch, leave_unfinished_batch
from offhook.pipeline.users import Invite, Role, new_secret

DAYS, CALLS_A_DAY, SEED = 30, 45, 7
DEMO_USER = "demo@offhook.example"
RULES = """\
action = "phone_call"
min_duration_seconds = 30

[[numbers]]
number = "+17655550100"
label = "Door and van"

[[numbers]]
number = "+17655550101"
label = "Web site"

[[numbers]]
number = "+13175550102"
label = "Radio spot"
"""
_ROUND = timedelta(hours=4)
_SETTLED = timedelta(minutes=5)
_OF_THE_END = ("Duration", "CallDuration")
_BATCH = 1000
_LEASE_SECONDS = 60.0
_LINK_SECONDS = 24 * 3600.0
# What the sandbox answers to the n-th attempt of the month, so that every page has something to see: it fails and is sent again,
# breaks off, and refuses.
_ANSWERS = {40: "503", 41: "503", 120: "reset", 210: "400", 330: "400", 331: "429 retry-after 30"}
_LOST = 150  # its conversion never gets an answer: until the day turns it is sent again, then held, since it may have arrived
_NEVER_ENDED_DAY = 25  # of one of its calls Twilio never reports the end
_LAST_ONES = 2  # are on their way
_LATER = "503 retry-after 7200"


class NotADemonstration(Exception):
    """What is configured is no demonstration, so nothing is made up in it and nobody gets in by its link."""


def fill(service: Offhook, sandbox: Sandbox, recorded: Path, now: datetime) -> int:
    """Let a month of calls happen that ends at `now`. Returns how many callbacks. Raises NotADemonstration, LedgerUnavailable."""
    check(service, sandbox)
    known = service.settings
    sign = by_auth_token(known.auth_tokens[0])
    to = target(known.public_urls[0])
    keyring = keyring_of(
        (Account(known.twilio_account_sid, known.auth_tokens, {}),), refuse_auth_tokens=known.twilio_refuse_auth_tokens
    )
    tape = Tape.of_files([recorded])
    records = (tape.read(number) for number in range(len(tape)))
    days = list(month(records, days=DAYS, calls_a_day=CALLS_A_DAY, ends_at=now, seed=SEED))
    days[_NEVER_ENDED_DAY] = _with_one_that_never_ends(days[_NEVER_ENDED_DAY])
    rounds = [one for day in days for one in _rounds(day)]
    turns, count = _Turns(service, sandbox), 0
    for number, (until, some) in enumerate(rounds, 1):
        raws = [raw for record in some for raw in _received(record, to, sign, keyring)]
        turns.happen(raws, min(until, now), is_last=number == len(rounds))
        count += len(raws)
    sandbox.play("")
    return count


def check(service: Offhook, sandbox: Sandbox) -> None:
    """Raises NotADemonstration where anything could reach, or be reached from, another machine, or was used before."""
    known = service.settings
    addresses = [*known.public_urls, known.rockerbox_url]
    if not all(map(_is_loopback, addresses)) or not known.rockerbox_url.startswith(f"{sandbox.url}/"):
        raise NotADemonstration("an address of it is not on this machine")
    if not known.is_sqlite or service.ledger.users.every():
        raise NotADemonstration("its database was used before")


def _is_loopback(url: str) -> bool:
    try:
        return ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return False


def link(service: Offhook, sandbox: Sandbox) -> str:
    """The address that lets the demonstration's user in, once. Raises NotADemonstration, LedgerUnavailable."""
    check(service, sandbox)
    secret, kept = new_secret()
    now = service.ledger.clock()
    invite = Invite(kept, DEMO_USER, Role.ADMIN, now, now + timedelta(seconds=_LINK_SECONDS))
    service.ledger.invites.add(invite, line(service, "flask up", "link made", DEMO_USER))
    return f"{service.settings.public_urls[0]}/invite/{secret}"


def _with_one_that_never_ends(records: Sequence[Record]) -> list[Record]:
    """The first call that has one callback alone is still going on by it."""
    known = [dict(parameters(record)) for record in records]
    reports = Counter(one["CallSid"] for one in known)
    alone = [place for place, one in enumerate(known) if reports[one["CallSid"]] == 1 and "ParentCallSid" not in one]
    changed = list(records)
    for place in alone[:1]:
        going_on = known[place] | {"CallStatus": "in-progress"}
        left = tuple((name, value) for name, value in going_on.items() if name not in _OF_THE_END)
        changed[place] = with_parameters(records[place], left)
    return changed


def _rounds(records: Sequence[Record]) -> Iterator[tuple[datetime, list[Record]]]:
    """A day's records a few hours at a time, with the end of each. The last round is a whole one: of it some are on their way."""
    left, rounds = list(records), []
    while left:
        last = left[-1].received_at
        some = [record for record in left if record.received_at > last - _ROUND]
        rounds.append((last + _SETTLED, some))
        left = left[: -len(some)]
    return reversed(rounds)


def _received(record: Record, to: Target, sign: Signer, keyring: Keyring) -> Sequence[RawCallback]:
    """Signed as Twilio does, verified and read as every callback is."""
    method, path, headers, body = signed_request(record, to, sign)
    named = {name.title(): value for name, value in headers}
    urls = (to.signed_url(path),)
    arrived = Arrived(method, path, urls, named.get("Content-Type", ""), named, body, record.received_at)
    admitted = receive(arrived, keyring)
    return () if isinstance(admitted, (Refused, OtherKind)) else admitted


class _Turns:
    """Round after round. Whose turn it is at the sandbox is counted over all of them."""

    def __init__(self, service: Offhook, sandbox: Sandbox) -> None:
        self._service, self._sandbox = service, sandbox
        self._judge: Judge = service.judge()
        self._sent = 0
        self._lost: CallKey | None = None

    def happen(self, raws: Sequence[RawCallback], now: datetime, *, is_last: bool) -> None:
        """These calls have come and are over at `now`. Of the last round some are still on their way."""
        self._service.ledger.append(raws)
        self._keep_books(now)
        self._deliver(now, _LAST_ONES if is_last else 0)

    def _keep_books(self, now: datetime) -> None:
        ledger, judge = self._service.ledger, self._judge
        while fold_batch(ledger, judge, _BATCH):
            pass
        while decide_batch(ledger, judge, now, _BATCH):
            pass
        give_up_batch(ledger, judge, now, self._service.settings.unknown_days * 86_400, _BATCH)
        leave_unfinished_batch(ledger, judge, now, self._service.settings.unfinished_hours * 3600, _BATCH)

    def _deliver(self, now: datetime, later: int) -> None:
        began = time.monotonic()

        def clock() -> datetime:
            return now + timedelta(seconds=time.monotonic() - began)

        ledger, policy = self._service.ledger, self._service.policy
        taken = ledger.claim(now, _BATCH, _LEASE_SECONDS, policy).taken
        tried = [self._try(one, clock, number >= len(taken) - later) for number, one in enumerate(taken)]
        ledger.finish(tried, clock())

    def _try(self, sending: Sending, clock: Callable[[], datetime], later: bool) -> Attempt:
        self._sent += 1
        if self._sent == _LOST:
            self._lost = sending.key
        usual = "reset" if sending.key == self._lost else _ANSWERS.get(self._sent, "")
        self._sandbox.play(_LATER if later else usual)
        return deliver(sending, self._service.destination, self._service.policy, clock)
