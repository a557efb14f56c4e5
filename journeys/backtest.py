"""Backtest: what a drawing would have done in a period, a range of people at a time; it writes its own row and nothing else."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import structlog
from sqlalchemy import TextClause, select, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock
from crm.core.commit import hint
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.core.errors import InvalidError, KesherError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps
from journeys import backtest_limit, backtest_read, backtest_replay, drafts, graph, past
from journeys.backtest_cast import Case, Cast
from journeys.backtest_gate import Past, judge
from journeys.backtest_life import Life
from journeys.backtest_models import WORKING, Backtest, ChannelPrice
from journeys.backtest_sums import Counting, Crowd, Sums, count_messages, report, together
from journeys.looking import criteria
from journeys.models import Journey, Version

PARTS, BATCH = 4, 500  # ranges of people; people a step
SLICE_S = 5.0  # a worker gives way after this long
TRIES = 20  # slices that ended in nothing: then something about it kills whoever works on it
LONGEST = dt.timedelta(days=400)
TOO_MANY = 2
LAST = 2**31 - 1  # number there can be
LOCK = 0x62746573  # advisory, with the backtest's number times PARTS: one worker for each part
ONE = 0x62746531  # advisory: workers give backtests one process, so that the other goes on moving people
ALWAYS = dt.datetime.min.replace(tzinfo=dt.UTC)
BROKEN = _l("Something broke while this backtest ran. Try again; if it stays, tell an admin: the log says more.")
KILLED = _l("This backtest was begun again and again and never came further. Try a shorter period; if it stays, tell an admin.")

log = structlog.get_logger()
Kind = Literal["what_if", "replay"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a slice works with."""

    sessions: sessionmaker[Session]
    config: Config
    now: Callable[[], dt.datetime]
    row: Backtest


def ask(
    session: Session, slug: str, *, kind: Kind, period: tuple[dt.datetime, dt.datetime], settings: Mapping[str, Any], now: dt.datetime, by: str | None,
    draft: bool = False,
) -> Backtest:  # fmt: skip
    """Ask for a backtest of the published version, or of the draft. Raises InvalidError where it cannot run, NotFoundError where there is no such journey."""
    journey = drafts.find(session, slug)
    since, until = period
    if not since < min(until, now):
        raise InvalidError(_l("The period must begin before it ends, and before now."))
    if until - since > LONGEST:
        raise InvalidError(_l("A backtest reaches over 400 days at most; choose a shorter period."))
    if kind == "replay" and since < now - past.KEEP:
        raise InvalidError(_l("What runs did is kept step by step for 120 days; choose a later day to begin with."))
    stored = drafts.load(session, journey, now).graph if draft else drafts.published(session, journey)
    if stored is None or (kind == "replay" and journey.version is None):
        raise InvalidError(_l("This journey was never published; test its draft."))
    graph.parse(stored)
    version = None if draft and drafts.changed(session, journey, drafts.load(session, journey, now)) else journey.version
    row = Backtest(journey_id=journey.id, kind=kind, version=version, graph=stored, from_at=since, to_at=min(until, now), settings=dict(settings),
                   status="waiting", created_by=by, created_at=now)  # fmt: skip
    session.add(row)
    session.flush()
    hint(session, "backtest")
    return row


def cancel(session: Session, number: int, now: dt.datetime) -> bool:
    """Stop it where it is; False where it is over already."""
    return session.scalar(_CANCEL, {"id": number, "now": now}) is not None


def latest(session: Session, journey: Journey, limit: int = 20) -> Sequence[Backtest]:
    """A journey's backtests, newest first."""
    return session.scalars(select(Backtest).where(Backtest.journey_id == journey.id).order_by(Backtest.id.desc()).limit(limit)).all()


def find(session: Session, journey: Journey, number: int) -> Backtest:
    """One of them. Raises NotFoundError."""
    row = session.get(Backtest, number) if number <= LAST else None
    if row is None or row.journey_id != journey.id:
        raise NotFoundError(_l("There is no such backtest of this journey."))
    return row


def progress(row: Backtest) -> tuple[int, int]:
    """People done, and of how many; where a limit of entries is counted everybody is looked at twice."""
    twice = any("comers" in part or "let_in" in part for part in row.parts)
    done = sum(part["done"] + ("let_in" in part) * part["total"] for part in row.parts)
    return done, sum(part["total"] for part in row.parts) * (1 + twice)


