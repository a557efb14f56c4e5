"""What a score is: what is predicted, for whom, within how many days, and from how many wins on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.errors import NotFoundError
from crm.core.i18n import _l
from crm.core.plugins import load
from crm.scores import models
from crm.scores.score_models import ScoreKind


@dataclass(frozen=True, slots=True)
class Label:
    """The outcome: one of these events within `days`, where `stage` is given one about that stage; or an imported column that holds one of `values`."""

    events: tuple[str, ...] = ()
    stage: str | None = None
    column: str | None = None
    values: tuple[str, ...] = ()
    days: int = 30
    happens: bool = True  # False: the outcome is that it does not happen

    @property
    def open_for(self) -> dt.timedelta:
        """For how long it is not known what becomes of somebody; a column may never tell."""
        return dt.timedelta(days=365 if self.column else self.days)

    def as_dict(self) -> dict[str, Any]:
        """For the row of a version."""
        said = {"events": list(self.events), "stage": self.stage, "column": self.column, "values": list(self.values)}
        return {**said, "days": self.days, "happens": self.happens}


class Score:
    """One score; a file in `models/`. Without a label it is by rules for ever."""

    kind: str
    title: ClassVar[str]
    about: ClassVar[str]
    label: ClassVar[Label | None] = None
    buyers_only: ClassVar[bool] = False  # else everybody known
    has_value: ClassVar[bool] = False  # whether winning has an amount, so that there is an expected value
    least_wins: ClassVar[int] = 50
    least_rows: ClassVar[int] = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A score as it is used: one of the files, or a label of the company's own."""

    kind: str
    title: str
    about: str
    label: Label | None
    buyers_only: bool = False
    has_value: bool = False
    least_wins: int = 50
    least_rows: int = 200
    own: bool = False


OWN = _l("A label of your own.")


@cache
def shipped() -> Mapping[str, Score]:
    """The scores that come with Kesher."""
    return load(models, Score)


def asked(session: Session) -> dict[str, Asked]:
    """Every score: shipped ones in the order they are shown, then the company's own."""
    found = {one.kind: _of_file(one) for one in sorted(shipped().values(), key=lambda one: list(_ORDER).index(one.kind) if one.kind in _ORDER else 99)}
    for row in session.scalars(select(ScoreKind).where(ScoreKind.label.is_not(None)).order_by(ScoreKind.created_at, ScoreKind.kind)):
        found[row.kind] = Asked(row.kind, row.title or row.kind, OWN, read_label(row.label or {}), has_value=bool((row.label or {}).get("events")), own=True)
    return found


def find(session: Session, kind: str) -> Asked:
    """One score; NotFoundError where there is none of that kind."""
    found = asked(session).get(kind)
    if found is None:
        raise NotFoundError(_l("There is no such score. It may have been removed."))
    return found


def read_label(said: Mapping[str, Any]) -> Label:
    """A label as a row keeps it."""
    events, values = tuple(said.get("events") or ()), tuple(said.get("values") or ())
    return Label(events, said.get("stage"), said.get("column"), values, int(said.get("days") or 30), bool(said.get("happens", True)))


def _of_file(one: Score) -> Asked:
    return Asked(one.kind, one.title, one.about, one.label, one.buyers_only, one.has_value, one.least_wins, one.least_rows)


_ORDER = ("lead", "next_order", "churn", "engagement")
