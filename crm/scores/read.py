"""What the pages ask about scores: nothing here loads a model."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.scores import jobs
from crm.scores.score import Asked, Label, asked, find, shipped
from crm.scores.score_models import LeadColumn, Score, ScoreCheck, ScoreFlag, ScoreJob, ScoreKind, ScoreLabel, ScorePast, ScoreVersion


@dataclass(frozen=True, slots=True)
class Line:
    """A score in the list."""

    score: Asked
    kind: ScoreKind | None
    champion: ScoreVersion | None
    bands: dict[str, int]


@dataclass(frozen=True, slots=True)
class View:
    """Everything a score's page shows; `shown` is the version whose figures they are."""

    score: Asked
    kind: ScoreKind | None
    shown: ScoreVersion | None
    versions: Sequence[ScoreVersion]
    bands: dict[str, int]
    flags: Sequence[ScoreFlag]
    job: ScoreJob | None
    check: ScoreCheck | None

    @property
    def by_rules(self) -> bool:
        """Whether rules are in use."""
        return self.kind is not None and self.kind.rules_only or not any(one.state == "champion" for one in self.versions)


def lines(session: Session) -> list[Line]:
    """Every score."""
    counts: dict[str, dict[str, int]] = {}
    for kind, band, count in session.execute(select(Score.kind, Score.band, func.count()).group_by(Score.kind, Score.band)):
        counts.setdefault(kind, {})[band] = count
    kinds = {row.kind: row for row in session.scalars(select(ScoreKind))}
    champions = {row.kind: row for row in session.scalars(select(ScoreVersion).where(ScoreVersion.state == "champion"))}
    return [Line(one, kinds.get(one.kind), champions.get(one.kind), counts.get(one.kind, {})) for one in asked(session).values()]


def view(session: Session, kind: str, number: int | None = None) -> View:
    """One score, with the figures of a version (else of the champion, else of the newest)."""
    score = find(session, kind)
    versions = session.scalars(select(ScoreVersion).where(ScoreVersion.kind == kind).order_by(ScoreVersion.number.desc()).limit(30)).all()
    if number is not None and not any(one.number == number for one in versions):
        raise NotFoundError(_l("There is no such version."))
    shown = next((one for one in versions if one.number == number), None) if number is not None else None
    shown = shown or next((one for one in versions if one.state == "champion"), versions[0] if versions else None)
    bands = {band: count for band, count in session.execute(select(Score.band, func.count()).where(Score.kind == kind).group_by(Score.band))}  # noqa: C416  dict() would not know the types of a row
    flags = session.scalars(select(ScoreFlag).where(ScoreFlag.kind == kind).order_by(ScoreFlag.feature)).all()
    job = session.scalar(select(ScoreJob).where(ScoreJob.kind == kind).order_by(ScoreJob.id.desc()).limit(1))
    check = session.scalar(select(ScoreCheck).where(ScoreCheck.kind == kind).order_by(ScoreCheck.at.desc()).limit(1))
    return View(score, session.get(ScoreKind, kind), shown, versions, bands, flags, job, check)


def of(session: Session, profile_id: uuid.UUID) -> list[tuple[Asked, Score, list[ScorePast]]]:
    """A person's scores, each with its past, the oldest first."""
    kinds = asked(session)
    past: dict[str, list[ScorePast]] = {}
    for row in session.scalars(select(ScorePast).where(ScorePast.profile_id == profile_id).order_by(ScorePast.at.desc(), ScorePast.id.desc()).limit(200)):
        past.setdefault(row.kind, []).insert(0, row)
    rows = {row.kind: row for row in session.scalars(select(Score).where(Score.profile_id == profile_id))}
    return [(one, rows[kind], past.get(kind, [])) for kind, one in kinds.items() if kind in rows]


def past_row(session: Session, profile_id: uuid.UUID, past_id: int) -> ScorePast:
    """A row of a person's history; NotFoundError where it is none of theirs."""
    row = session.get(ScorePast, past_id)
    if row is None or row.profile_id != profile_id:
        raise NotFoundError(_l("This person had no such score then."))
    return row


def ask_past(session: Session, profile_id: uuid.UUID, past_id: int, *, now: dt.datetime) -> ScorePast:
    """Ask how an earlier score came about; the scoring process answers in its row."""
    row = past_row(session, profile_id, past_id)
    if row.told is None:
        row.asked_at = now
        session.flush()
        hint(session, "score")
    return row


def numbers(session: Session, rows: Iterable[ScorePast]) -> dict[int, int]:
    """The numbers of the versions that gave these."""
    ids = {row.version_id for row in rows if row.version_id}
    if not ids:
        return {}
    return {row.id: row.number for row in session.execute(select(ScoreVersion.id, ScoreVersion.number).where(ScoreVersion.id.in_(ids)))}


