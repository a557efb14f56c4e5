"""Where they stand among the buyers: recency, frequency and money, each in fifths from 1 (least) to 5 (most)."""

from __future__ import annotations

import datetime as dt
import re

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings

WORDS = _l("in fifths of the buyers: recency %(recency_from)s–%(recency_to)s, frequency %(frequency_from)s–%(frequency_to)s, money %(money_from)s–%(money_to)s")
PARTS = ("recency", "frequency", "money")


class RfmSettings(Settings):
    """From which fifth to which; 5 bought last, most often, for most."""

    recency_from: int = Field(default=1, ge=1, le=5, title=_l("Recency from"))
    recency_to: int = Field(default=5, ge=1, le=5, title=_l("Recency to"))
    frequency_from: int = Field(default=1, ge=1, le=5, title=_l("Frequency from"))
    frequency_to: int = Field(default=5, ge=1, le=5, title=_l("Frequency to"))
    money_from: int = Field(default=1, ge=1, le=5, title=_l("Money from"))
    money_to: int = Field(default=5, ge=1, le=5, title=_l("Money to"))

    @model_validator(mode="after")
    def _complete(self) -> RfmSettings:
        for part in PARTS:
            if getattr(self, f"{part}_from") > getattr(self, f"{part}_to"):
                raise SaidError(_l("each runs from the smaller fifth to the larger"))
        return self

    @property
    def pattern(self) -> str:
        return "^" + "".join(f"[{getattr(self, f'{part}_from')}-{getattr(self, f'{part}_to')}]" for part in PARTS) + "$"


class Rfm(Rule[RfmSettings]):
    kind = "rfm"
    title = _l("How recent, frequent and large their orders are")
    settings_type = RfmSettings

    def sql(self, settings: RfmSettings, query: Query) -> Clause:
        alias = query.join(f"SELECT profile_id, value #>> '{{}}' AS said FROM computed_traits WHERE name = 'rfm' {query.only('profile_id')}")
        return Clause(f"{alias}.said ~ {query.bind(settings.pattern, 'text')}")

    def read(self, settings: RfmSettings, person: Person, now: dt.datetime) -> bool:
        return re.fullmatch(settings.pattern, str(person.computed.get("rfm", ""))) is not None

    def reads(self, settings: RfmSettings) -> Reads:
        return Reads(computed=frozenset({"rfm"}))

    def sentence(self, settings: RfmSettings) -> Sentence:
        return Sentence(WORDS, settings.model_dump())


plugin = Rfm()
