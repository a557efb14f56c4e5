"""A score that was given, worked out again: by the version that gave it, from what had been heard of the person by then."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from psycopg.sql import SQL, Literal
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.db import is_passing
from crm.core.errors import KesherError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.events.spec import trust_of
from crm.profiles.fold import tell
from crm.profiles.people import Person
from crm.scores import apply, trust
from crm.scores.feature_list import DAYS_BACK
from crm.scores.features import People, differ
from crm.scores.score import Asked, find
from crm.scores.score_models import BANDS, Score, ScorePast, ScoreVersion

RACE = dt.timedelta(seconds=30)  # what was under way so near the moment may or may not have counted
AT_ONCE = 20
TEAM, MONEY = {"members", "members_30"}, {"value_365", "average_order"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spoken:
    """A score as it was given and kept: of whom it is now, of whom it was, by which version (None: by rules)."""

    profile_id: uuid.UUID
    given_id: uuid.UUID
    probability: float
    band: str
    version_id: int | None
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Again:
    """The same score from the log. `why` holds codes of what may be the reason where it is another number than was kept."""

    probability: float
    band: str
    reasons: list[dict[str, Any]]
    raises: dict[str, Any] | None
    why: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For a row that keeps the answer."""
        return {"probability": self.probability, "band": self.band, "reasons": self.reasons, "raises": self.raises, "why": list(self.why)}


@dataclass(frozen=True, slots=True)
class Then:
    """Who somebody was at a moment: everybody joined into them by then, who has their events today, and who has their score."""

    who: uuid.UUID
    members: set[uuid.UUID]
    owners: set[uuid.UUID]
    at: dt.datetime

    def as_params(self) -> dict[str, Any]:
        return {"who": self.who, "owners": list(self.owners), "members": list(self.members), "at": self.at}


def spoken(session: Session, profile_id: uuid.UUID, kind: str, *, at: dt.datetime) -> Spoken:
    """The score that stood at a moment; NotFoundError where there was none. Moves too small to be kept are not known."""
    now = session.get(Score, (profile_id, kind))
    if now is not None and now.at <= at:
        return Spoken(profile_id, profile_id, now.probability, now.band, now.version_id, now.at)
    past = select(ScorePast).where(ScorePast.profile_id == profile_id, ScorePast.kind == kind, ScorePast.at <= at)
    found = session.scalar(past.order_by(ScorePast.at.desc(), ScorePast.id.desc()).limit(1))
    if found is None:
        raise NotFoundError(_l("This person had no such score then."))
    return of_past(found)


def of_past(row: ScorePast) -> Spoken:
    """A row of the history."""
    return Spoken(row.profile_id, row.given_id or row.profile_id, row.probability, row.band, row.version_id, row.at)


def again(session: Session, score: Asked, said: Spoken, *, config: Config) -> Again:
    """Give it again, and hold it against what was kept."""
    found = by(session, score, said, version_id=said.version_id, config=config)
    if not differ(found.probability, said.probability):
        return found
    return replace(found, why=_why(session, said))


def by(session: Session, score: Asked, said: Spoken, *, version_id: int | None, config: Config) -> Again:
    """What a version (None: rules) says of somebody at the moment of `said`; NotFoundError where the log knows no such person any more."""
    rules = replace(apply.by_rules(), told=trust.told_by_shop(session, (), now=said.at))
    given = apply.give(
        session, score, rules if version_id is None else apply.model_of(session, version_id), _as_known(session, _then(session, said)), config=config
    )
    if not len(given.p):
        raise NotFoundError(_l("The log does not hold what this score was given for any more."))
    return Again(float(given.p[0]), BANDS[given.band[0]], given.reasons[0], given.raises[0])


def answer(session: Session, *, config: Config) -> int:
    """Work out what somebody asked about; the answers stay with the rows of the history. Returns how many."""
    wanted = select(ScorePast).where(ScorePast.asked_at.is_not(None), ScorePast.told.is_(None))
    rows = session.scalars(wanted.order_by(ScorePast.asked_at).limit(AT_ONCE).with_for_update(skip_locked=True)).all()
    for row in rows:
        row.told = _answer(session, row, config)
    return len(rows)


