"""The one thing that the ledger's modules raise when a database may not be used at all."""


class LedgerRefused(Exception):
    """This database may not be used as it is; the text says what to do."""
