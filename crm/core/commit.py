"""Row first, task after commit: calls that run only once the transaction is on disk."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session

log = structlog.get_logger()


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Run `call` after this transaction commits; never when it rolls back. It must not touch the session."""
    calls = session.info.setdefault("after_commit", [])
    if call not in calls:
        calls.append(call)


def hint(session: Session, work: str) -> None:
    """Tell the workers after this commit that there is `work` (drain, deliver, …), where the process that made this session has a way to.

    That way is `session.info["hint"]`, calls by name of work, set by the composition root; without it the workers' own sweep finds the rows.
    """
    if send := session.info.get("hint", {}).get(work):
        after_commit(session, send)


@event.listens_for(Session, "after_commit")
def _run(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a released savepoint is not yet a commit
    for call in session.info.pop("after_commit", []):
        try:
            call()
        except Exception:  # the row is in; the sweep finds what a lost hint misses
            log.warning("after_commit_failed", exc_info=True)


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info.pop("after_commit", None)
