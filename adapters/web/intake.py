"""What becomes of a request to the one route: admitted and kept, or refused; counted, and one line in the log. Answers nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from werkzeug.exceptions import BadRequest, HTTPException

from offhook.adapters.web.tally import Tally
from offhook.pipeline.arrival import Admit, Arrived, OtherKind, Refused
from offhook.pipeline.callback import RawCallback
from offhook.pipeline.ports.inbox import Inbox
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.repeated import Repeated, kind_of

log = logging.getLogger("offhook.web")


class Intake:
    """For all threads of a process."""

    def __init__(self, admit: Admit, inbox: Inbox, tally: Tally, log_repeat_seconds: float) -> None:
        self._admit, self._inbox, self._tally = admit, inbox, tally
        self._not_stored = Repeated(log, "callback_not_stored", log_repeat_seconds)

    def __call__(self, arrived: Arrived) -> Refused | None:
        """Why it is refused; None where there is nothing to say but 204. Raises LedgerUnavailable."""
        admitted = self._admit(arrived)
        if isinstance(admitted, Refused):
            self._tally.refused(admitted.check, admitted.account, arrived.received_at, admitted.explain)
            return admitted
        if isinstance(admitted, OtherKind):
            self._tally.other(admitted.kind)
            log.info("callback_of_other_kind", extra={"kind": admitted.kind})
            return None
        self._store(admitted)
        return None

    def _store(self, admitted: Sequence[RawCallback]) -> None:
        try:
            self._inbox.append(admitted)
        except LedgerUnavailable as error:
            facts = {"call_sid": admitted[0].call_sid, "error": str(error)}
            self._not_stored.log(logging.ERROR, kind_of(error), facts)
            raise
        self._not_stored.works()
        self._tally.stored(admitted[0].source)
        log.info("callback_stored", extra={"call_sid": admitted[0].call_sid, "count": len(admitted)})


def read_body(read: Callable[[], bytes]) -> bytes:
    """All of it. Raises BadRequest where it breaks off or is framed wrongly, RequestEntityTooLarge over the limit."""
    try:
        return read()
    except HTTPException:
        raise
    except Exception as error:  # each WSGI server has its own
        log.warning("callback_broken_off", extra={"check": "broken_off", "error": type(error).__name__})
        raise BadRequest from None
