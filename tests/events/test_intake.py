"""The door over real HTTP: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import base64
import http.client
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, update
from sqlalchemy.orm import Session, sessionmaker

from crm.core.db import sqlalchemy_url
from crm.events.intake import Intake
from crm.events.models import Source
from crm.events.spec import MAX_BATCH, MAX_EVENT, lane_of
from tests.events.conftest import Door, config_for, with_keys
from tests.waiting import PATIENCE

NAMES = {"track": {"event": "Product Added"}, "page": {}, "screen": {}, "identify": {}, "group": {"groupId": "g"}, "alias": {"previousId": "old"}}


def one(**fields: object) -> dict[str, object]:
    return {"anonymousId": str(uuid.uuid4()), **fields}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("short", [False, True])
def test_every_call_is_taken_by_its_long_and_its_short_name(served: Door, kind: str, short: bool) -> None:
    body = one(**NAMES[kind])
    answer = served.post(f"/v1/{kind[0] if short else kind}", body)
    assert (answer.status, json.loads(answer.body)) == (200, {"success": True})
    (kept,) = served.kept("body LIKE %s", f"%{body['anonymousId']}%")
    assert kept["type"] == kind and kept["messageId"]


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b", "/v1/import"])
def test_a_batch_keeps_each_event_as_it_came(served: Door, path: str) -> None:
    mark = str(uuid.uuid4())
    text = f'{{"type":"track", "event":"Bought é\\n","userId": "{mark}", "properties":{{"price": 12.50}}, "messageId":"m1"}}'
    assert served.post(path, f'{{"batch": [{text}], "sentAt": "2026-01-02T03:04:05Z"}}'.encode()).status == 200
    ((body, sent_at, trusted, origin, lane),) = served.rows("SELECT body, sent_at, trusted, origin, lane FROM event_inbox WHERE body LIKE %s", f"%{mark}%")
    assert body == text
    assert (sent_at.isoformat()[:19], trusted, origin, lane) == ("2026-01-02T03:04:05", True, "live", lane_of(mark))


def test_gzip_is_unpacked(served: Door) -> None:
    body = one(event="Zipped")
    assert served.post("/v1/track", body, zipped=True).status == 200
    assert len(served.kept("body LIKE %s", f"%{body['anonymousId']}%")) == 1


def test_a_key_in_the_body_opens_and_is_not_kept(served: Door) -> None:
    body = one(event="By beacon", writeKey=served.browser_key)
    assert served.post("/v1/t", body, key=None, Content_Type="text/plain").status == 200
    ((text, trusted),) = served.rows("SELECT body, trusted FROM event_inbox WHERE body LIKE %s", f"%{body['anonymousId']}%")
    assert served.browser_key not in text and trusted is False


def test_a_key_in_a_batch_body_opens(served: Door) -> None:
    body = one(type="page")
    assert served.post("/v1/batch", {"batch": [body], "writeKey": served.server_key}, key=None).status == 200
    assert len(served.kept("body LIKE %s", f"%{body['anonymousId']}%")) == 1


def test_numbers_are_identities_too(served: Door) -> None:
    number = uuid.uuid4().int >> 70
    assert served.post("/v1/identify", {"userId": number}).status == 200
    assert served.kept("body LIKE %s", f"%{number}%")[0]["userId"] == number


def test_the_same_call_without_message_id_gets_the_same_one(served: Door) -> None:
    body = one(event="Twice", timestamp="2026-11-01T00:00:00Z")
    served.post("/v1/track", body)
    served.post("/v1/track", body)
    served.post("/v1/track", body, key=served.browser_key)
    ids = [kept["messageId"] for kept in served.kept("body LIKE %s", f"%{body['anonymousId']}%")]
    assert ids[0] == ids[1] != ids[2]


def test_context_of_a_batch_is_joined_to_each_event(served: Door) -> None:
    mark = str(uuid.uuid4())
    event = {"type": "track", "event": "E", "userId": mark, "context": {"ip": "1.2.3.4"}}
    served.post("/v1/batch", {"batch": [event], "context": {"ip": "0.0.0.0", "locale": "he"}})
    assert served.kept("body LIKE %s", f"%{mark}%")[0]["context"] == {"ip": "1.2.3.4", "locale": "he"}


def test_nul_is_dropped_and_other_escapes_are_not(served: Door) -> None:
    mark = str(uuid.uuid4())
    text = rf'{{"userId":"{mark}","event":"a\u0000b\\u0000c","messageId":"\u0000\u0000x"}}'
    assert served.post("/v1/track", text.encode()).status == 200
    (kept,) = served.kept("body LIKE %s", f"%{mark}%")
    assert (kept["event"], kept["messageId"]) == ("ab\\u0000c", "x")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/track", b"", "not JSON"),
        ("/v1/track", b'{"userId": "a", ', "not JSON"),
        ("/v1/track", b'{"userId": "\xff"}', "not JSON"),
        ("/v1/track", b'{"userId": "\\ud800", "event": "x"}', "not JSON"),
        ("/v1/track", b"\x1f\x8b broken", "gzip"),
        ("/v1/track", b"[]", "object"),
        ("/v1/track", b'{"userId": "a", "event": "x", "properties": 5}', "$.properties"),
        ("/v1/track", b'{"userId": true, "event": "x"}', "$.userId"),
        ("/v1/track", b'{"event": "x"}', "`userId` or `anonymousId`"),
        ("/v1/track", b'{"event": "x", "anonymousId": " "}', "`userId` or `anonymousId`"),
        ("/v1/track", b'{"event": "Product Updated", "properties": {"name": "Vase"}}', "`userId` or `anonymousId`"),
        ("/v1/track", b'{"userId": "a"}', "`event`"),
        ("/v1/group", b'{"userId": "a"}', "`groupId`"),
        ("/v1/alias", b'{"userId": "a"}', "`previousId`"),
        ("/v1/track", b'{"userId": "a", "event": "x", "properties": {"n": 99999999999999999999999}}', "64-bit"),
        ("/v1/track", b'{"userId": "a", "event": "x", "properties": {"n": ' + b"[" * 9000 + b"]" * 9000 + b"}}", "nested"),
        ("/v1/batch", b"{}", "batch"),
        ("/v1/batch", b'{"batch": 5}', "$.batch"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(served: Door, path: str, body: bytes, said: str) -> None:
    answer = served.post(path, body)
    assert answer.status == 400
    assert said in answer.error


def test_an_unknown_key_is_refused(served: Door) -> None:
    for key in ("nobody", None, "x" * 5000, "\u05d0"):
        assert served.post("/v1/track", one(event="x"), key=key).status == 401
    assert served.post("/v1/track", one(event="x", writeKey="nobody"), key=None).status == 401


def test_other_addresses_and_methods(served: Door) -> None:
    assert served.post("/v1/nothing", {}).status == 404
    answer = served.post("/v1/track", b"", method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_a_body_beyond_the_limit_is_refused_even_when_small_on_the_wire(served: Door) -> None:
    large = one(event="x", properties={"text": "x" * MAX_EVENT})
    assert served.post("/v1/track", large).status == 413
    assert served.post("/v1/track", large, zipped=True).status == 413
    assert served.post("/v1/batch", {"batch": [large] * (MAX_BATCH // MAX_EVENT + 1)}).status == 413
    assert served.post("/v1/batch", b" " * 50_000_000, zipped=True).status == 413
    assert served.post("/v1/batch", {"batch": [{}] * 3000}).status == 413


def chunked(door: Door, pieces: Iterator[bytes]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE)
    key = base64.b64encode(f"{door.server_key}:".encode()).decode()
    try:
        connection.request("POST", "/v1/track", pieces, {"Authorization": f"Basic {key}"}, encode_chunked=True)
        return connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        return 413  # the door closed while it came; what it said is lost where some of it was still on the way


def test_a_body_in_chunks_is_taken_and_limited_as_it_comes(served: Door) -> None:
    body = one(event="In chunks")
    text = json.dumps(body).encode()
    assert chunked(served, iter([text[:10], text[10:11], text[11:]])) == 200
    assert len(served.kept("body LIKE %s", f"%{body['anonymousId']}%")) == 1
    assert chunked(served, iter([b" " * 1000] * 40)) == 413
    assert chunked(served, iter([b" " * 100_000] * 1000)) == 413


def test_a_bad_event_in_a_batch_is_held_and_its_neighbours_are_taken(served: Door) -> None:
    mark = str(uuid.uuid4())
    good = {"type": "track", "event": "Good", "userId": mark, "messageId": "good"}
    bad = {
        "too_large": good | {"properties": {"text": "x" * MAX_EVENT}},
        "no_name": {"type": "track", "userId": mark},
        "no_identity": {"type": "page", "messageId": mark},
        "no_group": {"type": "group", "userId": mark},
        "bad_type": {"type": "tracc", "userId": mark},
        "bad_json": {"type": "track", "event": 5, "userId": mark},
    }
    answer = served.post("/v1/batch", {"batch": [good, *bad.values(), good]})
    assert (answer.status, json.loads(answer.body)) == (200, {"success": True})
    assert len(served.kept("body LIKE %s", f"%{mark}%")) == 2
    held = served.rows("SELECT reason, detail, body, trusted FROM quarantine WHERE body LIKE %s ORDER BY id", f"%{mark}%")
    assert [(reason, json.loads(body), trusted) for reason, _, body, trusted in held] == [(reason, body, True) for reason, body in bad.items()]
    assert all(detail for _, detail, _, _ in held)


def test_a_page_of_another_origin_may_call(served: Door) -> None:
    asked = served.post("/v1/t", b"", method="OPTIONS", key=None, Origin="https://shop.example", Access_Control_Request_Method="POST")
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, "https://shop.example")
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    answer = served.post("/v1/t", one(event="x"), Origin="https://shop.example")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert served.post("/v1/t", {}, Origin="https://shop.example").headers["access-control-allow-origin"] == "https://shop.example"


def test_a_source_may_name_its_origins(home: Path, fresh_url: str) -> None:
    door = with_keys(fresh_url)
    own = sessionmaker(_engine(fresh_url))
    with own() as session:
        session.execute(update(Source).where(Source.name == "shop").values(settings={"allowed_origins": ["https://shop.example/"]}))
        session.commit()
    door.intake = Intake(config_for(home, fresh_url), own)
    assert door.post("/v1/t", one(event="x"), Origin="https://shop.example").status == 200
    assert door.post("/v1/t", one(event="x")).status == 200
    refused = door.post("/v1/t", one(event="x"), Origin="https://thief.example")
    assert refused.status == 403 and "thief.example" in refused.error


def test_a_full_inbox_or_disk_sends_callers_away_for_a_while(home: Path, own_database: str, factory: sessionmaker[Session]) -> None:
    door = with_keys(own_database)
    door.intake = Intake(config_for(home, own_database), factory)
    assert door.post("/v1/track", one(event="x")).status == 200
    for limits, said in (({"most_waiting": 1}, "wait to be processed"), ({"least_disk": 1.0}, "disk is nearly full")):
        door.intake = Intake(config_for(home, own_database), factory, **limits)
        answer = door.post("/v1/track", one(event="x"))
        assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert said in answer.error


def test_without_a_database_callers_are_told_to_come_back(home: Path, own_database: str, factory: sessionmaker[Session], tmp_path: Path) -> None:
    door = with_keys(own_database)
    nowhere = f"postgresql://kesher@/kesher?host={tmp_path}"
    door.intake = Intake(config_for(home, nowhere), factory)  # keys are found, the writer fails
    answer = door.post("/v1/track", one(event="x"))
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    door.intake = Intake(config_for(home, nowhere), sessionmaker(_engine(nowhere)))
    assert door.post("/v1/track", one(event="x")).status == 503


def test_when_the_pages_hold_every_connection_callers_are_told_to_come_back(home: Path, own_database: str) -> None:
    door = with_keys(own_database)
    engine = create_engine(sqlalchemy_url(own_database), pool_size=1, max_overflow=0, pool_timeout=0.1)
    door.intake = Intake(config_for(home, own_database), sessionmaker(engine))
    with engine.connect():
        assert door.post("/v1/track", one(event="x")).status == 503
    assert door.post("/v1/track", one(event="x")).status == 200
    engine.dispose()


def _engine(url: str) -> Engine:
    return create_engine(sqlalchemy_url(url), poolclass=NullPool)
