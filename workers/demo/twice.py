"""A made-up country of 10,000 people, some of whom a shop knows twice: what suggestions are judged on.

The rates and the judging seeds stand here since before the method was written, and are not changed to suit it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

PEOPLE = 10_000
JUDGING_SEEDS = range(90_001, 90_021)

TWICE = 0.15  # of people are known by a second profile
THRICE = 0.15  # of those by a third
HEBREW = 0.5  # of profiles are written in Hebrew
OTHER_SCRIPT = 0.15  # of places are written in the other script than the name
TYPO = 0.02  # of names have one wrong letter
SWAPPED = 0.01  # have first and last name in each other's field
MARRIED = 0.01  # go by another last name than before
NO_CITY, NO_ADDRESS, NO_BIRTHDAY, NO_EMAIL, NO_PHONE = 0.04, 0.08, 0.25, 0.15, 0.15
MOVED = 0.03  # give another place
WRONG_NUMBER = 0.01  # of house numbers
WRONG_BIRTHDAY = 0.01  # day and month changed places
SAME_PHONE = 0.5  # of second profiles say the number of the first
SAME_LOCAL = 0.35  # of second profiles have the same name at another mail provider
HOUSEHOLD = 0.3  # of people live with family: same last name, same address
FAMILY_PHONE = 0.1  # of family members give one number
NAMED_AFTER = 0.003  # of family members have the first name of the first; other families do not use a name twice

FIRST = (
    "David דוד דויד|Moshe Moshé משה|Yosef Josef Yossef יוסף|Yaakov Jacob Yakov יעקב|Avraham Abraham אברהם|Daniel דניאל|Noam נועם נעם|Itai Itay איתי|"
    "Ori Uri אורי|Eitan Eytan איתן|Yonatan Jonathan יונתן|Michael Mikhael מיכאל|Amit עמית|Omer עומר עמר|Ariel אריאל|Shlomo Shelomo שלמה|Haim Chaim חיים|"
    "Yitzhak Itzhak יצחק|Rafael Raphael רפאל|Gilad גלעד|Ron רון|Tal טל|Nadav נדב|Elad אלעד|Asaf Assaf אסף|Boaz בועז|Dana דנה|Noa נועה נעה|Tamar תמר|"
    "Maya Maia מאיה|Yael יעל|Sara Sarah שרה|Rachel רחל|Leah Lea לאה|Miriam Miryam מרים|Michal מיכל|Shira Shirah שירה|Avigail Abigail אביגיל|Ruth Rut רות|"
    "Hannah Hana Channah חנה|Esther Ester אסתר|Rivka Rebecca רבקה|Adi עדי|Orly Orli אורלי|Inbal ענבל|Galit גלית|Ronit רונית|Keren קרן|Liat ליאת|"
    "Efrat אפרת|Hila Hilla הילה|Sigal סיגל|Vered ורד|Anat ענת|Einat Eynat עינת|Merav Meirav מירב|Yifat Ifat יפעת|Olga אולגה|Natalia Nataliya נטליה|Igor איגור"
)
LAST = (
    "Cohen Kohen כהן|Levi Levy לוי|Mizrahi Mizrachi מזרחי|Peretz Perets פרץ|Biton Bitton ביטון|Dahan דהן|Avraham Abraham אברהם|Friedman Fridman פרידמן|"
    "Malka מלכה|Azulay Azoulay אזולאי|Katz כץ|Yosef Josef יוסף|David דוד|Amar עמר|Ohayon אוחיון|Hadad Haddad חדד|Gabay Gabbay גבאי|Ben-David בן-דוד|"
    "Adler אדלר|Klein קליין|Segal Segel סגל|Shapira Shapiro שפירא|Weiss Vais וייס|Rosenberg רוזנברג|Goldberg גולדברג|Stern שטרן|Golan גולן|Barak ברק|"
    "Shalom שלום|Vaknin Waknin וקנין|Edri אדרי|Sasson Sason ששון|Nahum Nachum נחום|Tzur Tsur צור|Alon אלון|Carmi Karmi כרמי|Harel הראל|Sela Sella סלע|"
    "Baruch Barukh ברוך|Elbaz אלבז|Zohar זוהר|Meir מאיר|Regev רגב|Shaked שקד|Naor נאור|Tal טל|Ivanov איבנוב|Kaplan קפלן|Rubin רובין|Hazan Chazan חזן|"
    "Yadin ידין|Lavi לביא|Ganon גנון|Maman ממן|Sofer סופר|Navon נבון|Eliyahu אליהו|Zakai Zakkai זכאי|Ashkenazi אשכנזי|Berkovich Berkowitz ברקוביץ"
)
CITIES = (
    "Jerusalem ירושלים|Tel-Aviv תל-אביב|Haifa חיפה|Rishon_LeZion ראשון_לציון|Petah_Tikva Petach_Tikva פתח_תקווה|Ashdod אשדוד|Netanya Natanya נתניה|"
    "Beer_Sheva Beersheba באר_שבע|Bnei_Brak Bne_Brak בני_ברק|Holon חולון|Ramat_Gan רמת_גן|Ashkelon אשקלון|Rehovot Rechovot רחובות|Bat_Yam בת_ים|"
    "Herzliya Hertzliya הרצליה|Kfar_Saba Kfar_Sava כפר_סבא|Hadera חדרה|Modiin מודיעין|Nazareth נצרת|Lod לוד|Ramla Ramle רמלה|Raanana Ra'anana רעננה|"
    "Givatayim גבעתיים|Eilat Elat אילת|Akko Acre עכו|Tiberias טבריה|Yavne יבנה|Afula עפולה|Dimona דימונה|Arad ערד"
)
STREETS = (
    "Herzl הרצל|Ben_Gurion בן_גוריון|Jabotinsky ז'בוטינסקי|Weizmann Weizman ויצמן|Rothschild רוטשילד|Bialik ביאליק|HaNassi הנשיא|Dizengoff דיזנגוף|"
    "Allenby אלנבי|Begin בגין|Rabin רבין|HaPalmach הפלמ\"ח|Sokolov סוקולוב|Arlozorov ארלוזורוב|King_George קינג_ג'ורג'|Balfour בלפור|HaShalom השלום|"
    "HaGefen הגפן|HaTamar התמר|HaAlon האלון|HaZayit הזית|HaRimon הרימון|Nordau נורדאו|Ahad_HaAm אחד_העם|Trumpeldor טרומפלדור|Kaplan קפלן|Eilat אילת|"
    "HaNegev הנגב|HaGalil הגליל|Golomb גולומב|Katznelson כצנלסון|Sderot_Yerushalayim שדרות_ירושלים|Hahistadrut ההסתדרות|Usishkin אוסישקין|Shenkin שינקין|"
    "Gordon גורדון|Frishman פרישמן|Einstein איינשטיין|HaYarkon הירקון|Shderot_Chen שדרות_חן"
)
PROVIDERS = ("gmail.com", "walla.example", "outlook.example", "hotmail.example", "mail.example")


@dataclass(frozen=True, slots=True)
class Known:
    """One profile of the set. `person` is the truth that no method may look at."""

    id: int
    person: int
    traits: dict[str, Any]
    email: str | None
    phone: str | None


@dataclass(slots=True)
class Human:
    """Somebody as they are; names and places are rows of the tables above."""

    number: int
    first: list[str]
    last: list[str]
    city: list[str]
    street: list[str]
    house: int
    flat: int
    birthday: tuple[int, int, int]
    phone: str
    local: str = ""
    profiles: list[Known] = field(default_factory=list)


def population(seed: int, people: int = PEOPLE) -> list[Known]:
    """Everybody's profiles, shuffled; the same seed gives the same."""
    chance = random.Random(seed)
    humans: list[Human] = []
    while len(humans) < people:
        humans += _household(chance, len(humans))
    found: list[Known] = []
    taken: set[str] = set()
    for human in humans[:people]:
        for _ in range(_times(chance)):
            human.profiles.append(_profile(chance, human, len(found), taken))
            found.append(human.profiles[-1])
    chance.shuffle(found)
    return found


