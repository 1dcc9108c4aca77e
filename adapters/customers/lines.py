"""The lines of a text file as csv wants them, whatever its encoding, with the way back to each line's number and text.

Holds one record at a time and never more than a given number of characters. Knows nothing of customers.
"""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from offhook.adapters.file_kinds import LONGEST_BEGINNING, PICTURES, SHEETS, FileKind, file_kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ImportRefused(Exception):
    """The file cannot be imported as it is; the text says what to do."""


class RecordTooLong(Exception):
    """A record did not end within the allowed number of characters, or not before the end of the file."""


class _Unpacked(io.RawIOBase):
    """The bytes of a gzip file, up to `most` of them. Raises ImportRefused for one more: a small file may hold any number."""

    def __init__(self, packed: IO[bytes], most: int, name: str) -> None:
        super().__init__()
        self._plain = gzip.GzipFile(fileobj=packed)
        self._most = self._left = most
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = self._plain.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise ImportRefused(
                f"{self._name} comes to more than {self._most:,} bytes when it is unpacked "
                "(OFFHOOK_CUSTOMERS_UNPACKED_BYTES), and nothing of it was imported. Make several smaller files of it, or "
                "have the setting raised."
            )
        return count


class Lines:
    """An iterator of lines that remembers those of the record being read. Raises RecordTooLong, and then goes on."""

    def __init__(self, text: io.TextIOWrapper, source: IO[bytes], longest: int, name: str) -> None:
        self._text = text
        self._source = source
        self._longest = longest
        self._escapes = text.errors == "surrogateescape"
        self._pushed_back: deque[str] = deque()
        self._record: list[str] = []
        self._length = 0
        self._line = 0
        self.name = name
        self.first_line = 1
        self.undecodable = False
        self.encoding_offered: str | None = None

    @property
    def encoding(self) -> str:
        return self._text.encoding

    @property
    def encoding_in_words(self) -> str:
        return "UTF-8" if self._escapes else self.encoding

    def offer(self) -> str:
        """Behind "not UTF-8": the encoding in which the record just read would be text, and how to say so."""
        read_well = self._escapes and _is_cp1252("".join(self._record))
        self.encoding_offered = self.encoding_offered or (_OFFERED if read_well else None)
        return f"; if the file is from Excel, try --encoding {_OFFERED}" if read_well else ""

    def begin_record(self) -> None:
        """The next line is the first of a record."""
        self._record = []
        self._length = 0
        self.first_line = self._line + 1
        self.undecodable = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else self._read()
        if not line:
            if self._record:  # csv asks for more only inside a quote
                raise RecordTooLong
            raise StopIteration
        self._line += 1
        self._record.append(line)
        self._length += len(line)
        if self._length > self._longest:
            raise RecordTooLong
        if not line.isascii() and self._is_undecodable(line):
            self.undecodable = True
        return line

    def _read(self) -> str:
        """A line; of one that is too long the beginning, which is one character too long."""
        try:
            line = self._text.readline(self._longest + 1)
            rest = line
            while len(rest) > self._longest and not rest.endswith("\n"):
                rest = self._text.readline(self._longest + 1)
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            raise ImportRefused(f"{self.name} cannot be read to its end ({error}).") from None
        return line

    def _is_undecodable(self, line: str) -> bool:
        if not self._escapes:
            return "\ufffd" in line
        try:
            line.encode()
        except UnicodeEncodeError:
            return True
        return False

    def record_text(self) -> str:
        """The record as it stands in the file; bytes that are no text as `\\xe9`."""
        text = "".join(self._record).rstrip("\n")
        return text if not self.undecodable else _printable(text)

    def record_is_blank(self) -> bool:
        return not any(line.strip() for line in self._record)

    def only_first_line(self) -> tuple[str, bool]:
        """Give all but the first line of the record back to be read again. Returns that line, and whether it was alone."""
        first, *others = self._record
        self._pushed_back.extendleft(reversed(others))
        self._line -= len(others)
        return _printable(first.rstrip("\n")), not others

    def ahead(self, most: int) -> list[str]:
        """The next lines, at most so many; each comes again when its turn is."""
        found = [*islice(self._pushed_back, most)]
        while len(found) < most and (line := self._read()):
            self._pushed_back.append(line)
            found.append(line)
        return found

    def read_again(self) -> None:
        """Give the whole record back."""
        self._pushed_back.extendleft(reversed(self._record))
        self._line -= len(self._record)

    def bytes_read(self) -> int:
        """How far into the file we are, in its own (compressed) bytes; 0 where the source has no position."""
        try:
            return self._source.tell()
        except OSError:
            return 0


