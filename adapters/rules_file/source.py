"""The rules as they stand in offhook.toml or in OFFHOOK_RULES, and when a running worker takes up what was changed there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offhook.adapters.rules_file.problems import Problem, RulesError
from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.limits import USUAL, RuleLimits

log = logging.getLogger("offhook.rules")

_NOT_THERE = "there is no such file; correct OFFHOOK_CONFIG."


@dataclass(frozen=True, slots=True)
class RulesSource:
    """Where the rules stand. `text` wins over the file; without either the defaults hold, if the file `is_optional`.

    `region` (two letters) is the country of numbers written without one.
    """

    path: Path
    is_optional: bool
    text: str
    region: str
    limits: RuleLimits = USUAL

    def read(self) -> Rules:
        """The rules. Raises RulesError with lines and remedies."""
        found = self.raw()
        if found is None and not self.is_optional:
            raise self._unusable(_NOT_THERE)
        return self.parsed(found or b"")

    def raw(self) -> bytes | OSError | None:
        """What stands there, unread; None where there is no file."""
        if self.text.strip():
            return self.text.encode()
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return error

    def parsed(self, raw: bytes | OSError, files: dict[Path, bytes] | None = None) -> Rules:
        """The rules in what `raw` gave. Raises RulesError. What was read of files that they name is put into `files`."""
        try:
            if isinstance(raw, OSError):
                raise raw
            text = raw.decode()
        except (OSError, UnicodeError) as error:
            raise self._unusable(f"it cannot be read ({error}); save it as UTF-8 text.") from None
        if self.text.strip():
            return self._parse(text, file_name="OFFHOOK_RULES", files=files)
        folder = self.path.absolute().parent
        return self._parse(text, file_name=str(self.path), folder=folder, files=files)

    def uploaded(self, text: str) -> Rules:
        """The rules in a text that somebody uploaded. Of files it may name those that these rules name, and no other, so
        that nobody reads this machine's files by it. Raises RulesError.
        """
        files: dict[Path, bytes] = {}
        with suppress(RulesError):
            self.parsed(self.raw() or b"", files)
        folder = None if self.text.strip() else self.path.absolute().parent
        return self._parse(text, file_name="the upload", folder=folder, may_read=frozenset(files))

    def _parse(self, text: str, **where: Any) -> Rules:
        return parse(text, region=self.region, limits=self.limits, **where)

    def _unusable(self, why: str) -> RulesError:
        return RulesError((Problem(0, why),), str(self.path))


class RulesWatch:
    """Looks whether the rules have changed since they were read. What cannot be used is an error, once, and those before hold.

    A change counts when it has stood for `settle_seconds`: whoever saves a file may empty it or take it away first.
    """

    def __init__(
        self, source: RulesSource, settle_seconds: float, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._settle_seconds = settle_seconds
        self._steady = steady
        self._used = self._seen = source.raw()
        self._files = self._seen_files = self._read_files(self._used)
        self._says_something = _says_something(self._seen)
        self._since = steady()

    def changed(self) -> Rules | None:
        """The new rules, once; None while there are none. Never raises."""
        raw, now = self._source.raw(), self._steady()
        files = {path: _bytes(path) for path in self._files}
        if not _same(raw, self._seen) or files != self._seen_files:
            self._seen, self._seen_files, self._since = raw, files, now
        if (_same(self._seen, self._used) and files == self._files) or now - self._since < self._settle_seconds:
            return None
        self._used, self._files = self._seen, files
        return self._taken(self._seen)

    def _read_files(self, raw: bytes | OSError | None) -> dict[Path, bytes | None]:
        """What the files hold that these rules name, as far as they can be used."""
        files: dict[Path, bytes] = {}
        with suppress(RulesError):
            self._source.parsed(raw or b"", files)
        return dict(files)

    def _taken(self, raw: bytes | OSError | None) -> Rules | None:
        if not isinstance(raw, bytes):
            self._refused(f"{self._source.path}: it is gone or cannot be read; put it back.")
            return None
        if self._says_something and not _says_something(raw):  # a full disk leaves that, or an editor that was killed
            self._refused(f"{self._source.path}: it is empty; write a comment into it if the defaults shall hold.")
            return None
        files: dict[Path, bytes] = {}
        try:
            rules = self._source.parsed(raw, files)
        except RulesError as error:
            self._refused(str(error))
            return None
        self._files = self._seen_files = dict(files)
        self._says_something = _says_something(raw)
        log.info("rules_changed", extra={"version": rules.version})
        return rules

    def _refused(self, why: str) -> None:
        log.error("rules_not_changed", extra={"what": f"the rules before hold until this is corrected: {why}"})


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _says_something(raw: bytes | OSError | None) -> bool:
    return isinstance(raw, bytes) and bool(raw.strip())


def _same(one: bytes | OSError | None, other: bytes | OSError | None) -> bool:
    """Two errors are the same when they say the same."""
    if isinstance(one, OSError) and isinstance(other, OSError):
        return one.errno == other.errno
    return one == other
