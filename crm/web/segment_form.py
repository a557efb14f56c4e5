"""The segment builder's tree as a form: where a rule stands, its fields, its sentence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from markupsafe import Markup

from crm.core.errors import InvalidError, KesherError
from crm.core.i18n import _l
from crm.core.ids import read_number
from crm.segments import tree as trees
from crm.segments.rule import Sentence, Settings
from crm.segments.values import write_duration
from crm.web.db import settings
from crm.web.isolates import bdi, duration, num, sentence
from crm.web.show import day
from crm.web.words import COMPUTED, event_title, refusal

Rule = dict[str, Any]
MOST_ROWS = 20
GONE = _l("This rule is no longer there; load the page again.")
CHOICES = {
    "is": _l("is"), "is_not": _l("is not"), "contains": _l("contains"), "more_than": _l("more than"), "at_least": _l("at least"), "less_than": _l("less than"),
    "at_most": _l("at most"), "exactly": _l("exactly"), "before": _l("before"), "after": _l("after"), "within_last": _l("within the last"),
    "longer_ago": _l("longer ago than"), "within_next": _l("within the next"), "exists": _l("is known"), "missing": _l("is not known"),
    "count": _l("how many"), "sum": _l("sum"), "distinct": _l("different values"), "revenue": _l("revenue"), "average": _l("average order"),
    "first": _l("the first order"), "last": _l("the last order"), "open": _l("open"), "ordered": _l("ordered"), "emptied": _l("emptied"), "expired": _l("expired"),  # noqa: E501  reads best as one line
    "recovered": _l("recovered"), "received": _l("received"), "opened": _l("opened"), "clicked": _l("followed a link"), "bounced": _l("bounced"),
    "any": _l("any of them"), "all": _l("all of them"), "none": _l("none of them"), "country": _l("Country"), "region": _l("Region"), "city": _l("City"),
    "locale": _l("Language and region"), "language": _l("Language"), "timezone": _l("Time zone"), "gregorian": _l("Gregorian"), "hebrew": _l("Hebrew"),
    "entered": _l("came in"), "inside": _l("is in it now"), "finished": _l("came to its end"), "goal": _l("reached the goal"),
    "left": _l("taken out by an event"), "held_out": _l("held out"), "push": _l("Push"), "second": _l("the second one"),
    "granted": _l("agreed"), "refused": _l("refused"), "email": _l("E-mail"), "sms": _l("SMS"), "whatsapp": _l("WhatsApp"),
    "new": _l("new"), "working": _l("being worked on"), "qualified": _l("qualified"), "won": _l("won"), "lost": _l("lost"), "hot": _l("hot"), "warm": _l("warm"), "cool": _l("cool"), "cold": _l("cold"),  # noqa: E501  reads best as one line
}  # fmt: skip
# One word means two things where rules differ: `first` of orders, of an event, of the two Adars.
OF_KIND = {
    ("when", "first"): _l("the first time"), ("when", "last"): _l("the last time"), ("anniversary", "first"): _l("the first one"),
    ("anniversary", "before"): _l("is kept the day before"), ("anniversary", "after"): _l("is kept the day after"),
    ("lead", "any"): _l("any"),
}  # fmt: skip
# A rule's field -> where the words to offer for it come from.
OFFERED = {
    "event": "events", "first": "events", "then": "events", "segment": "segments", "list": "lists", "journey": "journeys", "template": "templates",
    "prop": "properties", "per": "properties", "name": "properties", "value": "values",
}  # fmt: skip
STARTS: Mapping[str, Rule] = {
    "trait": {"name": "city", "op": "exists"}, "did": {"event": "Order Completed"}, "sequence": {"first": "Product Viewed", "then": "Order Completed"},
    "anniversary": {"name": "birthday"}, "geography": {"value": "IL"}, "account": {"name": "price_list", "op": "exists"},
    "computed": {"name": "orders", "op": "at_least", "value": 2}, "rfm": {}, "journey": {}, "when": {"event": "Order Completed"},
    "orders": {}, "cart": {}, "message": {}, "consent": {"topic": "offers"}, "bucket": {"percent": 10}, "lead": {}, "deal": {},
}  # fmt: skip


def words(said: Sentence | Any) -> Markup | str:
    """A rule's sentence in the page's language."""
    if isinstance(said, Sentence):
        return sentence(said.text, **{name: _slot(name, value) for name, value in said.slots.items()})
    if isinstance(said, dt.timedelta):
        return bdi(duration(said))
    if isinstance(said, dt.date):
        return day(dt.datetime.combine(said, dt.time(12), ZoneInfo(settings().timezone)))
    if isinstance(said, bool):
        return str(_("yes") if said else _("no"))
    if isinstance(said, int | float):
        return num(said)
    return "" if said in {"", None} else bdi(said)


def _slot(name: str, value: Any) -> Markup | str:
    """One slot; an event and a computed trait by the words they have on people's pages."""
    if name in {"event", "first", "then"} and isinstance(value, str):
        return bdi(event_title(value))
    return str(_(COMPUTED[value])) if name == "name" and value in COMPUTED else words(value)


