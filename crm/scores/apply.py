"""Scores of many at once: features, chances, bands, reasons; written where they changed, with what a new band sets off."""

from __future__ import annotations

import datetime as dt
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.sql import SQL, Composable, Literal
from sqlalchemy import URL, select, text
from sqlalchemy.orm import Session

from crm.commerce import rates
from crm.core.config import Config
from crm.core.errors import KesherError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.events import inbox
from crm.events.inbox import NewRow, driver
from crm.events.models import HISTORY, SYSTEM_SOURCE
from crm.events.spec import Call
from crm.profiles.tombstones import LOCK as ERASING
from crm.scores import estimate, features, serving, trust
from crm.scores.estimate import Column, Fitted
from crm.scores.feature_list import POINTS
from crm.scores.features import Extracted, People
from crm.scores.measure import Floats
from crm.scores.score import Asked
from crm.scores.score_models import BANDS, ScoreKind, ScoreVersion
from crm.scores.trust import Told

CHANGED = "Score Band Changed"
REASONS = 3
MOVED = 0.05  # a probability that moves less makes no row of history,
MOVED_COLD = 0.25  # but for a cold chance, where a quarter of what was promised is less
HALF_A_POINT = 0.005
BY_RULES = {  # columns that say why somebody has points -> the act they count
    "pages_30": 1, "products_30": 2, "searches_30": 3, "carts_30": 4, "checkouts_30": 5, "orders_90": 6, "opened_90": 7, "clicked_90": 8, "replies_90": 9,
    "forms_365": 11,
}  # fmt: skip


UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, EOFError, ImportError, RuntimeError, zipfile.BadZipFile)  # of bytes, names, other releases


class UnreadableError(KesherError):
    """A version was made by another release, or its bytes are broken."""

    def __init__(self) -> None:
        super().__init__(_l("The version in use cannot be read any more, so rules by points are used. A new version is being trained."))


@dataclass(frozen=True, slots=True)
class Model:
    """A version ready to give scores; without one it is by rules."""

    version_id: int | None
    columns: tuple[Column, ...]
    fitted: Fitted | None
    slope: float = 1.0
    shift: float = 0.0
    cuts: tuple[float, ...] = serving.RULES
    raises: tuple[tuple[int, float, float], ...] = ()  # place, what the best tenth's adds, the value they have
    told: Told = field(default_factory=dict)  # whose orders and leads counted in training
    kinds: Mapping[str, str] = field(default_factory=dict)  # types of imported columns, as they were in training


@dataclass(frozen=True, slots=True)
class Shop:
    """What is the same for everybody: what winning brings where somebody has no average of their own, and whose word counts by rules."""

    worth: Decimal | None
    told: Told


@dataclass(frozen=True, slots=True)
class Given:
    """Scores of some people, in the order of `got`."""

    got: Extracted
    p: Floats
    band: NDArray[np.int64]
    reasons: list[list[dict[str, Any]]]
    raises: list[dict[str, Any] | None]


def serving_model(session: Session, score: Asked) -> Model:
    """The champion, unless there is none or a person or the weekly comparison took it out of use."""
    rules_only = session.scalar(select(ScoreKind.rules_only).where(ScoreKind.kind == score.kind))
    champion = select(ScoreVersion.id).where(ScoreVersion.kind == score.kind, ScoreVersion.state == "champion")
    version_id = None if rules_only or score.label is None else session.scalar(champion)
    return by_rules() if version_id is None else model_of(session, version_id)


def by_rules() -> Model:
    """Points alone."""
    return Model(None, tuple(Column(name, "number") for name in BY_RULES), None)


def model_of(session: Session, version_id: int) -> Model:
    """A stored version; read once by a process. UnreadableError where it gives no scores any more."""
    key = (session.get_bind().engine.url, version_id)  # numbers are given out anew in every database
    if (kept := _loaded.get(key)) is None:
        version = session.get_one(ScoreVersion, version_id)
        parts = (version.id, version.features, version.model, version.algorithm, version.serving)
        try:
            kept = _loaded[key] = _read(*parts)
        except UNREADABLE as error:
            raise UnreadableError from error
    return kept


