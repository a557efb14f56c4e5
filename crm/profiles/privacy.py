"""What there is about one person, everywhere: the metadata says which columns are personal and how a row is theirs."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, LargeBinary, Table, or_, select, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Session

from crm.core.crypto import Keys
from crm.core.db import Base
from crm.profiles.remains import Words, theirs
from crm.profiles.timeline import follow

How = Literal["profile", "address", "hash", "call"]
ADDRESSES = ("email", "phone", "wa_id")


@dataclass(frozen=True, slots=True)
class Subject:
    """A person: their profile, whoever was joined into it, and every identity."""

    id: uuid.UUID
    ids: tuple[uuid.UUID, ...]
    identities: tuple[tuple[str, str], ...]

    @property
    def addresses(self) -> list[str]:
        """Where they can be written to."""
        return [value for kind, value in self.identities if kind in ADDRESSES]

    def hashes(self, keys: Keys) -> list[bytes]:
        """Under what consent knows their addresses."""
        return [keys.address_hash(kind, value) for kind, value in self.identities if kind in ADDRESSES]


@dataclass(frozen=True, slots=True)
class Place:
    """A table with something about people: by which columns a row is somebody's, and how these name the person."""

    table: Table
    columns: tuple[Column[Any], ...]
    how: How

    @property
    def fate(self) -> str:
        """What an erasure does here: `delete` the rows, `blank` their personal columns, or keep them (`own`: its own record; `keep`: only a hash)."""
        return "keep" if self.how == "hash" else str(self.table.info.get("erasure", "delete"))

    @property
    def personal(self) -> list[Column[Any]]:
        """The columns that say something about a person."""
        return [column for column in self.table.columns if "personal" in column.info]


def places() -> Iterator[Place]:
    """Every table that knows people, those that others refer to last."""
    for table in reversed(Base.metadata.sorted_tables):
        named: list[tuple[Column[Any], How]] = [(column, how) for column in table.columns if (how := _how(column))]
        if named:
            yield Place(table, tuple(column for column, _ in named), named[0][1])


def subject(session: Session, profile_id: uuid.UUID) -> Subject | None:
    """The person with this id, or whom they were joined into; None where there is none."""
    owner = follow(session, profile_id)
    if owner is None:
        return None
    ids = session.scalars(text("SELECT id FROM profiles WHERE id = :id OR merged_into = :id ORDER BY id"), {"id": owner}).all()
    found = session.execute(text("SELECT kind, value FROM identities WHERE profile_id = ANY(CAST(:ids AS uuid[])) ORDER BY kind, value"), {"ids": list(ids)})
    return Subject(owner, tuple(ids), tuple((kind, value) for kind, value in found))


def rows_of(session: Session, place: Place, who: Subject, keys: Keys) -> list[dict[str, Any]]:
    """What this place knows of a person, in the words of its columns; what only a machine reads (search vectors, hashes) is left out."""
    shown = [c for c in place.table.columns if not isinstance(c.type, TSVECTOR | LargeBinary) or "personal" in c.info and not isinstance(c.type, TSVECTOR)]
    order = [c for c in place.table.columns if c.name in {"occurred_at", "at", "created_at", "ordered_at", "received_at"}][:1]
    found = session.execute(select(*shown).where(condition(session, place, who, keys)).order_by(*order, *place.table.primary_key.columns))
    return [{name: _plain(value) for name, value in row._mapping.items()} for row in found]


def export(session: Session, who: Subject, keys: Keys, now: dt.datetime) -> dict[str, Any]:
    """Everything about one person: `{"format", "made_at", "profile_id", "identities", "tables": {name: [row, …]}}`, tables without a row left out."""
    tables = {place.table.name: rows for place in places() if (rows := rows_of(session, place, who, keys))}
    return {
        "format": "kesher-person/1",
        "made_at": now.isoformat(),
        "profile_id": str(who.id),
        "identities": [{"kind": kind, "value": value} for kind, value in who.identities],
        "tables": dict(sorted(tables.items())),
    }


def condition(session: Session, place: Place, who: Subject, keys: Keys) -> ColumnElement[bool]:
    """Which rows of a place are this person's."""
    if place.how == "profile":
        return or_(*(column.in_(who.ids) for column in place.columns))
    if place.how == "address":
        return or_(*(column.in_(who.addresses) for column in place.columns))
    if place.how == "hash":
        return place.columns[0].in_(who.hashes(keys))
    found = theirs(session, place.table, place.columns[0], Words.of(who.ids, who.identities))
    return place.table.c.id.in_(found)


def _how(column: Column[Any]) -> How | None:
    if column.name == "profile_id":
        return "profile"
    if column.name == "address_hash":
        return "hash"
    said: How | None = column.info.get("subject")
    return said


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if isinstance(value, dt.datetime) else str(value) if isinstance(value, uuid.UUID) else value
