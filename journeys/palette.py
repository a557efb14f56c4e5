"""What the designer can draw: every kind with its form, what a graph as a whole may say, and words to suggest in fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.events import goods
from crm.web.phrases import template_title
from crm.web.words import EVENTS, event_title
from journeys.entry import ExitRule, Holdout, Limit, Reentry
from journeys.kinds import NODES, TRIGGERS
from journeys.node import AUDIENCE, DATE_REACHED, REQUESTED, Node, Settings
from journeys.recurrence import RULES
from journeys.trigger import Trigger
from journeys.words import CHOICES, named, slot

MANY = 200
GROUPS = ("Messages", "Waiting", "Ways", "Changes", "Sales")
OWN = frozenset({"identify", "group", "alias", AUDIENCE, DATE_REACHED, REQUESTED})  # no word of the shop's: what triggers say among themselves
WHOLE: Mapping[str, type[Settings]] = {"reentry": Reentry, "limit": Limit, "holdout": Holdout, "exit": ExitRule}


def palette(session: Session, translate: Callable[[str], str]) -> dict[str, Any]:
    """All of it, in the language `translate` speaks."""
    return {
        "nodes": [_kind(node, translate) | _first(node, translate) for node in sorted(NODES.values(), key=_place)],
        "triggers": [_kind(trigger, translate) for trigger in TRIGGERS.values()],
        "graph": {name: form(kind, translate) for name, kind in WHOLE.items()},
        "suggest": _suggest(session) | {"rrules": [{"name": rule, "title": translate(said)} for rule, said in RULES.items()]},
    }


def form(kind: type[Settings], translate: Callable[[str], str]) -> dict[str, Any]:
    """The JSON Schema of settings with translated words; choices get words beside their values as `x-words`."""
    found: dict[str, Any] = _translated(kind.model_json_schema(), translate)
    return found


def _place(node: Node[Any]) -> int:
    """What is drawn most stands first; a group nobody has placed comes last."""
    return GROUPS.index(node.group) if node.group in GROUPS else len(GROUPS)


def _kind(plugin: Node[Any] | Trigger[Any], translate: Callable[[str], str]) -> dict[str, Any]:
    said = {"kind": plugin.kind, "title": translate(plugin.title), "icon": plugin.icon, "settings_schema": plugin.schema}
    return said | {"schema": form(plugin.settings_type, translate)}


def _first(node: Node[Any], translate: Callable[[str], str]) -> dict[str, Any]:
    """How a newly drawn one begins: its settings, which may lack what only the marketer knows, and its ways out."""
    begun = _begun(node.settings_type, node.first)
    ways = [{"name": way, "label": translate(words) if words else ""} for way, words in node.exits(begun).items()]
    return {"group": translate(node.group), "settings": dict(node.first), "exits": ways}


def _begun(kind: type[Settings], first: Mapping[str, Any]) -> Settings:
    """The settings, also where they are not whole yet."""
    try:
        return kind.model_validate(first)
    except ValidationError:
        return kind.model_construct(**first)


def _translated(schema: Any, translate: Callable[[str], str]) -> Any:
    if isinstance(schema, list):
        return [_translated(each, translate) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain = {key: _translated(value, translate) for key, value in schema.items()}
    if "enum" in plain:
        own = schema.get("x-words", {})
        plain["x-words"] = {each: translate(own.get(each) or CHOICES.get(each, each)) for each in plain["enum"] if isinstance(each, str)}
    for key in ("title", "description"):
        if isinstance(plain.get(key), str):
            plain[key] = translate(plain[key])
    return plain


def _suggest(session: Session) -> dict[str, Any]:
    """What there is to choose from; a field takes other words too."""
    happened = session.scalars(_EVENTS, {"many": MANY, "goods": sorted(goods.NAMES)})
    known = [name for name in EVENTS if name not in goods.NAMES | OWN]  # also where nothing has happened yet
    events = [{"name": name, "title": event_title(name)} for name in dict.fromkeys([*happened, *known])]
    stored = session.execute(text("SELECT name, channel FROM templates ORDER BY name")).all()
    templates = [{"name": row.name, "title": template_title(row.name)} for row in stored]
    channels = [{"name": name, "title": slot("channel", name)} for name in sorted({row.channel for row in stored})]
    traits = list(session.scalars(_TRAITS, {"many": MANY}))
    begun = session.execute(text("SELECT slug, name FROM journeys WHERE status <> 'stopped' ORDER BY slug"))
    others = [{"name": row.slug, "title": named(row.name, row.slug)} for row in begun]
    said = {"events": events, "templates": templates, "channels": channels, "traits": traits, "journeys": others, "segments": _segments(session)}
    return said | _named(session)


def _named(session: Session) -> dict[str, Any]:
    """What was set up for nodes to use."""
    endpoints = list(session.scalars(text("SELECT slug FROM webhook_endpoints ORDER BY slug")))
    lists = [{"name": row.slug, "title": row.name} for row in session.execute(text("SELECT slug, name FROM lists ORDER BY name LIMIT :many"), {"many": MANY})]
    pools = list(session.scalars(text("SELECT name FROM coupon_pools UNION SELECT pool FROM coupons ORDER BY 1 LIMIT :many"), {"many": MANY}))
    return {"endpoints": endpoints, "lists": lists, "pools": pools}


def _segments(session: Session) -> list[dict[str, Any]]:
    """Segments by their words."""
    return [{"name": row.slug, "title": row.name} for row in session.execute(text("SELECT slug, name FROM segments ORDER BY name LIMIT :many"), {"many": MANY})]


_EVENTS = text("""
    SELECT name FROM (SELECT name FROM events ORDER BY occurred_at DESC LIMIT 20000) e
    WHERE name <> ALL(:goods) GROUP BY name ORDER BY count(*) DESC LIMIT :many  -- goods happen to nobody, so they start nothing
""")
_TRAITS = text("""
    SELECT key FROM (SELECT traits FROM profiles WHERE known ORDER BY last_seen DESC LIMIT 500) p, jsonb_object_keys(p.traits) AS key
    GROUP BY key ORDER BY count(*) DESC LIMIT :many
""")
