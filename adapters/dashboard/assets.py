"""Static files: one style sheet and one script, put together when the dashboard starts, named by their hashes, kept for ever."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, request

from offhook.adapters.dashboard.who import needs

_STATIC = Path(__file__).parent / "static"
_STYLE = ("vendor/uPlot.min.css", "offhook.css")
_SCRIPT = ("vendor/htmx.min.js", "vendor/uPlot.iife.min.js", "offhook.js")


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    kind: str
    body: bytes
    packed: bytes


def _bundle(files: Sequence[str], suffix: str, kind: str) -> Asset:
    body = b"\n".join((_STATIC / file).read_bytes() for file in files)
    name = f"offhook.{hashlib.sha256(body).hexdigest()[:16]}.{suffix}"
    return Asset(name, kind, body, gzip.compress(body, 9, mtime=0))


@cache
def bundles() -> tuple[Asset, Asset]:
    """Style and script. Once a process, as to pack them takes some 6 ms."""
    style = _bundle(_STYLE, "css", "text/css; charset=utf-8")
    return style, _bundle(_SCRIPT, "js", "text/javascript; charset=utf-8")


def create_assets() -> tuple[Blueprint, dict[str, str]]:
    """The route of the files, and their names by what they are: `style`, `script`."""
    style, script = bundles()
    known = {asset.name: asset for asset in (style, script)}
    blueprint = Blueprint("assets", __name__)

    @blueprint.get("/static/<name>")
    @needs(None)
    def file(name: str) -> Response:
        asset = known.get(name) or abort(404)
        takes_gzip = bool(request.accept_encodings["gzip"])
        response = Response(asset.packed if takes_gzip else asset.body, content_type=asset.kind)
        if takes_gzip:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    return blueprint, {"style": style.name, "script": script.name}
