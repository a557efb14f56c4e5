"""What to look at before publishing: mistakes that stop it, and things that work but surprise, each with an example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.i18n import _l
from crm.core.mistakes import NEEDED, Mistake
from crm.events.spec import OWN
from journeys.graph import TRIGGER, Graph, Problem, read
from journeys.node import Settings
from journeys.nodes.assign import AssignSettings
from journeys.nodes.branch import BranchSettings
from journeys.nodes.coupon import CouponSettings
from journeys.nodes.list import ListSettings
from journeys.nodes.nps import NpsSettings
from journeys.nodes.send import SendSettings
from journeys.nodes.send_event import SendEventSettings
from journeys.nodes.task import TaskSettings
from journeys.nodes.wait import WaitSettings
from journeys.nodes.webhook import WebhookSettings
from journeys.triggers.schedule import ScheduleSettings
from journeys.triggers.segment import SegmentSettings

BOUGHT = "Order Completed"
WARNING = "warning"


def review(session: Session, stored: object) -> list[Problem]:
    """Everything there is to say about a drawing: errors first."""
    graph, problems = read(stored)
    if graph is None:
        return problems
    return [*problems, *_unnamed(graph), *_borrowed(graph), *_cartless(graph), *templates(session, graph), *named(session, graph), *surprises(graph)]


def _unnamed(graph: Graph) -> Iterator[Problem]:
    """An event of a wait that was left empty: only the time would ever end it."""
    for spot in graph.nodes.values():
        for number, name in enumerate(spot.settings.until if isinstance(spot.settings, WaitSettings) else ()):
            if not name.strip():
                yield Problem(spot.name, "%(field)s: %(said)s", {"field": f"until.{number}", "said": Mistake(NEEDED)})


def _borrowed(graph: Graph) -> Iterator[Problem]:
    """An event that a step would say under a name of Kesher's own."""
    for spot in graph.nodes.values():
        if isinstance(spot.settings, SendEventSettings) and spot.settings.event in OWN:
            yield Problem(spot.name, "%(field)s: %(said)s", {"field": "event", "said": Mistake(_l("only Kesher itself says this; choose another name"))})


def _cartless(graph: Graph) -> Iterator[Problem]:
    """What asks after a cart no run has: a wait that counts from it would be over at once, as with a cart that is gone, and a branch answers all alike."""
    if graph.key == "cart":
        return
    for spot in graph.nodes.values():
        if isinstance(spot.settings, WaitSettings) and spot.settings.counting_from == "cart":
            said = Mistake(_l("this journey is about no cart, so nothing would be waited for; count from when the step was reached"))
            yield Problem(spot.name, "%(field)s: %(said)s", {"field": "counting_from", "said": said})
        elif isinstance(spot.settings, BranchSettings) and any(each.of == "cart" for each in spot.settings.criteria):
            example = _l("Dana has goods for 300 in her cart, and goes the way of who has none.")
            yield Problem(spot.name, _l("this journey is about no cart: what is asked of it here is answered the same for everybody"), {}, WARNING, example)


def surprises(graph: Graph) -> Iterator[Problem]:
    """What works as drawn and is seldom meant. Pure."""
    yield from _buyers(graph)
    yield from _sends_again(graph)
    if not graph.exits and all(spot.exits for spot in graph.nodes.values()):
        said = _l("no way leads out: nobody who enters ever leaves; let one way lead to an end")
        yield Problem(None, said, level=WARNING, example=_l("Dana goes round and gets the same message every time, for ever."))
    if graph.entry in graph.nodes and not any(isinstance(spot.settings, SendSettings) or spot.node.effects for spot in graph.nodes.values()):
        yield Problem(None, _l("nothing in it sends or changes anything"), level=WARNING, example=_l("Whoever enters passes through and notices nothing."))


def _buyers(graph: Graph) -> Iterator[Problem]:
    if graph.key != "cart" or BOUGHT in graph.exit_on:
        return
    said = _l("an order does not end it, although it is about a cart")
    example = _l("Dana fills a cart, orders ten minutes later, and is reminded of the cart all the same.")
    yield Problem(TRIGGER, said, level=WARNING, example=example)


def _sends_again(graph: Graph) -> Iterator[Problem]:
    """The same words twice to one person, with nothing between that could have changed anything."""
    seen: dict[str, str] = {}
    for spot in graph.nodes.values():
        if not isinstance(spot.settings, SendSettings):
            continue
        other = seen.setdefault(spot.settings.template, spot.name)
        if other != spot.name and graph.leads(other, spot.name):
            values = {"template": spot.settings.template, "node": other}
            said = _l("it sends “%(template)s”, which %(node)s sends before it on the same way")
            example = _l("Dana gets the same words twice; within 24 hours the second one is dropped as a duplicate.")
            yield Problem(spot.name, said, values, WARNING, example)


