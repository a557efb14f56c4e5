"""Whatever is sent, the door answers, and what it keeps can be read again."""

from __future__ import annotations

import gzip
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crm.core.json import dumps
from crm.events.sources import segment
from tests.events.conftest import Door

ODD = st.sampled_from(["\ud800", "\x00", "9" * 400, 10**400, -(2**63), 2**64, 1e308, ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ODD
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12)
FIELDS = ["type", "messageId", "anonymousId", "userId", "previousId", "groupId", "event", "name", "properties", "traits", "context", "timestamp", "sentAt"]
TIMES = st.sampled_from(["2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-00-00", "2026-11-22T03:00:00.123456789Z", "now"])
CALLS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6) | st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "page", "alias", "x"]), "userId": st.text() | st.integers(), "event": st.text()},
    optional={"timestamp": TIMES, "sentAt": TIMES, "properties": JSON, "context": JSON, "messageId": st.text()},
)
BATCHES = st.fixed_dictionaries({"batch": st.lists(CALLS | JSON, max_size=5) | JSON}, optional={"sentAt": TIMES | JSON, "context": JSON, "writeKey": JSON})
BODIES = CALLS | BATCHES | JSON
MANY = settings(max_examples=100)


@given(body=BODIES, endpoint=st.sampled_from(["track", "identify", "alias", "group", "batch", "page"]), zipped=st.booleans())
@MANY
def test_any_json_is_answered_without_a_5xx_and_what_is_kept_is_readable(door: Door, body: Any, endpoint: str, zipped: bool) -> None:
    ((before,),) = door.rows("SELECT coalesce(max(id), 0) FROM event_inbox")
    answer = door.post(f"/v1/{endpoint}", json.dumps(body).encode(), zipped=zipped)
    assert answer.status in {200, 400, 413}
    for (text,) in door.rows("SELECT body FROM event_inbox WHERE id > %s", before):
        call = segment.read(text)
        assert call.message_id
        assert dumps(call.properties)


@given(body=st.binary(max_size=400), zipped=st.booleans(), cut=st.integers(0, 30))
@MANY
def test_any_bytes_are_answered_without_a_5xx(door: Door, body: bytes, zipped: bool, cut: int) -> None:
    sent = gzip.compress(body)[: -cut or None] if zipped else body
    assert door.post("/v1/batch", sent).status in {200, 400}


@given(header=st.text(st.characters(max_codepoint=255), max_size=60), key=st.text(max_size=40))
@MANY
def test_any_header_is_answered_without_a_5xx(door: Door, header: str, key: str) -> None:
    body = json.dumps({"userId": "u", "event": "x", "writeKey": key}).encode()
    assert door.post("/v1/track", body, key=None, Authorization=header, Origin=header).status == 401


@given(text=st.text(st.sampled_from('\\u0"a\n\t\r'), max_size=30))
@MANY
def test_backslashes_and_controls_reach_the_inbox_unchanged(door: Door, text: str) -> None:
    ((before,),) = door.rows("SELECT coalesce(max(id), 0) FROM event_inbox")
    assert door.post("/v1/track", {"userId": "u", "event": "x", "messageId": "m", "properties": {"text": text}}).status == 200
    ((body,),) = door.rows("SELECT body FROM event_inbox WHERE id > %s", before)
    assert json.loads(body)["properties"]["text"] == text
