"""What is found by the person that it is about, whichever spelling of a number it was kept under: customers and calls.

No module of the ledger outside of this folder compares a column that names a person, so that these can be encrypted one day.
"""
