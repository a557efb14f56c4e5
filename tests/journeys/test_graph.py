"""What is wrong with a drawing is said in sentences that name the place."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from crm.core.errors import InvalidError
from journeys.files import from_yaml, recipes
from journeys.graph import check, parse
from journeys.kinds import NODES, TRIGGERS

GOOD: dict[str, Any] = {
    "name": {"en": "Try"},
    "trigger": {"kind": "event", "settings": {"event": "Signed Up"}},
    "entry": "wait",
    "nodes": {
        "wait": {"kind": "wait", "settings": {"for": "1d"}, "exits": {"next": "mail"}},
        "mail": {"kind": "send", "settings": {"template": "hello"}, "exits": {"next": "end"}},
        "end": {"kind": "stop"},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    drawing = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    place = drawing
    for part in way:
        place = place.setdefault(part, {})
    place[last] = value
    return drawing


def test_a_good_drawing_has_no_problems() -> None:
    assert check(GOOD) == []
    assert all(check(drawing) == [] for drawing in recipes().values())


@pytest.mark.parametrize("place", ["trigger.settings.where", "exit_on"])
def test_what_only_a_run_knows_is_no_condition_of_an_event(place: str) -> None:
    where = [{"of": "trait", "name": "city", "value": "Haifa"}]
    wrong = check(changed(place, where if "where" in place else [{"event": "Order Completed", "where": where}]))
    assert any(".of: " in each for each in wrong)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("nodes.lost", {"kind": "stop"}, "node 'lost': no way leads to it; connect or remove it"),
        ("nodes.wait.exits", {}, "node 'wait': its way out 'next' leads nowhere; connect it to a node"),
        ("nodes.wait.exits.next", "nowhere", "node 'wait': its way out 'next' leads to 'nowhere', which is not there"),
        ("nodes.wait.exits.maybe", "end", "node 'wait': it has no way out 'maybe'; it has next"),
        (
            "nodes.end.kind",
            "fly",
            f"node 'end': there is no kind 'fly'; choose one of {', '.join(NODES)}",
        ),
        ("nodes.wait.settings.for", "soon", "node 'wait': for: 'soon' is not a duration; write for example 30m, 1h or 2d"),
        ("nodes.wait.settings.colour", "red", "node 'wait': colour: there is no such setting; remove it"),
        ("nodes.wait.schema", 9, "node 'wait': its settings come from a newer Kesher (schema 9, here 1); update Kesher first"),
        ("trigger.kind", "moon", f"the trigger: there is no kind 'moon'; choose one of {', '.join(TRIGGERS)}"),
        ("trigger.settings.event", "", "the trigger: event: this is needed"),
        ("entry", "start", "the journey: it begins at 'start', which is not one of its nodes"),
        ("nodes", {}, "the journey: nothing is drawn yet; add a first step"),
    ],
)
def test_each_mistake_is_a_sentence(path: str, value: Any, sentence: str) -> None:
    assert sentence in check(changed(path, value))
    with pytest.raises(InvalidError, match=r"\w+"):
        parse(changed(path, value))


def test_a_loop_needs_a_wait() -> None:
    sends = {"kind": "send", "settings": {"template": "hello"}}
    endless = GOOD | {"entry": "a", "nodes": {"a": sends | {"exits": {"next": "b"}}, "b": sends | {"exits": {"next": "a"}}}}
    assert check(endless) == ["node 'a': the way comes back to it without a wait, so it would never end; put a wait into the loop"]
    weekly = changed("nodes.mail.exits.next", "wait")
    del weekly["nodes"]["end"]
    assert check(weekly) == []
    assert parse(weekly).loops
    assert not parse(GOOD).loops


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "just words"])
def test_a_file_that_is_no_journey_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        from_yaml(text)
