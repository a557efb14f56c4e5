"""What rows of sales say, in words; and times as a form of sales gives them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.events.address import normalise
from crm.sales import acts, deals, tasks, work
from crm.sales.hours import Hours
from crm.sales.settings import SalesSettings
from crm.scores import words as scores

STATUSES = {
    "new": (_l("New"), "acc"),
    "working": (_l("Being worked on"), ""),
    "qualified": (_l("Qualified"), "ok"),
    "won": (_l("Won"), "ok"),
    "lost": (_l("Lost"), ""),
}
BANDS = scores.BANDS
STEPS = {
    "overdue": _l("the answer is overdue"),
    "soon": _l("the answer is due soon"),
    "answer": _l("the answer is not due yet"),
    "due": _l("the next action is due"),
    "later": _l("the next action is later"),
    "none": _l("nothing is planned"),
}
WORTHS = {
    "deals": _l("open deals, each by its stage's chance"),
    "score": _l("the score's chance × what such people usually spend"),
    "chance": _l("the score's chance × a usual sale"),
    "unknown": _l("no score yet: a twentieth of a usual sale"),
}
OWNERS = {
    "hand": _l("by hand"),
    "account_owner": _l("looks after their company"),
    "territory": _l("by territory"),
    "language": _l("by language"),
    "capacity": _l("has most room"),
    "round_robin": _l("in turn"),
    "journey": _l("by a journey"),
}
WHEN = {
    "1h": _l("in an hour"),
    "3h": _l("in three hours"),
    "tomorrow": _l("tomorrow morning"),
    "3d": _l("in three days"),
    "1w": _l("in a week"),
    "1m": _l("in a month"),
}
ROLES = {"buyer": _l("Buyer"), "approver": _l("Approver"), "payer": _l("Payer")}
SILENT = {"buyer": _l("No buyer engaged"), "approver": _l("No approver engaged"), "payer": _l("No payer engaged")}
_SHIPPED = {*deals.STAGE_WORDS, *deals.GOAL_WORDS, *tasks.KINDS.values(), *tasks.READY, work.FIRST, *SalesSettings().lost_reasons}
TOLD = {  # events that `told` has words for
    "Lead Created", "Call Logged", "Lead Status Changed", "Lead Assigned", "Task Done", "Task Late", "Deal Stage Changed", "Deal Lost",
}  # fmt: skip
FARTHEST = dt.timedelta(days=3660)  # in the year 9999 a task that stays undone would go up after the end of the calendar
FIRST = ("source", "message")  # of a lead's own words, without a name before them
KEPT = {"campaign", "cost", "currency", "owner_id", "by"}  # they stand elsewhere on the page
UNREAD = {"email": _l("unreadable e-mail address: %(said)s"), "phone": _l("unreadable phone number: %(said)s")}
DEAL_STATES = {"open": _l("Open"), "won": _l("Won"), "lost": _l("Lost")}


def own(said: str) -> str:
    """A name of a stage, task or reason in the page's language where it came with Kesher; one that somebody wrote stays as it is."""
    return str(gettext(said)) if said in _SHIPPED else said


def told(name: str, said: Mapping[str, Any]) -> str:
    """What an event of sales says in a line of the timeline, beside its title."""
    if name == "Lead Created":
        return " · ".join(_came(said))
    if name == "Call Logged":
        outcome, note = acts.OUTCOMES.get(str(said.get("outcome"))), str(said.get("note") or "")
        return ": ".join(filter(None, (str(gettext(outcome)) if outcome else "", note)))
    if name == "Lead Status Changed":
        status = said.get("status")
        return str(gettext(STATUSES[status][0])) if status in STATUSES else ""
    if name == "Lead Assigned":
        return str(said.get("owner") or (gettext("nobody") if said.get("owner_id") is None else ""))
    if name in {"Task Done", "Task Late"}:
        return own(str(said.get("title") or ""))
    word = said.get("reason") if name == "Deal Lost" else said.get("stage_name") or said.get("stage")
    return own(str(word or ""))


def _came(said: Mapping[str, Any]) -> Iterator[str]:
    """Where a lead came from and what it wrote, with what it left to be answered by that cannot be read."""
    for name in (*FIRST, *(one for one in said if one not in {*FIRST, *KEPT})):
        value = said.get(name, "")
        if not isinstance(value, str | int | float) or value == "" or (name in UNREAD and normalise(name, value)):
            continue
        line = str(gettext(UNREAD[name], said=value)) if name in UNREAD else f"{name}: {value}"
        yield str(value) if name in FIRST else line


def moment(choice: str, exact: str, *, hours: Hours, now: dt.datetime) -> dt.datetime | None:
    """A time chosen in a form: one of `WHEN`, within working time, or an exact one on the installation's clock; None where none was chosen."""
    zone = ZoneInfo(hours.zone)
    if exact:
        try:
            found = dt.datetime.fromisoformat(exact).replace(tzinfo=zone).astimezone(dt.UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidError(_l("This is not a time; write it as 2026-05-14T10:00.")) from error
        if abs(found - now) > FARTHEST:
            raise InvalidError(_l("Choose a time within ten years."))
        return found
    plain = {"1h": dt.timedelta(hours=1), "3h": dt.timedelta(hours=3)}
    if choice in plain:
        return now + plain[choice]
    days = {"tomorrow": 1, "3d": 3, "1w": 7, "1m": 30}.get(choice)
    if days is None:
        return None
    morning = dt.datetime.combine(now.astimezone(zone).date() + dt.timedelta(days=days), dt.time(), zone) + dt.timedelta(minutes=hours.starts)
    return hours.next_start(morning.astimezone(dt.UTC)) or morning.astimezone(dt.UTC)
