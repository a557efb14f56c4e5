"""The JSON API: tokens and roles, what each path answers, and that it always answers."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from crm.consent import suppression
from crm.consent.models import ConsentEntry, ConsentEvidence
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.ids import new_id
from crm.events.models import InboxRow, QuarantinedCall, Source, WriteKey
from crm.messages.models import Decision, Message
from crm.profiles import tombstones
from crm.profiles.models import Identity, Profile
from crm.profiles.search import refresh_search
from crm.web.app import create_app
from crm.web.models import ApiToken, AuditEntry
from crm.web.tokens import create_token, revoke_token, tokens
from tests import makers

SECRET = "a secret of this test"


class Caller:
    """The API as a program with one token sees it."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self.client, self.headers = client, {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **query: Any) -> TestResponse:
        return self.client.get(f"/api/v1{path}", query_string=query, headers=self.headers)

    def post(self, path: str, **body: Any) -> TestResponse:
        return self.client.post(f"/api/v1{path}", json=body, headers=self.headers)


@pytest.fixture
def app(session: Session) -> Flask:
    config = Config(home=Path("."), database_url="", redis_url="memory://", smtp_url="", secret_key=SECRET)
    connection = session.connection()
    return create_app(config, lambda: Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint"))


@pytest.fixture
def call(app: Flask, session: Session) -> Caller:
    return Caller(app.test_client(), create_token(session, name="test", role="admin"))


@pytest.fixture
def dana(session: Session, now: dt.datetime) -> uuid.UUID:
    dana = new_id()
    session.execute(insert(Profile).values(id=dana, bucket=1, known=True, name="דנה לוי", traits={"city": "חיפה"}, first_seen=now, last_seen=now))
    rows = [
        {"kind": kind, "value": value, "profile_id": dana, "first_seen": now}
        for kind, value in [("email", "dana@example.com"), ("phone", "+972545550142"), ("external:shop", "a:7")]
    ]
    session.execute(insert(Identity), rows)
    refresh_search(session, [dana])
    return dana


def test_without_a_good_token_nothing_is_told(app: Flask, session: Session, now: dt.datetime) -> None:
    client, secret = app.test_client(), create_token(session, name="old", role="admin")
    revoke_token(session, tokens(session)[0].id, now)
    session.flush()
    for headers in [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Basic {secret}"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {secret}"},
    ]:
        answer = client.get("/api/v1/profiles", headers=headers)
        assert answer.status_code == 401
        assert "kesher token create" in answer.get_json()["error"]


def test_a_cookie_opens_nothing(app: Flask, session: Session) -> None:
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = "1:0"
    assert client.get("/api/v1/messages").status_code == 401
    assert client.post("/api/v1/consents", json={}).status_code == 401


def test_a_token_is_kept_as_a_digest_and_its_use_is_noted(call: Caller, session: Session) -> None:
    secret = call.headers["Authorization"].removeprefix("Bearer ")
    assert call.get("/profiles").status_code == 200
    row = session.scalars(select(ApiToken)).one()
    assert row.last_used_at is not None
    assert secret.encode() not in row.digest


@pytest.mark.parametrize(
    ("role", "path", "status"), [("viewer", "/profiles", 200), ("viewer", "/sources", 403), ("sales", "/quarantine", 403), ("marketer", "/quarantine", 200)]
)
def test_roles_are_enforced(app: Flask, session: Session, role: str, path: str, status: int) -> None:
    assert Caller(app.test_client(), create_token(session, name="", role=role)).get(path).status_code == status


def test_a_viewer_may_not_write_consent(app: Flask, session: Session) -> None:
    viewer = Caller(app.test_client(), create_token(session, name="", role="viewer"))
    assert viewer.post("/consents", address="a@example.com", topic="offers", action="refused", source="x").status_code == 403
    assert session.scalar(select(func.count()).select_from(ConsentEntry)) == 0


@pytest.mark.parametrize("identity", ["email:Dana@Example.com", "phone:054-555-0142", "external:shop:a:7"])
def test_a_person_is_found_by_identity_in_any_spelling(call: Caller, dana: uuid.UUID, identity: str) -> None:
    found = call.get("/profiles", identity=identity).get_json()
    assert [one["id"] for one in found["items"]] == [str(dana)]


def test_an_unknown_identity_is_an_empty_list_and_a_malformed_one_a_sentence(call: Caller) -> None:
    assert call.get("/profiles", identity="email:nobody@example.com").get_json() == {"items": [], "next": None}
    assert call.get("/profiles", identity="shoe:44").status_code == 400
    assert "no email" in call.get("/profiles", identity="email:not an address").get_json()["error"]


