"""Who shops there: invented people with Hebrew and English names."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from random import Random
from typing import Any

COUNT = 2_000
KNOWN = 1_650  # the others never say who they are
CITIES = (
    ("תל אביב", "Tel Aviv", 22), ("ירושלים", "Jerusalem", 16), ("חיפה", "Haifa", 12), ("ראשון לציון", "Rishon LeZion", 8), ("באר שבע", "Beersheba", 7),
    ("נתניה", "Netanya", 6), ("רעננה", "Raanana", 5), ("מודיעין", "Modiin", 5), ("כפר סבא", "Kfar Saba", 5), ("זכרון יעקב", "Zikhron Yaakov", 4),
    ("טבריה", "Tiberias", 3), ("צפת", "Safed", 3), ("מצפה רמון", "Mitzpe Ramon", 2), ("אילת", "Eilat", 2),
)  # fmt: skip
HEBREW_FIRST = (
    "אביגיל avigail", "אורלי orly", "איילת ayelet", "אלון alon", "אמיר amir", "אסף asaf", "ארז erez", "בועז boaz",
    "גילה gila", "גלעד gilad", "דורית dorit", "הדס hadas", "הילה hila", "ורד vered", "זיו ziv", "חגית hagit",
    "חן chen", "טליה talia", "יובל yuval", "יונתן yonatan", "יעל yael", "יפעת yifat", "כרמל carmel", "לאה lea",
    "ליאור lior", "מאיה maya", "מיכל michal", "מרים miriam", "נדב nadav", "נועה noa", "נטע neta", "ניצן nitzan",
    "סיגל sigal", "עדי adi", "עידו ido", "עינת einat", "ענבל inbal", "ערן eran", "פנינה pnina", "צביה zvia",
    "קרן keren", "רוני roni", "רינת rinat", "שגית sagit", "שחר shahar", "שירה shira", "תומר tomer", "תמר tamar",
    "מוחמד mohammad", "אמל amal", "סמירה samira", "יוסף yosef",
)  # fmt: skip
HEBREW_LAST = (
    "אברהמי avrahami", "אדלר adler", "אוחיון ohayon", "אלמוג almog", "ביטון biton", "בן דוד bendavid",
    "ברקוביץ berkovich", "גבאי gabay", "גולן golan", "דהן dahan", "הראל harel", "וקנין vaknin",
    "זילברמן zilberman", "חזן hazan", "טל tal", "יוספי yosefi", "כרמי carmi", "לביא lavi", "מזרחי mizrahi",
    "מלכה malka", "נחום nahum", "סבן saban", "עמר amar", "פלד peled", "פרידמן fridman", "צור zur", "קפלן kaplan",
    "רוזן rozen", "שושן shushan", "שמש shemesh", "תורג׳מן turgeman", "חדאד haddad", "נאסר nasser",
    "גינזבורג ginzburg", "ברגמן bergman", "אשכנזי ashkenazi",
)  # fmt: skip
ENGLISH_FIRST = (
    "Abigail", "Aaron", "Beth", "Calvin", "Claire", "Dov", "Eleanor", "Ezra", "Faye", "Gavin", "Hannah", "Ilana", "Jonah", "Judith", "Leon", "Marcus", "Naomi",
    "Oren", "Priya", "Rachel", "Samuel", "Tessa", "Uri", "Vera", "Wendy", "Zachary",
)  # fmt: skip
ENGLISH_LAST = (
    "Abrams", "Barton", "Cole", "Dunn", "Edelman", "Fisher", "Gordon", "Hirsch", "Isaacs", "Kent", "Lowell", "Marsh", "Novak", "Osborne", "Pearl", "Quinn",
    "Rothman", "Stern", "Tobin", "Underhill", "Vance", "Weiss",
)  # fmt: skip
MAILS = ("example.com", "example.org", "example.net")


@dataclass(frozen=True, slots=True)
class Shopper:
    """One invented person. `number` is stable: the seed decides everything else. `joined`: days before the anchor."""

    number: int
    known: bool
    first: str
    last: str
    language: str
    city: str
    email: str
    phone: str | None
    joined: int
    weight: float  # how often they come
    buys: float  # how likely a filled cart is ordered
    consents: bool
    favourites: tuple[int, ...]  # indexes of products

    @property
    def user_id(self) -> str:
        """The shop's own number."""
        return f"mt-{self.number:05d}"

    @property
    def device(self) -> str:
        """Their browser's anonymous id."""
        return f"demo-{self.number:05d}-web"

    def traits(self, anchor: dt.date) -> dict[str, Any]:
        """As the shop tells them."""
        since = anchor - dt.timedelta(days=self.joined)
        said = {"email": self.email, "firstName": self.first, "lastName": self.last, "language": self.language, "city": self.city, "country": "IL",
                "createdAt": since.isoformat()}  # fmt: skip
        return {**said, "phone": self.phone} if self.phone else said


def shoppers(seed: int, products: int) -> list[Shopper]:
    """All of them, always the same for one seed."""
    chance = Random(f"people {seed}")
    return [_shopper(chance, number, products) for number in range(COUNT)]


def _shopper(chance: Random, number: int, products: int) -> Shopper:
    hebrew = chance.random() < 0.8
    first, last, mail = _hebrew(chance) if hebrew else _english(chance)
    city = chance.choices(CITIES, [weight for _, _, weight in CITIES])[0]
    return Shopper(
        number=number,
        known=number < KNOWN,
        first=first,
        last=last,
        language="he" if hebrew else "en",
        city=city[0] if hebrew else city[1],
        email=f"{mail}{number}@{chance.choice(MAILS)}",
        phone=f"+97250555{number:04d}" if chance.random() < 0.55 else None,
        joined=round(365 * chance.random() ** 1.3) + 1,
        weight=chance.lognormvariate(0, 0.9),
        buys=min(0.9, chance.betavariate(2.2, 2.8)),
        consents=chance.random() < 0.68,
        favourites=tuple(chance.sample(range(products), 8)),
    )


def _hebrew(chance: Random) -> tuple[str, str, str]:
    first, first_latin = chance.choice(HEBREW_FIRST).rsplit(" ", 1)
    last, last_latin = chance.choice(HEBREW_LAST).rsplit(" ", 1)
    return first, last, f"{first_latin}.{last_latin}"


def _english(chance: Random) -> tuple[str, str, str]:
    first, last = chance.choice(ENGLISH_FIRST), chance.choice(ENGLISH_LAST)
    return first, last, f"{first}.{last}".lower()
