"""A file with personal data: nobody else reads it, it is whole or as it was, and no link leads it elsewhere."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.adapters.private_file import hide_from_others, open_to_append, write_whole, written_whole
from tests.support.disks import small_tmpfs
from tests.support.processes import bare_environment
from tests.support.waiting import wait_until
from tests.test_recordings_tap import files_end_at

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def appended(path: Path, text: str) -> None:
    descriptor = open_to_append(path)
    os.write(descriptor, text.encode())
    os.close(descriptor)


WRITERS = pytest.mark.parametrize("write", [write_whole, appended])


@WRITERS
@pytest.mark.parametrize("before", [None, 0o644, 0o666, 0o600])
def test_only_its_owner_reads_it_whatever_it_was_before(
    write: Callable[[Path, str], None], before: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "calls.jsonl"
    if before is not None:
        path.touch()
        path.chmod(before)
    write(path, "x\n")
    assert (path.read_text(), mode(path)) == ("x\n", 0o600)
    assert list(tmp_path.iterdir()) == [path]


@WRITERS
@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_that_somebody_planted_is_refused_and_leads_nowhere(
    write: Callable[[Path, str], None], dangling: bool, tmp_path: Path
) -> None:
    target, link = tmp_path / "theirs", tmp_path / "calls.jsonl"
    if not dangling:
        target.write_text("theirs")
        target.chmod(0o644)
    link.symlink_to(target)
    with pytest.raises(OSError, match=r"symbolic link|Too many levels"):
        write(link, "personal data")
    assert link.is_symlink()
    assert target.exists() is not dangling
    assert dangling or (target.read_text(), mode(target)) == ("theirs", 0o644)


@WRITERS
def test_a_pipe_or_a_device_is_written_through_and_stays_what_it_is(
    write: Callable[[Path, str], None], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, "hello")
    assert os.read(reader, 100) == b"hello"
    os.close(reader)
    assert (stat.S_ISFIFO(pipe.stat().st_mode), mode(pipe)) == (True, 0o644)


TEXT = "line\n" * 40_000


@pytest.mark.parametrize("known", [None, "what stood there\n"])
def test_a_disk_that_is_full_leaves_what_was_there(known: str | None, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    if known:
        path.write_text(known)
    with files_end_at(100_000), pytest.raises(OSError):
        write_whole(path, TEXT)
    assert [file.name for file in tmp_path.iterdir()] == ([path.name] if known else [])
    assert not known or path.read_text() == known


def test_a_file_system_without_room_leaves_what_was_there(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "disk", "128k") as disk:
        path = disk.folder / "calls.jsonl"
        path.write_text("what stood there\n")
        with pytest.raises(OSError):
            write_whole(path, TEXT)
        assert [file.read_text() for file in disk.folder.iterdir()] == ["what stood there\n"]
        write_whole(path, "a little\n")
        assert path.read_text() == "a little\n"


@settings(max_examples=30)
@given(pieces=st.lists(st.text(max_size=3000)), fails_after=st.none() | st.integers(0, 5))
def test_it_is_there_whole_or_as_it_was(pieces: list[str], fails_after: int | None, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    write_whole(path, "before")
    try:
        with written_whole(path) as file:
            for number, piece in enumerate(pieces):
                file.write(piece)
                if number == fails_after:
                    raise KeyboardInterrupt
    except (KeyboardInterrupt, UnicodeEncodeError):
        assert path.read_bytes() == b"before"
    else:
        assert path.read_bytes() == "".join(pieces).encode()
    assert list(tmp_path.iterdir()) == [path]


_WRITES_AND_HANGS = """
import sys, time
from pathlib import Path
from offhook.adapters.private_file import written_whole
with written_whole(Path(sys.argv[1])) as file:
    file.write("half of it")
    file.flush()
    print("half", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_what_was_there_and_the_next_one_clears_its_rest_away(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("before")
    command = [sys.executable, "-c", _WRITES_AND_HANGS, str(path)]
    child = subprocess.Popen(command, env=bare_environment(), stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "half\n"
    [rest] = [file for file in tmp_path.iterdir() if file != path]
    assert mode(rest) == 0o600
    write_whole(tmp_path / "another", "x")
    assert rest.exists()  # its writer lives
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert path.read_text() == "before"
    write_whole(path, "after")
    assert (path.read_text(), rest.exists()) == ("after", False)


def test_many_writers_of_one_folder_do_not_take_each_other_for_leftovers(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from offhook.adapters.private_file import write_whole\n"
        "for n in range(100): write_whole(Path(sys.argv[1]), f'{sys.argv[2]} {n}')"
    )
    names = ("one", "two", "three")
    commands = [[sys.executable, "-c", code, str(tmp_path / name), name] for name in names]
    children = [subprocess.Popen(command, env=bare_environment()) for command in commands]
    wait_until(lambda: all(child.poll() is not None for child in children))
    assert [child.returncode for child in children] == [0, 0, 0]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {name: f"{name} 99" for name in names}


@pytest.mark.parametrize(
    ("before", "after"),
    [(0o644, 0o600), (0o604, 0o600), (0o666, 0o600), (0o600, 0o600), (0o640, 0o640), (0o400, 0o400), (0o444, 0o400)],
)
def test_others_lose_what_they_could_read_and_a_group_that_was_given_it_does_not(
    before: int, after: int, tmp_path: Path
) -> None:
    path = tmp_path / "offhook.db"
    path.touch()
    path.chmod(before)
    hide_from_others(path)
    hide_from_others(tmp_path / "not there")
    assert mode(path) == after
