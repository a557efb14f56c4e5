"""What a drawing would mean for the people who are there: words that cannot be filled in, consent nobody gave, and how much one person may get."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.config import Config
from crm.core.i18n import _l
from crm.messages import facts, gate
from crm.messages.deliver import latest
from crm.messages.links import links_for
from crm.messages.models import TemplateVersion
from crm.messages.preview import sample_cart
from crm.messages.render import Person, context_for, language_of, render
from crm.messages.sandbox import TemplateBrokenError
from journeys import board
from journeys.graph import Graph, Problem
from journeys.nodes.nps import NpsSettings
from journeys.nodes.send import SendSettings
from journeys.nodes.wait import WaitSettings
from journeys.triggers.date import DateSettings
from journeys.triggers.schedule import ScheduleSettings
from journeys.triggers.segment import SegmentSettings

SAMPLE = 200  # people looked at
RECENT = 50_000  # events looked through for them
SINCE = dt.timedelta(days=30)
A_DAY = dt.timedelta(days=1)
MANY = 3  # messages a day to one person that are too many
FEW = 0.2  # of those it would reach, a share that agreed which is seldom what one expects
DEEPEST = 400  # steps followed on a way


@dataclass(frozen=True, slots=True)
class Somebody:
    """One of those the journey would reach; `event` is what would have started it."""

    id: uuid.UUID
    name: str
    traits: Mapping[str, Any]
    event: Mapping[str, Any] = field(default_factory=dict)


def review(session: Session, graph: Graph, config: Config, now: dt.datetime, *, slug: str = "") -> list[Problem]:
    """Warnings that need people to be seen; `slug` is the journey's own, where it has one."""
    people = sample(session, graph, now)
    return [*words(session, graph, people, config), *agreement(session, graph, people, config, now), *crowding(session, graph, people, now, slug)]


def sample(session: Session, graph: Graph, now: dt.datetime) -> list[Somebody]:
    """Some of those it would reach: members of its segment, people with its date, or to whom its event happened lately."""
    settings = graph.trigger_settings
    asked: dict[str, Any] = {"many": SAMPLE, "since": now - SINCE, "recent": RECENT}
    if isinstance(settings, SegmentSettings | ScheduleSettings):
        rows = session.execute(_MEMBERS, asked | {"segment": settings.segment})
    elif isinstance(settings, DateSettings):
        rows = session.execute(_DATED, asked | {"trait": settings.trait})
    else:
        rows = session.execute(_REACHED, asked | {"names": sorted(graph.trigger.names(settings))})
    return [Somebody(*row) for row in rows]


def words(session: Session, graph: Graph, people: Sequence[Somebody], config: Config) -> Iterator[Problem]:
    """Templates that cannot be filled in for some of them: exactly what would happen when they are sent."""
    sending = {spot.name: spot.settings.template for spot in graph.nodes.values() if isinstance(spot.settings, SendSettings | NpsSettings)}
    versions = latest(session, set(sending.values())) if people else {}
    failing = {name: _failing(version, people, config) for name, version in versions.items()}
    for node, template in sending.items():
        if missed := failing.get(template):
            somebody, why = missed[0]
            said = _l("“%(template)s” cannot be filled in for %(percent)s %% of the people it would reach: %(why)s")
            values = {"template": template, "percent": max(1, round(100 * len(missed) / len(people))), "why": why, "who": somebody.name or str(somebody.id)}
            yield Problem(node, said, values, "warning", _l("%(who)s would get nothing. Write the words so that they do without, or set a default."))


def _failing(version: TemplateVersion, people: Sequence[Somebody], config: Config) -> list[tuple[Somebody, str]]:
    """Those for whom it fails, with the reason; what only a run has (cart, codes, answers) comes from the template's sample."""
    links, shown = links_for(config, None), version.sample
    found = []
    for each in people:
        language = language_of(each.traits, list(version.content), config.locale)
        data = {**(shown.get("data") or {}), "event": {**each.event}}
        person = Person(str(each.id), each.name, each.traits)
        try:
            render(version, context_for(config, person=person, cart=sample_cart(shown), data=data, links=links, language=language), links)
        except TemplateBrokenError as error:
            found.append((each, str(error).rpartition(": ")[2]))
    return found


def agreement(session: Session, graph: Graph, people: Sequence[Somebody], config: Config, now: dt.datetime) -> Iterator[Problem]:
    """Marketing that few of them or nobody agreed to, as the gate reads it: the others' messages are dropped. Told once for each channel and topic."""
    sending = {spot.name: spot.settings for spot in graph.nodes.values() if isinstance(spot.settings, SendSettings | NpsSettings)}
    topics = {row.name: row for row in session.execute(_MARKETING, {"names": [each.template for each in sending.values()]})} if people else {}
    asked: dict[tuple[str, str], str] = {}
    for node, settings in sending.items():
        if row := topics.get(settings.template):
            asked.setdefault((settings.channel, row.topic), node)
    for (channel, topic), node in asked.items():
        drafts = [facts.Draft(each.id, each.id, channel, sending[node].template, topic, "marketing", None, {}, 0, 0) for each in people]
        agreed = sum(gate.agreed(each) is None for each in facts.read(session, drafts, config, now).facts.values())
        if agreed >= FEW * len(people):
            continue
        values = {"topic": topics[sending[node].template].title or topic, "channel": channel, "people": len(people), "agreed": agreed}
        values["percent"] = max(1, round(100 * agreed / len(people)))
        said = _FEW if agreed else _NOBODY
        yield Problem(node, said, values, "warning", _l("Ask for consent first, with a form on your site or an import that holds the proof."))


