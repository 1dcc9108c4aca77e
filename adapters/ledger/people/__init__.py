"""What is found by the person that it is about, whichever spelling of a number it was kept under: customers, calls, the audit.

No module of the ledger outside of this folder compares a column that names a person, so that these can be encrypted one day.
`PersonText.kept` is the one way into these columns, for what is written and for what is looked up: it must give the same for the
same, always (a keyed hash beside what is encrypted, or encryption that is deterministic), or nothing is found any more.
"""
