"""`/journeys` and `/runs` of the API: what goes on and why."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Literal

from pydantic import Field
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.web.api.operation import Items, Paged, blueprint, items, operation
from journeys import view
from journeys.view import JourneyRow, RunFilters, RunView

bp = blueprint("journeys")


class RunsWanted(Paged):
    """Which runs."""

    journey: str | None = Field(None, max_length=200, description="The journey's slug.")
    profile_id: uuid.UUID | None = None
    status: Literal["active", "done", "failed"] | None = None
    node: str | None = Field(None, max_length=40, description="The node at which they stand.")


@operation(bp, "/journeys", answer=Items[JourneyRow], summary="Journeys with their numbers of the last 30 days")
def journey_list(session: Session, *, now: dt.datetime) -> Items[JourneyRow]:
    """All of them."""
    return Items(items=view.journeys(session, now=now))


@operation(bp, "/runs", answer=Items[RunView], query=RunsWanted, summary="Runs, newest first, with the steps they took")
def run_list(session: Session, *, query: RunsWanted, now: dt.datetime) -> Items[RunView]:
    """A page of them."""
    filters = RunFilters(journey=query.journey, profile_id=query.profile_id, status=query.status, node=query.node)
    return items(view.runs(session, filters, after=query.cursor, limit=query.limit))


@operation(bp, "/runs/<uuid:run_id>", answer=RunView, summary="One run and the steps it took", finds=True)
def one_run(session: Session, *, run_id: uuid.UUID, now: dt.datetime) -> RunView:
    """That run."""
    found = view.runs(session, RunFilters(run_id=run_id), limit=1).rows
    if not found:
        raise NotFoundError("There is no run with this id. `GET /api/v1/runs` lists those there are.")
    return found[0]
