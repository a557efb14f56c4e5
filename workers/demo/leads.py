"""An invented shop's leads, whose truth is known: what the scores' scan, their alarms and their order are judged on.

Who buys is a hidden function of what they do and said, plus noise. Salespeople fill in some columns once a lead is won or lost. The rates and the
judging seeds were written down before anything was measured on them, and are not changed to suit a method; work on one uses `DEVELOPING` seeds.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

JUDGING_SEEDS = range(70_501, 70_521)
DEVELOPING = range(1, 100)

START = dt.datetime(2025, 10, 5, tzinfo=dt.UTC)  # a Sunday
DAYS, TRAINED = 360, 300  # the shop's days; a model is trained at the end of day TRAINED and judged on those after it
LEADS_A_DAY = 7.0
DRIFTS = ("views", "pages", "source")  # product views counted fourfold; page views lost; a new source that brings four times as many leads
FIRST_DRIFT, LAST_DRIFT = TRAINED + 1, TRAINED + 14

BASE, NOISE = -5.2, 0.8  # of the hidden function: where it begins, and what nobody can know
CURIOUS = 0.15  # of leads look at very much and hardly ever buy
COLD_AFTER = 12.0  # days after which a lead comes a third as often
AGAIN = 0.2  # of buyers buy again
GIVEN_UP = (25.0, 60.0)  # days after entering at which a salesperson gives up
TOUCHED = 0.05  # of winners have an honest column corrected when they order
URGENCY = {"this week": (1.2, 0.15), "this month": (0.5, 0.35), "some day": (-0.5, 0.5)}  # what it adds, and how many say so
SOURCES = {"google": (0.0, 0.35), "instagram": (-0.4, 0.25), "friend": (0.7, 0.12), "fair": (0.3, 0.08), "facebook": (-0.2, 0.2)}
INDUSTRIES = ("law", "software", "clinic", "school", "hotel", "office", "factory", "shop")
CITIES = ("Haifa", "Tel Aviv", "Jerusalem", "Beer Sheva", "Netanya", "Eilat")
HONEST = ("urgency", "budget", "industry", "city", "company_size", "trial", "employees", "decision_maker", "meeting_held")


@dataclass(frozen=True, slots=True)
class Late:
    """A column that is filled in after the outcome: for what share of the won and of the lost, how much of that is wrong, how much was known before."""

    name: str
    type: str
    won: float
    lost: float
    wrong: float
    early: float
    days: float  # after the outcome, on average
    if_won: tuple[Any, ...]
    if_lost: tuple[Any, ...]


PLANTED = (
    Late("call_result", "words", 0.9, 0.8, 0.02, 0.0, 0.5, ("agreed", "paid at once"), ("no answer", "not interested", "too dear")),
    Late("lost_reason", "words", 0.03, 0.7, 0.0, 0.0, 1.0, ("price",), ("price", "went elsewhere", "no budget")),
    Late("contract_no", "number", 0.6, 0.0, 0.0, 0.0, 1.0, tuple(range(100, 160)), ()),
    Late("grade", "words", 0.7, 0.5, 0.2, 0.25, 2.0, ("A", "A", "B"), ("C", "C", "B")),
    Late("installed_on", "date", 0.35, 0.01, 0.0, 0.0, 5.0, ("2026-03-01", "2026-05-01", "2026-07-01"), ("2026-03-01",)),
    Late("satisfaction", "number", 0.3, 0.05, 0.1, 0.0, 6.0, (7, 8, 9, 10), (2, 3, 4, 5, 6)),
    Late("delivery", "words", 0.5, 0.1, 0.0, 0.15, 1.0, ("courier", "pick up", "post"), ("courier", "pick up", "post")),
    Late("remark", "words", 0.4, 0.3, 0.35, 0.3, 1.5, ("green", "green", "yellow"), ("red", "red", "yellow")),
)
TYPES = {late.name: late.type for late in PLANTED} | {name: "number" if name in {"budget", "employees"} else "words" for name in HONEST}


@dataclass(frozen=True, slots=True)
class Told:
    """One call: an event, or traits under the name `identify`."""

    lead: int
    at: dt.datetime
    name: str
    said: Mapping[str, Any]
    source: str | None = None  # of the campaign, where this visit came from one


@dataclass(slots=True)
class Lead:
    """One lead as they are; `calls` is what the product hears of them."""

    number: int
    entered: float  # days since START
    eager: float
    curious: bool
    source: str
    urgency: str
    large: bool
    budget: int | None
    calls: list[Told] = field(default_factory=list)
    bought: list[float] = field(default_factory=list)
    lost: float | None = None
    met: float | None = None
    views: list[float] = field(default_factory=list)
    carts: list[float] = field(default_factory=list)
    quoted: bool = False

    def say(self, day: float, name: str, said: Mapping[str, Any], source: str | None = None) -> None:
        """Let the product hear of it."""
        self.calls.append(Told(self.number, moment(day), name, said, source))


@dataclass(frozen=True, slots=True)
class Drift:
    """What changes, and from which day on."""

    kind: str
    day: int


def drift_of(seed: int) -> Drift:
    """The drift planted in this seed's second world."""
    chance = random.Random(f"drift:{seed}")
    return Drift(chance.choice(DRIFTS), chance.randint(FIRST_DRIFT, LAST_DRIFT))


