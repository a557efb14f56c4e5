"""What a person chose on the screen, as a mapping; and the first lines of a file as that mapping reads them."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.events.importing import readers
from crm.events.importing.columns import Bad
from crm.events.importing.guess import Choice
from crm.events.importing.mapping import Column, Mapping, Rule
from crm.events.importing.outcomes import Noted, Reading, Refused
from crm.events.importing.plan import compile_plan

KINDS = ("people", "leads", "orders", "events")
PREVIEW = 50
IDENTITIES = ("user_id", "external_id", "email", "phone")
_TRAITS = {"name": "name", "first_name": "firstName", "last_name": "lastName", "city": "city", "birthday": "birthday"}
_TYPES = {
    "email": "email", "phone": "phone", "birthday": "date", "time": "time", "revenue": "price", "price": "price", "cost": "price", "quantity": "number",
    "consent": "bool",
}  # fmt: skip
_STRICT = frozenset({"order_id", "revenue", "price", "quantity", "event"})  # a line without these, or with bad ones, means nothing
ROLES: dict[str, tuple[str, ...]] = {
    "people": ("skip", *IDENTITIES, *_TRAITS, "time", "consent", "trait"),
    "leads": ("skip", *IDENTITIES, *_TRAITS, "time", "source", "campaign", "cost", "consent", "trait"),
    "orders": (
        *("skip", "order_id", "time", "revenue", "currency", "product_id", "product_name", "price", "quantity"),
        *(*IDENTITIES, *_TRAITS, "property"),
    ),
    "events": ("skip", "event", "time", *IDENTITIES, *_TRAITS, "property"),
}
TYPES = ("words", "number", "date", "bool")
_REPEATED = frozenset({"skip", "trait", "property", "consent"})
_TAKEN = frozenset({"email", "phone", "userid", "user_id", "anonymousid", "id"})  # words that mean identities in a call's traits


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that was chosen. `consent`: {"channel", "topic", "wording", "collected"} where a column says what people agreed to."""

    kind: str
    choices: Sequence[Choice]
    as_of: dt.datetime
    zone: str
    currency: str
    event: str = ""
    external: str = "import"
    consent: Table[str, str] | None = None
    empty: Sequence[str] = ()  # words that mean: not answered


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the preview: its number, its values (by column), what is wrong (by column, or `line`), and whether it is refused."""

    number: int
    cells: Sequence[Any]
    problems: Table[int, str]
    refused: str = ""
    detail: str = ""


def build(plan: Plan, how: Table[str, Any]) -> Mapping:
    """The mapping of these choices for a file read in this way; InvalidError says what is missing."""
    _check(plan)
    columns = {f"c{place}": _column(choice, place, plan) for place, choice in enumerate(plan.choices) if choice.role != "skip"}
    time = _place(plan, "time")
    return Mapping(
        title=plan.kind,
        format=how["format"],
        header=how["header"],
        width=len(plan.choices),
        sheet=how.get("sheet"),
        delimiter=how.get("delimiter") or ",",
        encoding=how.get("encoding") or "utf-8-sig",
        columns=columns,
        time=time,
        as_of=plan.as_of if plan.kind in {"people", "leads"} else None,
        empty=["", *plan.empty],
        identities=_identities(plan),
        drop_duplicate_lines=plan.kind != "orders",
        events=_rules(plan),
    )


def preview(path: Path, mapping: Mapping, *, now: dt.datetime, limit: int = PREVIEW) -> list[Shown]:
    """The first lines as they will be read, with what is wrong marked."""
    plan = compile_plan(mapping)
    lines = list(itertools.islice(readers.open_file(path, mapping).lines, limit))
    reading = Reading(plan, file_digest=bytes(32), now=now)
    notes: dict[int, dict[int, str]] = {}
    refused: dict[int, Refused] = {}
    for outcome in reading.outcomes(iter(lines)):
        if isinstance(outcome, Noted):
            notes.setdefault(outcome.line, {})[int(outcome.column[1:])] = outcome.detail
        elif isinstance(outcome, Refused):
            refused[outcome.line] = outcome
    shown = []
    for line in lines:
        bad = refused.get(line.number)
        cells, wrong = _cells(line, plan, mapping)
        shown.append(Shown(line.number, cells, {**notes.get(line.number, {}), **wrong}, bad.reason if bad else "", bad.detail if bad else ""))
    return shown


def _cells(line: readers.Line, plan: Any, mapping: Mapping) -> tuple[list[Any], dict[int, str]]:
    """Values by place in the file, and the columns whose value is none."""
    width = mapping.width or 0
    if line.problem:
        raw = line.raw if isinstance(line.raw, list | tuple) else [line.raw]
        return [*raw, *[None] * width][:width], {}
    cells: list[Any] = [None] * width
    wrong: dict[int, str] = {}
    for name, one, cell in zip(plan.names, plan.converters, line.cells, strict=True):
        place = int(name[1:])
        try:
            cells[place] = one(cell)
        except ValueError as error:
            cells[place] = Bad(error)
        if isinstance(cells[place], Bad):
            cells[place], wrong[place] = cell, str(cells[place])
    return cells, wrong


def _check(plan: Plan) -> None:
    roles = [choice.role for choice in plan.choices]
    if any(role not in _REPEATED and roles.count(role) > 1 for role in roles):
        raise InvalidError(_l("Two columns have the same meaning. Give each its own, or leave one out."))
    if not any(role in IDENTITIES for role in roles):
        raise InvalidError(_l("No column says who it is about. Choose the one with the e-mail address, phone, user id or an id of another system."))
    names = [choice.name.strip().lower() for choice in plan.choices if choice.role in {"trait", "property"}]
    if len(set(names)) < len(names) or _TAKEN & set(names) or not all(names):
        raise InvalidError(_l("Every further column needs a name of its own, other than email, phone and id."))
    if plan.kind in {"orders", "events"} and "time" not in roles:
        raise InvalidError(_l("No column says when it happened. Choose the one with the date."))
    if plan.kind == "orders" and ("order_id" not in roles or not {"revenue", "price"} & set(roles)):
        raise InvalidError(_l("Orders need a column with their number and one with their sum, or with the price of each line."))
    if plan.kind == "events" and "event" not in roles and not plan.event.strip():
        raise InvalidError(_l("Say what happened: choose the column with the event's name, or write one name for all lines."))
    if plan.kind == "leads" and not all(choice.filled for choice in plan.choices if choice.role == "trait"):
        raise InvalidError(_l("Say of every further detail who fills it in, and when: what sales fills in must not be used to score."))
    if "consent" in roles:
        _check_consent(plan, roles)


def _check_consent(plan: Plan, roles: Sequence[str]) -> None:
    said = plan.consent or {}
    if not (said.get("channel") and said.get("topic") and said.get("wording") and said.get("collected")):
        raise InvalidError(_l("A column of consent needs the words people agreed to, and where and when they did."))
    if roles.count("consent") > 1:
        raise InvalidError(_l("Choose one column of consent; import the file again for another."))
    if ("email" if said["channel"] == "email" else "phone") not in roles:
        raise InvalidError(_l("Consent belongs to an address: choose the column with the e-mail address or phone it was given for."))


def _column(choice: Choice, place: int, plan: Plan) -> Column:
    kind: Any = choice.type if choice.role in {"trait", "property"} else _TYPES.get(choice.role, "words")
    strict = choice.role in _STRICT or (choice.role == "time" and plan.kind in {"orders", "events"})
    return Column(type=kind, place=place, format=choice.format, zone=plan.zone, bad="reject" if strict else "note")


def _place(plan: Plan, role: str) -> str | None:
    return next((f"c{place}" for place, choice in enumerate(plan.choices) if choice.role == role), None)


def _value(plan: Plan, role: str) -> str | None:
    place = _place(plan, role)
    return f"{{{place}}}" if place else None


def _identities(plan: Plan) -> dict[str, Any]:
    kinds = {"user_id": "user_id", "external_id": f"external:{plan.external}", "email": "email", "phone": "phone"}
    return {kind: value for role, kind in kinds.items() if (value := _value(plan, role))}


def _traits(plan: Plan) -> dict[str, Any]:
    fixed = {name: value for role, name in _TRAITS.items() if (value := _value(plan, role))}
    if plan.kind == "leads":
        fixed |= {name: value for name in ("source", "campaign") if (value := _value(plan, name))}
    return fixed | {choice.name.strip(): f"{{c{place}}}" for place, choice in enumerate(plan.choices) if choice.role == "trait"}


def _properties(plan: Plan) -> dict[str, Any]:
    return {choice.name.strip(): f"{{c{place}}}" for place, choice in enumerate(plan.choices) if choice.role == "property"}


def _rules(plan: Plan) -> list[Rule]:
    traits = _traits(plan)
    if plan.kind == "people":
        answers = _value(plan, "consent")
        return [Rule(type="identify", traits=traits, context={"consent": {"imported": answers}} if answers else {})]
    if plan.kind == "leads":
        return _leads(plan, traits)
    about = [Rule(type="identify", also=True, traits=traits)] if traits else []
    return [*about, *([_order(plan)] if plan.kind == "orders" else _events(plan))]


def _leads(plan: Plan, traits: dict[str, Any]) -> list[Rule]:
    """What is known of the lead, and that it came in: from where, through which campaign, at what cost."""
    answers = _value(plan, "consent")
    consent = {"consent": {"imported": answers}} if answers else {}
    campaign = {name: value for name, role in (("source", "source"), ("name", "campaign")) if (value := _value(plan, role))}
    said = {name: value for name in ("source", "campaign", "cost") if (value := _value(plan, name))}
    if "cost" in said:
        said["currency"] = plan.currency
    about = [Rule(type="identify", also=True, traits=traits, context=consent)] if traits else []
    return [*about, Rule(event="Lead Created", properties=said, context={"campaign": campaign} if campaign else {})]


def _order(plan: Plan) -> Rule:
    line = {name: value for name, role in _LINE.items() if (value := _value(plan, role))}
    total = _value(plan, "revenue")
    factors = [value for role in ("quantity", "price") if (value := _value(plan, role))]
    said = {"order_id": _value(plan, "order_id"), "currency": _value(plan, "currency") or plan.currency, "revenue": total or {"sum": {"product": factors}}}
    lines = {"products": {"lines": line}} if line.keys() & {"product_id", "name"} else {}
    return Rule(event="Order Completed", group_by=[_place(plan, "order_id") or ""], properties={**said, **lines, **_properties(plan)})


def _events(plan: Plan) -> list[Rule]:
    names = _value(plan, "event")
    return [Rule(event=plan.event.strip() or "Imported", named_by=_place(plan, "event") if names else None, properties=_properties(plan))]


_LINE = {"product_id": "product_id", "name": "product_name", "price": "price", "quantity": "quantity"}
