"""When marketing goes out: quiet hours, Shabbat and holidays, how much is too much; and what that means for the next days."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import format_datetime
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.core.ids import read_number
from crm.messages import sending
from crm.messages.caps import ALL
from crm.messages.channel import registry
from crm.messages.sending import SendingSettings
from crm.messages.shabbat import PLACES, SATURDAY, is_rest
from crm.profiles.zones import local, local_day
from crm.web import auth, show, users
from crm.web.auth import requires
from crm.web.db import db, settings

bp = Blueprint("sending", __name__, url_prefix="/settings/sending")
FRIDAY, AHEAD = 4, 400  # days looked through for the next holiday
USUAL = (1260, 480)  # quiet hours offered where none are set: 21:00 to 08:00
TIMES = {"friday": dt.time(20, 10), "night": dt.time(23, 30), "noon": dt.time(12)}


@bp.get("")
@requires("admin")
def page() -> str:
    """What is set, and examples."""
    return _page(sending.read(db()))


@bp.post("")
@requires("admin")
def save() -> Response | tuple[str, int]:
    """Keep it; what waits by the old settings is asked about again. What is refused stays in the form."""
    before = sending.read(db())
    try:
        after = sending.save(db(), _said(), clock.now())
    except InvalidError as error:
        db().rollback()
        return _page(before, error), error.status
    if after != before:
        users.audit(db(), user_id=auth.me().user_id, action="sending.changed", subject="", detail=after.model_dump(mode="json"))
    db().commit()
    flash(_("Saved."), "ok")
    return redirect("/settings/sending")


def _said() -> dict[str, Any]:
    form = request.form
    quiet = {name: _quiet(name) for name in registry() if f"quiet-{name}" in form}
    caps = {name: {window: form.get(f"{window}-{name}") or None for window in ("day", "week")} for name in (ALL, *registry())}
    said: dict[str, Any] = {"quiet": quiet, "caps": {name: cap for name, cap in caps.items() if any(cap.values())}, "patience": form.get("patience") or 3}
    return said | ({"rest": {"place": form.get("place", ""), "candles": form.get("candles", "")}} if "rest" in form else {})


def _quiet(name: str) -> dict[str, Any]:
    form = request.form
    days = [day for said in form.getlist(f"weekdays-{name}") if (day := read_number(said)) is not None]
    return {"starts": _minutes(f"starts-{name}"), "ends": _minutes(f"ends-{name}"), "weekdays": days}


def _minutes(field: str) -> int:
    try:
        at = dt.time.fromisoformat(request.form.get(field, ""))
    except ValueError as error:
        raise InvalidError(_l("This is no time of day; write it as 09:00."), field=field) from error
    return at.hour * 60 + at.minute


def _page(rules: SendingSettings, wrong: InvalidError | None = None) -> str:
    """What is set; or what was typed, and why it is refused."""
    told = {"form": request.form, "wrong": {_field(wrong.field): _(str(wrong))}} if wrong else {"form": _form(rules), "wrong": {}}
    return render_template("sending.html", rules=rules, channels=registry(), places=PLACES, examples=_examples(rules), zone=settings().timezone, **told)


def _form(rules: SendingSettings) -> MultiDict[str, Any]:
    """The settings as the form says them."""
    said = MultiDict[str, Any](
        {"patience": rules.patience, "place": rules.rest.place if rules.rest else "", "candles": rules.rest.candles if rules.rest else 40}
    )
    if rules.rest:
        said["rest"] = "on"
    for name in registry():
        quiet = rules.quiet.get(name)
        if quiet:
            said[f"quiet-{name}"] = "on"
        said[f"starts-{name}"], said[f"ends-{name}"] = (_clock(at) for at in ((quiet.starts, quiet.ends) if quiet else USUAL))
        said.setlist(f"weekdays-{name}", [str(day) for day in (quiet.weekdays if quiet else range(7))])
    for name, cap in rules.caps.items():
        said[f"day-{name}"], said[f"week-{name}"] = cap.day or "", cap.week or ""
    return said


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _field(place: str) -> str:
    """The form's field for a place in the settings: `caps.email.day` is `day-email`."""
    kind, _dot, rest = place.partition(".")
    name, _dot, part = rest.partition(".")
    return {"caps": f"{part}-{name}", "quiet": f"{part or 'starts'}-{name}", "rest": rest or "place"}.get(kind, place)


def _examples(rules: SendingSettings) -> list[tuple[str, str, str]]:
    """Due, goes, and why not before (empty: at once) for marketing by e-mail on the installation's clock."""
    zone = settings().timezone
    found = []
    for moment in _moments(local_day(clock.now(), zone), zone):
        later = sending.later(rules, channel="email", moment=moment, zone=zone)
        found.append((_when(moment), _when(later.until) if later else "", later.reason if later else ""))
    return found


def _moments(today: dt.date, zone: str) -> list[dt.datetime]:
    """The next Friday evening, the next night of a Tuesday, and noon of the next holiday."""
    ahead = [today + dt.timedelta(days=n) for n in range(1, AHEAD)]
    friday = next(day for day in ahead if day.weekday() == FRIDAY)
    working = next(day for day in ahead if day.weekday() == 1 and not is_rest(day, israel=True))
    holiday = next(day for day in ahead if day.weekday() != SATURDAY and is_rest(day, israel=True))
    return [local(friday, TIMES["friday"], zone), local(working, TIMES["night"], zone), local(holiday, TIMES["noon"], zone)]


def _when(moment: dt.datetime) -> str:
    return str(format_datetime(show.local(moment), "EEEE d MMMM, HH:mm", rebase=False))
