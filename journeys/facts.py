"""What deciding needs to know, read for a whole batch: carts, traits, loops walked, the log since a start."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.commerce.cart import cart_id
from journeys.node import CartFact, RunEvent
from journeys.passage import MINUTE, Facts, Passage
from journeys.zones import zone_of


@dataclass(frozen=True, slots=True)
class CartLife:
    """A cart and the time in which a nameless event belonged to it."""

    fact: CartFact
    opened_at: dt.datetime
    closed_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """Facts of many profiles."""

    carts: Mapping[uuid.UUID, Sequence[CartLife]]
    traits: Mapping[uuid.UUID, Mapping[str, object]]
    language: str
    timezone: str = "UTC"
    buckets: Mapping[uuid.UUID, int] = field(default_factory=dict)

    def of(self, passage: Passage) -> Facts:
        """Those of one run."""
        traits = self.traits.get(passage.profile_id, {})
        said = traits.get("language") or traits.get("locale")
        language = said.replace("_", "-").split("-")[0].lower() if isinstance(said, str) else self.language
        cart = cart_of(self.carts.get(passage.profile_id, ()), passage.start) if passage.graph.key == "cart" else None
        return Facts(cart, traits, language, zone_of(traits, self.timezone), self.buckets.get(passage.profile_id, 0))


def cart_of(carts: Sequence[CartLife], event: RunEvent) -> CartFact | None:
    """The cart an event belongs to: the one it names, else the nameless one that was open at its moment."""
    named = cart_id(dict(event.properties))
    if named is not None:
        return next((each.fact for each in carts if each.fact.key == named and each.fact.source_id == event.source_id), None)
    at = event.occurred_at
    fits = [each for each in carts if each.fact.key.startswith("~") and each.opened_at <= at and (each.closed_at is None or at <= each.closed_at)]
    return max(fits, key=lambda each: each.opened_at).fact if fits else None


def read(session: Session, profiles: Collection[uuid.UUID], reads: Collection[str], language: str, timezone: str = "UTC") -> Known:
    """The facts named in `reads` for these profiles: at most one query each."""
    carts = _carts(session, profiles) if "cart" in reads and profiles else {}
    people = _people(session, profiles) if "traits" in reads and profiles else {}
    traits = {profile: each for profile, (each, _) in people.items()}
    return Known(carts, traits, language, timezone, {profile: bucket for profile, (_, bucket) in people.items()})


def count_visits(session: Session, passages: Collection[Passage], now: dt.datetime) -> None:
    """Fill in how often each run passed its nodes, and how many it passed lately, for graphs that loop."""
    looping = {passage.id: passage for passage in passages if passage.graph.loops}
    if not looping:
        return
    asked = {"profiles": list({p.profile_id for p in looping.values()}), "runs": list(looping), "since": now - MINUTE}
    for run_id, node, count, lately in session.execute(_VISITS, asked):
        looping[run_id].visits[node] = count
        looping[run_id].lately += lately


def since_start(session: Session, passages: Collection[Passage]) -> dict[uuid.UUID, list[tuple[RunEvent, bool]]]:
    """profile -> events of the log, with whether each is live, that may concern these new runs: in the person's order, from the start on."""
    names = frozenset[str]().union(*(passage.graph.listens for passage in passages))
    return since(session, [(passage.profile_id, passage.start.occurred_at) for passage in passages], names)


def since(session: Session, begun: Iterable[tuple[uuid.UUID, dt.datetime]], names: Collection[str]) -> dict[uuid.UUID, list[tuple[RunEvent, bool]]]:
    """profile -> events of these names in the log since the earliest time said for it, with whether each is live."""
    earliest: dict[uuid.UUID, dt.datetime] = {}
    for profile_id, at in begun:
        earliest[profile_id] = min(at, earliest.get(profile_id, at))
    if not names or not earliest:
        return {}
    rows = session.execute(_LOG, {"profiles": list(earliest), "since": list(earliest.values()), "earliest": min(earliest.values()), "names": sorted(names)})
    found: dict[uuid.UUID, list[tuple[RunEvent, bool]]] = defaultdict(list)
    for profile_id, name, occurred_at, accepted, source_id, origin, properties in rows:
        found[profile_id].append((RunEvent(name, occurred_at, accepted, source_id, properties), origin == "live"))
    return found


_VISITS = text("""
    SELECT run_id, node, count(*), count(*) FILTER (WHERE at > :since) FROM run_steps
    WHERE profile_id = ANY(:profiles) AND run_id = ANY(:runs) GROUP BY run_id, node
""")
_LOG = text("""
    SELECT e.profile_id, e.name, e.occurred_at, e.accepted, e.source_id, e.origin, e.properties
    FROM unnest(CAST(:profiles AS uuid[]), CAST(:since AS timestamptz[])) AS s(profile_id, since)
    JOIN events e ON e.profile_id = s.profile_id AND e.occurred_at >= s.since
    WHERE e.occurred_at >= :earliest AND e.name = ANY(:names)
    ORDER BY e.profile_id, e.occurred_at, e.accepted
""")


def _carts(session: Session, profiles: Collection[uuid.UUID]) -> dict[uuid.UUID, list[CartLife]]:
    rows = session.execute(
        text("""
            SELECT profile_id, source_id, key, status, jsonb_array_length(items), value, currency, changed_at, opened_at, closed_at
            FROM carts WHERE profile_id = ANY(:profiles)
        """),
        {"profiles": list(profiles)},
    )
    found: dict[uuid.UUID, list[CartLife]] = defaultdict(list)
    for profile_id, source_id, key, status, items, value, currency, changed_at, opened_at, closed_at in rows:
        found[profile_id].append(CartLife(CartFact(source_id, key, status, items, value, currency, changed_at), opened_at, closed_at))
    return found


def _people(session: Session, profiles: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[Mapping[str, object], int]]:
    rows = session.execute(text("SELECT id, traits, bucket FROM profiles WHERE id = ANY(:profiles)"), {"profiles": list(profiles)}).all()
    return {row[0]: (row[1], row[2]) for row in rows}
