"""The database: one declarative base, shared column types, engines and sessions."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Annotated, Any

import psycopg
from sqlalchemy import DateTime, Engine, MetaData, Numeric, String, create_engine
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.exc import DBAPIError, PendingRollbackError, TimeoutError
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, sessionmaker

from crm.core.json import dumps, loads

Id = Annotated[uuid.UUID, mapped_column(UUID(as_uuid=True))]
Time = Annotated[dt.datetime, mapped_column(DateTime(timezone=True))]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
JsonList = Annotated[list[Any], mapped_column(JSONB)]
Money = Annotated[Decimal, mapped_column(Numeric(20, 6))]
Currency = Annotated[str, mapped_column(String(3))]
# Whose a row was before joins moved it; empty where it never moved. An undone join reads it.
Given = Annotated[uuid.UUID | None, mapped_column(UUID(as_uuid=True))]


class Base(DeclarativeBase):
    """Every table. A column with personal data says so by `info={"personal": "<what>"}`."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def sqlalchemy_url(url: str) -> str:
    """`postgres://` and `postgresql://` mean psycopg 3 here."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else url


def engine_for(url: str, *, pool_size: int = 5, **options: Any) -> Engine:
    """An engine whose sessions speak UTC and whose JSON goes through orjson."""
    return create_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # they are people's names and addresses: an error's text goes to logs and to quarantine
        json_serializer=dumps,
        json_deserializer=loads,
        connect_args={"options": "-c timezone=UTC -c jit=off", "prepare_threshold": 3},
        **options,
    )


def sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


def is_passing(error: BaseException) -> bool:
    """Whether the database failed for a reason of its own (away, stopped, full, a deadlock), so that the same work may succeed later.

    What it will not take however often it is asked (a value too long for an index, a number out of range) is not passing, though the driver
    calls some of it operational too.
    """
    if isinstance(error, PendingRollbackError | TimeoutError):  # the latter: every connection is taken
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:  # no answer at all: the connection broke
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return cause.sqlstate[:2] in _PASSING


def in_short(error: Exception) -> str:
    """An error for a person to read: the database's own words, without the statement and the values they are about."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return f"{type(cause).__name__}: {said or cause}"[:500]


_PASSING = frozenset({"08", "40", "53", "55", "57", "58"})  # classes of SQLSTATE: connection, rollback, resources, locks, operator, system
