"""`kesher doctor` knows the database's version also where several migrations stand side by side."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests import makers
from workers.check import Patient, migrations


def test_every_migration_that_nothing_follows_must_be_there(session: Session, now: dt.datetime) -> None:
    patient = Patient(makers.config(), session, now)
    assert migrations(patient).state == "ok"
    gone = session.scalar(text("DELETE FROM alembic_version WHERE version_num = (SELECT min(version_num) FROM alembic_version) RETURNING version_num"))
    found = migrations(patient)
    assert found.state == "bad"
    assert f"the program at {gone}" in found.said
    assert "kesher migrate" in found.said
