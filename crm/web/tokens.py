"""Bearer tokens for the API: made once, kept as a digest, ended by a click."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.core.crypto import digest, new_secret
from crm.core.errors import InvalidError, NotFoundError
from crm.web.models import ROLES, ApiToken

PREFIX = "kt"
USED_EVERY = dt.timedelta(minutes=1)  # how exactly `last_used_at` is kept


def create_token(session: Session, *, name: str, role: str) -> str:
    """A new token with a role; the text is shown this once and cannot be read again."""
    if role not in ROLES:
        raise InvalidError(f"There is no role {role!r}; choose one of {', '.join(ROLES)}.")
    secret = new_secret(PREFIX)
    session.add(ApiToken(name=name.strip() or f"{role} token", role=role, digest=digest(secret)))
    session.flush()
    return secret


def authenticate(session: Session, secret: str, now: dt.datetime) -> ApiToken | None:
    """The token this text belongs to, with its use noted; None where it is unknown or ended."""
    token = session.scalar(select(ApiToken).where(ApiToken.digest == digest(secret), ApiToken.revoked_at.is_(None)))
    if token is not None and (token.last_used_at is None or now - token.last_used_at >= USED_EVERY):
        token.last_used_at = now
    return token


def revoke_token(session: Session, token_id: int, now: dt.datetime) -> None:
    """End a token at once; NotFoundError where there is none."""
    token = session.get(ApiToken, token_id)
    if token is None:
        raise NotFoundError("There is no such token. Reload the page to see those there are.")
    token.revoked_at = token.revoked_at or now


def tokens(session: Session) -> Sequence[ApiToken]:
    """All tokens, those in use first, then the newest."""
    return session.scalars(select(ApiToken).order_by(ApiToken.revoked_at.is_not(None), ApiToken.id.desc())).all()
