"""Something done within dates: days as the shop's own clock has them."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.segments import evaluate, tree
from crm.segments.rule import Place
from tests import makers
from tests.segments import reader
from tests.segments.test_refresh import happen


@pytest.mark.parametrize(("zone", "inside"), [("Asia/Jerusalem", True), ("UTC", False), ("America/New_York", False)])
def test_a_date_is_a_day_of_the_installations_clock(session: Session, now: dt.datetime, zone: str, inside: bool) -> None:
    """Half past ten in the evening by UTC is the day after in Jerusalem, in summer and in winter."""
    day, place = now.date() - dt.timedelta(days=3), Place(Keys("secret"), zone)
    happen(session, now, makers.track("Chair Sat", at=dt.datetime.combine(day, dt.time(22, 30), dt.UTC), user_id="dana"))
    [dana] = makers.profiles(session)
    person = reader.person(session, dana.id, place=place)
    assert person is not None
    after = tree.parse({"kind": "did", "event": "Chair Sat", "since": str(day + dt.timedelta(days=1))})
    before = tree.parse({"kind": "did", "event": "Chair Sat", "until": str(day + dt.timedelta(days=1))})
    for rule, there in ((after, inside), (before, not inside)):
        assert (evaluate.members(session, rule, now=now, place=place) == {dana.id}) == tree.read(rule, person, now) == there


def test_a_number_beyond_any_list_of_events_is_no_reason_to_break(session: Session, now: dt.datetime) -> None:
    happen(session, now, makers.track("Chair Sat", at=now, user_id="dana"))
    rule = tree.parse({"kind": "did", "event": "Chair Sat", "op": "less_than", "value": 3_000_000_000, "within": "30d"})
    made = evaluate.statement(rule, now=now, place=Place(Keys("secret")))
    assert [row.inside for row in session.execute(text(made.sql), made.values)] == [True]
