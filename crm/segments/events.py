"""Counting a person's events within a window: what the rules `did` and `message` share."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from crm.core.i18n import _l
from crm.segments import values
from crm.segments.compare import PropertyFilter
from crm.segments.rule import Clause, Person, Query, Seen, Sentence

Measure = Literal["count", "sum", "distinct"]
Op = Literal["at_least", "more_than", "at_most", "less_than", "exactly"]
OPS: Mapping[str, tuple[str, Callable[[Decimal, Decimal], bool]]] = {
    "at_least": (">=", operator.ge), "more_than": (">", operator.gt), "at_most": ("<=", operator.le), "less_than": ("<", operator.lt), "exactly": ("=", operator.eq),  # noqa: E501  reads best as one line
}  # fmt: skip
TIMES = {
    "at_least": _l("at least %(n)s times"),
    "more_than": _l("more than %(n)s times"),
    "at_most": _l("at most %(n)s times"),
    "less_than": _l("fewer than %(n)s times"),
    "exactly": _l("exactly %(n)s times"),
}
ONCE = {
    "at_least": _l("at least once"),
    "more_than": _l("more than once"),
    "at_most": _l("at most once"),
    "less_than": _l("not even once"),
    "exactly": _l("exactly once"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events count, how they are measured, and what the measure must be. `per` measures each value of a property apart; one must fit."""

    names: Sequence[str]
    where: Sequence[PropertyFilter]
    of: Measure
    prop: str | None
    op: Op
    value: Decimal
    within: dt.timedelta | None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    per: str | None = None

    @property
    def fits_nothing(self) -> bool:
        """Whether somebody without any such event satisfies it."""
        return self.per is None and OPS[self.op][1](Decimal(0), self.value)


def is_one_sql(names: Sequence[str], where: Sequence[PropertyFilter], query: Query, alias: str = "e") -> str:
    """The condition that an event of the log is one of these, the twin of `is_one`."""
    named = f"{alias}.name = {query.bind(names[0], 'text')}" if len(names) == 1 else f"{alias}.name = ANY({query.bind(list(names), 'text[]')})"
    return " AND ".join([named, *(f"({one.clause(query, f'{alias}.properties').holds})" for one in where)])


def event_filter(names: Sequence[str], where: Sequence[PropertyFilter], query: Query, alias: str = "e") -> str:
    """The same, of those alone that the statement is about."""
    return f"{is_one_sql(names, where, query, alias)} {query.only(f'{alias}.profile_id')}"


def sql(wanted: Wanted, query: Query) -> Clause:
    """The condition over `profiles p`. Who drops below a threshold is looked at again when the event that carries it leaves the window."""
    which = event_filter(wanted.names, wanted.where, query)
    for bound, sign in ((wanted.since, ">="), (wanted.until, "<")):
        if bound is not None:
            which += f" AND e.occurred_at {sign} {query.bind(bound, 'timestamptz')}"
    if wanted.within is not None:
        which += f" AND e.occurred_at > {query.bind(query.now, 'timestamptz')} - {query.bind(wanted.within, 'interval')}"
    measure, sign, value = _measure(wanted, query), OPS[wanted.op][0], query.bind(wanted.value, "numeric")
    due = f", min(e.occurred_at) + {query.bind(wanted.within, 'interval')} AS due" if wanted.within is not None and query.dues else ""
    if wanted.per is not None:
        key = values.plain_sql(query.at("e.properties", wanted.per))
        inner = f"SELECT e.profile_id, {key} AS k, {measure} {sign} {value} AS fits{due} FROM events e WHERE {which} GROUP BY 1, 2"
        alias = query.join(f"SELECT profile_id, bool_or(fits AND k IS NOT NULL) AS fits{', min(due) AS due' if due else ''} FROM ({inner}) k GROUP BY 1")
        return Clause(f"{alias}.fits", f"{alias}.due" if due else None)
    if due and wanted.of == "count":
        due = f", {_kth(wanted)} + {query.bind(wanted.within, 'interval')} AS due"
    alias = query.join(f"SELECT e.profile_id, {measure} AS n{due} FROM events e WHERE {which} GROUP BY 1")
    found = f"coalesce({alias}.n, 0)" if wanted.fits_nothing else f"{alias}.n"
    return Clause(f"{found} {sign} {value}", f"{alias}.due" if due else None)


