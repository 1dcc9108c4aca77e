"""Conversions that rest, sent again because a person asked: the step behind `flask conversions retry` and the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from offhook.pipeline.callback import CallKey
from offhook.pipeline.ports.outbox import Outbox
from offhook.pipeline.retrying import Lacks, uncounted
from offhook.pipeline.story import ConversionLine


@dataclass(frozen=True, slots=True)
class SentAgain:
    """How many were moved, and those that stay as they are with the field that they lack: Rockerbox would count nothing."""

    moved: int = 0
    lacking: Mapping[CallKey, str] = field(default_factory=dict)


def send_again(
    outbox: Outbox,
    rows: Sequence[ConversionLine],
    lacks: Lacks,
    now: datetime,
    *,
    asked_at: datetime | None = None,
) -> SentAgain:
    """The same bytes again, of those that Rockerbox can count. What was sent again since `asked_at` stays as it is, so that
    the same may be asked twice. Raises LedgerUnavailable.
    """
    held = uncounted(rows, lacks)
    keys = [row.key for row in rows if row.key not in held]
    return SentAgain(outbox.retry(keys, now, asked_at=asked_at) if keys else 0, held)
