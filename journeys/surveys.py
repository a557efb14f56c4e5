"""Surveys: who may be asked, what they answered, and the score with its interval."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events.inbox import append, system_event
from crm.profiles.called import CALLED
from journeys.node import Survey
from journeys.nodes.nps import ANSWERED
from journeys.passage import Passage

LONGEST = 2000  # characters of a comment
Z = 1.959964  # of 95 %


@dataclass(frozen=True, slots=True)
class Score:
    """Promoters less detractors in hundredths, from -100 to 100, with its 95 % interval; `value` is None without an answer."""

    promoters: int
    passives: int
    detractors: int
    name: str = ""
    slug: str = ""  # of the segment

    @property
    def count(self) -> int:
        """Answers."""
        return self.promoters + self.passives + self.detractors

    @property
    def value(self) -> float | None:
        """The score."""
        return 100 * (self.promoters - self.detractors) / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float]:
        """Adjusted Wald for a difference of two shares of one sample: one answer is added at each end.

        Bonett & Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired Data",
        Journal of Educational and Behavioral Statistics 37 (2012), 479-488, formula 2.
        """
        up, down = (self.promoters + 1) / (self.count + 2), (self.detractors + 1) / (self.count + 2)
        half = Z * math.sqrt((up + down - (up - down) ** 2) / (self.count + 2))
        return 100 * max(-1.0, up - down - half), 100 * min(1.0, up - down + half)


@dataclass(frozen=True, slots=True)
class Asked:
    """Behind a link: the survey's row, and whether it was answered."""

    id: uuid.UUID
    profile_id: uuid.UUID
    survey: str
    journey: str
    run_id: uuid.UUID
    node: str
    round: int
    answered_at: dt.datetime | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """One answer as the screen shows it."""

    profile_id: uuid.UUID
    profile: str
    run_id: uuid.UUID
    score: int
    comment: str | None
    at: dt.datetime


def may_ask(session: Session, asking: Sequence[tuple[Passage, Survey]], keys: Keys, now: dt.datetime) -> dict[uuid.UUID, object]:
    """run -> True where this stop asks (and is written down), else when the same address was last asked, by whichever journey, by what reached it."""
    people = _who(session, [p for p, _ in asking], keys)
    rows = session.execute(_LAST, {"who": sorted(set(people.values()))}).all()
    last: dict[bytes, list[Row[tuple[object, ...]]]] = {}
    for row in rows:
        last.setdefault(bytes(row.who), []).append(row)
    found: dict[uuid.UUID, object] = {}
    new: dict[bytes, dict[str, object]] = {}
    for passage, survey in asking:
        who = people[passage.profile_id]
        here = (passage.id, passage.node, passage.round)
        if any((row.run_id, row.node, row.round) == here for row in last.get(who, ())):
            found[passage.id] = True
            continue
        recent = [row.asked_at for row in last.get(who, ()) if row.reached and row.asked_at > now - survey.not_again] or ([now] if who in new else [])
        found[passage.id] = max(recent) if recent else True
        if not recent:
            new[who] = {"id": new_id(), "profile_id": passage.profile_id, "survey": survey.name, "journey_id": passage.journey_id, "run_id": passage.id}
            new[who] |= {"node": passage.node, "round": passage.round, "who": who.hex()}
    if new:
        session.execute(_ASK, {"rows": dumps(list(new.values())), "now": now})
    return found


def _who(session: Session, passages: Sequence[Passage], keys: Keys) -> dict[uuid.UUID, bytes]:
    profiles = sorted({p.profile_id for p in passages})
    mails = {row.profile_id: row.value for row in session.execute(_MAILS, {"profiles": profiles})}
    return {each: keys.address_hash("email", mails[each]) if each in mails else each.bytes for each in profiles}


def find(session: Session, message_id: uuid.UUID) -> Asked | None:
    """The survey a message carried."""
    row = session.execute(_FIND, {"message": message_id}).one_or_none()
    return Asked(*row) if row else None


def answer(session: Session, asked: Asked, *, score: int, comment: str, now: dt.datetime) -> bool:
    """Keep an answer and tell the log; False where there was one already: the first counts."""
    said = comment.replace("\0", "").strip()[:LONGEST] or None
    if not session.execute(_ANSWER, {"id": asked.id, "score": score, "comment": said, "now": now}).first():
        return False
    properties = {"survey": asked.survey, "score": score, "journey": asked.journey, "run_id": str(asked.run_id), "node": asked.node, "round": asked.round}
    properties |= {"comment": said} if said else {}
    cause = f"run:{asked.run_id}"
    append(session, [system_event(ANSWERED, asked.profile_id, properties, cause=cause, hops=1, message_id=f"nps:{asked.id}")], now)
    return True


def names(session: Session) -> list[str]:
    """Surveys that were ever sent."""
    return list(session.scalars(text("SELECT DISTINCT survey FROM surveys ORDER BY survey")))


