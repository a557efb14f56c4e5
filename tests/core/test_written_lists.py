"""Lists and lines written for PostgreSQL by hand arrive as they were."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import array, copied, dumps, loads
from crm.events.inbox import as_text, driver
from crm.events.spec import Call

NASTY = ["", "NULL", "null", "a,b", "{x}", 'say "hi"', "back\\slash", "\\N", "tab\tand\nline\r", "ע״ב", "it's", " blank ", "\x07"]
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)


def test_texts_come_back_as_they_were(session: Session):
    assert session.scalar(text("SELECT CAST(:x AS text[])"), {"x": array(NASTY)}) == NASTY
    assert session.scalar(text("SELECT CAST(:x AS text[])"), {"x": array([*NASTY, None])}) == [*NASTY, None]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid[]", [uuid.UUID(int=7), None]),
        ("timestamptz[]", [NOW, None]),
        ("numeric[]", [Decimal("12.500000"), Decimal(0), None]),
        ("boolean[]", [True, False, None]),
        ("bigint[]", [1, -5, None]),
        ("text[]", []),
    ],
)
def test_other_kinds_too(session: Session, kind: str, values: list[object]):
    assert session.scalar(text(f"SELECT CAST(:x AS {kind})"), {"x": array(values)}) == values


def test_a_copied_line_is_read_back_as_it_was(session: Session):
    session.execute(text("CREATE TEMP TABLE copied_lines (n int, said text) ON COMMIT DROP"))
    with driver(session).cursor().copy("COPY copied_lines FROM STDIN") as copy:
        copy.write("".join(f"{n}\t{copied(said)}\n" for n, said in enumerate(NASTY)))
    assert list(session.scalars(text("SELECT said FROM copied_lines ORDER BY n"))) == NASTY


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (r"^\u0000$", r"^\u0000$"),  # six letters, not a character
        ("a\x00\x00b", "ab"),
        ("\\\x00", "\\"),
        (r"\\u0000", r"\\u0000"),
    ],
)
def test_only_the_character_nul_is_dropped(session: Session, said: str, kept: str):
    assert session.scalar(text("SELECT CAST(:x AS jsonb) -> 'x'"), {"x": dumps({"x": said})}) == kept
    call = Call(type="track", event="E", properties={said: said})
    assert loads(as_text(call))["properties"] == {kept: kept}