_OFFERED = "cp1252"  # what Excel writes in western languages where it is not asked for UTF-8


def _is_cp1252(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape").decode(_OFFERED)
    except UnicodeDecodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def open_lines(path: Path | str, encoding: str | None, longest: int, most_unpacked: int) -> Iterator[Lines]:
    """The lines of a file, gzipped or not, or of standard input (`-`). Raises ImportRefused.

    `longest` is in characters. A gzipped file may come to `most_unpacked` bytes; one that is not packed has no limit here. Without
    an `encoding` it is UTF-8, or UTF-16 where the file begins with that one's mark.
    """
    name = "Standard input" if str(path) == "-" else str(path)
    source = _open(path, name)
    try:
        plain = _unzipped(source, most_unpacked, name)
        text = _decoded(plain, encoding or _encoding_of(plain, name))
        yield Lines(text, source, longest, name)
        text.detach()  # standard input stays open
    finally:
        if str(path) != "-":
            source.close()


def _open(path: Path | str, name: str) -> io.BufferedReader:
    try:
        if str(path) != "-":
            return Path(path).open("rb")
        stream = sys.stdin.buffer
        return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    except OSError as error:
        raise ImportRefused(f"{name} cannot be opened: {error.strerror}.") from None


def _unzipped(source: io.BufferedReader, most: int, name: str) -> io.BufferedReader:
    kind = file_kind(_beginning(source, name))
    if kind is not FileKind.GZIP:
        _refuse(kind, name)
        return source
    plain: io.BufferedReader = io.BufferedReader(_Unpacked(source, most, name))
    _refuse(file_kind(_beginning(plain, name)), name)
    return plain


def _refuse(kind: FileKind | None, name: str) -> None:
    """Call a file that holds no text by its name, and never print it."""
    if kind is None:
        return
    if kind in SHEETS:
        remedy = 'open it and save the sheet as "CSV UTF-8"'
    elif kind in PICTURES or kind is FileKind.PDF:
        remedy = "customers are read from text: export the table as CSV"
    elif kind is FileKind.SQLITE:
        remedy = "export its table as CSV"
    else:
        remedy = "unpack it and import the CSV file in it, or export the table as CSV"
    raise ImportRefused(f"{name} is {kind}, not a CSV file; {remedy}.")


def _encoding_of(plain: io.BufferedReader, name: str) -> str:
    marked = _beginning(plain, name).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if marked else "utf-8-sig"


def _beginning(stream: io.BufferedReader, name: str) -> bytes:
    try:
        return stream.peek(LONGEST_BEGINNING)[:LONGEST_BEGINNING]
    except (OSError, EOFError, zlib.error) as error:
        raise ImportRefused(f"{name} cannot be read ({error}).") from None


def _decoded(plain: io.BufferedReader, encoding: str) -> io.TextIOWrapper:
    try:
        known = codecs.lookup(encoding).name
        utf8 = known in ("utf-8", "utf-8-sig", "ascii")
        # Line ends of every kind become \n, so that a line is the same thing here, in an editor and in csv
        return io.TextIOWrapper(
            plain, "utf-8-sig" if utf8 else known, "surrogateescape" if utf8 else "replace", newline=None
        )
    except (LookupError, ValueError):
        raise ImportRefused(f"There is no text encoding {encoding!r}; usual ones are utf-8, cp1252, utf-16.") from None
