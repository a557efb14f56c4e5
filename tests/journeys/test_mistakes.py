"""What is wrong with a setting is said in the language of the page, whoever found it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from crm.core import mistakes
from tests.journeys.test_entry import drawing

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "wait", "settings": {"for": "soon"}}, "אינו משך זמן"),
    ({"kind": "wait", "settings": {"for": "0m"}}, "יותר מאפס"),
    ({"kind": "wait", "settings": {"for": "99999999999999d"}}, "עשר שנים"),
    ({"kind": "task", "settings": {"title": "a", "late_after": "999999999d"}}, "עשר שנים"),
    ({"kind": "wait", "settings": {}}, "זה נחוץ"),
    ({"kind": "wait", "settings": {"for": "1h", "colour": "red"}}, "אין הגדרה כזאת"),
    ({"kind": "send", "settings": {"template": "x" * 300}}, "תווים"),
    ({"kind": "rate_limit", "settings": {"limit": 0, "per": "1h"}}, "או יותר"),
    ({"kind": "split", "settings": {"shares": [{"exit": "one", "percent": 60}, {"exit": "two", "percent": 60}], "salt": "s"}}, "120"),
    ({"kind": "branch", "settings": {"ways": [{"exit": "yes", "when": [{"of": "trait", "name": "age", "op": "more_than", "value": "old"}]}]}}, "משווים מספרים"),
    ({"kind": "set_trait", "settings": {"trait": 7, "value": 1}}, "כאן צריך טקסט"),
    ({"kind": "deal", "settings": {"act": "lost"}}, "כאבודה"),
]


@pytest.mark.parametrize(("node", "said"), FAULTS, ids=[f"{node['kind']} {said}" for node, said in FAULTS])
def test_a_hebrew_page_says_it_in_hebrew(signed_in: Callable[..., FlaskClient], session: Session, node: dict[str, Any], said: str) -> None:
    answer = signed_in(language="he").post("/journeys/check", json={"graph": drawing({"step": node})}).get_json()
    found = [re.sub(r"^[\w.]+: ", "", each["text"]) for each in answer["problems"] if each["node"] == "step"]
    assert any(said in text for text in found), found
    assert not [text for text in found if re.search("[a-z]{3} [a-z]{2}", text)], found


def test_an_unknown_kind_of_mistake_still_has_a_sentence() -> None:
    assert str(mistakes.mistake({"type": "date_from_datetime_parsing", "msg": "Input should be a valid date"})) == mistakes.UNREADABLE
    assert str(mistakes.mistake({"type": "int_parsing", "msg": "…"})) == mistakes.NUMBER
