"""`kesher doctor` rebuilds a sample of people from the log."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.db import engine_for
from tests import makers
from tests.profiles.test_undo import World, two_people
from workers.check import Patient, people_from_log


def test_people_are_what_the_log_says_until_somebody_alters_them(fresh_url, now):
    engine = engine_for(fresh_url)
    with Session(engine) as session:
        world = World(session, now)
        dana, other = two_people(world)
        world.merge(dana, other)
        session.commit()
        patient = Patient(makers.config(), session, now)
        assert people_from_log(patient).state == "ok"
        session.execute(text("UPDATE identities SET profile_id = :other WHERE value = 'x'"), {"other": other if world.owner("user_id", "1") == dana else dana})
        session.execute(text("UPDATE orders SET revenue = revenue + 1"))
        session.commit()
        found = people_from_log(patient)
        assert found.state == "bad"
        assert "differences from the log" in found.said
    engine.dispose()
