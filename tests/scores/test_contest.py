"""Champion and challenger: judged on the same rows, and nobody has to beat a champion that is out of use."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.orm import Session

from crm.scores import apply, jobs, train
from crm.scores.score import find
from crm.scores.score_models import ScoreVersion
from tests import makers
from tests.scores.makers import happened, shop
from tests.scores.test_moves import version_of


def learned(session: Session, now: dt.datetime) -> ScoreVersion:
    return train.train(session, find(session, "lead"), config=makers.config(), now=now)


def test_both_are_judged_on_the_same_rows_whatever_was_measured_of_the_champion_before(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    first = learned(session, now)
    lucky = {**first.metrics["measures"], "brier": {"value": 0.001, "low": 0.001, "high": 0.001}}
    first.metrics = {**first.metrics, "measures": lucky}
    second = learned(session, now)
    beside = second.metrics["against"]
    assert (beside["version"], beside["rows"]) == (1, second.metrics["judged"]["rows"])
    assert beside["brier"] == beside["ours"] == second.metrics["measures"]["brier"]["value"], "the same rows, the same model"
    assert (first.state, second.state) == ("retired", "champion")


def test_a_champion_is_judged_by_events_that_are_not_frequent_any_more(session: Session, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = shop(session, people_count=300, now=now)
    happened(session, [(one, "Brewed", now - dt.timedelta(days=n), {}) for one in ids[::3] for n in (40, 70, 100, 130)])
    first = learned(session, now)
    assert "did:Brewed" in {one["name"] for one in first.features}
    monkeypatch.setattr(train.features, "frequent_events", lambda *_args, **_more: [])
    second = learned(session, now)
    assert "did:Brewed" not in {one["name"] for one in second.features}
    assert second.metrics["against"]["version"] == 1


def test_a_champion_that_cannot_be_read_is_compared_by_what_was_measured_of_it(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    first = learned(session, now)
    first.model = b"of another age"
    session.flush()
    apply._loaded.clear()
    second = learned(session, now)
    assert second.metrics["against"] is None
    assert second.state == "champion"


def test_a_champion_that_learned_from_all_rows_is_not_judged_on_them(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    first = learned(session, now)
    first.metrics = {**first.metrics, "mode": "folds"}
    assert learned(session, now).metrics["against"] is None


@pytest.mark.parametrize(("low", "state"), [(0.001, "challenger"), (-0.001, "champion")])
def test_the_champion_stays_where_the_new_version_is_surely_worse_on_the_same_rows(session: Session, now: dt.datetime, low: float, state: str) -> None:
    version_of(session, 1, now, 0.30, ["days_7"])
    beside = {"version": 1, "rows": 100, "brier": 0.1, "ours": 0.1, "worse": {"value": low + 0.001, "low": low, "high": low + 0.002}}
    assert version_of(session, 2, now, 0.10, ["days_7"], against=beside).state == state


@pytest.mark.parametrize("notice", [{"code": "fallback"}, {"code": "broken"}, {"code": "refused", "version": 2}])
def test_nobody_has_to_beat_a_champion_that_broke_its_word(session: Session, now: dt.datetime, notice: dict[str, object]) -> None:
    version_of(session, 1, now, 0.10, ["days_7"])
    row = jobs.row_of(session, "lead", now)
    row.rules_only, row.notice = True, {"code": "by_hand"}
    assert version_of(session, 2, now, 0.20, ["days_7"]).state == "challenger", "what a person put aside is still the one to beat"
    row.notice = notice
    assert version_of(session, 3, now, 0.20, ["days_7"]).state == "champion"
