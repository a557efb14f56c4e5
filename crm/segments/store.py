"""Segments as they are kept: saved and refused, read for a batch, ordered so that nested ones come first."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.core.json import dumps, loads
from crm.segments import tree as trees
from crm.segments.models import List, Segment
from crm.segments.rule import UNKEPT, Reads
from crm.segments.tree import Tree

DEEPEST = 20  # segments that name each other
# Upper parts that name segments and lists: the titles of what names this one ("segment" or "list", and its slug), so that it is not taken from under them.
named_by: list[Callable[[Session, str, str], Sequence[str]]] = []
LOCK = 0x73656731  # shared by batches, alone for whoever changes a segment


@dataclass(frozen=True, slots=True)
class Loaded:
    """A segment ready to evaluate. `depth` is that of the segments it names: 0 where it names none."""

    id: int
    slug: str
    status: str
    tree: Tree
    reads: Reads
    depth: int = field(default=0)
    filled: uuid.UUID | None = None
    fillings: int = 0
    rules: int = 1


def save(session: Session, *, slug: str, name: str, rule: object, now: dt.datetime) -> Segment:
    """Keep a segment under its slug; its members are found anew, silently. InvalidError names what is wrong."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,99}", slug):
        raise InvalidError(_l("slug: use small letters, digits and hyphens, for example big-spenders."))
    if not name.strip() or UNKEPT.search(name):
        raise InvalidError(_l("name: a segment needs a name, without characters that cannot be kept."))
    written = trees.write(trees.parse(rule))
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    _refuse_cycles(session, slug, written)
    _refuse_unknown_lists(session, written)
    segment = session.scalar(select(Segment).where(Segment.slug == slug))
    if segment is None:
        segment = Segment(slug=slug, name=name.strip()[:200], rule=written, status="filling", created_at=now, changed_at=now)
        session.add(segment)
    else:
        if segment.rule != written or segment.status == "broken":
            segment.rule, segment.problem, segment.version = written, None, segment.version + 1
            _fill_anew(session, segment)
        segment.name, segment.changed_at = name.strip()[:200], now
    session.flush()
    return segment


def find_anew(session: Session, slug: str) -> None:
    """Have its members found from the beginning, silently."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    segment = find(session, slug)
    if segment.status != "broken":
        _fill_anew(session, segment)
        session.flush()


def remove(session: Session, slug: str) -> None:
    """Delete a segment that nothing names."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    segment = find(session, slug)
    refuse_in_use(session, "segment", slug, segment.name, used_by(session, slug))
    for table in ("memberships", "segment_lapses", "segment_moves", "segment_sizes"):
        session.execute(text(f"DELETE FROM {table} WHERE segment_id = :id"), {"id": segment.id})
    session.delete(segment)
    session.flush()


def find(session: Session, slug: str) -> Segment:
    """The segment with this slug; NotFoundError where there is none."""
    found = session.scalar(select(Segment).where(Segment.slug == slug))
    if found is None:
        raise NotFoundError(_l("There is no such segment. It may have been deleted."))
    return found


def used_by(session: Session, slug: str) -> list[Segment]:
    """Segments whose rule names this one."""
    return [one for one in session.scalars(select(Segment).order_by(Segment.name)) if slug in reads_of(one).segments]


def refuse_in_use(session: Session, kind: str, slug: str, title: str, users: Sequence[Segment]) -> None:
    """What others name is not deleted."""
    if names := [one.name for one in users] + [name for each in named_by for name in each(session, kind, slug)]:
        raise InvalidError(_l("%(title)s is used by %(names)s; change that first."), title=title, names=", ".join(names))


def reads_of(segment: Segment) -> Reads:
    """What can change its members besides time; nothing, where its rule cannot be read any more."""
    return _named(dumps(segment.rule))


