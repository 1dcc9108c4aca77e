"""Behind a company's network: why nothing gets through is said, and a proxy and an authority let it through."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from tests.sinks import Sink
from tests.support import ledger
from tests.support.egress import EgressProxy
from tests.support.processes import flask
from tests.support.twilio import callback, new_sid
from tests.support.waiting import wait_until
from tests.system.conftest import Offhook

pytestmark = pytest.mark.mostly("sqlite")

UNTRUSTED = "certificate verify failed: self-signed certificate"
LOGIN = "me:s3cret"
IN_TIME = {"OFFHOOK_DEADLINE_SECONDS": "10", "OFFHOOK_LEASE_SECONDS": "20"}


def attempts(offhook: Offhook, where: str) -> int:
    return ledger.count(offhook.database_url, "attempts", where)


def test_what_a_certificate_lacks_is_said_and_a_named_authority_and_a_proxy_let_conversions_through(
    offhook: Offhook, tls: tuple[ssl.SSLContext, Path]
) -> None:
    sid = new_sid()
    with Sink(tls=tls[0]) as sink, EgressProxy(sink.port, login=LOGIN) as proxy:
        way = {
            "ROCKERBOX_URL": f"https://127.0.0.1:{sink.port}/x",
            "OFFHOOK_EGRESS_PROXY": f"http://{LOGIN}@127.0.0.1:{proxy.port}",
            **IN_TIME,
        }
        with offhook.web() as web, offhook.worker(**way) as worker:
            assert web.twilio.send(callback(sid)).status == 204
            untrusted = f"reason = 'tls' AND answer = '{UNTRUSTED}' AND status_code IS NULL"
            wait_until(lambda: attempts(offhook, untrusted) >= 2, shows=lambda: worker.log[-2000:])
            worker.wait_for_log("rockerbox_out_of_reach")
            lines = [json.loads(line) for line in worker.log.splitlines() if "rockerbox_out_of_reach" in line]
            assert [(line["level"], line["reason"], line["error"]) for line in lines] == [("ERROR", "tls", UNTRUSTED)]
            shown = flask("conversions", "show", sid, env=offhook.env(), folder=offhook.folder)
            assert UNTRUSTED in shown.stdout
            assert sink.requests == []
        with offhook.worker(OFFHOOK_CA_FILE=str(tls[1]), **way) as trusting:
            wait_until(lambda: offhook.states() == {"delivered": 1}, shows=lambda: trusting.log[-2000:])
        assert len(sink.requests) == 1
        assert {asked.line for asked in proxy.asked} == {f"CONNECT 127.0.0.1:{sink.port} HTTP/1.1"}
        assert "s3cret" not in worker.log + trusting.log + shown.stdout


def test_a_wrong_authority_or_proxy_keeps_a_worker_from_starting_with_what_to_do(offhook: Offhook) -> None:
    env = offhook.env(SSL_CERT_FILE="/no/such/file.pem", OFFHOOK_EGRESS_PROXY="socks5://me:s3cret@proxy:1080")
    done = flask("worker", env=env, folder=offhook.folder)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "OFFHOOK_CA_FILE: /no/such/file.pem, which it names (or SSL_CERT_FILE" in said
    assert "OFFHOOK_EGRESS_PROXY: must be like http://" in said
    assert "s3cret" not in said
