"""What one of their addresses agreed to or refused, by channel and topic."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings
from crm.segments.rules.message import MEANS

KINDS = {"email": "email", "sms": "phone", "whatsapp": "phone"}
SAYING = frozenset({"identify", "alias", "Consent Granted", "Consent Refused", "Unsubscribed"})
BLOCK = 64  # bytes of a SHA-256 block, for the HMAC's pads
WORDS = {"granted": _l("agreed to %(topic)s by %(channel)s"), "refused": _l("refused %(topic)s by %(channel)s")}


class ConsentSettings(Settings):
    action: Literal["granted", "refused"] = Field(default="granted", title=_l("Answer"))
    topic: str = Field(min_length=1, max_length=100, title=_l("Topic"))
    channel: Literal["email", "sms", "whatsapp"] = Field(default="email", title=_l("Channel"))


class Consent(Rule[ConsentSettings]):
    kind = "consent"
    title = _l("Their consent")
    settings_type = ConsentSettings

    def sql(self, settings: ConsentSettings, query: Query) -> Clause:
        key = query.place.keys.derive("address").ljust(BLOCK, b"\0")
        inner, outer = (query.bind(bytes(byte ^ pad for byte in key), "bytea") for pad in (0x36, 0x5C))
        digest = f"sha256({outer} || sha256({inner} || convert_to(i.kind || ':' || i.value, 'UTF8')))"  # HMAC, RFC 2104: as Keys.address_hash
        alias = query.join(
            f"SELECT DISTINCT i.profile_id FROM identities i JOIN consents_current c ON c.address_hash = {digest} AND c.channel = {query.bind(settings.channel, 'text')}"  # noqa: E501  reads best as one line
            f" AND c.topic = {query.bind(settings.topic, 'text')} AND c.action = {query.bind(settings.action, 'text')}"
            f" WHERE i.kind = {query.bind(KINDS[settings.channel], 'text')} {query.only('i.profile_id')}"
        )
        return Clause(f"{alias}.profile_id IS NOT NULL")

    def read(self, settings: ConsentSettings, person: Person, now: dt.datetime) -> bool:
        return (settings.channel, settings.topic, settings.action) in person.consents

    def reads(self, settings: ConsentSettings) -> Reads:
        return Reads(events=SAYING | {"*consent"})

    def sentence(self, settings: ConsentSettings) -> Sentence:
        return Sentence(WORDS[settings.action], {"topic": settings.topic, "channel": Sentence(MEANS[settings.channel])})


plugin = Consent()
