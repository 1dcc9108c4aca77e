"""The floor of `footprint.py`: Flask, and nothing of ours."""

from flask import Flask

app = Flask("empty")
app.add_url_rule("/healthz", "healthz", lambda: ("", 204))