def named(session: Session, graph: Graph) -> Iterator[Problem]:
    """Endpoints, lists, pools, segments, counted events and people who take leads that are not there."""
    settings = [(TRIGGER, graph.trigger_settings), *((spot.name, spot.settings) for spot in graph.nodes.values())]
    wanted = {(kind, name) for _, each in settings for kind, name in _names(each)}
    there = {(row.kind, row.name): row.free for row in session.execute(_THERE, {"names": [name for _, name in wanted]})} if wanted else {}
    for place, each in settings:
        for kind, name in _names(each):
            said, example, level = _MISSING[kind]
            if (kind, name) not in there:
                yield Problem(place, said, {"name": name}, level, example)
            elif there[kind, name] == 0:
                yield Problem(place, _l("no code is left in “%(name)s”"), {"name": name}, WARNING, _l("Dana takes the way without a code."))


def _names(settings: Settings) -> Iterator[tuple[str, str]]:
    """What settings name that must be there: kind and name."""
    match settings:
        case WebhookSettings(endpoint=name):
            yield "endpoint", name
        case ListSettings(list=name):
            yield "list", name
        case CouponSettings(pool=name):
            yield "pool", name
        case SegmentSettings(segment=name) | ScheduleSettings(segment=name):
            yield "segment", name
        case WaitSettings(segments=names):
            yield from (("segment_waited", name) for name in names)
        case BranchSettings():
            yield from ((_ASKED[each.of], each.name) for each in settings.criteria if each.of in _ASKED)
        case TaskSettings(owner=owner) | AssignSettings(owner=owner) if owner.strip():
            yield "seller", owner.strip().lower()
        case _:
            return


_ASKED = {"did": "counted", "segment": "segment_asked"}
_MISSING = {  # kind -> what is said, what would happen, how bad it is
    "endpoint": (_l("there is no endpoint “%(name)s” under Settings, Webhooks"), _l("Every call of this step fails."), "error"),
    "list": (_l("there is no list “%(name)s”"), _l("The journey breaks at the first person who comes here."), "error"),
    "pool": (_l("there is no pool of codes “%(name)s”"), _l("Dana takes the way without a code."), WARNING),
    "seller": (_l("nobody who takes leads has the address %(name)s"), _l("The journey breaks at the first person who comes here."), "error"),
    "segment_waited": (_l("there is no segment “%(name)s”"), _l("Nobody ever comes into it: the time passes for everybody."), WARNING),
    "segment_asked": (_l("there is no segment “%(name)s”"), _l("Nobody is in it: what is asked here is answered the same for everybody."), WARNING),
    "counted": (_l("“%(name)s” has never happened to anybody"), _l("Nobody did it: what is asked here is answered the same for everybody."), WARNING),
    "segment": (_l("there is no segment “%(name)s”"), _l("Nobody ever enters."), WARNING),
}


def templates(session: Session, graph: Graph) -> Iterator[Problem]:
    """Messages whose template is missing, has no topic, or belongs to another channel."""
    wanted = {spot.settings.template for spot in graph.nodes.values() if isinstance(spot.settings, SendSettings | NpsSettings)}
    there: Mapping[str, tuple[str, str, str]] = {
        row.name: (row.channel, row.topic, row.purpose) for row in session.execute(_TEMPLATES, {"names": list(wanted)})
    }
    for spot in graph.nodes.values():
        if not isinstance(spot.settings, SendSettings | NpsSettings):
            continue
        values = {"template": spot.settings.template, "channel": spot.settings.channel}
        if spot.settings.template not in there:
            example = _l("Every message of this node fails with “template missing”.")
            yield Problem(spot.name, _l("there is no published template “%(template)s”"), values, "error", example)
            continue
        channel, topic, purpose = there[spot.settings.template]
        if channel != spot.settings.channel:
            yield Problem(spot.name, _l("the template “%(template)s” is not for the channel %(channel)s"), values)
        if purpose == "marketing" and not topic:
            example = _l("Nobody can agree to it, so the gate drops every message.")
            yield Problem(spot.name, _l("the template “%(template)s” names no topic to agree to"), values, "error", example)


_THERE = text("""
    SELECT 'endpoint' AS kind, slug AS name, 1 AS free FROM webhook_endpoints WHERE slug = ANY(:names)
    UNION ALL SELECT 'list', slug, 1 FROM lists WHERE slug = ANY(:names)
    UNION ALL SELECT 'seller', email, 1 FROM sellers WHERE active AND email = ANY(:names)
    UNION ALL SELECT 'segment', slug, 1 FROM segments WHERE slug = ANY(:names)
    UNION ALL SELECT 'segment_waited', slug, 1 FROM segments WHERE slug = ANY(:names)
    UNION ALL SELECT 'segment_asked', slug, 1 FROM segments WHERE slug = ANY(:names)
    UNION ALL SELECT 'counted', n, 1 FROM unnest(CAST(:names AS text[])) n WHERE EXISTS (SELECT FROM events e WHERE e.name = n)
    UNION ALL SELECT 'pool', pool, (bool_or(given_at IS NULL))::int FROM coupons WHERE pool = ANY(:names) GROUP BY pool
""")
_TEMPLATES = text("SELECT name, channel, coalesce(topic, '') AS topic, coalesce(purpose, '') AS purpose FROM templates WHERE name = ANY(:names)")
