"""What only people can show: words that cannot be filled in, and two journeys that send one person too much; each with somebody by name."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.consent.ledger import GRANTED, Change, record
from crm.core import clock
from crm.core.crypto import Keys
from crm.core.db import engine_for
from crm.core.json import dumps
from journeys import endpoints, files, lint, lint_audience, publish
from journeys.graph import parse
from journeys.words import problem
from tests.journeys.test_entry import WAIT, drawing
from tests.makers import accepted, config, identify, track
from workers import manage, pipeline

CONFIG = config()


def template(session: Session, name: str, words: str, sample: str = "{}", purpose: str = "transactional") -> None:
    insert = "INSERT INTO templates (name, channel, topic, purpose, version) VALUES (:n, 'email', 'offers', :p, 1)"
    session.execute(text(insert), {"n": name, "p": purpose})
    content = {"en": {"subject": "Hello", "mjml": "", "html": f"<p>{words}</p>", "text": words}}
    made = "INSERT INTO template_versions (name, version, content, sample, digest) VALUES (:n, 1, CAST(:c AS jsonb), CAST(:s AS jsonb), :d)"
    session.execute(text(made), {"n": name, "c": dumps(content), "s": sample, "d": f"{name}{words}"})


def go(session: Session, now: dt.datetime, *calls: Any) -> None:
    pipeline.run(session, [accepted(each, now) for each in calls], now, CONFIG)


def mails(*names: str, wait: str = "") -> dict[str, Any]:
    """A journey that sends these, with a wait between them."""
    nodes: dict[str, Any] = {}
    for name in names:
        nodes[f"to_{name}"] = {"kind": "send", "settings": {"template": name}, "name": {"en": f"Mail {name}", "he": f"מייל {name}"}}
        if wait:
            nodes[f"rest_{name}"] = {"kind": "wait", "settings": {"for": wait}}
    return drawing(nodes)


def found(session: Session, drawn: dict[str, Any], now: dt.datetime, slug: str = "") -> list[tuple[str | None, str, str]]:
    said = lint_audience.review(session, parse(drawn), CONFIG, now, slug=slug)
    return [(each.node, each.text % each.values, each.example % each.values) for each in said]


def test_a_trait_some_people_lack_is_told_with_somebody_who_lacks_it(session, now):
    template(session, "city", "Greetings to {{ profile.traits.city }}")
    people = [identify({"name": f"P{n}", "city": "Haifa"} if n < 3 else {"name": "Dana Levi"}, at=now, user_id=f"p{n}") for n in range(4)]
    go(session, now, *people, *(track("Signed Up", at=now, user_id=f"p{n}") for n in range(4)))
    node, said, example = found(session, mails("city"), now)[0]
    assert node == "to_city"
    assert "cannot be filled in for 25 %" in said
    assert "city" in said
    assert example.startswith("Dana Levi would get nothing")


@pytest.mark.parametrize(
    "words",
    ["{% if profile.traits.city is defined %}{{ profile.traits.city }}{% endif %}", "{{ profile.traits.city|default('you') }}", "{{ data.event.plan }}"],
)
def test_words_that_do_without_or_that_everybody_has_are_fine(session, now, words):
    template(session, "city", words)
    go(session, now, identify({"name": "Dana"}, at=now, user_id="p"), track("Signed Up", {"plan": "gold"}, at=now, user_id="p"))
    assert found(session, mails("city"), now) == []


def test_a_cart_only_a_run_has_is_the_sample_s(session, now):
    template(session, "cart", "{{ cart.count }} {{ cart.lines[0].name }}", dumps({"cart": {"currency": "ILS", "items": [{"name": "Vase", "price": "9"}]}}))
    go(session, now, identify({"name": "Dana"}, at=now, user_id="p"), track("Signed Up", at=now, user_id="p"))
    assert found(session, mails("cart"), now) == []


def test_a_property_the_starting_event_lacks_is_found(session, now):
    template(session, "plan", "{{ data.event.plan }}")
    go(session, now, track("Signed Up", {"plan": "gold"}, at=now, user_id="a"), track("Signed Up", {}, at=now, user_id="b"))
    assert "for 50 %" in found(session, mails("plan"), now)[0][1]


def test_nobody_there_is_no_problem(session, now):
    template(session, "city", "{{ profile.traits.city }}")
    assert found(session, mails("city"), now) == []


def agree(session: Session, now: dt.datetime, email: str, topic: str = "offers") -> None:
    record(session, [Change("email", email, "email", topic, "marketing", GRANTED, "form", True)], Keys(CONFIG.secret_key), now)


def test_marketing_nobody_agreed_to_is_told_once_with_how_many_were_looked_at_and_what_to_do(session, now, app):
    for name in ("first", "second"):
        template(session, name, "Hello", purpose="marketing")
    go(session, now, *(track("Signed Up", at=now, user_id=f"p{n}", email=f"p{n}@example.com") for n in range(3)))
    ((node, said, example),) = found(session, mails("first", "second"), now)
    assert node == "to_first"
    assert "looked at: 3" in said
    assert "Ask for consent first" in example
    agree(session, now, "p0@example.com", topic="news")
    (again,) = lint_audience.review(session, parse(mails("first")), CONFIG, now)
    with app.test_request_context(headers={"Accept-Language": "he"}):
        shown = str(problem(again, mails("first"))["text"])
    assert "מבצעים" in shown
    assert "דוא״ל" in shown
    agree(session, now, "p0@example.com")
    assert found(session, mails("first", "second"), now) == []


def test_marketing_few_agreed_to_is_told_with_their_share(session, now):
    template(session, "first", "Hello", purpose="marketing")
    go(session, now, *(track("Signed Up", at=now, user_id=f"p{n}", email=f"p{n}@example.com") for n in range(10)))
    agree(session, now, "p0@example.com")
    ((node, said, _example),) = found(session, mails("first"), now)
    assert node == "to_first"
    assert "of the 10 people looked at 1 (10 %) have consented" in said
    agree(session, now, "p1@example.com")
    assert found(session, mails("first"), now) == []


def test_what_needs_no_consent_is_not_asked_about(session, now):
    template(session, "receipt", "Hello")
    go(session, now, track("Signed Up", at=now, user_id="p", email="p@example.com"))
    assert found(session, mails("receipt"), now) == []


def test_two_journeys_that_send_one_person_too_much_are_named_with_the_person(session, now):
    for name in "abcd":
        template(session, name, "Hello")
    publish.publish(session, "first", mails("a", "b", "c") | {"name": {"en": "First", "he": "ראשון"}}, now=now)
    go(session, now, identify({"name": "Dana Levi"}, at=now, user_id="dana"), track("Signed Up", at=now, user_id="dana"))
    said = found(session, mails("d"), now)
    assert "can send one person 4 messages within a day; 100 % of the people" in said[0][1]
    assert said[0][2] == "Dana Levi was in it within the last 30 days."
    assert found(session, mails("a", "b", "c"), now, slug="first") == []  # not with itself


def test_mails_a_day_apart_are_no_crowd(session, now):
    for name in "abcd":
        template(session, name, "Hello")
    publish.publish(session, "first", mails("a", "b", "c", wait="2d"), now=now)
    go(session, now, track("Signed Up", at=now, user_id="dana"))
    assert found(session, mails("d"), now) == []
    assert lint_audience.a_day(parse(mails("a", "b", "c", wait="2d"))) == 1
    assert lint_audience.a_day(parse(mails("a", "b", "c", wait="11h"))) == 3


def test_what_is_not_there_is_said(session, now):
    nodes = {
        "call": {"kind": "webhook", "settings": {"endpoint": "crm"}, "exits": {"answered": "put", "failed": "put", "timed_out": "put"}},
        "put": {"kind": "list", "settings": {"list": "vip"}, "exits": {"next": "code"}},
        "code": {"kind": "coupon", "settings": {"pool": "spring"}, "exits": {"next": "end", "none": "end"}},
        "end": {"kind": "stop"},
    }
    drawn = drawing(WAIT) | {"nodes": nodes, "entry": "call", "trigger": {"kind": "segment", "settings": {"segment": "gone"}}}
    said = {each.node: each.level for each in lint.review(session, drawn)}
    assert said == {"call": "error", "put": "error", "code": "warning", "trigger": "warning"}
    endpoints.save(session, "crm", url="https://crm.example", headers="", private=False, now=now)
    assert "call" not in {each.node for each in lint.review(session, drawn)}


@pytest.mark.parametrize(("language", "label"), [("en", "“Mail hello”"), ("he", "“מייל hello”")])
def test_sentences_name_steps_by_their_label_in_the_reader_s_language(session, app, language, label):
    template(session, "hello", "Hello")
    drawn = mails("hello")
    drawn["nodes"]["again"] = {"kind": "send", "settings": {"template": "hello"}, "exits": {"next": "end"}}
    drawn["nodes"]["to_hello"]["exits"] = {"next": "again"}
    with app.test_request_context(headers={"Accept-Language": language}):
        said = [problem(each, drawn) for each in lint.review(session, drawn)]
    assert any(label in str(each["text"]) for each in said), said
    assert not any("to_hello" in str(each["text"]) for each in said)


def test_a_way_is_named_by_its_words(session, app):
    drawn = drawing(WAIT) | {
        "nodes": {"call": {"kind": "webhook", "settings": {"endpoint": "crm"}, "exits": {"failed": "end", "timed_out": "end"}}, "end": {"kind": "stop"}}
    }
    with app.test_request_context(headers={"Accept-Language": "en"}):
        said = [problem(each, drawn | {"entry": "call"})["text"] for each in lint.review(session, drawn | {"entry": "call"})]
    assert any("its way out “it answered” leads nowhere" in str(each) for each in said), said


def test_publishing_shows_what_people_show(session, now, signed_in):
    template(session, "city", "{{ profile.traits.city }}")
    go(session, now, identify({"name": "Dana Levi"}, at=now, user_id="p"), track("Signed Up", at=now, user_id="p"))
    browser = signed_in("marketer")
    slug = browser.post("/journeys/new", json={"name": {"en": "Hello"}}).get_json()["slug"]
    browser.put(f"/journeys/{slug}/draft", json={"revision": 1, "graph": mails("city")})
    problems = browser.get(f"/journeys/{slug}/publish").get_json()["problems"]
    assert any("Dana Levi would get nothing" in each["example"] for each in problems)


def test_the_designer_looks_at_people_when_it_is_asked_to(session, now, signed_in):
    template(session, "city", "{{ profile.traits.city }}")
    browser = signed_in("marketer")
    slug = browser.post("/journeys/new", json={"name": {"en": "Hello"}}).get_json()["slug"]
    browser.put(f"/journeys/{slug}/draft", json={"revision": 1, "graph": mails("city")})
    assert browser.get(f"/journeys/{slug}/check").get_json() == {"people": 0, "problems": []}
    go(session, now, identify({"name": "Dana Levi"}, at=now, user_id="p"), track("Signed Up", at=now, user_id="p"))
    seen = browser.get(f"/journeys/{slug}/check").get_json()
    assert (seen["people"], [each["level"] for each in seen["problems"]]) == (1, ["warning"])
    assert "Dana Levi would get nothing" in seen["problems"][0]["example"]
    browser.put(f"/journeys/{slug}/draft", json={"revision": 2, "graph": mails("city") | {"entry": "nowhere"}})
    assert browser.get(f"/journeys/{slug}/check").status_code == 400


def test_the_command_looks_at_what_and_whom_an_installation_has(fresh_url, now, tmp_path, capsys, monkeypatch):
    file = tmp_path / "hello.yaml"
    file.write_text(files.to_yaml(mails("city")))
    monkeypatch.setenv("KESHER_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert manage.main(["journeys", "check", str(file)]) == 0
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("DATABASE_URL", fresh_url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert manage.main(["journeys", "check", str(file)]) == 1
    assert "there is no published template “city”" in capsys.readouterr().out
    with Session(engine_for(fresh_url)) as session:
        template(session, "city", "{{ profile.traits.city }}")
        go(session, now, identify({"name": "Dana Levi"}, at=now, user_id="p"), track("Signed Up", at=clock.now(), user_id="p"))
        session.commit()
    assert manage.main(["journeys", "check", str(file)]) == 0
    assert "Dana Levi would get nothing" in capsys.readouterr().out
    assert manage.main(["journeys", "check", "--alone", str(file)]) == 0
    assert "Dana" not in capsys.readouterr().out
