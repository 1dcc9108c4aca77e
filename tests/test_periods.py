"""How commands are given a time: what is written, and what is refused with a word that says how to write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from offhook.adapters.commands.periods import ago, length
from offhook.pipeline.rules.kinds import seconds_in, span

pytestmark = pytest.mark.unit
ANY = click.Context(click.Command("any"))
SINCE = click.Option(["--since"])


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("10m", 600), ("4 h", 14_400), ("30d", 2_592_000)])
def test_a_length_of_time_is_read_as_the_rules_write_it(written: str, seconds: int) -> None:
    assert length(written) == seconds == seconds_in(span(seconds))
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    found = ago(ANY, SINCE, written)
    assert found is not None and before <= found <= datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.mark.parametrize("written", ["", "soon", "1.5h", "-1d", "1w", "٣d", "999999d"])
def test_what_is_no_length_of_time_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(click.BadParameter, match="90m or 2d"):
        ago(ANY, SINCE, written)
