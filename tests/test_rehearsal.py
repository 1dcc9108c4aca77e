"""The whole pipeline in one thread and in no time: what the plugin's `offhook_pipeline` does, on both databases."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.adapters.recordings.format import Record
from offhook.adapters.rules_file.problems import RulesError
from offhook.pipeline.customer import Customer
from offhook.pipeline.steps import decide_batch, fold_batch
from offhook.pytest_offhook import Pipeline
from offhook.settings import SettingsError, given

CALLER = Customer("+17655550142", "ann@example.com", "C-1")
RULES = """
action = "tv_call"
min_duration_seconds = 30
revenue = 27.50
extra = { label = "{label}", seconds = "{duration_seconds}" }
"""


def the_only(outcomes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    [outcome] = outcomes.values()
    return outcome


def test_a_recorded_call_comes_out_as_the_conversion_that_rockerbox_gets(offhook_pipeline: Pipeline) -> None:
    offhook_pipeline.rules(RULES)
    offhook_pipeline.customers([("+17655550142", "ann@example.com", "C-1")])
    offhook_pipeline.play("answered")
    outcome = the_only(offhook_pipeline.run())
    assert (outcome["state"], outcome["delivery"], outcome["reasons"]) == ("converted", "delivered", ["counts"])
    conversion = outcome["conversion"]
    assert conversion | {"action": "tv_call", "revenue": "27.50", "email": "ann@example.com"} == conversion
    assert conversion["timestamp"].isdigit()
    assert [event.fields for event in offhook_pipeline.sandbox.events()] == [conversion]
    assert offhook_pipeline.conversions == [conversion]


def test_the_same_recording_gives_the_same_conversion_whenever_it_is_played(
    offhook_pipeline: Pipeline, offhook_recording: Any
) -> None:
    """Its time is the recording's, not ours: even where a callback does not say when the call ended."""
    offhook_pipeline.customers([CALLER])
    [record] = offhook_recording("answered")
    untimed = tuple(pair for pair in record.form if pair[0] != "Timestamp")
    offhook_pipeline.play([Record(record.received_at, "POST", "/twilio/status", form=untimed)])
    conversion = the_only(offhook_pipeline.run())["conversion"]
    assert int(conversion["timestamp"]) == int(record.received_at.timestamp())


def test_a_parked_call_comes_out_when_its_caller_is_known(offhook_pipeline: Pipeline) -> None:
    offhook_pipeline.play("answered")
    assert the_only(offhook_pipeline.run()) == {"state": "parked", "reasons": ["caller_not_in_mapping"]}
    offhook_pipeline.customers([CALLER])
    assert the_only(offhook_pipeline.run())["delivery"] == "delivered"


@pytest.mark.mostly("sqlite")
@pytest.mark.parametrize(
    ("script", "delivery"),
    [
        ("3x 429 retry-after 3600; 2x 500", "delivered"),
        ("reset; close after headers; ok", "delivered"),
        ("400", "dead"),
    ],
)
def test_retries_take_no_time_however_long_they_would_take(
    script: str, delivery: str, offhook_pipeline: Pipeline
) -> None:
    jumped = played(offhook_pipeline, script, delivery)
    assert jumped >= timedelta(seconds=20)  # for its legs
    if "3600" in script:
        assert jumped > timedelta(hours=3)


def played(pipeline: Pipeline, script: str, delivery: str) -> timedelta:
    """How far the clock went until the conversion had come to that."""
    pipeline.customers([CALLER])
    pipeline.sandbox.play(script)
    pipeline.play("answered")
    before = pipeline.clock.now
    assert the_only(pipeline.run())["delivery"] == delivery
    return pipeline.clock.now - before


@pytest.mark.mostly("sqlite")
class TestRetriesOfDays:
    """Few of them, as each attempt takes a while on a real database."""

    @pytest.fixture
    def offhook_settings(self) -> dict[str, str]:
        return {"OFFHOOK_RETRY_CAP_SECONDS": "14400"}

    def test_the_last_one_is_made_after_three_days(self, offhook_pipeline: Pipeline) -> None:
        assert played(offhook_pipeline, "500 p=1", "dead") > timedelta(hours=70)


def test_a_call_waits_for_its_legs_when_many_callbacks_wait_to_be_folded(offhook_pipeline: Pipeline) -> None:
    """As after a stop: all is settled long ago, and the parent is folded long before its child leg."""
    offhook_pipeline.rules('extra = ["legs"]')
    offhook_pipeline.customers("customers.csv")
    offhook_pipeline.play("parent-then-child")
    ledger, judge = offhook_pipeline.service.ledger, offhook_pipeline.service.judge()
    later = offhook_pipeline.clock.now + timedelta(days=1)
    while fold_batch(ledger, judge, 1):
        assert decide_batch(ledger, judge, later, 100) == 0 or ledger.backlog(later).unfolded_age_seconds == 0
    offhook_pipeline.run()
    [conversion] = offhook_pipeline.conversions
    assert conversion["legs"] == "2"


def test_a_forged_recording_is_refused_and_the_test_fails(offhook_pipeline: Pipeline) -> None:
    with pytest.raises(AssertionError, match=r"1 of 1 callbacks were refused.*403"):
        offhook_pipeline.play("answered", account_sid="AC" + "9" * 32)
    assert offhook_pipeline.run() == {}


def test_what_cannot_be_used_is_refused_at_once(offhook_pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="min_duration"):
        offhook_pipeline.rules("min_duration = 3")
    (tmp_path / "bad.csv").write_text("phone,email,customer_id\nnobody,ann@example.com,\n")
    with pytest.raises(ValueError, match=r"(?s)bad\.csv.*nobody"):
        offhook_pipeline.customers(tmp_path / "bad.csv")
    with pytest.raises(FileNotFoundError, match="shop-day"):
        offhook_pipeline.play("no such recording")


class TestItsOwnSettings:
    """`offhook_settings` may be overridden, as any fixture."""

    @pytest.fixture
    def offhook_settings(self) -> dict[str, str]:
        return {"OFFHOOK_DEFAULT_COUNTRY": "GB", "OFFHOOK_SETTLE_SECONDS": "3600"}

    def test_they_hold(self, offhook_pipeline: Pipeline) -> None:
        offhook_pipeline.play("answered")
        before = offhook_pipeline.clock.now
        offhook_pipeline.run()
        assert offhook_pipeline.service.settings.default_country == "GB"
        assert offhook_pipeline.clock.now - before >= timedelta(hours=1)


def test_the_environment_plays_no_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OFFHOOK_SETTLE_SECONDS", "7777")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OFFHOOK_POLL_SECONDS=9\n")
    assert os.environ["OFFHOOK_SETTLE_SECONDS"] == "7777"
    settings = given({"PUBLIC_URL": "https://a.example,https://b.example"})
    assert (settings.settle_seconds, settings.poll_seconds) == (20.0, 0.2)
    assert settings.public_urls == ("https://a.example", "https://b.example")
    with pytest.raises(SettingsError, match="OFFHOOK_SETTLE_SECONDS"):
        given({"OFFHOOK_SETTLE_SECONDS": "soon"})
