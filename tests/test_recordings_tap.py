"""The file of a tap: whole lines, a bound, and nothing spoiled."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from offhook.adapters.recordings.format import Record, RecordingError, dump, read
from offhook.adapters.recordings.tap import TapFile

pytestmark = pytest.mark.unit

RECORD = Record(
    datetime(2026, 3, 12, tzinfo=UTC), "POST", "/twilio/status", form=(("CallSid", "CA1"), ("City", "Zürich"))
)
LINE_BYTES = len(dump(RECORD).encode()) + 1


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """What a full disk does to a write: the part that fits is written."""
    known = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, known[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, known)


@pytest.mark.parametrize("room", [0, 1, LINE_BYTES - 1])
def test_a_disk_that_is_full_leaves_whole_lines_and_refuses_the_next(room: int, tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    with TapFile(path, 100_000) as tap, files_end_at(LINE_BYTES + room):
        assert tap.append(RECORD)
        with pytest.raises(RecordingError, match="make room"):
            tap.append(RECORD)
    assert list(read(path)) == [RECORD]


@pytest.mark.parametrize("spare", [0, 1, LINE_BYTES - 1])
def test_the_bound_holds_to_the_byte_across_runs(spare: int, tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    for begins_empty in (True, False):
        with TapFile(path, 2 * LINE_BYTES + spare) as tap:
            assert tap.begins_empty is begins_empty
            assert tap.append(RECORD)
    with TapFile(path, 2 * LINE_BYTES + spare) as tap:
        assert not tap.append(RECORD)
    assert list(read(path)) == [RECORD, RECORD]


def test_a_line_without_its_end_is_not_written_behind(tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    path.write_text(dump(RECORD))
    with pytest.raises(RecordingError, match="last line has no end"):
        TapFile(path, 100_000)


def test_two_taps_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tap.jsonl"
    with TapFile(path, 100_000), pytest.raises(RecordingError, match="another tap"):
        TapFile(path, 100_000)
    with TapFile(path, 100_000) as tap:
        assert tap.append(RECORD)


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="name another file"):
        TapFile(tmp_path / "no folder" / "tap.jsonl", 100_000)
