"""May this message go now? A chain of small pure questions; the first that objects decides."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from crm.core.i18n import _l

STOPS_ALL = ("erased", "complaint", "bounce")  # suppressions that stop every message; the first named is the reason given
DUPLICATE_WINDOW = dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the gate looks at, read beforehand.

    `consent` is `granted`, `refused` or None where the address never said anything about this channel and topic.
    `relevant` is None where the message names no condition. `repeats` says that the same template went to the same
    address for the same cart (or reference) within the duplicate window. `over` says what ended a condition that is not met.
    `room_at` is when the address' caps let one more through, None where they do; past `patient_until` it is not waited for. `good_at` is the
    next moment that is neither quiet nor Shabbat, None where this one is, and `good_why` which of them it is.
    """

    purpose: str
    address: str | None
    suppressions: frozenset[str] = frozenset()
    consent: str | None = None
    relevant: bool | None = None
    repeats: bool = False
    over: str = "no_longer_relevant"
    paused: bool = False
    room_at: dt.datetime | None = None
    patient_until: dt.datetime | None = None
    good_at: dt.datetime | None = None
    good_why: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Nothing objects."""

    reason: str = "allowed"


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now; ask again at `until`."""

    until: dt.datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Never."""

    reason: str


Answer = Send | Hold | Drop
Question = Callable[[Facts], Hold | Drop | None]


def reachable(facts: Facts) -> Drop | None:
    """Somebody without an address cannot be written to."""
    return None if facts.address else Drop("no_address")


def not_suppressed(facts: Facts) -> Drop | None:
    """Bounce, complaint and erasure stop everything; an unsubscribe stops marketing."""
    stops = STOPS_ALL if facts.purpose != "marketing" else (*STOPS_ALL, "unsubscribed")
    return next((Drop(reason) for reason in stops if reason in facts.suppressions), None)


def agreed(facts: Facts) -> Drop | None:
    """Marketing goes only to an address that said yes."""
    if facts.purpose != "marketing" or facts.consent == "granted":
        return None
    return Drop("consent_refused" if facts.consent == "refused" else "no_consent")


def not_paused(facts: Facts) -> Drop | None:
    """Somebody left alone for a while gets no marketing until their trait says otherwise."""
    return Drop("marketing_paused") if facts.paused and facts.purpose == "marketing" else None


def still_relevant(facts: Facts) -> Drop | None:
    """What the message is about must still hold: the cart is open, the product in stock at its price and not yet theirs."""
    return Drop(facts.over) if facts.relevant is False else None


def not_a_repeat(facts: Facts) -> Drop | None:
    """The same words about the same thing go once to an address."""
    return Drop("duplicate") if facts.repeats else None


def within_caps(facts: Facts) -> Hold | Drop | None:
    """So many messages and no more; what finds no room in time is let go."""
    if facts.room_at is None:
        return None
    if facts.patient_until is not None and facts.room_at > facts.patient_until:
        return Drop("no_room")
    return Hold(facts.room_at, "frequency_cap")


def good_moment(facts: Facts) -> Hold | None:
    """Not at night, not on Shabbat."""
    return Hold(facts.good_at, facts.good_why) if facts.good_at is not None else None


CHAIN: Sequence[Question] = (
    reachable, not_suppressed, agreed, not_paused, still_relevant, not_a_repeat, within_caps, good_moment,
)  # fmt: skip


def decide(facts: Facts, chain: Sequence[Question] = CHAIN) -> tuple[Answer, str]:
    """The gate's answer, and the name of the question that gave it (`allowed` where none objected)."""
    for question in chain:
        if (answer := question(facts)) is not None:
            return answer, question.__name__
    return Send(), "allowed"


REASONS: Mapping[str, str] = MappingProxyType(
    {
        "queued": _l("Waiting to be sent."),
        "allowed": _l("Nothing stood in the way."),
        "no_address": _l("The profile has no address for this channel."),
        "erased": _l("The person asked to be erased; nothing is sent to this address."),
        "complaint": _l("The address reported a message as spam; nothing is sent to it."),
        "bounce": _l("The address does not exist; nothing is sent to it."),
        "unsubscribed": _l("The address unsubscribed from marketing."),
        "no_consent": _l("The address never agreed to this topic on this channel."),
        "consent_refused": _l("The address refused this topic on this channel."),
        "marketing_paused": _l("Marketing to this person is paused: their trait marketing_paused is true."),
        "no_longer_relevant": _l("What the message is about is over: the cart was ordered or emptied."),
        "sold_out": _l("What the message is about was sold out again before it went."),
        "price_rose": _l("The price in the message no longer held when its turn came."),
        "bought": _l("The person has bought meanwhile what the message is about."),
        "frequency_cap": _l("The address got as much marketing lately as the settings allow; it goes when there is room again."),
        "no_room": _l("The address got so much marketing that there was no room for this message in time."),
        "quiet_hours": _l("Quiet hours on the person's clock; it goes when they are over."),
        "shabbat": _l("Shabbat or a holiday; it goes after nightfall."),
        "duplicate": _l("The same message about the same thing went to this address within the last 24 hours."),
        "template_missing": _l("There is no template of this name; publish it, then start the journey again."),
        "template_broken": _l("The template could not be filled in; its page says where. Correct it and publish it again."),
        "channel_missing": _l("No channel of this kind is installed."),
        "sent": _l("Handed over to the provider."),
        "rejected": _l("The provider refused the message for good."),
        "try_later": _l("The provider is busy or out of reach; it is tried again."),
        "gave_up": _l("The provider stayed out of reach through every attempt."),
        "uncertain": _l("The connection broke after the message was handed over; it may have arrived, so it is not sent again."),
        "lease_expired": _l("The sender stopped in the middle; the message may have gone out, so it is not sent again."),
        "released": _l("Its turn did not come within this claim; it goes with the next one."),
        "opened": _l("Opened."),
        "clicked": _l("A link in it was followed."),
        "merged": _l("Two runs became one when their profiles were joined; the older one sends."),
        "stopped": _l("Its journey was stopped before it was sent."),
        "journey_paused": _l("Its journey is paused; the message goes on when the journey does."),
        "new_version": _l("A new version of its journey ended the run before it was sent."),
        "dropped": _l("Its run came due while the journey was paused, and was dropped when it went on."),
    }
)
