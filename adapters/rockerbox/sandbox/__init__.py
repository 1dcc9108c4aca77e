"""A sandbox Rockerbox: a real HTTP server that takes conversions as its documentation says. It forwards nothing to anybody."""

from offhook.adapters.rockerbox.dedupe import Day, DedupeKey
from offhook.adapters.rockerbox.sandbox.failures import Script, ScriptError
from offhook.adapters.rockerbox.sandbox.journal import Event, Verdict
from offhook.adapters.rockerbox.sandbox.server import NotLoopback, Sandbox

__all__ = ["Day", "DedupeKey", "Event", "NotLoopback", "Sandbox", "Script", "ScriptError", "Verdict"]
