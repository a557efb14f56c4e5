"""What the builder offers: gathered from the newest events, and never what only one person has."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from crm.segments import evaluate, seen, tree
from crm.segments.refresh import place_of
from tests import makers
from tests.segments.test_refresh import CONFIG, happen, make, members


def test_names_properties_and_shared_values_are_offered(session: Session, now: dt.datetime) -> None:
    calls = [makers.track("Chair Sat", {"wood": "oak", "note": f"only {n}", "size": {"w": 1}}, at=now, user_id=f"u{n}") for n in range(3)]
    happen(session, now, *calls, makers.identify({"city": "Haifa", "email": "dana@example.com"}, at=now, user_id="dana"))
    assert seen.gather(session, now) > 0
    assert "Chair Sat" in seen.event_names(session)
    assert seen.properties(session, "Chair Sat") == ["note", "size", "wood"]
    assert seen.values(session, "Chair Sat", "wood") == ["oak"]
    assert seen.values(session, "Chair Sat", "note") == []
    assert "city" in seen.properties(session, seen.TRAITS)
    assert seen.values(session, seen.TRAITS, "email") == []


def test_it_is_gathered_anew_after_a_while_and_forgets_what_is_gone(session: Session, now: dt.datetime) -> None:
    happen(session, now, makers.track("Chair Sat", {"wood": "oak"}, at=now, user_id="u1"))
    seen.gather(session, now)
    assert seen.gather(session, now + dt.timedelta(minutes=1)) == 0
    happen(session, now, makers.track("Table Laid", {}, at=now, user_id="u1"))
    seen.gather(session, now + dt.timedelta(minutes=11))
    assert {"Chair Sat", "Table Laid"} <= set(seen.event_names(session))


def test_a_name_with_dots_that_is_offered_is_the_one_a_rule_reads(session: Session, now: dt.datetime) -> None:
    make(session, now, "spring", {"kind": "trait", "name": "utm.source", "value": "spring"})
    sat = [makers.track("Chair Sat", {"wood.kind": "oak"}, at=now, user_id=f"u{n}") for n in range(3)]
    happen(session, now, *sat, makers.identify({"utm.source": "spring"}, at=now, user_id="u0"))
    seen.gather(session, now)
    assert seen.properties(session, "Chair Sat") == ["wood.kind"]
    rule = tree.parse({"kind": "did", "event": "Chair Sat", "where": [{"name": "wood.kind", "value": "oak"}]})
    assert evaluate.count(session, rule, now=now, place=place_of(CONFIG)) == 3
    assert members(session, "spring") == 1
