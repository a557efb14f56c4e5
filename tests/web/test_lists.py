"""Lists by hand on pages and in the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events.importing import people as imported
from crm.events.importing.models import Upload
from crm.segments import list_jobs, lists, store
from crm.web.tokens import create_token
from tests import makers
from tests.web.conftest import Browser
from tests.web.shop import Shop, open_shop
from workers import pipeline
from workers.due import due


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Shop:
    made = open_shop(session, now)
    lists.create(session, slug="fair", name="Fair", now=now)
    session.commit()
    return made


def on(session: Session) -> int:
    return len(lists.members(session, "fair", after=None, limit=99))


def test_a_list_is_made_filled_by_search_and_addresses_and_emptied(shop: Shop, session: Session, browser_as: Callable[[str], Browser]) -> None:
    noa = browser_as("marketer")
    assert noa.post("/lists", name="Fair").headers["Location"].startswith("/lists/fair-")
    assert f'value="{shop.dana}"' in noa.get("/lists/fair/find?q=dana").text
    assert noa.post("/lists/fair/people", act="add", profile=str(shop.dana)).status_code == 302
    assert on(session) == 1
    page = noa.get("/lists/fair").text
    assert f"/people/{shop.dana}" in page
    noa.post("/lists/fair/people", act="remove", profile=str(shop.dana))
    assert on(session) == 0
    address = session.scalar(text("SELECT value FROM identities WHERE kind = 'email' AND profile_id = :id"), {"id": shop.dana})
    answer = noa.post("/lists/fair/addresses", addresses=f"Dana <{address.upper()}>; nobody@example.com, bad")
    assert "Nobody has these addresses" in answer.text
    assert "nobody@example.com" in answer.text
    assert on(session) == 1
    noa.post("/lists/fair/empty")
    assert on(session) == 0
    assert noa.post("/lists/fair/addresses", addresses="none here").status_code == 400


@pytest.mark.parametrize("language", ["en", "he"])
def test_the_pages_speak_both_languages(shop: Shop, session: Session, now: dt.datetime, browser_as: Callable[[str], Browser], language: str) -> None:
    lists.add(session, "fair", [shop.dana], now=now)
    session.commit()
    noa = browser_as("marketer")
    for path in ("/lists", "/lists/fair", "/lists/fair/find?q=d"):
        answer = noa.get(path, language)
        assert answer.status_code == 200
        assert "%(" not in answer.text
    viewer = browser_as("viewer")
    assert "textarea" not in viewer.get("/lists/fair").text
    assert viewer.post("/lists/fair/empty").status_code == 403
    assert viewer.get("/lists/none").status_code == 404


def test_what_is_named_elsewhere_stays_and_says_where(shop: Shop, session: Session, now: dt.datetime, browser_as: Callable[[str], Browser]) -> None:
    store.save(session, slug="visitors", name="Visitors", rule={"kind": "in_list", "list": "fair"}, now=now)
    store.save(session, slug="guests", name="Guests", rule={"kind": "in_segment", "segment": "visitors"}, now=now)
    session.commit()
    noa = browser_as("marketer")
    for path, names in (("/lists/fair", "Visitors"), ("/segments/visitors", "Guests")):
        answer = noa.post(f"{path}/delete", page=path)
        assert answer.status_code == 400 and f"It is used by these: {names}. Change them first." in answer.text
        assert noa.get(path).status_code == 200
    assert "אין קהל כזה" in noa.get("/segments/nothing", "he").text


def test_everybody_of_an_import_goes_on_it(shop: Shop, session: Session, now: dt.datetime, browser_as: Callable[[str], Browser]) -> None:
    source = makers.source(session, "files")
    upload = Upload(file_name="fair.csv", file_digest=b"\x01" * 32, size=1, how={}, status="done", source_id=source)
    upload.counts = {"events": {"identify": 1}, "first": "2020-01-01T00:00:00+00:00"}
    session.add(upload)
    session.flush()
    session.execute(
        text("UPDATE events SET message_id = :id || profile_id, source_id = :source WHERE name = 'identify'"), {"id": f"{'01' * 16}:1", "source": source}
    )
    wanted = {row[0] for row in session.execute(text("SELECT DISTINCT profile_id FROM events WHERE name = 'identify'"))}
    session.commit()
    assert set(imported.people(session, upload, after=None, limit=99)) == wanted
    assert wanted
    browser_as("marketer").post("/lists/fair/import", upload=str(upload.id))
    assert on(session) == len(wanted)


def test_many_are_put_on_and_taken_off_by_a_worker(
    shop: Shop, session: Session, now: dt.datetime, browser_as: Callable[[str], Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "AT_ONCE", 1)
    calls = [makers.accepted(makers.identify({"name": name}, at=now, user_id=name), now) for name in ("Adi", "Gil", "Tal")]
    pipeline.run(session, calls, now, makers.config())
    source = makers.source(session, "files")
    upload = Upload(file_name="fair.csv", file_digest=b"\x01" * 32, size=1, how={}, status="done", source_id=source, counts={"events": {"identify": 1}})
    session.add(upload)
    session.flush()
    said = {"id": f"{'01' * 16}:1", "source": source}
    session.execute(text("UPDATE events SET message_id = :id || profile_id, source_id = :source WHERE name = 'identify'"), said)
    wanted = set(session.scalars(text("SELECT DISTINCT profile_id FROM events WHERE name = 'identify'")))
    session.commit()
    noa = browser_as("marketer")

    def work() -> int:
        assert "segments" in due(session, now)
        steps = 1
        while list_jobs.work(session, now):
            steps += 1
        assert "is being" not in noa.get("/lists/fair").text
        return steps

    noa.post("/lists/fair/import", upload=str(upload.id))
    assert on(session) == 1
    assert "Everybody of" in (page := noa.get("/lists/fair").text)
    assert "The first 1 are done" in page
    noa.post("/lists/fair/empty")
    page = noa.get("/lists/fair").text
    assert "done within minutes" in page
    assert "The first 0" not in page
    session.execute(text("DELETE FROM list_jobs WHERE upload_id IS NULL"))
    session.commit()
    assert work() >= len(wanted)
    assert on(session) == len(wanted) > 2
    noa.post("/lists/fair/empty")
    assert on(session) == len(wanted) - 1
    assert "Everybody is being taken off it" in noa.get("/lists/fair").text
    work()
    assert on(session) == 0


def test_the_api_puts_on_takes_off_and_names_the_unknown(shop: Shop, app: Flask, session: Session) -> None:
    headers = {"Authorization": f"Bearer {create_token(session, name='t', role='marketer')}"}
    session.commit()
    client = app.test_client()
    assert client.post("/api/v1/lists", json={"slug": "vip", "name": "VIP"}, headers=headers).json["size"] == 0
    said = {"people": [str(shop.dana), "email:nobody@example.com"]}
    assert client.post("/api/v1/lists/vip/add", json=said, headers=headers).json == {"people": 1, "unknown": ["email:nobody@example.com"]}
    assert [one["profile_id"] for one in client.get("/api/v1/lists/vip/members", headers=headers).json["items"]] == [str(shop.dana)]
    assert client.post("/api/v1/lists/vip/remove", json=said, headers=headers).json["people"] == 1
    assert [one["slug"] for one in client.get("/api/v1/lists", headers=headers).json["items"]] == ["fair", "vip"]
    assert client.post("/api/v1/lists/none/add", json=said, headers=headers).status_code == 404
