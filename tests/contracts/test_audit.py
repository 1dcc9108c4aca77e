"""What `Audit` promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.users import AuditFilter, AuditLine
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

HOUR = timedelta(hours=1)
LINES = [
    AuditLine(NOON + n * HOUR, who, what, of_what, "127.0.0.1")
    for n, (who, what, of_what) in enumerate([("ann", "sign in", ""), ("bo", "retry", "CA1"), ("ann", "retry", "CA2")])
]


def kept(ledger: WholeLedger) -> None:
    for line in LINES:
        ledger.audit.write(line)


def test_lines_come_the_newest_first_and_page_by_key(ledger: WholeLedger) -> None:
    kept(ledger)
    found = ledger.audit.lines(AuditFilter(), None, 2)
    assert [replace(one, seq=0) for one in found] == [LINES[2], LINES[1]]
    [last] = ledger.audit.lines(AuditFilter(), found[-1].seq, 2)
    assert replace(last, seq=0) == LINES[0]
    assert last.seq < found[1].seq < found[0].seq
    assert list(ledger.audit.lines(AuditFilter(), last.seq, 2)) == []


def test_a_line_stays_one_line_whatever_somebody_wrote_into_it(ledger: WholeLedger) -> None:
    """A list of lines in a terminal or a file shows nobody's line as two, nor as another's: control and direction characters go."""
    forged = "x\r\n2026-11-25  admin@example.com\x1b[2K\u202e\u2028" + "y" * 1000
    ledger.audit.write(AuditLine(NOON, forged, forged, forged, forged))
    [found] = ledger.audit.lines(AuditFilter(), None, 1)
    for word in (found.who, found.what, found.of_what, found.from_where):
        assert word.isprintable()
        assert word.startswith("x\ufffd\ufffd2026")
        assert len(word) == 500


def test_a_filter_lets_through_what_it_says(ledger: WholeLedger) -> None:
    kept(ledger)

    def found(**asked: object) -> list[int]:
        lines = ledger.audit.lines(AuditFilter(**asked), None, 10)  # type: ignore[arg-type]
        return [LINES.index(replace(one, seq=0)) for one in lines]

    assert found(who="ann") == [2, 0]
    assert found(what="retry") == [2, 1]
    assert found(of_what="CA1") == [1]
    assert found(who="ann", what="retry") == [2]
    assert found(since=NOON + HOUR, until=NOON + 2 * HOUR) == [1]


def test_what_is_old_is_forgotten_and_a_line_says_so(ledger: WholeLedger) -> None:
    kept(ledger)
    said = AuditLine(NOON + 9 * HOUR, "worker", "audit pruned", "", "worker")
    assert ledger.audit.forget(NOON, said) == 0
    gone = 0
    while some := ledger.audit.forget(NOON + 2 * HOUR, None if gone else said):
        gone += some
    assert gone == 2
    found = ledger.audit.lines(AuditFilter(), None, 9)
    assert [replace(one, seq=0) for one in found] == [said, LINES[2]]
