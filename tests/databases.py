"""Databases of a test's own: copies of the migrated one, or of one that was filled once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import psycopg
from sqlalchemy import Engine

from workers.servers import Postgres

Made = TypeVar("Made")


class Databases:
    """What one PostgreSQL holds; `engine` is that of the migrated database, which nobody may be in while it is copied."""

    def __init__(self, postgres: Postgres, engine: Engine) -> None:
        self._postgres, self._engine = postgres, engine
        self._filled: dict[str, tuple[str, object]] = {}

    @contextmanager
    def copy(self, template: str = "kesher") -> Iterator[str]:
        """A database like `template` while it is needed; its address."""
        name = self._make(template)
        yield self._postgres.url_for(name)
        self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def filled(self, name: str, fill: Callable[[str], Made]) -> tuple[str, Made]:
        """A database to copy, which `fill` (given its address, leaving no connection behind) filled when it was first asked for; what that returned."""
        if name not in self._filled:
            template = self._make("kesher")
            self._filled[name] = template, fill(self._postgres.url_for(template))
        template, made = self._filled[name]
        return template, cast(Made, made)

    def _make(self, template: str) -> str:
        name = f"t{os.urandom(6).hex()}"
        self._engine.dispose()
        self._say(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def _say(self, statement: str) -> None:
        with psycopg.connect(self._postgres.url_for("postgres"), autocommit=True) as connection:
            connection.execute(statement)
