"""What one drawing says differently from another, in sentences of the page's language: who publishes reads what will change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flask_babel import gettext as _
from pydantic import ValidationError

from crm.core.clock import parse_duration
from crm.core.i18n import _l
from crm.web.isolates import duration
from crm.web.words import event_title
from journeys import palette
from journeys.changes import plain
from journeys.entry import Reentry
from journeys.graph import NodePart, read_spot
from journeys.kinds import NODES, TRIGGERS
from journeys.words import CHOICES, criterion, say, step_of, way_of

WHOLE = {  # what a journey says as a whole
    "name": _l("Name"),
    "about": _l("What it is for"),
    "exit_on": _l("Events that end a run at once"),
    "reentry": _l("Coming again"),
    "holdout": _l("Left out, to measure"),
    "limit": _l("Limit of entries"),
}
EVENTS = {"event", "events", "until", "exit_on"}  # fields that name events


class Difference(NamedTuple):
    """`added`, `removed` or `changed`, and the sentence."""

    sign: str
    text: str


def differences(old: object, new: object) -> list[Difference]:
    """Everything, the whole first, then step by step; empty where both mean the same."""
    before, after = _whole_rule(plain(old)), _whole_rule(plain(new))
    if not before:
        return []
    return [*_whole(before, after), *_start(before, after), *_steps(before.get("nodes", {}), after.get("nodes", {}))]


def _whole_rule(drawing: dict[str, Any]) -> dict[str, Any]:
    """The rule for coming again with what is only default, which is worth saying too."""
    said = drawing.get("reentry")
    return drawing if said is None else drawing | {"reentry": Reentry.model_validate(said).model_dump(mode="json", exclude_none=True)}


def _whole(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for part, title in WHOLE.items():
        if before.get(part) != after.get(part):
            yield _changed(_("The whole journey"), str(_(title)), _value(part, before.get(part)), _value(part, after.get(part)))
    if before.get("entry") != after.get("entry"):
        first = step_of(after.get("nodes", {}), str(after.get("entry")))
        yield Difference("changed", _("It now begins with “%(step)s”", step=first))


def _start(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    old, new = before.get("trigger", {}), after.get("trigger", {})
    was, now = (TRIGGERS.get(each.get("kind", "")) for each in (old, new))
    if old.get("kind") != new.get("kind"):
        titles = (str(_(trigger.title)) if trigger else str(each.get("kind", "")) for trigger, each in ((was, old), (now, new)))
        yield _changed(_("Start"), _("Starts with"), *titles)
    else:
        yield from _settings(_("Start"), now, old, new)


def _steps(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            yield Difference("removed", _("“%(step)s” is gone", step=step_of(old, name)))
        elif name not in old:
            yield Difference("added", _("“%(step)s” is new: %(what)s", step=step_of(new, name), what=_summary(name, new[name])))
        elif old[name] != new[name]:
            yield from _step(name, old, new)


def _step(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    label, was, now = step_of(new, name), old[name], new[name]
    if step_of(old, name) != label:
        yield Difference("changed", _("“%(before)s” is now called “%(after)s”", before=step_of(old, name), after=label))
    if was["kind"] != now["kind"]:
        yield Difference("changed", _("“%(step)s” is another kind of step now: %(what)s", step=label, what=_summary(name, now)))
    else:
        yield from _settings(_("“%(step)s”", step=label), NODES.get(now["kind"]), was, now)
    yield from _ways(label, name, old, new)


def _ways(label: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    before, after = old[name].get("exits", {}), new[name].get("exits", {})
    for way in dict.fromkeys([*before, *after]):
        if before.get(way) == after.get(way):
            continue
        told = way_of(new[name] if way in after else old[name], way) if way != "next" else _("Next")
        if way not in after:
            yield Difference("removed", _("“%(step)s” has no way “%(way)s” any more", step=label, way=told))
        else:
            sign = "changed" if way in before else "added"
            yield Difference(sign, _("“%(step)s”: “%(way)s” now leads to “%(target)s”", step=label, way=told, target=step_of(new, after[way])))


def _settings(place: str, kind: Any, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    fields = palette.form(kind.settings_type, _)["properties"] if kind else {}
    before, after = old.get("settings", {}), new.get("settings", {})
    for field in dict.fromkeys([*before, *after]):
        if before.get(field) != after.get(field):
            title = fields.get(field, {}).get("title", field)
            yield _changed(place, str(title), _value(field, before.get(field)), _value(field, after.get(field)))


def _changed(place: str, field: str, before: str, after: str) -> Difference:
    values = {"place": place, "field": field, "before": before, "after": after}
    if not before:
        return Difference("added", _("%(place)s: %(field)s is now “%(after)s”", **values))
    if not after:
        return Difference("removed", _("%(place)s: %(field)s is no longer set; it was “%(before)s”", **values))
    return Difference("changed", _("%(place)s: %(field)s is now “%(after)s”, it was “%(before)s”", **values))


def _summary(name: str, part: Mapping[str, Any]) -> str:
    """What a step does, where its settings can be read."""
    try:
        spot = read_spot(name, NodePart.model_validate(part), [])
    except ValidationError:
        spot = None
    return say(spot.node.summary(spot.settings)) if spot else step_of({name: part}, name)


def _value(field: str, value: Any) -> str:
    """A setting in words; empty where there is none."""
    match value:
        case None:
            return ""
        case bool():
            return str(_("yes") if value else _("no"))
        case Mapping():
            return criterion(value) or ", ".join(_value(field if key in EVENTS else "", each) for key, each in value.items() if each is not None)
        case list():
            return "; ".join(_value(field, each) for each in value)
        case str():
            return _word(field, value)
        case _:
            return str(value)


def _word(field: str, value: str) -> str:
    if field in EVENTS:
        return event_title(value)
    return str(_(CHOICES[value])) if value in CHOICES else _time(value)


def _time(value: str) -> str:
    try:
        return duration(parse_duration(value))
    except ValueError:
        return value
