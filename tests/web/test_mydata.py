"""“My data”: a link by mail to a verified address, and nothing that tells a stranger who is known here."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from flask import Flask
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.messages.links import Links
from crm.messages.models import Message
from crm.messages.templates import install, shipped_templates
from crm.profiles.privacy_models import Erasure
from tests import makers
from tests.makers import accepted, identify
from workers import pipeline

DANA = "dana@example.com"


@pytest.fixture
def dana(session: Session, now: dt.datetime) -> None:
    """Dana with a verified address, Omri with one only a browser said."""
    install(session, shipped_templates(), now)
    config = makers.config()
    pipeline.run(session, [accepted(identify({"email": DANA, "firstName": "Dana", "language": "en"}, at=now, user_id="1"), now)], now, config)
    pipeline.run(session, [accepted(identify({"email": "omri@example.com"}, at=now, user_id="2"), now, trusted=False)], now, config)
    session.commit()


def link(session: Session, now: dt.datetime) -> str:
    """As the mail carries it, once it was sent."""
    message = session.query(Message).one()
    session.execute(update(Message).values(address=DANA, language="en", status="sent", sent_at=now))
    session.commit()
    return Links(Keys("secret"), "", message.id).mine


def test_the_answer_is_the_same_for_everybody_and_only_a_verified_address_gets_mail(dana: None, session: Session, app: Flask) -> None:
    client = app.test_client()
    answers = {client.post("/mine", data={"email": one}).text for one in (DANA.upper(), "omri@example.com", "nobody@example.com", "nonsense")}
    assert len(answers) == 1
    sent = session.query(Message).all()
    assert [(message.template, message.purpose, message.status) for message in sent] == [("my_data", "transactional", "queued")]


def test_the_link_shows_numbers_and_a_form_hands_everything_over(dana: None, session: Session, app: Flask, now: dt.datetime) -> None:
    client = app.test_client()
    client.post("/mine", data={"email": DANA})
    path = link(session, now)
    page = client.get(path)
    assert page.status_code == 200
    assert DANA in page.text
    assert "We keep 1 event about you" in page.text
    assert "Dana" not in page.text  # a scanner that follows the link learns no more
    known = json.loads(client.post(path, data={"act": "json"}).text)
    assert [one["properties"]["firstName"] for one in known["tables"]["events"]] == ["Dana"]
    assert "What is known about you" in client.post(path, data={"act": "read"}).text


def test_a_request_to_be_erased_waits_for_somebody_here(dana: None, session: Session, app: Flask, now: dt.datetime) -> None:
    client = app.test_client()
    client.post("/mine", data={"email": DANA})
    path = link(session, now)
    client.get(path)
    client.post(path, data={"act": "erase"})  # without the tick
    assert session.query(Erasure).count() == 0
    assert "Your request has arrived" in client.post(path, data={"act": "erase", "sure": "1"}).text
    assert [(job.status, job.by) for job in session.query(Erasure)] == [("asked", "link")]


def test_old_foreign_and_orphaned_links_lead_nowhere(dana: None, session: Session, app: Flask, now: dt.datetime) -> None:
    client = app.test_client()
    client.post("/mine", data={"email": DANA})
    path = link(session, now)
    assert client.get("/mine/nonsense").status_code == 404
    assert client.get(path[:-2] + "xx").status_code == 404
    session.execute(text("UPDATE messages SET created_at = created_at - interval '3 days'"))
    session.commit()
    assert client.get(path).status_code == 404
    assert client.post(path, data={"act": "json"}).status_code == 404
    session.execute(text("UPDATE messages SET created_at = now(), address = NULL"))
    session.commit()
    assert client.get(path).status_code == 404


def test_the_form_speaks_both_languages(app: Flask) -> None:
    for language, word in (("en", "Send me the link"), ("he", "שלחו לי קישור")):
        page = app.test_client().get("/mine", headers={"Accept-Language": language}).text
        assert word in page
        assert f'lang="{language}"' in page
