"""One step of the scoring process: a training that was asked for, people whose events changed, a page of everybody, the weekly comparison."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import select, text, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from crm.core.config import Config
from crm.core.db import is_passing
from crm.core.errors import KesherError
from crm.events import inbox
from crm.scores import again, apply, check, dirty, jobs, train
from crm.scores.features import People
from crm.scores.score import Asked, asked, find
from crm.scores.score_models import Score, ScoreCheck, ScoreJob, ScoreKind

LOCK = 0x73636F72  # one worker at a time, so that no older score overwrites a newer one
PAGE = 20_000
ROOM = 20_000  # calls that may wait in the inbox before a round goes on
SHOP_EVERY = dt.timedelta(hours=1)

log = structlog.get_logger()
Now = Callable[[], dt.datetime]
_shops: WeakKeyDictionary[sessionmaker[Session], tuple[dt.datetime, apply.Shop]] = WeakKeyDictionary()
Refresh = Callable[[Session, list[uuid.UUID], dt.datetime], None]


def step(sessions: sessionmaker[Session], config: Config, now: Now, after: Refresh = lambda _session, _ids, _now: None) -> int:
    """Those who changed and the most urgent of the rest; 0 where nothing is left or another worker is at it. `after` hears whose scores were written."""
    with sessions() as guard:
        if not guard.scalar(text("SELECT pg_try_advisory_xact_lock(:lock, 0)"), {"lock": LOCK}):
            return 0
        done = changed(sessions, config, now, after)  # always first, and never alone: on a busy day somebody always changed
        done = (
            asked_about(sessions, config)
            or training(sessions, config, now)
            or comparing(sessions, config, now)
            or everybody(sessions, config, now, after)
            or done
        )
        guard.commit()
    return done


def rounds(sessions: sessionmaker[Session], config: Config, now: Now, after: Refresh) -> None:
    """Rounds over the whole base to their end, for somebody who waits for them; a step of another worker ends first."""
    with sessions() as guard:
        guard.execute(text("SELECT pg_advisory_xact_lock(:lock, 0)"), {"lock": LOCK})
        while everybody(sessions, config, now, after):
            pass
        guard.commit()


def changed(sessions: sessionmaker[Session], config: Config, now: Now, after: Refresh) -> int:
    """People whose events, joins or columns changed."""
    with sessions() as session:
        ids = dirty.claim(session)
        if not ids:
            return 0
        moment = now()
        shop = _shop(sessions, session, config, moment)
        for score in asked(session).values():
            _apply(session, score, apply.these(ids, now=moment), config=config, now=moment, shop=shop, asked=ids)
        after(session, ids, moment)
        session.commit()
    return len(ids)


def asked_about(sessions: sessionmaker[Session], config: Config) -> int:
    """Earlier scores that somebody wants to understand: they wait for the answer."""
    with sessions() as session:
        done = again.answer(session, config=config)
        session.commit()
    return done


def training(sessions: sessionmaker[Session], config: Config, now: Now) -> int:
    """The oldest training that was asked for; one that a dead worker left begins anew."""
    with sessions() as session:
        job = session.scalar(select(ScoreJob).where(ScoreJob.status.in_(("waiting", "running"))).order_by(ScoreJob.id).limit(1))
        if job is None:
            return 0
        job.status, job.started_at = "running", now()
        session.commit()
    said, failed = _train(sessions, config, job, now)
    with sessions() as session:
        session.execute(update(ScoreJob).where(ScoreJob.id == job.id).values(status="failed" if failed else "done", said=said, stage="", ended_at=now()))
        session.commit()
    return 1


def train_now(session: Session, score: Asked, *, config: Config, now: dt.datetime, report: train.Report = lambda _stage: None) -> dict[str, object]:
    """Train, and let what came of it take effect: a new champion serves everybody at once and ends what the comparison had said."""
    row = jobs.row_of(session, score.kind, now)
    try:
        version = train.train(session, score, config=config, now=now, report=report)
    except train.NotEnoughError as error:
        row.notice = row.notice if row.rules_only else error.said
        return error.said
    row.train_at, by_hand = jobs.next_week(now, config.timezone), jobs.by_hand(row)
    if version.state == "champion":
        row.rules_only, row.notice, row.apply_at = by_hand, row.notice if by_hand else None, now
    elif version.state == "refused" and not by_hand:
        row.notice = {"code": "refused", "version": version.number}
    return {"code": version.state, "version": version.number}


def comparing(sessions: sessionmaker[Session], config: Config, now: Now) -> int:
    """The weekly comparison of one score; broken promises put the rules in the model's place until a new one is trained."""
    with sessions() as session:
        moment = now()
        row = session.scalar(select(ScoreKind).where(ScoreKind.check_at <= moment).order_by(ScoreKind.kind).limit(1).with_for_update())
        if row is None:
            return 0
        row.check_at = jobs.next_week(moment, config.timezone)
        if (score := asked(session).get(row.kind)) is not None:
            try:
                react(session, row, check.compare(session, score, config=config, now=moment), moment)
            except apply.UnreadableError as error:
                _unreadable(session, row, error, moment)
        session.commit()
    return 1


