"""Any template as any profile would get it, or with its sample, without sending."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm.commerce.carts import is_open, of_people
from crm.core.config import Config
from crm.core.errors import NotFoundError
from crm.messages.deliver import latest
from crm.messages.links import links_for
from crm.messages.models import TemplateVersion
from crm.messages.render import Person, cart_values, context_for, language_of, render
from crm.messages.sandbox import TemplateBrokenError
from crm.profiles.models import Profile


@dataclass(frozen=True, slots=True)
class Preview:
    """What would go out. `problem` says why it cannot be filled in; the words are empty then."""

    name: str
    version: int
    language: str
    languages: tuple[str, ...]
    subject: str = ""
    html: str = ""
    text: str = ""
    problem: str | None = None


def preview(session: Session, config: Config, *, name: str, language: str | None = None, profile_id: uuid.UUID | None = None) -> Preview:
    """The latest version as this profile (its latest open cart, else the sample's), else with the sample's person.

    Without `language` the person's is taken. Links in it lead to pages that do nothing. NotFoundError: no such template or profile.
    """
    version = latest(session, {name}).get(name)
    if version is None:
        raise NotFoundError(f"There is no template called {name!r}.")
    sample = version.sample
    person, cart = _profile(session, profile_id, sample) if profile_id else (_sample_person(sample), sample_cart(sample))
    return shown(version, config, person, cart, language)


def sampled(version: TemplateVersion, config: Config, language: str) -> Preview:
    """One version filled in with its own sample."""
    return shown(version, config, _sample_person(version.sample), sample_cart(version.sample), language)


def shown(version: TemplateVersion, config: Config, person: Person, cart: Mapping[str, Any] | None, wanted: str | None) -> Preview:
    """One version filled in with these values; `wanted` is the language asked for."""
    languages = tuple(sorted(version.content))
    language = wanted if wanted in languages else language_of(person.traits, languages, config.locale)
    links = links_for(config, None)
    context = context_for(config, person=person, cart=cart, data=version.sample.get("data") or {}, links=links, language=language)
    try:
        made = render(version, context, links)
    except TemplateBrokenError as error:
        return Preview(version.name, version.version, language, languages, problem=str(error))
    return Preview(version.name, version.version, language, languages, made.subject, made.html, made.text)


def _profile(session: Session, profile_id: uuid.UUID, sample: Mapping[str, Any]) -> tuple[Person, Mapping[str, Any] | None]:
    profile = session.scalar(select(Profile).where(Profile.id == profile_id))
    if profile is None:
        raise NotFoundError("There is no such profile.")
    mine = [cart for cart in of_people(session, [profile_id]).get(profile_id, []) if is_open(cart)]
    cart = max(mine, key=lambda c: c.changed_at, default=None)
    values = cart_values(list(cart.items.values()), cart.currency, cart.value) if cart else sample_cart(sample)
    return Person(str(profile.id), profile.name, profile.traits), values


def _sample_person(sample: Mapping[str, Any]) -> Person:
    profile = sample.get("profile") or {}
    return Person("", str(profile.get("name") or ""), profile.get("traits") or {})


def sample_cart(sample: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The cart of a template's sample, as templates see one."""
    cart = sample.get("cart")
    if not cart:
        return None
    items = cart.get("items") or []
    total = sum((Decimal(str(item.get("price") or 0)) * Decimal(str(item.get("quantity") or 1)) for item in items), Decimal(0))
    return cart_values(items, str(cart.get("currency") or "ILS"), total)
