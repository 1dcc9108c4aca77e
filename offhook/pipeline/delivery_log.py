"""The log of deliveries: one line for each move, whoever made it. Changes nothing.

What needs a person is an error, which is what alerts listen to: once for each conversion, and once for a destination that
takes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from offhook.pipeline.delivery import Result, State, Turn
from offhook.pipeline.ports.outbox import Attempt, Finished
from offhook.pipeline.reasons import remedy

log = logging.getLogger("offhook.worker")


def log_moved(moved: Iterable[Attempt]) -> None:
    """One line for each move of a conversion."""
    for one in moved:
        fine = one.next.state in (State.DELIVERED, State.PENDING)
        _log_move(logging.INFO if fine else logging.ERROR, f"conversion_{one.next.state}", one, one.next.reason)


def log_finished(finished: Finished) -> None:
    """Everything that came of some results."""
    log_moved(finished.moved)
    for one in finished.late:
        _log_move(logging.WARNING, "result_came_late", one, one.outcome.reason)
    if finished.turn is not None:
        _log_turn(*finished.turn)


def _log_move(level: int, event: str, one: Attempt, reason: str) -> None:
    log.log(
        level,
        event,
        extra={
            "call_sid": one.sending.key.call_sid,
            "attempt": one.sending.attempts,
            "result": one.outcome.result.value,
            "reason": reason,
            "status_code": one.outcome.status_code,
            "due_at": one.next.due_at.isoformat() if one.next.due_at else None,
        },
    )


def _log_turn(turn: Turn, reason: str) -> None:
    match turn:
        case Turn.BEGAN:
            log.error("destination_refuses", extra={"reason": reason, "remedy": remedy(reason, Result.BLOCKED)})
        case Turn.AGAIN:
            log.warning("destination_refuses_again", extra={"reason": reason})
        case Turn.OVER:
            log.info("destination_accepts_again", extra={"reason": reason})
