"""Texts of a terminal on a page: what stands between backticks is code, and nothing in them is markup."""

from __future__ import annotations

import pytest

from offhook.adapters.dashboard.code_marks import with_code

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no key `a`; did you mean `b`?", "no key <code>a</code>; did you mean <code>b</code>?"),
        ("plain", "plain"),
        ("", ""),
        ("one ` alone", "one ` alone"),
        ("<b>`<i>`</b>", "&lt;b&gt;<code>&lt;i&gt;</code>&lt;/b&gt;"),
        ("{0} `{1}`", "{0} <code>{1}</code>"),
    ],
)
def test_what_stands_between_backticks_is_code(text: str, shown: str) -> None:
    assert str(with_code(text)) == shown
