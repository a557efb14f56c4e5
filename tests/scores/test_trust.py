"""What a public key says of orders and leads counts only where the shop itself says nothing of them."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.scores import apply, check, rows, train, trust
from crm.scores.score import find
from crm.scores.score_models import Score
from tests import makers
from tests.scores.makers import happened, people, shop

PUBLIC = "UPDATE events SET trusted = false, cause = :cause WHERE profile_id = ANY(:who) AND name = ANY(:names)"
TOLD = [*trust.TOLD, *trust.DEALS]


def public(session: Session, who: list[uuid.UUID], *, cause: str | None = None) -> None:
    """What was told of these people's orders and leads came from a browser."""
    session.execute(text(PUBLIC), {"who": who, "names": TOLD, "cause": cause})


def points(session: Session, who: list[uuid.UUID], now: dt.datetime) -> list[float]:
    score = find(session, "engagement")
    apply.apply(session, score, apply.by_rules(), apply.these(who, now=now), config=makers.config(), now=now)
    session.expire_all()
    return [session.get_one(Score, (one, "engagement")).probability for one in who]


def test_a_public_key_alone_is_believed(session: Session, now: dt.datetime) -> None:
    dana, yossi = people(session, [{}, {}], at=now - dt.timedelta(days=9))
    happened(session, [(one, name, now - dt.timedelta(hours=2), {}) for one in (dana, yossi) for name in trust.TOLD])
    public(session, [dana, yossi])
    assert points(session, [dana], now)[0] > 0.4
    assert set(trust.told_by_shop(session, (), now=now)) == set(trust.DEALS)


def test_beside_the_shop_s_own_word_a_public_key_s_is_worth_no_point(session: Session, now: dt.datetime) -> None:
    dana, eve, tamar, early = people(session, [{}] * 4, at=now - dt.timedelta(days=9))
    happened(session, [(one, name, now - dt.timedelta(hours=2), {}) for one in (dana, eve, tamar) for name in trust.TOLD])
    happened(session, [(early, name, now - dt.timedelta(hours=3), {}) for name in trust.TOLD])
    public(session, [eve, early])
    public(session, [tamar], cause="import:7")
    said = points(session, [dana, eve, tamar, early], now)
    assert said[0] == said[2] > 0.4, "a file's word counts as the shop's does"
    assert said[1] == 0
    assert said[3] > 0.4, "what was told before the shop began to tell keeps counting"


def test_a_browser_that_dates_its_word_back_comes_before_nobody(session: Session, now: dt.datetime) -> None:
    dana, eve = people(session, [{}, {}], at=now - dt.timedelta(days=9))
    happened(session, [(dana, name, now - dt.timedelta(hours=2), {}) for name in trust.TOLD])
    happened(session, [(eve, name, now - dt.timedelta(hours=3), {}) for name in trust.TOLD])
    public(session, [eve])
    session.execute(text("UPDATE events SET received_at = :at WHERE profile_id = :who"), {"at": now, "who": eve})
    assert points(session, [dana, eve], now)[1] == 0


def test_wins_buyers_and_kept_promises_are_the_shop_s_to_tell(session: Session, now: dt.datetime) -> None:
    ids = shop(session, people_count=60, now=now)
    fake, real = sorted(ids)[:30], sorted(ids)[30]
    happened(session, [(real, "Order Completed", now - dt.timedelta(days=390), {})])
    happened(session, [(one, "Deal Won", now - dt.timedelta(days=40), {}) for one in fake])
    public(session, fake)
    lead, told = find(session, "lead"), trust.told_by_shop(session, (), now=now)
    laid = rows.lay_down(session, lead, names=[], told=told, now=now)
    winners = set(session.scalars(text("SELECT profile_id FROM score_wins")))
    assert winners
    assert not winners & set(fake)
    assert laid.wins == int(np.sum(laid.y))
    assert apply.give(session, find(session, "churn"), apply.Model(None, (), None, told=told), apply.these(fake, now=now), config=makers.config()).p.size == 0


def test_a_version_keeps_whose_word_counted(session: Session, now: dt.datetime) -> None:
    shop(session, people_count=300, now=now)
    version = train.train(session, find(session, "lead"), config=makers.config(), now=now)
    assert "Order Completed" in version.serving["told"]
    assert apply.model_of(session, version.id).told == version.serving["told"]
    then = now - dt.timedelta(days=31)
    said = "INSERT INTO score_history (profile_id, kind, probability, band, version_id, at) SELECT id, 'lead', 0.1, 'cold', :version, :at FROM profiles"
    session.execute(text(said), {"version": version.id, "at": then})
    before = check.promises(session, find(session, "lead"), version, now=now)[0]["actual"]
    public(session, list(session.scalars(text("SELECT id FROM profiles"))))
    after = check.promises(session, find(session, "lead"), version, now=now)[0]["actual"]
    assert before > after == 0
