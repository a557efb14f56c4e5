"""Segment's HTTP tracking API: from a request body to rows, each event's JSON kept as it came.

Source: segment.com/docs/connections/sources/catalog/libraries/server/http-api and the Segment spec's common fields.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from crm.core.clock import parse_time
from crm.core.errors import InvalidError, TooLargeError
from crm.core.json import keepable, without_nul
from crm.events import goods
from crm.events.source import Held, HeldError, Parsed, Row, foreign, misunderstood
from crm.events.spec import MAX_BATCH, MAX_EVENT, TYPES, Call, event_name, lane_of

MAX_EVENTS = 2500  # in one batch, as Segment allows
SHORT = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias", "b": "batch"}
ENDPOINTS = {**{name: name for name in TYPES}, "batch": "batch", "import": "batch", **SHORT}
REQUIRED = {"track": ("event", "no_name"), "group": ("group_id", "no_group"), "alias": ("previous_id", "no_identity")}
FIELDS = {"event": "event", "group_id": "groupId", "previous_id": "previousId"}
_KEY = re.compile(r"[A-Za-z0-9_-]{20,200}")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Single(Call, kw_only=True):
    """The body of a single call: its type is the address's, its key may lie in the body."""

    type: str = ""
    write_key: str | None = None


class Batch(msgspec.Struct, rename="camel"):
    """The body of a batch call; the events stay text."""

    batch: list[msgspec.Raw]
    write_key: str | None = None
    sent_at: str | None = None
    context: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A body that is JSON of the right shape; `type` is the address's (`batch` or that of a single call)."""

    type: str
    body: bytes
    content: Single | Batch


_single = msgspec.json.Decoder(Single).decode
_batch = msgspec.json.Decoder(Batch).decode
_call = msgspec.json.Decoder(Call).decode


def limit(kind: str) -> int:
    """How many bytes a body for this endpoint may have after gunzip."""
    return MAX_BATCH if kind == "batch" else MAX_EVENT


def open_body(kind: str, body: bytes) -> Opened:
    """Read a body for the endpoint `kind` (a value of ENDPOINTS); InvalidError names what is wrong with it."""
    body = without_nul(body)
    try:
        body.decode()  # what is skipped is not checked by the decoder
        content = _batch(body) if kind == "batch" else _single(body)
    except msgspec.ValidationError as error:
        raise InvalidError(f"The call is not understood: {error}") from error
    except _UNREADABLE as error:
        raise InvalidError(f"The body is not JSON: {_sentence(error)}") from error
    if isinstance(content, Batch) and len(content.batch) > MAX_EVENTS:
        raise TooLargeError(f"A batch holds at most {MAX_EVENTS} events; this one has {len(content.batch)}. Send it in parts.")
    if isinstance(content, Batch):
        storable(content.context)
    return Opened(kind, body, content)


def parse(opened: Opened, seed: bytes) -> Parsed:
    """The rows of an opened body; `seed` (the key's digest) enters the messageIds made here.

    A single call that cannot be taken raises HeldError; in a batch it is held back and the others go on.
    """
    if isinstance(opened.content, Single):
        body = _hide_key(opened.body, opened.content.write_key)
        check(opened.content, opened.type)
        text = spliced(body, {"type": opened.type}) if opened.content.type != opened.type else body
        return Parsed([_row(opened.content, text, seed, parse_time(opened.content.sent_at))])
    return _parse_batch(opened.content, seed)


def _parse_batch(batch: Batch, seed: bytes) -> Parsed:
    sent_at = parse_time(batch.sent_at)
    rows: list[Row] = []
    held: list[Held] = []
    for raw in batch.batch:
        text = bytes(raw)
        try:
            rows.append(_one_of_batch(text, batch, seed, sent_at))
        except HeldError as error:
            held.append(Held(error.reason, error.detail, sent_at, text))
    return Parsed(rows, held)


def _one_of_batch(text: bytes, batch: Batch, seed: bytes, sent_at: dt.datetime | None) -> Row:
    if len(text) > MAX_EVENT:
        raise HeldError("too_large", "bytes", size=len(text), limit=MAX_EVENT)
    call = read(text)
    check(call, call.type)
    if batch.context:
        text = spliced(text, {"context": {**batch.context, **(call.context or {})}})
    return _row(call, text, seed, sent_at or parse_time(call.sent_at))


def read(text: bytes | str) -> Call:
    """One event's JSON as a call; HeldError `bad_json` where it is none."""
    try:
        return _call(text)
    except (*_UNREADABLE, ValueError) as error:
        raise misunderstood(_sentence(error)) from error


def check(call: Call, kind: str) -> None:
    """A call of this type says who and what; HeldError names the missing field and carries its reason."""
    if kind not in TYPES:
        raise HeldError("bad_type", "type", type=kind[:40], types=", ".join(TYPES))
    if not (_given(call.user_id) or _given(call.anonymous_id)) and not goods.variant_of(event_name(call), call.properties):
        raise HeldError("no_identity", "nobody")
    name, reason = REQUIRED.get(kind, ("", ""))
    if name and not _given(getattr(call, name)):
        raise HeldError(reason, "missing", field=FIELDS[name], type=kind)
    foreign(call.event or "")
    storable(call.properties, call.traits, call.context, call.external_ids)


def storable(*values: object) -> None:
    """Later steps can write these as JSON again; HeldError for numbers beyond 64 bits and nesting beyond 200 levels."""
    try:
        for value in values:
            if value:
                keepable(value)
    except TypeError as error:
        raise misunderstood(str(error), "unstorable") from error


def made_id(seed: bytes, body: bytes) -> str:
    """The messageId of a call that came without: the same call under the same key gets the same one."""
    return "made-" + hashlib.sha256(seed + body).hexdigest()[:40]


def spliced(body: bytes, fields: dict[str, Any]) -> bytes:
    """A JSON object's text with fields put at its end, where they win over earlier ones; the rest stays as it came."""
    return body.rstrip()[:-1] + b"," + orjson.dumps(fields)[1:]


def _row(call: Call, text: bytes, seed: bytes, sent_at: dt.datetime | None) -> Row:
    if not call.message_id.strip():
        text = spliced(text, {"messageId": made_id(seed, text)})
    identity = call.user_id if _given(call.user_id) else call.anonymous_id if _given(call.anonymous_id) else goods.key_of(call.properties or {})
    return Row(lane_of(str(identity)), sent_at, text)


def _given(value: object) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value is not None


def _hide_key(body: bytes, key: str | None) -> bytes:
    """A write key is a secret: what is stored does not hold it."""
    return body.replace(f'"{key}"'.encode(), b'"-"') if key and _KEY.fullmatch(key) else body


def _sentence(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
