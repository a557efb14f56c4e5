"""Who works here: their passwords, roles and the changes they make. Knows nothing of Flask."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm.core.errors import BusyError, InvalidError
from crm.core.i18n import _l
from crm.events.address import normalise_email
from crm.sales import settings, sharing
from crm.web.models import ROLES, AuditEntry, User

HASHER = PasswordHasher()
SHORTEST = 10
AT_ONCE = threading.BoundedSemaphore(2)  # passwords of one process that are looked at together: each takes 64 MB, and anybody may ask
PATIENCE_S = 5.0  # of whoever waits for their turn
SELLERS = ("admin", "sales")  # roles that may take leads
LOOKS = ("profile.viewed", "profile.exported")  # audit entries of who saw whom


def create_user(  # each is a field of the form
    session: Session, *, email: str, name: str, role: str, password: str, language: str | None = None
) -> User:
    """Add somebody who may sign in; InvalidError where the address is taken, the role unknown or the password short."""
    email = email.strip().lower()
    if (
        normalise_email(f"{email.removesuffix('localhost')}test" if email.endswith("localhost") else email) is None
    ):  # a laptop's first user is of no real domain
        raise InvalidError(_l("This is not an e-mail address."))
    if session.scalar(select(User.id).where(User.email == email)):
        raise InvalidError(_l("Somebody with this e-mail address is already here."))
    user = User(email=email, name=name.strip() or email, role=_role(role), password_hash=hash_password(password), language=language)
    session.add(user)
    session.flush()
    return user


def hash_password(password: str) -> str:
    """Argon2id; InvalidError under ten characters."""
    if len(password) < SHORTEST:
        raise InvalidError(_l("A password needs at least ten characters."))
    return HASHER.hash(password)


def authenticate(session: Session, *, email: str, password: str) -> User | None:
    """The active user these belong to, else None; an unknown address costs as much time as a wrong password. BusyError where too many ask at once."""
    with _turn():  # before the question to the database: whoever waits holds no connection
        user = session.scalar(select(User).where(User.email == email.strip().lower(), User.active))
        try:
            HASHER.verify(user.password_hash if user else _nobody(), password)
        except (VerificationError, InvalidHashError):
            return None
        if user and HASHER.check_needs_rehash(user.password_hash):
            user.password_hash = HASHER.hash(password)
        return user


def set_password(user: User, password: str, now: dt.datetime) -> None:
    """A new password; every session of this user ends."""
    user.password_hash = hash_password(password)
    user.sessions_from = now


def set_role(session: Session, user: User, *, role: str, now: dt.datetime) -> None:
    """Another role; sessions end, and one admin always remains."""
    if user.role == "admin" and role != "admin":
        _keep_an_admin(session, user)
    user.role = _role(role)
    user.sessions_from = now
    if role not in SELLERS:
        sharing.leave(session, user.id, now=now)


def set_active(session: Session, user: User, *, active: bool, now: dt.datetime) -> None:
    """Let somebody in again, or shut them out at once, when others get their leads; one admin always remains."""
    if user.role == "admin" and not active:
        _keep_an_admin(session, user)
    user.active = active
    user.sessions_from = now
    if not active:
        sharing.leave(session, user.id, now=now)
        _hand_over(session, user, now)


def audit(session: Session, *, user_id: int | None, action: str, subject: str, detail: dict[str, Any] | None = None) -> None:
    """Write down who changed what; `action` is a code of `change_words.ACTIONS`."""
    session.add(AuditEntry(user_id=user_id, action=action, subject=subject, detail=detail or {}))


@contextmanager
def _turn() -> Iterator[None]:
    if not AT_ONCE.acquire(timeout=PATIENCE_S):
        raise BusyError(_l("We are busy for a moment. Try again shortly."))
    try:
        yield
    finally:
        AT_ONCE.release()


def _role(role: str) -> str:
    if role not in ROLES:
        raise InvalidError(_l("There is no such role."))
    return role


def _keep_an_admin(session: Session, user: User) -> None:
    session.scalars(select(User.id).where(User.role == "admin").with_for_update()).all()
    if not session.scalar(select(func.count()).select_from(User).where(User.role == "admin", User.active, User.id != user.id)):
        raise InvalidError(_l("This is the last admin. Make somebody else an admin first."))


def _hand_over(session: Session, user: User, now: dt.datetime) -> None:
    """What stays late, and went up to them, goes up to an admin who is here."""
    rules = settings.read(session)
    if rules.escalate_to == user.id:
        heir = session.scalar(select(func.min(User.id)).where(User.role == "admin", User.active, User.id != user.id))
        settings.save(session, rules.model_dump(mode="json") | {"escalate_to": heir}, now)


@cache
def _nobody() -> str:
    return HASHER.hash(secrets.token_urlsafe())
