"""Reads a module with all that it needs, as a command does at its start."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType


def read(name: str) -> ModuleType:
    """The module, for as long as the process lasts. The first time, nobody looks for garbage while it is read, as modules are
    none, and what is there then is left out of each later look, also of the one as the program ends: that is a quarter of what
    a short command costs.
    """
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
