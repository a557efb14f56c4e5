"""Find people by beginnings of words, by any identity, by the end of a phone number: one tsvector('simple') column."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from crm.core.json import array
from crm.core.paging import Page, cursor, read_place

Who = Literal["known", "anonymous", "all"]

BROAD = 3_000  # from this many matches on, walking the newest people finds a page sooner than sorting all matches
LOOK = 2_000  # people seen last among whom a common word fills a page
MAX_WORDS = 8
MAX_WORD = 64  # characters
TRAITS = ("name", "firstName", "first_name", "lastName", "last_name", "username", "email", "phone", "city", "company")
# These patterns are spelt in code points, so that PostgreSQL reads them alike under every locale.
_MARKS = r"[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4-\u05c7\u05f3\u05f4\u0022\u0027\u0060\u00b4\u2018\u2019\u201c\u201d]"
_GAPS = r"[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u05be\u05c0\u05c3\u2000-\u206f\u3000-\u303f]+"
_BARE = r"^[\u0020\u0021\u0023-\u0026\u0028-\u005f\u0061-\u007e]*$"  # nothing to decompose, no marks
_PHONE = re.compile(r"[\d\s()+./-]*\d[\d\s()+./-]*")

WORDS = "concat_ws(' ', p.name, " + ", ".join(f"p.traits->>'{trait}'" for trait in TRAITS) + ", p.traits->'address'->>'city')"
# The search words of these people, out of `named` (id, words) and of their identities, each read once.
VECTORS = rf"""
mine AS MATERIALIZED (SELECT profile_id, kind, value FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[]))), said AS (
    SELECT id, string_agg(words, ' ') AS words FROM (
        SELECT id, words FROM named
        UNION ALL
        SELECT profile_id, CASE kind WHEN 'anonymous_id' THEN regexp_replace(value, '{_GAPS}', '', 'g') ELSE value END FROM mine
    ) each_ GROUP BY id
), lexemes AS (
    SELECT id, left(word, {MAX_WORD}) AS word FROM said, regexp_split_to_table(lower(
        CASE WHEN words ~ '{_BARE}' THEN words ELSE regexp_replace(normalize(words, NFKD), '{_MARKS}', '', 'g') END
    ), '{_GAPS}') AS word
    UNION ALL
    SELECT profile_id, '~' || reverse(regexp_replace(value, '\D', '', 'g')) FROM mine WHERE kind IN ('phone', 'wa_id')
    UNION ALL
    SELECT profile_id, regexp_replace(value, '^\+972', '0') FROM mine WHERE kind = 'phone' AND value LIKE '+972%'
), vectors AS (
    SELECT id, array_to_tsvector(array_agg(word)) AS search FROM lexemes WHERE word <> '' GROUP BY id
)
"""  # noqa: S608  built from constants of this module
_REFRESH = f"""
WITH named AS (SELECT p.id, {WORDS} AS words FROM profiles p WHERE p.id = ANY(CAST(:ids AS uuid[]))),
{VECTORS}
UPDATE profiles p SET search = v.search FROM vectors v WHERE p.id = v.id AND p.search IS DISTINCT FROM v.search
"""  # noqa: S608  built from constants of this module


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A person in a list."""

    id: uuid.UUID
    name: str
    known: bool
    email: str | None
    phone: str | None
    user_id: str | None
    traits: dict[str, Any]
    first_seen: dt.datetime
    last_seen: dt.datetime


def refresh_search(session: Session, profile_ids: Collection[uuid.UUID]) -> int:
    """Write the search words of these profiles anew, in one statement; returns how many rows changed."""
    if not profile_ids:
        return 0
    found: Any = session.execute(text(_REFRESH), {"ids": array(list(profile_ids))})
    return int(found.rowcount)


def query_for(words: str) -> str | None:
    """The tsquery text for what somebody typed: each word as a beginning, all of them wanted; None where there is no word.

    What looks like one phone number is also looked for as the end of one. No input can break the syntax: words hold no quote and no backslash.
    """
    clean = words.encode("utf-8", "ignore").decode().strip()
    if _PHONE.fullmatch(clean) and len(digits := re.sub(r"\D", "", unicodedata.normalize("NFKC", clean))) > 2:
        return f"'{digits[:MAX_WORD]}':* | '~{digits.lstrip('0')[::-1][:MAX_WORD]}':*"
    chunks = [found for chunk in clean.split() if (found := _words(chunk))]
    return " & ".join(_chunk(chunk) for chunk in chunks[:MAX_WORDS]) or None


def _words(chunk: str) -> list[str]:
    plain = re.sub(_MARKS, "", unicodedata.normalize("NFKD", chunk)).lower()
    return [word[:MAX_WORD] for word in re.split(rf"\x00|{_GAPS}", plain) if word][:MAX_WORDS]


def _chunk(words: list[str]) -> str:
    apart = " & ".join(f"'{word}':*" for word in words)
    return apart if len(words) == 1 else f"(({apart}) | '{''.join(words)[:MAX_WORD]}':*)"