def _answer(session: Session, row: ScorePast, config: Config) -> dict[str, Any]:
    try:
        with session.begin_nested():
            return again(session, find(session, row.kind), of_past(row), config=config).as_dict()
    except apply.UnreadableError:
        return {"why": ["unreadable"]}
    except KesherError:
        return {"why": ["nobody"]}
    except Exception as error:  # one that cannot be answered must not stop the others
        if is_passing(error):
            raise
        log.warning("score_not_given_again", kind=row.kind, version=row.version_id, exc_info=True)
        return {"why": ["broken"]}


def version_of(session: Session, kind: str, number: int) -> int:
    """A version by its number."""
    found = session.scalar(select(ScoreVersion.id).where(ScoreVersion.kind == kind, ScoreVersion.number == number))
    if found is None:
        raise NotFoundError(_l("There is no such version."))
    return found


def _then(session: Session, said: Spoken) -> Then:
    """By the links that counted then; whose their events are today."""
    members = set(session.scalars(text(_SIDE), {"id": said.given_id, "at": said.at}))
    owners = set(session.scalars(text(_OWNERS), {"ids": list(members)}))
    return Then(said.profile_id, members, owners | {said.profile_id}, said.at)


def _as_known(session: Session, then: Then) -> People:
    """One row of them, with the log as it was heard by then."""
    whom = then.as_params()
    colleagues = list(session.scalars(text(_COLLEAGUES), whom))
    log = SQL(_LOG).format(
        who=Literal(then.who), at=Literal(then.at), since=Literal(then.at - dt.timedelta(days=DAYS_BACK)), owners=Literal(list(then.owners)),
        members=Literal(list(then.members)), colleagues=Literal(colleagues),
    )  # fmt: skip
    row = SQL("(SELECT 1 AS n, CAST({} AS uuid) AS profile_id, CAST({} AS timestamptz) AS cutoff, CAST({} AS jsonb) AS known)")
    relation = row.format(Literal(then.who), Literal(then.at), Literal(dumps(_known(session, then, whom))))
    return People(relation, then.at, then.at, log=log, first_seen=_first_seen(session, whom))


def _known(session: Session, then: Then, whom: dict[str, Any]) -> dict[str, Any]:
    """Their traits: as they stand today, but for those told of since or by who is with them no more, which the log says."""
    person = Person(then.who, 0, True, "", {}, {}, then.at, then.at)
    since: set[str] = set()
    for row in session.execute(text(_TOLD), whom):
        if row.theirs:
            trust_ = trust_of(trusted=row.trusted, origin=row.origin, cause=row.cause)
            tell(person, row.properties, occurred_at=row.occurred_at, accepted=row.accepted, trust=trust_)
        if not row.theirs or row.profile_id != then.who:
            since.update(row.properties)
    today: dict[str, Any] = session.execute(text("SELECT traits FROM profiles WHERE id = :who"), whom).scalar_one()
    return {name: value for name, value in today.items() if name not in since} | {name: person.traits[name] for name in since & person.traits.keys()}


def _first_seen(session: Session, whom: dict[str, Any]) -> dt.datetime:
    """As it stands, unless an event that came in since, or with somebody else, had moved it."""
    row = session.execute(text(_SEEN), whom).one()
    today: dt.datetime = row.today
    if row.ours is None:
        return today
    first: dt.datetime = row.ours
    return first if row.others is not None and row.others <= today else min(first, today)


def _why(session: Session, said: Spoken) -> tuple[str, ...]:
    """What may explain another number; only what can be so of this person and this version."""
    then = _then(session, said)
    whom = then.as_params()
    names = _columns(session, said.version_id)
    row = session.execute(text(_HINTS), whom | {"early": then.at - RACE, "late": then.at + RACE}).one()
    found = [
        ("gone", row.gone),
        ("racing", row.racing),
        ("team", bool(names & TEAM) and bool(session.scalars(text(_COLLEAGUES), whom).first())),
        ("rates", bool(names & MONEY) and row.rates),
    ]
    return tuple(code for code, holds in found if holds) or ("release",)


