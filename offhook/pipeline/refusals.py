"""Requests that were refused, counted: what the sums are called, and when a run of them is over. Pure values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Run:
    """So many requests refused one after the other, from `since` to `last` (UTC), and none of the account accepted.

    `account` is one whose keys we have; "" stands for all others together, whatever the requests say.
    """

    account: str
    count: int
    since: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class IntakeSums:
    """Since the ledger was made: how often each thing happened, by its name, and the runs of refusals that go on."""

    counts: Mapping[str, int]
    runs: Sequence[Run]


def refused_name(check: str, account: str) -> str:
    return f"refused/{check}/{'known' if account else 'unknown'}"


def other_kind_name(kind: str) -> str:
    return f"other/{kind}"


def wrong_path_name(status: int) -> str:
    return f"wrong_path/{status}"


def joined(one: Run | None, other: Run) -> Run:
    """Two parts of an account's run, whichever came first, as one."""
    if one is None:
        return other
    since, last = min(one.since, other.since), max(one.last, other.last)
    return Run(one.account, one.count + other.count, since, last)


def unless_over(run: Run, accepted: Mapping[str, datetime]) -> Run | None:
    """The run, unless a callback was accepted since it began. `accepted` is the latest of each account."""
    latest = max(accepted.values(), default=None) if not run.account else accepted.get(run.account)
    return None if latest is not None and latest >= run.since else run