def test_a_person_is_found_by_words_and_read_whole(call: Caller, dana: uuid.UUID) -> None:
    assert [one["name"] for one in call.get("/profiles", search="לוי").get_json()["items"]] == ["דנה לוי"]
    whole = call.get(f"/profiles/{dana}").get_json()
    assert (whole["name"], whole["traits"][0]["value"], len(whole["identities"])) == ("דנה לוי", "חיפה", 3)
    assert call.get(f"/profiles/{dana}/timeline").get_json() == {"items": [], "next": None}
    assert call.get(f"/profiles/{new_id()}").status_code == call.get(f"/profiles/{new_id()}/timeline").status_code == 404


def test_a_list_is_read_page_by_page(call: Caller, session: Session, now: dt.datetime) -> None:
    session.execute(
        insert(Profile), [{"id": new_id(), "bucket": 0, "known": True, "first_seen": now, "last_seen": now - dt.timedelta(seconds=n)} for n in range(5)]
    )
    first = call.get("/profiles", limit=3).get_json()
    second = call.get("/profiles", limit=3, cursor=first["next"]).get_json()
    assert len({one["id"] for one in first["items"] + second["items"]}) == 5
    assert second["next"] is None


@pytest.mark.parametrize(
    ("path", "query", "place"),
    [
        ("/profiles", {"limit": 0}, "limit"),
        ("/profiles", {"who": "me"}, "who"),
        ("/messages", {"since": "yesterday"}, "since"),
        ("/messages", {"colour": "red"}, "colour"),
    ],
)
def test_what_is_not_understood_names_the_place(call: Caller, path: str, query: dict[str, Any], place: str) -> None:
    answer = call.get(path, **query)
    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith(place)


def test_messages_tell_what_became_of_them_and_why(call: Caller, session: Session, dana: uuid.UUID, now: dt.datetime) -> None:
    values = {"profile_id": dana, "channel": "email", "template": "t", "topic": "offers", "purpose": "marketing"}
    dropped, sent = new_id(), new_id()
    session.execute(
        insert(Message), [{**values, "id": dropped, "status": "dropped", "reason": "no_consent"}, {**values, "id": sent, "status": "sent", "reason": None}]
    )
    session.execute(insert(Decision).values(profile_id=dana, message_id=dropped, stage="cheap", answer="drop", reason="no_consent"))
    assert [one["id"] for one in call.get("/messages", status="dropped", profile_id=str(dana)).get_json()["items"]] == [str(dropped)]
    whole = call.get(f"/messages/{dropped}").get_json()
    assert (whole["message"]["profile"], whole["decisions"][0]["reason"]) == ("דנה לוי", "no_consent")
    assert call.get(f"/messages/{new_id()}").status_code == 404


GRANT = {
    "address": "Dana@Example.com",
    "topic": "offers",
    "action": "granted",
    "wording": "I want offers by e-mail",
    "source": "checkout",
    "proof": {"ip": "127.0.0.1", "page": 7},
}


def test_consent_is_recorded_once_with_its_proof(call: Caller, session: Session, dana: uuid.UUID) -> None:
    first, again = call.post("/consents", **GRANT), call.post("/consents", **GRANT)
    assert (first.status_code, first.get_json()["changed"], again.get_json()["changed"]) == (200, True, False)
    entry = session.scalars(select(ConsentEntry)).one()
    assert (entry.action, entry.purpose, entry.source, entry.wording) == ("granted", "marketing", "api: checkout", GRANT["wording"])
    assert session.scalars(select(ConsentEvidence)).one().proof == {"ip": "127.0.0.1", "page": 7}
    assert session.scalar(select(func.count()).select_from(InboxRow).where(InboxRow.body.contains("Consent Granted"))) == 1
    assert session.scalar(select(func.count()).select_from(AuditEntry)) == 2


def test_an_explicit_grant_lifts_a_refusal_and_an_unsubscribe_but_not_a_complaint(call: Caller, session: Session, now: dt.datetime) -> None:
    hashed = Keys(SECRET).address_hash("email", "dana@example.com")
    for reason in ("unsubscribed", "complaint"):
        session.execute(
            text("INSERT INTO suppressions (address_hash, channel, reason, at) VALUES (:hash, 'email', :reason, :now)"),
            {"hash": hashed, "reason": reason, "now": now},
        )
    assert call.post("/consents", address="dana@example.com", topic="offers", action="refused", source="call centre").get_json()["changed"]
    after = call.post("/consents", **GRANT).get_json()
    assert [one["action"] for one in after["consents"]] == ["granted"]
    assert [one["reason"] for one in after["stops"]] == ["complaint"]
    history = call.get("/consents", address="DANA@example.com").get_json()["history"]
    assert [one["action"] for one in history] == ["refused", "granted"]


def stop(session: Session, address: str, channel: str, reason: str, now: dt.datetime) -> None:
    kind = "email" if "@" in address else "phone"
    suppression.suppress(session, address_hash=Keys(SECRET).address_hash(kind, address), channel=channel, reason=reason, detail="", now=now)


