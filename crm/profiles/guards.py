"""What no join by itself may do: limits per kind, identifiers that lead to nobody, sides that somebody took apart."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.json import array
from crm.profiles.people import Key, Person

LIMITS: Mapping[str, int] = {"user_id": 5, "email": 5, "phone": 5, "wa_id": 5, "anonymous_id": 100}
LIMIT = 5  # of a kind not named above: external:<source>
SHARED_FROM = 3  # people who identified on one device make it shared


@dataclass(slots=True)
class Report:
    """Something was kept apart: `count` times for this profile, reason and kind since it was last written."""

    value: str
    other_id: uuid.UUID | None
    count: int = 1


@dataclass(slots=True)
class Guards:
    """The limits and blocked identifiers that concern a batch, and what they stopped."""

    limits: dict[str, int] = field(default_factory=dict)
    blocked: set[Key] = field(default_factory=set)
    patterns: list[tuple[str, re.Pattern[str]]] = field(default_factory=list)
    reports: dict[tuple[uuid.UUID, str, str], Report] = field(default_factory=dict)

    def is_blocked(self, kind: str, value: str) -> bool:
        """It leads to nobody."""
        return (kind, value) in self.blocked or any(kind == of and pattern.fullmatch(value) for of, pattern in self.patterns)

    def limit(self, kind: str) -> int:
        """How many identities of this kind one person may have."""
        return self.limits.get(kind) or LIMITS.get(kind, LIMIT)

    def full(self, person: Person, kind: str) -> bool:
        """One more of this kind would be too many."""
        return person.counts.get(kind, 0) >= self.limit(kind)

    def too_many(self, one: Person, other: Person) -> str | None:
        """The kind of which both together would have too many."""
        kinds = one.counts.keys() & other.counts.keys()
        return next((kind for kind in sorted(kinds) if one.counts[kind] + other.counts[kind] > self.limit(kind)), None)

    def report(self, reason: str, person: Person, kind: str, value: str, other: Person | None = None) -> None:
        """Count what was stopped, for the profile that would have grown."""
        key = (person.id, reason, kind)
        count = self.reports[key].count + 1 if key in self.reports else 1
        self.reports[key] = Report(value, other.id if other else None, count)


def refusal(guards: Guards, one: Person, other: Person) -> str | None:
    """Why two people are not joined by themselves, whoever says so; None where they may be."""
    if one.ids.get("user_id") and other.ids.get("user_id"):
        return "two_users"
    if taken_apart(one, other):
        return "apart"
    return "limit" if guards.too_many(one, other) else None


def taken_apart(one: Person, other: Person) -> bool:
    """Somebody undid a join of these two."""
    return bool(one.apart and other.apart and set(one.apart) & set(other.apart))


def load(session: Session, keys: Collection[Key]) -> Guards:
    """What concerns these identifiers; they are asked about only where any identifier is blocked at all."""
    guards, some = Guards(), False
    for what, kind, value in session.execute(text(_LOAD)).all():
        if what == "limit":
            guards.limits[kind] = int(value)
        elif what == "pattern":
            guards.patterns.append((kind, re.compile(".*".join(re.escape(part) for part in value.split("*")), re.DOTALL)))
        else:
            some = True
    if some:
        rows = session.execute(text(_BLOCKED), {"kinds": array([k for k, _ in keys]), "values": array([v for _, v in keys])}).all()
        guards.blocked.update((kind, value) for kind, value in rows)
    return guards


def write(session: Session, guards: Guards, now: dt.datetime) -> None:
    """Add what was stopped to the reports."""
    if not guards.reports:
        return
    rows = sorted(guards.reports.items(), key=lambda item: item[0])
    session.execute(
        text(_REPORT),
        {
            "ids": [key[0] for key, _ in rows],
            "reasons": [key[1] for key, _ in rows],
            "kinds": [key[2] for key, _ in rows],
            "counts": [report.count for _, report in rows],
            "values": [report.value for _, report in rows],
            "others": [report.other_id for _, report in rows],
            "now": now,
        },
    )


_LOAD = """
SELECT 'limit', kind, most::text FROM identity_limits
UNION ALL
SELECT 'pattern', kind, value FROM blocked_identities WHERE strpos(value, '*') > 0
UNION ALL
(SELECT 'some', kind, value FROM blocked_identities WHERE strpos(value, '*') = 0 LIMIT 1)
"""
_BLOCKED = """
SELECT kind, value FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) k(kind, value) JOIN blocked_identities b USING (kind, value)
WHERE strpos(b.value, '*') = 0
"""
_REPORT = """
INSERT INTO guard_reports (profile_id, reason, kind, count, last_value, other_id, first_at, last_at)
SELECT p, r, k, n, v, o, :now, :now FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[]), CAST(:kinds AS text[]), CAST(:counts AS bigint[]),
  CAST(:values AS text[]), CAST(:others AS uuid[])) AS u(p, r, k, n, v, o)
ON CONFLICT (profile_id, reason, kind) DO UPDATE SET count = guard_reports.count + excluded.count, last_value = excluded.last_value,
  other_id = excluded.other_id, last_at = excluded.last_at, seen_at = NULL
"""
