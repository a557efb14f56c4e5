"""The designer's page and the page a new journey begins on; what is drawn travels by journeys/design.py."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import generate_csrf
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.i18n import _l
from crm.web import users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db, settings
from crm.web.i18n import is_rtl, language, region
from crm.web.show import MIRRORED, asset
from journeys import drafts, files, view
from journeys.pages_backtest import PANEL
from journeys.words import named

bp = Blueprint("designer", __name__, template_folder="templates")
WORDS = {  # what the designer's script says, by key; slots as everywhere
    "add_after": _l("Add a step after “%(step)s”"),
    "add_here": _l("Add a step here"),
    "add_one": _l("One more"),
    "add_step": _l("Add a step"),
    "added": _l("Added: %(step)s"),
    "advice_n": _l("Advice: %(n)s"),
    "back": _l("Back to the journey"),
    "begin": _l("Begin"),
    "canvas": _l("The journey as a drawing: arrows walk, Tab goes through the ways out, Enter opens, Delete removes"),
    "canvas_role": _l("drawing"),
    "check": _l("Check before publishing"),
    "check_again": _l("Look again"),
    "check_nobody": _l("Nobody it would reach can be found yet, so nothing can be said about people."),
    "check_ok_n": _l("People it would reach and who were looked at: %(n)s. Nothing to say about them."),
    "check_people": _l("Look at the people it would reach"),
    "check_people_n": _l("People it would reach and who were looked at: %(n)s."),
    "choose_event": _l("Choose what happens."),
    "choose_step": _l("Choose a step"),
    "chosen_n": _l("Steps chosen: %(n)s"),
    "close": _l("Close"),
    "conflict": _l("Somebody else saved this journey (%(time)s) while you were drawing. Nothing of yours is stored until you choose."),
    "conflict_by": _l("%(who)s saved this journey (%(time)s) while you were drawing. Nothing of yours is stored until you choose."),
    "conflict_first": _l("Somebody else saved meanwhile. Close this and choose which drawing to keep."),
    "conflict_short": _l("Saved by somebody else meanwhile"),
    "copied_n": _l("Steps copied: %(n)s"),
    "differences": _l("All differences: %(n)s"),
    "do_chosen": _l("They move to steps I choose"),
    "do_exit": _l("Their runs end"),
    "do_old": _l("They finish on the version they are on"),
    "do_same": _l("They move to the same step of the new version"),
    "draft_saved": _l("Draft saved %(time)s"),
    "ends_with": _l("Events that end a run at once"),
    "ends_with_help": _l("At any step. A message not yet sent is taken back."),
    "entry_limit": _l("Limit of entries"),
    "entry_rule": _l("Coming again"),
    "find": _l("Find"),
    "find_step": _l("Find a step"),
    "fit": _l("Show all"),
    "from_step": _l("From “%(step)s” to"),
    "goes_after": _l("The next step goes after “%(step)s”."),
    "goes_on": _l("something happens next"),
    "here_now": _l("here now"),
    "holdout": _l("Left out, to measure"),
    "include_members": _l("Also begin for those who are in the segment already; now %(n)s"),
    "it_happens": _l("It happens"),
    "journey_name": _l("Name of the journey"),
    "in_segments": _l("In the segments"),
    "in_segments_help": _l("Segments they are in when it begins, with commas; empty: none, or those of the real person."),
    "jump_day": _l("A day on"),
    "jump_hour": _l("An hour on"),
    "jump_next": _l("To what comes next"),
    "keep_mine": _l("Keep mine"),
    "keep_story": _l("Keep as a story"),
    "leads_nowhere": _l("leads nowhere yet; Enter chooses a step"),
    "leads_to": _l("leads to “%(step)s”"),
    "looking": _l("Looking at what changed …"),
    "looking_people": _l("Looking at people …"),
    "menu": _l("Menu"),
    "mend_first": _l("Mend this first; then it can go live."),
    "name": _l("Name"),
    "next": _l("Next"),
    "no_answer": _l("Kesher did not answer. Look at your connection and try again."),
    "no_problems": _l("Nothing to mend"),
    "no_stories": _l("No stories yet. Try something; what happens can be kept as a story and is checked whenever the drawing changes."),
    "no_such_step": _l("No step is called so."),
    "nobody_under_way": _l("Nobody is under way in this journey now."),
    "no_draft": _l("As published"),
    "not_loaded": _l("The journey could not be loaded. Reload the page; if that does not help, sign in again."),
    "not_saved": _l("Not saved. Kesher tries again every few seconds; do not close the page."),
    "not_saved_short": _l("Not saved"),
    "not_set": _l("not set"),
    "not_yet": _l("Not yet"),
    "nothing_sent": _l("nothing is sent"),
    "nowhere": _l("nowhere yet"),
    "on_to": _l("on to “%(step)s”, above"),
    "on_whom": _l("On whom"),
    "on_whom_help": _l("E-mail, phone or id of a real person, whose traits are read; empty: somebody invented."),
    "palette_hint": _l("Drag a step, or press Enter on it."),
    "passed": _l("passed"),
    "paste_many": _l("That would be too many: a journey has at most %(most)s steps. There are %(there)s here, and %(n)s were copied."),
    "paste_nothing": _l("Nothing has been copied yet: choose steps here or in another journey, and press Ctrl+C."),
    "paste_strange": _l("Nothing was pasted: the step “%(kind)s” that was copied is none this Kesher knows."),
    "pasted_n": _l("Steps pasted: %(n)s"),
    "people_under_way": _l("People under way in this journey: %(n)s."),
    "people_wait": _l("People here: %(n)s"),
    "problems_n": _l("Problems: %(n)s"),
    "properties": _l("Properties of what happens"),
    "properties_hint": _l("price=120, …"),
    "publish": _l("Publish"),
    "publish_version": _l("Publish version %(n)s"),
    "redo": _l("Redo"),
    "redone": _l("Redone"),
    "remove": _l("Remove"),
    "remove_step": _l("Remove this step"),
    "remove_story": _l("Remove the story “%(name)s”"),
    "removed_n": _l("Steps removed: %(n)s"),
    "rule_DAILY": _l("days"),
    "rule_MONTHLY": _l("months"),
    "rule_WEEKLY": _l("weeks"),
    "rule_YEARLY": _l("years"),
    "rule_any_month": _l("Any month"),
    "rule_dates": _l("Days of the month, with commas; -1 is the last"),
    "rule_every": _l("Every"),
    "rule_month": _l("Month"),
    "rule_own": _l("Another rhythm"),
    "rule_raw": _l("As calendars write it"),
    "rule_weekdays": _l("Days of the week"),
    "run_over": _l("The run is over: %(why)s"),
    "saving": _l("Saving …"),
    "set_it": _l("Set: %(what)s"),
    "settings": _l("Settings of the step"),
    "signed_out": _l("Not saved: you are signed out. Sign in again in another window; Kesher then saves what is drawn here."),
    "somebody": _l("somebody invented"),
    "stand_changed": _l("“%(step)s” has changed; people there now: %(n)s"),
    "stand_removed": _l("“%(step)s” is gone; people there now: %(n)s"),
    "stand_ways": _l("“%(step)s” leads elsewhere; people there now: %(n)s"),
    "start": _l("Start"),
    "start_over": _l("Start over"),
    "started": _l("started"),
    "started_nothing": _l("It started nothing: %(reason)s"),
    "starts_with": _l("Starts with"),
    "state_broken": _l("Broken"),
    "state_draft": _l("Draft"),
    "state_live": _l("Active"),
    "state_paused": _l("Paused"),
    "state_stopped": _l("Stopped"),
    "state_version": _l("%(state)s, version %(n)s"),
    "step_name": _l("Name on the drawing"),
    "step_role": _l("step"),
    "step_way": _l("%(step)s: %(way)s"),
    "steps": _l("Steps"),
    "stories": _l("Stories"),
    "stories_fail": _l("These come out otherwise: %(n)s of %(all)s"),
    "stories_hold": _l("All hold: %(n)s"),
    "stories_wait": _l("They are told once the drawing can run."),
    "story_kept": _l("Kept; it holds today."),
    "story_name": _l("Name of the story"),
    "take_theirs": _l("Take theirs"),
    "then": _l("then"),
    "tidy": _l("Tidy up"),
    "tried": _l("Tried; the path is marked on the drawing"),
    "try_it": _l("Try it"),
    "undo": _l("Undo"),
    "undone": _l("Undone"),
    "unit": _l("Unit"),
    "unit_d": _l("days"),
    "unit_h": _l("hours"),
    "unit_m": _l("minutes"),
    "unit_s": _l("seconds"),
    "unit_w": _l("weeks"),
    "value": _l("Value"),
    "way_cut": _l("The way leads nowhere now"),
    "way_leads": _l("From “%(from)s” to “%(to)s”"),
    "way_role": _l("way"),
    "ways_out": _l("Ways out"),
    "what_happens": _l("What happens"),
    "what_of_them": _l("What becomes of people on their way"),
    "whole_journey": _l("The whole journey"),
    "would_send": _l("Would send “%(template)s”"),
    "zoom_in": _l("Zoom in"),
    "zoom_out": _l("Zoom out"),
} | PANEL


@bp.get("/journeys/<slug>/edit")
@requires(*MAKERS)
def edit(slug: str) -> str:
    """The designer of one journey."""
    journey = drafts.find(db(), slug)
    about = {
        "slug": slug,
        "language": language(),
        "region": region().replace("_", "-"),
        "timezone": settings().timezone,
        "rtl": is_rtl(),
        "icons": asset("vendor/icons.svg"),
        "mirrored": sorted(MIRRORED | {"arrow-back-up", "arrow-forward-up"}),
        "csrf": generate_csrf(),
        "words": {key: _(words) for key, words in WORDS.items()},
    }
    return render_template("journeys/designer.html", name=named(journey.name, slug), about=about)


@bp.get("/journeys/new")
@requires(*MAKERS)
def begin() -> str:
    """Choose a recipe, or begin empty."""
    there = {row.slug for row in view.journeys(db(), now=clock.now())}
    ready = [(slug, named(graph["name"], slug), named(graph.get("about", {}), ""), slug in there) for slug, graph in files.recipes().items()]
    return render_template("journeys/new.html", recipes=ready)


@bp.post("/journeys/begin")
@requires(*MAKERS)
def begun() -> Response:
    """Make the draft and open it."""
    name = (request.form.get("name") or "").strip()[:80]
    journey = drafts.create(db(), recipe=request.form.get("recipe") or None, name={language(): name} if name else {}, now=clock.now(), by=me().email)
    users.audit(db(), user_id=me().user_id, action="journey.create", subject=journey.slug)
    db().commit()
    return redirect(f"/journeys/{journey.slug}/edit")
