"""Sources, keys, tokens, quarantine: what the settings pages do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.json import dumps
from crm.events import keys, quarantine
from crm.events.models import InboxRow, QuarantinedCall, Source, WriteKey
from crm.events.quarantine import Holding
from crm.events.sources import segment
from crm.web import tokens
from crm.web.models import ApiToken, AuditEntry
from tests.web.conftest import Browser
from tests.web.shop import Shop, open_shop


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Shop:
    return open_shop(session, now)


def shown_once(text: str) -> str:
    return text.split("data-copy-from>")[1].split("<", maxsplit=1)[0]


def test_a_write_key_is_shown_once_and_opens_its_source(session: Session, shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    admin, path = browser_as("admin"), f"/sources/{shop.source}"
    secret = shown_once(admin.post(f"{path}/keys", page=path, kind="browser").text)
    door = keys.find(session, secret=secret)
    assert door is not None
    assert (door.source_id, door.trusted) == (shop.source, False)
    assert secret not in admin.get(path).text
    admin.post(f"{path}/keys/{door.key_id}/revoke", page=path)
    assert keys.find(session, secret=secret) is None


def test_a_marketer_makes_sources_but_no_keys(session: Session, shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    marketer = browser_as("marketer")
    assert marketer.post("/sources", page="/sources", name="Second shop").status_code == 302
    assert session.scalar(select(Source.id).where(Source.name == "Second shop"))
    before = session.scalar(select(func.count()).select_from(WriteKey))
    assert marketer.post(f"/sources/{shop.source}/keys", page="/sources", kind="server").status_code == 403
    assert session.scalar(select(func.count()).select_from(WriteKey)) == before


def test_settings_of_a_source_are_checked_and_kept(session: Session, shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    marketer, path = browser_as("marketer"), f"/sources/{shop.source}"
    good = {
        "cart_url": "https://shop.example/cart/{cart_id}",
        "allowed_origins": "https://shop.example",
        "consent_map": "marketing = email offers\nads = sms offers",
    }
    marketer.post(f"{path}/settings", page=path, **good)
    kept = session.scalar(select(Source.settings).where(Source.id == shop.source).execution_options(populate_existing=True))
    assert kept == {
        "cart_url": good["cart_url"],
        "allowed_origins": ["https://shop.example"],
        "consent_map": {"marketing": {"channel": "email", "topic": "offers"}, "ads": {"channel": "sms", "topic": "offers"}},
    }
    for bad in (
        {"cart_url": "javascript:alert(1)"},
        {"allowed_origins": "shop.example"},
        {"consent_map": "marketing = pigeon offers"},
        {"consent_map": "marketing = email nothing"},
    ):
        refused = marketer.post(f"{path}/settings", page=path, **{**good, **bad})
        field, value = next(iter(bad.items()))
        assert (refused.status_code, f'id="{field}-e" role="alert"' in refused.text, value in refused.text) == (400, True, True), bad
        assert all(each in refused.text for each in good.values() if each != good[field]), bad
    assert session.scalar(select(Source.settings).where(Source.id == shop.source).execution_options(populate_existing=True)) == kept


def test_kesher_itself_is_no_source_to_change(browser_as: Callable[[str], Browser]) -> None:
    assert browser_as("admin").get("/sources/1").status_code == 404


def test_a_token_is_shown_once_and_revoked(session: Session, browser_as: Callable[[str], Browser]) -> None:
    admin = browser_as("admin")
    secret = shown_once(admin.post("/settings/tokens", page="/settings/tokens", name="till", role="viewer").text)
    headers = {"Authorization": f"Bearer {secret}"}
    assert admin.client.get("/api/v1/messages", headers=headers).status_code == 200
    token = session.scalars(select(ApiToken)).one()
    admin.post(f"/settings/tokens/{token.id}/revoke", page="/settings/tokens")
    assert admin.client.get("/api/v1/messages", headers=headers).status_code == 401


def test_a_held_call_that_is_still_wrong_stays_and_says_why(session: Session, shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    marketer, held = browser_as("marketer"), session.scalars(select(QuarantinedCall.id)).one()
    marketer.post("/quarantine", page="/quarantine", id=held, act="replay")
    assert session.scalar(select(QuarantinedCall.replayed_at).where(QuarantinedCall.id == held)) is None
    assert 'role="alert"' in marketer.get("/quarantine").text


def test_what_is_wrong_with_a_held_call_is_said_in_the_language_of_the_page(session: Session, shop: Shop, browser_as: Callable[[str], Browser]) -> None:
    bodies = ({"type": "say", "userId": "7"}, {"type": "track", "userId": "7"}, {"type": "track", "userId": "7", "event": 3}, {"type": "track", "event": "E"})
    held = segment.parse(segment.open_body("batch", dumps({"batch": bodies}).encode()), b"seed").held
    now = clock.now()
    quarantine.hold(session, [Holding(now, shop.source, True, "live", None, one.reason, one.detail, one.body.decode()) for one in held])
    secret = tokens.create_token(session, name="till", role="admin")
    session.commit()
    page = browser_as("marketer").get("/quarantine", "he").text
    assert all(said in page for said in ("הקריאה לא אומרת מי", "חסר `<bdi", "צריך להיות <bdi", "עליו להיות אחד מאלה"))
    assert "userId or anonymousId is missing" in page  # as an earlier release stored it
    api = browser_as("admin").client.get("/api/v1/quarantine", headers={"Authorization": f"Bearer {secret}"}).json["items"]
    assert "`event` is missing; calls of type track need it." in [one["detail"] for one in api]


def test_a_held_call_goes_through_the_inbox_again_or_is_discarded(session: Session, shop: Shop, now: dt.datetime, browser_as: Callable[[str], Browser]) -> None:
    marketer = browser_as("marketer")
    body = '{"type": "track", "event": "Product Viewed", "userId": "u1"}'
    good = QuarantinedCall(received_at=now, source_id=shop.source, trusted=True, origin="live", reason="failed", detail="a bug", body=body)
    session.add(good)
    session.commit()
    before = session.scalar(select(func.count()).select_from(InboxRow)) or 0
    marketer.post("/quarantine", page="/quarantine", id=good.id, act="replay")
    assert session.scalar(select(func.count()).select_from(InboxRow)) == before + 1
    rest = session.scalars(select(QuarantinedCall.id).where(QuarantinedCall.replayed_at.is_(None))).one()
    marketer.post("/quarantine", page="/quarantine", id=rest, act="discard")
    assert session.scalar(select(func.count()).select_from(QuarantinedCall).where(QuarantinedCall.replayed_at.is_(None))) == 0
    assert {"quarantine.replayed", "quarantine.discarded"} <= set(session.scalars(select(AuditEntry.action)))


def test_a_refused_user_stays_in_the_form(browser_as: Callable[[str], Browser]) -> None:
    for email in ("dana", "dana@", "@shop.example", "dana@shop", "d ana@shop.example", "dana@shop..example"):
        answer = browser_as("admin").post("/settings/users", page="/settings/users", email=email, name="Dana", role="sales")
        assert answer.status_code == 400, email
        assert all(each in answer.text for each in (f'value="{email}"', 'value="Dana"', '<option value="sales" selected', 'id="email-e"'))
