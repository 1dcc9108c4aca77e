"""What each port of the ledger raises when it can neither store nor answer now."""

from __future__ import annotations


class LedgerUnavailable(Exception):
    """The ledger cannot store or answer now (full disk, database gone, lock held too long). Try again later.

    The text is for the log and may name hosts and paths; `word` is one plain word that may be shown to anybody.
    """

    def __init__(self, text: str, word: str = "failing") -> None:
        super().__init__(text)
        self.word = word
