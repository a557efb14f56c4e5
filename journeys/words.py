"""Journeys in words: nodes, ways, reasons, in the language of the page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from babel.lists import format_list
from flask_babel import gettext as _
from pydantic import ValidationError

from crm.core.i18n import _l
from crm.core.mistakes import Mistake
from crm.segments.rule import Sentence as Phrase
from crm.segments.rules.message import MEANS as CHANNELS
from crm.web.i18n import language, region
from crm.web.isolates import duration
from crm.web.phrases import template_title
from crm.web.words import event_title, mistake
from journeys.experiments import Standing
from journeys.graph import Graph, Problem
from journeys.kinds import NODES
from journeys.node import AUDIENCE, Sentence
from journeys.recurrence import recurrence
from journeys.rules import Criterion
from journeys.view import StepRow

ENDINGS = {
    "finished": _l("came to its end"),
    "cart_closed": _l("the cart was ordered or emptied"),
    "refunded": _l("the money was given back"),
    "merged": _l("went on in the run of another profile, now the same person"),
    "new_version": _l("a new version of the journey ended it"),
    "dropped": _l("came due while the journey was paused, and was dropped when it went on"),
    "stopped": _l("somebody stopped the journey"),
    "too_many_steps": _l("went in circles and was stopped"),
    "not_written": _l("could not be written down and was stopped"),
}
REFUSED = {
    "too_late": _l("the event came too late to start anything"),
    "already_in": _l("there was already a run for the same thing"),
    "no_cart": _l("the event opened no cart"),
    "broken": _l("the journey is broken"),
    "no_key": _l("the event does not say what it is about"),
    "held_out": _l("the profile is in the share left out, to measure the effect"),
    "full": _l("as many runs as may begin had begun already"),
    "too_soon": _l("too little time since the latest run"),
    "under_way": _l("a run for the same thing is under way"),
    "one_at_a_time": _l("another run of the same person is under way"),
    "too_many_hops": _l("a chain of causes was cut off"),
}
CARTS = {
    "ordered": _l("the cart was ordered"),
    "emptied": _l("the cart was empty"),
    "expired": _l("the cart had lapsed"),
    "gone": _l("there was no cart any more"),
}
QUOTE = "'"  # around names in the sentences of graph.py
CHOICES = {  # the values one chooses from in a form
    "opened": _l("opened a message"),
    "clicked": _l("followed a link"),
    "ordered": _l("ordered"),
    "add": _l("put on it"),
    "first": _l("first come, first served"),
    "value": _l("the most valuable first"),
    "start": _l("the product of the start"),
    "viewed": _l("what was looked at last"),
    "bought": _l("what was bought last"),
    "remove": _l("taken off it"),
    "run": _l("an earlier step"),
    "after": _l("after"),
    "any": _l("any way"),
    "entered": _l("comes in"),
    "exit": _l("by an event that ends it"),
    "feb28": _l("the day before"),
    "finished": _l("at its end"),
    "goal": _l("by reaching the goal"),
    "left": _l("leaves"),
    "mar1": _l("the day after"),
    "gregorian": _l("Gregorian"),
    "hebrew": _l("Hebrew"),
    "adar1": _l("the first Adar"),
    "adar2": _l("the second Adar"),
    "after_exit": _l("after the last run is over"),
    "after_interval": _l("after some time"),
    "at_least": _l("at least"),
    "at_most": _l("at most"),
    "before": _l("before"),
    "did": _l("what they did"),
    "segment": _l("segment"),
    "cart": _l("cart"),
    "contains": _l("contains"),
    "entry": _l("when the step was reached"),
    "event": _l("event"),
    "every_time": _l("every time"),
    "exists": _l("is there"),
    "friday": _l("Friday"),
    "is": _l("is"),
    "is_not": _l("is not"),
    "language": _l("language"),
    "less_than": _l("less than"),
    "missing": _l("is missing"),
    "monday": _l("Monday"),
    "more_than": _l("more than"),
    "once": _l("only once"),
    "one_per_key": _l("one for the same thing"),
    "one_per_profile": _l("one for each person"),
    "profile": _l("person"),
    "property": _l("value of a property"),
    "saturday": _l("Saturday"),
    "sunday": _l("Sunday"),
    "thursday": _l("Thursday"),
    "trait": _l("trait"),
    "tuesday": _l("Tuesday"),
    "unlimited": _l("as many as come"),
    "wednesday": _l("Wednesday"),
}
KNOWN: Mapping[str, Mapping[str, str]] = {"reason": ENDINGS, "channel": CHANNELS}  # values that have words of their own, by the slot they fill


def say(sentence: Sentence) -> str:
    """A node's sentence in the language of the page."""
    values = {name: slot(name, value) for name, value in sentence.values.items()}
    return str(_(sentence.text, **values))