_KNOWN = {"known": "p.known", "anonymous": "NOT p.known", "all": "true"}


def search(session: Session, words: str = "", *, after: str | None = None, limit: int = 50, who: Who = "known") -> Page[ProfileRow]:
    """People whose name, traits or identities begin with these words, last seen first; without words, everybody.

    `after` is the `next` of the page before. `who` says whether people known only by anonymous ids are wanted.
    """
    query = query_for(words) if words.strip() else ""
    if query is None:
        return Page([], None)
    start = read_place(after)
    values = {"query": query, "limit": limit + 1, "at": start[0] if start else None, "id": start[1] if start else None, "broad": BROAD}
    after_sql = "AND (p.last_seen, p.id) < (:at, :id)" if start else ""
    found = _found(session, query=query, who=who, after_sql=after_sql, values=values)
    rows = [_row(row) for row in found[:limit]]
    return Page(rows, cursor(rows[-1].last_seen, rows[-1].id) if len(found) > limit else None)


def by_ids(session: Session, ids: Collection[uuid.UUID]) -> list[ProfileRow]:
    """These people as a list shows them, last seen first."""
    page = "SELECT unnest(CAST(:ids AS uuid[])) AS id"
    return [_row(row) for row in session.execute(text(_SHOW.format(page=page)), {"ids": list(ids)})]


def _found(session: Session, *, query: str, who: Who, after_sql: str, values: dict[str, Any]) -> list[Row[Any]]:
    """Common words are found among the people seen last, rare ones by the inverted index, the rest by walking on; the page is the same each way."""
    if query:
        near = _near(session, who=who, after_sql=after_sql, values=values)
        if len(near) == values["limit"]:
            return near
        few = _few(session, who=who, values=values)
        if few is not None:
            page = _PAGE.format(rows=_AMONG.format(more=after_sql))
            return list(session.execute(text(_SHOW.format(page=page)), {**values, "few": few}))
    page = _PAGE.format(rows=_walks(who, after_sql, matching=bool(query), limit=":limit"))
    return list(session.execute(text(_SHOW.format(page=page)), values))


def _near(session: Session, *, who: Who, after_sql: str, values: dict[str, Any]) -> list[Row[Any]]:
    """The matches among the few thousand people seen last."""
    latest = _NEAR.format(rows=_walks(who, after_sql, matching=False, limit=":look"))
    page = _PAGE.format(rows=latest)
    return list(session.execute(text(_SHOW.format(page=page)), {**values, "look": LOOK}))


def _few(session: Session, *, who: Who, values: dict[str, Any]) -> list[uuid.UUID] | None:
    """All matches where they are few, by the inverted index; None where they are many."""
    ids = list(session.scalars(text(_MATCHES.format(known=_KNOWN[who])), values))
    return None if len(ids) >= BROAD else ids


def _walks(who: Who, after_sql: str, *, matching: bool, limit: str) -> str:
    """Down the people seen last; known and anonymous ones have an index each."""
    parts = ["known", "anonymous"] if who == "all" else [who]
    more = ("AND p.search @@ CAST(:query AS tsquery) " if matching else "") + after_sql
    return " UNION ALL ".join(_WALK.format(known=_KNOWN[part], more=more, limit=limit) for part in parts)


_PAGE = "SELECT id, last_seen FROM ({rows}) found ORDER BY last_seen DESC, id DESC LIMIT :limit"
_WALK = "(SELECT p.id, p.last_seen, p.search FROM profiles p WHERE p.merged_into IS NULL AND {known} {more} ORDER BY p.last_seen DESC, p.id DESC LIMIT {limit})"
_NEAR = """
SELECT id, last_seen FROM (SELECT * FROM ({rows}) both_halves ORDER BY last_seen DESC, id DESC LIMIT :look) latest
WHERE search @@ CAST(:query AS tsquery)
"""
_AMONG = "SELECT p.id, p.last_seen FROM profiles p WHERE p.id = ANY(:few) {more}"
_MATCHES = "SELECT p.id FROM profiles p WHERE p.search @@ CAST(:query AS tsquery) AND p.merged_into IS NULL AND {known} LIMIT :broad"
_SHOW = """
SELECT p.id, p.name, p.known, p.traits, p.first_seen, p.last_seen, i.email, i.phone, i.user_id
FROM ({page}) page JOIN profiles p ON p.id = page.id
CROSS JOIN LATERAL (
    SELECT min(value) FILTER (WHERE kind = 'email') AS email, min(value) FILTER (WHERE kind IN ('phone', 'wa_id')) AS phone,
        min(value) FILTER (WHERE kind = 'user_id') AS user_id
    FROM identities WHERE profile_id = p.id
) i
ORDER BY p.last_seen DESC, p.id DESC
"""


def _row(row: Row[Any]) -> ProfileRow:
    return ProfileRow(row.id, row.name, row.known, row.email, row.phone, row.user_id, row.traits, row.first_seen, row.last_seen)
