"""When rules held: one time of them, whatever page of the list it stands on."""

from __future__ import annotations

import pytest

from offhook.pipeline.rules import Rules
from offhook.pipeline.rules_held import held_once
from tests.fakes.callbacks import NOON
from tests.fakes.ledger import MemoryLedger

pytestmark = pytest.mark.unit


def test_a_time_is_found_by_its_number_and_else_the_newest_of_these_rules() -> None:
    ledger, old, new = MemoryLedger(), Rules(text="# old"), Rules(min_duration_seconds=7, text="# new")
    times = [NOON.replace(minute=minute) for minute in range(3)]
    for rules, at in zip((old, new, old), times, strict=True):
        ledger.keep_rules(rules, at)

    def found(rules: Rules, number: int | None, in_use: str | None = None) -> tuple[int, object, bool] | None:
        held = held_once(ledger.past, rules.version, number, in_use)
        return (held.used.number, held.until, held.is_now) if held else None

    assert found(old, 1) == (1, times[1], False)
    assert found(new, 2) == found(new, None) == (2, times[2], False)
    for number in (3, None, 2, 9, 0):  # none of these rules has the last three
        assert found(old, number, old.version) == (3, None, True)
    assert found(old, 1, old.version) == (1, times[1], False)
    assert found(Rules(min_duration_seconds=9), 1) is None
