"""From a template version and a person's values to the words that go out."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Template as Compiled
from jinja2 import TemplateError

from crm.core.config import Config
from crm.core.i18n import direction
from crm.messages.links import Links
from crm.messages.mime import name_and_address
from crm.messages.models import TemplateVersion
from crm.messages.sandbox import TemplateBrokenError, environment, fill, web_address

_HTML, _TEXT = environment(autoescape=True), environment(autoescape=False)
_KEPT = 256
_compiled: OrderedDict[tuple[str, str], _Words] = OrderedDict()
_lock = threading.Lock()
_NAMES = ("firstName", "first_name", "firstname", "givenName")
_OLD_CODES = {"iw": "he"}  # what Java still calls Hebrew


@dataclass(frozen=True, slots=True)
class _Words:
    subject: Compiled
    html: Compiled
    text: Compiled


@dataclass(frozen=True, slots=True)
class Person:
    """What a template may know of a profile."""

    id: str
    name: str
    traits: Mapping[str, Any]

    @property
    def first_name(self) -> str:
        """The first name as given, else the first word of the name, else nothing."""
        given = next((self.traits[key] for key in _NAMES if self.traits.get(key)), None)
        return str(given or (self.name.split() or [""])[0])

    def values(self) -> dict[str, Any]:
        """As templates see it under `profile`."""
        return {"id": self.id, "name": self.name, "first_name": self.first_name, "traits": dict(self.traits)}


@dataclass(frozen=True, slots=True)
class Rendered:
    """The words of one message."""

    language: str
    subject: str
    html: str
    text: str


def language_of(traits: Mapping[str, Any], available: Sequence[str], default: str) -> str:
    """The profile's language where the template speaks it, else the installation's, else the first there is."""
    wanted = str(traits.get("language") or traits.get("locale") or "").replace("_", "-").split("-")[0].lower()
    wanted = _OLD_CODES.get(wanted, wanted)
    return next((language for language in (wanted, default) if language in available), available[0])


def cart_values(items: Sequence[Mapping[str, Any]], currency: str, value: Any) -> dict[str, Any]:
    """A cart as templates see it: `lines` with name, quantity, price (of one) and picture; `value` is the sum."""
    return {"lines": [_line(item) for item in items], "currency": currency, "value": str(value), "count": len(items)}


def _line(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(item.get("name") or item.get("sku") or item.get("product_id") or ""),
        "sku": str(item.get("sku") or ""),
        "variant": str(item.get("variant") or ""),
        "quantity": item.get("quantity") or 1,
        "price": None if item.get("price") is None else str(item["price"]),
        "image": web_address(item.get("image_url")),
        "url": web_address(item.get("url")),
    }


def context_for(config: Config, *, person: Person, cart: Mapping[str, Any] | None, data: Mapping[str, Any], links: Links, language: str) -> dict[str, Any]:
    """Everything a template may name; `data` is what the journey or the caller handed over."""
    right_to_left = direction(language) == "rtl"
    name, address = name_and_address(config.mail_from)
    return {
        "profile": person.values(),
        "cart": dict(cart) if cart is not None else None,
        "data": dict(data),
        "links": {"restore": links.restore, "unsubscribe": links.unsubscribe, "mine": links.mine, "pixel": links.pixel, "survey": links.survey},
        "sender": {"name": name or address, "email": address, "postal": config.mail_postal},
        "language": language,
        "dir": direction(language),
        "start": "right" if right_to_left else "left",
        "end": "left" if right_to_left else "right",
        "currency": (cart or {}).get("currency") or config.currency,
    }


def render(version: TemplateVersion, context: dict[str, Any], links: Links) -> Rendered:
    """Fill in one language's words; raises TemplateBrokenError with part, line and cause."""
    language = context["language"]
    words = _words(version, language)
    filled = {}
    for part in ("subject", "html", "text"):
        try:
            filled[part] = fill(getattr(words, part), context, links.tracked)
        except TemplateBrokenError as error:
            raise TemplateBrokenError(f"{version.name}, {language}, {part}: {error}") from error
    return Rendered(language, " ".join(filled["subject"].split()), filled["html"], filled["text"])


def _words(version: TemplateVersion, language: str) -> _Words:
    """Compiled once per process; the digest tells versions apart, also between databases."""
    key = (version.digest, language)
    with _lock:
        if key in _compiled:
            _compiled.move_to_end(key)
            return _compiled[key]
    content = version.content[language]
    try:
        made = _Words(_TEXT.from_string(content["subject"]), _HTML.from_string(content["html"]), _TEXT.from_string(content["text"]))
    except TemplateError as error:
        raise TemplateBrokenError(f"{version.name}, {language}: {error}") from error
    with _lock:
        _compiled[key] = made
        while len(_compiled) > _KEPT:
            _compiled.popitem(last=False)
    return made
