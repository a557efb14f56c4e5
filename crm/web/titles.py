"""Names the company gave to what it made (journeys, scores), read once a page; a code stays as it is where nothing bears it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from flask import current_app, g
from markupsafe import Markup, escape

from crm.analytics.recent import Recent
from crm.profiles.timeline import Entry
from crm.scores import score
from crm.scores.words import BANDS
from crm.web.db import db
from crm.web.isolates import bdi, ltr, sentence

Told = TypeVar("Told", Entry, Recent)
FIRST_BAND = "Score Band Given"  # how a page calls our own note of it


def journey_title(slug: str) -> Markup:
    """A journey by its name in the page's language."""
    names: Mapping[str, str] = _once("journey_names", current_app.extensions.get("kesher_journeys", dict))
    return bdi(names[slug]) if slug in names else ltr(slug)


def score_title(kind: str) -> Markup | None:
    """A score's title: ours in the page's language, the company's as it is; None where no score is called so."""
    own = {} if kind in score.shipped() else _once("own_scores", lambda: score.asked(db()))
    found = score.shipped().get(kind) or own.get(kind)
    if found is None:
        return None
    return bdi(found.title) if kind in own else escape(sentence(found.title))


def band_title(band: Any) -> str | None:
    """A band of a score in words."""
    return sentence(BANDS[band][0]) if isinstance(band, str) and band in BANDS else None


def band_trait(name: str, value: Any) -> tuple[Markup, str] | None:
    """The title and the band where this trait is the band of a score; Kesher writes it, so it has words."""
    if not name.endswith("_band") or (band := band_title(value)) is None:
        return None
    title = score_title(name.removesuffix("_band"))
    return None if title is None else (title, band)


def band_change(properties: Mapping[str, Any]) -> Markup | str:
    """A score's band and the one before, as one line."""
    title, band, was = score_title(str(properties.get("kind"))), band_title(properties.get("band")), band_title(properties.get("was"))
    if title is None or band is None:
        return ""
    if was is None:
        return sentence("%(score)s: %(band)s", score=title, band=band)
    return sentence("%(score)s: %(band)s, was %(was)s", score=title, band=band, was=was)


def as_told(entry: Told) -> Told:
    """Our own note of somebody's first band as what it is: nobody imported it, and no detail was learned."""
    if not entry.first_band:
        return entry
    name, band = next(iter(entry.properties.items()), ("", None))
    return replace(entry, name=FIRST_BAND, origin="live", properties={"kind": name.removesuffix("_band"), "band": band})


def _once(key: str, read: Callable[[], Any]) -> Any:
    if key not in g:
        setattr(g, key, read())
    return getattr(g, key)
