"""A sandbox Rockerbox: a real HTTP server that takes conversions as its documentation says. It forwards nothing to anybody."""

from adapters.rockerbox.sandbox.dedupe import Day, DedupeKey
from adapters.rockerbox.sandbox.failures import Script, ScriptError
from adapters.rockerbox.sandbox.journal import Event, Verdict
from adapters.rockerbox.sandbox.server import NotLoopback, Sandbox

__all__ = ["Day", "DedupeKey", "Event", "NotLoopback", "Sandbox", "Script", "ScriptError", "Verdict"]
