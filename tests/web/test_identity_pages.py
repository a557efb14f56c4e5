"""The screens of identity: the graph with undo, joining by hand, guards, blocked identifiers."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from crm.profiles import large
from crm.profiles.move import Join
from crm.profiles.suggest import queue
from crm.web.tokens import create_token
from tests import makers
from tests.makers import identify, track
from tests.profiles.test_undo import World, two_people


@pytest.fixture
def world(session, now):
    made = World(session, now)
    made.pair = two_people(made)
    session.commit()
    return made


def test_two_people_are_compared_joined_and_taken_apart(world, browser_as):
    dana, other = world.pair
    browser = browser_as("marketer")
    page = browser.get(f"/people/{dana}/join?with=d@work.example").text
    assert "Side by side" in page
    assert "דנה" in page
    assert "conflict" not in page
    looked_at = text("SELECT subject FROM audit_log WHERE action = 'profile.viewed'")
    assert set(world.session.scalars(looked_at)) == {str(dana), str(other)}
    joined = browser.post(f"/people/{dana}/join", page=f"/people/{dana}/join", other=other, said="phoned her")
    assert joined.status_code == 302
    assert len(makers.profiles(world.session)) == 1
    graph = browser.get(f"/people/{dana}/identity").text
    assert "Joined by hand" in graph
    assert "phoned her" in graph
    [link] = world.links()
    assert browser.post(f"/links/{link}/undo", page=f"/people/{dana}/identity", said="her mother").status_code == 302
    assert len(makers.profiles(world.session)) == 2
    assert "her mother" in browser.get(f"/people/{dana}/identity").text
    actions = set(world.session.scalars(text("SELECT action FROM audit_log")))
    assert {"people.joined", "people.parted"} <= actions
    log = str(world.session.scalars(text("SELECT detail FROM audit_log")).all())
    assert "phoned her" not in log and "her mother" not in log  # what is written of a person leaves with them: it stands in their links
    assert world.differences() == []


def test_an_automatic_join_says_why(world, browser_as):
    world.process(identify({"email": "d@work.example"}, at=world.ago(3), user_id="1"))
    world.session.commit()
    graph = browser_as("viewer").get(f"/people/{world.pair[0]}/identity").text
    assert "Signed in or left details" in graph
    assert "d@work.example" in graph
    assert "Take apart" not in graph


def test_only_makers_join_and_part(world, browser_as):
    browser = browser_as("sales")
    assert browser.get(f"/people/{world.pair[0]}/join").status_code == 403
    assert browser.post("/links/1/undo").status_code == 403


def test_taking_apart_twice_says_so(world, browser_as):
    world.merge(*world.pair)
    [link] = world.links()
    world.unmerge(link)
    world.session.commit()
    answer = browser_as("admin").post(f"/links/{link}/undo")
    assert answer.status_code == 400
    assert "taken apart before" in answer.text


def test_limits_and_blocked_identifiers_are_set(world, browser_as):
    browser = browser_as("marketer")
    limits = {"user_id": 5, "email": 5, "phone": 1, "wa_id": 5, "anonymous_id": 100}
    browser.post("/settings/identity/limits", page="/settings/identity", **limits)
    assert world.session.execute(text("SELECT kind, most FROM identity_limits")).all() == [("phone", 1)]
    browser.post("/settings/identity/limits", page="/settings/identity", **(limits | {"phone": 0}))
    assert world.session.execute(text("SELECT kind, most FROM identity_limits")).all() == [("phone", 1)]
    browser.post("/settings/identity/blocked", page="/settings/identity", kind="email", value="Test@*", note="testers")
    browser.post("/settings/identity/blocked", page="/settings/identity", kind="email", value="*", note="everybody")
    assert world.session.scalars(text("SELECT value FROM blocked_identities")).all() == ["test@*"]
    assert "testers" in browser.get("/settings/identity").text
    browser.post("/settings/identity/blocked", page="/settings/identity", kind="email", value="test@*", act="remove")
    assert "testers" not in browser.get("/settings/identity").text


def test_a_refused_limit_or_identifier_stays_in_the_form(world, browser_as):
    browser = browser_as("marketer")
    limits = {"anonymous_id": 1000, "user_id": 1, "email": 5, "phone": 0, "wa_id": 5}
    answer = browser.post("/settings/identity/limits", page="/settings/identity", **limits)
    assert answer.status_code == 400
    assert all(each in answer.text for each in ('value="0"', 'value="1000"', 'id="phone-e"', 'aria-describedby="phone-e"'))
    answer = browser.post("/settings/identity/blocked", page="/settings/identity", kind="email", value="*", note="everybody")
    assert answer.status_code == 400
    assert all(each in answer.text for each in ('value="*"', 'value="everybody"', '<option value="email" selected', 'id="value-e"'))


def test_what_guards_held_is_listed(world, browser_as):
    for n in range(7):
        world.process(identify({"phone": f"050555014{n}"}, at=world.ago(40 - n), user_id="1"))
    world.session.commit()
    page = browser_as("marketer").get("/people/held").text
    assert "Too many identities of one kind" in page
    assert world.session.scalar(text("SELECT count(*) FROM guard_reports WHERE seen_at IS NULL")) == 0
    assert "Too many identities" in browser_as("viewer").get(f"/people/{world.pair[0]}/identity").text


def test_pairs_are_confirmed_or_rejected_one_after_the_other(world, browser_as, now):
    place = {"city": "Haifa", "address": {"street": "Herzl 12"}}
    for n, name in enumerate(("Omer Katz", "עומר כץ", "Noa Adler", "נועה אדלר")):
        world.process(identify({"name": name, "email": f"p{n}@example.com", **place}, at=world.ago(30 - n), anonymous_id=f"p{n}"))
    queue.look(world.session, now)
    world.session.commit()
    browser = browser_as("marketer")
    page = browser.get("/people/same")
    assert "Side by side" in page.text
    assert "Agree: name, address, city." in page.text
    for act in ("yes", "no"):
        pair = queue.waiting(world.session)[0]
        answer = browser.post("/people/same", page="/people/same", one=pair.one_id, other=pair.other_id, act=act, level="certain")
        assert answer.headers["Location"] == "/people/same?level=certain"
    assert "Nobody seems to be known twice" in browser.get("/people/same").text
    assert world.session.scalars(text("SELECT reason FROM links")).all() == ["suggested"]
    assert set(world.session.scalars(text("SELECT state FROM suggestions"))) == {"confirmed", "rejected"}
    browser.post("/people/same", page="/people/same", one=pair.one_id, other=pair.other_id, act="yes")
    assert len(world.links()) == 1
    assert world.differences() == []


def test_a_join_that_failed_is_shown_where_one_can_ask_again(world, browser_as):
    dana, other = world.pair
    large.postpone(world.session, [Join(dana, other, "identified", 7, {})], world.now)
    large.set_aside(world.session, *sorted(world.pair), "DivisionByZero: division by zero")
    world.session.commit()
    browser = browser_as("marketer")
    for path in (f"/people/{dana}/identity", "/people/held"):
        page = browser.get(path).text
        assert "failed. Nothing was changed" in page, path
        assert "DivisionByZero: division by zero" in page, path
        assert f"/people/{dana}/join?with={other}" in page or f"/people/{other}/join?with={dana}" in page, path
    world.merge(dana, other)
    world.session.commit()
    assert "DivisionByZero" not in browser.get("/people/held").text
    assert world.session.scalar(text("SELECT count(*) FROM large_joins")) == 0


def test_somebody_with_a_user_id_or_an_address_is_compared_as_no_anonymous_visitor(world, browser_as):
    world.process(track("Page", at=world.ago(9), user_id="u-8812"), track("Page", at=world.ago(8), email="mia@example.com"))
    world.session.commit()
    mia, nameless = world.owner("user_id", "u-8812"), world.owner("email", "mia@example.com")
    page = browser_as("marketer").get(f"/people/{mia}/join?with={nameless}").text
    assert f'<a href="/people/{mia}"><bdi>u-8812</bdi></a>' in page
    assert "Anonymous visitor" not in page


def test_every_page_speaks_hebrew(world, browser_as):
    browser = browser_as("admin")
    for path in (
        f"/people/{world.pair[0]}/identity",
        f"/people/{world.pair[0]}/join?with={world.pair[1]}",
        "/people/same",
        "/people/held",
        "/settings/identity",
    ):
        answer = browser.get(path, language="he")
        assert answer.status_code == 200
        assert "Take apart" not in answer.text


def test_the_api_joins_and_parts(world, app):
    token = create_token(world.session, name="robot", role="marketer")
    world.session.commit()
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    dana, other = world.pair
    kept = client.post(f"/api/v1/profiles/{dana}/joins", json={"other": str(other), "reason": "same phone"}, headers=headers)
    assert kept.status_code == 200
    graph = client.get(f"/api/v1/profiles/{other}/joins", headers=headers).json
    assert graph["id"] == kept.json["id"]
    [link] = [part["link"] for part in graph["parts"] if part["link"]]
    assert (link["by"], link["said"], link["reason"]) == ("API: robot", "same phone", "by_hand")
    assert client.post(f"/api/v1/links/{link['id']}/undo", json={}, headers=headers).json["rest"] == kept.json["id"]
    again = client.post(f"/api/v1/links/{link['id']}/undo", json={}, headers=headers)
    assert (again.status_code, again.json["error"]) == (400, "This was taken apart before.")
    assert world.differences() == []
