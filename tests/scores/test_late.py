"""Columns filled in once somebody was given up, and how far people differ by chance alone."""

from __future__ import annotations

import datetime as dt

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.scores import measure, train
from crm.scores.score import find
from tests import makers
from tests.scores.makers import column, happened, own_score, people, shop

STAMP = "UPDATE profiles SET traits_at = traits_at || jsonb_build_object('outcome', CAST(:stamp AS jsonb)) WHERE id = :id"


def test_what_is_told_once_somebody_was_given_up_is_flagged(session: Session, now: dt.datetime) -> None:
    ids = shop(session, people_count=300, now=now)
    won = set(session.scalars(text("SELECT profile_id FROM events WHERE name = 'Order Completed'")))
    lost = [one for one in ids if one not in won][:60]
    assert len(lost) >= 40
    days = [now - dt.timedelta(days=200, minutes=place) for place in range(len(lost))]
    happened(session, [(one, "Deal Lost", at, {}) for one, at in zip(lost, days, strict=True)])
    happened(session, [(one, "identify", at + dt.timedelta(hours=2), {"lost_reason": "price"}) for one, at in zip(lost, days, strict=True)])
    happened(session, [(one, "identify", at - dt.timedelta(days=3), {"size": "large"}) for one, at in zip(lost, days, strict=True)])
    for name in ("lost_reason", "size"):
        column(session, name, "words", now=now)
    version = train.train(session, find(session, "lead"), config=makers.config(), now=now)
    assert [(flag["feature"], flag["evidence"]) for flag in version.flags] == [("trait:lost_reason", [{"code": "late_lost", "share": 1.0, "of": len(lost)}])]


def test_a_label_in_a_column_says_when_somebody_was_given_up(session: Session, now: dt.datetime) -> None:
    said = [{"outcome": "won" if place % 4 == 0 else "lost", "size": place % 7} for place in range(240)]
    ids = people(session, said, at=now - dt.timedelta(days=90))
    ended = {one: now - dt.timedelta(days=60, minutes=place) for place, one in enumerate(ids)}
    for one, at in ended.items():
        session.execute(text(STAMP), {"id": one, "stamp": f"[{int(at.timestamp() * 1000)}, 2]"})
    lost = [one for one, each in zip(ids, said, strict=True) if each["outcome"] == "lost"]
    happened(session, [(one, "identify", ended[one] + dt.timedelta(hours=1), {"why": "price"}) for one in lost])
    for name in ("size", "why"):
        column(session, name, "number" if name == "size" else "words", now=now)
    own_score(session, "closes", column_="outcome", values=["won"], now=now)
    version = train.train(session, find(session, "closes"), config=makers.config(), now=now)
    assert {flag["feature"]: flag["evidence"][-1]["code"] for flag in version.flags} == {"trait:why": "late_lost"}


def test_the_index_of_equals_stays_within_what_chance_adds() -> None:
    chance, shares, found = np.random.default_rng(1), np.full(10, 0.1), []
    for _ in range(400):
        before, now = (chance.multinomial(rows, shares) / rows for rows in (700, 120))
        found.append(measure.psi(before, now, 0.5 / 120))
    usual, most = measure.psi_by_chance(10, 700, 120, 3.7)
    assert abs(np.mean(found) - usual) < 0.02
    assert np.mean(np.array(found) > most) <= 0.01