def _columns(session: Session, version_id: int | None) -> set[str]:
    named: Sequence[dict[str, Any]] = session.scalar(select(ScoreVersion.features).where(ScoreVersion.id == version_id)) or () if version_id else ()
    return {one["name"] for one in named}


_HEARD = "coalesce((SELECT i.processed_at FROM event_inbox i WHERE i.id = l.accepted AND i.received_at = l.received_at), l.received_at)"
_OURS = "coalesce(l.given_id, l.profile_id) = ANY({members})"
_LOG = f"""events AS (
  SELECT CAST({{who}} AS uuid) AS profile_id, l.occurred_at, l.received_at, l.source_id, l.type, l.name, l.trusted, l.cause, l.properties, l.context
  FROM events l WHERE l.profile_id = ANY({{owners}}) AND {_OURS} AND l.occurred_at >= {{since}} AND l.occurred_at < {{at}} AND {_HEARD} <= {{at}}
  UNION ALL
  SELECT l.profile_id, l.occurred_at, l.received_at, l.source_id, l.type, l.name, l.trusted, l.cause, l.properties, l.context
  FROM events l WHERE l.profile_id = ANY(CAST({{colleagues}} AS uuid[])) AND l.occurred_at >= {{since}} AND l.occurred_at < {{at}} AND {_HEARD} <= {{at}}
),"""  # noqa: S608  our own fragments
_THEIRS = f"{_OURS.format(members='CAST(:members AS uuid[])')} AND {_HEARD} <= :at"
_TOLD = f"""
SELECT l.profile_id, l.occurred_at, l.accepted, l.trusted, l.origin, l.cause, l.properties, {_THEIRS} AS theirs
FROM events l WHERE l.profile_id = ANY(CAST(:owners AS uuid[])) AND l.type = 'identify' ORDER BY l.position
"""  # noqa: S608  our own fragments
_SEEN = f"""
SELECT (SELECT first_seen FROM profiles WHERE id = :who) AS today, min(l.occurred_at) FILTER (WHERE {_THEIRS}) AS ours,
       min(l.occurred_at) FILTER (WHERE NOT ({_THEIRS})) AS others
FROM events l WHERE l.profile_id = ANY(CAST(:owners AS uuid[]))
"""  # noqa: S608  our own fragments
_COLLEAGUES = """
SELECT DISTINCT o.profile_id FROM account_members m JOIN account_members o ON o.account_id = m.account_id
WHERE m.profile_id = :who AND o.profile_id <> ALL(CAST(:owners AS uuid[]))
"""
_HINTS = f"""
SELECT (SELECT first_seen FROM profiles WHERE id = :who) < (SELECT coalesce(min(e.occurred_at), now()) FROM events e
         WHERE e.profile_id = ANY(CAST(:owners AS uuid[]))) AS gone,
       EXISTS (SELECT FROM events l WHERE l.profile_id = ANY(CAST(:owners AS uuid[])) AND l.received_at <= :late AND l.received_at > CAST(:early AS timestamptz)
         - interval '1 day' AND {_HEARD} BETWEEN :early AND :late) AS racing,
       EXISTS (SELECT FROM rates) AS rates
"""  # noqa: S608  our own fragments
_SIDE = """
WITH RECURSIVE side(id) AS (
  SELECT CAST(:id AS uuid)
  UNION
  SELECT l.from_id FROM side s JOIN links l ON l.into_id = s.id
  WHERE l.undoes IS NULL AND l.at <= :at AND NOT EXISTS (SELECT FROM links u WHERE u.undoes = l.id AND u.at <= :at)
) SELECT id FROM side
"""
_OWNERS = "SELECT coalesce(merged_into, id) FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))"
