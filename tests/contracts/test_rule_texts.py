"""What `RuleTexts` promises; what is read of the texts later is `Past`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.rules import Rules
from offhook.pipeline.steps import apply_rules
from tests.contracts.conftest import WholeLedger
from tests.fakes import steps
from tests.fakes.callbacks import NOON, key, raw, sid

MINUTE = timedelta(minutes=1)


def test_the_text_of_rules_is_kept_under_their_version_once(ledger: WholeLedger) -> None:
    rules = Rules(text="# as it was\n")
    assert ledger.kept_rules(rules.version) is None
    ledger.keep_rules(rules, NOON)
    ledger.keep_rules(replace(rules, text="# other words for the same\n"), NOON + MINUTE)
    assert ledger.kept_rules(rules.version) == "# as it was\n"
    assert ledger.kept_rules("none") is None


def test_the_text_of_rules_by_which_a_person_has_calls_decided_anew_is_kept(ledger: WholeLedger) -> None:
    """Before any worker has used them."""
    ledger.append([raw(1)])
    steps.fold(ledger)
    steps.decide(ledger, NOON + 60 * MINUTE)
    judge = replace(steps.JUDGE, rules=Rules(min_duration_seconds=7, text="# new\n"))
    with ledger.books():
        assert apply_rules(ledger, judge, [key(1)], NOON + 61 * MINUTE) is None
    assert apply_rules(ledger, judge, [key(1)], NOON + 61 * MINUTE) == 1
    [*_, line] = ledger.stories.of_call(sid(1))[0].decisions
    assert ledger.kept_rules(line.rules_version) == "# new\n"
    assert [one.version for one in ledger.past.rules_used(5)] == [judge.rules.version]


def test_workers_that_begin_by_the_same_rules_at_once_note_that_once(ledger: WholeLedger) -> None:
    rules = [Rules(text="# before"), *[Rules(min_duration_seconds=7)] * 8]
    ledger.keep_rules(rules[0], NOON)
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda one: ledger.keep_rules(one, NOON + MINUTE), rules[1:]))
    assert [one.version for one in ledger.past.rules_used(9)] == [rules[1].version, rules[0].version]
