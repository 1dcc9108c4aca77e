"""OFFHOOK_LOOKUPS: a table of TOML for each source, in the order in which they are asked; all that is wrong is said at once."""

from __future__ import annotations

import itertools

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
    '[a]\nurl = "http://x/{phone}"\nemail = "$.e"\nmethod = "get"': "method: must be GET or POST",
    '[a]\nurl = "http://x/{phone}"\nemail = "$.e"\nmethod = "DELETE"': "method: must be GET or POST: a source is asked",
    '[a]\nurl = "http://x:s3cret/{phone}"\nemail = "$.e"': "url: cannot be used",
    '[a]\nurl = "http://x/{phone}"\nemail = "$.e"\nbody = 1': "body: must be a text in quotes",
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


FAULTS = {  # of one source: its line, and the words that say what is wrong with it
    "url": ("url = 'crm.example.com/{phone}'", "[a] url: must be like https://"),
    "method": ("method = 'DELETE'", "[a] method: must be GET or POST"),
    "record": ("record = 'no path'", "[a] record: 'no path' is no JSONPath"),
    "email": ("email = 'no path'", "[a] email: 'no path' is no JSONPath"),
    "attribute": ("attributes = { tier = 'no path' }", "[a] attributes.tier: 'no path' is no JSONPath"),
    "header": ("headers = { 'a b' = 'c' }", "[a] headers: a b cannot be sent"),
    "unknown": ("other = 1", "[a] other: is no key of a source"),
    "place": ("url = 'https://crm.example.com/'", "[a] url or body must have {phone}"),
    "answer": ("email = ''", "[a] email or id must say"),
}
RIGHT = {"url": "url = 'https://crm.example.com/{phone}'", "email": "email = '$.email'"}


def problems_of(text: str) -> list[str]:
    with pytest.raises(SourcesError) as raised:
        sources_of(parse(text), HttpLimits(), SqlLimits(), WayOut())
    return list(raised.value.problems)


def key_of(fault: str) -> str:
    return FAULTS[fault][0].split()[0]


@pytest.mark.parametrize(
    ("first", "second"), [pair for pair in itertools.combinations(FAULTS, 2) if len(set(map(key_of, pair))) == 2]
)
def test_each_of_two_faults_of_a_source_is_said_at_once_and_once(first: str, second: str) -> None:
    lines = {key_of(one): FAULTS[one][0] for one in (first, second)}
    problems = problems_of("\n".join(["[a]", *(RIGHT | lines).values()]))
    assert len(problems) == 2
    assert all(any(one.startswith(FAULTS[name][1]) for one in problems) for name in (first, second))


def test_the_faults_of_all_sources_are_said_at_once() -> None:
    problems = problems_of(
        "[a]\nurl = 'x/{phone}'\nemail = '$.e'\n[b]\nsql = 'SELECT 1'\ndatabase = 'nosuch://h/x'\n[c]\nx = 1\n"
        "[d]\nurl = 'http://x/{phone}'\nemail = 'no path'\n[e]\nurl = 'http://x/{phone}'\nid = '$.i'\nmethod = 'DELETE'"
    )
    starts = [
        "[a] url: must be like",
        "[b] database: must be a URL",
        "[b] sql: must be a SELECT that binds",
        "[c] email or id must say",
        "[c] url: is missing",
        "[c] x: is no key",
        "[d] email: 'no path' is no JSONPath",
        "[e] method: must be GET or POST",
    ]
    assert len(problems) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(problems, starts, strict=True))