def _read(version_id: int, named: Sequence[dict[str, Any]], data: bytes, algorithm: str, said: dict[str, Any]) -> Model:
    """Its parts put together, and tried on a person of whom nothing is known."""
    columns = tuple(Column(one["name"], one["type"], tuple(one["categories"])) for one in named)
    kinds = said["kinds"] if any(column.name.startswith("trait:") for column in columns) else {}
    features.named([column.name for column in columns], kinds)
    fitted = estimate.unpack(data, algorithm, columns, said["prepared"])
    fitted.added(np.full((1, len(columns)), np.nan, np.float32))
    raises = tuple((int(place), added, value) for place, (added, value) in said["raises"].items())
    slope, shift = said["calibration"]
    return Model(version_id, columns, fitted, slope, shift, tuple(said["bands"]), raises, said.get("told", {}), kinds)


def everybody(session: Session, *, after: uuid.UUID, limit: int, now: dt.datetime) -> People | None:
    """The next people of a round over the whole base; None where it is through."""
    bounds = session.execute(text(_NEXT), {"after": after, "limit": limit}).one()
    if bounds.last is None:
        return None
    where = SQL("p.id >= {} AND p.id <= {}").format(Literal(bounds.first), Literal(bounds.last))
    return People(relation(where, now), now, now, (bounds.first, bounds.last))


def these(profile_ids: Sequence[uuid.UUID], *, now: dt.datetime) -> People:
    """Some people; those who are not known, or were joined into others, fall out."""
    return People(relation(SQL("p.id = ANY(CAST({} AS uuid[]))").format(Literal(list(profile_ids))), now), now, now)


def shop_of(session: Session, config: Config, now: dt.datetime) -> Shop:
    """As it is now: the average order of a year, and what the shop's own systems tell of."""
    worth: Decimal | None = session.scalar(text(_AVERAGE), {"shop": config.currency, "zone": config.timezone, "since": now - dt.timedelta(days=365)})
    return Shop(worth, trust.told_by_shop(session, (), now=now))


def apply(  # what a score is made of
    session: Session, score: Asked, model: Model, people: People, *, config: Config, now: dt.datetime, shop: Shop | None = None, asked: Sequence[uuid.UUID] = ()
) -> int:
    """Score these people and write what changed; `asked` are people whose score goes where they are none of this score's any more. Returns how many.

    `shop` is read here where many pages do not share one.
    """
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock, 0)"), {"lock": ERASING})  # nobody is erased in between
    session.execute(text("SET LOCAL work_mem = '96MB'"))
    shop = shop or shop_of(session, config, now)
    given = give(session, score, model if model.fitted else replace(model, told=shop.told), people, config=config)
    bounds = people.between or (None, None)
    session.execute(text(_NEW))
    _copy(session, given, model, shop.worth if score.has_value else None, config.currency)
    params = {
        "kind": score.kind,
        "version": model.version_id,
        "now": now,
        "moved": MOVED,
        "cold": MOVED_COLD,
        "low": bounds[0],
        "high": bounds[1],
        "asked": list(asked),
    }
    session.execute(text(_PAST), params)
    moves = session.execute(text(_MOVES), params).all()
    session.execute(text(_WRITE), params)
    session.execute(text(_GONE), params)
    _announce(session, score, moves, now)
    return len(given.p)


def give(session: Session, score: Asked, model: Model, people: People, *, config: Config) -> Given:
    """The scores of these people, from the model as it is stored; nothing is written."""
    wanted = features.named([column.name for column in model.columns], model.kinds)
    relation = replace(people, relation=_buyers(people.relation, model.told)) if score.buyers_only else people
    source = SQL("({})").format(features.raw(relation, wanted, config, told=model.told))
    got = features.extract(session, features.coded(model.columns, source), len(model.columns))
    return _by_model(model, got) if model.fitted else _by_points(score, model, got)


def promised(model: Model, matrix: estimate.Matrix) -> Floats:
    """The chances alone."""
    assert model.fitted is not None  # noqa: S101  a version has one
    return estimate.sigmoid(model.slope * model.fitted.raw(matrix) + model.shift)


def _by_model(model: Model, got: Extracted) -> Given:
    assert model.fitted is not None  # noqa: S101  a model without a version gives points
    base, added = model.fitted.added(got.matrix)
    z = model.slope * (base + added.sum(axis=1)) + model.shift
    added *= model.slope
    p = estimate.sigmoid(z)
    return Given(got, p, serving.bands(p, model.cuts), _reasons(model, got, z, p, added), _raises(model, z, p, added))


