"""A changed file of rules is taken up by whoever watches it: whole, once, and only when it can be used."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.source import RulesSource, RulesWatch

pytestmark = pytest.mark.unit
MINIMUM = "min_duration_seconds = {}\n"


class Watched:
    """A file and a watch over it, on a clock of its own."""

    def __init__(self, path: Path, *, is_optional: bool = True) -> None:
        self.path, self.now = path, 0.0
        self.watch = RulesWatch(RulesSource(path, is_optional, "", "US"), 1.0, lambda: self.now)

    def seen_at(self, *moments: float) -> list[int]:
        """The least duration of each change that is taken at one of these moments."""
        found = []
        for self.now in moments:
            if (rules := self.watch.changed()) is not None:
                found.append(rules.min_duration_seconds)
        return found


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == level]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    path = tmp_path / "offhook.toml"
    path.write_text(MINIMUM.format(10))
    return Watched(path)


def test_a_change_is_taken_once_when_it_has_stood_for_a_second(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert watched.seen_at(0, 1, 2, 3) == []
    watched.path.write_text(MINIMUM.format(20))
    assert watched.seen_at(4, 4.5) == []
    assert watched.seen_at(5, 6, 7) == [20]
    assert messages(caplog, logging.INFO) == ["rules_changed"]


def test_a_file_that_is_emptied_or_taken_away_while_it_is_saved_changes_nothing(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.path.write_text("")
    assert watched.seen_at(1, 1.5) == []
    watched.path.unlink()
    assert watched.seen_at(2, 2.5) == []
    watched.path.write_text(MINIMUM.format(30))
    assert watched.seen_at(3, 3.9, 4) == [30]
    assert messages(caplog, logging.ERROR) == []


@pytest.mark.parametrize("wrong", ["not toml", MINIMUM.format('"x"'), None])
def test_what_cannot_be_used_is_one_error_and_the_rules_before_hold(
    watched: Watched, caplog: pytest.LogCaptureFixture, wrong: str | None
) -> None:
    watched.path.write_text(wrong) if wrong is not None else watched.path.unlink()
    assert watched.seen_at(*range(10)) == []
    assert messages(caplog, logging.ERROR) == ["rules_not_changed"]
    watched.path.write_text(MINIMUM.format(40))
    assert watched.seen_at(*range(10, 20)) == [40]
    assert messages(caplog, logging.ERROR) == ["rules_not_changed"]


def test_a_file_that_comes_later_is_taken(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "offhook.toml")
    assert watched.seen_at(0, 5) == []
    watched.path.write_text(MINIMUM.format(50))
    assert watched.seen_at(6, 7) == [50]


def test_bytes_that_are_no_text_are_logged_and_not_raised(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.path.write_bytes(b"\xff\xfe\x00")
    assert watched.seen_at(1, 3) == []
    assert messages(caplog, logging.ERROR) == ["rules_not_changed"]


def test_a_file_that_stays_empty_is_an_accident_and_a_comment_is_a_will(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.path.write_text("\n")
    assert watched.seen_at(1, 3, 5) == []
    assert len(messages(caplog, logging.ERROR)) == 1
    watched.path.write_text("# the defaults\n")
    assert watched.seen_at(6, 8) == [0]
    watched.path.write_text("# the defaults still\n")
    assert watched.seen_at(9, 11) == [0]


def test_an_upload_may_name_the_files_that_the_rules_name_and_no_other(watched: Watched) -> None:
    folder = watched.path.parent
    (folder / "guests.txt").write_text("+14155550100\n")
    (folder / "secret.txt").write_text("nobody shall read this\n")
    watched.path.write_text('callers_in = "guests.txt"\n')
    source = RulesSource(watched.path, True, "", "US")
    assert source.uploaded('min_duration_seconds = 9\ncallers_in = "guests.txt"\n').min_duration_seconds == 9
    for other in ("secret.txt", str(folder / "secret.txt"), "../x/secret.txt", "/etc/passwd"):
        with pytest.raises(RulesError) as raised:
            source.uploaded(f'callers_in = "{other}"\n')
        assert "is no file that today's rules name" in str(raised.value)
        assert "nobody shall read" not in str(raised.value)
