"""Write keys: made and shown once, found by digest, revoked; and what a web process remembers of them."""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, sessionmaker

from crm.core.crypto import digest, new_secret
from crm.core.errors import InvalidError, NotFoundError
from crm.events.models import SYSTEM_SOURCE, Source, WriteKey

BROWSER, SERVER = "browser", "server"
PREFIX = {BROWSER: "kb", SERVER: "ks"}
LONGEST = 200  # characters of anything worth looking up
REMEMBERED = 5.0  # seconds a known key is believed: a revoked one stops within them
FORGOTTEN = 2.0  # seconds an unknown key stays unknown
MOST_UNKNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Door:
    """What a valid write key opens."""

    key_id: int
    source_id: int
    trusted: bool  # a server key
    digest: bytes
    allowed_origins: frozenset[str]  # empty: any


def create(session: Session, *, source_name: str, kind: str) -> str:
    """A new key for a source, which is made where there is none of that name. Returns the secret: it is stored nowhere."""
    name = source_name.strip()
    if kind not in PREFIX:
        raise InvalidError(f"A key is of kind browser or server, not {kind!r}.")
    if not name:
        raise InvalidError("The source needs a name, for example the shop's.")
    session.execute(insert(Source).values(name=name).on_conflict_do_nothing())
    source_id = session.scalars(select(Source.id).where(Source.name == name)).one()
    if source_id == SYSTEM_SOURCE:
        raise InvalidError(f"{name} is Kesher's own source and takes no calls from outside; choose another name.")
    secret = new_secret(PREFIX[kind])
    session.add(WriteKey(source_id=source_id, kind=kind, digest=digest(secret), hint=secret[-4:]))
    session.flush()
    return secret


def find(session: Session, *, secret: str) -> Door | None:
    """What this key opens; None for an unknown or revoked one."""
    statement = select(WriteKey, Source).join(Source, Source.id == WriteKey.source_id).where(WriteKey.digest == digest(secret), WriteKey.revoked_at.is_(None))
    found = session.execute(statement).one_or_none()
    if found is None:
        return None
    key, source = found
    return Door(key.id, key.source_id, key.kind == SERVER, key.digest, _origins(source.settings))


def revoke(session: Session, *, key_id: int, now: dt.datetime) -> None:
    """This key opens nothing any more; web processes notice within five seconds."""
    changed = session.scalar(update(WriteKey).where(WriteKey.id == key_id, WriteKey.revoked_at.is_(None)).values(revoked_at=now).returning(WriteKey.id))
    if changed is None:
        raise NotFoundError("There is no such key in use.")


class KeyRing:
    """The keys one process has seen lately. Errors of the database pass through."""

    def __init__(self, session_factory: sessionmaker[Session]) -> None:
        self._sessions = session_factory
        self._known: dict[str, tuple[float, Door]] = {}
        self._unknown: dict[str, float] = {}
        self._lock = threading.Lock()  # one look-up at a time: guessing keys costs one connection at most

    def find(self, secret: str) -> Door | None:
        """What this key opens, as of a few seconds ago at most."""
        known = self._known.get(secret)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        if not secret or len(secret) > LONGEST or not secret.isascii() or self._unknown.get(secret, 0.0) > time.monotonic():
            return None
        with self._lock:
            return self._look_up(secret)

    def _look_up(self, secret: str) -> Door | None:
        known = self._known.get(secret)
        if known is not None and known[0] > time.monotonic():
            return known[1]  # another thread looked while this one waited
        with self._sessions() as session:
            door = find(session, secret=secret)
        if door is not None:
            self._known[secret] = (time.monotonic() + REMEMBERED, door)
            self._unknown.pop(secret, None)
            return door
        self._known.pop(secret, None)
        if len(self._unknown) >= MOST_UNKNOWN:
            self._unknown.clear()
        self._unknown[secret] = time.monotonic() + FORGOTTEN
        return None


def _origins(settings: dict[str, object]) -> frozenset[str]:
    listed = settings.get("allowed_origins")
    return frozenset(str(one).strip().rstrip("/").lower() for one in listed) if isinstance(listed, list) else frozenset()
