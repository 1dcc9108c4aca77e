"""How a request looks on its way out, straight or through a proxy, and whom its TLS trusts. Sends nothing."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import certifi
from requests import PreparedRequest
from urllib3.util.ssl_ import create_urllib3_context

from offhook.adapters.proxies import Proxy


def asked_for(request: PreparedRequest, proxy: Proxy | None) -> str:
    """The request's target. https://www.rfc-editor.org/rfc/rfc9112#name-absolute-form: whole, for a proxy that forwards."""
    if proxy is None or not is_forwarded(request):
        return request.path_url
    return f"http://{urlsplit(str(request.url)).netloc.rpartition('@')[2]}{request.path_url}"


def is_forwarded(request: PreparedRequest) -> bool:
    """A proxy reads and forwards what goes to an http:// address; to an https:// one it opens a tunnel."""
    return urlsplit(request.url).scheme == "http"


def let_in(request: PreparedRequest, proxy: Proxy | None) -> None:
    """Says to a proxy that forwards who we are. A tunnel says it when it is opened."""
    if proxy and proxy.authorization and is_forwarded(request):
        request.headers["Proxy-Authorization"] = proxy.authorization


def trusting(authorities: str | None) -> ssl.SSLContext:
    """TLS that trusts these (PEM, or a folder of hashed certificates), the usual ones for None. One for all of a process.

    Raises OSError.
    """
    path = authorities or certifi.where()
    return _trusting(path, Path(path).stat().st_ctime_ns)


@lru_cache(maxsize=4)
def _trusting(authorities: str, changed_ns: int) -> ssl.SSLContext:  # noqa: ARG001 - of its key
    """Kept until the file or the list of the folder changes, as to read a hundred certificates takes some 15 ms."""
    tls = create_urllib3_context()
    is_folder = Path(authorities).is_dir()
    tls.load_verify_locations(None if is_folder else authorities, authorities if is_folder else None)
    return tls
