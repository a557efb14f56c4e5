"""How much marketing went to an address lately, whoever it belongs to and whatever journey sent it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.messages.sending import Cap

ALL = ""  # the cap on all channels together
DAY, WEEK = dt.timedelta(days=1), dt.timedelta(days=7)


@dataclass(slots=True)
class Spent:
    """What counts against the caps: (when, channel) by address. `busy` are addresses whose count another transaction is about to change."""

    caps: Mapping[str, Cap]
    went: defaultdict[str, list[tuple[dt.datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    busy: frozenset[str] = frozenset()

    def note(self, address: str, channel: str, at: dt.datetime) -> None:
        """One more goes to it."""
        self.went[address].append((at, channel))

    def room_at(self, address: str, channel: str, now: dt.datetime) -> dt.datetime | None:
        """When one more fits in, as far as is known now; None where it does at once."""
        return max(self._full(self.went.get(address, []), channel, now), default=None)

    def _full(self, went: Collection[tuple[dt.datetime, str]], channel: str, now: dt.datetime) -> Iterator[dt.datetime]:
        for name in (ALL, channel):
            cap = self.caps.get(name, Cap())
            for most, window in ((cap.day, DAY), (cap.week, WEEK)):
                times = sorted((at for at, used in went if at > now - window and name in (ALL, used)), reverse=True)
                if most is not None and len(times) >= most:
                    yield times[most - 1] + window


def spent(session: Session, caps: Mapping[str, Cap], addresses: Collection[str], now: dt.datetime, *, hold: bool) -> Spent:
    """Count what went to these addresses. With `hold` nobody else counts them until this transaction ends; those that somebody does are `busy`."""
    found = Spent(caps)
    if not caps or not addresses:
        return found
    if hold:
        held = session.execute(text(_HOLD), {"addresses": sorted(set(addresses))}).all()
        found.busy = frozenset(row.address for row in held if not row.ours)
    for row in session.execute(text(_WENT), {"addresses": list(set(addresses)), "since": now - WEEK}):
        found.note(row.address, row.channel, row.at)
    return found


# The lock is on the address, not on the person: two people may share one. Whoever does not get it leaves the message to the next claim,
# so that nobody waits here with people locked. The count is a statement of its own: it must see what was committed before the lock came free.
_HOLD = """
SELECT a.address, pg_try_advisory_xact_lock(hashtextextended(a.address, 1128353875)) AS ours
FROM unnest(CAST(:addresses AS text[])) a(address)
"""
_WENT = """
SELECT address, channel, coalesce(marked_at, sent_at, created_at) AS at FROM messages
WHERE address = ANY(CAST(:addresses AS text[])) AND purpose = 'marketing' AND status IN ('sending', 'sent', 'unknown')
  AND coalesce(marked_at, sent_at, created_at) > :since
"""
