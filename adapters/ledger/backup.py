"""A copy of the ledger while it runs, and what has to be doubted when such a copy takes the ledger's place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select, text

from offhook.adapters.ledger.engine import Database
from offhook.adapters.ledger.refused import LedgerRefused
from offhook.adapters.ledger.schema import calls, conversions, micros
from offhook.adapters.ledger.sqlite import CopyFailed
from offhook.adapters.private_file import placed_whole
from offhook.pipeline.call import CallState
from offhook.pipeline.delivery import MOVING, State

_COPY_SECONDS = 3600.0  # what hangs for longer is stuck
# Those that are not certainly delivered may have been, between the backup and now, at any time since their call was final.
# So they are taken for such as left then, and what is to be done with those is the policy's (pipeline/delivery.py).
_DOUBT = text(
    "UPDATE conversions SET maybe_sent = 1, first_attempt_at = "
    "coalesce((SELECT c.final_at FROM calls AS c WHERE c.account_sid = conversions.account_sid "
    f"AND c.call_sid = conversions.call_sid), created_at) WHERE state <> '{State.DELIVERED}'"
)
_SETTLE = text(f"UPDATE calls SET settle_at = :now WHERE state = '{CallState.SETTLING}' AND settle_at > :now")


@dataclass(frozen=True, slots=True)
class Doubted:
    """Conversions that may have been sent since the backup: `waiting` to be sent, and of these `held` for a person.

    `parked` calls have no conversion yet, and may have had one.
    """

    waiting: int
    held: int
    parked: int


class Backups:
    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, file: Path, *, replace: bool) -> int:
        """SQLite: the ledger as it is now in a file of its owner's alone, whole and looked through, or none. Its size in bytes.

        Raises LedgerRefused with what is in the way, and LedgerUnavailable.
        """
        try:
            with placed_whole(file, replace=replace) as beside:
                self._database.copy_into(beside, _COPY_SECONDS)
                return beside.stat().st_size
        except FileExistsError:
            raise LedgerRefused(
                f"{file} is there already, and was left as it is: add --overwrite to replace it."
            ) from None
        except CopyFailed as error:
            raise LedgerRefused(f"The ledger could not be copied, and {file} was not written: {error}") from error
        except OSError as error:
            raise LedgerRefused(f"{file} cannot be written: {error.strerror or error}") from error

    def settle_now(self, now: datetime) -> None:
        """Calls that wait for child legs wait no longer: those will not come any more."""
        with self._database.write() as connection:
            connection.execute(_SETTLE, {"now": micros(now)})

    def doubt(self, since: datetime | None) -> Doubted:
        """Take everything that was not delivered for something that may have been. A second time changes nothing.

        `since` is what may leave again although it may have arrived (pipeline/delivery.py, `resend_since`).
        """
        with self._database.write(seconds=_COPY_SECONDS) as connection:
            connection.execute(_DOUBT)
            rests = conversions.c.state.in_([state.value for state in MOVING])
            late = conversions.c.first_attempt_at < since if since else text("1 = 1")
            count = select(func.count()).select_from(conversions).where(rests)
            parked = select(func.count()).select_from(calls).where(calls.c.state == CallState.PARKED.value)
            return Doubted(*(connection.execute(one).scalar_one() for one in (count, count.where(late), parked)))