def react(session: Session, row: ScoreKind, made: ScoreCheck | None, now: dt.datetime) -> None:
    """What an alarm sets off."""
    if made is None or made.alarm is None:
        return
    if made.alarm == "promises":
        broken = next(each for each in made.bands if each["broken"])
        _use_rules(row, {"code": "fallback", "band": broken["band"], "promised": broken["promised"], "actual": broken["actual"]}, now)
    elif not row.rules_only:
        row.notice = {"code": "drift", **made.drift[0]}
    jobs.ask(session, row.kind, user_id=None, now=now)


def everybody(sessions: sessionmaker[Session], config: Config, now: Now, after: Refresh = lambda _session, _ids, _now: None) -> int:
    """A page of a round over the whole base: each night, and after a new champion."""
    with sessions() as session:
        moment = now()
        going = select(ScoreKind).where((ScoreKind.after.is_not(None)) | (ScoreKind.apply_at <= moment))
        row = session.scalar(going.order_by(ScoreKind.after.is_(None), ScoreKind.kind).limit(1))
        score = asked(session).get(row.kind) if row else None
        if row is None or inbox.waiting(session, ROOM + 1) > ROOM:
            return 0
        if score is None:  # its file is gone: it must not stand before the others
            row.after, row.apply_at = None, jobs.next_night(moment, config.timezone)
            session.commit()
            return 1
        if row.after is None or (row.apply_at and row.apply_at <= moment):  # a new champion begins the round anew
            row.after, row.apply_at, row.notice = uuid.UUID(int=0), None, None if row.notice == {"code": "raises"} else row.notice
        people = apply.everybody(session, after=row.after, limit=PAGE, now=moment)
        if people is None:
            row.after, row.applied_at, row.apply_at = None, moment, row.apply_at or jobs.next_night(moment, config.timezone)
        else:
            shop = _shop(sessions, session, config, moment)
            _apply(session, score, people, config=config, now=moment, shop=shop)
            row.after = people.between[1] if people.between else None
            after(session, list(session.scalars(select(Score.profile_id).where(Score.kind == row.kind, Score.at == moment))), moment)
        session.commit()
    return 1


def _shop(sessions: sessionmaker[Session], session: Session, config: Config, now: dt.datetime) -> apply.Shop:
    """Read once an hour by a process: an average of a year's orders, which every page and every step asks for."""
    kept = _shops.get(sessions)
    if kept is None or not dt.timedelta(0) <= now - kept[0] < SHOP_EVERY:
        kept = _shops[sessions] = (now, apply.shop_of(session, config, now))
    return kept[1]


def _apply(session: Session, score: Asked, people: People, *, config: Config, now: dt.datetime, shop: apply.Shop, asked: Sequence[uuid.UUID] = ()) -> None:
    """Score these people, so that no score stops another: rules stand in for a model that raises, and rules that raise score nobody."""
    model = _model(session, score, now)
    try:
        with session.begin_nested():
            apply.apply(session, score, model, people, config=config, now=now, shop=shop, asked=asked)
    except Exception as error:
        if is_passing(error):
            raise
        log.warning("score_raises", kind=score.kind, version=model.version_id, exc_info=True)
        if model.fitted is None:
            jobs.row_of(session, score.kind, now).notice = {"code": "raises"}
            return
        _broken(session, jobs.row_of(session, score.kind, now), now)
        _apply(session, score, people, config=config, now=now, shop=shop, asked=asked)


def _model(session: Session, score: Asked, now: dt.datetime) -> apply.Model:
    """What gives this score; by rules where the champion cannot be read, so that it stops no other score."""
    try:
        return apply.serving_model(session, score)
    except apply.UnreadableError as error:
        _unreadable(session, jobs.row_of(session, score.kind, now), error, now)
        return apply.by_rules()


def _unreadable(session: Session, row: ScoreKind, error: apply.UnreadableError, now: dt.datetime) -> None:
    log.warning("score_version_unreadable", kind=row.kind, error=repr(error.__cause__))
    _broken(session, row, now)


def _broken(session: Session, row: ScoreKind, now: dt.datetime) -> None:
    _use_rules(row, {"code": "broken"}, now)
    jobs.ask(session, row.kind, user_id=None, now=now)


def _use_rules(row: ScoreKind, notice: dict[str, object], now: dt.datetime) -> None:
    """Rules in the model's place until a new one is trained; what a person chose stays chosen."""
    if not jobs.by_hand(row):
        row.rules_only, row.notice, row.apply_at = True, notice, now


def _train(sessions: sessionmaker[Session], config: Config, job: ScoreJob, now: Now) -> tuple[dict[str, object], bool]:
    def report(stage: str) -> None:
        with sessions() as other:
            other.execute(update(ScoreJob).where(ScoreJob.id == job.id).values(stage=stage))
            other.commit()

    try:
        with sessions() as session:
            try:
                said, failed = train_now(session, find(session, job.kind), config=config, now=now(), report=report), False
            except KesherError as error:
                said, failed = {"code": "error", "text": str(error)}, True
            session.commit()  # what was flagged stays either way, for a person to approve
            return said, failed
    except (OperationalError, InterfaceError):
        raise  # the database is away: the job stays, and begins anew
    except Exception:  # one score that cannot be trained must not stop the others; the log says more
        log.warning("training_failed", kind=job.kind, exc_info=True)
        return {"code": "broken"}, True
