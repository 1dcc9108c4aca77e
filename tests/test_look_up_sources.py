"""OFFHOOK_LOOKUPS: a table of TOML for each source, in the order in which they are asked; all that is wrong is said at once."""

from __future__ import annotations

import pytest

from offhook.adapters.customers.asking_http import HttpLimits, HttpQuestion
from offhook.adapters.customers.asking_sql import SqlLimits, SqlQuestion
from offhook.adapters.customers.sources import SourcesError, WayOut, parse, sources_of

pytestmark = pytest.mark.unit

SPELLED = """
[zoho]
url = "https://crm.example.com/contacts?phone={phone}"
method = "POST"
headers = { Authorization = "Bearer s3cret" }
body = '{"n":"{national}"}'
record = "$.results"
email = "$.email"
id = "$.id"
attributes = { tier = "$.plan.name" }

[shop]
database = "sqlite:///shop.db"
sql = "SELECT email FROM people WHERE phone = :phone"
"""


def test_sources_are_read_in_their_order() -> None:
    found = parse(SPELLED)
    assert list(found.items()) == [
        (
            "zoho",
            HttpQuestion(
                url="https://crm.example.com/contacts?phone={phone}",
                method="POST",
                headers={"Authorization": "Bearer s3cret"},
                body='{"n":"{national}"}',
                record="$.results",
                email="$.email",
                id="$.id",
                attributes={"tier": "$.plan.name"},
            ),
        ),
        ("shop", SqlQuestion("sqlite:///shop.db", "SELECT email FROM people WHERE phone = :phone")),
    ]
    made = sources_of(found, HttpLimits(), SqlLimits(), WayOut())
    assert [one.name for one in made] == ["zoho", "shop"]
    for one in made:
        one.close()
    assert "s3cret" not in repr(found)


WRONG = {
    "x = 1\ny y": "no TOML in line 2",
    "x = 1": "x stands outside of a source",
    "[A B]\nurl = 1": "no TOML",
    '["A B"]\nurl = "http://x/{phone}"': "must be called by",
    '[a]\nurl = "crm.example.com/{phone}"\nemail = "$.email"': "[a] url: must be like https://",
    '[a]\nurl = "http://x/s3cret"\nemail = "$.email"': "{phone}",
    '[a]\nurl = "http://x/{phone}"': "email or id must say",
    '[a]\nurl = "http://x/{phone}"\nemail = "s3cret here"': "email: ",
    '[a]\nurl = "http://x/{phone}"\nemail = "$.e"\nheaders = {"a b" = "s3cret"}': "cannot be sent",
    '[a]\nurl = "http://x/{phone}"\nemail = "$.e"\nheaders = {a = "s3cret\\n"}': "cannot be sent",
    '[a]\nurl = "http://x/{phone}"\nemail = "$.e"\nmethod = "get"': "method",
    '[a]\nurl = "http://x/{phone}"\nemail = "$.e"\nother = "s3cret"': "other: is no key of a source",
    '[a]\nsql = "SELECT :phone"': "database: is missing",
    '[a]\ndatabase = "sqlite:///x.db"\nsql = "SELECT 1"': "binds :phone",
    '[a]\ndatabase = "mssql+nodriver://u:s3cret@h/x"\nsql = "SELECT :phone"': "database: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_without_a_value(text: str) -> None:
    with pytest.raises(SourcesError) as raised:
        sources_of(parse(text), HttpLimits(), SqlLimits(), WayOut())
    said = " ".join(raised.value.problems)
    assert WRONG[text] in said
    assert "Bearer" not in said and ("s3cret" not in said or "is no JSONPath" in said)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SourcesError) as raised:
        parse('[a]\nurl = "x"\n[b]\nsql = "SELECT 1"\n[c]\nx = 1')
    assert len(raised.value.problems) >= 3