def overall(session: Session, survey: str, since: dt.datetime) -> tuple[Score, int]:
    """The score of answers since then, and how many were asked: whom a message was not held back from."""
    row = session.execute(_OVERALL, {"survey": survey, "since": since}).one()
    return Score(row.promoters, row.passives, row.detractors), row.asked


def by_month(session: Session, survey: str, since: dt.datetime, zone: str) -> list[Score]:
    """The score of each month with answers, named `2026-11`, oldest first."""
    return [Score(row[1], row[2], row[3], row[0]) for row in session.execute(_MONTHS, {"survey": survey, "since": since, "zone": zone})]


def by_segment(session: Session, survey: str, since: dt.datetime, at_least: int) -> list[Score]:
    """The score among the present members of each segment with enough answers, most answers first."""
    rows = session.execute(_SEGMENTS, {"survey": survey, "since": since, "least": at_least})
    return [Score(row.promoters, row.passives, row.detractors, row.name, row.slug) for row in rows]


def latest(session: Session, survey: str, limit: int) -> list[Said]:
    """The newest answers."""
    return [Said(*row) for row in session.execute(_LATEST, {"survey": survey, "limit": limit})]


def spread(session: Session, survey: str, since: dt.datetime) -> Mapping[int, int]:
    """score -> answers."""
    found = {row[0]: row[1] for row in session.execute(_SPREAD, {"survey": survey, "since": since})}
    return {score: found.get(score, 0) for score in range(11)}


_BANDS = "count(*) FILTER (WHERE score >= 9) AS promoters, count(*) FILTER (WHERE score IN (7, 8)) AS passives, count(*) FILTER (WHERE score < 7) AS detractors"
_REACHED = """NOT EXISTS (
        SELECT FROM messages m WHERE m.run_id = s.run_id AND m.node = s.node AND m.round = s.round AND m.status IN ('dropped', 'failed'))"""
_LAST = text(f"SELECT who, run_id, node, round, asked_at, {_REACHED} AS reached FROM surveys s WHERE who = ANY(CAST(:who AS bytea[]))")  # noqa: S608  our own fragment
_ASK = text("""
    INSERT INTO surveys (id, profile_id, survey, journey_id, run_id, node, round, who, asked_at)
    SELECT id, profile_id, survey, journey_id, run_id, node, round, decode(who, 'hex'), CAST(:now AS timestamptz)
    FROM json_to_recordset(CAST(:rows AS json)) AS n(
        id uuid, profile_id uuid, survey text, journey_id int, run_id uuid, node text, round smallint, who text)
    ON CONFLICT DO NOTHING
""")
_MAILS = text("""
    SELECT DISTINCT ON (profile_id) profile_id, value FROM identities
    WHERE profile_id = ANY(CAST(:profiles AS uuid[])) AND kind = 'email' ORDER BY profile_id, verified DESC, first_seen, value
""")
_FIND = text("""
    SELECT s.id, s.profile_id, s.survey, j.slug, s.run_id, s.node, s.round, s.answered_at, m.language
    FROM messages m JOIN surveys s ON s.run_id = m.run_id AND s.node = m.node AND s.round = m.round JOIN journeys j ON j.id = s.journey_id
    WHERE m.id = :message
""")
_ANSWER = text("UPDATE surveys SET score = :score, comment = :comment, answered_at = :now WHERE id = :id AND answered_at IS NULL RETURNING id")
_OVERALL = text(f"""
    SELECT {_BANDS}, (SELECT count(*) FROM surveys s WHERE s.survey = :survey AND s.asked_at >= :since AND {_REACHED}) AS asked
    FROM surveys WHERE survey = :survey AND answered_at >= :since
""")  # noqa: S608  our own fragments
_MONTHS = text(f"""
    SELECT to_char(answered_at AT TIME ZONE :zone, 'YYYY-MM') AS month, {_BANDS}
    FROM surveys WHERE survey = :survey AND answered_at >= :since GROUP BY month ORDER BY month
""")  # noqa: S608  our own column names
_SEGMENTS = text(f"""
    SELECT g.name, g.slug, {_BANDS} FROM surveys s JOIN memberships b ON b.profile_id = s.profile_id JOIN segments g ON g.id = b.segment_id
    WHERE s.survey = :survey AND s.answered_at >= :since GROUP BY g.id HAVING count(*) >= :least ORDER BY count(*) DESC, g.name LIMIT 20
""")  # noqa: S608  our own column names
_LATEST = text(f"""
    SELECT s.profile_id, {CALLED}, s.run_id, s.score, s.comment, s.answered_at
    FROM surveys s LEFT JOIN profiles p ON p.id = s.profile_id
    WHERE s.survey = :survey AND s.answered_at IS NOT NULL ORDER BY s.answered_at DESC, s.id DESC LIMIT :limit
""")  # noqa: S608  our own fragment
_SPREAD = text("SELECT score, count(*) FROM surveys WHERE survey = :survey AND answered_at >= :since GROUP BY score")
