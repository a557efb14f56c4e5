"""The log of changes in words: what was done, to what, and each detail that was written down with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from babel.dates import get_day_names
from flask import g
from markupsafe import Markup
from sqlalchemy import select

from crm.core.i18n import _l
from crm.messages.retention import KINDS as AGES
from crm.messages.shabbat import PLACES
from crm.scores.words import named
from crm.web import names, phrases, rights, titles, words
from crm.web.db import db
from crm.web.i18n import region
from crm.web.isolates import bdi, ltr
from crm.web.isolates import sentence as _
from crm.web.models import User

ACTIONS = {
    "retention.changed": _l("How long details are kept changed"),
    "retention.swept": _l("Old details emptied"),
    "coupons.added": _l("Coupon codes put in"),
    "webhook.saved": _l("Webhook endpoint saved"),
    "webhook.key": _l("Signing key looked at"),
    "webhook.rotate": _l("Signing key changed"),
    "webhook.remove": _l("Webhook endpoint removed"),
    "journey.create": _l("Journey made"),
    "segment.saved": _l("Segment saved"),
    "segment.deleted": _l("Segment deleted"),
    "user.created": _l("User created"),
    "user.role": _l("Role changed"),
    "user.deactivated": _l("User shut out"),
    "user.activated": _l("User let in again"),
    "user.password": _l("Password set"),
    "token.created": _l("API token created"),
    "token.revoked": _l("API token revoked"),
    "source.created": _l("Source created"),
    "source.settings": _l("Source settings changed"),
    "key.created": _l("Write key created"),
    "key.revoked": _l("Write key revoked"),
    "quarantine.replayed": _l("Quarantined call replayed"),
    "people.joined": _l("Profiles joined"),
    "people.parted": _l("Profiles taken apart"),
    "suggestion.rejected": _l("Suggested join rejected"),
    "sending.changed": _l("Sending rules changed"),
    "identity.limits": _l("Identity limits changed"),
    "identity.blocked": _l("Identifier blocked"),
    "identity.unblocked": _l("Identifier unblocked"),
    "quarantine.discarded": _l("Quarantined call discarded"),
    "import.uploaded": _l("File uploaded for import"),
    "import.started": _l("Import started"),
    "import.cancelled": _l("Import cancelled"),
    "import.undone": _l("Import undone"),
    "import.discarded": _l("Uploaded file removed"),
    "profile.viewed": _l("Profile looked at"),
    "profile.exported": _l("Everything about a person exported"),
    "profile.erased": _l("Person erased"),
    "erasure.refused": _l("Request to be erased refused"),
    "fields.changed": _l("Fields per role changed"),
    "account.changed": _l("Account changed"),
    "sales.settings": _l("Settings of sales changed"),
    "sales.seller": _l("Who takes leads changed"),
    "sales.stages": _l("Stages of deals changed"),
    "trait.created": _l("Computed trait added"),
    "trait.removed": _l("Computed trait removed"),
    "list.created": _l("List made"),
    "list.added": _l("People put on a list"),
    "list.removed": _l("People taken off a list"),
    "list.emptied": _l("List emptied"),
    "list.deleted": _l("List deleted"),
    "leads.given": _l("Leads given to sellers"),
    "leads.taken_back": _l("Leads given taken back"),
    "sales.rate": _l("Exchange rate set"),
    "score.created": _l("Score made"),
    "score.train": _l("Training of a score asked for"),
    "score.apply": _l("Everybody scored anew"),
    "score.rules": _l("Rules by points chosen for a score"),
    "score.model": _l("The model chosen for a score"),
    "score.approve": _l("Column allowed to a score"),
    "score.disapprove": _l("Column left out of a score"),
    "score.remove": _l("Score removed"),
    "score.wrong": _l("Score contradicted"),
    "score.not_wrong": _l("Contradiction of a score taken back"),
    "segment.filled": _l("Members of a segment found anew"),
    "journey.publish": _l("Journey published"),
    "journey.pause": _l("Journey paused"),
    "journey.resume": _l("Journey goes on"),
    "journey.stop": _l("Journey stopped"),
    "journey.retry": _l("Failed runs go on"),
    "journey.restore": _l("Earlier version of a journey made the draft"),
    "journey.story": _l("Story of a journey saved"),
    "journey.story_removed": _l("Story of a journey removed"),
    "prices.set": _l("Price of a channel set"),
}
KEYS = {  # of a detail
    "addresses": _l("Addresses"),
    "allowed_origins": _l("Allowed origins of browser keys"),
    "by": _l("By"),
    "bytes": _l("Bytes"),
    "candles": _l("Candle lighting, minutes before sunset"),
    "caps": _l("How much is too much"),
    "cart_url": _l("Address of the shop’s cart"),
    "codes": _l("Codes"),
    "column": _l("Column"),
    "consent_map": _l("What tracking consent means for messages"),
    "day": _l("At most a day"),
    "days": _l("Days"),
    "ends": _l("Quiet until"),
    "ends_with": _l("Ends with"),
    "events": _l("Events"),
    "feature": _l("Column"),
    "form": _l("File type"),
    "from": _l("Profiles"),
    "happens": _l("It happens"),
    "import": _l("Import"),
    "kind": _l("Kind"),
    "link": _l("Link"),
    "low": _l("Low from"),
    "more": _l("Goes on"),
    "other": _l("The other profile"),
    "patience": _l("Days a message waits for room before it is dropped"),
    "people": _l("People"),
    "place": _l("By the sun of"),
    "private": _l("In the own network"),
    "quiet": _l("Quiet hours"),
    "rest": _l("Shabbat and holidays"),
    "role": _l("Role"),
    "rows": _l("Rows"),
    "said": _l("Note"),
    "stage": _l("Stage"),
    "starts": _l("Quiet from"),
    "suggested": _l("As suggested"),
    "to": _l("To"),
    "topic": _l("Topic"),
    "channel": _l("Channel"),
    "unknown": _l("Nobody has them"),
    "upload": _l("Import"),
    "url": _l("Address"),
    "values": _l("Values"),
    "version": _l("Version"),
    "week": _l("At most a week"),
    "weekdays": _l("Begins on these days"),
    "will": _l("Will come of it"),
}
CODES = {"server": _l("Server key"), "browser": _l("Browser key"), "link": _l("a signed link"), "html": _l("Page"), "json": _l("JSON")}
TABLES: Mapping[str, dict[str, str]] = {
    "role": words.ROLES, "channel": words.CHANNELS, "kind": CODES, "form": CODES, "by": CODES, "place": {name: place.title for name, place in PLACES.items()},
}  # fmt: skip
OF_ALL = frozenset({"sales.settings", "leads.given", "leads.taken_back", "prices.set"})  # of nothing that has a name
GONE = frozenset({"profile.erased"})  # there is nobody any more to look at
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def action_word(action: str) -> str:
    """An entry of the audit log in words; `api POST /consents` is one by the API."""
    call = action.removeprefix("api ")
    return words.word(ACTIONS, action) if call == action else str(_("%(what)s, by the API", what=words.word(names.API_CALLS, call)))


def change_subject(action: str, subject: str) -> Markup | str:
    """Of what: a journey and a score by their names, a person by a link, anything else as it is called."""
    about = action.partition(".")[0]
    if action in OF_ALL:
        return ""
    if about == "journey":
        slug, _gap, rest = subject.partition(" ")
        title = titles.journey_title(slug)
        if rest.isdecimal():
            return _("%(journey)s, version %(n)s", journey=title, n=ltr(rest))
        return Markup("{} {}").format(title, bdi(rest)) if rest else title
    if action == "retention.swept" and subject in AGES:
        return _(AGES[subject].title)
    if about == "score" and (score := titles.score_title(subject)) is not None:
        return score
    return bdi(subject) if action in GONE else _named(subject)


def change_detail(action: str, detail: Mapping[str, Any]) -> Markup:
    """What was written down with it: titles and values in words, what is empty left out."""
    return _pairs(action, detail)


def _pairs(action: str, detail: Mapping[str, Any]) -> Markup:
    return Markup(", ").join(_pair(action, key, value) for key, value in detail.items() if value not in (None, "", [], {}))


def _pair(action: str, key: str, value: Any) -> Markup:
    told = _title(action, key), _value(action, key, value)
    return Markup("{} ({})").format(*told) if isinstance(value, Mapping) else Markup("{}: {}").format(*told)


def _title(action: str, key: str) -> Markup | str:
    if action == "fields.changed" and key in words.ROLES:
        return _("not shown to %(role)s", role=words.word(words.ROLES, key))
    if action == "retention.changed" and key in AGES:
        return _(AGES[key].title)
    if key in KEYS:
        return _(KEYS[key])
    if key in words.IDENTITIES or key in words.CHANNELS:
        return phrases.identity_word(key)[0] if key in words.IDENTITIES else phrases.channel_title(key)
    return ltr(key) if key else _("All channels together")


def _value(action: str, key: str, value: Any) -> Markup | str:
    if isinstance(value, Mapping):
        return _pairs(action, value)
    if isinstance(value, list):
        return Markup(", ").join(_value(action, key, each) for each in value)
    if key == "to" and isinstance(value, int):
        return _user(value)
    if key in {"starts", "ends"} and isinstance(value, int):
        return ltr(f"{value // 60:02}:{value % 60:02}")
    if key == "weekdays":
        return str(get_day_names("abbreviated", locale=region())[value])
    return _code(action, key, value) if isinstance(value, str) else phrases.trait_value(value)


def _code(action: str, key: str, value: str) -> Markup | str:
    """A value that is a code, in words; any other as it is."""
    if action == "fields.changed":
        return ", ".join(_(rights.FIELDS[each]) if each in rights.FIELDS else each for each in value.split(", "))
    if key == "kind" and action.startswith("identity."):
        return phrases.identity_word(value)[0]
    if key == "kind" and action.startswith("score."):
        return titles.score_title(value) or bdi(value)
    if key in TABLES:
        return words.word(TABLES[key], value)
    if key == "feature":
        found = named(value)
        return bdi(found.title) if found.own else _(found.title)
    return bdi(words.event_title(value)) if key == "events" else _named(value)


def _user(number: int) -> Markup:
    """Somebody who signs in here, by name; all are read once a page."""
    if "user_names" not in g:
        g.user_names = {user.id: user.name for user in db().execute(select(User.id, User.name))}
    return bdi(g.user_names.get(number, number))


def _named(text: str) -> Markup:
    """A person by a link, where the text is an id; other text as it is."""
    if not ID.fullmatch(text):
        return bdi(text[: phrases.LONGEST])
    return Markup('<a href="/people/{}">{}</a>').format(text, ltr(f"…{text[-12:]}"))


ALL: tuple[Callable[..., object], ...] = (action_word, change_subject, change_detail)
