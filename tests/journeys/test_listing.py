"""A step puts people on lists and takes them off; a list that is gone breaks the journey, not the batch."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.segments import lists
from journeys import publish
from tests.makers import accepted, config, track
from workers import pipeline

CONFIG = config()


def journey(*nodes: dict[str, Any]) -> dict[str, Any]:
    drawn = {f"n{i}": {"kind": "list", "settings": each, "exits": {"next": f"n{i + 1}"}} for i, each in enumerate(nodes)}
    trigger = {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}}
    return {"name": {"en": "L"}, "trigger": trigger, "entry": "n0", "nodes": drawn | {f"n{len(nodes)}": {"kind": "stop"}}}


def sign_up(session: Session, now: dt.datetime, who: str = "dana") -> None:
    pipeline.run(session, [accepted(track("Signed Up", at=now, user_id=who), now)], now, CONFIG)


def test_whoever_comes_is_put_on_the_list_once_and_told_in_the_log(session, now):
    lists.create(session, slug="vip", name="VIP", now=now)
    publish.publish(session, "join", journey({"list": "vip"}), now=now)
    sign_up(session, now)
    sign_up(session, now)
    assert len(lists.members(session, "vip", after=None, limit=9)) == 1
    said = session.scalars(text("SELECT cause FROM event_inbox WHERE body::jsonb->>'event' = 'List Joined'")).all()
    assert said == ["journey:join"]


def test_the_last_word_of_one_walk_counts(session, now):
    lists.create(session, slug="vip", name="VIP", now=now)
    publish.publish(session, "both", journey({"list": "vip"}, {"list": "vip", "act": "remove"}), now=now)
    sign_up(session, now)
    assert lists.members(session, "vip", after=None, limit=9) == []


def test_a_list_that_is_gone_breaks_the_journey_and_nothing_else(session, now):
    lists.create(session, slug="vip", name="VIP", now=now)
    publish.publish(session, "gone", journey({"list": "gone"}), now=now)
    publish.publish(session, "well", journey({"list": "vip"}), now=now)
    sign_up(session, now)
    state = {row.slug: row.status for row in session.execute(text("SELECT slug, status FROM journeys"))}
    assert state == {"gone": "broken", "well": "live"}
    assert len(lists.members(session, "vip", after=None, limit=9)) == 1
