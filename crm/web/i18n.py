"""Two languages and one time zone: which apply to this request."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, has_request_context, request
from flask_babel import Babel, get_locale
from flask_login import current_user

from crm.core.i18n import LANGUAGES, direction
from crm.web.db import settings

COOKIE = "kesher_language"
CATALOGS = Path(__file__).parent / "translations"
REGIONS = {"he": "he_IL", "en": "en_IL"}


def install(app: Flask, timezone: str) -> None:
    """Choose language and zone per request."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(CATALOGS)
    Babel(app, default_locale="en", default_timezone=timezone, locale_selector=choose, timezone_selector=lambda: timezone)


def choose() -> str:
    """The person's own setting, else the cookie, else what the browser prefers, else the installation's language."""
    if not has_request_context():
        return settings().locale
    asked = (_own(), request.cookies.get(COOKIE), request.accept_languages.best_match(list(LANGUAGES)), settings().locale)
    return next((language for language in asked if language in LANGUAGES), "en")


def language() -> str:
    """The language of this page, `he` or `en`."""
    locale = get_locale()
    return locale.language if locale and locale.language in LANGUAGES else "en"


def region() -> str:
    """The locale for numbers, money and dates: the language as written in Israel."""
    return REGIONS[language()]


def is_rtl() -> bool:
    """Whether this page runs from right to left."""
    return direction(language()) == "rtl"


def _own() -> str | None:
    return getattr(current_user, "language", None) if current_user else None
