"""What a column probably means, by its name (Hebrew or English) and by its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crm.events.address import normalise_email, normalise_phone

MOST = 0.6  # share of the values that must fit


@dataclass(frozen=True, slots=True)
class Choice:
    """What to make of one column: a role (`skip`, `trait` and `property` among them), the trait's name, its type, how its days are written."""

    role: str
    name: str = ""
    type: str = "words"
    format: str = "day_first"
    filled: str = ""  # of a lead's column: who fills it in, and when


_NAMES: dict[str, str] = {  # role -> its usual names; the longest name that fits wins
    "email": "email|e mail|mail|email address|דואל|דואר אלקטרוני|אימייל|מייל|כתובת מייל",
    "phone": "phone|mobile|cell|tel|telephone|phone number|mobile phone|cellphone|whatsapp|טלפון|נייד|סלולרי|פלאפון|טלפון נייד|מספר טלפון|טל",
    "first_name": "first name|firstname|given name|fname|שם פרטי|פרטי",
    "last_name": "last name|lastname|surname|family name|lname|שם משפחה|משפחה",
    "name": "name|full name|fullname|customer name|customer|client|contact|שם|שם מלא|שם לקוח|לקוח|שם הלקוח",
    "city": "city|town|עיר|ישוב|יישוב|עיר מגורים",
    "birthday": "birthday|birth date|birthdate|date of birth|dob|יום הולדת|תאריך לידה|לידה",
    "user_id": "user id|userid|customer id|customerid|client id|member id|קוד לקוח|מספר לקוח|מזהה|מזהה לקוח|מס לקוח|id",
    "external_id": "external id|erp id|crm id|card code|מזהה חיצוני|מפתח לקוח",
    "time": "created at|created|signup date|registered|date added|join date|תאריך הצטרפות|תאריך רישום|נוצר בתאריך",
    "skip": "row|line|no|מס|שורה|מספר שורה",
}
_ORDER_NAMES: dict[str, str] = {
    "order_id": "order id|orderid|order number|order no|order|invoice|invoice no|invoiceno|invoice number|מספר הזמנה|הזמנה|מס הזמנה|חשבונית|מספר חשבונית",
    "time": "date|order date|time|created at|invoice date|invoicedate|paid at|timestamp|תאריך|תאריך הזמנה|זמן|תאריך חשבונית",
    "revenue": "total|revenue|amount|order total|sum|subtotal|סכום|סהכ|סך הכל|סכום הזמנה|לתשלום",
    "currency": "currency|מטבע",
    "product_id": "sku|product id|product code|stock code|stockcode|item|item code|מקט|קוד מוצר|פריט",
    "product_name": "product|product name|description|item name|title|מוצר|שם מוצר|תיאור|שם פריט",
    "price": "price|unit price|unitprice|מחיר|מחיר יחידה",
    "quantity": "quantity|qty|units|כמות|יחידות",
}
_LEAD_NAMES: dict[str, str] = {
    "external_id": "lead id|prospect id|lead number|lead no|מספר ליד|מזהה ליד",
    "source": "source|lead source|utm source|מקור|מקור הליד|מקור ליד",
    "campaign": "campaign|utm campaign|campaign name|קמפיין",
    "cost": "cost|lead cost|cost per lead|cpl|עלות|עלות ליד",
}
_LEAD_SIGNS: dict[str, str] = {  # columns that only a list of leads has, by what they tell
    "origin": f"{_LEAD_NAMES['source']}|{_LEAD_NAMES['campaign']}",
    "cost": _LEAD_NAMES["cost"],
    "stage": "stage|lead stage|lead status|pipeline stage|שלב|שלב הליד|סטטוס ליד|סטטוס הליד",
    "outcome": "converted|is converted|conversion|won|outcome|הומר|המרה|תוצאה",
}
_EVENT_NAMES: dict[str, str] = {
    "event": "event|event name|action|activity|אירוע|פעולה|שם אירוע",
    "time": "date|time|timestamp|occurred at|happened at|created at|תאריך|זמן|מועד",
}
_CONSENT = ("consent", "newsletter", "opt in", "optin", "subscribed", "marketing", "דיוור", "הסכמה", "פרסומ", "ניוזלטר", "מאשר")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T,]+\d{1,2}:\d{2}.*)?")
_NUMBER = re.compile(r"[₪$€£]?\s*-?\d{1,3}(?:,?\d{3})*(?:\.\d+)?\s*[₪$€£%]?")
_TRUTH = frozenset(("true", "false", "yes", "no", "y", "n", "כן", "לא", "v", "✓"))
_LEAD = re.compile(r"\b(lead|prospect)\b|\bה?ליד\b")
_ONCE = frozenset({"trait", "property", "skip", "consent"})


