"""What makes a function an API operation: a token, a role, models in and out. The OpenAPI document is read off the same."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from sqlalchemy.orm import Session

from crm.core import clock
from crm.core.errors import ForbiddenError, InvalidError, UnauthorizedError
from crm.core.paging import UUID, Page, read_cursor
from crm.web.db import db
from crm.web.models import ROLES, ApiToken, AuditEntry
from crm.web.security import csrf
from crm.web.tokens import authenticate

PREFIX = "/api/v1"
NO_CURSOR = "this is not the `next` of a page before; leave it out to begin with the first page"
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Wanted(BaseModel):
    """What a query string or body may hold; anything else in it is an error."""

    model_config = ConfigDict(extra="forbid")


class Paged(Wanted):
    """How much of a list is wanted, and from where; `cursor_form` is what a position in it looks like."""

    cursor_form: ClassVar[str] = r"[^\x00]*"
    limit: int = Field(50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(None, max_length=100, description="The `next` of the page before.")

    @field_validator("cursor")
    @classmethod
    def _ours(cls, value: str | None) -> str | None:
        if value and not cls.reads(value):
            raise ValueError(NO_CURSOR)
        return value

    @classmethod
    def reads(cls, cursor: str) -> bool:
        """Whether it is a position in this list."""
        return re.fullmatch(cls.cursor_form, cursor, re.ASCII) is not None


class ByTime(Paged):
    """A list in the order of time: its cursor is a time and an id."""

    cursor_id: ClassVar[str] = UUID

    @classmethod
    def reads(cls, cursor: str) -> bool:
        """A time, and an id of this form."""
        place = read_cursor(cursor)
        return place is not None and re.fullmatch(cls.cursor_id, place[1], re.ASCII) is not None


class ById(Paged):
    """A list in the order of ids: its cursor is one."""

    cursor_form: ClassVar[str] = UUID

    @property
    def after(self) -> uuid.UUID | None:
        """The last id of the page before."""
        return uuid.UUID(self.cursor) if self.cursor else None


class Items(BaseModel, Generic[T]):
    """A page of a list. `next` is the cursor of the page after; null on the last one."""

    items: list[T]
    next: str | None = None


class Problem(BaseModel):
    """Why it did not work, as a sentence, and a number to find it in the log."""

    error: str
    id: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path: who may call it, what it takes, what it answers. `reads` is in the path or query, `body` is JSON."""

    method: str
    path: str
    summary: str
    roles: tuple[str, ...]
    query: type[Wanted] | None
    body: type[Wanted] | None
    answer: TypeAdapter[Any]
    finds: bool


def blueprint(name: str) -> Blueprint:
    """The operations about one noun. No cookie counts here, so no form token is asked for."""
    made = Blueprint(f"api_{name}", __name__, url_prefix=PREFIX)
    csrf.exempt(made)
    return made


def items(page: Page[T]) -> Items[T]:
    """A page as the API answers it."""
    return Items(items=page.rows, next=page.next)


def operation(  # each is one thing a caller must know
    bp: Blueprint,
    rule: str,
    *,
    answer: Any,
    summary: str,
    roles: tuple[str, ...] = ROLES,
    query: type[Wanted] | None = None,
    body: type[Wanted] | None = None,
    finds: bool = False,
) -> Callable[[F], F]:
    """Make `view(session, …)` an operation: POST where it takes a body, else GET.

    The view gets the path's parts by name, `query` and `body` as read models where it names them, and `now`. `finds` says that it may answer 404.
    """

    def wrap(view: F) -> F:
        method = "GET" if body is None else "POST"
        described = Operation(method, rule, summary, roles, query, body, TypeAdapter(answer), finds)
        endpoint = f"{method.lower()}_{view.__name__}"
        run = _runner(described, view)
        run.operation = described  # type: ignore[attr-defined]  # where the document finds it
        bp.add_url_rule(rule, endpoint, run, methods=[method])
        return view

    return wrap


def _runner(described: Operation, view: Callable[..., Any]) -> Callable[..., Response]:
    def run(**parts: Any) -> Response:
        session, now = db(), clock.now()
        token = _allowed(session, described.roles, now)
        if described.query:
            parts["query"] = _read(described.query, request.args.to_dict())
        if described.body:
            parts["body"] = _read(described.body, _json())
        found = view(session, now=now, **parts)
        if described.method != "GET":
            session.add(AuditEntry(action=f"api {described.method} {described.path}", subject=f"token {token.id}", detail={"token": token.name}))
        session.commit()
        return Response(described.answer.dump_json(found), content_type="application/json")

    return run


def _allowed(session: Session, roles: tuple[str, ...], now: dt.datetime) -> ApiToken:
    scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
    token = authenticate(session, secret.strip(), now) if scheme.lower() == "bearer" and secret.strip() else None
    if token is None:
        raise UnauthorizedError("Send `Authorization: Bearer` with an API token. `kesher token create` makes one, and an admin can see which are in use.")
    if token.role not in roles:
        raise ForbiddenError(f"This token's role, {token.role}, may not do this. Use a token with one of these roles: {', '.join(roles)}.")
    g.token = token
    return token


def _json() -> Any:
    read = request.get_json(silent=True)
    if read is None:
        raise InvalidError("Send a JSON body with `Content-Type: application/json`.")
    return read


def _read(model: type[Wanted], said: Any) -> Wanted:
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise InvalidError("; ".join(_sentence(dict(one)) for one in error.errors()[:5]) + ".") from error


def _sentence(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the body"
    return f"{place}: {str(error['msg']).removesuffix('.')}"
