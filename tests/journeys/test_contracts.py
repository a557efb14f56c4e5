"""Every node and trigger keeps its contract."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from functools import cache
from typing import Any

import pytest
from babel.messages.pofile import read_po
from pydantic import ValidationError

from crm.web.i18n import CATALOGS
from journeys import changes, files, graph, palette
from journeys.kinds import NODES, TRIGGERS
from journeys.node import Advance, Ask, Finish, Park, Run, RunEvent
from journeys.simulate import Somebody, tell

NOW = dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC)
CONTEST = {
    "salt": "half",
    "shares": [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}],
    "winner": {"by": "clicked", "within": "2d", "people": 500},
}
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "wait": [{"for": "1h"}, {"for": "2d", "until": ["Order Completed"]}, {"for": "5m", "counting_from": "cart"}, {"for": "1h", "segments": ["vip"]}],
    "send": [{"template": "hello"}, {"channel": "sms", "template": "hello", "while_cart_open": True}],
    "branch": [
        {"ways": [{"exit": "rich", "when": [{"of": "event", "name": "total", "op": "more_than", "value": 100}]}]},
        {"ways": [{"exit": "bought", "when": [{"of": "did", "name": "Order Completed", "within": "30d", "where": [{"name": "total", "op": "exists"}]}]}]},
        {"ways": [{"exit": "vip", "when": [{"of": "segment", "name": "vip"}, {"of": "did", "name": "Order Completed", "op": "at_most", "value": 0}]}]},
    ],
    "coupon": [{"pool": "spring"}, {"pool": "spring", "per_person": 2}],
    "list": [{"list": "fair-visitors"}, {"list": "fair-visitors", "act": "remove"}],
    "nps": [{"template": "nps_survey"}, {"survey": "delivery", "template": "nps_survey", "within": "2d", "not_again": "30d"}],
    "recommend": [{}, {"basis": "cart", "many": 2, "cheaper": True}],
    "rate_limit": [{"limit": 10, "per": "1h"}],
    "send_event": [{"event": "Became Loyal", "properties": {"level": 2}}],
    "set_trait": [{"trait": "level", "value": "gold"}],
    "task": [{"title": "Call"}, {"title": "Approve", "what": "approve", "role": "agent", "due_in": "2d", "wait": False}],
    "assign": [{}, {"owner": "yossi@shop.example", "again": True}],
    "deal": [{"stage": "quote"}, {"act": "open", "title": "New", "amount_of": "total"}, {"act": "won"}, {"act": "lost", "reason": "Price"}],
    "split": [{"salt": "half", "shares": [{"exit": "a", "percent": 50}, {"exit": "b", "percent": 50}]}, CONTEST],
    "start_journey": [{"journey": "welcome"}],
    "switch": [{"name": "city", "cases": [{"exit": "south", "value": "Eilat"}]}, {"of": "language", "cases": [{"exit": "hebrew", "value": "he"}]}],
    "wait_date": [{"trait": "contract_end", "days": -30}, {"trait": "contract_end", "days": 2}, {"trait": "delivery"}],
    "wait_time": [{"at": "09:30"}, {"weekdays": ["sunday", "monday"]}],
    "stop": [{}, {"reason": "gone"}],
    "webhook": [{"endpoint": "crm"}, {"endpoint": "crm", "path": "a/b", "traits": ["city"], "values": {"n": 1}, "within": "5m"}],
}
STARTS: dict[str, list[dict[str, Any]]] = {
    "back_in_stock": [{}],
    "date": [{"trait": "birthday"}, {"trait": "birthday", "calendar": "hebrew", "days": -7}, {"trait": "contract_end", "yearly": False, "days": 3}],
    "ended": [{"journey": "welcome"}, {"journey": "welcome", "how": "goal"}],
    "event": [{"event": "Signed Up"}, {"event": "Order Completed", "key": "property", "key_property": "order_id"}],
    "hand": [{}],
    "price_drop": [{}],
    "schedule": [{"segment": "vip"}, {"segment": "vip", "rule": "FREQ=MONTHLY;BYMONTHDAY=1", "at": "18:30", "begins": "2026-12-01"}],
    "score": [{}, {"score": "churn", "band": "warm", "way": "any"}],
    "segment": [{"segment": "vip"}, {"segment": "vip", "way": "left"}],
}
BEGINNINGS = [(kind, settings) for kind, many in STARTS.items() for settings in many]
CASES = [(kind, settings) for kind, many in EXAMPLES.items() for settings in many]


def run_at(now: dt.datetime) -> Run:
    start = RunEvent("Product Added", NOW, 1, 10, {"total": 150})
    return Run(uuid.UUID(int=1), uuid.UUID(int=2), "here", 0, start, NOW, NOW, None, now)


def test_every_node_has_examples() -> None:
    assert set(EXAMPLES) == set(NODES)


@pytest.mark.parametrize(("kind", "plain"), CASES)
def test_settings_survive_being_stored(kind: str, plain: dict[str, Any]) -> None:
    node = NODES[kind]
    settings = node.settings_type.model_validate(plain)
    stored = json.loads(settings.model_dump_json(by_alias=True))
    assert node.settings_type.model_validate(stored) == settings


@pytest.mark.parametrize(("kind", "plain"), CASES)
def test_a_step_is_a_step_by_an_exit_that_exists(kind: str, plain: dict[str, Any]) -> None:
    node = NODES[kind]
    settings = node.settings_type.model_validate(plain)
    for now in (NOW, NOW + dt.timedelta(days=400)):
        step = node.step(settings, run_at(now))
        assert isinstance(step, Advance | Park | Finish | Ask)
        assert not isinstance(step, Advance) or step.exit in node.exits(settings)
        assert not isinstance(step, Park) or step.until > now
        assert node.step(settings, run_at(now)) == step


@pytest.mark.parametrize("kind", [*NODES, *(f"trigger:{kind}" for kind in TRIGGERS)])
def test_the_form_can_be_drawn_and_nothing_unknown_is_taken(kind: str) -> None:
    plugin: Any = TRIGGERS[kind.removeprefix("trigger:")] if kind.startswith("trigger:") else NODES[kind]
    schema = plugin.settings_type.model_json_schema()
    assert schema["additionalProperties"] is False
    assert all(field.get("title") for field in schema["properties"].values())
    assert plugin.title
    with pytest.raises(ValidationError):
        plugin.settings_type.model_validate({"no such setting": 1})


@pytest.mark.parametrize(("kind", "plain"), CASES)
def test_the_sentence_fits_its_values(kind: str, plain: dict[str, Any]) -> None:
    sentence = NODES[kind].summary(NODES[kind].settings_type.model_validate(plain))
    assert sentence.text % sentence.values


@pytest.mark.parametrize(("kind", "plain"), CASES)
def test_every_kind_can_be_drawn_published_tried_and_shown(kind: str, plain: dict[str, Any]) -> None:
    ways = NODES[kind].exits(NODES[kind].settings_type.model_validate(plain))
    drawing = {
        "name": {"en": "Try"},
        "trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}},
        "entry": "here",
        "nodes": {"here": {"kind": kind, "settings": plain, "exits": dict.fromkeys(ways, "end")}} | ({"end": {"kind": "stop"}} if ways else {}),
    }
    whole = graph.parse(drawing)
    assert files.from_yaml(files.to_yaml(drawing)) == changes.plain(drawing)
    trial = tell(whole, NOW, [(NOW, "Signed Up", {})], Somebody({"contract_end": "2027-05-01", "delivery": "2026-12-01"}))
    assert [run.status for run in trial.runs] == ["done"]
    assert not NODES[kind].effects or kind == "send" or trial.said or kind in {"coupon", "nps"}


def test_time_scale_shortens_a_wait_and_nothing_else() -> None:
    node = NODES["wait"]
    fast = Run(**{name: getattr(run_at(NOW), name) for name in Run.__slots__} | {"time_scale": 60.0})
    assert node.step(node.settings_type.model_validate({"for": "1h"}), fast) == Park(NOW + dt.timedelta(minutes=1))


def words_of(kind: str, plain: dict[str, Any]) -> set[str]:
    node = NODES[kind]
    settings = node.settings_type.model_validate(plain)
    ways = {words for way, words in node.exits(settings).items() if words and not words.startswith(way)}
    fields = {str(field.title) for field in node.settings_type.model_fields.values()}
    return {node.title, node.summary(settings).text} | ways | fields


@cache
def hebrew() -> set[Any]:
    """What the catalogue has words for."""
    with (CATALOGS / "he" / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return {message.id for message in read_po(file, locale="he") if message.string}


@pytest.mark.parametrize(("kind", "plain"), CASES)
def test_every_word_exists_in_hebrew(kind: str, plain: dict[str, Any]) -> None:
    assert words_of(kind, plain) <= hebrew()


def test_every_trigger_has_examples() -> None:
    assert set(STARTS) == set(TRIGGERS)


@pytest.mark.parametrize(("kind", "plain"), BEGINNINGS)
def test_a_start_is_stored_written_as_a_file_and_read_back(kind: str, plain: dict[str, Any]) -> None:
    drawing = {"name": {"en": "Try"}, "trigger": {"kind": kind, "settings": plain}, "entry": "end", "nodes": {"end": {"kind": "stop"}}}
    whole = graph.parse(drawing)
    assert files.from_yaml(files.to_yaml(drawing)) == changes.plain(drawing)
    assert graph.parse(files.from_yaml(files.to_yaml(drawing))).trigger_settings == whole.trigger_settings
    assert TRIGGERS[kind].names(whole.trigger_settings)
    assert TRIGGERS[kind].fresh_for(whole.trigger_settings) > dt.timedelta(0)


@pytest.mark.parametrize(("kind", "plain"), BEGINNINGS)
def test_every_word_of_a_start_exists_in_hebrew(kind: str, plain: dict[str, Any]) -> None:
    trigger: Any = TRIGGERS[kind]
    sentence = trigger.summary(trigger.settings_type.model_validate(plain))
    assert sentence.text % sentence.values
    fields = {str(word) for field in trigger.settings_type.model_fields.values() for word in (field.title, field.description) if word}
    assert {trigger.title, sentence.text} | fields <= hebrew()


@pytest.mark.parametrize("form", [each.settings_type for each in (*NODES.values(), *TRIGGERS.values())] + list(palette.WHOLE.values()))
def test_no_hint_writes_a_time_as_files_do_for_it_is_chosen_as_a_number_and_its_unit(form: Any) -> None:
    hints = re.findall(r'"description": "([^"]*)"', json.dumps(palette.form(form, str)))
    assert [hint for hint in hints if re.search(r"\b\d+[smhdw]\b", hint)] == []
