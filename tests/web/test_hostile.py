"""Whatever stands in an address, a page or operation answers with a sentence, never with a failure of ours."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from crm.web.auth import safe_next
from crm.web.tokens import create_token
from tests.web.conftest import Browser
from tests.web.shop import open_shop

HUGE = "9" * 30
ODD = ["\x00", "'\"><script>", HUGE, "-1", "\u202e", "a" * 3000]
ARGUMENTS = (
    "q",
    "before",
    "after",
    "cursor",
    "limit",
    "kind",
    "status",
    "source",
    "profile",
    "run",
    "days",
    "reason",
    "who",
    "width",
    "language",
    "next",
    "page",
    "node",
)


def addresses(app: Flask, odd: str) -> Iterator[str]:
    """Every address that takes GET, with this text in each of its places, and as every argument."""
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint == "static":
            continue
        path = re.sub(r"<int:[^>]+>", HUGE, rule.rule)
        path = re.sub(r"<uuid:[^>]+>", "00000000-0000-7000-8000-000000000000", path)
        path = re.sub(r"<[^>]+>", quote(odd, safe=""), path)
        yield path + "?" + "&".join(f"{name}={quote(odd)}" for name in ARGUMENTS)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_no_address_breaks_a_page(session: Session, now: dt.datetime, app: Flask, browser_as: Callable[[str], Browser], odd: str) -> None:
    open_shop(session, now)
    browser = browser_as("admin")
    token = create_token(session, name="t", role="admin")
    session.commit()
    broken = []
    for path in addresses(app, odd):
        answer = browser.get(path, **({"Authorization": f"Bearer {token}"} if path.startswith("/api/") else {}))
        if answer.status_code >= 500:
            broken.append((answer.status_code, path[:80]))
    assert broken == []


@pytest.mark.parametrize(
    "odd", [f"/{a}/shop.example" for a in ("\t", "\x0b", "\x1f", "\x00", "\n", "\\", "", "\x7f", "\r")] + ["\t//x", " /", "https:/x", "//x", "/ /x", None, ""]
)
def test_nobody_is_sent_away_after_signing_in(odd: str | None) -> None:
    assert safe_next(odd) == "/"


def test_a_path_of_ours_is_gone_on_to() -> None:
    assert safe_next("/people?q=דנה&who=all") == "/people?q=דנה&who=all"
