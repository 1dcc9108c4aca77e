"""The sandbox's page in a real browser: what came shows, nothing of it runs."""

from __future__ import annotations

import json
import re
import tomllib
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from offhook.adapters.rockerbox.sandbox import Sandbox
from tests.support.browser import PATIENCE_MS
from tests.support.processes import REPOSITORY
from tests.support.waiting import HANGS_AFTER_SECONDS


def seen(browser: Any, url: str) -> str:
    """The document as the browser holds it once its scripts have run."""
    page = browser.new_page()
    page.goto(url, timeout=PATIENCE_MS)
    document = str(page.content())
    page.close()
    return document


def post(sandbox: Sandbox, **fields: str) -> None:
    event = {"email": "ann@example.test", "action": "call", "timestamp": "1773324000", "order_id": "CA1"} | fields
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(
            f"{sandbox.url}/webhook/data?advertiser=x", json.dumps(event).encode(), HANGS_AFTER_SECONDS
        ).close()


def test_the_page_shows_what_counts_what_is_ignored_and_why(browser: Any) -> None:
    with Sandbox(script="503; 500 p=0.000001") as sandbox:
        for action in ("lost", "call", "call", ""):
            post(sandbox, action=action)
        page = seen(browser, f"{sandbox.url}/?paused")
    assert re.search(r"<title>1 counted", page)
    assert [re.sub(r"<.*?>", " ", cell).split() for cell in re.findall(r"<dt>.*?</dd>", page)] == [
        ["Counted", "1", "the", "first", "of", "its", "key"],
        ["Duplicate", "1", "ignored,", "an", "earlier", "one", "won"],
        ["Not", "counted", "0", "a", "field", "of", "the", "key", "is", "missing"],
        ["Invalid", "1", "refused,", "with", "reasons"],
    ]
    for words in ("1 × 503", "500 p=0.000001", "action is missing", "ann@example.test"):
        assert words in page


def test_what_a_sender_wrote_is_shown_and_never_run(browser: Any) -> None:
    attack = "</code><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    with Sandbox() as sandbox:
        post(sandbox, action=attack, order_id=attack, email=f"{attack}@example.test")
        page = seen(browser, f"{sandbox.url}/?paused")
    assert "<title>1 counted" in page
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_the_page_refreshes_itself_until_it_is_paused(browser: Any) -> None:
    with Sandbox() as sandbox:
        page = browser.new_page()
        page.goto(sandbox.url, timeout=PATIENCE_MS)
        post(sandbox)
        page.get_by_text("ann@example.test").first.wait_for(timeout=PATIENCE_MS)
        page.close()
        paused = seen(browser, f"{sandbox.url}/?paused")
    assert 'http-equiv="refresh"' not in paused
    assert "Refresh again" in paused


def test_what_is_no_python_beside_the_code_goes_into_the_wheel_with_it() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    taken = project["tool"]["setuptools"]["package-data"]["*"]
    others = {path for path in (REPOSITORY / "adapters").rglob("*.*") if path.suffix not in (".py", ".pyc")}
    assert {"page.html.jinja", "offhook.css"} <= {path.name for path in others}
    assert [path for path in others if not any(path.match(pattern) for pattern in taken)] == []
