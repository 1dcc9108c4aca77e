"""What `JobFiles` promises."""

from __future__ import annotations

import pytest

from offhook.pipeline.job_files import PIECE_BYTES, FileTooLarge, keep_file, pieces_of
from offhook.pipeline.job_kinds import ImportCustomers, enqueue
from offhook.pipeline.jobs import FileRole
from tests.contracts.conftest import WholeLedger
from tests.contracts.files import kept
from tests.fakes.callbacks import NOON


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 5])
def test_a_file_comes_out_as_it_went_in_and_belongs_to_its_job(ledger: WholeLedger, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    file_id = kept(ledger, content)
    assert b"".join(pieces_of(ledger.job_files, file_id)) == content
    assert all(len(piece) <= PIECE_BYTES for piece in pieces_of(ledger.job_files, file_id))
    found = ledger.job_files.file(file_id)
    assert found is not None and (found.size, found.is_whole, found.job_id) == (size, True, None)
    job_id = enqueue(ledger.jobs, ImportCustomers(file_id), "ann@example.com", NOON)
    [of_job] = ledger.job_files.of_job(job_id)
    assert (of_job.id, of_job.role, of_job.name) == (file_id, FileRole.UPLOAD, "customers.csv")


def test_nothing_is_kept_of_a_file_that_is_too_large_or_breaks_off(ledger: WholeLedger) -> None:
    with pytest.raises(FileTooLarge, match=r"customers\.csv is larger than the 300,000 bytes"):
        kept(ledger, b"x" * 700_000, most=300_000)

    def breaks_off() -> object:
        yield b"x" * 400_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        keep_file(ledger.job_files, FileRole.UPLOAD, "a.csv", breaks_off(), 10**9, NOON)  # type: ignore[arg-type]
    exact = kept(ledger, b"x" * 300_000, most=300_000)
    [first, second] = pieces_of(ledger.job_files, exact)
    assert len(first) + len(second) == 300_000
    for gone in range(1, exact):
        assert ledger.job_files.file(gone) is None and ledger.job_files.piece(gone, 0) is None


def test_pieces_stand_in_their_places_and_the_same_one_twice_is_there_once(ledger: WholeLedger) -> None:
    files = ledger.job_files
    one, other = (files.begin(FileRole.RESULT, name, "text/csv", NOON) for name in ("a.csv", "b.csv"))
    for place, content in ((1, b"second"), (0, b"first"), (0, b"first")):
        files.add_piece(one, place, content)
    files.add_piece(other, 0, b"another")
    assert [files.piece(one, place) for place in range(3)] == [b"first", b"second", None]
    assert [files.piece(other, place) for place in range(2)] == [b"another", None]


def test_a_file_is_whole_when_that_is_said_and_no_other_is(ledger: WholeLedger) -> None:
    files = ledger.job_files
    one, other = (files.begin(FileRole.RESULT, name, "text/csv", NOON) for name in ("a.csv", "b.csv"))
    files.add_piece(one, 0, b"first")
    assert [(found.name, found.size, found.is_whole) for found in map(files.file, (one, other)) if found] == [
        ("a.csv", 0, False),
        ("b.csv", 0, False),
    ]
    files.complete(one, 5)
    assert [(found.name, found.size, found.is_whole) for found in map(files.file, (one, other)) if found] == [
        ("a.csv", 5, True),
        ("b.csv", 0, False),
    ]


def test_what_is_removed_is_gone_with_its_pieces_and_no_other_is(ledger: WholeLedger) -> None:
    files = ledger.job_files
    one, other = kept(ledger, b"x" * (PIECE_BYTES + 1)), kept(ledger, b"y")
    for _ in range(2):
        files.remove(one)
        files.complete(one, 5)  # nobody's any more
        assert (files.file(one), files.piece(one, 0), files.piece(one, 1)) == (None, None, None)
    assert b"".join(pieces_of(files, other)) == b"y"
