"""What `Following` promises."""

from __future__ import annotations

from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import raw


def test_what_is_followed_is_given_once_and_only_from_now_on(ledger: WholeLedger) -> None:
    ledger.append([raw(1)])
    following = ledger.stories.following()
    assert list(following.fresh()) == []
    for number in (2, 3, 4):
        ledger.append([raw(number)])
    assert list(following.fresh(2)) == [raw(2), raw(3)]
    assert list(following.fresh()) == [raw(4)]
    assert list(following.fresh()) == []
