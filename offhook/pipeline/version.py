"""Which Offhook this is: what `offhook --version`, /readyz and the User-Agent say, and what the wheel is called by."""

from __future__ import annotations

VERSION = "0.1.0"
