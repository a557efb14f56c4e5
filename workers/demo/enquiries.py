"""Companies and hosts who ask the shop for many gifts at once: its leads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from random import Random
from typing import Any

from workers.demo.catalogue import PRODUCTS
from workers.demo.people import KNOWN, Shopper, shoppers

MANY = 26
HOURS = 30  # back from now: when the earliest asked
SOURCES = (("google", 42.0), ("facebook", 28.0), ("referral", 0.0), ("fair", 95.0))  # with what a lead of it cost, in shekels
COMPANIES = (
    ("נגב סולאר", "negev-solar.example.com"), ("כרמל תוכנה", "carmel-software.example.com"), ("מאפיית השחר", "hashahar.example.com"),
    ("Galil Robotics", "galil-robotics.example.com"), ("עדי יועצים", "adi-advisers.example.com"), ("Sharon Medical", "sharon-medical.example.com"),
)  # fmt: skip
ROLES = ("buyer", "approver", "payer")
WISHES = {
    "he": ("{n} מארזים לחג לעובדים, כמה זה יעלה?", "מחפשים {n} מתנות לכנס, עד סוף החודש", "חתונה של {n} אורחים, מתנה קטנה לכל אחד"),
    "en": (
        "{n} boxes for our staff, what would they cost?",
        "{n} gifts for a conference, by the end of the month",
        "A wedding of {n} guests, something small for each",
    ),
}


def calls(seed: int, now: dt.datetime) -> Iterator[dict[str, Any]]:
    """Each who asked, as the shop's server tells it; most for a company. A second time adds nothing."""
    chance = Random(f"enquiries {seed}")
    reachable = [one for one in shoppers(seed, len(PRODUCTS))[:KNOWN] if one.phone]
    for number, shopper in enumerate(chance.sample(reachable, MANY)):
        at = (now - dt.timedelta(hours=HOURS * chance.random())).isoformat()
        if chance.random() < 0.6:
            name, domain = chance.choice(COMPANIES)
            said = {"name": name, "domain": domain, "role": chance.choice(ROLES)}
            yield _call(shopper, f"{seed}-{number}-company", at) | {"type": "group", "groupId": domain.split(".")[0], "traits": said}
        yield _call(shopper, f"{seed}-{number}", at) | {"type": "track", "event": "Lead Created", "properties": _said(chance, shopper)}


def _call(shopper: Shopper, number: str, at: str) -> dict[str, Any]:
    told = {"email": shopper.email, "phone": shopper.phone}
    return {"userId": shopper.user_id, "context": {"traits": told}, "timestamp": at, "messageId": f"demo-asked-for-many-{number}"}


def _said(chance: Random, shopper: Shopper) -> dict[str, Any]:
    source, cost = chance.choice(SOURCES)
    wish = chance.choice(WISHES[shopper.language]).format(n=chance.randrange(20, 240, 10))
    return {"source": source, "campaign": "rosh-hashana" if source == "fair" else "many-gifts", "cost": cost, "currency": "ILS", "message": wish}