def load(session: Session, *statuses: str) -> list[Loaded]:
    """The segments in these statuses, nested ones before those that name them; one whose rule cannot be read any more is broken, and stands alone."""
    rows = session.execute(
        text("SELECT id, slug, status, rule::text, filled, fillings FROM segments WHERE status = ANY(:statuses) ORDER BY id"), {"statuses": list(statuses)}
    ).all()
    found = {}
    for row in rows:
        try:
            found[row.slug] = (row, _tree(row.rule), _reads(row.rule))
        except InvalidError as error:
            broke(session, row.id, error)
    depths: dict[str, int] = {}

    def depth(slug: str) -> int:
        if slug not in depths:
            depths[slug] = max((depth(inner) + 1 for inner in found[slug][2].segments if inner in found), default=0)
        return depths[slug]

    made = [
        Loaded(row.id, slug, row.status, tree, reads, depth(slug), row.filled, row.fillings, _rules(row.rule)) for slug, (row, tree, reads) in found.items()
    ]
    return sorted(made, key=lambda one: (one.depth, one.id))


def broke(session: Session, segment_id: int, why: object) -> None:
    """A segment whose rule raises is looked at no more until somebody mends it."""
    session.execute(text("UPDATE segments SET status = 'broken', problem = :why WHERE id = :id"), {"id": segment_id, "why": str(why)[:500]})


def _refuse_cycles(session: Session, slug: str, rule: Mapping[str, Any]) -> None:
    rules = {row.slug: dumps(row.rule) for row in session.execute(select(Segment.slug, Segment.rule))} | {slug: dumps(rule)}
    names = {one: _named(said).segments for one, said in rules.items()} | {slug: _reads(dumps(rule)).segments}
    if unknown := sorted(names[slug] - rules.keys()):
        raise InvalidError(_l("rule: there is no segment %(slug)s."), slug=repr(unknown[0]))
    depths: dict[str, int] = {}

    def depth(at: str, way: tuple[str, ...]) -> int:
        if at in way:
            raise InvalidError(_l("rule: segments go round in a circle: %(circle)s."), circle=" → ".join((*way[way.index(at) :], at)))
        if at not in depths:
            depths[at] = max((1 + depth(inner, (*way, at)) for inner in names.get(at, ())), default=0)
        return depths[at]

    if max(depth(one, ()) for one in (slug, *names)) > DEEPEST:
        raise InvalidError(_l("rule: with this, segments would name each other more than %(most)s deep; put what they say into one rule."), most=DEEPEST)


def _fill_anew(session: Session, segment: Segment) -> None:
    """Its members are found from the beginning, and so are those of the segments that name it, and in turn."""
    everyone = session.scalars(select(Segment)).all()
    fresh, done = [segment], set()
    while fresh:
        one = fresh.pop()
        if one.slug not in done:
            done.add(one.slug)
            one.status, one.filled, one.fillings = "filling", None, one.fillings + 1
            fresh += [user for user in everyone if user.status != "broken" and one.slug in reads_of(user).segments]


def _refuse_unknown_lists(session: Session, rule: Mapping[str, Any]) -> None:
    named = _reads(dumps(rule)).lists
    known = set(session.scalars(select(List.slug).where(List.slug.in_(named)))) if named else set()
    if unknown := sorted(named - known):
        raise InvalidError(_l("rule: there is no list %(slug)s; make it first."), slug=repr(unknown[0]))


@lru_cache(maxsize=2000)
def _tree(rule: str) -> Tree:
    return trees.parse(loads(rule))


@lru_cache(maxsize=2000)
def _reads(rule: str) -> Reads:
    return trees.reads(_tree(rule))


@lru_cache(maxsize=2000)
def _rules(rule: str) -> int:
    return len(trees.leaves(_tree(rule)))


def _named(rule: str) -> Reads:
    try:
        return _reads(rule)
    except InvalidError:
        return Reads()


def ids(segments: Iterable[Loaded]) -> list[int]:
    """Their ids."""
    return [one.id for one in segments]
