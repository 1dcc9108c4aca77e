"""How much an import writes at once, and how it stands back: callbacks come first, and where none come nothing is waited for.

Emails and ids come in no order, so that each row changes pages of its own in their indexes: a few rows at once write ten
times as much as many do. But on SQLite whoever else writes waits for one transaction's end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from offhook.adapters.ledger.schema import micros

_LONGEST_PAUSE_SECONDS = 0.05
_LONGEST_TURN_SECONDS = 0.5
_CALM_AFTER_SECONDS = 10.0
_MOST_ROWS = 20_000
_LAST_CALLBACK = text("SELECT max(received_at) FROM callbacks")


class Pace:
    """How many `rows` one transaction writes: `least` while callbacks come, more and more while none do.

    So whoever comes first after a calm waits for one turn, about half a second at most.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self.rows = least

    def pause(self, rows: int, seconds: float, *, is_calm: bool) -> float:
        """How long nothing is to be written, after so many rows took so long: while callbacks come, as long as that."""
        if not is_calm:
            self.rows = self._least
            return min(_LONGEST_PAUSE_SECONDS, seconds)
        if seconds > _LONGEST_TURN_SECONDS:
            self.rows = max(self._least, rows // 2)
        elif rows >= self.rows and seconds < _LONGEST_TURN_SECONDS / 3:
            self.rows = max(self._least, min(2 * rows, _MOST_ROWS))
        return 0.0


def is_calm(connection: Connection, now: datetime) -> bool:
    """True when no callback has come for a while."""
    last = connection.execute(_LAST_CALLBACK).scalar_one()
    return last is None or last < micros(now - timedelta(seconds=_CALM_AFTER_SECONDS))
