"""A backtest in words: its states, what its figures rest on, why runs of then went another way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.messages.gate import REASONS
from journeys import backtest
from journeys.backtest_models import Backtest
from journeys.backtest_sums import ITSELF
from journeys.graph import Graph, parse
from journeys.words import REFUSED, ending, label, way

STATES = {  # status -> (words, tone, icon)
    "waiting": (_l("Waiting its turn"), "line", "clock"),
    "running": (_l("Under way"), "acc", ""),
    "done": (_l("Done"), "ok", "check"),
    "failed": (_l("Failed"), "bad", "alert-circle"),
    "cancelled": (_l("Cancelled"), "", "x"),
}
KINDS = {"what_if": _l("What would have happened"), "replay": _l("What happened, decided anew")}
NOTES = {
    "imported": _l("What was imported counts as if it had been told when it happened."),
    "answers": _l("Messages of a backtest reach nobody, so nobody opens, follows or answers them: who waits for that waits until the time is up."),
    "kindest": _l(
        "Where a step would have to look (a code, a place of a rate limit, an article, a former survey) the kindest answer holds: nobody waits a turn."
    ),
    "said": _l("Starts that Kesher itself tells (segments, schedules, other journeys, by hand) are those the log holds for this period."),
    "memberships": _l("Who was in a segment then is read from the entering and leaving the log tells; those of whom it tells neither count as not in it."),
    "limit": _l("The limit of entries is not counted: everybody who may begin does."),
    "counted": _l(
        "Entries are counted against the limit over everybody, in order of time; runs from before the period and the limits of other journeys are not counted."
    ),
    "dates": _l("Dates are those known when the period began."),
    "consent_then": _l("Consent and suppressions count as they were at each moment; a suppression lifted since leaves no trace and counts as never there."),
    "consent_now": _l("Consent counts as it is today; suppressions as they were."),
    "gate": _l(
        "Asked of each message: an address, suppression, consent, a pause of marketing, the cart still open, the same words within a day;"
        " caps, counted over this backtest's own messages; quiet hours, Shabbat and holidays by today's settings and clocks."
    ),
}
CAUSES = {
    "erased": _l("The event that began it was erased."),
    "joined": _l("Two profiles became one meanwhile; what each knew then is not kept apart."),
    "event_gone": _l("The event that began it is no longer in the log of this person."),
    "broken": _l("The run failed then."),
    "acted": _l("Somebody stopped the journey or published a version that ended it."),
    "held_out": _l("Left out by the share to measure; then it was not."),
    "not_begun": _l("By the log of today no run begins here."),
    "not_live": _l("A run would begin by the log; then the journey was not live, or was broken."),
    "moved": _l("It was moved to a chosen step when a version was published."),
    "facts": _l("What the step looked at reads otherwise today: an event came late, went away, or was in the same batch."),
}


def failure(error: str) -> str:
    """Why it failed. It may name what somebody wrote, so a template must escape it: `_` of a template does not."""
    return str(_(error))


def reason(code: str) -> str:
    """Why a message was held."""
    return str(_(REASONS.get(code, code)))


def refused(code: str) -> str:
    """Why nothing started."""
    return str(_(REFUSED.get(code, code)))


def cause(code: str) -> str:
    """Why a run of then went another way."""
    if code.startswith("refused:"):
        return refused(code.partition(":")[2])
    return str(_(CAUSES.get(code, code)))


def together_with(slug: str) -> str:
    """Whose messages came on the same day."""
    return str(_("this journey alone")) if slug == ITSELF else slug


def step(graph: Graph | None, told: str) -> str:
    """`wait/timed_out` in words."""
    if told.startswith("→ "):
        return ending(told[2:])
    node, _slash, exit_name = told.rpartition("/")
    name = node.partition("#")[0]
    words = way(graph, name, exit_name) if graph else exit_name
    return f"{label(graph, name) if graph else name}{f': {words}' if words else ''}"


def drawn(row: Backtest) -> Graph | None:
    """The drawing it was counted on; None where this Kesher cannot read it."""
    try:
        return parse(row.graph)
    except InvalidError:
        return None


def whole(row: Backtest, now: dt.datetime) -> dict[str, Any]:
    """A backtest as the designer and the API show it: where it stands, and its report with words."""
    done, total = backtest.progress(row)
    took = ((row.ended_at or now) - row.started_at).total_seconds() if row.started_at else 0.0
    left = took / done * (total - done) if done and row.status == "running" else None
    said = {"id": row.id, "kind": row.kind, "version": row.version, "status": row.status, "state": str(_(STATES[row.status][0]))}
    said["error"] = str(_(row.error)) if row.error else ""  # the translation of nothing is the catalogue's head
    times = {"from": row.from_at.isoformat(), "to": row.to_at.isoformat(), "created_at": row.created_at.isoformat(), "created_by": row.created_by}
    return said | times | {"done": done, "total": total, "seconds": took, "left": left, "report": dict(row.report), "words": words(row.report)}


def words(report: Mapping[str, Any]) -> dict[str, Any]:
    """What codes in a report mean."""
    return {
        "held": {code: reason(code) for code in report.get("held", {})},
        "refused": {code: refused(code) for code in report.get("refused", {})},
        "ends": {code: ending(code) for code in report.get("ends", {})},
        "causes": {code: cause(code) for code in report.get("causes", {})},
        "with": {slug: together_with(slug) for slug in report.get("collisions", {}).get("with", {})},
        "notes": [str(_(NOTES[code])) for code in report.get("notes", ()) if code in NOTES],
    }
