"""How gunicorn runs the web process. Read by itself from the folder that it starts in, and again at each SIGHUP."""

import math
import os
import signal
import sys

# At SIGHUP the code is read again, too: the master has ours from its start, and each worker has what the master has.
if "SERVER_SOFTWARE" in os.environ:  # a master sets it when it has read this page for the first time
    for _name in [name for name in sys.modules if name.split(".")[0] in ("app", "offhook")]:
        del sys.modules[_name]

from offhook.adapters.logs import config as log_config
from offhook.adapters.web.framing import LONGEST_LINE, Limits
from offhook.adapters.web.restart import refusal_of, reload_only_what_starts
from offhook.adapters.web.worker import Patience
from offhook.adapters.web.worker import worker_class as whole_requests
from offhook.settings import Settings, SettingsError, load

try:
    _settings = load(Settings.missing_for_web)
except SettingsError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

bind = f"0.0.0.0:{_settings.port}"
workers = _settings.web_concurrency
threads = _settings.web_threads
worker_connections = _settings.web_connections
worker_class = whole_requests(
    Limits(_settings.max_header_bytes, _settings.max_callback_bytes, _settings.large_body_bytes),
    Patience(
        _settings.request_seconds,
        _settings.first_bytes_seconds,
        _settings.notice_seconds,
        _settings.upload_seconds,
        _settings.uploads_at_once,
    ),
)

# Heroku's router keeps idle connections for 90 s and must not be the second to close one; it gives up after 30 s.
# https://devcenter.heroku.com/articles/http-routing
keepalive = _settings.keepalive_seconds
timeout = 30
# So long after SIGTERM the master kills. Inline the conversions that are being sent have OFFHOOK_STOP_SECONDS (25 at most), which
# begin at SIGTERM, too; with two for the rest that is within the 30 s after which Heroku kills.
# https://devcenter.heroku.com/articles/dynos#shutdown
graceful_timeout = _settings.web_stop_seconds
if _settings.worker == "inline":
    graceful_timeout = max(graceful_timeout, math.ceil(_settings.stop_seconds) + 2)

limit_request_line = LONGEST_LINE
limit_request_field_size = _settings.max_header_bytes
# What a proxy says is read by ourselves (TWILIO_TRUSTED_PROXIES). gunicorn believes SCRIPT_NAME, PATH_INFO and the scheme
# of whoever connects from this machine.
forwarder_headers = ""
secure_scheme_headers = {}

control_socket_disable = True
logconfig_dict = log_config(_settings.log_level)


def on_starting(server):  # type: ignore[no-untyped-def]
    """Refuse before the first worker starts, with one message that says what to do."""
    from offhook.service import check_start

    try:
        for warning in check_start():
            server.log.warning("start_warning", extra={"warning": warning})
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    reload_only_what_starts(server, lambda: refusal_of(check_start, timeout) or _other_port())


def _other_port():  # type: ignore[no-untyped-def]
    """The socket stays through a reload, and its port with it."""
    now = load().port
    return "" if now == _settings.port else f"PORT is {now} now and was {_settings.port}: a new port needs a new start."


def post_worker_init(worker):  # type: ignore[no-untyped-def]
    """Callbacks are received by the database's clock. OFFHOOK_WORKER=inline: this process folds, decides and delivers as well."""
    service = worker.wsgi.extensions["offhook"]
    worker.knows = worker.wsgi.extensions["offhook.knows"]
    service.ledger.look_at_clock()
    worker.cfg.set("graceful_timeout", _settings.web_stop_seconds)  # in this process: requests get no longer than that
    if _settings.worker == "inline":
        running = service.worker()
        running.start()
        worker.inline = running
        _stop_both(running)


def _stop_both(running):  # type: ignore[no-untyped-def]
    """At SIGTERM the worker claims no more and gives back at once; `worker_exit` comes only after the last request."""
    stop_web = signal.getsignal(signal.SIGTERM)

    def stop(number, frame):  # type: ignore[no-untyped-def]
        running.request_stop()
        stop_web(number, frame)

    signal.signal(signal.SIGTERM, stop)


def worker_exit(_server, worker):  # type: ignore[no-untyped-def]
    """Give back what was claimed and not sent."""
    running = getattr(worker, "inline", None)
    if running is not None:
        running.stop()
