"""What a mapping may say: the columns of a file, and which events its lines become."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

import crm.events
from crm.core.errors import InvalidError
from crm.core.json import dumps

SHIPPED = Path(crm.events.__file__).parent / "mappings"
IDENTITIES = ("user_id", "anonymous_id", "email", "phone")
OPERATORS = ("is", "is_not", "in", "starts_with", "not_starts_with", "above", "below", "at_least", "at_most", "present")


class Strict(BaseModel):
    """A part of a mapping: what it does not know is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Column(Strict):
    """How one column is read. `column` names it in the file where that differs; a dotted name reaches into JSON."""

    type: Literal["text", "int", "money", "bool", "time", "number", "price", "date", "email", "phone", "words"] = "text"
    column: str | None = None
    place: int | None = Field(None, ge=0)  # where it stands, from 0; for files whose names are missing or doubled
    format: str = "iso"  # iso | unix | unix_ms | day_first | month_first (many spellings of a day) | a strptime format
    zone: str = "UTC"  # of times that carry none
    bad: Literal["reject", "note"] = "reject"  # a bad value rejects its line, or is left out of it and counted


class Condition(Strict):
    """One test of one column; exactly one operator."""

    column: str
    is_: Any = Field(None, alias="is")
    is_not: Any = None
    in_: list[Any] | None = Field(None, alias="in")
    starts_with: str | None = None
    not_starts_with: str | None = None
    above: int | float | str | None = None
    below: int | float | str | None = None
    at_least: int | float | str | None = None
    at_most: int | float | str | None = None
    present: bool | None = None

    @model_validator(mode="after")
    def one_operator(self) -> Condition:
        """Two operators in one condition would hide an `and`."""
        if len(self.model_fields_set - {"column"}) != 1:
            raise ValueError(f"give exactly one of {', '.join(OPERATORS)}")
        return self

    @property
    def operator(self) -> tuple[str, Any]:
        """Its name and what to compare with."""
        name = next(iter(self.model_fields_set - {"column"}))
        return name.rstrip("_"), getattr(self, name)


class Rule(Strict):
    """Which event lines become. The first rule whose `when` holds takes a line, unless it says `also`: then the next ones try too.

    An `also` rule of type `identify` speaks only when a person's traits are news.
    """

    type: Literal["track", "identify", "page", "screen"] = "track"
    event: str | None = None
    named_by: str | None = None  # a column that holds each event's name
    when: list[Condition] = []
    also: bool = False
    group_by: list[str] = []
    time: str | None = None
    id: str | None = None  # a natural key; without one, the file and the line (or the group)
    identities: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    context: dict[str, Any] = {}

    @model_validator(mode="after")
    def named(self) -> Rule:
        """A track event without a name is none."""
        if self.type == "track" and not (self.event or self.named_by):
            raise ValueError("a track event needs `event`, its name, or `named_by`, the column that holds it")
        if self.also and self.group_by:
            raise ValueError("a rule with `also` makes an event of each line; it cannot group")
        return self


class LeftOut(Strict):
    """Lines that are left out, and the words under which they are counted."""

    reason: str
    when: list[Condition] = Field(min_length=1)


class Window(Strict):
    """The time the file is about. Outside it a line is rejected, or kept and only counted."""

    earliest: AwareDatetime | None = None
    before: AwareDatetime | None = None
    outside: Literal["reject", "keep"] = "reject"


class Mapping(Strict):
    """One file format. `calls: segment` instead of columns and events: each JSON line is a whole call of the tracking API."""

    title: str = ""
    calls: Literal["segment"] | None = None
    format: Literal["auto", "csv", "jsonl", "parquet", "xlsx"] = "auto"
    header: bool = True
    width: int | None = Field(None, ge=1)  # how many columns a line has, where the columns below are named by their place
    sheet: str | None = None  # of a workbook; the first where it is not said
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    empty: list[str] = [""]
    columns: dict[str, Column] = {}
    time: str | None = None
    as_of: AwareDatetime | None = None  # when a line is true that carries no time of its own
    identities: dict[str, Any] = {}
    leave_out: list[LeftOut] = []
    events: list[Rule] = []
    window: Window = Window()
    drop_duplicate_lines: bool = False
    group_within: int = Field(default=10_000, ge=1, le=1_000_000)  # a group is complete when this many lines brought nothing for it

    @field_validator("columns", mode="before")
    @classmethod
    def shorthand(cls, value: Any) -> Any:
        """`Quantity: int` is short for `Quantity: {type: int}`."""
        return {name: {"type": one} if isinstance(one, str) else one for name, one in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def complete(self) -> Mapping:
        """Everything a rule needs is there, once."""
        if self.calls:
            if self.columns or self.events or self.identities:
                raise ValueError("`calls` stands alone: its lines already are events, so leave out `columns`, `identities` and `events`")
            return self
        if not self.columns or not self.events:
            raise ValueError("name the `columns` and at least one of `events`")
        for number, rule in enumerate(self.events, 1):
            if not (rule.time or self.time or self.as_of):
                raise ValueError(f"event {number} has no `time`; name the column that says when it happened")
            if not (rule.identities or self.identities):
                raise ValueError(f"event {number} has no `identities`; say whose it is")
        return self

    @property
    def digest(self) -> bytes:
        """Changes with the meaning of the mapping, not with its spelling."""
        return hashlib.sha256(dumps(self.model_dump(mode="json", by_alias=True, exclude={"as_of"})).encode()).digest()


class _Loader(yaml.SafeLoader):
    """YAML in which only `true` and `false` are truth: a column may be called no, on or y."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"] for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def shipped() -> list[str]:
    """The mappings that come with Kesher, by name."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name: str) -> Mapping:
    """A mapping by the path of its file, or by the name of a shipped one."""
    path = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name)
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"The mapping {name} cannot be read. Give the path of a YAML file, or one of: {', '.join(shipped())}.") from error


def parse(text: str) -> Mapping:
    """A mapping from YAML; what is wrong is an InvalidError that names the place."""
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidError(f"The mapping is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise InvalidError("The mapping is empty; it needs at least `columns` and `events`.")
    try:
        return Mapping.model_validate(raw)
    except ValidationError as error:
        raise InvalidError("\n".join(_sentence(one) for one in error.errors())) from error


def _sentence(error: Any) -> str:
    where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in error["loc"])
    words = str(error["msg"]).removeprefix("Value error, ")
    words = "this word is not known here" if error["type"] == "extra_forbidden" else words
    return f"In the mapping{f', at {where}' if where else ''}: {words[:1].lower()}{words[1:]}."