def shop(seed: int, *, leads_a_day: float = LEADS_A_DAY, drift: Drift | None = None) -> list[Lead]:
    """Every lead of the shop; the same seed gives the same, and until the drift's day it makes no difference."""
    return [_lived(seed, number, day, source, drift) for number, (day, source) in enumerate(_arrivals(seed, leads_a_day, drift))]


def calls(leads: list[Lead]) -> list[Told]:
    """What the product hears, in order of time, up to the shop's last day."""
    end = moment(DAYS)
    return sorted((call for lead in leads for call in lead.calls if call.at < end), key=lambda call: (call.at, call.lead))


def moment(day: float) -> dt.datetime:
    """A day of the shop, and the part of it, on the clock."""
    return START + dt.timedelta(seconds=round(day * 86_400))


def _arrivals(seed: int, leads_a_day: float, drift: Drift | None) -> Iterator[tuple[float, str | None]]:
    chance, at = random.Random(f"arrivals:{seed}"), 0.0
    while (at := at + chance.expovariate(leads_a_day)) < DAYS:
        yield at, None
    if drift and drift.kind == "source":
        at = float(drift.day)
        while (at := at + chance.expovariate(3 * leads_a_day)) < DAYS:
            yield at, "tiktok"


def _lived(seed: int, number: int, day: float, source: str | None, drift: Drift | None) -> Lead:
    chance = random.Random(f"{seed}:{number}")
    urgency = _one(chance, {name: share for name, (_adds, share) in URGENCY.items()})
    came = _one(chance, {name: share for name, (_adds, share) in SOURCES.items()})
    budget = int(math.exp(chance.gauss(7, 0.7))) if chance.random() < 0.7 else None
    lead = Lead(number, day, chance.gauss(0, 1), chance.random() < CURIOUS, source or came, urgency, chance.random() < 0.3, budget)
    _enter(lead, chance)
    _visits(lead, chance, drift)
    _outcome(lead, chance)
    _after(lead, chance)
    return lead


def _enter(lead: Lead, chance: random.Random) -> None:
    """What they say on the form, and what is learned of everybody whatever becomes of them."""
    said: dict[str, Any] = {"urgency": lead.urgency, "company_size": "large" if lead.large else chance.choice(["small", "medium"])}
    said["industry"] = chance.choice(INDUSTRIES)
    if lead.budget is not None:
        said["budget"] = lead.budget
    if chance.random() < 0.8:
        said["city"] = chance.choice(CITIES)
    if chance.random() < _sigmoid(lead.eager - 1.8):
        said["trial"] = "asked for"
    lead.say(lead.entered, "identify", said)
    lead.say(lead.entered + 0.0001, "Lead Created", {})
    if chance.random() < 0.85:
        sunday = 7 * (math.floor(lead.entered / 7) + 1) + chance.random() / 24
        lead.say(sunday, "identify", {"employees": int(math.exp(chance.gauss(5.0 if lead.large else 2.5, 0.6)))})
    if chance.random() < _sigmoid(lead.eager - 0.8):
        lead.met = lead.entered + chance.uniform(3, 10)


def _visits(lead: Lead, chance: random.Random, drift: Drift | None) -> None:
    """Until they order, or lose interest."""
    at, first = lead.entered + 0.0002, True
    while at < min(DAYS, lead.entered + 120):
        _visit(lead, chance, at, drift, source=lead.source if first else None)
        if chance.random() < _sigmoid(_hidden(lead, at) + chance.gauss(0, NOISE)):
            lead.bought.append(at + min(20.0, 0.02 + chance.expovariate(1 / 4)))
            break
        first, rate = False, 0.3 * math.exp(0.4 * lead.eager - (at - lead.entered) / COLD_AFTER) + 0.004
        at += chance.expovariate(rate)
    if lead.bought and chance.random() < AGAIN:
        again = lead.bought[0] + chance.uniform(15, 90)
        _visit(lead, chance, again - chance.uniform(0.1, 5), drift)
        lead.bought.append(again)


