"""Surveys on the screen: the score for those who work here, and the page behind a message's link for whoever was asked."""

from __future__ import annotations

import datetime as dt

from babel.dates import format_skeleton
from flask import Blueprint, Response, render_template, request

from crm.core import clock
from crm.core.crypto import Keys
from crm.core.i18n import LANGUAGES, direction
from crm.messages import links
from crm.messages.mime import name_and_address
from crm.web.auth import requires
from crm.web.db import db, settings
from crm.web.i18n import region
from crm.web.security import csrf
from journeys import surveys
from journeys.surveys import Asked

bp = Blueprint("surveys", __name__, template_folder="templates")
ENOUGH = 10  # answers of a segment before its score is shown
LATEST = 20

# The page speaks the language of the message, not of whoever is signed in, so it carries its own words.
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "ask_title": "How likely are you to recommend us?",
        "scale": "From 0 (not at all) to 10 (very likely)",
        "low": "Not at all",
        "high": "Very likely",
        "comment": "What is the reason for your score? (optional)",
        "button": "Send",
        "choose": "Please choose a number from 0 to 10.",
        "done_title": "Thank you",
        "done": "Your answer has reached us.",
        "again": "You have answered already; that answer counts.",
        "gone_title": "This link leads nowhere",
        "gone": "It may have been cut off on its way, or the survey is over. Open it again from the message, or write to us.",
        "preview_title": "This is a preview",
        "preview": "The link comes from a preview of a message, so it does nothing.",
    },
    "he": {
        "ask_title": "באיזו מידה סביר שתמליצו עלינו?",
        "scale": "מ־0 (בכלל לא) עד 10 (סביר מאוד)",
        "low": "בכלל לא",
        "high": "סביר מאוד",
        "comment": "מה הסיבה לציון? (לא חובה)",
        "button": "שליחה",
        "choose": "נא לבחור מספר מ־0 עד 10.",
        "done_title": "תודה",
        "done": "התשובה הגיעה אלינו.",
        "again": "כבר התקבלה תשובה, והיא הקובעת.",
        "gone_title": "הקישור הזה לא מוביל לשום מקום",
        "gone": "ייתכן שהוא נקטע בדרך או שהסקר הסתיים. אפשר לפתוח אותו שוב מתוך ההודעה, או לכתוב לנו.",
        "preview_title": "זו תצוגה מקדימה",
        "preview": "הקישור הגיע מתצוגה מקדימה של הודעה, ולכן אינו עושה דבר.",
    },
}


@bp.get("/nps/<token>")
def ask(token: str) -> Response:
    """Shows the form with the clicked score chosen and changes nothing: link scanners follow every link."""
    followed = links.read(Keys(settings().secret_key), links.SURVEY, token)
    if followed is not None and followed.message_id is None:
        return _page("preview")
    asked = surveys.find(db(), followed.message_id) if followed and followed.message_id else None
    if asked is None:
        return _page("gone", status=404)
    if asked.answered_at is not None:
        return _page("done", asked, note="again")
    return _page("ask", asked, chosen=_score(request.args.get("s")))


@bp.post("/nps/<token>")
def answer(token: str) -> Response:
    """The answer, once."""
    followed = links.read(Keys(settings().secret_key), links.SURVEY, token)
    asked = surveys.find(db(), followed.message_id) if followed and followed.message_id else None
    if asked is None:
        return _page("gone", status=404)
    score = _score(request.form.get("score"))
    if score is None:
        return _page("ask", asked, problem=True, status=400)
    new = surveys.answer(db(), asked, score=score, comment=request.form.get("comment", ""), now=clock.now())
    db().commit()
    return _page("done", asked, note="done" if new else "again")


csrf.exempt(answer)  # the signed token is the proof; whoever answers has no session here


def _score(said: str | None) -> int | None:
    return int(said) if said is not None and said in {str(n) for n in range(11)} else None


def _page(kind: str, asked: Asked | None = None, *, status: int = 200, note: str = "", chosen: int | None = None, problem: bool = False) -> Response:
    language = (asked.language if asked else None) or request.accept_languages.best_match(list(LANGUAGES)) or settings().locale
    words = WORDS[language if language in WORDS else "en"]
    html = render_template(
        "journeys/survey.html",
        w=words,
        title=words[f"{kind}_title"],
        text=words.get(note or kind, ""),
        sender=name_and_address(settings().mail_from)[0],
        language=language,
        dir=direction(language),
        asks=kind == "ask",
        chosen=chosen,
        problem=problem,
    )
    return Response(html, status=status, headers={"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer", "Vary": "Accept-Language"})


@bp.get("/surveys")
@requires()
def index() -> str:
    """The score with its interval, by segment and over time, and the latest answers."""
    there = surveys.names(db())
    chosen = request.args.get("survey") if request.args.get("survey") in there else (there[0] if there else None)
    days = int(request.args["days"]) if request.args.get("days") in {"30", "90", "365"} else 365
    if chosen is None:
        return render_template("journeys/surveys.html", survey=None, there=there)
    since = clock.now() - dt.timedelta(days=days)
    score, asked = surveys.overall(db(), chosen, since)
    return render_template(
        "journeys/surveys.html",
        survey=chosen,
        there=there,
        days=days,
        since=since,
        score=score,
        asked=asked,
        months=surveys.by_month(db(), chosen, since, settings().timezone),
        segments=surveys.by_segment(db(), chosen, since, ENOUGH),
        enough=ENOUGH,
        spread=surveys.spread(db(), chosen, since),
        latest=surveys.latest(db(), chosen, LATEST),
        month=lambda name: format_skeleton("yMMM", dt.date.fromisoformat(f"{name}-01"), locale=region()),
    )
