"""A job's files, piece by piece: an upload that comes in, a result that goes out. Holds one piece in memory, never a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from offhook.pipeline.jobs import FileRole
from offhook.pipeline.ports.job_files import JobFiles

PIECE_BYTES = 262_144
"""Small enough that no callback waits for one to be written, large enough that there are few of them."""


class FileTooLarge(Exception):
    """More bytes than may be; nothing of it is kept. The text says the limit."""

    def __init__(self, name: str, most_bytes: int) -> None:
        super().__init__(f"{name} is larger than the {most_bytes:,} bytes that one may have.")


def keep_file(
    files: JobFiles,
    role: FileRole,
    name: str,
    chunks: Iterable[bytes],
    most_bytes: int,
    now: datetime,
    media_type: str = "text/csv",
) -> int:
    """Keep a file, whatever the sizes of its chunks; its number.

    Raises FileTooLarge, LedgerUnavailable and whatever `chunks` raise: then nothing of it is kept.
    """
    file_id, size = files.begin(role, name, media_type, now), 0
    try:
        for place, piece in enumerate(_pieces(chunks)):
            size += len(piece)
            if size > most_bytes:
                raise FileTooLarge(name, most_bytes)
            files.add_piece(file_id, place, piece)
    except BaseException:
        files.remove(file_id)
        raise
    files.complete(file_id, size)
    return file_id


def pieces_of(files: JobFiles, file_id: int) -> Iterator[bytes]:
    """What was kept, piece by piece, each read by a question of its own."""
    place = 0
    while (piece := files.piece(file_id, place)) is not None:
        yield piece
        place += 1


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of PIECE_BYTES; the last one may be shorter."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= PIECE_BYTES:
            yield bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
    if held:
        yield bytes(held)
