"""A segment's rule as a plug-in: settings, one SQL condition over a profile, the same read in Python, when time alone may change it."""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator

from crm.core.crypto import Keys
from crm.core.errors import SaidError
from crm.core.i18n import _l

UNKEPT = re.compile("[\0\ud800-\udfff]")  # what no text of PostgreSQL's holds, and half a character


class Settings(BaseModel):
    """What a marketer sets; anything else is refused, and what could not be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        if isinstance(value, str) and UNKEPT.search(value):
            raise SaidError(_l("there is a character in it that cannot be kept"))
        if isinstance(value, int) and abs(value) >= 2**63:
            raise SaidError(_l("a number so large cannot be kept"))
        return value


@dataclass(frozen=True, slots=True)
class Place:
    """What evaluation needs to know of the installation."""

    keys: Keys
    timezone: str = "Asia/Jerusalem"


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as rules read it."""

    name: str
    occurred_at: dt.datetime
    accepted: int
    properties: Mapping[str, Any]
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class OrderFact:
    """An order that stands."""

    ordered_at: dt.datetime
    net: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class CartFact:
    """A cart as folded."""

    status: str
    value: Decimal
    currency: str
    changed_at: dt.datetime
    recovered: bool
    items: int


@dataclass(frozen=True, slots=True)
class AccountFact:
    """A company they belong to: their role, its traits, how many its members are, and how many of those are in each segment."""

    role: str
    traits: Mapping[str, Any]
    members: int = 1
    segments: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Person:
    """Everything rules may read about one profile, as values."""

    bucket: int = 0
    traits: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Seen] = ()
    orders: Sequence[OrderFact] = ()
    carts: Sequence[CartFact] = ()
    consents: frozenset[tuple[str, str, str]] = frozenset()  # channel, topic, action
    segments: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    timezone: str = "UTC"
    home: str = "UTC"  # the installation's zone
    computed: Mapping[str, Any] = field(default_factory=dict)
    accounts: Sequence[AccountFact] = ()


@dataclass(frozen=True, slots=True)
class Reads:
    """What can change a rule's answer besides time. Beside the person themself: `accounts` their companies, `colleagues` who of these is in a segment."""

    events: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    birth: bool = False  # a profile that just began may satisfy it
    lists: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    accounts: bool = False
    colleagues: frozenset[str] = frozenset()

    def __or__(self, other: Reads) -> Reads:
        return Reads(**{one.name: getattr(self, one.name) | getattr(other, one.name) for one in fields(self)})


@dataclass(frozen=True, slots=True)
class Clause:
    """SQL: a condition (NULL counts as false), and the moment at which time alone may change it (NULL: never)."""

    holds: str
    due: str | None = None


class Query:
    """One statement being built: bound values, and facts joined to `profiles p`; equal ones are shared."""

    def __init__(self, now: dt.datetime, place: Place, *, restricted: bool, spanned: bool = False, dues: bool = True) -> None:
        self.now, self.place, self.restricted, self.spanned, self.dues = now, place, restricted, spanned, dues
        self.values: dict[str, Any] = {}
        self._joins: dict[str, str] = {}
        self._figures: dict[str, dict[str, str]] = {}

    def bind(self, value: object, kind: str) -> str:
        """A parameter of this PostgreSQL type."""
        name = next((known for known, (said, as_kind) in self._bound.items() if as_kind == kind and type(said) is type(value) and said == value), None)
        if name is None:
            name = f"v{len(self.values)}"
            self.values[name] = value
            self._bound[name] = (value, kind)
        return f"CAST(:{name} AS {kind})"

    @property
    def _bound(self) -> dict[str, tuple[object, str]]:
        return self.__dict__.setdefault("_kinds", {})  # type: ignore[no-any-return]  # the dictionary of an object knows no types

    def only(self, column: str) -> str:
        """Restrict a fact to the changed people, or to a span of ids, where the statement is about them alone."""
        if self.spanned:
            return f"AND {column} > CAST(:low AS uuid) AND {column} <= CAST(:high AS uuid)"
        return f"AND {column} = ANY(CAST(:ids AS uuid[]))" if self.restricted else ""

    def at(self, column: str, path: str) -> str:
        """The value of a name within a jsonb column, the twin of `values.dig`: a name may itself have dots in it."""
        deep = f"({column} #> {self.bind(path.split('.'), 'text[]')})"
        if "." not in path:
            return deep
        name = self.bind(path, "text")
        return f"(CASE WHEN jsonb_exists({column}, {name}) THEN {column} -> {name} ELSE {deep} END)"

    def join(self, body: str) -> str:
        """Left-join a fact (a SELECT with `profile_id`, one row each); returns its alias."""
        return self._joins.setdefault(body, f"f{len(self._joins)}")

    def figure(self, rows: str, value: str, only: str = "") -> str:
        """An aggregate over a person's `rows` (FROM … WHERE …), of those alone that satisfy `only`; figures over the same rows are read in one pass.

        Returns its column: NULL, or 0 of a count, where there is no such row.
        """
        columns = self._figures.setdefault(rows, {})
        column = columns.setdefault(f"{value} FILTER (WHERE {only})" if only else value, f"n{len(columns)}")
        return f"{self._alias(rows)}.{column}"

    def _alias(self, rows: str) -> str:
        return f"g{list(self._figures).index(rows)}"

    @property
    def tables(self) -> str:
        """FROM, with every fact."""
        bodies = dict(self._joins)
        for rows, columns in self._figures.items():
            bodies[f"SELECT profile_id, {', '.join(f'{value} AS {name}' for value, name in columns.items())} {rows} GROUP BY 1"] = self._alias(rows)
        facts = "".join(f"\nLEFT JOIN ({body}) {alias} ON {alias}.profile_id = p.id" for body, alias in bodies.items())
        return f"FROM profiles p{facts}\nWHERE p.merged_into IS NULL {self.only('p.id')}"


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words to translate, with slots filled by values, or by sentences in turn."""

    text: str
    slots: Mapping[str, Any] = field(default_factory=dict)


S = TypeVar("S", bound=Settings)


class Rule(ABC, Generic[S]):
    """One kind of rule; the file's name is the kind."""

    kind: ClassVar[str]
    title: ClassVar[str]
    settings_type: type[S]

    @abstractmethod
    def sql(self, settings: S, query: Query) -> Clause:
        """The condition over `profiles p`."""

    @abstractmethod
    def read(self, settings: S, person: Person, now: dt.datetime) -> bool:
        """The same, of one person's values."""

    @abstractmethod
    def reads(self, settings: S) -> Reads:
        """What can change it."""

    @abstractmethod
    def sentence(self, settings: S) -> Sentence:
        """The rule in words."""
