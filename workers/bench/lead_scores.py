"""Whether scores keep their word on an invented shop whose truth is known: columns learned too late, drift, and whom to call."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core import clock, partitions
from crm.core.config import Config
from crm.core.db import engine_for, sessions
from crm.core.json import dumps
from crm.events import inbox
from crm.events.inbox import NewRow, driver
from crm.events.models import HISTORY
from crm.events.spec import Call
from crm.scores import apply, check, train
from crm.scores.measure import Floats
from crm.scores.score import Asked, find
from crm.scores.score_models import LeadColumn, ScoreVersion
from workers import pipeline
from workers.bench import Measure
from workers.demo.leads import DAYS, JUDGING_SEEDS, LEADS_A_DAY, PLANTED, TRAINED, TYPES, Lead, Told, calls, drift_of, moment, shop

QUICK, QUICK_LEADS = 1, 3.0  # seeds, leads a day
CALLS, WITHIN = 50, 30  # a day; days within which who was called buys
CALLING = range(TRAINED + 1, TRAINED + 29, 3)
CHECKS = range(TRAINED + 7, TRAINED + 36, 7)
CYCLES = 2  # after the drift begins
DRAWS = 2_000
MANY = 10_000
LATE = frozenset(f"trait:{late.name}" for late in PLANTED)
SHOP = 10
EVENTS = "profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities, properties, context, hops"


@dataclass(frozen=True, slots=True)
class Judged:
    """What one seed showed. `hits` has a row per day of calling: the share that bought of those called by score, and by points."""

    found: frozenset[str]
    missed: frozenset[str]
    falsely: frozenset[str]
    calm: tuple[str, ...]  # alarms without drift
    alarm_after: int | None  # weekly cycles after the drift began
    hits: Floats
    auc: float
    state: str


class Past:
    """A shop written straight into the log and the people, as the pipeline leaves them, in order of time."""

    def __init__(self, session: Session, seed: int, leads: list[Lead]) -> None:
        self.session, self.seed, self.calls, self.done = session, seed, calls(leads), 0
        self.traits: dict[int, dict[str, object]] = {}
        self.stamps: dict[int, dict[str, list[int]]] = {}
        self.first: dict[int, dt.datetime] = {}

    def whose(self, lead: int) -> uuid.UUID:
        """The profile of a lead; the same in every run."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{self.seed}:{lead}")

    def instead(self, leads: list[Lead]) -> Past:
        """The same past, from which on other things happen."""
        other = Past(self.session, self.seed, leads)
        other.done, other.traits, other.stamps, other.first = self.done, deepcopy(self.traits), deepcopy(self.stamps), dict(self.first)
        return other

    def until(self, day: float) -> None:
        """Let the days up to this one happen."""
        first, end = self.done, moment(day)
        while self.done < len(self.calls) and self.calls[self.done].at < end:
            self.done += 1
        self._happened(self.calls[first : self.done], first)
        self._people(self.calls[first : self.done], first)

    def _happened(self, told: Sequence[Told], first: int) -> None:
        with driver(self.session).cursor().copy(f"COPY events ({EVENTS}) FROM STDIN") as copy:
            for number, one in enumerate(told, first + 1):
                context = dumps({"campaign": {"source": one.source}} if one.source else {})
                kind = "identify" if one.name == "identify" else "track"
                copy.write_row((self.whose(one.lead), one.at, number, one.at, SHOP, f"{self.seed}-{number}", kind, one.name, "live", True, "[]",
                                dumps(dict(one.said)), context, 0))  # fmt: skip

    def _people(self, told: Sequence[Told], first: int) -> None:
        for number, one in enumerate(told, first + 1):
            self.first.setdefault(one.lead, one.at)
            traits, stamps = self.traits.setdefault(one.lead, {}), self.stamps.setdefault(one.lead, {})
            if one.name == "identify":
                traits.update(one.said)
                stamps.update(dict.fromkeys(one.said, [int(one.at.timestamp() * 1000), number]))
        self.session.execute(text("DROP TABLE IF EXISTS bench_people; CREATE TEMP TABLE bench_people (LIKE profiles INCLUDING DEFAULTS)"))
        with driver(self.session).cursor().copy("COPY bench_people (id, bucket, known, traits, traits_at, first_seen, last_seen) FROM STDIN") as copy:
            for lead, last in {one.lead: one.at for one in told}.items():
                copy.write_row((self.whose(lead), lead % 10_000, True, dumps(self.traits[lead]), dumps(self.stamps[lead]), self.first[lead], last))
        self.session.execute(text(_PEOPLE))
        if len(told) > MANY:
            self.session.execute(text("ANALYZE events, profiles"))  # as the server does by itself