def guess(columns: Sequence[str], sample: Sequence[Sequence[str]], *, kind: str = "people") -> list[Choice]:
    """One choice for each column; a role is given once, to the first column that fits it best."""
    names = {**_NAMES, **({"orders": _ORDER_NAMES, "events": _EVENT_NAMES, "leads": _LEAD_NAMES}.get(kind, {}))}
    taken: set[str] = set()
    found: list[Choice] = []
    for place, column in enumerate(columns):
        values = [row[place].strip() for row in sample if place < len(row) and row[place].strip() and "\ufffd" not in row[place]]
        role = _role(column, values, names, kind)
        if role in taken or not (values or column):
            role = "skip" if not (values or column) else _other(kind)
        if role not in _ONCE:
            taken.add(role)
        found.append(Choice(role, clean_name(column, place), value_type(values), day_format(values)))
    return found


def guess_kind(columns: Sequence[str]) -> str:
    """People, unless an order's number and its date or price are there; events where their name and time are.

    Leads where two columns call them so, or tell of two things that only leads have.
    """
    plain = [_plain(column) for column in columns]
    orders = {role for column in plain if (role := _by_name(column, _ORDER_NAMES))}
    if "order_id" in orders and orders & {"time", "revenue", "price"}:
        return "orders"
    events = {role for column in plain if (role := _by_name(column, _EVENT_NAMES))}
    if events == {"event", "time"}:
        return "events"
    signs = {sign for column in plain if (sign := _by_name(column, _LEAD_SIGNS) or (column if _LEAD.search(column) else ""))}
    called = sum(bool(_LEAD.search(column)) for column in plain)
    return "leads" if called >= 2 or len(signs) >= 2 else "people"


def clean_name(column: str, place: int) -> str:
    """A trait's or property's name: the column's, or its number where it has none."""
    return re.sub(r"[\s\x00-\x1f{}]+", " ", column).strip()[:100] or f"column {place + 1}"


def _role(column: str, values: Sequence[str], names: dict[str, str], kind: str) -> str:
    plain = _plain(column)
    if role := _by_name(plain, names):
        return role
    if any(word in plain for word in _CONSENT) and kind in {"people", "leads"} and value_type(values) == "bool":
        return "consent"
    if values and _share(values, lambda v: bool(normalise_email(v))) >= MOST:
        return "email"
    if values and _share(values, lambda v: bool(normalise_phone(v)) and len(v) >= 9) >= MOST and not _share(values, lambda v: bool(_DATE.fullmatch(v))):
        return "phone"
    return _other(kind)


def _by_name(plain: str, names: dict[str, str]) -> str:
    return next((role for role, said in names.items() if plain in said.split("|")), "")


def _plain(column: str) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    return " ".join(re.sub(r"[_\-.:*()/]+", " ", re.sub(r"[\"'״׳`]", "", spaced)).lower().split())


def _other(kind: str) -> str:
    return "trait" if kind in {"people", "leads"} else "property"


def value_type(values: Sequence[str]) -> str:
    """words, number, date or bool: what nearly all values are."""
    if not values:
        return "words"
    if _share(values, lambda v: v.lower() in _TRUTH or v in {"0", "1"}) >= 0.95 and any(v.lower() in _TRUTH for v in values):
        return "bool"
    if _share(values, lambda v: bool(_DATE.fullmatch(v))) >= 0.8:
        return "date"
    numbers = _share(values, lambda v: bool(_NUMBER.fullmatch(v)) and not (v.startswith("0") and len(v) > 1 and v[1].isdigit()))
    return "number" if numbers >= 0.95 else "words"


def day_format(values: Sequence[str]) -> str:
    """Day first, as here, unless more of the values can only be read the other way."""
    pairs = [(int(found[1]), int(found[2])) for v in values if (found := re.match(r"(\d{1,2})[./-](\d{1,2})[./-]\d", v))]
    return "month_first" if sum(second > 12 for _, second in pairs) > sum(first > 12 for first, _ in pairs) else "day_first"


def _share(values: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(1 for value in values if test(value)) / len(values)