def read(wanted: Wanted, person: Person, now: dt.datetime) -> bool:
    """The twin of `sql`."""
    mine = [e for e in person.events if is_one(e, wanted.names, wanted.where, now) and _inside(wanted, e.occurred_at, now)]
    if wanted.per is None:
        return OPS[wanted.op][1](_of(wanted, mine), wanted.value) if mine or wanted.fits_nothing else False
    groups: dict[str, list[Seen]] = {}
    for event in mine:
        if (key := values.plain(values.dig(event.properties, wanted.per))) is not None:
            groups.setdefault(key, []).append(event)
    return any(OPS[wanted.op][1](_of(wanted, group), wanted.value) for group in groups.values())


def is_one(event: Seen, names: Sequence[str], where: Sequence[PropertyFilter], now: dt.datetime) -> bool:
    """Whether an event is one of these."""
    return event.name in names and all(one.holds(values.dig(event.properties, one.name), now) for one in where)


def times(op: Op, n: float) -> Sentence:
    """How many times, in words."""
    return Sentence((ONCE if n == 1 else TIMES)[op], {"n": n})


def where_words(where: Sequence[PropertyFilter]) -> Sentence | str:
    """The filters in words; nothing where there are none."""
    said: Sentence | str = ""
    for one in where:
        said = Sentence(_l(", where %(filter)s"), {"filter": one.sentence()}) if not said else Sentence(_l("%(first)s and %(second)s"), {"first": said, "second": one.sentence()})  # fmt: skip  # noqa: E501  reads best as one line
    return said


def window_words(within: dt.timedelta | None, since: dt.date | None = None, until: dt.date | None = None) -> Sentence | str:
    """The window in words; nothing for all time."""
    if within is not None:
        return Sentence(_l(" in the last %(span)s"), {"span": within})
    if since is not None and until is not None:
        return Sentence(_l(" from %(since)s until %(until)s"), {"since": since, "until": until})
    if since is not None or until is not None:
        return Sentence(_l(" since %(since)s"), {"since": since}) if since else Sentence(_l(" before %(until)s"), {"until": until})
    return ""


def _inside(wanted: Wanted, at: dt.datetime, now: dt.datetime) -> bool:
    return (wanted.within is None or at > now - wanted.within) and (wanted.since is None or at >= wanted.since) and (wanted.until is None or at < wanted.until)


def _measure(wanted: Wanted, query: Query) -> str:
    if wanted.of == "count" or wanted.prop is None:
        return "count(*)"
    json = query.at("e.properties", wanted.prop)
    return f"coalesce(sum({values.number_sql(json)}), 0)" if wanted.of == "sum" else f"count(DISTINCT {values.plain_sql(json)})"


def _of(wanted: Wanted, mine: Sequence[Seen]) -> Decimal:
    if wanted.of == "count" or wanted.prop is None:
        return Decimal(len(mine))
    found = [values.dig(event.properties, wanted.prop) for event in mine]
    if wanted.of == "sum":
        return sum((n for value in found if (n := values.number(value)) is not None), Decimal(0))
    return Decimal(len({text for value in found if (text := values.plain(value)) is not None}))


def _kth(wanted: Wanted) -> str:
    """The time of the event whose leaving the window changes the answer; no such one, NULL."""
    whole = min(int(wanted.value), 2**31 - 2)  # a place in an array
    least = whole + (wanted.op in {"more_than", "at_most", "exactly"} or (wanted.op in {"at_least", "less_than"} and whole < wanted.value))
    if wanted.op == "exactly":
        return f"coalesce((array_agg(e.occurred_at ORDER BY e.occurred_at DESC))[{least}], (array_agg(e.occurred_at ORDER BY e.occurred_at DESC))[{whole}])"
    return f"(array_agg(e.occurred_at ORDER BY e.occurred_at DESC))[{least}]"