def _times(chance: random.Random) -> int:
    if chance.random() >= TWICE:
        return 1
    return 3 if chance.random() < THRICE else 2


def _table(text: str) -> list[list[str]]:
    return [row.replace("_", " ").split() if "_" not in row else [w.replace("_", " ") for w in row.split()] for row in text.split("|")]


def _weights(count: int, slope: float) -> list[float]:
    return list(accumulate(1 / (n + 3) ** slope for n in range(count)))


_FIRST, _LAST, _CITIES, _STREETS = (_table(text) for text in (FIRST, LAST, CITIES, STREETS))


def _pick(chance: random.Random, table: list[list[str]], slope: float) -> list[str]:
    return chance.choices(table, cum_weights=_weights(len(table), slope))[0]


def _household(chance: random.Random, number: int) -> list[Human]:
    first = _human(chance, number)
    members = [first]
    if chance.random() < HOUSEHOLD:
        for _ in range(chance.randint(1, 3)):
            other = _human(chance, number + len(members))
            other.last, other.city, other.street, other.house, other.flat = first.last, first.city, first.street, first.house, first.flat
            if chance.random() < FAMILY_PHONE:
                other.phone = first.phone
            while any(other.first is member.first for member in members):
                other.first = _pick(chance, _FIRST, 0.6)
            if chance.random() < NAMED_AFTER:
                other.first = first.first
            other.local = _local(chance, other)
            members.append(other)
    return members


