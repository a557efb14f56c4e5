"""What rows say, as sentences: traits, identities, consents, carts, events; one place for their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import phonenumbers
from babel.dates import format_date
from flask_babel import to_user_timezone
from markupsafe import Markup

from crm.core.clock import parse_time
from crm.core.json import dumps
from crm.events.address import normalise
from crm.events.source import detail_of
from crm.web import names, rights, sales_words, titles, words
from crm.web.i18n import language, region
from crm.web.isolates import LARGEST, bdi, ltr, money, num
from crm.web.isolates import sentence as _

LONGEST = 300


class _Said(Protocol):
    channel: str
    topic: str
    action: str


class _Cart(Protocol):
    status: str
    recovered: bool


def identity_word(kind: str) -> tuple[str, str]:
    """Words and icon of a kind of identity; `external:<source>` names its source."""
    if kind in words.IDENTITIES:
        title, sign = words.IDENTITIES[kind]
        return _(title), sign
    return kind.removeprefix("external:"), "building-store"


def phone(value: str) -> Markup:
    """A number as people write it, kept from left to right."""
    try:
        return ltr(phonenumbers.format_number(phonenumbers.parse(value, None), phonenumbers.PhoneNumberFormat.INTERNATIONAL))
    except phonenumbers.NumberParseException:
        return ltr(value)


def trait_title(name: str) -> Markup | str:
    """A trait in words; one we have no words for keeps its own name."""
    return _(words.TRAITS[name]) if name in words.TRAITS else ltr(name)


def trait_value(value: Any) -> Markup | str:
    """A value of a trait or property: numbers as this language writes them, lists and objects as JSON."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int | float | Decimal):
        return num(value)
    text = value if isinstance(value, str) else dumps(value)
    return bdi(text if len(text) <= LONGEST else text[:LONGEST] + "…")


def trait(name: str, value: Any) -> tuple[Markup | str, Markup | str]:
    """A trait's title and value; the band of a score is told as what it is, and an address that can be none as such."""
    if name in rights.SUMS and "revenue" in rights.hidden():
        return trait_title(name), bdi(rights.VEIL)
    value = _address(name, value)
    if name in words.NO_ADDRESS and value not in (None, "") and normalise(name, value) is None:
        return trait_title(name), Markup('{} <span class="k-warn">{}</span>').format(trait_value(value), _(words.NO_ADDRESS[name]))
    return titles.band_trait(name, value) or (trait_title(name), trait_value(value))


def properties(said: Mapping[str, Any], *, ours: bool) -> list[tuple[str, Markup | str, Markup | str]]:
    """Each property of an event, with its title and value; sums are veiled from whoever may not see revenue. Those of events Kesher made have words."""
    money = rights.sums(said) if "revenue" in rights.hidden() else ()
    told = property_value if ours else lambda name, value: trait_value(_address(name, value))
    return [(name, property_title(name), bdi(rights.VEIL) if name in money else told(name, value)) for name, value in said.items()]


def _address(name: str, value: Any) -> Any:
    """A phone that was sent as a number is no quantity: it is written, and hidden, as a phone."""
    return normalise(name, value) or str(value) if name in words.NO_ADDRESS and isinstance(value, int) else value


def property_value(name: str, value: Any) -> Markup | str:
    """A property of an event Kesher itself made: codes in words, the rest as it is."""
    if name == "reason" and isinstance(value, str):
        return bdi(words.reason(value))
    if name in {"band", "was"} and (band := titles.band_title(value)):
        return bdi(band)
    if name == "kind" and isinstance(value, str) and (score := titles.score_title(value)):
        return score
    if name in {"journey", "template"} and isinstance(value, str):
        return titles.journey_title(value) if name == "journey" else bdi(template_title(value))
    return channel_title(value) if name == "channel" and isinstance(value, str) and value in words.CHANNELS else trait_value(value)


def property_title(name: str) -> Markup | str:
    """A property of an event in words, where we have them."""
    return _(names.PROPERTIES[name]) if name in names.PROPERTIES else trait_title(name)


def template_title(name: str) -> str:
    """A template that came with Kesher in words; another has the name it was given."""
    return words.word(names.TEMPLATES, name)


def account_trait(name: str) -> Markup | str:
    """A trait of a company in words, where we have them."""
    return _(words.ACCOUNT_TRAITS[name]) if name in words.ACCOUNT_TRAITS else ltr(name)


def computed_title(name: str, own: Mapping[str, str]) -> Markup | str:
    """A computed trait in words; the company's own has the words it was given."""
    return _(words.COMPUTED[name]) if name in words.COMPUTED else bdi(own.get(name, name))


def computed_value(name: str, value: Any) -> Markup | str:
    """A computed value as people read it: sums as money, moments as days, shares as percent."""
    if name in rights.TRAITS or ("revenue" in rights.hidden() and name in rights.money_traits()):
        return money(value)  # veiled, where it is hidden
    if name in {"last_order", "last_seen", "last_open", "last_click"} and (moment := parse_time(value)):
        return bdi(format_date(to_user_timezone(moment), locale=region()))
    if name in {"lifecycle", "preferred_channel"}:
        return words.word(words.STAGES_OF_LIFE if name == "lifecycle" else words.CHANNELS, value)
    if name == "preferred_hour":
        return ltr(f"{value}:00–{(value + 1) % 24}:00")
    if name.endswith("_affinity") and isinstance(value, dict):
        shares = sorted(value.items(), key=lambda share: -float(share[1]))
        return Markup(", ").join(Markup("{} {}%").format(bdi(what), round(float(part) * 100)) for what, part in shares)
    return trait_value(value)


