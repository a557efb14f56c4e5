"""A corpus of faulty and correct drawings: each fault is found, with an example, and nothing is found where nothing is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from journeys import files
from journeys.graph import parse, read
from journeys.kinds import NODES
from journeys.lint import review, surprises
from tests.journeys.test_entry import WAIT, drawing

MAIL = {"kind": "send", "settings": {"template": "hello"}}
CART = {"event": "Product Added", "key": "cart"}


def loop(node: dict[str, Any]) -> dict[str, Any]:
    made = drawing({"mail": MAIL, "again": node})
    made["nodes"]["again"]["exits"] = {"next": "mail"}
    del made["nodes"]["end"]
    return made


CORPUS: list[tuple[str, dict[str, Any], str, str]] = [
    ("unreachable", drawing({"mail": MAIL}) | {"nodes": {"mail": MAIL | {"exits": {"next": "end"}}, "end": {"kind": "stop"}, "lost": {"kind": "stop"}}},
     "error", "node 'lost': no way leads to it; connect or remove it"),
    ("a loop without a wait", loop({"kind": "set_trait", "settings": {"trait": "a", "value": 1}}), "error", "the way comes back to it without a wait"),
    ("a loop that may not wait", loop({"kind": "wait_time", "settings": {"at": "09:00"}}), "error", "the way comes back to it without a wait"),
    ("no way out", loop({"kind": "wait", "settings": {"for": "7d"}}), "warning", "no way leads out"),
    ("a buyer is reminded", drawing({"mail": MAIL}) | {"trigger": {"kind": "event", "settings": CART}}, "warning", "an order does not end it"),
    ("twice the same words", drawing({"mail": MAIL, "again": MAIL}), "warning", "which mail sends before it"),
    ("nothing happens", drawing(WAIT), "warning", "nothing in it sends or changes anything"),
    ("a wait for no event", drawing({"rest": {"kind": "wait", "settings": {"for": "1h", "until": [""]}}}), "error", "until.0: this is needed"),
    ("a name of Kesher's own", drawing({"say": {"kind": "send_event", "settings": {"event": "Segment Entered"}}}), "error", "event: only Kesher itself says"),
    ("a cart nobody has", drawing({"rest": {"kind": "wait", "settings": {"for": "1h", "counting_from": "cart"}}}),
     "error", "counting_from: this journey is about no cart"),
    ("asked of a cart nobody has", drawing({"dear": {"kind": "branch", "settings": NODES["branch"].first, "exits": {"yes": "end", "otherwise": "end"}}}),
     "warning", "what is asked of it here is answered the same for everybody"),
    ("no such template", drawing({"mail": {"kind": "send", "settings": {"template": "none"}}}), "error", "there is no published template"),
    ("another channel", drawing({"mail": {"kind": "send", "settings": {"template": "hello", "channel": "sms"}}}), "error", "is not for the channel sms"),
    ("no topic", drawing({"mail": {"kind": "send", "settings": {"template": "silent"}}}), "error", "names no topic"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def templates(session: Session) -> None:
    insert = text("INSERT INTO templates (name, channel, topic, purpose, version) VALUES (:n, 'email', :t, 'marketing', 1)")
    for name, topic in (("hello", "offers"), ("silent", "")):
        session.execute(insert, {"n": name, "t": topic})


@pytest.mark.parametrize(("name", "graph", "level", "sentence"), CORPUS, ids=[each[0] for each in CORPUS])
def test_each_fault_is_found(session: Session, name: str, graph: dict[str, Any], level: str, sentence: str) -> None:
    found = [(each.level, str(each)) for each in review(session, copy.deepcopy(graph))]
    assert any(each[0] == level and sentence in each[1] for each in found), found


def test_a_warning_comes_with_an_example() -> None:
    for _, graph, level, _ in CORPUS:
        drawn = read(graph)[0]
        if level == "warning" and drawn is not None:
            assert all(each.example for each in surprises(drawn))


def test_nothing_is_found_where_nothing_is_wrong(session: Session) -> None:
    assert review(session, drawing({"mail": MAIL} | WAIT)) == []
    for recipe in files.recipes().values():
        assert list(surprises(parse(recipe))) == []
