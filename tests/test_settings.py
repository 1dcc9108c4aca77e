"""What people paste into settings: taken as it was meant where that is harmless, refused with what to do where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offhook.settings import Settings, SettingsError, load, renamed, unknown
from offhook.settings import given as settings_of

pytestmark = pytest.mark.unit

SID = "AC00000000000000000000000000000001"
KEY = "SK" + SID[2:]
TOKEN = "0123456789abcdef0123456789abcdef"
SECRETS = {
    "TWILIO_AUTH_TOKEN",
    "TWILIO_API_SECRET",
    "ROCKERBOX_ADVERTISER_ID",
    "TWILIO_KEYRING",
    "OFFHOOK_RECORDINGS_KEY",
    "OFFHOOK_LOOKUPS",
}
TEXTS = {
    "TWILIO_AUTH_TOKEN": TOKEN,
    "ROCKERBOX_ADVERTISER_ID": "acme-1",
    "OFFHOOK_RECORDINGS_KEY": "sixteen characters",
    "TWILIO_KEYRING": '{"AC1": {}}',
    "PUBLIC_URL": "https://calls.acme.test",
    "DATABASE_URL": "sqlite:///x.db",
    "ROCKERBOX_URL": "http://127.0.0.1:9/x",
    "OFFHOOK_CONFIG": "mine.toml",
    "OFFHOOK_DEFAULT_COUNTRY": "GB",
    "ROCKERBOX_DAY_ZONE": "America/New_York",
    "OFFHOOK_LOG_LEVEL": "DEBUG",
    "OFFHOOK_WORKER": "inline",
    "PORT": "8123",
    "OFFHOOK_SETTLE_SECONDS": "7.5",
    "OFFHOOK_ALLOW_OLD_SQLITE": "true",
    "OFFHOOK_MAYBE_SENT_STATUSES": "502,504",
    "OFFHOOK_CUSTOMERS_COLUMNS": "Phone,Email,Lead ID",
}
around = st.text(" \t\r\n\u00a0\u200b\ufeff", max_size=3)
quotes = st.sampled_from([("", ""), ("'", "'"), ("“", "”"), ("‘", "’"), ("`", "`")])


def read(name: str, text: str) -> object:
    account = {} if name == "TWILIO_ACCOUNT_SID" else {"TWILIO_ACCOUNT_SID": SID}
    return settings_of(account | {name: text})


def mistake(name: str, text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read(name, text)
    [line] = [line for line in str(refused.value).splitlines() if line.startswith(f"  {name}: ")]
    assert name not in SECRETS or text not in str(refused.value)
    return line


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=25)  # of each
@given(before=around, after=around, marks=quotes, named=st.sampled_from(["", "{}=", "export {}="]))
@example(before=" ", after="\r\n", marks=('"', '"'), named="")
@example(before="", after="", marks=("'", "'"), named="{}=")
def test_what_a_paste_brings_along_changes_no_setting(
    name: str, before: str, after: str, marks: tuple[str, str], named: str
) -> None:
    if marks == ('"', '"') and name == "TWILIO_KEYRING":
        return  # its own quotes
    pasted = f"{before}{named.format(name)}{marks[0]}{before}{TEXTS[name]}{after}{marks[1]}{after}"
    assert read(name, pasted) == read(name, TEXTS[name])


def test_quotes_that_belong_to_a_value_stay() -> None:
    text = '"+1415" = "x"\n"+1416" = "y"'
    assert settings_of({"OFFHOOK_RECORDINGS_KEY": text}).recordings_key.get_secret_value() == text
    assert settings_of({"OFFHOOK_RECORDINGS_KEY": "don't"}).recordings_key.get_secret_value() == "don't"


def test_each_of_several_is_undressed() -> None:
    found = settings_of({"TWILIO_ACCOUNT_SID": f' "{SID.lower()}"', "TWILIO_AUTH_TOKEN": f'"{TOKEN}", "other"'})
    assert (found.twilio_account_sid, found.auth_tokens) == (SID, (TOKEN, "other"))
    urls = settings_of({"PUBLIC_URL": "'https://a.test/twilio/status/' , https://b.test/base"}).public_urls
    assert urls == ("https://a.test", "https://b.test/base")  # the path of the callback comes with each request


@pytest.mark.parametrize("empty", ["", '""', " ", "''"])
def test_what_is_empty_in_its_quotes_is_not_set(empty: str) -> None:
    assert settings_of(dict.fromkeys(TEXTS, empty)) == settings_of({})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TWILIO_ACCOUNT_SID", KEY, "TWILIO_API_KEY"),
        ("TWILIO_ACCOUNT_SID", "PN" + SID[2:], "another kind"),
        ("TWILIO_ACCOUNT_SID", SID[:9] + " " + SID[9:], "a blank"),
        ("TWILIO_ACCOUNT_SID", SID[:-1], "33 characters"),
        ("TWILIO_ACCOUNT_SID", "ACxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "digits from 0 to f"),
        ("TWILIO_ACCOUNT_SID", TOKEN, "AC and 32"),
        ("TWILIO_AUTH_TOKEN", SID, "a SID (AC...)"),
        ("TWILIO_AUTH_TOKEN", f"{TOKEN},{KEY}", "a SID (SK...)"),
        ("TWILIO_AUTH_TOKEN", TOKEN[:9] + " " + TOKEN[9:], "a blank"),
        ("TWILIO_AUTH_TOKEN", TOKEN[:9] + "\u200b" + TOKEN[9:], "a blank or a character"),
        ("TWILIO_AUTH_TOKEN", "your_auth_token", "placeholder"),
        ("TWILIO_AUTH_TOKEN", "<token>", "placeholder"),
        ("TWILIO_API_KEY", TOKEN, "begins with SK"),
        ("TWILIO_API_SECRET", KEY, "a SID"),
        ("ROCKERBOX_ADVERTISER_ID", "https://webhooks.getrockerbox.com/webhook/data?advertiser=acme", "advertiser="),
        ("ROCKERBOX_ADVERTISER_ID", "advertiser=acme", "advertiser="),
        ("ROCKERBOX_ADVERTISER_ID", "webhooks.getrockerbox.com/webhook", "URL"),
        ("ROCKERBOX_ADVERTISER_ID", "ac me", "blank"),
        ("PUBLIC_URL", "calls.acme.test", "did you mean https://calls.acme.test?"),
        ("PUBLIC_URL", "calls.acme.test:8000/base", "did you mean https://calls.acme.test:8000/base?"),
        ("PUBLIC_URL", "https://https://calls.acme.test", "must be like"),
        ("PUBLIC_URL", "https:/calls.acme.test", "must be like"),
        ("PUBLIC_URL", "https://a.test https://b.test", "must be like"),
        ("PUBLIC_URL", "https://a.test:port", "no URL"),
        ("PUBLIC_URL", "https://a.test/#rc=5", "no fragment"),
        ("ROCKERBOX_URL", "webhooks.getrockerbox.com", "did you mean https://webhooks.getrockerbox.com?"),
        ("TWILIO_API_URL", "https://[::1", "no URL"),
    ],
)
def test_what_cannot_be_right_is_refused_with_what_it_is(name: str, text: str, expected: str) -> None:
    assert expected in mistake(name, text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to read `.env` from, and an environment without settings."""
    for name in [*TEXTS, "TWILIO_ACCOUNT_SID", "TWILIO_API_KEY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused() -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(Settings.missing_for_web)
    return str(error.value).splitlines()[1:]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("OFFHOOK_SETTLE_SECOND", "OFFHOOK_SETTLE_SECONDS"),
        ("OFFHOOK_LOGLEVEL", "OFFHOOK_LOG_LEVEL"),
        ("offhook_poll_second", "OFFHOOK_POLL_SECONDS"),
        ("OFHOOK_SETTLE_SECONDS", "OFFHOOK_SETTLE_SECONDS"),
        ("OFF_HOOK_LEASE_SECONDS", "OFFHOOK_LEASE_SECONDS"),
        ("OFFHOOK_PUBLIC_URL", "PUBLIC_URL"),
        ("OFFHOOK_DATABASE_URL", "DATABASE_URL"),
        ("ROCKERBOX_ADVERTISER", "ROCKERBOX_ADVERTISER_ID"),
    ],
)
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_misspelt_name_is_reported_with_the_one_that_was_meant(
    written: str, meant: str, where: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == ".env":
        (place / ".env").write_text(f"{written}=5\n")
    else:
        monkeypatch.setenv(written, "5")
    assert f"  {written.upper()}: is no setting; did you mean {meant}?" in refused()


def test_names_that_others_made_stop_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes names them so where a service is called offhook; Twilio's other products have settings of their own."""
    for name in ("OFFHOOK_PORT", "OFFHOOK_SERVICE_HOST", "OFFHOOK_PORT_8000_TCP_ADDR", "TWILIO_API_KEY_SID"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:8000")
    monkeypatch.setenv("OFFHOOK_XYZZY", "1")
    assert load().port == 8000
    assert unknown() == ["OFFHOOK_XYZZY"]


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_setting_is_known_by_its_former_name_until_it_has_the_one_of_today(
    where: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == ".env":
        (place / ".env").write_text("OFFHOOK_CUSTOMERS_CONFLICT=last\n")
    else:
        monkeypatch.setenv("OFFHOOK_CUSTOMERS_CONFLICT", "last")
    assert load().shared_numbers == "last"
    assert unknown() == []
    assert renamed() == ["OFFHOOK_CUSTOMERS_CONFLICT is called OFFHOOK_SHARED_NUMBERS now; rename it"]
    monkeypatch.setenv("OFFHOOK_SHARED_NUMBERS", "first")
    assert load().shared_numbers == "first"


def test_all_mistakes_and_what_is_missing_are_reported_at_once(place: Path) -> None:
    """Wrong alone, wrong together, misspelt, a placeholder that was left, and a key under another program's name."""
    text = "PORT=many\nOFFHOOK_LEASE_SECONDS=1\nOFFHOOK_WEB_CONNECTIONS=32\nOFFHOOK_WEB_THREADS=64\nOFFHOOK_SETLE_SECONDS=1\n"
    (place / ".env").write_text(f"{text}PUBLIC_URL=https://calls.example.com\nTWILIO_AUTHTOKEN=x\n")
    lines = refused()
    alone, together = ["PORT"], ["OFFHOOK_LEASE_SECONDS", "OFFHOOK_WEB_CONNECTIONS"]
    wanted = [*alone, *together, "OFFHOOK_SETLE_SECONDS", "Twilio's keys", "PUBLIC_URL"]
    assert [line.split(":")[0].strip() for line in lines] == wanted
    assert "did you mean TWILIO_AUTH_TOKEN?" in lines[4]


def test_what_follows_from_a_mistake_is_not_reported_as_another(place: Path) -> None:
    (place / ".env").write_text(f"TWILIO_ACCOUNT_SID={KEY}\nTWILIO_AUTH_TOKEN={TOKEN}\n")
    [line] = refused()
    assert line.startswith("  TWILIO_ACCOUNT_SID:")


def test_a_mark_at_the_beginning_of_the_file_hides_no_setting(place: Path) -> None:
    (place / ".env").write_bytes(b"\xef\xbb\xbfPORT=8123\r\n")
    assert load().port == 8123


def test_a_file_in_another_encoding_is_refused(place: Path) -> None:
    (place / ".env").write_bytes("PORT=8123 # é".encode("utf-16"))
    [line] = refused()
    assert line.startswith("  .env: cannot be read") and "UTF-8" in line


@pytest.mark.parametrize("text", ["email,date,action", " Email, date ,ACTION ", '"email","date","action"'])
def test_a_deduplication_key_is_its_fields_however_it_is_pasted(text: str) -> None:
    key = settings_of({"ROCKERBOX_DEDUPE_KEY": text, "ROCKERBOX_CROSS_DAY": "true"}).dedupe_key
    assert key is not None and (key.fields, key.cross_day) == (("email", "date", "action"), True)
    assert settings_of({}).dedupe_key is settings_of({"ROCKERBOX_DEDUPE_KEY": ""}).dedupe_key is None


@pytest.mark.parametrize("text", ["date", "email,email", "order", "email,phone", "email+date"])
def test_what_is_no_deduplication_key_is_refused_before_anything_starts(text: str) -> None:
    with pytest.raises(SettingsError, match=r"ROCKERBOX_DEDUPE_KEY: .*key"):
        settings_of({"ROCKERBOX_DEDUPE_KEY": text})


OIDC = {
    "OFFHOOK_OIDC_ISSUER": "https://id.acme.test/",
    "OFFHOOK_OIDC_CLIENT_ID": "offhook",
    "OFFHOOK_OIDC_CLIENT_SECRET": TOKEN,
    "OFFHOOK_OIDC_DOMAINS": "@Acme.test, acme.example",
}


def test_single_sign_on_is_set_whole_or_not_at_all() -> None:
    made = settings_of(OIDC)
    assert made.oidc_domains == ("acme.test", "acme.example")
    for name in OIDC:
        with pytest.raises(SettingsError, match=f"(?m)^  {name}: is missing: single sign-on needs") as refused:
            settings_of({one: text for one, text in OIDC.items() if one != name})
        assert TOKEN not in str(refused.value)
    for name, text in (("OFFHOOK_OIDC_ROLE_CLAIM", "groups"), ("OFFHOOK_OIDC_ROLES", "it=admin")):
        with pytest.raises(SettingsError, match="set both or none"):
            settings_of({**OIDC, name: text})


def test_roles_go_by_the_values_of_the_claim() -> None:
    roles = "CN=it=admin, growth = Operator"
    made = settings_of({**OIDC, "OFFHOOK_OIDC_ROLE_CLAIM": "groups", "OFFHOOK_OIDC_ROLES": roles})
    assert made.roles_by_group == {"CN=it": "admin", "growth": "operator"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("OFFHOOK_OIDC_ISSUER", "http://id.acme.test", "must begin with https://"),
        ("OFFHOOK_OIDC_ISSUER", "https://id.acme.test/?tenant=1", "no query"),
        ("OFFHOOK_OIDC_ISSUER", "id.acme.test", "did you mean https://id.acme.test?"),
        ("OFFHOOK_OIDC_CLIENT_SECRET", "<your secret>", "is a placeholder"),
        ("OFFHOOK_OIDC_DOMAINS", "*", "must be domains"),
        ("OFFHOOK_OIDC_DOMAINS", "ann@acme.test", "must be domains"),
        ("OFFHOOK_OIDC_ROLES", "it=root", "the roles are viewer, operator, admin"),
        ("OFFHOOK_OIDC_ROLES", "admin", "must be like"),
        ("OFFHOOK_OIDC_SCOPES", "email", "must have openid"),
    ],
)
def test_what_is_wrong_with_single_sign_on_is_said(name: str, text: str, expected: str) -> None:
    claim = {"OFFHOOK_OIDC_ROLE_CLAIM": "groups", "OFFHOOK_OIDC_ROLES": "it=admin"}
    with pytest.raises(SettingsError) as refused:
        settings_of({**OIDC, **claim, name: text})
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("text", "issuer"),
    [
        ("https://id.acme.test/.well-known/openid-configuration", "https://id.acme.test"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://localhost:9/realm", "http://localhost:9/realm"),
    ],
)
def test_an_issuer_is_taken_as_it_was_meant(text: str, issuer: str) -> None:
    assert settings_of({**OIDC, "OFFHOOK_OIDC_ISSUER": text}).oidc_issuer == issuer