def _by_points(score: Asked, model: Model, got: Extracted) -> Given:
    """By rules the reasons are what the points are for; what is predicted not to happen is the less likely the more there are."""
    share, against = got.points.astype(float) / 100, bool(score.label and not score.label.happens)
    p = 1 - share if against else share
    weights = np.array([POINTS[BY_RULES[column.name]] for column in model.columns], float)
    gained = np.nan_to_num(got.matrix) * weights
    gained = gained / np.maximum(1e-9, gained.sum(axis=1, keepdims=True)) * got.points[:, None]
    reasons = list(_told(model, got.matrix, gained, -gained if against else gained))
    return Given(got, p, serving.bands(p, model.cuts), reasons, [None] * len(p))


def _reasons(model: Model, got: Extracted, z: Floats, p: Floats, added: Floats) -> list[list[dict[str, Any]]]:
    """The three columns that move this person's chance most, in points of the chance."""
    points = 100 * (p[:, None] - estimate.sigmoid(z[:, None] - added))
    return list(_told(model, got.matrix, np.abs(added), points))


def _told(model: Model, matrix: estimate.Matrix, strength: Floats, points: Floats) -> Iterator[list[dict[str, Any]]]:
    first = min(REASONS, len(model.columns))
    chosen = np.argsort(-strength, axis=1)[:, :first] if strength.shape[1] <= REASONS else _strongest(strength, first)
    size = np.take_along_axis(points, chosen, axis=1)
    values = np.take_along_axis(matrix, chosen, axis=1)
    for places, here, sizes in zip(chosen.tolist(), values.tolist(), size.tolist(), strict=True):
        yield [
            {"feature": model.columns[place].name, "value": said(model.columns[place], value), "points": round(size, 1)}
            for place, value, size in zip(places, here, sizes, strict=True)
            if abs(size) >= 0.1
        ]


def _strongest(strength: Floats, first: int) -> NDArray[np.intp]:
    some = np.argpartition(-strength, first - 1, axis=1)[:, :first]
    order = np.argsort(-np.take_along_axis(strength, some, axis=1), axis=1)
    return np.take_along_axis(some, order, axis=1)


def _raises(model: Model, z: Floats, p: Floats, added: Floats) -> list[dict[str, Any] | None]:
    """Of what could still happen, what would help most: the difference to what the best tenth has. None under half a point."""
    if not model.raises:
        return [None] * len(p)
    places = [place for place, _added, _value in model.raises]
    gain = np.array([best for _place, best, _value in model.raises])[None, :] * model.slope - added[:, places]
    best = np.argmax(gain, axis=1)
    more = estimate.sigmoid(z + gain[np.arange(len(p)), best]) - p
    found: list[dict[str, Any] | None] = []
    for at, points in zip(best.tolist(), more.tolist(), strict=True):
        place, _added, value = model.raises[at]
        found.append(None if points < HALF_A_POINT else {"feature": model.columns[place].name, "value": round(value, 1), "points": round(100 * points, 1)})
    return found


def said(column: Column, value: float) -> Any:
    """A value of the matrix as people know it; None is missing, `…` any rarer category."""
    if value != value:  # noqa: PLR0124  NaN
        return None
    if column.type == "category":
        return column.categories[int(value)] if int(value) < len(column.categories) else "…"
    return round(value, 2)


def _copy(session: Session, given: Given, model: Model, worth: Decimal | None, currency: str) -> None:
    own = next((place for place, column in enumerate(model.columns) if column.name == "average_order"), None)
    average = given.got.matrix[:, own].tolist() if own is not None else None
    with driver(session).cursor().copy("COPY score_new FROM STDIN") as copy:
        copy.set_types(["uuid", "float8", "text", "text", "text", "text", "text"])
        for row, (p, band) in enumerate(zip(given.p.tolist(), given.band.tolist(), strict=True)):
            each = worth if average is None or average[row] != average[row] else average[row]  # NaN
            value = None if worth is None or model.version_id is None else f"{p * float(each or 0):.2f}"
            raises = dumps(given.raises[row]) if given.raises[row] else None
            copy.write_row((given.got.profile(row), p, BANDS[band], value, currency if value else None, dumps(given.reasons[row]), raises))


def _announce(session: Session, score: Asked, moves: Sequence[Any], now: dt.datetime) -> None:
    """The band as a trait for everybody; an event for whom it changed. A first band is no change and starts nothing."""
    rows: list[NewRow] = []
    for profile_id, band, was, probability in moves:
        number = f"score:{score.kind}:{profile_id}:{int(now.timestamp() * 1000)}"
        traits = {f"{score.kind}_band": band}
        told = Call(type="identify", profile_id=str(profile_id), message_id=f"{number}:trait", traits=traits, timestamp=now.isoformat())
        if was is None:
            rows.append(NewRow(SYSTEM_SOURCE, trusted=True, origin=HISTORY, body=told))
        else:
            properties = {"kind": score.kind, "band": band, "was": was, "probability": round(probability, 4)}
            rows.append(NewRow(SYSTEM_SOURCE, trusted=True, origin="live", body=told, cause=f"score:{score.kind}"))
            rows.append(inbox.system_event(CHANGED, profile_id, properties, cause=f"score:{score.kind}", hops=1, message_id=number))
    inbox.append(session, rows, now)


