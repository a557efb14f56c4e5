"""New segments are filled part by part: killed, changed or broken meanwhile; and a check finds who stands wrong."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.segments import fill, store
from crm.segments.rule import Clause
from crm.segments.rules import did
from tests import makers
from tests.segments.test_refresh import BUYERS, CONFIG, happen, make, members, order, settle
from workers.check import Patient, Verdict, segments_from_rules


def shoppers(session: Session, now: dt.datetime, count: int = 5) -> None:
    happen(session, now, *(order(now, f"o{n}", user_id=f"u{n}") for n in range(count)))


def test_a_filling_goes_on_where_it_stood(session: Session, now: dt.datetime) -> None:
    shoppers(session, now)
    store.save(session, slug="buyers", name="Buyers", rule=BUYERS, now=now)
    assert fill.fill(session, now, CONFIG, at_once=2) == 1
    assert (members(session, "buyers"), store.find(session, "buyers").status) == (2, "filling")
    fill.fill(session, now, CONFIG, at_once=2)
    assert members(session, "buyers") == 4
    assert fill.fill(session, now, CONFIG, at_once=2) == 1
    session.expire_all()
    row = store.find(session, "buyers")
    assert (members(session, "buyers"), row.status, row.size, row.filled) == (5, "live", 5, None)
    assert fill.fill(session, now, CONFIG, at_once=2) == 0


def test_everybody_is_found_in_sets_though_nothing_is_known_of_them_yet(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after an import 50,000 people were taken for one, and went through once for each of them."""
    shoppers(session, now)
    monkeypatch.setattr(did.plugin, "sql", lambda _settings, _query: Clause("current_setting('enable_nestloop') = 'off'"))
    make(session, now, "all", {"kind": "did", "event": "Nothing"})
    assert members(session, "all") == 5
    assert fill.differences(session, store.load(session, "live")[0], now, CONFIG) == 0
    assert session.scalar(text("SHOW enable_nestloop")) == "on"


def test_a_rule_changed_meanwhile_begins_anew(session: Session, now: dt.datetime) -> None:
    shoppers(session, now)
    store.save(session, slug="buyers", name="Buyers", rule=BUYERS, now=now)
    fill.fill(session, now, CONFIG, at_once=2)
    store.save(session, slug="buyers", name="Buyers", rule={"kind": "did", "event": "Nothing"}, now=now)
    settle(session, now)
    assert members(session, "buyers") == 0


def test_who_is_in_it_wrongly_is_found_and_taken_out(session: Session, now: dt.datetime) -> None:
    shoppers(session, now)
    happen(session, now, makers.track("Page Viewed", at=now, user_id="looker"))
    make(session, now, "buyers", BUYERS)
    [loaded] = store.load(session, "live")
    assert fill.differences(session, loaded, now, CONFIG) == 0
    looker = session.scalar(text("SELECT profile_id FROM events WHERE name = 'Page Viewed'"))
    wrong = "UPDATE memberships SET profile_id = :looker WHERE profile_id = (SELECT profile_id FROM memberships LIMIT 1)"
    session.execute(text(wrong), {"looker": looker})
    assert fill.differences(session, loaded, now, CONFIG) == 2
    assert fill.rebuild(session, loaded, now, CONFIG) == (1, 1)
    assert fill.differences(session, loaded, now, CONFIG) == 0


def test_who_waits_to_be_looked_at_is_not_called_wrong(session: Session, now: dt.datetime) -> None:
    shoppers(session, now)
    make(session, now, "buyers", BUYERS)
    [loaded] = store.load(session, "live")
    later = now + dt.timedelta(days=31)
    assert fill.differences(session, loaded, later, CONFIG) == 0
    session.execute(text("DELETE FROM segment_lapses"))
    assert fill.differences(session, loaded, later, CONFIG) == 5


def test_the_doctor_finds_a_segment_that_holds_others_than_its_rule_names(session: Session, now: dt.datetime) -> None:
    shoppers(session, now)
    make(session, now, "buyers", BUYERS)
    patient = Patient(CONFIG, session, now)
    assert segments_from_rules(patient).state == "ok"
    session.execute(text("DELETE FROM memberships"))
    found = segments_from_rules(patient)
    assert (found.state, "buyers (5)" in found.said) == ("bad", True)
    store.find_anew(session, "buyers")
    settle(session, now)
    assert segments_from_rules(patient).state == "ok"
    session.execute(text("UPDATE segments SET status = 'broken'"))
    assert segments_from_rules(patient) == Verdict("segments", "warn", "broken: buyers; their pages say why, change the rule and save it")
