"""A recording's lines: what is written is read again, and a mistake is named with its place and its remedy."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.adapters.recordings.format import (
    KEPT_HEADERS,
    SIGNINGS,
    Record,
    RecordingError,
    body_of,
    dump,
    from_raw_callback,
    from_request,
    parameters,
    parse,
    read,
    with_parameters,
)
from offhook.adapters.twilio import reading
from offhook.pipeline.callback import RawCallback
from recordings.make import LIBRARY, files
from tests.support.arriving import read_request

pytestmark = pytest.mark.unit

LIBRARY_FOLDER = Path(__file__).parent.parent / "recordings"
AT = datetime(2026, 3, 12, 14, 0, 0, 350_000, tzinfo=UTC)
ACCOUNT_SID = "AC00000000000000000000000000000001"

texts = st.text(max_size=30)  # any character, but no half of one
pairs = st.lists(st.tuples(texts | st.sampled_from(["From", "CallSid"]), texts), max_size=8).map(tuple)
moments = st.datetimes(timezones=st.just(UTC))
paths = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?"), max_size=20).map(
    "/".__add__
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
headers = st.lists(st.tuples(st.sampled_from(KEPT_HEADERS), header_values), max_size=4).map(tuple)


@st.composite
def records(draw: st.DrawFn) -> Record:
    kind = draw(st.sampled_from(["form", "json", "get"]))
    record = Record(
        received_at=draw(moments),
        method="GET" if kind == "get" else "POST",
        path_and_query=draw(paths),
        headers=draw(headers),
        form=draw(pairs) if kind == "form" else None,
        json=json.dumps(draw(st.dictionaries(texts, texts, max_size=3))) if kind == "json" else None,
        about=draw(texts),
        captured=draw(st.booleans()),
        signing=draw(st.sampled_from(SIGNINGS)),
    )
    return with_parameters(record, draw(pairs)) if kind == "get" else record


@given(records())
def test_a_record_survives_its_line(record: Record) -> None:
    line = dump(record)
    assert "\n" not in line
    assert parse(line.encode()) == record


@given(st.lists(records(), max_size=5))
def test_lines_are_read_one_by_one_with_blank_ones_between(many: list[Record]) -> None:
    lines = [text for record in many for text in (dump(record) + "\n", "\n")]
    assert list(read(lines)) == many


@given(pairs)
def test_the_body_that_is_sent_reads_as_the_recorded_pairs(form: tuple[tuple[str, str], ...]) -> None:
    body, content_type = body_of(Record(AT, "POST", "/", form=form))
    assert tuple(parse_qsl(body.decode(), keep_blank_values=True)) == form or form == (("", ""),)
    assert content_type.startswith("application/x-www-form-urlencoded")


@given(pairs, st.sampled_from(["POST", "GET"]))
def test_a_stored_callback_reads_the_same_after_export(form: tuple[tuple[str, str], ...], method: str) -> None:
    """As the receiver reads it: export and replay must not change one parameter."""
    kept = tuple(pair for pair in form if pair != ("", ""))
    encoded = "&".join(f"{quote(name)}={quote(value)}" for name, value in kept)
    target, body = ("/s", encoded.encode()) if method == "POST" else (f"/s?{encoded}", b"")
    raw = _raw(method, target, "application/x-www-form-urlencoded", body)
    record = from_raw_callback(raw)
    assert parameters(record) == reading.pairs(raw) == kept
    sent, content_type = body_of(record)
    assert reading.pairs(_raw(method, record.path_and_query, content_type, sent)) == kept


def _raw(method: str, target: str, content_type: str, body: bytes, source: str = "webhook") -> RawCallback:
    headers = (("User-Agent", "TwilioProxy/1.1"),)
    return RawCallback("key", ACCOUNT_SID, "CA1", None, AT, method, target, content_type, headers, body, source)


def test_an_event_of_the_ledger_keeps_its_json_to_the_letter_and_loses_the_hash_of_its_batch() -> None:
    text = '[{"id": "EZ1", "data": {"request": {"parameters": {"FromCity": "ZÜRICH"}}}}]'
    raw = _raw("POST", "/s?a=1&bodySHA256=00ff&b=2", "application/json", text.encode(), reading.EVENT_STREAM)
    record = from_raw_callback(raw)
    assert (record.json, record.form, record.path_and_query) == (text, None, "/s?a=1&b=2")
    assert body_of(record) == (text.encode(), "application/json")


def test_bytes_that_are_no_utf8_are_read_as_the_receiver_reads_them() -> None:
    raw = _raw("POST", "/s", "application/x-www-form-urlencoded", b"FromCity=Z%FCrich&x=\xff")
    assert parameters(from_raw_callback(raw)) == reading.pairs(raw) == (("FromCity", "Z�rich"), ("x", "�"))


def test_the_parameters_of_a_record_are_where_twilio_puts_them_however_its_method_is_spelled() -> None:
    at_its_address = Record(AT, "get", "/s?CallSid=CA1#x")
    assert parameters(at_its_address) == (("CallSid", "CA1"),)
    assert parameters(replace(at_its_address, method="POST", json="[]")) == ()


def test_a_target_with_raw_bytes_is_percent_encoded_and_reads_the_same() -> None:
    target = "/s?FromCity=Zürich".encode().decode("latin-1")  # as WSGI hands it over
    record = from_raw_callback(_raw("GET", target, "", b""))
    assert record.path_and_query == "/s?FromCity=Z%C3%BCrich"
    assert parameters(record) == (("FromCity", "Zürich"),)
    assert parse(dump(record)) == record


def test_secrets_in_headers_never_reach_a_record() -> None:
    secret = [("X-Twilio-Signature", "s3cret"), ("Authorization", "Basic s3cret"), ("cookie", "s3cret")]
    record = from_request("POST", "/s", [*secret, ("user-agent", "TwilioProxy/1.1")], b"CallSid=CA1", AT)
    assert record.headers == (("User-Agent", "TwilioProxy/1.1"),)
    assert "s3cret" not in dump(record)


GOOD: dict[str, Any] = json.loads(dump(Record(AT, "POST", "/twilio/status", form=(("CallSid", "CA1"),))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": None}, ['"version"', "missing", 'write "version": 1']),
        ({"version": 2}, ['"version"', "update Offhook"]),
        ({"version": True}, ['"version"', "true"]),
        ({"received_at": "2026-03-12T14:00:00"}, ['"received_at"', "with its zone"]),
        ({"received_at": "yesterday"}, ['"received_at"', "yesterday"]),
        ({"received_at": None}, ['"received_at"', "must be a string"]),
        ({"received_at": "0001-01-01T00:00:00+23:00"}, ['"received_at"']),
        ({"recieved_at": "x"}, ['"recieved_at"', "unknown", "received_at"]),
        ({"method": "PUT"}, ['"method"', "PUT", '"POST" or "GET"']),
        ({"path_and_query": "https://example.com/x"}, ['"path_and_query"', "begins with /"]),
        ({"path_and_query": "/x y"}, ['"path_and_query"', "percent-encoded"]),
        ({"path_and_query": "/x\r\nHost: evil"}, ['"path_and_query"']),
        ({"path_and_query": "/x#rc=5"}, ['"path_and_query"', "#"]),
        ({"form": {"CallSid": "CA1"}}, ['"form"', "pairs"]),
        ({"form": [["CallSid", "CA1"], ["To", 1]]}, ['"form", entry 2', "pair of strings"]),
        ({"form": [["CallSid"]]}, ['"form", entry 1']),
        ({"form": [["a", "\ud800"]]}, ['"form, entry 1"', "surrogate"]),
        ({"form": None}, ['"form"', "pairs"]),
        ({"json": "[]"}, ['"form"', '"json"', "one of them"]),
        ({"method": "GET"}, ["GET", "neither"]),
        ({"headers": [["X-Twilio-Signature", "abc"]]}, ['"headers"', "X-Twilio-Signature", "remove it"]),
        ({"headers": [["User-Agent", "a\r\nb: c"]]}, ['"headers"', "User-Agent"]),
        ({"captured": "no"}, ['"captured"', "true or false"]),
        ({"signing": "md5"}, ['"signing"', "shared_key_sha256"]),
        ({"about": 1}, ['"about"', "string"]),
    ],
)
def test_a_mistake_is_reported_with_file_line_field_and_remedy(
    tmp_path: Path, change: dict[str, Any], words: list[str]
) -> None:
    bad = {name: value for name, value in {**GOOD, **change}.items() if value is not None or name in ("form",)}
    path = tmp_path / "calls.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(bad)}\n", encoding="utf-8")
    with pytest.raises(RecordingError) as refused:
        list(read(path))
    message = str(refused.value)
    assert message.startswith(f"{path}, line 3: ")
    for word in words:
        assert word in message


def test_a_json_body_that_is_no_json_is_refused() -> None:
    bad = {name: value for name, value in GOOD.items() if name != "form"} | {"json": "{"}
    with pytest.raises(RecordingError, match='field "json" is not the text of a JSON body'):
        parse(json.dumps(bad))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not one JSON object"),
        (b"[]", "in braces"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b"[" * 200_000, "not one JSON"),
    ],
)
def test_a_line_that_is_no_record_is_refused(tmp_path: Path, line: bytes, words: str) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(line)
    with pytest.raises(RecordingError, match=words) as refused:
        list(read(path))
    assert f"{path}, line 1" in str(refused.value)


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps({"version": 1, "form": text}).encode())
)
def test_no_line_whatever_raises_anything_else(line: bytes) -> None:
    with contextlib.suppress(RecordingError):
        parse(line)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read(tmp_path / "none.jsonl"))


def test_a_file_is_read_as_a_stream(tmp_path: Path) -> None:
    """The first record is there before a mistake in the second line is."""
    path = tmp_path / "calls.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\nbroken\n", encoding="utf-8")
    stream = read(path)
    assert next(stream).form == (("CallSid", "CA1"),)
    with pytest.raises(RecordingError, match="line 2"):
        next(stream)


def test_the_library_is_what_its_generator_makes() -> None:
    for name, text in files().items():
        assert (LIBRARY_FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run python -m recordings.make"
    assert {path.stem for path in LIBRARY_FOLDER.glob("*.jsonl")} == set(LIBRARY)


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_each_recording_says_what_it_shows_and_that_it_is_assembled(name: str) -> None:
    recording = list(read(LIBRARY_FOLDER / f"{name}.jsonl"))
    assert recording
    assert all(record.about and not record.captured for record in recording)


def test_the_readme_names_every_recording() -> None:
    readme = (LIBRARY_FOLDER / "README.md").read_text(encoding="utf-8")
    missing = [name for name in LIBRARY if f"`{name}.jsonl`" not in readme]
    assert missing == []


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_every_recording_is_a_callback_to_the_receiver(name: str) -> None:
    """Read by Offhook's own reading, which knows nothing of recordings."""
    for record in read(LIBRARY_FOLDER / f"{name}.jsonl"):
        body, content_type = body_of(record)
        found = read_request(
            record.method,
            record.path_and_query,
            content_type,
            dict(record.headers),
            body,
            record.received_at,
            ACCOUNT_SID,
        )
        assert isinstance(found, tuple), found
        assert all(reading.read(raw).status != "unknown" for raw in found)
