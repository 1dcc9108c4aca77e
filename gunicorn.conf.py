"""How gunicorn runs the web process. Read by itself from the folder that it starts in."""

import signal
import sys

from adapters.logs import config as log_config
from settings import SettingsError, load

try:
    _settings = load()
except SettingsError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

bind = f"0.0.0.0:{_settings.port}"
worker_class = "gthread"
workers = _settings.web_concurrency
threads = _settings.web_threads

# Heroku's router keeps idle connections for 90 s and must not be the second to close one; it gives up after 30 s.
# https://devcenter.heroku.com/articles/http-routing
keepalive = 95
timeout = 30
graceful_timeout = 8  # SIGTERM: out in 10 s

control_socket_disable = True
logconfig_dict = log_config(_settings.log_level)


def on_starting(_server):  # type: ignore[no-untyped-def]
    """Refuse before the first worker starts, with one message that says what to do."""
    from app import build, keyring

    service = build(_settings)
    try:
        keyring(_settings)
        for warning in service.check_web():
            _server.log.warning("start_warning", extra={"warning": warning})
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    finally:
        service.ledger.close()


def post_worker_init(worker):  # type: ignore[no-untyped-def]
    """Callbacks are received by the database's clock. OFFHOOK_WORKER=inline: this process folds, decides and delivers as well."""
    service = worker.wsgi.extensions["offhook"]
    service.ledger.look_at_clock()
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