def _human(chance: random.Random, number: int) -> Human:
    first, last = _pick(chance, _FIRST, 0.6), _pick(chance, _LAST, 0.8)
    city, street = _pick(chance, _CITIES, 0.7), chance.choice(_STREETS)
    birthday = (chance.randint(1945, 2006), chance.randint(1, 12), chance.randint(1, 28))
    human = Human(number, first, last, city, street, chance.randint(1, 120), chance.randint(1, 30), birthday, _number(chance))
    human.local = _local(chance, human)
    return human


def _number(chance: random.Random) -> str:
    return f"+97250{chance.randint(2_000_000, 9_999_999)}"


def _local(chance: random.Random, human: Human) -> str:
    first, last = human.first[0].lower(), human.last[0].lower().replace("-", "")
    year = human.birthday[0] % 100
    shapes = (f"{first}.{last}", f"{first[0]}{last}", f"{first}{year:02d}", f"{last}{chance.randint(1, 999)}", f"{first}{last}{chance.randint(1, 99)}")
    return chance.choice(shapes)


def _profile(chance: random.Random, human: Human, number: int, taken: set[str]) -> Known:
    again = bool(human.profiles)
    hebrew = chance.random() < HEBREW
    traits: dict[str, Any] = _name(chance, human, hebrew)
    script = hebrew != (chance.random() < OTHER_SCRIPT)
    traits |= _place(chance, human, script, moved=again and chance.random() < MOVED)
    if chance.random() >= NO_BIRTHDAY:
        year, month, day = human.birthday
        if chance.random() < WRONG_BIRTHDAY and day <= 12:
            month, day = day, month
        traits["birthday"] = f"{year:04d}-{month:02d}-{day:02d}"
    return Known(number, human.number, traits, _email(chance, human, taken, again=again), _phone(chance, human, again=again))


def _name(chance: random.Random, human: Human, hebrew: bool) -> dict[str, str]:
    last_names = _pick(chance, _LAST, 0.8) if human.profiles and chance.random() < MARRIED else human.last
    first, last = _spelt(chance, human.first, hebrew), _spelt(chance, last_names, hebrew)
    if chance.random() < TYPO:
        first, last = (_typo(chance, first), last) if chance.random() < 0.5 else (first, _typo(chance, last))
    if chance.random() < SWAPPED:
        first, last = last, first
    return {"firstName": first, "lastName": last} if chance.random() < 0.7 else {"name": f"{first} {last}"}


def _spelt(chance: random.Random, spellings: list[str], hebrew: bool) -> str:
    right = [word for word in spellings if any("\u05d0" <= letter <= "\u05ea" for letter in word) == hebrew]
    return chance.choice(right)


def _typo(chance: random.Random, word: str) -> str:
    place = chance.randrange(len(word))
    how = chance.random()
    if how < 0.4 and len(word) > 2:
        return word[:place] + word[place + 1 :]
    if how < 0.7:
        return word[:place] + word[place] + word[place:]
    return word[:place] + chance.choice("אבגדהולמנר" if "\u05d0" <= word[place] <= "\u05ea" else "abdeilnorst") + word[place + 1 :]


def _place(chance: random.Random, human: Human, hebrew: bool, *, moved: bool) -> dict[str, Any]:
    city, street, house = (_pick(chance, _CITIES, 0.7), chance.choice(_STREETS), chance.randint(1, 120)) if moved else (human.city, human.street, human.house)
    if chance.random() < WRONG_NUMBER:
        house = chance.randint(1, 120)
    said: dict[str, Any] = {}
    if chance.random() >= NO_CITY:
        said["city"] = _spelt(chance, city, hebrew)
    if chance.random() >= NO_ADDRESS:
        words = f"{_spelt(chance, street, hebrew)} {house}"
        said["address"] = {"street": words + (f"/{human.flat}" if chance.random() < 0.4 and not moved else "")}
    return said


def _email(chance: random.Random, human: Human, taken: set[str], *, again: bool) -> str | None:
    """An address nobody else has: a second profile of one person has another one than the first."""
    if chance.random() < NO_EMAIL:
        return None
    local = human.local if not again or chance.random() < SAME_LOCAL else _local(chance, human)
    provider, more = chance.choice(PROVIDERS), ""
    while f"{local}{more}@{provider}" in taken:
        more = str(chance.randint(1, 9999))
    taken.add(f"{local}{more}@{provider}")
    return f"{local}{more}@{provider}"


def _phone(chance: random.Random, human: Human, *, again: bool) -> str | None:
    if chance.random() < NO_PHONE:
        return None
    return human.phone if not again or chance.random() < SAME_PHONE else _number(chance)