def rule_words(rule: Rule) -> Markup | str:
    """One rule of a tree, given as JSON; why not, where it cannot be read any more."""
    try:
        tree = trees.parse(rule)
    except InvalidError as error:
        return refusal(error)
    return words(trees.sentence(tree)) if isinstance(tree, trees.Leaf) else ""


def refused(error: KesherError) -> str:
    """Why a rule is refused: its field by the name it has in the form, not by its place in a file."""
    if "title" not in error.values:
        return refusal(error)
    return refusal(InvalidError(_("%(place)s: %(what)s."), place=_(str(error.values["title"])), what=error.values["what"]))


def at(tree: Rule, path: str) -> Rule:
    """The part of a tree at `0.2.1`; the tree itself where the path is empty."""
    for step in filter(None, path.split(".")):
        parts = children(tree)
        place = read_number(step)
        if place is None or place >= len(parts):
            raise InvalidError(GONE)
        tree = parts[place]
    return tree


def children(tree: Rule) -> list[Rule]:
    """What a group holds."""
    held: list[Rule] = [tree["not"]] if "not" in tree else (tree.get("all") or tree.get("any") or [])
    return held


def change(tree: Rule, path: str, made: Rule | None) -> Rule:
    """The tree with another part at this path; None removes it, and a `not` left with nothing goes too."""
    at(tree, path)
    steps = [*filter(None, path.split("."))]
    if not steps:
        return made if made is not None else {"all": []}
    above, last = ".".join(steps[:-1]), steps[-1]
    group = at(tree, above)
    if "not" in group:
        return change(tree, above, None if made is None else {"not": made})
    mode = "all" if "all" in group else "any"
    parts = list(group[mode])
    parts[int(last) : int(last) + 1] = [] if made is None else [made]
    return change(tree, above, {mode: parts})


def fields(rule: Rule) -> list[dict[str, Any]]:
    """The fields of one rule's form, out of its settings' schema."""
    settings = trees.kinds()[rule["kind"]].settings_type
    return [_field(name, about, rule.get(name, _default(settings, name))) for name, about in settings.model_json_schema()["properties"].items()]


def has_line(rule: Rule, name: str) -> bool:
    """Whether the form of a rule has a line of this name, under which one can say what is wrong with it."""
    return any(one["name"] == name and one["kind"] in {"text", "choice"} for one in fields(rule))


def _default(settings: type[Settings], name: str) -> Any:
    """As one would write it; the schema says a duration its own way."""
    found = settings.model_fields[name]
    said = None if found.is_required() else found.get_default(call_default_factory=True)
    return write_duration(said) if isinstance(said, dt.timedelta) else said


def read_form(kind: str, form: Mapping[str, str]) -> Rule:
    """A rule as its form was filled in; empty fields are left at their defaults."""
    schema = trees.kinds()[kind].settings_type.model_json_schema()
    rule: Rule = {"kind": kind}
    for name, about in schema["properties"].items():
        types = _types(about)
        if "array" in types:
            rows = [{part: form.get(f"f.{name}.{n}.{part}", "").strip() for part in ("name", "op", "value")} for n in range(MOST_ROWS)]
            if kept := [{part: text for part, text in row.items() if text} for row in rows if row["name"]]:
                rule[name] = kept
        elif types == {"boolean"}:
            rule |= {name: True} if form.get(f"f.{name}") == "1" else {}
        elif text := form.get(f"f.{name}", "").strip():
            rule[name] = _number(text) if types & {"number", "integer"} and "string" not in types else text
    return rule


def _number(text: str) -> float | int | str:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text


def _types(about: Mapping[str, Any]) -> set[str]:
    return {one.get("type", "") for one in (about, *about.get("anyOf", ()))}


def _field(name: str, about: Mapping[str, Any], value: Any) -> dict[str, Any]:
    choices = about.get("enum") or next((one["enum"] for one in about.get("anyOf", ()) if "enum" in one), None)
    types = _types(about)
    kind = "rows" if "array" in types else "choice" if choices else "tick" if types == {"boolean"} else "text"
    found = value
    if kind == "rows":
        found = [*(found or []), {}][:MOST_ROWS]
    if choices and "anyOf" in about:
        choices = ["", *choices]
    shown = {"name": name, "title": about.get("title", name), "hint": about.get("description", ""), "kind": kind, "choices": choices or []}
    return shown | {"value": "" if found is None else found}


def choice_word(kind: str, choice: str) -> str:
    """A choice of a rule's field in words."""
    return OF_KIND.get((kind, choice)) or CHOICES.get(choice, choice)
