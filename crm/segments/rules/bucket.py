"""A stable random share: hash of the bucket drawn at birth and a salt."""

from __future__ import annotations

import datetime as dt
import hashlib

from pydantic import Field

from crm.core.i18n import _l
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence, Settings


class BucketSettings(Settings):
    percent: float = Field(ge=0.01, le=100, title=_l("Percent"))
    salt: str = Field(default="", max_length=100, title=_l("Salt"))


class Bucket(Rule[BucketSettings]):
    kind = "bucket"
    title = _l("A random share")
    settings_type = BucketSettings

    def sql(self, settings: BucketSettings, query: Query) -> Clause:
        salt, share = query.bind(settings.salt + ":", "text"), query.bind(round(settings.percent * 100), "integer")
        digest = f"sha256(convert_to({salt} || p.bucket::text, 'UTF8'))"
        return Clause(f"(get_byte({digest}, 0) * 65536 + get_byte({digest}, 1) * 256 + get_byte({digest}, 2)) % 10000 < {share}")

    def read(self, settings: BucketSettings, person: Person, now: dt.datetime) -> bool:
        digest = hashlib.sha256(f"{settings.salt}:{person.bucket}".encode()).digest()
        return int.from_bytes(digest[:3]) % 10000 < round(settings.percent * 100)

    def reads(self, settings: BucketSettings) -> Reads:
        return Reads(birth=True)

    def sentence(self, settings: BucketSettings) -> Sentence:
        return Sentence(_l("belongs to a random share of %(percent)s in a hundred"), {"percent": settings.percent})


plugin = Bucket()
