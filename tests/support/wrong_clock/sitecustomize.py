"""Makes the wall clock of a Python process wrong by CLOCK_AHEAD_SECONDS. Python imports it by itself from PYTHONPATH.

libfaketime would do it for any program, but breaks `time.sleep` in Python (EINVAL).
"""

import datetime
import os
import time
from typing import Self

_AHEAD_SECONDS = float(os.environ.get("CLOCK_AHEAD_SECONDS", "0"))
_time = time.time


class _WrongDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(time.time(), tz)


time.time = lambda: _time() + _AHEAD_SECONDS
time.time_ns = lambda: int(time.time() * 1_000_000_000)
datetime.datetime = _WrongDatetime  # type: ignore[misc]
