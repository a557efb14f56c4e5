"""Every recipe goes from the gallery to live without an error, and has stories that tell what it sends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.messages.templates import install, shipped_templates
from crm.segments import store
from crm.segments.ready import ready_made
from crm.web.words import EVENTS
from journeys import coupons, files
from journeys.graph import parse
from journeys.nodes.coupon import CouponSettings
from journeys.nodes.send import SendSettings
from journeys.story import STORIES, read

NAMES = sorted(files.recipes())


@pytest.fixture
def shop(session: Session, now: dt.datetime) -> Session:
    """What a shop has made before: the templates, the ready segments, and codes in every pool a recipe names."""
    assert install(session, shipped_templates(), now).problems == {}
    for slug, name, rule in ready_made("ILS"):
        store.save(session, slug=slug, name=name, rule=rule, now=now)
    spots = [spot for drawing in files.recipes().values() for spot in parse(drawing).nodes.values()]
    for pool in {spot.settings.pool for spot in spots if isinstance(spot.settings, CouponSettings)}:
        coupons.add(session, pool, [f"{pool}-1"])
    return session


def test_every_event_a_recipe_names_has_words() -> None:
    graphs = [parse(drawing) for drawing in files.recipes().values()]
    named = {name for graph in graphs for name in graph.listens | set(graph.trigger.names(graph.trigger_settings))}
    assert sorted(named - set(EVENTS)) == []


def test_every_recipe_is_published_from_the_gallery_without_a_word_of_complaint(shop: Session, signed_in: Callable[..., FlaskClient]) -> None:
    client = signed_in()
    complaints = {}
    for name in NAMES:
        slug = client.post("/journeys/begin", data={"recipe": name}).headers["Location"].split("/")[2]
        draft = client.get(f"/journeys/{slug}/draft").get_json()
        said = client.post(f"/journeys/{slug}/publish", json={"revision": draft["revision"]})
        if said.status_code != 200 or draft["problems"]:
            complaints[name] = (said.get_json(), draft["problems"])
    assert complaints == {}
    assert shop.scalar(text("SELECT count(*) FROM journeys WHERE status = 'live'")) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_recipe_has_stories_that_send_each_of_its_messages(name: str) -> None:
    stories = read(STORIES / f"{name}.yaml")
    told = {each.template for story in stories for each in story.expect}
    sends = {spot.settings.template for spot in parse(files.recipes()[name]).nodes.values() if isinstance(spot.settings, SendSettings)}
    assert sends <= told | UNTOLD.get(name, set())


UNTOLD = {"birthday": {"birthday_wishes"}}  # a trial's pool is never empty; `test_birthday.py` lets one run out
