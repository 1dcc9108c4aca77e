"""Each recording of the library comes to what was looked at and found right: `golden/test_library/`, on both databases.

Changed on purpose? `pytest tests/test_library.py --offhook-update-golden`, and review the difference.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from offhook.pytest_offhook import LIBRARY, Pipeline

RULES = """
min_duration_seconds = 30
directions = ["inbound", "outbound-api"]
extra = { seconds = "{duration_seconds}", legs = "{legs}", label = "{label}", city = "{from_city}", by = "{answered_by}" }

[[numbers]]
number = "+1 765-555-0100"
label = "TV"
action = "tv_call"
revenue = 27.50
"""


@pytest.mark.parametrize("name", sorted(path.stem for path in LIBRARY.glob("*.jsonl")))
def test_a_recording_comes_to_what_was_agreed(
    name: str, offhook_pipeline: Pipeline, offhook_golden: Callable[..., None]
) -> None:
    offhook_pipeline.rules(RULES)
    offhook_pipeline.customers("customers.csv")
    offhook_pipeline.play(name)
    offhook_golden(offhook_pipeline.run(), name)
