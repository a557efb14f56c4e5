"""The invented shop's leads: one shop for one seed, and scores judged on it from the first call to the last figure."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.orm import Session

from tests import makers
from workers.bench import lead_scores
from workers.demo.leads import DEVELOPING, HONEST, JUDGING_SEEDS, PLANTED, TYPES, Drift, Lead, Told, calls, drift_of, moment, shop

FEW = 2.0  # leads a day


@pytest.fixture(scope="module")
def leads() -> list[Lead]:
    return shop(2, leads_a_day=FEW)


def test_one_seed_gives_one_shop_and_another_gives_another(leads: list[Lead]) -> None:
    assert calls(shop(2, leads_a_day=FEW)) == calls(leads)
    assert calls(shop(3, leads_a_day=FEW))[:50] != calls(leads)[:50]
    assert not set(JUDGING_SEEDS) & set(DEVELOPING)
    assert len(JUDGING_SEEDS) == 20


@pytest.mark.parametrize("kind", ["views", "pages", "source"])
def test_until_the_drift_begins_nothing_is_different(leads: list[Lead], kind: str) -> None:
    drift = Drift(kind, 308)
    drifting = calls(shop(2, leads_a_day=FEW, drift=drift))
    assert _before(drifting, 308) == _before(calls(leads), 308)
    assert len(drifting) != len(calls(leads))
    assert drift_of(2) == drift_of(2)


def test_planted_columns_follow_the_outcome_and_honest_ones_precede_it(leads: list[Lead]) -> None:
    ended = {one.number: moment(one.bought[0]) for one in leads if one.bought and one.lost is None}
    late = _after_share(leads, ended, {late.name for late in PLANTED if not late.early})
    honest = _after_share(leads, ended, set(HONEST) - {"city", "employees"})
    assert late == 1.0
    assert honest == 0.0
    assert 0.1 < sum(bool(one.bought) for one in leads) / len(leads) < 0.4
    assert {name for one in leads for call in one.calls if call.name == "identify" for name in call.said} == set(TYPES)


def test_scores_of_a_shop_find_what_was_learned_too_late_and_notice_drift_alone(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    lead_scores.prepare(session)
    made = lead_scores.judge(session, 2, config=makers.config(), leads_a_day=3.0)
    assert made.missed == frozenset()
    assert made.falsely == frozenset()
    assert made.alarm_after in {1, 2}
    assert made.calm == ()
    assert made.state == "champion"
    assert made.hits.shape == (len(lead_scores.CALLING), 2)
    assert "8 of 8 found" in capsys.readouterr().out
    figures = {one.measure: one for one in lead_scores.summary([made])}
    assert figures["late_found"].value == 100
    assert figures["calls_margin_low"].value <= figures["calls_margin"].value <= figures["calls_margin_high"].value


def _before(told: list[Told], day: int) -> list[Told]:
    return [one for one in told if one.at < moment(day)]


def _after_share(leads: list[Lead], ended: dict[int, dt.datetime], names: set[str]) -> float:
    found = [call.at > ended[one.number] for one in leads if one.number in ended for call in one.calls if call.name == "identify" and names & set(call.said)]
    return sum(found) / len(found)
