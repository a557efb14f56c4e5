"""What somebody did with messages, by template, journey and channel; machines do not count."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests import makers
from tests.segments.test_refresh import happen, make, members


@pytest.mark.parametrize(
    ("rule", "inside"),
    [
        ({"did": "opened"}, True),
        ({"did": "opened", "journey": "welcome", "template": "hello", "channel": "email"}, True),
        ({"did": "opened", "journey": "other"}, False),
        ({"did": "opened", "channel": "sms"}, False),
        ({"did": "opened", "op": "at_least", "value": 2}, False),
        ({"did": "received", "journey": "welcome"}, True),
        ({"did": "clicked"}, False),
    ],
)
def test_only_people_count_and_only_what_was_asked_for(session: Session, now: dt.datetime, rule: dict[str, Any], inside: bool) -> None:
    make(session, now, "some", {"kind": "message"} | rule)
    about = {"template": "hello", "journey": "welcome", "machine": False}
    happen(
        session, now,
        makers.track("Email Sent", about, at=now, user_id="dana"),
        makers.track("Email Opened", about, at=now, user_id="dana"),
        makers.track("Email Opened", about | {"machine": True}, at=now, user_id="dana"),
        makers.track("Email Link Clicked", about | {"machine": True}, at=now, user_id="dana"),
    )  # fmt: skip
    assert members(session, "some") == inside
