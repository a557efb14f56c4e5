"""A trait of the company's own that goes while a worker counts it does not come back."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from sqlalchemy import text

from crm.commerce import computed
from crm.core.db import engine_for, sessions
from tests import makers
from tests.waiting import until_it_waits
from workers import pipeline


def test_a_trait_dropped_while_a_worker_counts_it_is_gone(fresh_url: str, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_for(fresh_url)
    made, config = sessions(engine), makers.config()
    with made() as session:
        computed.define(session, name="visits", title="Visits", event="Page Viewed", aggregate="count", property_=None, days=None)
        pipeline.run(session, [makers.accepted(makers.track("Page Viewed", at=now, user_id="dana"), now)], now, config)
        session.commit()

    def drop() -> None:
        with made() as session:
            assert computed.drop(session, "visits")
            session.commit()

    dropping, recompute = threading.Thread(target=drop), computed.recompute

    def dropped_meanwhile(*said: object, **more: object) -> int:
        count = recompute(*said, **more)  # type: ignore[arg-type]  # whatever it is called with
        dropping.start()
        with made() as watching:
            until_it_waits(watching, dropping)
        return count

    monkeypatch.setattr(computed, "recompute", dropped_meanwhile)
    assert computed.work(made, config, lambda: now)
    dropping.join()
    with made() as session:
        assert session.scalar(text("SELECT count(*) FROM computed_traits WHERE name = 'visits'")) == 0
    engine.dispose()