def event_detail(name: str, properties: Mapping[str, Any]) -> Markup | str:
    """One line about an event: the product, the sum, the page."""
    if properties.get("machine") is True:
        return _("by a machine, so it does not count")
    if name in {"Journey Ended", "Product Stock Changed", titles.FIRST_BAND, "Score Band Changed", *sales_words.TOLD}:
        return _own_words(name, properties)
    currency = properties.get("currency") if isinstance(properties.get("currency"), str) else None
    if name.startswith("Order ") and (total := _amount(properties.get("total", properties.get("revenue")))) is not None:
        return _("%(order)s, %(sum)s", order=ltr(properties.get("order_id", "")), sum=money(total, currency))
    if isinstance(title := properties.get("name") or properties.get("title") or properties.get("subject"), str) and title:
        price = _amount(properties.get("price"))
        return bdi(title[:LONGEST]) if price is None else _("%(product)s, %(price)s", product=bdi(title[:LONGEST]), price=money(price, currency))
    for key in ("query", "path", "url", "journey", "template", "product_id", "sku", "reason"):
        if isinstance(value := properties.get(key), str | int) and value:
            return _named(key, str(value)[:LONGEST])
    return ""


def _named(key: str, value: str) -> Markup:
    if key == "journey":
        return titles.journey_title(value)
    return ltr(value) if key not in {"query", "template"} else bdi(template_title(value) if key == "template" else value)


def _own_words(name: str, properties: Mapping[str, Any]) -> Markup | str:
    if name == "Journey Ended":
        return _("%(journey)s: %(why)s", journey=titles.journey_title(str(properties.get("journey", ""))), why=words.reason(str(properties.get("reason", ""))))
    if name in {titles.FIRST_BAND, "Score Band Changed"}:
        return titles.band_change(properties)
    if name in sales_words.TOLD:
        said = sales_words.told(name, properties)
        return bdi(said[:LONGEST]) if said else ""
    count = _amount(properties.get("stock"))
    return "" if count is None else _("%(n)s left", n=num(count))


def _amount(value: Any) -> Decimal | None:
    try:
        found = Decimal(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() and abs(found) < LARGEST else None


def channel_title(channel: str) -> str:
    """A channel in words."""
    return words.word(words.CHANNELS, channel)


def channel_icon(channel: str) -> str:
    """A channel's icon."""
    return words.CHANNEL_ICONS.get(channel, "mail")


def topic_title(topic: str, topics: Mapping[str, Mapping[str, str]]) -> str:
    """A topic in the page's language."""
    titles = topics.get(topic, {})
    return titles.get(language()) or titles.get("en") or topic


def consent_word(action: str) -> str:
    """Agreed or refused."""
    return words.word(words.CONSENTS, action)


def consent_line(said: _Said, topics: Mapping[str, Mapping[str, str]]) -> str:
    """`Offers, by E-mail: agreed`, as one sentence."""
    slots = {"topic": topic_title(said.topic, topics), "channel": channel_title(said.channel)}
    return _("%(topic)s by %(channel)s: agreed", **slots) if said.action == "granted" else _("%(topic)s by %(channel)s: refused", **slots)


def consent_source(source: str) -> str:
    """Where an act of consent came from."""
    head, _colon, rest = source.partition(":")
    known = {
        "api": _("the API"),
        "form": _("a form"),
        "unsubscribe": _("the unsubscribe link"),
        "context": _("the site's consent banner"),
        "import": _("an import"),
    }
    return known.get(head, source) if not rest else _("%(what)s (%(name)s)", what=known.get(head, head), name=rest)


def cart_badge(cart: _Cart) -> Markup:
    """What became of a cart."""
    title, tone = (_("Recovered"), "ok") if cart.recovered else (_(words.CART_STATES[cart.status][0]), words.CART_STATES[cart.status][1])
    return Markup('<span class="k-badge {}">{}</span>').format(tone, title)


def link_reason(code: str) -> str:
    """Why two profiles became one."""
    return words.word(words.LINKS, code)


def evidence_word(code: str) -> str:
    """What agrees or differs between two profiles."""
    return words.word(words.EVIDENCE, code)


def held_detail(stored: str) -> Markup:
    """What exactly is wrong with a call in quarantine."""
    said, slots = detail_of(stored)
    return _(said, **{name: bdi(value) if name == "said" else ltr(value) for name, value in slots.items()})


def guard_reason(code: str) -> str:
    """Why a guard kept two profiles apart."""
    return words.word(words.GUARDS, code)


def status_count(status: str) -> str:
    """A status behind a number: `12 sent`."""
    return words.word(words.STATUS_COUNTS, status)


def role_word(role: str) -> str:
    """A role in words."""
    return words.word(words.ROLES, role)


def role_means(role: str) -> str:
    """What a role may do."""
    return words.word(words.ROLE_MEANS, role)


def stage_word(stage: str) -> str:
    """Where a message was judged."""
    return words.word(words.STAGES, stage)


def answer_word(answer: str) -> str:
    """What the answer was."""
    return words.word(words.ANSWERS, answer)


def purpose_word(purpose: str) -> str:
    """Marketing or service."""
    return words.word(words.PURPOSES, purpose)


def language_name(code: str) -> str:
    """A language in its own words."""
    return words.LANGUAGE_NAMES.get(code, code)


ALL: tuple[Callable[..., object], ...] = (
    *(
        identity_word,
        phone,
        trait_title,
        trait,
        trait_value,
        properties,
        template_title,
        titles.journey_title,
        account_trait,
        computed_title,
        computed_value,
        event_detail,
        channel_title,
        channel_icon,
        topic_title,
        consent_word,
        consent_line,
        consent_source,
    ),
    *(
        cart_badge,
        link_reason,
        guard_reason,
        held_detail,
        evidence_word,
        status_count,
        role_word,
        role_means,
        stage_word,
        answer_word,
        purpose_word,
        language_name,
    ),
)