def prices(session: Session) -> dict[str, tuple[Decimal, str]]:
    """What a message costs, by channel."""
    return {row.channel: (row.price, row.currency) for row in session.scalars(select(ChannelPrice))}


def set_price(session: Session, channel: str, price: Decimal | None, currency: str) -> None:
    """Say what a message over a channel costs; None takes the price away."""
    if price is not None and not (price.is_finite() and 0 <= price < Decimal(10) ** 12):
        raise InvalidError(_l("A price is a number that is not negative."))
    session.execute(text("DELETE FROM channel_prices WHERE channel = :channel"), {"channel": channel})
    if price is not None:
        session.add(ChannelPrice(channel=channel, price=price, currency=currency))
    session.flush()


def work(sessions: sessionmaker[Session], config: Config, now: Callable[[], dt.datetime] = clock.now, *, seconds: float = SLICE_S, alone: bool = True) -> int:
    """Take one part of one backtest a slice further; 0 where there is none, or others are at it. A killed worker's part goes on from its last batch."""
    with sessions() as guard:
        if alone and not guard.scalar(text("SELECT pg_try_advisory_xact_lock(:a)"), {"a": ONE}):
            return 0
        taken = _take(guard, sessions, now())
        if taken is None:
            return 0
        job = Job(sessions, config, now, taken[0])
        try:
            _slice(job, taken[1], time.monotonic() + seconds)
        except (OperationalError, InterfaceError):
            raise  # the database is away: nothing is lost, a later slice goes on
        except Exception as error:  # one bad drawing must not stop the others; it is shown with its reason
            log.warning("backtest_failed", backtest=job.row.id, exc_info=True)
            _over(job, "failed", error=str(error) if isinstance(error, KesherError) else str(BROKEN))
    return 1


def _take(guard: Session, sessions: sessionmaker[Session], now: dt.datetime) -> tuple[Backtest, int] | None:
    """A part nobody works on, held by a lock until the slice is over. What has only just been asked for is divided first."""
    for row in guard.scalars(select(Backtest).where(Backtest.status.in_(WORKING)).order_by(Backtest.id)):
        if row.status == "waiting":
            asks: dict[str, list[object]] = {"comers": []} if row.kind == "what_if" and row.graph.get("limit") else {}
            _write(sessions, _DIVIDED, {"id": row.id, "parts": dumps([each | asks for each in divided(guard)]), "now": now})
            guard.refresh(row)
        for number in range(len(row.parts)):
            if guard.scalar(text("SELECT pg_try_advisory_xact_lock(:a, :b)"), {"a": LOCK, "b": row.id * PARTS + number}):
                guard.refresh(row)
                if row.status == "running" and not row.parts[number]["over"]:
                    return row, number
    return None