def relation(where: Composable, now: dt.datetime) -> Composable:
    """Known people for whom `where` (over profiles p) holds, as they are now."""
    return SQL(
        "(SELECT row_number() OVER () AS n, p.id AS profile_id, CAST({} AS timestamptz) AS cutoff, p.traits AS known"
        " FROM profiles p WHERE {} AND p.merged_into IS NULL AND p.known)"
    ).format(Literal(now), where)


def _buyers(relation: Composable, told: Told) -> Composable:
    return SQL(
        "(SELECT b.* FROM {} b WHERE EXISTS (SELECT FROM events o WHERE o.profile_id = b.profile_id AND o.name = 'Order Completed'"
        " AND o.occurred_at < b.cutoff AND o.occurred_at >= b.cutoff - interval '365 days' AND {}))"
    ).format(relation, SQL(trust.counts("o", "{}")).format(Literal(dumps(dict(told)))))


_loaded: dict[tuple[URL, int], Model] = {}
_NEXT = """
SELECT min(CAST(id AS text))::uuid AS first, max(CAST(id AS text))::uuid AS last
FROM (SELECT id FROM profiles WHERE id > :after AND merged_into IS NULL ORDER BY id LIMIT :limit) p
"""
_NEW = """
DROP TABLE IF EXISTS score_new;
CREATE TEMP TABLE score_new (profile_id uuid, probability float8, band text, expected text, currency text, reasons text, raises text) ON COMMIT DROP
"""
_PAST = """
INSERT INTO score_history (profile_id, kind, probability, band, version_id, at)
SELECT n.profile_id, :kind, n.probability, n.band, CAST(:version AS bigint), :now
FROM score_new n LEFT JOIN LATERAL (
  SELECT h.probability, h.band, h.version_id FROM score_history h WHERE h.profile_id = n.profile_id AND h.kind = :kind ORDER BY h.at DESC, h.id DESC LIMIT 1
) h ON true
WHERE h.band IS DISTINCT FROM n.band OR h.version_id IS DISTINCT FROM CAST(:version AS bigint) OR abs(h.probability - n.probability) >= :moved
  OR (n.band = 'cold' AND CAST(:version AS bigint) IS NOT NULL AND abs(h.probability - n.probability) >= :cold * h.probability)
"""
_MOVES = """
SELECT n.profile_id, n.band, s.band, n.probability FROM score_new n LEFT JOIN scores s ON s.profile_id = n.profile_id AND s.kind = :kind
WHERE s.band IS DISTINCT FROM n.band ORDER BY n.profile_id
"""
_WRITE = """
INSERT INTO scores (profile_id, kind, probability, band, expected_value, currency, reasons, raises, version_id, at)
SELECT profile_id, :kind, probability, band, CAST(expected AS numeric), currency, CAST(reasons AS jsonb), CAST(raises AS jsonb),
       CAST(:version AS bigint), :now FROM score_new
ON CONFLICT (profile_id, kind) DO UPDATE SET (probability, band, expected_value, currency, reasons, raises, version_id, at)
  = (excluded.probability, excluded.band, excluded.expected_value, excluded.currency, excluded.reasons, excluded.raises, excluded.version_id, excluded.at)
"""
_GONE = """
DELETE FROM scores s WHERE s.kind = :kind AND s.at < :now AND (s.profile_id >= CAST(:low AS uuid) AND s.profile_id <= CAST(:high AS uuid)
  OR s.profile_id = ANY(CAST(:asked AS uuid[]))) AND NOT EXISTS (SELECT FROM score_new n WHERE n.profile_id = s.profile_id)
"""
_AVERAGE = f"""
SELECT avg((o.revenue - o.refunded) * o_in.rate) FROM orders o {rates.joined("o", "CAST(o.ordered_at AT TIME ZONE :zone AS date)")}
WHERE o_in.unit = :shop AND o.ordered_at >= :since AND o.cancelled_at IS NULL
"""  # noqa: S608  our own join