def _visit(lead: Lead, chance: random.Random, at: float, drift: Drift | None, source: str | None = None) -> None:
    drifted = drift.kind if drift and at >= drift.day else ""
    pages, views = 1 + _poisson(chance, 6 if lead.curious else 1.5), _poisson(chance, 4 if lead.curious else 1.3 * math.exp(0.35 * lead.eager))
    for place in range(0 if drifted == "pages" else pages):
        lead.say(at + place / 1440, "Page Viewed", {}, source if place == 0 else None)
    for place, category in enumerate(chance.choices(("coffee", "sweets", "ceramics", "home", "care"), k=views)):
        for again in range(4 if drifted == "views" else 1):
            lead.say(at + (pages + place + again / 4) / 1440, "Product Viewed", {"category": category})
    lead.views += [at] * views
    if chance.random() < 0.15:
        lead.say(at + 0.01, "Products Searched", {})
    if chance.random() < _sigmoid(lead.eager - 2.2):
        lead.carts.append(at)
        lead.say(at + 0.02, "Product Added", {"price": "80", "currency": "ILS"})
    if chance.random() < _sigmoid(lead.eager - 3.0):
        lead.quoted = True
        lead.say(at + 0.03, "Quote Requested", {})


def _hidden(lead: Lead, at: float) -> float:
    """What decides, at the end of a visit."""
    seen = sum(at - 14 < each <= at for each in lead.views)
    adds = URGENCY[lead.urgency][0] + SOURCES.get(lead.source, (-0.6, 0.0))[0] + 0.35 * math.log1p(seen)
    adds += 0.9 * any(at - 7 < each <= at for each in lead.carts) + 0.8 * lead.quoted + 0.9 * (lead.met is not None and lead.met < at)
    adds += 0.5 * (lead.budget is not None and lead.budget > 1_000) + 0.7 * (lead.large and seen > 3) + 0.3 * lead.eager
    return BASE + adds - 2.0 * lead.curious


def _outcome(lead: Lead, chance: random.Random) -> None:
    given_up = lead.entered + chance.uniform(*GIVEN_UP)
    if not lead.bought or lead.bought[0] > given_up:
        lead.lost = given_up
        lead.say(given_up, "Deal Lost", {})
    for place, at in enumerate(lead.bought):
        revenue = round(math.exp(chance.gauss(5.4, 0.5)), 2)
        lead.say(at, "Order Completed", {"order_id": f"{lead.number}-{place}", "revenue": str(revenue), "currency": "ILS"})


def _after(lead: Lead, chance: random.Random) -> None:
    """What salespeople fill in: before the outcome where they ask for it, after it where they write down how it went."""
    end = min(lead.bought[0] if lead.bought else math.inf, lead.lost if lead.lost is not None else math.inf)
    asked = lead.entered + chance.uniform(1, 5)
    if asked < end and chance.random() < 0.75:
        lead.say(asked, "identify", {"decision_maker": chance.choice(["the owner", "a buyer", "somebody else"])})
    if lead.met is not None and lead.met < end:
        lead.say(lead.met, "identify", {"meeting_held": "yes"})
    elif lead.entered + 10 < end and chance.random() < 0.5:
        lead.say(lead.entered + 10, "identify", {"meeting_held": "no"})
    if lead.bought and chance.random() < TOUCHED:
        lead.say(lead.bought[0] + chance.uniform(0, 3), "identify", {"city": chance.choice(CITIES)})
    won = bool(lead.bought) and lead.bought[0] <= end
    for late in PLANTED:
        _fill(lead, late, chance, won=won, end=end)


def _fill(lead: Lead, late: Late, chance: random.Random, *, won: bool, end: float) -> None:
    if chance.random() >= (late.won if won else late.lost):
        return
    as_won = won != (chance.random() < late.wrong)
    value = chance.choice((late.if_won if as_won else late.if_lost) or late.if_won)
    early = chance.random() < late.early
    lead.say(chance.uniform(lead.entered, end) if early else end + 0.01 + chance.expovariate(1 / late.days), "identify", {late.name: value})


def _one(chance: random.Random, shares: Mapping[str, float]) -> str:
    return chance.choices(list(shares), list(shares.values()))[0]


def _poisson(chance: random.Random, mean: float) -> int:
    """Knuth's way, for small means."""
    limit, found, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        found, product = found + 1, product * chance.random()
    return found


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))
