"""A limit of entries in a backtest: over everybody and in order of time, as it would have been."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core.db import engine_for, sessions
from journeys import backtest, backtest_limit, publish
from journeys.backtest_models import Backtest
from journeys.engine import wake_due
from tests.journeys.test_entry import CONFIG, WAIT, begun, day, drawing, go, hour, refused, signed

CAME = [("a", 0.0), ("a", 0.2), ("b", 1.0), ("c", 2.0), ("c", 24.5), ("d", 26.0), ("e", 27.0), ("a", 50.0)]  # who, and after how many hours
OFTEN = {"again": "every_time", "at_once": "one_per_key"}


def lived(made: sessionmaker[Session], kind: backtest.Kind, period: tuple[dt.datetime, dt.datetime]) -> dict[str, Any]:
    """The report of a backtest."""
    with made() as session:
        asked = backtest.ask(session, "few", kind=kind, period=period, settings={}, now=period[1], by="noa")
        session.commit()
    while backtest.work(made, CONFIG):
        pass
    with made() as session:
        found = session.get_one(Backtest, asked.id)
        assert (found.status, found.error, backtest.progress(found)) == ("done", "", (5, 5))
        return dict(found.report)


@pytest.mark.parametrize(
    ("limit", "reentry", "there"),
    [({"runs": 2}, {}, 2), ({"runs": 2, "within": "1d"}, {}, 4), ({"runs": 2, "within": "1d"}, {"reentry": OFTEN}, 5)],
)
def test_a_limit_lets_in_whom_it_would_have_let_in(fresh_url: str, now: dt.datetime, limit: dict[str, Any], reentry: dict[str, Any], there: int) -> None:
    made, began = sessions(engine_for(fresh_url)), now - 5 * day
    with made() as session:
        publish.publish(session, "few", drawing(WAIT, limit=limit, **reentry), now=began)
        for who, after in CAME:
            wake_due(session, began + after * hour, 10, CONFIG)
            go(session, began + after * hour, signed(began + after * hour, who))
        session.commit()
        real = begun(session).get("few", 0), Counter(refused(session))
    assert real[0] == there
    found = lived(made, "what_if", (began, now))
    assert (found["started"], Counter(found["refused"])) == real
    assert "counted" in found["notes"]
    again = lived(made, "replay", (began, now))
    assert (again["differences"], again["same"]) == ([], there)


def test_where_too_many_come_the_report_says_that_they_were_not_counted(fresh_url: str, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest_limit, "MOST", 0)
    made, began = sessions(engine_for(fresh_url)), now - 5 * day
    with made() as session:
        publish.publish(session, "few", drawing(WAIT, limit={"runs": 2}), now=began)
        for who, after in CAME:
            go(session, began + after * hour, signed(began + after * hour, who))
        session.commit()
        assert session.scalar(text("SELECT count(*) FROM runs")) == 2
    found = lived(made, "what_if", (began, now))
    assert (found["started"], "limit" in found["notes"]) == (5, True)
