"""What people write by hand, for comparison with `intake.py`: Flask and Twilio's own validator, and nothing of ours.

`bare` verifies and answers 204: whatever happens next, the callback is lost with the process. `inline` also posts the
conversion before it answers, to BENCH_SINK: as slow as whoever takes it.
"""

from __future__ import annotations

import os

import requests
from flask import Flask, Response, request
from twilio.request_validator import RequestValidator

_validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
_destination = requests.Session()


def bare() -> Flask:
    return _app(post=False)


def inline() -> Flask:
    return _app(post=True)


def _app(post: bool) -> Flask:
    app = Flask("by_hand")
    app.add_url_rule("/healthz", "healthz", lambda: ("", 204))

    @app.post("/twilio/status")
    def status() -> Response:
        url = f"{os.environ['PUBLIC_URL']}{request.full_path.rstrip('?')}"
        if not _validator.validate(url, request.form, request.headers.get("X-Twilio-Signature", "")):
            return Response(status=403)
        if post and request.form["CallStatus"] == "completed":
            order = {"order_id": request.form["CallSid"], "action": "phone_call"}
            _destination.post(os.environ["BENCH_SINK"], json=order, timeout=10).close()
        return Response(status=204)

    return app
