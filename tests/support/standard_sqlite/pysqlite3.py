"""Stands in for the package of this name on PYTHONPATH: a machine for which it has no wheel."""

raise ImportError("no wheel of pysqlite3 for this machine")
