"""The way out behind a company's network: its proxy and its authority, for Rockerbox and for Twilio's REST API."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import certifi
import pytest

from offhook.adapters.proxies import parse_proxy
from offhook.adapters.rockerbox.client import Rockerbox
from offhook.adapters.twilio.rest import Access, TwilioRefused, alerts
from offhook.adapters.way_out.resolver import Resolver
from offhook.pipeline.delivery import Outcome, Result
from offhook.settings import SettingsError, given, load
from tests import sinks
from tests.sinks import Sink
from tests.support.egress import EgressProxy

pytestmark = pytest.mark.unit

PAYLOAD = b'{"action":"phone_call"}'
LOGIN, IN_URL = "me:pa/ss wörd", "me:pa%2Fss%20w%C3%B6rd"
SECRETS = ("pa/ss", "pa%2Fss", "bWU6cGEvc3Mgd8O2cmQ=", "adv-id")
NO_ALERTS = json.dumps({"alerts": [], "meta": {"key": "alerts", "next_page_url": None}}).encode()

Connect = Callable[..., Rockerbox]
Tls = tuple[ssl.SSLContext, Path]


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[Rockerbox] = []

    def connect(url: str, **options: object) -> Rockerbox:
        made.append(Rockerbox(url, "adv-id", connect_timeout_seconds=60.0, total_deadline_seconds=60.0, **options))  # type: ignore[arg-type]
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no .env
    for name in ("OFFHOOK_CA_FILE", "OFFHOOK_EGRESS_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_secret_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    for record in caplog.records:
        said = f"{record.getMessage()} {vars(record)}"
        assert not [secret for secret in SECRETS if secret in said]


def through(proxy: EgressProxy, login: str = "") -> str:
    return f"http://{login + '@' if login else ''}127.0.0.1:{proxy.port}"


def shows_no_secret(outcome: Outcome) -> Outcome:
    assert not [secret for secret in SECRETS if secret in repr(outcome)]
    return outcome


# ---- Rockerbox through a proxy


def test_https_goes_through_one_tunnel_whose_name_the_proxy_looks_up(connect: Connect, tls: Tls) -> None:
    def nobody(*_: object) -> list[object]:
        raise AssertionError("nobody here shall look a name up")

    with Sink(tls=tls[0]) as sink, EgressProxy(sink.port, login=LOGIN) as proxy:
        rockerbox = connect(
            f"https://127.0.0.1:{sink.port}/webhook/data",
            ca_file=str(tls[1]),
            proxy_url=through(proxy, IN_URL),
            resolver=Resolver(nobody),
        )
        assert [rockerbox.send(PAYLOAD).result for _ in range(3)] == [Result.DELIVERED] * 3
        assert [asked.line for asked in proxy.asked] == [f"CONNECT 127.0.0.1:{sink.port} HTTP/1.1"]
        assert [seen.path for seen in sink.requests] == ["/webhook/data?advertiser=adv-id"] * 3
        assert all("proxy-authorization" not in seen.headers for seen in sink.requests)


def test_the_certificate_is_that_of_the_host_that_was_meant(connect: Connect, tls: Tls) -> None:
    with Sink(tls=tls[0]) as sink, EgressProxy(sink.port) as proxy:
        rockerbox = connect("https://rockerbox.invalid/x", ca_file=str(tls[1]), proxy_url=through(proxy))
        outcome = rockerbox.send(PAYLOAD)
        assert (outcome.result, outcome.reason, outcome.status_code) == (Result.RETRY, "tls", None)
        assert outcome.answer.startswith("certificate verify failed: Hostname mismatch")
        assert [asked.line for asked in proxy.asked] == ["CONNECT rockerbox.invalid:443 HTTP/1.1"]
        assert sink.requests == []


def test_plain_http_is_forwarded_with_its_whole_address(connect: Connect) -> None:
    with Sink() as sink, EgressProxy(sink.port, login=LOGIN) as proxy:
        rockerbox = connect("http://you:too@rockerbox.invalid:8080/x?a=1", proxy_url=through(proxy, IN_URL))
        assert rockerbox.send(PAYLOAD) == Outcome(Result.DELIVERED, "delivered", 200, '{"ok":true}')
        [asked], [seen] = proxy.asked, sink.requests
        assert asked.line == "POST http://rockerbox.invalid:8080/x?a=1&advertiser=adv-id HTTP/1.1"
        assert asked.headers["host"] == seen.headers["host"] == "rockerbox.invalid:8080"
        assert (seen.path, seen.body) == ("/x?a=1&advertiser=adv-id", PAYLOAD)


REFUSALS = {
    b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\nwho?": "proxy_407",
    b"HTTP/1.0 403 Forbidden\r\nContent-Length: 2\r\n\r\nno": "proxy_403",
    b"HTTP/1.1 502 Bad Gateway\r\n\r\n": "proxy_502",
    b"HTTP/1.1 503 Service Unavailable\r\n\r\n": "proxy_503",
    b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n": "proxy_302",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n": "proxy_101",
    b"HTTP/1.1 200 OK\r\n\r\nspoken in the host's stead": "proxy_bad_answer",
    b"HTTP/1.1 200 OK\r\nX: half a head": "proxy_bad_answer",
    b"HTTP/1.1 2000 OK\r\n\r\n": "proxy_bad_answer",
    b"SSH-2.0-OpenSSH_9.9\r\n\r\n": "proxy_bad_answer",
    b"z" * 70_000: "proxy_bad_answer",
    b"": "proxy_no_answer",
}


@pytest.mark.parametrize(("said", "reason"), REFUSALS.items())
def test_a_proxy_that_opens_no_tunnel_was_sent_nothing_of_the_request(
    connect: Connect, caplog: pytest.LogCaptureFixture, said: bytes, reason: str
) -> None:
    with Sink() as sink, EgressProxy(sink.port, says=said) as proxy:
        rockerbox = connect("https://rockerbox.invalid/x", proxy_url=through(proxy, IN_URL))
        for _ in range(3):
            outcome = shows_no_secret(rockerbox.send(PAYLOAD))
            assert (outcome.result, outcome.status_code) == (Result.RETRY, None)
            assert outcome.reason in (reason, "proxy_reset")  # what is not read is answered with a reset
            assert f"127.0.0.1:{proxy.port}" in outcome.answer
        assert all(asked.line.startswith("CONNECT ") for asked in proxy.asked)
        assert sink.connections == 0
    logged = [record for record in caplog.records if record.getMessage() == "rockerbox_out_of_reach"]
    assert len(logged) == (reason in ("proxy_407", "proxy_403"))
    assert all("OFFHOOK_EGRESS_PROXY" in vars(record)["remedy"] for record in logged)


def test_interim_answers_of_a_proxy_are_passed_over(connect: Connect) -> None:
    said = b"HTTP/1.1 102 Soon\r\n\r\nHTTP/1.1 103 Soon\r\nA: b\r\n\r\nHTTP/1.1 503 No\r\n\r\n"
    with EgressProxy(1, says=said) as proxy:
        assert connect("https://rockerbox.invalid/x", proxy_url=through(proxy)).send(PAYLOAD).reason == "proxy_503"


def test_a_wrong_password_is_a_word_of_its_own_on_both_ways(connect: Connect) -> None:
    with Sink() as sink, EgressProxy(sink.port, login="me:other") as proxy:
        for scheme, expected in (("https", (Result.RETRY, "proxy_407")), ("http", (Result.BLOCKED, "http_407"))):
            rockerbox = connect(f"{scheme}://rockerbox.invalid/x", proxy_url=through(proxy, IN_URL))
            outcome = shows_no_secret(rockerbox.send(PAYLOAD))
            assert (outcome.result, outcome.reason) == expected
        assert sink.connections == 0


@pytest.mark.parametrize(("statuses", "result"), [((502,), Result.MAYBE_SENT), ((), Result.RETRY)])
def test_what_a_forwarding_proxy_says_itself_follows_the_setting(
    connect: Connect, statuses: tuple[int, ...], result: Result
) -> None:
    with EgressProxy(1, forwards=False) as proxy:
        rockerbox = connect("http://rockerbox.invalid/x", proxy_url=through(proxy), maybe_sent_statuses=statuses)
        assert rockerbox.send(PAYLOAD) == Outcome(result, "http_502", 502)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_was_sent_nothing(scheme: str) -> None:
    silent = {"connect_timeout_seconds": 0.3, "total_deadline_seconds": 0.6}
    url = f"{scheme}://rockerbox.invalid/x"
    closed = Rockerbox(url, "adv-id", proxy_url=f"http://127.0.0.1:{sinks.closed_port()}")
    assert closed.send(PAYLOAD) == Outcome(Result.RETRY, "proxy_connect_refused")
    assert Rockerbox(url, "adv-id", proxy_url="http://no-such-host.invalid").send(PAYLOAD).reason == "proxy_dns"
    with sinks.full_backlog() as port:
        outcome = Rockerbox(url, "adv-id", proxy_url=f"http://127.0.0.1:{port}", **silent).send(PAYLOAD)  # type: ignore[arg-type]
    assert outcome == Outcome(Result.RETRY, "proxy_connect_timeout")


def test_a_proxy_that_takes_the_connection_and_says_nothing_meets_the_connect_timeout() -> None:
    with Sink(handshake=False) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        rockerbox = Rockerbox(
            "https://h.invalid/", "adv-id", proxy_url=url, connect_timeout_seconds=0.3, total_deadline_seconds=9.0
        )
        outcome = rockerbox.send(PAYLOAD)
        assert (outcome.result, outcome.reason) == (Result.RETRY, "proxy_timeout")
        proxy.wait_until(lambda: proxy.connections == 1)


def test_what_an_answer_repeats_of_the_proxy_s_password_is_taken_out(connect: Connect) -> None:
    def repeating(exchange: sinks.Exchange) -> bool:
        return sinks.answer(400, f"{LOGIN} {IN_URL} {SECRETS[2]} adv-id".encode())(exchange)

    with Sink(repeating) as sink, EgressProxy(sink.port, login=LOGIN) as proxy:
        rockerbox = connect("http://rockerbox.invalid/x", proxy_url=through(proxy, IN_URL))
        mark = "[proxy's password]"
        assert rockerbox.send(PAYLOAD).answer == f"me:{mark} me:{mark} {mark} [advertiser id]"
        assert not [
            secret for secret in SECRETS if secret in repr(rockerbox) + repr(parse_proxy(through(proxy, IN_URL)))
        ]


# ---- certificates


def test_the_certificate_s_error_stands_in_each_attempt_and_once_in_the_log(
    connect: Connect, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    with Sink(tls=tls[0]) as sink:
        rockerbox = connect(sink.url)
        for _ in range(3):
            outcome = rockerbox.send(PAYLOAD)
            assert outcome == Outcome(Result.RETRY, "tls", answer="certificate verify failed: self-signed certificate")
    logged = [record for record in caplog.records if record.getMessage() == "rockerbox_out_of_reach"]
    assert [(record.levelname, vars(record)["error"]) for record in logged] == [("ERROR", outcome.answer)]
    assert "OFFHOOK_CA_FILE" in vars(logged[0])["remedy"]


def test_a_folder_of_hashed_certificates_is_trusted_too(connect: Connect, tls: Tls, tmp_path: Path) -> None:
    digest = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(tls[1])], check=True, capture_output=True, text=True
    ).stdout.strip()
    (tmp_path / f"{digest}.0").write_bytes(tls[1].read_bytes())
    assert given({"OFFHOOK_CA_FILE": str(tmp_path)}).ca_file == str(tmp_path)
    with Sink(tls=tls[0]) as sink:
        assert connect(sink.url, ca_file=str(tmp_path)).send(PAYLOAD).result is Result.DELIVERED


def test_a_file_of_authorities_that_is_another_one_now_is_read_again(
    connect: Connect, tls: Tls, tmp_path: Path
) -> None:
    file = tmp_path / "authorities.pem"
    file.write_text("none\n")
    for _ in range(2):
        with pytest.raises(SettingsError, match="no certificate in PEM"):
            given({"OFFHOOK_CA_FILE": str(file)})
    file.write_bytes(Path(certifi.where()).read_bytes())
    with Sink(tls=tls[0]) as sink:
        assert given({"OFFHOOK_CA_FILE": str(file)}).ca_file == str(file)
        assert connect(sink.url, ca_file=str(file)).send(PAYLOAD).reason == "tls"
        file.write_bytes(tls[1].read_bytes())
        assert connect(sink.url, ca_file=str(file)).send(PAYLOAD).result is Result.DELIVERED


# ---- settings


@pytest.mark.parametrize("name", ["OFFHOOK_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("in_file", [False, True])
def test_the_authorities_are_those_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tls: Tls, tmp_path: Path, name: str, in_file: bool
) -> None:
    if in_file:
        (tmp_path / ".env").write_text(f"{name}={tls[1]}\n")
    else:
        monkeypatch.setenv(name, str(tls[1]))
    assert load().ca_file == str(tls[1])


def test_our_own_setting_comes_before_what_others_read(
    monkeypatch: pytest.MonkeyPatch, tls: Tls, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"OFFHOOK_CA_FILE={tls[1]}\n")
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nor/this")
    assert load().ca_file == str(tls[1])


@pytest.mark.parametrize("name", ["OFFHOOK_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["absent", "empty", "key", "der", "folder"])
def test_a_wrong_file_of_authorities_is_refused_at_the_start_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tls: Tls, tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / kind
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "key":
            path.write_bytes((tls[1].parent / "key.pem").read_bytes())
        case "der":
            path.write_bytes(ssl.PEM_cert_to_DER_cert(tls[1].read_text()))
        case "folder":
            path.mkdir()
    monkeypatch.setenv(name, str(path))
    with pytest.raises(SettingsError) as refused:
        load()
    words = {
        "absent": "cannot be read (No such file or directory); name a file",
        "empty": "holds no certificate in PEM",
        "key": "holds no certificate in PEM",
        "der": "convert it: openssl x509 -inform der",
        "folder": "openssl rehash",
    }
    assert words[kind] in str(refused.value)
    assert str(path) in str(refused.value) and name in str(refused.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", ""),
        ("proxy.corp:3128", "http://proxy.corp:3128"),
        (" http://proxy.corp ", "http://proxy.corp"),
        ("http://me:p%40ss@proxy.corp:3128/", "http://me:p%40ss@proxy.corp:3128/"),
        ("me:secret@proxy.corp:3128", "http://me:secret@proxy.corp:3128"),
        ("http://[::1]:3128", "http://[::1]:3128"),
    ],
)
def test_a_proxy_is_read_as_people_write_it(written: str, read: str) -> None:
    assert given({"OFFHOOK_EGRESS_PROXY": written}).egress_proxy.get_secret_value() == read
    assert not read or parse_proxy(read).port in (80, 3128)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:s3cret@proxy.corp:3128",
        "socks5://me:s3cret@proxy.corp:1080",
        "http://me:s3cret/x@proxy.corp:3128",
        "http://me:s3cret#x@proxy.corp",
        "http://me:s3cret?x@proxy.corp",
        "http://me:s3cret@proxy.corp:port",
        "http://me:s3cret@[::1",
        "http://me:s3cret@proxy.corp:99999",
        "http://me:s3cret@",
        "http://me:s3 cret@proxy.corp",
        "http://me:s3cret@proxy.corp/path",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_a_piece_of_it(url: str) -> None:
    with pytest.raises(SettingsError, match="OFFHOOK_EGRESS_PROXY: must ") as refused:
        given({"OFFHOOK_EGRESS_PROXY": url})
    assert "s3" not in str(refused.value)


# ---- Twilio's REST API


def asked_of_twilio(**options: str) -> list[object]:
    access = Access("AC" + "1" * 32, "user", "token", timeout_seconds=10.0, **options)
    return list(alerts(access, datetime(2026, 3, 1, tzinfo=UTC)))


def test_twilio_is_asked_through_the_proxy_with_the_named_authorities(tls: Tls) -> None:
    answer = sinks.answer(200, NO_ALERTS, {"Content-Type": "application/json"})
    with Sink(answer, tls=tls[0]) as sink, EgressProxy(sink.port, login=LOGIN) as proxy:
        api_url = f"https://127.0.0.1:{sink.port}"
        found = asked_of_twilio(api_url=api_url, ca_file=str(tls[1]), proxy_url=through(proxy, IN_URL))
        assert (found, len(sink.requests)) == ([], 1)
        assert [asked.line.partition(" HTTP")[0] for asked in proxy.asked] == [f"CONNECT 127.0.0.1:{sink.port}"]
        assert "proxy-authorization" not in sink.requests[0].headers


def test_twilio_in_plain_http_is_asked_through_the_proxy_too() -> None:
    answer = sinks.answer(200, NO_ALERTS, {"Content-Type": "application/json"})
    with Sink(answer) as sink, EgressProxy(sink.port, login=LOGIN) as proxy:
        assert asked_of_twilio(api_url="http://api.invalid", proxy_url=through(proxy, IN_URL)) == []
        assert proxy.asked[0].line.startswith("GET http://api.invalid/v1/Alerts?")


def test_a_proxy_s_user_without_a_password_is_named_to_it() -> None:
    answer = sinks.answer(200, NO_ALERTS, {"Content-Type": "application/json"})
    with Sink(answer) as sink, EgressProxy(sink.port, login="me:") as proxy:
        assert asked_of_twilio(api_url="http://api.invalid", proxy_url=through(proxy, "me")) == []


def test_the_environment_s_proxies_authorities_and_netrc_are_not_twilio_s(
    monkeypatch: pytest.MonkeyPatch, tls: Tls, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    answer = sinks.answer(200, NO_ALERTS, {"Content-Type": "application/json"})
    with Sink(answer, tls=tls[0]) as sink, Sink() as elsewhere:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{elsewhere.port}")
        assert asked_of_twilio(api_url=f"https://127.0.0.1:{sink.port}", ca_file=str(tls[1])) == []
        assert elsewhere.connections == 0
        assert sink.requests[0].headers["authorization"] == "Basic dXNlcjp0b2tlbg=="  # user:token


def test_twilio_s_certificate_that_is_not_trusted_is_reported_at_once(tls: Tls) -> None:
    with Sink(tls=tls[0]) as sink:
        with pytest.raises(TwilioRefused, match=r"certificate verify failed: self-signed certificate.*OFFHOOK_CA_FILE"):
            asked_of_twilio(api_url=f"https://127.0.0.1:{sink.port}")
        assert sink.connections == 1


def test_a_proxy_that_refuses_twilio_is_reported_at_once_without_its_password() -> None:
    with EgressProxy(1, login="me:other") as proxy:
        with pytest.raises(TwilioRefused, match=r"answered 407.*OFFHOOK_EGRESS_PROXY") as refused:
            asked_of_twilio(proxy_url=through(proxy, IN_URL))
        assert len(proxy.asked) == 1
        assert not [secret for secret in SECRETS if secret in str(refused.value)]
