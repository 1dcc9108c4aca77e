"""docs/states.md, made from the tables: `python -m offhook.pipeline.diagram > docs/states.md`."""

from __future__ import annotations

from offhook.pipeline.call import CALL_MOVES
from offhook.pipeline.delivery import CONVERSION_MOVES
from offhook.pipeline.jobs import JOB_MOVES


def states() -> str:
    """The page."""
    calls, conversions, jobs = (moves.as_mermaid() for moves in (CALL_MOVES, CONVERSION_MOVES, JOB_MOVES))
    return f"""# States

Made from the tables in `offhook/pipeline/call.py`, `offhook/pipeline/delivery.py` and `offhook/pipeline/jobs.py`, which every
move obeys. What is not drawn here cannot happen: it is refused, and nothing changes.

## A call

A callback that comes after a decision is folded into its call (length, end, legs), whose state stays: `fold_late`.
An open call that waited for `OFFHOOK_UNFINISHED_HOURS` is called unfinished, and goes on like any other should its end come after all.

```mermaid
{calls}
```

## A conversion

From `sending` the results of an attempt lead on: see `Result` in `offhook/pipeline/delivery.py`.

```mermaid
{conversions}
```

## A job

What people ask for and a worker does: an import, an export, a backtest, many conversions sent again. One whose worker
vanished is taken up again, `OFFHOOK_JOB_ATTEMPTS` times at the most.

```mermaid
{jobs}
```
"""


if __name__ == "__main__":
    print(states(), end="")