def divided(session: Session) -> list[dict[str, Any]]:
    """Ranges of about as many people each: up to which id, how many, how far."""
    shares = [number / PARTS for number in range(1, PARTS)]
    total, borders = session.execute(_BORDERS, {"shares": shares}).one()
    ends, each = [*(borders or [None] * len(shares)), None], -(-total // PARTS)
    return [
        {"after": str(first) if first else None, "last": str(last) if last else None, "done": 0, "total": each, "over": False, "sums": {}, "told": []}
        for first, last in zip([None, *ends[:-1]], ends, strict=True)
    ]


def _slice(job: Job, number: int, until: float) -> None:
    if (_write(job.sessions, _BEGUN, {"id": job.row.id, "now": job.now()}) or 0) > TRIES:
        _over(job, "failed", error=str(KILLED))
        return
    part: dict[str, Any] = job.row.parts[number]
    step = _replay if job.row.kind == "replay" else _who_comes if "comers" in part else _live_again
    cast = _cast(job)
    while not part["over"]:
        part = step(job, cast, part)
        kept = {"id": job.row.id, "place": [str(number)], "part": dumps(part), "now": job.now()}
        if _write(job.sessions, _SAVED, kept) is None:
            return  # somebody stopped it meanwhile
        if time.monotonic() > until:
            break
    _finish(job)


def _cast(job: Job) -> Cast:
    """The drawing in question, and beside it every other journey that is live; of a replay all versions of the one."""
    row = job.row
    with job.sessions() as session:
        backtest_read.narrow(session)
        journey = session.get_one(Journey, row.journey_id)
        if row.kind == "replay":
            versions = session.scalars(select(Version).where(Version.journey_id == journey.id).order_by(Version.number)).all()
            return Cast([Case(journey.id, journey.slug, [(each.published_at, each.number, graph.parse(each.graph)) for each in versions])])
        cases = [Case(journey.id, journey.slug, [(ALWAYS, row.version or 0, graph.parse(row.graph))])]
        for other, version in session.execute(_BESIDE, {"journey": journey.id}).all() if row.settings.get("beside", True) else ():
            drawn, problems = graph.read(version)
            if drawn is not None and not problems:
                cases.append(Case(other.id, other.slug, [(ALWAYS, other.version or 0, drawn)]))
        return Cast(cases)


def _who_comes(job: Job, cast: Cast, part: Mapping[str, Any]) -> dict[str, Any]:
    """The next people of a part, as they come to a journey that lets in only so many."""
    row, door = job.row, _door(job, part)
    setting = backtest_read.setting_of(job.config, row.from_at, row.to_at)
    with job.sessions() as session:
        backtest_read.narrow(session)
        found = backtest_read.batch(session, cast, setting, after=_id(part["after"]), last=_id(part["last"]), limit=BATCH)
        for who, moments in backtest_read.lives(session, cast, setting, found):
            life = backtest_limit.Coming(cast, who, setting, door)
            for at, events in moments:
                life.moment(at, events)
            life.end()
    comers = [*part["comers"], *door.comers]
    known: dict[str, Any] = {"comers": comers} if len(comers) <= backtest_limit.MOST else {"comers": None, "over": True}
    return _further(part, [who.id for who in found.people]) | known


def _door(job: Job, part: Mapping[str, Any]) -> backtest_limit.Door:
    let_in = frozenset(tuple(each) for each in part.get("let_in") or ())
    return backtest_limit.Door(job.row.journey_id, backtest_limit.key_of(Keys(job.config.secret_key)), let_in=let_in)


def _live_again(job: Job, cast: Cast, part: Mapping[str, Any]) -> dict[str, Any]:
    """The next people of a part, through the period."""
    row, sums, door = job.row, Sums(part["sums"]), _door(job, part) if part.get("let_in") is not None else None
    setting = backtest_read.setting_of(job.config, row.from_at, row.to_at)
    counting = Counting(sums, row.journey_id)
    with job.sessions() as session:
        backtest_read.narrow(session)
        found = backtest_read.batch(session, cast, setting, after=_id(part["after"]), last=_id(part["last"]), limit=BATCH)
        for who, moments in backtest_read.lives(session, cast, setting, found):
            life = Life(cast, who, setting, counting) if door is None else backtest_limit.Limited(cast, who, setting, counting, door)
            for at, events in moments:
                counting.heard(events, setting.begins)
                life.moment(at, events)
            for run in life.end():
                counting.stands(run)
        people = {wish.profile_id for wish in counting.wishes}
        past = Past(session, people, Keys(job.config.secret_key), consent_now=row.settings.get("consent") == "now", timezone=job.config.timezone)
        slugs = {case.journey_id: case.slug for case in cast.cases.values()}
        count_messages(sums, judge(past, counting.wishes), Crowd(row.journey_id, slugs, job.config.timezone, row.settings.get("too_many", TOO_MANY)))
    counting.over(len(found.people))
    return _further(part, [who.id for who in found.people]) | {"sums": sums.stored()}


def _replay(job: Job, cast: Cast, part: Mapping[str, Any]) -> dict[str, Any]:
    """The next people of a part, compared with what they did then."""
    setting = backtest_read.setting_of(job.config, job.row.from_at, job.row.to_at, real=True)
    with job.sessions() as session:
        backtest_read.narrow(session)
        found = backtest_read.batch(session, cast, setting, after=_id(part["after"]), last=_id(part["last"]), limit=BATCH)
        pauses = backtest_replay.pauses(session, cast.cases[job.row.journey_id].slug, setting.ends)
        noted = backtest_replay.noted(part, backtest_replay.compare(session, cast, setting, found, pauses))
    return _further(part, [who.id for who in found.people]) | noted


def _further(part: Mapping[str, Any], ids: Sequence[uuid.UUID]) -> dict[str, Any]:
    done = part["done"] + len(ids)
    if len(ids) < BATCH:
        return {**part, "done": done, "total": done, "over": True}
    return {**part, "done": done, "total": max(part["total"], done), "after": str(ids[-1])}


def _id(stored: str | None) -> uuid.UUID | None:
    return uuid.UUID(stored) if stored else None


def _over(job: Job, status: str, *, error: str = "", found: Mapping[str, Any] | None = None) -> None:
    _write(job.sessions, _OVER, {"id": job.row.id, "status": status, "now": job.now(), "error": error, "report": dumps(found or {})})


def _write(sessions: sessionmaker[Session], statement: TextClause, params: Mapping[str, Any]) -> Any:
    """One statement on the backtest's own row, with no right to any other; returns its first value, None where no row was meant."""
    with sessions() as session:
        backtest_read.narrow(session, reads_only=False)
        found = session.scalar(statement, params)
        session.commit()
    return found


def _finish(job: Job) -> None:
    """Make the report once every part is over; whoever comes second finds it made."""
    with job.sessions() as session:
        backtest_read.narrow(session)
        there = session.get_one(Backtest, job.row.id)
        if there.status != "running" or not all(part["over"] for part in there.parts):
            return
        drawn = graph.parse(there.graph)
        if "comers" in there.parts[0]:
            _write(job.sessions, _OPENED, {"id": there.id, "parts": dumps(backtest_limit.opened(drawn, there.parts)), "now": job.now()})
            return
        if there.kind == "replay":
            found = backtest_replay.report(there.parts)
        else:
            sums, counted = together(Sums(part["sums"]) for part in there.parts), there.parts[0].get("let_in") is not None
            told = notes(drawn, sums, there.settings, counted=counted)
            found = report(sums, drawn, prices(session), too_many=there.settings.get("too_many", TOO_MANY), notes=told)
    _over(job, "done", found=found)


def notes(drawn: graph.Graph, sums: Sums, settings: Mapping[str, Any], *, counted: bool) -> list[str]:
    """What the figures rest on, by code: the page has the sentences."""
    kinds = {spot.node.kind for spot in drawn.nodes.values()}
    listens = frozenset[str]().union(*(spot.listens for spot in drawn.nodes.values()))
    found = ["imported"] if sums.by["runs"]["imported"] else []
    found += ["answers"] if listens else []
    found += ["kindest"] if kinds & {"coupon", "rate_limit", "nps", "recommend"} else []
    found += ["said"] if drawn.trigger.kind not in {"event", "date"} else []
    found += ["dates"] if drawn.trigger.kind == "date" else []
    found += ["memberships"] if any(each.of == "segment" for each in criteria(drawn)) else []
    found += ["counted" if counted else "limit"] if drawn.drawing.limit else []
    return [*found, "consent_now" if settings.get("consent") == "now" else "consent_then", "gate"]


DUE = ",\n       EXISTS (SELECT FROM backtests WHERE status IN ('waiting', 'running'))"  # whether there is one, for whoever hands out work
_BORDERS = text("""
    SELECT count(*), percentile_disc(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY id) FROM profiles WHERE merged_into IS NULL
""")
_BESIDE = (
    select(Journey, Version.graph)
    .join(Version, (Version.journey_id == Journey.id) & (Version.number == Journey.version))
    .where(Journey.status == "live", Journey.id != text(":journey"))
    .order_by(Journey.id)
)
_CANCEL = text("""
    UPDATE backtests SET status = 'cancelled', ended_at = :now,
      parts = (SELECT coalesce(jsonb_agg(p - 'comers' - 'let_in'), '[]') FROM jsonb_array_elements(parts) p)
    WHERE id = :id AND status IN ('waiting', 'running') RETURNING id
""")
_DIVIDED = text("""
    UPDATE backtests SET parts = CAST(:parts AS jsonb), status = 'running', started_at = :now, progress_at = :now
    WHERE id = :id AND status = 'waiting' RETURNING id
""")
_BEGUN = text("UPDATE backtests SET tries = tries + 1, progress_at = :now WHERE id = :id AND status = 'running' RETURNING tries")
_OPENED = text("""
    UPDATE backtests SET parts = CAST(:parts AS jsonb), progress_at = :now
    WHERE id = :id AND status = 'running' AND jsonb_exists(parts->0, 'comers') RETURNING id
""")
_SAVED = text("""
    UPDATE backtests SET parts = jsonb_set(parts, CAST(:place AS text[]), CAST(:part AS jsonb)), tries = 0, progress_at = :now
    WHERE id = :id AND status = 'running' RETURNING id
""")
_OVER = text("""
    UPDATE backtests SET status = :status, ended_at = :now, error = :error, report = CAST(:report AS jsonb),
      parts = (SELECT coalesce(jsonb_agg(CASE WHEN :status = 'done' THEN p - 'sums' - 'told' ELSE p END - 'comers' - 'let_in'), '[]')
               FROM jsonb_array_elements(parts) p)
    WHERE id = :id AND status = 'running' RETURNING id
""")
