"""What Kesher notes of a person is told by the names of scores and journeys, once, and not as news from an import."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import event as sql
from sqlalchemy import insert
from sqlalchemy.orm import Session

from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events import store
from crm.events.models import InboxRow
from crm.events.spec import Happened
from crm.messages.models import Message
from crm.messages.templates import install, shipped_templates
from crm.profiles.models import Identity, Profile
from crm.profiles.search import refresh_search
from crm.web.app import create_app
from crm.web.models import AuditEntry
from journeys.models import Journey
from journeys.pages import bp as journeys
from tests.web.conftest import PASSWORD, Browser

KESHER = 1


@pytest.fixture
def person(session: Session, now: dt.datetime) -> uuid.UUID:
    """Somebody known, with nothing but the bands of a score."""
    profile_id = new_id()
    traits = {"lead_band": "warm", "hair_band": "cold"}
    session.execute(
        insert(Profile).values(id=profile_id, bucket=7, known=True, name="דנה", traits=traits, first_seen=now - dt.timedelta(days=3), last_seen=now)
    )
    return profile_id


def noted(profile_id: uuid.UUID, name: str, number: int, at: dt.datetime, **more: object) -> Happened:
    said = {"message_id": f"score:lead:{profile_id}:{number}", "origin": "live", "properties": {}, **more}
    kind = "identify" if name == "identify" else "track"
    origin, properties, message_id = str(said["origin"]), said["properties"], str(said["message_id"])
    assert isinstance(properties, dict)
    return Happened(profile_id, at, number, KESHER, kind, name, origin, True, (), properties, {}, {}, at, message_id=message_id)


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_bands_of_a_score_are_told_once_as_what_they_are(browser_as: Callable[[str], Browser], session: Session, person: uuid.UUID, now: dt.datetime) -> None:
    before, number = now - dt.timedelta(days=1), f"score:lead:{person}"
    changed = {"kind": "lead", "band": "warm", "was": "cold", "probability": 0.2}
    store.append(session, [
        noted(person, "identify", 1, before, origin="history", message_id=f"{number}:1:trait", properties={"lead_band": "cold"}),
        noted(person, "identify", 2, now, message_id=f"{number}:2:trait", properties={"lead_band": "warm"}),
        noted(person, "Score Band Changed", 3, now, properties=changed),
    ])  # fmt: skip
    session.commit()
    page = browser_as("viewer").get(f"/people/{person}", "he").text
    said = words(page[page.index('id="timeline"') :])
    assert "פרטים חדשים" not in said and "מייבוא" not in said
    assert said.count("קנייה בתוך 30 ימים:") == 2
    assert "קנייה בתוך 30 ימים: קר" in said and "פושר, לפני כן קר" in said
    assert "קנייה בתוך 30 ימים" in words(page[: page.index('id="timeline"')]) and "lead_band" not in page
    assert "hair_band" in page  # a company's own trait


def test_templates_are_listed_by_their_names_and_with_subjects_as_they_read(browser_as: Callable[[str], Browser], session: Session, now: dt.datetime) -> None:
    install(session, shipped_templates(), now)
    session.commit()
    page = browser_as("viewer").get("/templates", "he").text
    said = words(page[page.index("<tbody>") :])
    assert "עגלה נטושה, תזכורת ראשונה" in said and "{" not in said
    assert "profile." not in said and "first_name" not in said
    assert "<h1><bdi>עגלה נטושה, תזכורת ראשונה</bdi></h1>" in browser_as("viewer").get("/templates/abandoned_cart", "he").text


def test_home_tells_of_a_score_once_and_by_its_name(browser_as: Callable[[str], Browser], session: Session, person: uuid.UUID, now: dt.datetime) -> None:
    about = {"type": "identify", "profileId": str(person)}
    changed = {"kind": "lead", "band": "hot", "was": "warm"}
    calls = [
        ("history", about | {"messageId": f"score:lead:{person}:1:trait", "traits": {"lead_band": "warm"}}),
        ("live", about | {"messageId": f"score:lead:{person}:2:trait", "traits": {"lead_band": "hot"}}),
        ("live", about | {"messageId": f"score:lead:{person}:2", "type": "track", "event": "Score Band Changed", "properties": changed}),
    ]
    for origin, body in calls:
        session.execute(insert(InboxRow).values(received_at=now, source_id=KESHER, trusted=True, origin=origin, lane=1, body=dumps(body)))
    session.commit()
    said = words(browser_as("marketer").get("/home/feed", "he").text)
    assert "פרטים חדשים" not in said and "מייבוא" not in said
    assert said.count("קנייה בתוך 30 ימים:") == 2
    assert "קנייה בתוך 30 ימים: פושר" in said and "לפני כן פושר" in said


def test_a_journey_goes_by_its_name_where_its_pages_are(
    make_app: Callable[..., object], people: object, session: Session, person: uuid.UUID, now: dt.datetime
) -> None:
    assert people
    app = create_app(*make_app().extensions["kesher"], [journeys])  # type: ignore[attr-defined]  # an application
    app.testing = True
    session.add(Journey(slug="my_cart", name={"en": "My own carts", "he": "העגלות שלי"}, status="live", created_at=now))
    row = {"profile_id": person, "journey": "my_cart", "node": "mail", "channel": "email", "template": "abandoned_cart", "language": "he", "topic": "offers"}
    more = {"purpose": "marketing", "status": "dropped", "reason": "expired", "created_at": now, "attempts": 0}
    ids = [new_id() for _ in range(4)]
    session.execute(insert(Message), [{**row, **more, "id": one} for one in ids])
    store.append(session, [noted(person, "Journey Started", n, now, properties={"journey": "my_cart"}) for n in range(1, 4)])
    session.commit()
    browser = Browser(app.test_client())
    browser.sign_in("viewer@shop.example", PASSWORD)
    asked: list[str] = []
    sql.listen(session.connection(), "before_cursor_execute", lambda _c, _cur, statement, *_rest: asked.append(statement))
    for path in ("/messages", f"/messages/{ids[0]}", f"/people/{person}"):
        asked.clear()
        said = words(browser.get(path, "he").text)
        assert "העגלות שלי" in said and "my_cart" not in said, path
        assert "עגלה נטושה, תזכורת ראשונה" in said and "abandoned_cart" not in said, path
        assert sum("FROM journeys" in one for one in asked) == 1, path


def test_a_new_journey_is_a_change_in_words(browser_as: Callable[[str], Browser], session: Session) -> None:
    session.add(AuditEntry(action="journey.create", subject="my_cart"))
    session.commit()
    said = words(browser_as("admin").get("/settings/changes", "he").text)
    assert "נוצר מסע" in said and "journey.create" not in said


def test_somebody_known_by_a_user_id_alone_is_no_anonymous_visitor(browser_as: Callable[[str], Browser], session: Session, now: dt.datetime) -> None:
    session.execute(insert(Profile).values(id=(mia := new_id()), bucket=7, known=True, name="", first_seen=now, last_seen=now))
    session.execute(insert(Identity).values(kind="user_id", value="u-8812", profile_id=mia, verified=True, first_seen=now))
    body = dumps({"type": "track", "event": "Page Viewed", "userId": "u-8812", "messageId": "m1"})
    session.execute(insert(InboxRow).values(received_at=now, source_id=KESHER, trusted=True, origin="live", lane=1, body=body))
    refresh_search(session, [mia])
    session.commit()
    browser = browser_as("marketer")
    for path in (f"/people/{mia}", "/people", "/find?q=8812", "/home/feed"):
        page = browser.get(path, "he").text
        assert "גולש אנונימי" not in page and "בלי שם" not in page, path
        assert re.search(f'href="/people/{mia}"[^>]*>(<svg.*?</svg>)?<bdi[^>]*>u-8812</bdi>|<h1><bdi>u-8812</bdi></h1>', page), path
    assert "<title>u-8812" in browser.get(f"/people/{mia}", "he").text