class Heard(Past):
    """The same shop through the inbox and the pipeline, as the world tells of it."""

    def __init__(self, maker: sessionmaker[Session], session: Session, seed: int, leads: list[Lead], config: Config) -> None:
        super().__init__(session, seed, leads)
        self.maker, self.config = maker, config
        self.ids: dict[int, uuid.UUID] = {}

    def whose(self, lead: int) -> uuid.UUID:
        """The profile that the pipeline made of a lead."""
        if lead not in self.ids:
            found = self.session.execute(text("SELECT value, profile_id FROM identities WHERE kind = 'user_id'"))
            self.ids = {int(value): profile_id for value, profile_id in found}
        return self.ids[lead]

    def until(self, day: float) -> None:
        """Tell of these days, and let the pipeline work until nothing waits."""
        self.session.commit()
        self.ids.clear()
        first, end = self.done, moment(day)
        while self.done < len(self.calls) and self.calls[self.done].at < end:
            self.done += 1
        for start in range(first, self.done, MANY):
            chunk = enumerate(self.calls[start : min(self.done, start + MANY)], start)
            with self.maker() as session:
                inbox.append(session, [NewRow(SHOP, trusted=True, origin=HISTORY, body=_call(one, number)) for number, one in chunk], end)
                session.commit()
            while pipeline.drain(self.maker, self.config, lambda: end):
                pass


def _call(one: Told, number: int) -> Call:
    about: dict[str, Any] = {"user_id": str(one.lead), "message_id": f"l{number}", "timestamp": one.at.isoformat()}
    if one.name == "identify":
        return Call(type="identify", traits=dict(one.said), **about)
    context = {"campaign": {"source": one.source}} if one.source else None
    return Call(type="track", event=one.name, properties=dict(one.said), context=context, **about)


def run(config: Config, quick: bool) -> list[Measure]:
    """Of 20 fresh seeds: planted columns found (%), honest ones flagged, alarms; share of 50 calls a day that buy within 30 days (%), floor: by points.

    Rows go straight into the log and the people; features, scan, training, application and the weekly comparison are the product's own. The first seed
    comes a second time, through the inbox and the pipeline, without its drifting world.
    """
    leads_a_day = QUICK_LEADS if quick else LEADS_A_DAY
    seeds = list(JUDGING_SEEDS)[:QUICK] if quick else list(JUDGING_SEEDS)
    with ExitStack() as stack:
        engine = engine_for(config.database_url)
        stack.callback(engine.dispose)
        with sessions(engine)() as session:
            prepare(session)
            session.commit()
        found = []
        for seed in seeds:
            with sessions(engine)() as session:
                found.append(judge(session, seed, config=config, leads_a_day=leads_a_day))
                session.rollback()
        heard = through_inbox(sessions(engine), seeds[0], config=config, leads_a_day=leads_a_day)
    same = heard.found == found[0].found and heard.falsely == found[0].falsely
    now = clock.now()
    apart = float(np.abs(heard.hits - found[0].hits).mean())
    return [
        *summary(found),
        Measure("through_inbox_same", float(same), "of 1 seeds flags the same", None, None, now),
        Measure("through_inbox_apart", 100 * apart, "points of precision a day", None, None, now),
    ]


def through_inbox(maker: sessionmaker[Session], seed: int, *, config: Config, leads_a_day: float) -> Judged:
    """One seed by the front door; what it wrote stays."""
    with maker() as session:
        leads = shop(seed, leads_a_day=leads_a_day)
        made = judged(session, Heard(maker, session, seed, leads, config), leads, None, config)
        session.commit()
    return made


def prepare(session: Session) -> None:
    """Months of the log that the shop lives in."""
    partitions.ensure(session, "events", sorted({partitions.month_bounds(moment(day)) for day in range(-1, DAYS + 31, 27)}))


def judge(session: Session, seed: int, *, config: Config, leads_a_day: float = LEADS_A_DAY) -> Judged:
    """One seed: trained at the end of day TRAINED, then its calm world and its drifting one. Prints a line."""
    leads = shop(seed, leads_a_day=leads_a_day)
    return judged(session, Past(session, seed, leads), leads, shop(seed, leads_a_day=leads_a_day, drift=drift_of(seed)), config)


def judged(session: Session, past: Past, leads: list[Lead], drifting: list[Lead] | None, config: Config) -> Judged:
    """Whatever way its past comes; without a drifting world nothing is said about drift."""
    began, score, now = time.perf_counter(), find(session, "lead"), moment(TRAINED)
    past.until(TRAINED)
    session.add_all(LeadColumn(name=name, type=kind, filled_by="unknown", filled_when="unknown", at=now) for name, kind in TYPES.items())
    version = train.train(session, score, config=config, now=now)
    after = _drifting(session, score, past.instead(drifting), config) if drifting else None
    calm, hits = _calling(session, score, past, leads, config)
    flags = {flag["feature"] for flag in version.flags}
    auc = version.metrics["measures"]["auc"]["value"]
    made = Judged(frozenset(LATE & flags), frozenset(LATE - flags), frozenset(flags - LATE), calm, after, hits, auc, version.state)
    print(_line(past, made, version, time.perf_counter() - began), flush=True)
    return made


