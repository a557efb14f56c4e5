"""A deal of theirs: open, won or lost, in which stage, worth how much, unchanged for how long; as the log tells it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.segments import values
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Seen, Sentence, Settings

STATES = {"Deal Stage Changed": "open", "Deal Won": "won", "Deal Lost": "lost"}
WORDS = {
    "open": _l("has an open deal%(stage)s worth at least %(value)s %(currency)s, unchanged for %(lain)s"),
    "won": _l("has a won deal%(stage)s worth at least %(value)s %(currency)s, %(lain)s ago or longer"),
    "lost": _l("has a lost deal%(stage)s worth at least %(value)s %(currency)s, %(lain)s ago or longer"),
}


class DealSettings(Settings):
    state: Literal["open", "won", "lost"] = Field(default="open", title=_l("State"))
    pipeline: str | None = Field(default=None, max_length=100, title=_l("Pipeline"))
    stage: str | None = Field(default=None, max_length=100, title=_l("Stage"))
    value: float = Field(default=0, ge=0, le=10**12, title=_l("Worth at least"))
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", title=_l("Currency"))
    lain: values.Duration = Field(default=dt.timedelta(seconds=1), title=_l("Unchanged for"))


class Deal(Rule[DealSettings]):
    kind = "deal"
    title = _l("Their deal")
    settings_type = DealSettings

    def sql(self, settings: DealSettings, query: Query) -> Clause:
        names, deal, worth = query.bind(list(STATES), "text[]"), _word("e", "deal_id"), values.number_sql("(d.properties -> 'value')")
        latest = (
            f"SELECT DISTINCT ON (e.profile_id, deal) e.profile_id, e.name, e.occurred_at, e.properties,"
            f" {deal} AS deal FROM events e WHERE e.name = ANY({names}) AND e.trusted {query.only('e.profile_id')}"
            " ORDER BY e.profile_id, deal, e.occurred_at DESC, e.accepted DESC"
        )
        name = next(name for name, state in STATES.items() if state == settings.state)
        which = [
            "d.deal IS NOT NULL",
            f"d.name = {query.bind(name, 'text')}",
            f"coalesce({worth}, 0) >= {query.bind(Decimal(str(settings.value)), 'numeric')}",
        ]
        for name, wanted in (("pipeline", settings.pipeline), ("stage", settings.stage), ("currency", settings.currency)):
            if wanted is not None:
                which.append(f"{_word('d', name)} = {query.bind(values.fold(wanted), 'text')}")
        now, lain = query.bind(query.now, "timestamptz"), query.bind(settings.lain, "interval")
        alias = query.join(
            f"SELECT d.profile_id, min(d.occurred_at) AS t, min(d.occurred_at) FILTER (WHERE d.occurred_at + {lain} > {now}) AS young"
            f" FROM ({latest}) d WHERE {' AND '.join(which)} GROUP BY 1"
        )
        return Clause(f"{alias}.t <= {now} - {lain}", f"{alias}.young + {lain}")

    def read(self, settings: DealSettings, person: Person, now: dt.datetime) -> bool:
        return any(_fits(settings, event) and event.occurred_at <= now - settings.lain for event in _latest(person))

    def reads(self, settings: DealSettings) -> Reads:
        return Reads(events=frozenset(STATES))

    def sentence(self, settings: DealSettings) -> Sentence:
        stage = Sentence(_l(" in the stage %(stage)s"), {"stage": settings.stage}) if settings.stage else ""
        slots = {"stage": stage, "value": settings.value, "currency": settings.currency or "", "lain": settings.lain}
        return Sentence(WORDS[settings.state], slots)


def _word(alias: str, name: str) -> str:
    return values.word_sql(f"({alias}.properties -> '{name}')")


def _latest(person: Person) -> Iterator[Seen]:
    """The last word about each deal; events come in the person's order."""
    found: dict[str, Seen] = {}
    for event in person.events:
        if event.name in STATES and event.trusted and (deal := values.word(event.properties.get("deal_id"))) is not None:
            found[deal] = event
    yield from found.values()


def _fits(settings: DealSettings, event: Seen) -> bool:
    wanted = {"pipeline": settings.pipeline, "stage": settings.stage, "currency": settings.currency}
    return (
        STATES[event.name] == settings.state
        and (values.number(event.properties.get("value")) or Decimal(0)) >= Decimal(str(settings.value))
        and all(values.word(event.properties.get(name)) == values.fold(said) for name, said in wanted.items() if said is not None)
    )


plugin = Deal()
