"""Made-up leads: rows straight into the tables, since thousands are needed."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import partitions
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.events.inbox import driver
from crm.scores.score_models import LeadColumn, ScoreKind


def people(session: Session, traits: Sequence[Mapping[str, Any]], *, at: dt.datetime, seen: dt.datetime | None = None) -> list[uuid.UUID]:
    """Known profiles with these traits, all told at one moment."""
    ids = sorted(new_id() for _ in traits)
    stamp = [int(at.timestamp() * 1000), 1]
    with driver(session).cursor().copy("COPY profiles (id, bucket, known, traits, traits_at, first_seen, last_seen) FROM STDIN") as copy:
        for one, said in zip(ids, traits, strict=True):
            copy.write_row((one, 1, True, dumps(dict(said)), dumps(dict.fromkeys(said, stamp)), seen or at, at))
    return ids


def happened(session: Session, rows: Sequence[tuple[uuid.UUID, str, dt.datetime, Mapping[str, Any]]], *, source_id: int = 10) -> None:
    """Events in the log."""
    months = {partitions.month_bounds(at) for _who, _name, at, _said in rows}
    partitions.ensure(session, "events", sorted(months))
    first = 1 + (session.scalar(text("SELECT coalesce(max(accepted), 0) FROM events")) or 0)
    columns = "profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities, properties, context, hops"
    with driver(session).cursor().copy(f"COPY events ({columns}) FROM STDIN") as copy:
        for number, (who, name, at, said) in enumerate(rows, first):
            kind = "identify" if name == "identify" else "track"
            copy.write_row((who, at, number, at, source_id, f"m{number}", kind, name, "live", True, "[]", dumps(dict(said)), "{}", 0))


def column(session: Session, name: str, kind: str, *, filled_by: str = "lead", filled_when: str = "entry", now: dt.datetime) -> None:
    """A declared column of leads."""
    session.add(LeadColumn(name=name, type=kind, filled_by=filled_by, filled_when=filled_when, at=now))
    session.flush()


def own_score(session: Session, kind: str, *, column_: str, values: Sequence[str], now: dt.datetime) -> None:
    """A score whose label is an imported column."""
    session.add(ScoreKind(kind=kind, title=kind.title(), label={"column": column_, "values": list(values)}, created_at=now))
    session.flush()


def shop(session: Session, *, people_count: int, now: dt.datetime, looks: int = 4, seed: int = 3) -> list[uuid.UUID]:
    """People of whom those who look at products the week before buy within the month; the rest hardly do."""
    chance = np.random.default_rng(seed)
    ids = people(session, [{"language": "he" if n % 2 else "en"} for n in range(people_count)], at=now - dt.timedelta(days=400))
    rows: list[tuple[uuid.UUID, str, dt.datetime, Mapping[str, Any]]] = []
    for look in range(1, looks + 1):
        cut = now - dt.timedelta(days=30 * look)
        for one in ids:
            views = int(chance.poisson(1.2))
            rows += [(one, "Product Viewed", cut - dt.timedelta(days=float(chance.uniform(0.1, 6))), {"category": "tea"}) for _ in range(views)]
            if chance.random() < 1 / (1 + np.exp(3.2 - 1.1 * views)):
                order = {"revenue": 100, "order_id": f"{look}-{one}"}
                rows.append((one, "Order Completed", cut + dt.timedelta(days=float(chance.uniform(1, 20))), order))
    happened(session, rows)
    return ids
