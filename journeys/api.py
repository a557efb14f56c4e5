"""`/journeys` and `/runs` of the API: what goes on and why."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AwareDatetime, Field
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.events.inbox import append, system_event
from crm.web.api.operation import ByTime, Items, Wanted, blueprint, items, operation
from journeys import coupons, view, why
from journeys.node import REQUESTED
from journeys.view import JourneyRow, RunFilters, RunView, StepRow

bp = blueprint("journeys")


class RunsWanted(ByTime):
    """Which runs."""

    journey: str | None = Field(None, max_length=200, description="The journey's slug.")
    profile_id: uuid.UUID | None = None
    status: Literal["active", "done", "failed"] | None = None
    node: str | None = Field(None, max_length=40, description="The node at which they stand.")
    since: AwareDatetime | None = Field(None, description="Started at this time or later; with its time zone.")


@dataclass(frozen=True, slots=True)
class JourneyWhole:
    """A journey with the graph new runs follow."""

    journey: JourneyRow
    graph: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunWhole:
    """A run with the event that started it and every step it took."""

    run: RunView
    start: Mapping[str, Any]
    steps: Sequence[StepRow]


@operation(bp, "/journeys", answer=Items[JourneyRow], summary="Journeys with their numbers of the last 30 days")
def journey_list(session: Session, *, now: dt.datetime) -> Items[JourneyRow]:
    """All of them."""
    return Items(items=view.journeys(session, now=now))


@operation(bp, "/journeys/<slug>", answer=JourneyWhole, summary="One journey and its graph", finds=True)
def one_journey(session: Session, *, slug: str, now: dt.datetime) -> JourneyWhole:
    """That journey."""
    found = view.journeys(session, now=now, slug=slug)
    if not found:
        raise NotFoundError("There is no journey with this slug. `GET /api/v1/journeys` lists those there are.")
    graph = view.graph_of(session, found[0].id, found[0].version) if found[0].version is not None else None
    return JourneyWhole(found[0], graph or {})


class Start(Wanted):
    """For whom, and what the run gets as properties of its start."""

    profile_id: uuid.UUID
    properties: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """Accepted: the journey's rules of entry decide within seconds; `GET /api/v1/runs` and the journey's page show how."""

    journey: str
    profile_id: uuid.UUID


@operation(bp, "/journeys/<slug>/start", answer=Asked, body=Start, roles=("admin", "marketer"), summary="Start a journey that begins by hand", finds=True)
def start(session: Session, *, slug: str, body: Start, now: dt.datetime) -> Asked:
    """One more event in the inbox."""
    row = next(iter(view.journeys(session, now=now, slug=slug)), None)
    graph = view.graph_of(session, row.id, row.version) if row and row.version is not None else None
    if row is None or graph is None:
        raise NotFoundError("There is no published journey with this slug. `GET /api/v1/journeys` lists those there are.")
    if graph["trigger"]["kind"] != "hand":
        raise InvalidError("This journey does not begin by hand. Give it that start, or send the event it begins with.")
    append(session, [system_event(REQUESTED, body.profile_id, {**body.properties, "journey": slug}, cause=None, hops=0)], now)
    return Asked(slug, body.profile_id)


class Codes(Wanted):
    """Codes for a pool."""

    pool: str = Field(max_length=60)
    codes: list[str] = Field(min_length=1, max_length=50_000)


@dataclass(frozen=True, slots=True)
class Pool:
    """How many codes of a pool are free, given, and named by an order; `added` just now."""

    pool: str
    free: int
    given: int
    used: int = 0
    added: int = 0


@operation(bp, "/coupons", answer=Pool, body=Codes, roles=("admin", "marketer"), summary="Put codes into a pool; those already there stay as they are")
def add_codes(session: Session, *, body: Codes, now: dt.datetime) -> Pool:
    """The pool afterwards."""
    added = coupons.add(session, body.pool, body.codes)
    found = next((each for each in coupons.pools(session, now) if each.name == body.pool), None)
    return Pool(body.pool, found.free if found else 0, found.given if found else 0, found.used if found else 0, added)


@operation(bp, "/coupons", answer=Items[Pool], roles=("admin", "marketer"), summary="Pools of codes: how many are free and given")
def pools(session: Session, *, now: dt.datetime) -> Items[Pool]:
    """All of them."""
    return Items(items=[Pool(each.name, each.free, each.given, each.used) for each in coupons.pools(session, now)])


class About(Wanted):
    """About whom."""

    profile_id: uuid.UUID


@operation(bp, "/journeys/<slug>/why", answer=Items[str], query=About, summary="Why a profile is not in a journey, in sentences")
def why_not(session: Session, *, slug: str, query: About, now: dt.datetime) -> Items[str]:
    """The latest refusals by code, then what the log and the rules say."""
    row = next(iter(view.journeys(session, now=now, slug=slug)), None)
    if row is None:
        return Items(items=["There is no journey with this slug."])
    refused = view.refusals(session, journey_id=row.id, profile_id=query.profile_id, since=row.since, limit=5)
    said = [f"refused at {each.at.isoformat()}: {each.reason}" for each in refused]
    return Items(items=said + [each.text % each.values for each in why.why_not(session, slug, query.profile_id, now)])


@operation(bp, "/runs", answer=Items[RunView], query=RunsWanted, summary="Runs, newest first, with the steps they took")
def run_list(session: Session, *, query: RunsWanted, now: dt.datetime) -> Items[RunView]:
    """A page of them."""
    filters = RunFilters(**query.model_dump(exclude={"limit", "cursor"}))
    return items(view.runs(session, filters, after=query.cursor, limit=query.limit))


@operation(bp, "/runs/<uuid:run_id>", answer=RunWhole, summary="One run, what started it and the steps it took", finds=True)
def one_run(session: Session, *, run_id: uuid.UUID, now: dt.datetime) -> RunWhole:
    """That run."""
    found = view.runs(session, RunFilters(run_id=run_id), limit=1).rows
    if not found:
        raise NotFoundError("There is no run with this id. `GET /api/v1/runs` lists those there are.")
    return RunWhole(found[0], view.start_of(session, run_id), found[0].steps)
