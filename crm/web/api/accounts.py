"""`/accounts`: companies, made and changed by key, and the people who belong to them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar

from pydantic import Field
from sqlalchemy.orm import Session

from crm.analytics.account_view import AccountRow, AccountView, account, accounts
from crm.core.errors import InvalidError, NotFoundError
from crm.core.paging import UUID
from crm.profiles import accounts as companies
from crm.profiles.account_models import ROLES
from crm.profiles.find import named
from crm.web.api.operation import Items, Paged, Wanted, blueprint, items, operation

bp = blueprint("accounts")
NONE = "There is no account with this id. Find its id with `GET /api/v1/accounts?search=name`."
WRITERS = ("admin", "marketer", "sales")


class AccountsWanted(Paged):
    search: str = Field("", max_length=200, description="The beginning of a name, key or domain.")
    cursor_form: ClassVar[str] = rf"[^\x00]*\.{UUID}"
    cursor: str | None = Field(None, max_length=400, description="The `next` of the page before.")


class NewAccount(Wanted):
    key: str = Field(min_length=1, max_length=200, description="What your systems call the company; the `groupId` of group calls.")
    name: str | None = Field(None, max_length=200)
    domain: str | None = Field(None, max_length=200)
    parent: str | None = Field(None, max_length=200, description="The key of the company above.")
    traits: dict[str, Any] = Field(default_factory=dict, max_length=100, description="For example price_list, payment_terms, contract_end; null forgets one.")


class NewMember(Wanted):
    person: str = Field(max_length=400, description="`kind:value`, for example `email:dana@example.com`, or a profile's id.")
    role: str = Field("member", max_length=40, description=f"One of {', '.join(ROLES)}.")


@operation(bp, "/accounts", answer=Items[AccountRow], query=AccountsWanted, summary="Companies by name")
def list_accounts(session: Session, *, query: AccountsWanted, now: dt.datetime) -> Items[AccountRow]:
    return items(accounts(session, query.search, after=query.cursor, limit=query.limit))


@operation(bp, "/accounts/<uuid:account_id>", answer=AccountView, summary="One company with its people, its terms and what it ordered")
def one_account(session: Session, *, account_id: uuid.UUID, now: dt.datetime) -> AccountView:
    found = account(session, account_id)
    if found is None:
        raise NotFoundError(NONE)
    return found


@operation(bp, "/accounts", answer=AccountView, body=NewAccount, roles=WRITERS, summary="Make or change a company by its key")
def save_account(session: Session, *, body: NewAccount, now: dt.datetime) -> AccountView:
    saved = companies.save(session, key=body.key, name=body.name, domain=body.domain, parent=body.parent, traits=body.traits, now=now)
    return one_account(session, account_id=saved.id, now=now)


@operation(
    bp, "/accounts/<uuid:account_id>/members", answer=AccountView, body=NewMember, roles=WRITERS, summary="Give a person a part in a company", finds=True
)
def add_member(session: Session, *, account_id: uuid.UUID, body: NewMember, now: dt.datetime) -> AccountView:
    who = named(session, body.person)
    if who is None:
        raise InvalidError("person: nobody has this identity; write it as kind:value, for example email:dana@example.com.")
    companies.set_member(session, account_id=account_id, profile_id=who, role=body.role, now=now)
    return one_account(session, account_id=account_id, now=now)
