"""A score that was given comes out the same again, whatever became of the person since."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.events.inbox import driver
from crm.messages import joining
from crm.profiles.models import Link
from crm.scores import again, apply, features, train, trust
from crm.scores.feature_list import BUILT_IN
from crm.scores.score import find
from crm.scores.score_models import Score, ScorePast
from tests import makers
from tests.scores.makers import shop
from workers import pipeline

CONFIG = makers.config()
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
ALL = (*BUILT_IN, features.imported("size", "number"), features.imported("plan", "words"), features.own_event("Tasted"))


class Dana:
    """Somebody to whom things happen through the whole pipeline."""

    def __init__(self, session: Session, now: dt.datetime, mail: str = "dana@example.com") -> None:
        self.session, self.now, self.mail = session, now, mail

    def does(self, event: str, at: dt.datetime, *, heard: dt.datetime | None = None, **properties: Any) -> None:
        self.told(makers.track(event, properties, at=at, user_id=self.mail, email=self.mail), heard or at)

    def says(self, at: dt.datetime, *, heard: dt.datetime | None = None, trusted: bool = True, **traits: Any) -> None:
        self.told(makers.identify({"email": self.mail, **traits}, at=at, user_id=self.mail), heard or at, trusted=trusted)

    def told(self, call: Any, heard: dt.datetime, *, trusted: bool = True) -> None:
        pipeline.run(self.session, [makers.accepted(call, heard, trusted=trusted)], heard, CONFIG)

    @property
    def id(self) -> uuid.UUID:
        return self.session.scalars(text("SELECT profile_id FROM identities WHERE kind = 'email' AND value = :m"), {"m": self.mail}).one()

    def known(self, people: features.People) -> list[tuple[str, Any]]:
        """Every feature there is, by its name; to nine figures, since sums of floats hang on the order rows come in."""
        told = trust.told_by_shop(self.session, (), now=self.now)
        row = driver(self.session).execute(features.raw(people, ALL, CONFIG, told=told)).fetchone()
        assert row is not None
        values = [float(f"{value:.9g}") if isinstance(value, float) else value for value in row[2:]]
        return list(zip(["points", *(one.name for one in ALL)], values, strict=True))


@pytest.fixture
def dana(session: Session, now: dt.datetime) -> Dana:
    made = Dana(session, now)
    made.says(now - 40 * DAY, size=3, language="en")
    made.says(now - 20 * DAY, size=5, plan="gold", country="IL")
    made.does("Product Viewed", now - 5 * DAY, product_id="tea", category="tea")
    made.does("Order Completed", now - 4 * DAY, order_id="o1", revenue="120", currency="ILS")
    made.does("Product Added", now - 2 * HOUR, cart_id="c", **makers.product("tea"))
    return made


def given(session: Session, dana: Dana, kind: str = "engagement") -> again.Spoken:
    """Her score of now, by rules, as it is kept."""
    score = find(session, kind)
    apply.apply(session, score, apply.serving_model(session, score), apply.these([dana.id], now=dana.now), config=CONFIG, now=dana.now)
    return again.spoken(session, dana.id, kind, at=dana.now)


def people(session: Session, said: again.Spoken) -> features.People:
    return again._as_known(session, again._then(session, said))


def as_before(session: Session, dana: Dana, said: again.Spoken) -> float:
    found = again.again(session, find(session, "engagement"), said, config=CONFIG)
    assert found.why == ()
    return found.probability


def changes(dana: Dana) -> None:
    """Traits told anew and taken back, events of before that come in only now, more of everything, an older first sight."""
    now = dana.now
    dana.says(now + HOUR, size=99, plan=None, language="he", city="Haifa")
    dana.says(now - 30 * DAY, heard=now + HOUR, country="FR", plan="silver")
    dana.does("Product Viewed", now - 3 * DAY, heard=now + HOUR, product_id="cup", category="cups")
    dana.does("Tasted", now - 80 * DAY, heard=now + HOUR)
    dana.does("Order Completed", now + HOUR, order_id="o2", revenue="999", currency="ILS")


def test_whatever_is_told_or_comes_in_later_leaves_what_was_known_then(session: Session, dana: Dana) -> None:
    before, said = dana.known(apply.these([dana.id], now=dana.now)), given(session, dana)
    changes(dana)
    assert dana.known(apply.these([dana.id], now=dana.now)) != before, "read today, that moment looks otherwise"
    assert dana.known(people(session, said)) == before
    found = again.again(session, find(session, "engagement"), said, config=CONFIG)
    assert (found.band, found.why) == (said.band, ())
    assert found.probability == pytest.approx(said.probability)


def test_an_untrusted_word_of_then_counts_as_little_as_it_did_then(session: Session, dana: Dana) -> None:
    dana.says(dana.now - HOUR, trusted=False, size=1, country="FR")
    before, said = dana.known(apply.these([dana.id], now=dana.now)), given(session, dana)
    dana.says(dana.now + HOUR, size=2, country="DE")
    assert dana.known(people(session, said)) == before


def test_who_was_joined_or_parted_since_is_as_they_were(session: Session, now: dt.datetime, dana: Dana) -> None:
    noa = Dana(session, now, "noa@example.com")
    noa.says(now - 50 * DAY, size=70, plan="none")
    noa.does("Product Viewed", now - DAY, product_id="pot", category="pots")
    alone = {one.id: (one.known(apply.these([one.id], now=now)), given(session, one).probability) for one in (dana, noa)}
    joining.merge(session, dana.id, noa.id, by="Maya", said="the same", now=now + HOUR, currency="ILS")
    assert dana.id == noa.id
    rows = session.scalars(select(ScorePast).where(ScorePast.kind == "engagement")).all()
    assert sorted(as_before(session, dana, again.of_past(row)) for row in rows) == pytest.approx(sorted(score for _, score in alone.values()))
    assert [dana.known(people(session, again.of_past(row))) for row in rows] == [alone[row.given_id or row.profile_id][0] for row in rows]
    together = Dana(session, now + 2 * HOUR)
    before, said = together.known(apply.these([dana.id], now=together.now)), given(session, together)
    [link] = session.scalars(select(Link.id))
    joining.unmerge(session, link, by="Maya", said="no", now=now + 3 * HOUR, currency="ILS")
    assert dana.id != noa.id
    assert [one for one, was in zip(together.known(people(session, said)), before, strict=True) if features.differ(one[1], was[1])] == []
    assert as_before(session, dana, said) == pytest.approx(said.probability)


def test_what_cannot_be_answered_is_said_and_stops_no_other_answer(session: Session, dana: Dana) -> None:
    given(session, dana)
    lost = ScorePast(profile_id=dana.id, kind="removed", probability=0.4, band="cool", at=dana.now, asked_at=dana.now)
    session.add(lost)
    session.execute(text("UPDATE score_history SET asked_at = :now"), {"now": dana.now + HOUR})
    session.flush()
    assert again.answer(session, config=CONFIG) == 2
    assert again.answer(session, config=CONFIG) == 0
    told = {row.kind: row.told["why"] for row in session.scalars(select(ScorePast))}
    assert told == {"removed": ["nobody"], "engagement": []}


def test_a_version_gives_the_number_again_and_another_one_another(session: Session, now: dt.datetime, dana: Dana) -> None:
    shop(session, people_count=300, now=now)
    version = train.train(session, find(session, "lead"), config=CONFIG, now=now)
    said = given(session, dana, "lead")
    kept = session.get_one(Score, (dana.id, "lead"))
    reasons = kept.reasons
    changes(dana)
    score = find(session, "lead")
    apply._loaded.clear()
    found = again.again(session, score, said, config=CONFIG)
    assert (found.reasons, found.why) == (reasons, ())
    assert found.probability == pytest.approx(said.probability)
    later = dana.now + 2 * HOUR
    apply.apply(session, score, apply.model_of(session, version.id), apply.these([dana.id], now=later), config=CONFIG, now=later)
    session.expire_all()
    assert session.get_one(Score, (dana.id, "lead")).probability != said.probability
    assert again.spoken(session, dana.id, "lead", at=later - HOUR) == said, "what stood then is in the history"
    assert again.by(session, score, said, version_id=None, config=CONFIG).probability != said.probability
    with pytest.raises(NotFoundError):
        again.spoken(session, dana.id, "lead", at=dana.now - HOUR)
