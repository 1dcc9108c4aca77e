"""Tests against running processes: HTTP, the command line and the database alone. Imports nothing of Offhook."""
