"""Who left is gone from the segments and the company they were in."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core.config import Config
from crm.events.models import HISTORY
from crm.events.spec import Call
from crm.profiles import erasure
from crm.segments import fill, refresh, store
from tests.profiles.life import a_life, accept, leave
from workers import leaving, pipeline


def test_who_was_forgotten_is_no_longer_counted_in_segments(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    dana = a_life(make, config, now)
    with make() as session:
        for slug, city in (("many", "exists"), ("none", "missing")):
            store.save(session, slug=slug, name=slug, rule={"kind": "trait", "name": "email", "op": city}, now=now)
        while fill.fill(session, now, config):
            pass
        before = dict(session.execute(text("SELECT slug, size FROM segments")).all())
        session.commit()
    leave(make, config, dana, now)
    with make() as session:
        refresh.measure_sizes(session, now)
        counted = text("SELECT slug, size, (SELECT count(*) FROM memberships m WHERE m.segment_id = s.id) FROM segments s")
        after = {slug: (size, members) for slug, size, members in session.execute(counted)}
    assert sum(before.values()) - 1 == sum(size for size, _ in after.values())
    assert all(size == members for size, members in after.values())


def test_the_people_of_their_company_are_looked_at_at_once(make: sessionmaker[Session], config: Config, now: dt.datetime) -> None:
    def in_acme(user_id: str) -> Call:
        return Call(type="group", group_id="acme", user_id=user_id, traits={"name": "Acme"}, timestamp=now.isoformat())

    def sizes() -> list[int]:
        counted = "SELECT count(m.profile_id) FROM segments s LEFT JOIN memberships m ON m.segment_id = s.id GROUP BY s.slug ORDER BY s.slug"
        with make() as session:
            while refresh.lapse_due(session, now, 100, config):
                pass
            session.commit()
            return list(session.scalars(text(counted)))

    dana = a_life(make, config, now)
    accept(make, config, [in_acme("10482"), in_acme("3")], now)
    rules: dict[str, dict[str, Any]] = {
        "a-cups": {"kind": "did", "event": "Product Added"},
        "b-any": {"kind": "colleagues", "segment": "a-cups", "match": "any"},
        "c-none": {"kind": "colleagues", "segment": "a-cups", "match": "none"},
    }
    with make() as session:
        for slug, rule in rules.items():
            store.save(session, slug=slug, name=slug, rule=rule, now=now)
        while fill.fill(session, now, config):
            pass
        session.commit()
    assert sizes() == [1, 2, 1]
    with make() as session:
        erasure.request(session, dana, by="Noa", now=now)
        session.commit()
    assert leaving.work(make, config, lambda: now) == 1
    assert sizes() == [0, 0, 2]
    while pipeline.drain(make, config, lambda: now):
        pass
    with make() as session:
        said = "SELECT DISTINCT origin FROM events WHERE name LIKE 'Segment %'"
        assert list(session.scalars(text(said))) == [HISTORY], "somebody's leaving starts nothing"
