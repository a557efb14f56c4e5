"""What became of messages to them: received, opened, clicked, bounced; by people, not machines."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.segments import events, values
from crm.segments.compare import PropertyFilter
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

ENDINGS = {"received": "Sent", "opened": "Opened", "clicked": "Link Clicked", "bounced": "Bounced"}
CHANNELS = {"email": "Email", "sms": "SMS", "whatsapp": "WhatsApp", "push": "Push"}
MEANS = {"email": _l("e-mail"), "sms": _l("SMS"), "whatsapp": _l("WhatsApp"), "push": _l("push")}
WORDS = {
    "received": _l("received a message %(times)s%(window)s%(where)s"),
    "opened": _l("opened a message %(times)s%(window)s%(where)s"),
    "clicked": _l("followed a link in a message %(times)s%(window)s%(where)s"),
    "bounced": _l("had a message bounce %(times)s%(window)s%(where)s"),
}


class MessageSettings(Settings):
    did: Literal["received", "opened", "clicked", "bounced"] = Field(default="opened", title=_l("What"))
    op: events.Op = Field(default="at_least", title=_l("Comparison"))
    value: int = Field(default=1, ge=0, le=10**6, title=_l("How often"))
    within: values.Duration | None = Field(default=None, title=_l("In the last"))
    template: str | None = Field(default=None, max_length=200, title=_l("Template"))
    journey: str | None = Field(default=None, max_length=200, title=_l("Journey"))
    channel: Literal["email", "sms", "whatsapp", "push"] | None = Field(default=None, title=_l("Channel"))

    @property
    def wanted(self) -> events.Wanted:
        where = [PropertyFilter(name=name, value=said) for name, said in (("template", self.template), ("journey", self.journey)) if said]
        if self.did in {"opened", "clicked"}:
            where.append(PropertyFilter(name="machine", op="is_not", value=True))
        names = [f"{CHANNELS[name]} {ENDINGS[self.did]}" for name in ([self.channel] if self.channel else CHANNELS)]
        return events.Wanted(names, where, "count", None, self.op, Decimal(self.value), self.within)


class Message(Rule[MessageSettings]):
    kind = "message"
    title = _l("What they did with messages")
    settings_type = MessageSettings

    def sql(self, settings: MessageSettings, query: Query) -> Clause:
        return events.sql(settings.wanted, query)

    def read(self, settings: MessageSettings, person: Person, now: dt.datetime) -> bool:
        return events.read(settings.wanted, person, now)

    def reads(self, settings: MessageSettings) -> Reads:
        return Reads(events=frozenset(settings.wanted.names), birth=settings.wanted.fits_nothing)

    def sentence(self, settings: MessageSettings) -> Sentence:
        once = (settings.op, settings.value) == ("at_least", 1)
        times = "" if once else events.times(settings.op, settings.value)
        about = [one for one in settings.wanted.where if one.name != "machine"]
        window = events.window_words(settings.within)
        if settings.channel:
            window = Sentence(_l("%(window)s by %(channel)s"), {"window": window, "channel": Sentence(MEANS[settings.channel])})
        return Sentence(WORDS[settings.did], {"times": times, "window": window, "where": events.where_words(about)})


plugin = Message()
