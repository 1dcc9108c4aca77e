"""Log lines as JSON, one a line on stderr, with the request's id and with phone numbers masked. Never logs a secret."""

from __future__ import annotations

import logging.config
import re
from collections.abc import Callable
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from offhook.pipeline.phone import mask_numbers_in

_request_id: Callable[[], str] = str
_DIGITS = re.compile(r"[0-9]{8,}")
_OURS = ("offhook",)
_SEVERE = ("WARNING", "ERROR")


class MaskingJsonFormatter(JsonFormatter):
    """python-json-logger's formatter; every text that may hold a number goes through the mask.

    Servers and drivers log what others sent them, so in their lines nothing with eight digits or more stays.
    """

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        is_ours = str(log_data.get("logger", "")).startswith(_OURS)
        for name, value in log_data.items():
            if isinstance(value, str):
                masked = mask_numbers_in(value) if "+" in value or "%2" in value else value
                log_data[name] = masked if is_ours else _DIGITS.sub("***", masked)
        name = _request_id()
        if name:
            log_data["request_id"] = name
        return log_data


def config(level: str) -> dict[str, Any]:
    """A `logging.config` dictionary: everything, gunicorn's own lines too, in one form.

    `level` is for our own lines and gunicorn's; what libraries log is for their authors up to a warning.
    """
    ours = {name: {"level": level, "handlers": [], "propagate": True} for name in ("gunicorn.error", *_OURS)}
    others = level if level in _SEVERE else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": MaskingJsonFormatter,
                "fmt": ["asctime", "levelname", "name", "message"],
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"level": others, "handlers": ["stderr"]},
        "loggers": {**ours, "gunicorn.access": {"level": others}},
    }


def configure(level: str) -> None:
    """Set up logging for this process."""
    logging.config.dictConfig(config(level))


def name_requests(request_id: Callable[[], str]) -> None:
    """Let every line carry the id of the request under way; `request_id` gives it, or ""."""
    global _request_id  # noqa: PLW0603 (logging is a thing of the whole process)
    _request_id = request_id