def test_who_was_erased_and_says_yes_anew_is_written_to_at_that_address_and_no_import_is_let_in(call: Caller, session: Session, now: dt.datetime) -> None:
    for address, channel in (("dana@example.com", "email"), ("dana@work.example", "email"), ("+972505550199", "sms")):
        stop(session, address, channel, "erased", now)
    tombstones.bury(session, tombstones.hashes_of(Keys(SECRET), [], [("email", "dana@example.com")]), now)
    assert call.post("/consents", **GRANT).get_json()["stops"] == []
    assert session.scalar(text("SELECT count(*) FROM suppressions WHERE reason = 'erased'")) == 2, "her other addresses said nothing"
    imported = makers.accepted(makers.identify({"email": "dana@example.com", "city": "Haifa"}, at=now), now, origin="history")
    assert tombstones.living(session, [imported], Keys(SECRET)) == []


def test_a_yes_to_service_messages_does_not_lift_an_unsubscribe(call: Caller, session: Session, now: dt.datetime) -> None:
    stop(session, "dana@example.com", "email", "unsubscribed", now)
    assert [one["reason"] for one in call.post("/consents", **GRANT | {"topic": "service"}).get_json()["stops"]] == ["unsubscribed"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"proof": {}}, "proof"),
        ({"wording": None}, "wording"),
        ({"topic": "shoes"}, "topic"),
        ({"address": "nobody"}, "address"),
        ({"channel": "sms"}, "channel"),
        ({"action": "maybe"}, "action"),
        ({"wording": " "}, "wording"),
    ],
)
def test_a_consent_that_proves_nothing_is_refused(call: Caller, session: Session, change: dict[str, Any], place: str) -> None:
    answer = call.post("/consents", **{**GRANT, **change})
    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith(place)
    assert session.scalar(select(func.count()).select_from(ConsentEntry)) == 0


def test_a_body_that_is_no_json_is_told_so(call: Caller) -> None:
    answer = call.client.post("/api/v1/consents", data="{", headers=call.headers)
    assert (answer.status_code, "Content-Type" in answer.get_json()["error"]) == (400, True)


def test_sources_show_hints_of_their_keys_only(call: Caller, session: Session) -> None:
    source = session.scalar(insert(Source).values(name="shop").returning(Source.id))
    session.execute(insert(WriteKey).values(source_id=source, kind="server", digest=b"secret digest", hint="abcd"))
    shown = call.get("/sources")
    assert [(one["name"], [key["hint"] for key in one["keys"]]) for one in shown.get_json()["items"]] == [("kesher", []), ("shop", ["abcd"])]
    assert "digest" not in shown.get_data(as_text=True)


def test_held_calls_are_listed_and_replayed(call: Caller, session: Session, now: dt.datetime) -> None:
    bodies = ['{"type": "track", "event": "Product Added", "anonymousId": "a1", "messageId": "m1"}', '{"type": "track"}']
    made = [
        session.scalar(
            insert(QuarantinedCall)
            .values(received_at=now, source_id=1, trusted=True, origin="live", reason="too_large", detail="", body=body)
            .returning(QuarantinedCall.id)
        )
        for body in bodies
    ]
    session.execute(text("UPDATE quarantine SET source_id = 77"))
    page = call.get("/quarantine", limit=1).get_json()
    assert [one["id"] for one in page["items"] + call.get("/quarantine", limit=1, cursor=page["next"]).get_json()["items"]] == made[::-1]
    done = call.post("/quarantine/replay", ids=made).get_json()
    assert (done["replayed"], list(done["refused"])) == (1, [str(made[1])])
    assert [one["id"] for one in call.get("/quarantine").get_json()["items"]] == [made[1]]


def test_a_body_beyond_the_limit_is_refused(call: Caller) -> None:
    assert call.post("/consents", address="x" * 2_000_000).status_code == 413


IN_ORDER_OF_TIME_OR_ID = ["/profiles", "/messages", "/segments/nobody/members", "/lists/nobody/members", "/profiles/{dana}/timeline", "/leads", "/accounts"]
NOT_OURS = [(path, cursor) for path in IN_ORDER_OF_TIME_OR_ID for cursor in ("nonsense", "1.", "99999999999999999999.1", f"17_{'-' * 36}", "17.x")]
NOT_OURS += [("/segments", "No slug."), ("/segments", "x\0"), ("/products", "x\0")]


@pytest.mark.parametrize(("path", "cursor"), NOT_OURS)
def test_a_cursor_that_is_none_of_ours_is_refused_with_a_sentence(dana: uuid.UUID, call: Caller, path: str, cursor: str) -> None:
    answer = call.get(path.format(dana=dana), cursor=cursor)
    assert answer.status_code == 400
    assert "leave it out to begin with the first page" in answer.get_json()["error"]