def _calling(session: Session, score: Asked, past: Past, leads: Sequence[Lead], config: Config) -> tuple[tuple[str, ...], Floats]:
    """The weeks after the training, nothing drifting: alarms, and who bought of those called."""
    _round(session, score, config, moment(TRAINED))
    alarms, hits = [], []
    for day in sorted({*CALLING, *CHECKS}):
        past.until(day)
        if day in CHECKS and (alarm := _compared(session, score, config, day)):
            alarms.append(alarm)
        if day in CALLING:
            hits.append(_called(session, score, past, leads, config, day))
    return tuple(alarms), np.array(hits)


def _called(  # noqa: PLR0917  one column each
    session: Session, score: Asked, past: Past, leads: Sequence[Lead], config: Config, day: int
) -> tuple[float, float]:
    """Of the open leads the best 50 by score and by points: what share of each buys within 30 days."""
    opened = {past.whose(one.number): one for one in leads if one.entered < day and not any(at < day for at in (*one.bought, one.lost or DAYS))}
    given = apply.give(session, score, apply.serving_model(session, score), apply.these(list(opened), now=moment(day)), config=config)
    buys = np.array([any(day <= at < day + WITHIN for at in opened[given.got.profile(row)].bought) for row in range(len(given.p))], float)
    by_score, by_points = (np.argsort(-order, kind="stable")[:CALLS] for order in (given.p, given.got.points))
    return float(buys[by_score].mean()), float(buys[by_points].mean())


def _drifting(session: Session, score: Asked, other: Past, config: Config) -> int | None:
    """The same shop with its drift: how many weekly cycles until the alarm, None where there is none within two. Undone afterwards."""
    drift = drift_of(other.seed)
    with session.begin_nested() as undone:
        cycles = [day for day in CHECKS if day > drift.day][:CYCLES]
        after = None
        for number, day in enumerate(cycles, 1):
            other.until(day)
            if after is None and _compared(session, score, config, day) == "drift":
                after = number
        undone.rollback()
    return after


def _compared(session: Session, score: Asked, config: Config, day: int) -> str | None:
    made = check.compare(session, score, config=config, now=moment(day))
    return made.alarm if made else None


def _round(session: Session, score: Asked, config: Config, now: dt.datetime) -> None:
    everybody = apply.everybody(session, after=uuid.UUID(int=0), limit=100_000, now=now)
    if everybody:
        apply.apply(session, score, apply.serving_model(session, score), everybody, config=config, now=now)


def _line(past: Past, made: Judged, version: ScoreVersion, seconds: float) -> str:
    """The table of 20 is the point of this bench."""
    by_score, by_points = made.hits.mean(axis=0)
    drifted = "through the inbox" if isinstance(past, Heard) else f"drift of {drift_of(past.seed).kind}: alarm after {made.alarm_after}"
    return (
        f"seed {past.seed}: {len(made.found)} of {len(LATE)} found, missed {_names(made.missed)}, falsely {_names(made.falsely)}; {drifted}; "
        f"without drift: {', '.join(made.calm) or 'none'}; {CALLS} calls a day: {by_score:.3f} by score, {by_points:.3f} by points; "
        f"AUC {made.auc:.3f} by {version.algorithm}, {made.state}, {version.rows} rows, {version.wins} wins, {seconds:.0f} s"
    )


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(name.removeprefix("trait:") for name in names)) or "none"


def summary(found: Sequence[Judged]) -> list[Measure]:
    """Figures over all seeds; the margin with its interval from a paired bootstrap of seeds and of days within them."""
    hits = np.array([one.hits for one in found])
    margins = 100 * (hits[:, :, 0] - hits[:, :, 1])
    low, high = _interval(margins)
    by_score, by_points, now = 100 * hits[:, :, 0].mean(), 100 * hits[:, :, 1].mean(), clock.now()
    measures = {
        "late_found": (100 * sum(len(one.found) for one in found) / (len(found) * len(LATE)), "%"),
        "late_falsely": (sum(len(one.falsely) for one in found), "columns"),
        "seeds_all_and_no_other": (sum(not one.missed and not one.falsely for one in found), f"of {len(found)} seeds"),
        "drift_alarmed": (sum(one.alarm_after is not None for one in found), f"of {len(found)} seeds"),
        "alarms_without_drift": (sum(len(one.calm) for one in found), f"of {len(found) * len(CHECKS)} comparisons"),
        "calls_margin": (float(margins.mean()), "points"),
        "calls_margin_low": (low, "points"),
        "calls_margin_high": (high, "points"),
    }
    told = [Measure(name, float(value), unit, None, None, now) for name, (value, unit) in measures.items()]
    return [*told, Measure("calls_precision", float(by_score), "%", float(by_points), float(by_score / by_points), now)]


def _interval(margins: Floats) -> tuple[float, float]:
    chance, means = np.random.default_rng(23), []
    for _ in range(DRAWS):
        seeds = chance.integers(0, len(margins), len(margins))
        days = chance.integers(0, margins.shape[1], margins.shape)
        means.append(margins[seeds[:, None], days].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


_PEOPLE = """
INSERT INTO profiles SELECT * FROM bench_people
ON CONFLICT (id) DO UPDATE SET (traits, traits_at, last_seen) = (excluded.traits, excluded.traits_at, excluded.last_seen)
"""