def slot(name: str, value: object) -> object:
    """One value of a sentence, in words where it has them."""
    if isinstance(value, dt.timedelta):
        return duration(value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return _listed(name, value) if isinstance(value, list) else _coded(name, value)


def _listed(name: str, value: Sequence[Any]) -> str:
    if name == "weekdays":
        return format_list([_(CHOICES[each]) for each in value], locale=region())
    if name == "segments":  # one of them is enough
        return format_list([str(each) for each in value], style="or", locale=region())
    return events_in_words(value) if name == "events" else format_list([event_title(str(each)) for each in value], locale=region())


def _coded(name: str, value: object) -> object:
    if name == "rrule":
        return recurrence(str(value))
    if name == "template":
        return template_title(str(value))
    if name in KNOWN:
        return _(KNOWN[name].get(str(value), str(value)))
    return _(CHOICES.get(str(value).replace(" ", "_"), str(value))) if name == "op" else value


def events_in_words(names: Sequence[str]) -> str:
    """`Order placed or Cart emptied`."""
    said = [name for name in names if name != AUDIENCE] or names
    return format_list([event_title(name) for name in said], style="or", locale=region())


def named(names: Mapping[str, str], otherwise: str) -> str:
    """A name by language, in the page's, else in any."""
    return names.get(language()) or next(iter(names.values()), otherwise)


def label(graph: Graph, node: str) -> str:
    """A node by the name it was given, else by its kind."""
    spot = graph.nodes.get(node)
    return named(spot.label, _(spot.node.title)) if spot else node


def way(graph: Graph, node: str, exit_name: str) -> str:
    """The words on an edge."""
    spot = graph.nodes.get(node)
    words = spot.node.exits(spot.settings).get(exit_name, "") if spot else exit_name
    return str(_(words)) if words else ""


def why(step: StepRow) -> str:
    """What decided a step, as a short phrase; empty where there is nothing to add."""
    key = next((each for each in _WHY if step.detail.get(each) is not None), None)
    return _WHY[key](step.detail[key]) if key else ""


def _looked(found: Mapping[str, Any]) -> str:
    """What a branch found out before it chose."""
    did = [f"{event_title(each['event'])}: {each['times']}" for each in found["did"]]
    inside = [_("in the segment “%(segment)s”", segment=slug) for slug, there in found["segments"].items() if there]
    outside = [_("not in the segment “%(segment)s”", segment=slug) for slug, there in found["segments"].items() if not there]
    return ", ".join(map(str, [*did, *inside, *outside]))


def criterion(said: Mapping[str, Any]) -> str:
    """A condition about what somebody did or is in; empty where it is none of these, or cannot be read."""
    try:
        return plainly(Criterion.model_validate(said).sentence()) if said.get("of") in {"did", "segment"} else ""
    except ValidationError:
        return ""


def plainly(said: object, name: str = "") -> str:
    """A segment's sentence as plain text."""
    if isinstance(said, Phrase):
        return str(_(said.text)) % {slot: plainly(value, slot) for slot, value in said.slots.items()}
    if isinstance(said, dt.timedelta):
        return duration(said)
    return event_title(str(said)) if name == "event" else str(said)


_WHY: Mapping[str, Callable[[Any], str]] = {
    "looked": _looked,
    "event": event_title,
    "cart": lambda state: str(_(CARTS.get(state, state))),
    "status": str,
    "score": str,
    "won": lambda way: str(_("“%(way)s” has won", way=way)),
    "not_asked": lambda _code: str(_("asked lately, so not now")),
    "limit": lambda _limit: str(_("had enough codes already")),
    "code": str,
    "template": lambda name: f"“{template_title(name)}”",
}


def ending(reason: str | None) -> str:
    """Why a run is over."""
    head, _colon, event = (reason or "").partition(":")
    if head == "goal":
        return str(_("%(event)s, the goal, was reached", event=event_title(event)))
    return str(_("%(event)s ended it", event=event_title(event)) if head == "exit" else _(ENDINGS.get(head, head)))


def refusal(reason: str) -> str:
    """Why something started nothing."""
    return str(_(REFUSED.get(reason, reason))) if reason else ""


def result(found: Standing) -> str:
    """What an experiment has shown."""
    return str(_("“%(way)s” has won", way=found.winner) if found.winner else _("no way was better"))


def problem(found: Problem, stored: object = None) -> dict[str, str | None]:
    """A problem for the screen; steps and ways of the stored drawing by their words."""
    nodes = stored.get("nodes") if isinstance(stored, Mapping) else None
    values = {name: _told(name, value, nodes if isinstance(nodes, Mapping) else {}, found.node) for name, value in found.values.items()}
    said = {"text": str(_(found.text)) % values, "example": str(_(found.example)) % values if found.example else ""}
    return {"node": found.node, "field": found.values.get("field") or None, "level": found.level} | said


def _told(name: str, value: object, nodes: Mapping[str, Any], here: str | None) -> object:
    """One value of a problem's sentence."""
    if isinstance(value, Mistake):
        return mistake(value)
    if name == "node" and isinstance(value, str):
        return f"“{step_of(nodes, value.strip(QUOTE))}”"
    if name in {"journey", "topic"} and isinstance(value, Mapping):
        return named(value, "")
    if name in {"channel", "template"}:
        return slot(name, value)
    if name == "way" and isinstance(value, str) and here:
        return f"“{way_of(nodes.get(here), value.strip(QUOTE))}”"
    return value


def step_of(nodes: Mapping[str, Any], name: str) -> str:
    """A step of a drawing that need not be whole, by the name it was given, else by its kind."""
    part = nodes.get(name)
    given = part.get("name") if isinstance(part, Mapping) else None
    kind = NODES.get(str(part.get("kind"))) if isinstance(part, Mapping) else None
    return named(given, name) if isinstance(given, Mapping) and given else str(_(kind.title)) if kind else name


def way_of(part: object, name: str) -> str:
    """A way out by its words, where the step's settings can be read."""
    kind = NODES.get(str(part.get("kind"))) if isinstance(part, Mapping) else None
    try:
        ways = kind.exits(kind.settings_type.model_validate(part.get("settings") or {})) if kind and isinstance(part, Mapping) else {}
    except ValidationError:
        return name
    return str(_(ways[name])) if ways.get(name) else name