def say_wrong(session: Session, profile_id: uuid.UUID, kind: str, *, positive: bool, user_id: int | None, now: dt.datetime) -> None:
    """A person says that a score is wrong: a label for the next training."""
    score = session.get(Score, (profile_id, kind))
    if score is None or find(session, kind).label is None:
        raise NotFoundError(_l("This person has no such score."))
    session.add(
        ScoreLabel(profile_id=profile_id, kind=kind, positive=positive, probability=score.probability, version_id=score.version_id, by=user_id, at=now)
    )  # fmt: skip
    session.flush()


def contradicted(session: Session, profile_id: uuid.UUID, *, now: dt.datetime) -> dict[str, ScoreLabel]:
    """What was said last against each of a person's scores, while nobody knows better."""
    kinds = asked(session)
    rows = session.scalars(select(ScoreLabel).where(ScoreLabel.profile_id == profile_id).order_by(ScoreLabel.at, ScoreLabel.id))
    return {row.kind: row for row in rows if row.kind in kinds and (label := kinds[row.kind].label) and row.at > now - label.open_for}


def take_back(session: Session, profile_id: uuid.UUID, kind: str) -> None:
    """Nobody said anything against this person's score."""
    session.execute(delete(ScoreLabel).where(ScoreLabel.profile_id == profile_id, ScoreLabel.kind == kind))


def approve(session: Session, kind: str, feature: str, *, yes: bool, user_id: int | None, now: dt.datetime) -> None:
    """Let a flagged column in, or out again; it counts from the next training on, which is asked for."""
    find(session, kind)
    values = {"approved_by": user_id, "approved_at": now} if yes else {"approved_by": None, "approved_at": None}
    changed = update(ScoreFlag).where(ScoreFlag.kind == kind, ScoreFlag.feature == feature).values(values).returning(ScoreFlag.feature)
    if session.execute(changed).first() is None:
        raise NotFoundError(_l("This column was not flagged."))
    jobs.ask(session, kind, user_id=user_id, now=now)


def make_label(session: Session, *, title: str, label: Label, user_id: int | None, now: dt.datetime) -> str:
    """A score of the company's own; returns its kind. InvalidError says what is missing."""
    clean = " ".join(title.split())[:80]
    if not clean:
        raise InvalidError(_l("Give the score a name."))
    if not (label.events or (label.column and label.values)):
        raise InvalidError(_l("Say what counts as success: an event, a stage of deals, or a column and its value."))
    if not 1 <= label.days <= 365:
        raise InvalidError(_l("Days: from 1 to 365."))
    if label.column and session.get(LeadColumn, label.column) is None:
        raise InvalidError(_l("No file brought such a column."))
    if label.column and not session.scalar(text(_HELD), {"column": label.column, "values": [value.lower() for value in label.values]}):
        raise InvalidError(_l("Nobody has such a value in this column, so nobody would count as a success. Choose one of the values it has."))
    stem = re.sub(r"[^a-z0-9]+", "_", clean.lower()).strip("_")[:40] or "own"
    taken = set(session.scalars(select(ScoreKind.kind))) | set(shipped())
    kind = next(name for name in (stem, *(f"{stem}_{at}" for at in range(2, 1000))) if name not in taken)
    session.add(ScoreKind(kind=kind, title=clean, label=label.as_dict(), created_by=user_id, created_at=now, apply_at=now))
    session.flush()
    jobs.ask(session, kind, user_id=user_id, now=now)
    return kind


def drop(session: Session, kind: str) -> None:
    """Remove a score of the company's own with everything it left."""
    row = session.get(ScoreKind, kind)
    if row is None or row.label is None:
        raise NotFoundError(_l("There is no such score. It may have been removed."))
    for table in ("scores", "score_history", "score_versions", "score_labels", "score_flags", "score_jobs", "score_checks", "score_kinds"):
        session.execute(text(f"DELETE FROM {table} WHERE kind = :kind"), {"kind": kind})  # noqa: S608  our own table names


def columns(session: Session) -> Sequence[LeadColumn]:
    """The columns of leads that files brought."""
    return session.scalars(select(LeadColumn).order_by(LeadColumn.name)).all()


def values_of(session: Session, column: str, most: int = 12) -> list[str]:
    """The most frequent values of a column."""
    found = "SELECT traits->>:c FROM (SELECT traits FROM profiles WHERE traits ? :c LIMIT 20000) p GROUP BY 1 ORDER BY count(*) DESC LIMIT :most"
    return [value for value in session.scalars(text(found), {"c": column, "most": most}) if value]


_HELD = "SELECT EXISTS (SELECT FROM profiles WHERE merged_into IS NULL AND lower(traits->>:column) = ANY(:values))"