def crowding(session: Session, graph: Graph, people: Sequence[Somebody], now: dt.datetime, slug: str) -> Iterator[Problem]:
    """Live journeys that reach the same people and together send one of them too much within a day."""
    mine = a_day(graph)
    others = {each.id: (each.slug, each.graph.drawing.name, a_day(each.graph)) for each in board.read(session).journeys.values()
              if each.status == "live" and each.graph and each.slug != slug} if mine else {}  # fmt: skip
    many = {number: other for number, other in others.items() if other[2] and mine + other[2] > MANY}
    if not many or not people:
        return
    shared: dict[int, list[uuid.UUID]] = {}
    asked = {"journeys": list(many), "people": [each.id for each in people], "since": now - SINCE}
    for row in session.execute(_SHARED, asked):
        shared.setdefault(row.journey_id, []).append(row.profile_id)
    named = {each.id: each.name or str(each.id) for each in people}
    for number, both in sorted(shared.items(), key=lambda each: -len(each[1])):
        other = many[number]
        said = _l("together with “%(journey)s” it can send one person %(many)s messages within a day; %(percent)s %% of the people it would reach are in both")
        values = {"journey": other[1] or other[0], "many": mine + other[2], "percent": max(1, round(100 * len(both) / len(people))), "who": named[both[0]]}
        yield Problem(None, said, values, "warning", _l("%(who)s was in it within the last 30 days."))


def a_day(graph: Graph) -> int:
    """How many messages one run can send within 24 hours at most: over every way, from every step, waits at their shortest."""
    return max((_sends(graph, name) for name in graph.nodes), default=0)


def _sends(graph: Graph, begin: str) -> int:
    """Depth first; a node reached again later with no more sent is not followed."""
    best = 0
    seen: dict[str, tuple[dt.timedelta, int]] = {}
    ahead: list[tuple[str, dt.timedelta, int]] = [(begin, dt.timedelta(0), 0)]
    for _ in range(DEEPEST * 10):
        if not ahead:
            break
        name, passed, sent = ahead.pop()
        spot = graph.nodes.get(name)
        before = seen.get(name)
        if spot is None or passed >= A_DAY or (before and before[0] <= passed and before[1] >= sent):
            continue
        seen[name] = (passed, sent)
        sent += isinstance(spot.settings, SendSettings | NpsSettings)
        best = max(best, sent)
        rest = _shortest(spot.settings)
        ahead.extend((target, passed + rest, sent) for target in spot.exits.values())
    return best


def _shortest(settings: object) -> dt.timedelta:
    """How long a step keeps a run at least."""
    if isinstance(settings, WaitSettings) and not settings.hopes and settings.counting_from == "entry":
        return settings.duration
    return dt.timedelta(minutes=1) if isinstance(settings, WaitSettings) else dt.timedelta(0)


_NOBODY = _l("of the people it would reach none has consented to “%(topic)s” by %(channel)s (looked at: %(people)s): nothing would go out")
_FEW = _l("of the %(people)s people looked at %(agreed)s (%(percent)s %%) have consented to “%(topic)s” by %(channel)s: the others would get nothing")
_MEMBERS = text("""
    SELECT p.id, p.name, p.traits FROM memberships b JOIN segments s ON s.id = b.segment_id JOIN profiles p ON p.id = b.profile_id
    WHERE s.slug = :segment ORDER BY b.since DESC LIMIT :many
""")
_DATED = text("""
    SELECT id, name, traits FROM profiles WHERE merged_into IS NULL AND traits->>:trait IS NOT NULL ORDER BY last_seen DESC LIMIT :many
""")
_REACHED = text("""
    SELECT p.id, p.name, p.traits, e.properties FROM (
        SELECT DISTINCT ON (profile_id) profile_id, properties, occurred_at FROM (
            SELECT profile_id, name, properties, occurred_at FROM events WHERE occurred_at >= :since ORDER BY occurred_at DESC LIMIT :recent
        ) r WHERE name = ANY(:names) ORDER BY profile_id, occurred_at DESC
    ) e JOIN profiles p ON p.id = e.profile_id ORDER BY e.occurred_at DESC LIMIT :many
""")
_MARKETING = text("""
    SELECT t.name, t.topic, o.title FROM templates t LEFT JOIN topics o ON o.name = t.topic
    WHERE t.name = ANY(:names) AND t.purpose = 'marketing' AND coalesce(t.topic, '') <> ''
""")
_SHARED = text("""
    SELECT DISTINCT journey_id, profile_id FROM runs
    WHERE profile_id = ANY(CAST(:people AS uuid[])) AND journey_id = ANY(:journeys) AND (status = 'active' OR started_at >= :since)
    ORDER BY journey_id, profile_id
""")
