"""What a file is that is not the text it was taken for, as its first bytes show. Reads nothing itself."""

from __future__ import annotations

import re
from enum import StrEnum

DELIMITERS = ",;\t|"
"""What may stand between the columns of a table."""


class FileKind(StrEnum):
    """In the words by which its owner knows it."""

    EXCEL = "an Excel workbook (.xlsx) or another file of Office"
    OPEN_DOCUMENT = "an OpenDocument file (.ods)"
    OLD_OFFICE = "a document of old Office (.xls)"
    ZIP = "a ZIP archive (.xlsx and .saz are such, too)"
    GZIP = "a gzip archive"
    BZIP2 = "a bzip2 archive"
    XZ = "an xz archive"
    ZSTD = "a zstd archive"
    SEVEN_ZIP = "a 7z archive"
    RAR = "a RAR archive"
    TAR = "a tar archive"
    PDF = "a PDF"
    PNG = "a picture (PNG)"
    JPEG = "a picture (JPEG)"
    GIF = "a picture (GIF)"
    WEBP = "a picture (WebP)"
    TIFF = "a picture (TIFF)"
    HEIC = "a picture (HEIC)"
    SQLITE = "a SQLite database"
    PARQUET = "a Parquet file"
    PCAP = "a network capture (pcap)"
    PCAPNG = "a network capture (pcapng)"
    CHARLES = "a session of Charles in its own format (.chls)"
    WAV = "a sound (WAV)"
    MP3 = "a sound (MP3)"
    BINARY = "binary data"


LONGEST_BEGINNING = 4096  # bytes that are enough to know it

# https://www.garykessler.net/library/file_sigs.html
_BEGINNINGS: tuple[tuple[bytes, FileKind], ...] = (
    (rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|xl/|docProps/)", FileKind.EXCEL),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument", FileKind.OPEN_DOCUMENT),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", FileKind.ZIP),
    (rb"\x1f\x8b", FileKind.GZIP),
    (rb"BZh[1-9]", FileKind.BZIP2),
    (rb"\xfd7zXZ\x00", FileKind.XZ),
    (rb"\(\xb5/\xfd", FileKind.ZSTD),
    (rb"7z\xbc\xaf\x27\x1c", FileKind.SEVEN_ZIP),
    (rb"Rar!\x1a\x07", FileKind.RAR),
    (rb".{257}ustar", FileKind.TAR),
    (rb"%PDF", FileKind.PDF),
    (rb"\x89PNG", FileKind.PNG),
    (rb"\xff\xd8\xff", FileKind.JPEG),
    (rb"GIF8", FileKind.GIF),
    (rb"RIFF.{4}WEBP", FileKind.WEBP),
    (rb"(?:II\*\x00|MM\x00\*)", FileKind.TIFF),
    (rb".{4}ftyp(?:hei|mif|msf)", FileKind.HEIC),
    (rb"SQLite format 3\x00", FileKind.SQLITE),
    (rb"PAR1", FileKind.PARQUET),
    (rb"(?:\xd4\xc3\xb2\xa1|\xa1\xb2\xc3\xd4)", FileKind.PCAP),
    (rb"\x0a\x0d\x0d\x0a", FileKind.PCAPNG),
    (rb"\xac\xed\x00\x05", FileKind.CHARLES),
    (rb"\xd0\xcf\x11\xe0", FileKind.OLD_OFFICE),
    (rb"RIFF.{4}WAVE", FileKind.WAV),
    (rb"ID3[\x02-\x04]", FileKind.MP3),
)
_KNOWN = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _BEGINNINGS)

SHEETS = frozenset({FileKind.EXCEL, FileKind.OPEN_DOCUMENT, FileKind.OLD_OFFICE})
PICTURES = frozenset({FileKind.PNG, FileKind.JPEG, FileKind.GIF, FileKind.WEBP, FileKind.TIFF, FileKind.HEIC})


def file_kind(beginning: bytes) -> FileKind | None:
    """What a file is that begins so, where its first bytes say it; None for what may be text."""
    return next((kind for pattern, kind in _KNOWN if pattern.match(beginning)), None)
