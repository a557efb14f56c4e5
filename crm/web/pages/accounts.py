"""Accounts: companies, who belongs to them, what they agreed on and what their people do."""

from __future__ import annotations

import uuid

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select
from werkzeug.wrappers import Response

from crm.analytics import account_view
from crm.core import clock
from crm.core.errors import InvalidError, NotFoundError
from crm.core.i18n import _l
from crm.profiles import accounts
from crm.profiles.account_models import ROLES, Account
from crm.profiles.find import named
from crm.web import auth, users
from crm.web.auth import requires
from crm.web.db import db
from crm.web.models import User

bp = Blueprint("accounts", __name__, url_prefix="/accounts")
EDITORS = ("admin", "marketer", "sales")
PAGE = 50
ROLE_WORDS = {
    "member": _l("Member"),
    "buyer": _l("Buyer"),
    "approver": _l("Approver"),
    "payer": _l("Payer"),
    "viewer": _l("Viewer"),
    "owner": _l("Owner"),
}


@bp.get("")
@requires()
def index() -> str:
    """The list, by name."""
    words, after = request.args.get("q", "").strip()[:200], request.args.get("after")
    return render_template("accounts.html", page=account_view.accounts(db(), words, after=after, limit=PAGE), words=words, after=after, editors=EDITORS)


@bp.post("")
@requires(*EDITORS)
def create() -> Response:
    """A company by hand; its key is what the shop's systems call it."""
    form = request.form
    account = accounts.save(
        db(), key=form.get("key", ""), name=form.get("name") or None, domain=form.get("domain") or None, parent=None, traits={}, now=clock.now()
    )
    _note(account)
    db().commit()
    return redirect(f"/accounts/{account.id}")


@bp.get("/<uuid:account_id>")
@requires()
def one(account_id: uuid.UUID) -> str:
    """One company."""
    return _page(account_id)


def _page(account_id: uuid.UUID, wrong: InvalidError | None = None) -> str:
    """The company's page; with what was typed, and why it is refused, where it is."""
    found = account_view.account(db(), account_id)
    if found is None:
        raise NotFoundError(_("There is no such account."))
    people = {user.id: user.name for user in db().scalars(select(User).where(User.active).order_by(User.name))}
    events = account_view.account_timeline(db(), account_id, now=clock.now())
    kept = {"owner": str(found.owner_id or ""), "parent": found.above[-1].key if found.above else "", "person": "", "role": ""}
    told = {"typed": {**kept, **request.form.to_dict()}, "wrong": {wrong.field: _(str(wrong))}} if wrong else {"typed": kept, "wrong": {}}
    return render_template("account-page.html", account=found, users=people, events=events, roles=ROLE_WORDS, editors=EDITORS, **told)


@bp.post("/<uuid:account_id>")
@requires(*EDITORS)
def change(account_id: uuid.UUID) -> Response | tuple[str, int]:
    """Who looks after it, and which company stands above. What is refused stays in the form."""
    account = db().get(Account, account_id)
    if account is None:
        raise NotFoundError(_("There is no such account."))
    owner = request.form.get("owner", "")
    account.owner_id = db().scalar(select(User.id).where(User.id == int(owner[:9]))) if owner.isdecimal() else None
    parent = request.form.get("parent", "").strip()
    try:
        _put(account, parent)
    except InvalidError as error:
        db().rollback()
        return _page(account_id, InvalidError(str(error), field="parent")), error.status
    _note(account)
    db().commit()
    flash(_("Saved."), "ok")
    return redirect(f"/accounts/{account_id}")


@bp.post("/<uuid:account_id>/members")
@requires(*EDITORS)
def members(account_id: uuid.UUID) -> Response | tuple[str, int]:
    """Bring somebody in, change a role, take somebody out. Who is not found stays in the form."""
    who = named(db(), request.form.get("person", ""))
    account = db().get(Account, account_id)
    if account is None:
        raise NotFoundError(_("There is no such account."))
    if who is None:
        error = InvalidError(_l("Nobody has this identity. Write it as kind:value, for example email:dana@example.com."), field="person")
        return _page(account_id, error), error.status
    if request.form.get("act") == "remove":
        accounts.remove_member(db(), account_id=account_id, profile_id=who, now=clock.now())
    elif request.form.get("role") in ROLES:
        accounts.set_member(db(), account_id=account_id, profile_id=who, role=request.form["role"], now=clock.now())
    _note(account)
    db().commit()
    return redirect(f"/accounts/{account_id}")


def _put(account: Account, parent: str) -> None:
    if not parent:
        accounts.put_on_top(db(), account, clock.now())
        return
    above = db().scalar(select(Account).where(Account.key == parent))
    if above is None:
        raise InvalidError(_l("There is no account with this key."))
    accounts.save(db(), key=account.key, name=None, domain=None, parent=above.key, traits={}, now=clock.now())


def _note(account: Account) -> None:
    users.audit(db(), user_id=auth.me().user_id, action="account.changed", subject=account.key)
