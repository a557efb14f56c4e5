"""When marketing may go out, as one value: quiet hours, Shabbat and holidays, how much is too much. Nothing said: always."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core.commit import hint
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.json import dumps
from crm.messages.shabbat import PLACES, rest
from crm.profiles.zones import local

DAY, MINUTES = dt.timedelta(days=1), 1440
OPEN = 60  # minutes of every day that quiet hours leave
TIMED = ("quiet_hours", "shabbat", "frequency_cap")  # reasons of holds that follow from these settings
Minute = Annotated[int, Field(ge=0, lt=MINUTES)]
Name = Annotated[str, Field(max_length=60)]


class Strict(BaseModel):
    """What it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Quiet(Strict):
    """Minutes after midnight on the profile's clock, and the weekdays (Monday is 0) on which they begin; an end before the start is of the next day."""

    starts: Minute
    ends: Minute
    weekdays: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4, 5, 6)

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        """Otherwise a message could wait for ever."""
        if (self.starts - self.ends) % MINUTES < OPEN:
            raise ValueError(_l("Quiet hours must leave at least one hour of the day."))
        return self

    def until(self, moment: dt.datetime, zone: str) -> dt.datetime | None:
        """When the quiet this moment lies in is over; None where it lies in none."""
        today = moment.astimezone(ZoneInfo(zone)).date()
        for day in (today - DAY, today):
            begins = local(day, _clock(self.starts), zone)
            ends = local(day + DAY if self.ends <= self.starts else day, _clock(self.ends), zone)
            if day.weekday() in self.weekdays and begins <= moment < ends:
                return ends
        return None


class Rest(Strict):
    """Shabbat and holidays as they begin and end at one place."""

    place: str = "jerusalem"
    candles: int = Field(default=18, ge=0, le=120)  # minutes before sunset

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.place not in PLACES:
            raise ValueError(_l("There is no such place."))
        return self


class Cap(Strict):
    """At most so many messages to one address within any 24 hours, and within any seven days."""

    day: int | None = Field(default=None, ge=1, le=1000)
    week: int | None = Field(default=None, ge=1, le=1000)


class SendingSettings(Strict):
    """Everything the page Sending asks. `quiet` is by channel, and so are `caps`, where the empty name stands for all channels together."""

    quiet: Mapping[Name, Quiet] = Field(default_factory=dict)
    rest: Rest | None = None
    caps: Mapping[Name, Cap] = Field(default_factory=dict)
    patience: int = Field(default=3, ge=1, le=30)  # days after which a message that finds no room is dropped


@dataclass(frozen=True, slots=True)
class Later:
    """The next good moment, and what stood against an earlier one."""

    until: dt.datetime
    reason: str


def later(rules: SendingSettings, *, channel: str, moment: dt.datetime, zone: str) -> Later | None:
    """When marketing due at this moment goes instead; None where the moment is good.

    It ends: rests are followed by working days, and each of these has an hour that quiet leaves.
    """
    at, reason = moment, ""
    while (objection := _objection(rules, channel, at, zone)) is not None:
        at, reason = objection.until, reason or objection.reason
    return Later(at, reason) if reason else None


def _objection(rules: SendingSettings, channel: str, moment: dt.datetime, zone: str) -> Later | None:
    if rules.rest is not None and (span := rest(moment, PLACES[rules.rest.place], rules.rest.candles)) is not None:
        return Later(span[1], "shabbat")
    quiet = rules.quiet.get(channel)
    ends = quiet.until(moment, zone) if quiet is not None else None
    return Later(ends, "quiet_hours") if ends is not None else None


def _clock(minutes: int) -> dt.time:
    return dt.time(minutes // 60, minutes % 60)


def read(session: Session) -> SendingSettings:
    """As they are kept; where nothing was ever said, nothing is held."""
    value = session.scalar(text("SELECT value FROM sending_settings WHERE id = 1"))
    return SendingSettings.model_validate(value) if value else SendingSettings()


def save(session: Session, value: object, now: dt.datetime) -> SendingSettings:
    """Keep them, and ask again about what waits by the old ones; InvalidError says what is wrong."""
    try:
        made = SendingSettings.model_validate(value)
    except ValidationError as error:
        one = error.errors()[0]
        said = one.get("ctx", {}).get("error") or _l("This must be a whole number within the bounds of its field.")
        raise InvalidError(str(said), field=".".join(map(str, one["loc"]))) from error
    session.execute(text(_SAVE), {"value": dumps(made.model_dump(mode="json")), "now": now})
    session.execute(text(_ASK_AGAIN), {"reasons": list(TIMED), "now": now})
    hint(session, "deliver")
    return made


_SAVE = """
INSERT INTO sending_settings (id, value, changed_at) VALUES (1, CAST(:value AS jsonb), :now)
ON CONFLICT (id) DO UPDATE SET (value, changed_at) = (excluded.value, excluded.changed_at)
"""
_ASK_AGAIN = """
UPDATE outbox o SET due_at = :now FROM messages m
WHERE m.id = o.message_id AND m.status = 'held' AND m.reason = ANY(CAST(:reasons AS text[])) AND o.lease_until IS NULL
"""
