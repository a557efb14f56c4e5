"""What is not in a person's own events still moves them: their company, its people, what is counted of them; the past starts nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce import computed
from crm.core.config import Config
from crm.events.spec import Call
from crm.profiles import accounts
from crm.segments import fill, refresh, store
from tests import makers
from tests.segments.test_refresh import CONFIG, happen, make, members, order, told
from workers import pipeline

GOLD = {"kind": "account", "name": "tier", "value": "gold"}
SOON = {"kind": "account", "name": "contract_end", "op": "within_next", "value": "30d"}


def group(now: dt.datetime, user: str, traits: dict[str, Any]) -> Call:
    return Call(type="group", group_id="acme", user_id=user, traits=traits, timestamp=now.isoformat())


def settle(session: Session, now: dt.datetime) -> None:
    """What was marked is looked at."""
    while refresh.lapse_due(session, now, 100, CONFIG):
        pass


def recompute(session: Session, now: dt.datetime, config: Config = CONFIG) -> None:
    rows = session.execute(text("DELETE FROM computed_dirty RETURNING profile_id, history")).all()
    ids = {row.profile_id for row in rows}
    computed.recompute(session, sorted(ids), config, now, past=ids - {row.profile_id for row in rows if not row.history})


def test_a_companys_new_trait_brings_in_all_its_members(session: Session, now: dt.datetime) -> None:
    make(session, now, "gold", GOLD)
    happen(session, now, group(now, "dana", {"name": "Acme"}), group(now, "noa", {}))
    settle(session, now)
    assert members(session, "gold") == 0
    happen(session, now, group(now, "dana", {"tier": "gold"}))
    settle(session, now)
    assert members(session, "gold") == 2
    assert {row[3] for row in told(session)} == {"live"}


def test_by_hand_too_and_whoever_is_taken_out_leaves(session: Session, now: dt.datetime) -> None:
    make(session, now, "gold", GOLD)
    happen(session, now, makers.track("Page Viewed", at=now, user_id="dana"))
    [dana] = [row.id for row in makers.profiles(session)]
    acme = accounts.save(session, key="acme", name="Acme", domain=None, parent=None, traits={"tier": "gold"}, now=now)
    accounts.set_member(session, account_id=acme.id, profile_id=dana, role="buyer", now=now)
    settle(session, now)
    assert members(session, "gold") == 1
    accounts.remove_member(session, account_id=acme.id, profile_id=dana, now=now)
    settle(session, now)
    assert members(session, "gold") == 0


def test_history_about_a_company_enters_as_history(session: Session, now: dt.datetime) -> None:
    make(session, now, "gold", GOLD)
    happen(session, now, group(now, "dana", {"tier": "gold"}), origin="history")
    settle(session, now)
    assert told(session) == [("Segment Entered", "gold", 1, "history")]


def test_history_about_a_company_stays_history_beside_what_happens_now(session: Session, now: dt.datetime) -> None:
    make(session, now, "gold", GOLD)
    past = makers.accepted(group(now - dt.timedelta(days=1), "dana", {"tier": "gold"}), now, origin="history")
    other = Call(type="group", group_id="beta", user_id="noa", traits={"tier": "gold"}, timestamp=now.isoformat())
    pipeline.run(session, [past, makers.accepted(other, now)], now, CONFIG)
    settle(session, now)
    assert sorted(row[3] for row in told(session)) == ["history", "live"]


def test_an_import_about_one_segment_does_not_start_by_what_happens_in_another(session: Session, now: dt.datetime) -> None:
    make(session, now, "gold", GOLD)
    make(session, now, "visitors", {"kind": "did", "event": "Page Viewed", "within": "7d"})
    happen(session, now, makers.track("Page Viewed", at=now, user_id="dana"))
    later = now + dt.timedelta(days=8)
    happen(session, later, group(later, "dana", {"tier": "gold"}), origin="history")
    settle(session, later)
    assert told(session)[1:] in (
        [("Segment Left", "visitors", 1, "live"), ("Segment Entered", "gold", 1, "history")],
        [("Segment Entered", "gold", 1, "history"), ("Segment Left", "visitors", 1, "live")],
    )


def test_a_segment_that_is_being_filled_hears_of_whom_time_moves(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", {"kind": "did", "event": "Order Completed", "within": "7d"})
    happen(session, now, order(now, "o1", user_id="dana"))
    store.save(session, slug="both", name="both", rule={"kind": "in_segment", "segment": "buyers"}, now=now)
    [filling] = store.load(session, "filling")
    later = now + dt.timedelta(days=8)
    fill._write(session, filling, (fill.FIRST, fill.LAST), now, CONFIG)
    settle(session, later)
    session.execute(text("UPDATE segments SET status = 'live'"))
    settle(session, later)
    assert members(session, "buyers") == members(session, "both") == 0


def test_a_contract_that_comes_to_its_end_is_noticed_in_time(session: Session, now: dt.datetime) -> None:
    make(session, now, "ending", SOON)
    happen(session, now, group(now, "dana", {"contract_end": (now + dt.timedelta(days=40)).isoformat()}))
    settle(session, now)
    assert members(session, "ending") == 0
    settle(session, now + dt.timedelta(days=10))
    assert members(session, "ending") == 1


def test_what_one_member_does_moves_the_others(session: Session, now: dt.datetime) -> None:
    make(session, now, "buyers", {"kind": "did", "event": "Order Completed"})
    make(session, now, "buying-companies", {"kind": "colleagues", "segment": "buyers"})
    happen(session, now, group(now, "dana", {}), group(now, "noa", {}))
    settle(session, now)
    happen(session, now, order(now, "o1", user_id="dana"))
    settle(session, now)
    assert members(session, "buying-companies") == 2
    assert rebuilt(session, "buying-companies", now) == (0, 0)


@pytest.mark.parametrize("origin", ["live", "history"])
def test_a_computed_trait_that_changes_refreshes_its_segments(session: Session, now: dt.datetime, origin: str) -> None:
    make(session, now, "twice", {"kind": "computed", "name": "orders", "op": "at_least", "value": 2})
    make(session, now, "none", {"kind": "computed", "name": "orders", "op": "missing"})
    happen(session, now, order(now, "o1", user_id="dana"), order(now, "o2", user_id="dana"), origin=origin)
    recompute(session, now)
    settle(session, now)
    assert members(session, "twice") == 1
    assert ("Segment Entered", "twice", 1, origin) in told(session)
    assert rebuilt(session, "none", now) == (0, 0)


def test_a_segment_that_names_a_changed_one_is_found_anew(session: Session, now: dt.datetime) -> None:
    happen(session, now, order(now, "o1", user_id="dana"))
    make(session, now, "buyers", {"kind": "did", "event": "Order Completed"})
    make(session, now, "both", {"kind": "in_segment", "segment": "buyers"})
    assert members(session, "both") == 1
    make(session, now, "buyers", {"kind": "did", "event": "Nothing"})
    assert members(session, "both") == 0


def rebuilt(session: Session, slug: str, now: dt.datetime) -> tuple[int, int]:
    [loaded] = [one for one in store.load(session, "live") if one.slug == slug]
    return fill.rebuild(session, loaded, now, CONFIG)


@pytest.mark.parametrize("end", ["dropped", "changed"])
def test_a_trait_of_the_companys_own_that_goes_takes_its_people_out(session: Session, now: dt.datetime, end: str) -> None:
    points = {"name": "points", "title": "Points", "aggregate": "count", "property_": None, "days": None}
    computed.define(session, event="Page Viewed", **points)
    make(session, now, "some", {"kind": "computed", "name": "points", "op": "exists"})
    happen(session, now, makers.track("Page Viewed", at=now, user_id="dana"))
    recompute(session, now)
    settle(session, now)
    assert members(session, "some") == 1
    if end == "dropped":
        computed.drop(session, "points")
    else:
        computed.define(session, event="Points Earned", **points)
        recompute(session, now)
    settle(session, now)
    assert members(session, "some") == 0
    assert told(session)[-1] == ("Segment Left", "some", 1, "history")


def test_a_trait_of_the_companys_own_that_is_put_otherwise_moves_only_whom_that_moves(session: Session, now: dt.datetime) -> None:
    points = {"name": "points", "event": "Page Viewed", "property_": None, "days": None}
    computed.define(session, title="Points", aggregate="count", **points)
    make(session, now, "some", {"kind": "computed", "name": "points", "op": "exists"})
    happen(session, now, makers.track("Page Viewed", at=now, user_id="dana"))
    recompute(session, now)
    settle(session, now)
    before = told(session)
    computed.define(session, title="Visits", aggregate="count", **points)
    settle(session, now)
    assert session.scalar(text("SELECT count(*) FROM computed_dirty")) == 0
    computed.define(session, title="Visits", aggregate="distinct", **points | {"property_": "path"})
    settle(session, now)
    assert (members(session, "some"), told(session)) == (1, before)
