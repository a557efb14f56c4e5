"""Import: a file of people, leads, orders or events, from its upload to its undoing."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, flash, redirect, render_template, request, stream_with_context
from flask.blueprints import BlueprintSetupState
from flask_babel import gettext as _
from flask_login import current_user
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse

from crm.consent.context import ADDRESS_OF
from crm.consent.models import Topic
from crm.core import clock
from crm.core.errors import InvalidError, KesherError, NotFoundError
from crm.core.ids import read_number
from crm.events.importing import guess, load, recognise, uploads, wizard
from crm.events.importing.guess import Choice
from crm.events.importing.models import WORKING, Upload
from crm.events.importing.recognise import Recognised
from crm.events.importing.rejects import LEFT_OUT
from crm.events.models import SYSTEM_SOURCE, Source
from crm.scores import declared
from crm.web import import_words as said
from crm.web import rights, users
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db, settings

bp = Blueprint("imports", __name__, url_prefix="/imports")
PAGE = 30
_FORM_ROOM = 64 * 1024  # bytes around a file
_NOTHING: dict[str, Any] = {"source": "", "empty": "", "as_of": "", "event": "", "external": "", "currency": "", "consent": None}


@bp.record_once
def _let_files_in(state: BlueprintSetupState) -> None:
    """An upload may be larger than any other form; that must be said before somebody reads the form for its token."""
    state.app.before_request_funcs.setdefault(None, []).insert(0, _larger)


def _larger() -> None:
    if request.method == "POST" and request.path == "/imports" and current_user.is_authenticated and current_user.role in MAKERS:
        request.max_content_length = uploads.LARGEST + _FORM_ROOM


@bp.get("")
@requires(*MAKERS)
def index() -> str:
    """Every upload, and the form for one more."""
    before = request.args.get("before", "")
    rows = list(uploads.page(db(), before=read_number(before), size=PAGE + 1))
    return render_template("imports.html", rows=rows[:PAGE], more=rows[PAGE - 1].id if len(rows) > PAGE else None, before=before, said=said)


@bp.post("")
@requires(*MAKERS)
def upload() -> AnyResponse:
    """Take a file; what is no table is refused with a sentence."""
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        flash(_("Choose a file first."), "bad")
        return redirect("/imports")
    now = clock.now()
    try:
        row = uploads.keep(db(), stream=sent.stream, name=sent.filename, home=settings().home, user_id=me().user_id, now=now)
    except KesherError as error:
        flash(_(str(error)), "bad")
        return redirect("/imports")
    if row.created_at == now:
        _note("import.uploaded", row, {"bytes": row.size})
    else:
        flash(_("This very file was uploaded before; here is what became of it. The same lines are never taken twice."), "ok")
    db().commit()
    return redirect(f"/imports/{row.id}")


@bp.get("/<int:number>")
@requires(*MAKERS)
def show(number: int) -> str | AnyResponse:
    """Where an upload stands: its counts, its progress, what may be done next."""
    row = _upload(number)
    if row.status == "new":
        return redirect(f"/imports/{number}/columns")
    source = db().get(Source, row.source_id) if row.source_id else None
    has_rejects = uploads.rejects(settings().home, row).exists()
    return render_template("imports-one.html", row=row, source=source, working=row.status in WORKING, has_rejects=has_rejects, **_progress(row))


@bp.get("/<int:number>/progress")
@requires(*MAKERS)
def progress(number: int) -> str | AnyResponse:
    """Done, left, rate, time to go; asks for the whole page anew when the work is over."""
    row = _upload(number)
    if row.status not in WORKING:
        return Response(status=204, headers={"HX-Refresh": "true"})
    return render_template("imports-progress.html", row=row, **_progress(row))


@bp.get("/<int:number>/columns")
@requires(*MAKERS)
def columns(number: int) -> str | AnyResponse:
    """What each column means: as chosen before, else as guessed."""
    row = _upload(number)
    if not said.changeable(row):
        return redirect(f"/imports/{number}")
    return _columns(row, row.settings or {})


@bp.post("/<int:number>/columns")
@requires(*MAKERS)
def choose(number: int) -> str | AnyResponse:
    """Read the file in another way, or keep what was chosen."""
    row = _upload(number)
    if not said.changeable(row):
        return redirect(f"/imports/{number}")
    form = request.form.to_dict()
    try:
        if form.get("act") == "reread":
            uploads.reread(row, settings().home, _wished(form))
            row.settings = {"kind": form.get("kind", "people")}
            db().commit()
            return redirect(f"/imports/{number}/columns")
        chosen = _chosen(form, len(row.how["columns"]))
        _keep(row, chosen)
    except InvalidError as error:
        db().rollback()
        flash(_(str(error)), "bad")
        return _columns(_upload(number), _chosen(form, len(row.how["columns"])) if form.get("act") != "reread" else row.settings or {})
    db().commit()
    return redirect(f"/imports/{number}/preview")


@bp.get("/<int:number>/preview")
@requires(*MAKERS)
def preview(number: int) -> str | AnyResponse:
    """The first lines as they will be read, with what is wrong marked."""
    row = _upload(number)
    if not said.changeable(row) or not row.mapping:
        return redirect(f"/imports/{number}")
    lines = wizard.preview(uploads.stored(settings().home, row), uploads.mapping_of(row), now=clock.now())
    choices = _choices(row.settings, uploads.look(row, settings().home))
    read = [place for place, choice in enumerate(choices) if choice.role != "skip"]
    return render_template(
        "imports-preview.html", row=row, lines=lines, choices=choices, read=read, shut=_shut(choices), veil=rights.VEIL, said=said, names=_names(row)
    )


@bp.post("/<int:number>")
@requires(*MAKERS)
def act(number: int) -> AnyResponse:
    """Check, run, cancel, undo, discard."""
    row, wish = _upload(number), request.form.get("act", "")
    if wish not in said.ACTS:
        raise InvalidError(_("This is not something an import can do."))
    if wish == "discard":
        uploads.discard(db(), row, settings().home)
    elif wish == "stop":
        uploads.stop_checking(db(), row)
    else:
        uploads.move(db(), row, to=said.ACTS[wish], now=clock.now())
        if wish == "run" and row.settings.get("kind") == "leads":
            declared.declare(db(), row.settings["choices"], upload_id=row.id, now=clock.now())
    if wish in said.AUDITED:
        _note(said.AUDITED[wish], row, {"import": number})
    db().commit()
    if wish == "discard":
        flash(_("The file is removed. Nothing of it was imported."), "ok")
        return redirect("/imports")
    return redirect(f"/imports/{number}")


@bp.get("/<int:number>/rejects")
@requires(*MAKERS)
def rejects(number: int) -> AnyResponse:
    """The lines that were not taken, as CSV with reasons; nothing in it is a formula to a spreadsheet."""
    row = _upload(number)
    path = uploads.rejects(settings().home, row)
    if not path.exists():
        raise NotFoundError(_("There is no such list any more; it is kept for a month."))
    name = f"rejected-{row.id}.csv"
    body = stream_with_context(_translated(path, row))
    return Response(body, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _translated(path: Path, row: Upload) -> Iterator[str]:
    """The list in the reader's language, with the file's own names of columns."""
    names, shut = _names(row), rights.hidden()  # nobody knows in which column of a stranger's file a sum or an address stands
    held = io.StringIO()
    writer = csv.writer(held)
    with path.open(encoding="utf-8", newline="") as file:
        for place, line in enumerate(csv.reader(file)):
            if len(line) != 4:
                continue
            heads = [_("line"), _("reason"), _("detail"), _("row")]
            writer.writerow(
                heads if place == 0 else [line[0], said.reason(line[1]), said.guarded(said.detail(line[2], names)), rights.VEIL if shut else line[3]]
            )
            yield ("\ufeff" if place == 0 else "") + held.getvalue()
            held.seek(0)
            held.truncate()


def _columns(row: Upload, chosen: Mapping[str, Any]) -> str:
    found = uploads.look(row, settings().home)
    kind = chosen.get("kind") or guess.guess_kind(found.columns)
    choices = _choices({**chosen, "kind": kind}, found)
    sources = db().execute(select(Source.id, Source.name).where(Source.id != SYSTEM_SOURCE, Source.name != said.OWN_SOURCE).order_by(Source.name)).all()
    topics = {topic.name: topic.title for topic in db().scalars(select(Topic).order_by(Topic.name))}
    return render_template(
        "imports-columns.html", row=row, found=found, kind=kind, choices=choices, chosen=_NOTHING | dict(chosen), said=said, sources=sources, topics=topics,
        roles=wizard.ROLES[kind], types=wizard.TYPES, kinds=wizard.KINDS, channels=ADDRESS_OF, encodings=recognise.ENCODINGS,
        delimiters=recognise.DELIMITERS, today=_here(clock.now()).date(), own_source=said.OWN_SOURCE, shut=_shut(choices), veil=rights.VEIL,
    )  # fmt: skip


def _choices(chosen: Mapping[str, Any], found: Recognised) -> list[Choice]:
    """What was chosen, else a guess for this kind of file."""
    kept = chosen.get("choices") or []
    if len(kept) == len(found.columns):
        return [Choice(**one) for one in kept]
    return guess.guess(found.columns, found.sample, kind=chosen.get("kind") or "people")


def _shut(choices: Sequence[Choice]) -> set[int]:
    """The columns that hold sums, by what they mean or are called, where whoever looks may not see revenue."""
    return {place for place, one in enumerate(choices) if rights.SUMS & {one.role, one.name}} if "revenue" in rights.hidden() else set()


def _chosen(form: Mapping[str, str], width: int) -> dict[str, Any]:
    """The form as it is kept."""
    kind = form.get("kind", "")
    if kind not in wizard.KINDS:
        raise InvalidError(_("Say first whether the lines are people, leads, orders or events."))
    choices = [
        {
            "role": role if (role := form.get(f"role-{place}", "skip")) in wizard.ROLES[kind] else "skip",
            "name": guess.clean_name(form.get(f"name-{place}", ""), place),
            "type": one if (one := form.get(f"type-{place}", "")) in wizard.TYPES else "words",
            "format": "month_first" if form.get(f"format-{place}") == "month_first" else "day_first",
            "filled": filled if (filled := form.get(f"filled-{place}", "")) in said.FILLED else "",
        }
        for place in range(width)
    ]
    consent = {name: form.get(f"consent-{name}", "").strip()[:2000] for name in ("channel", "topic", "wording", "collected")}
    return {
        "kind": kind, "choices": choices, "consent": consent, "source": form.get("source", ""), "as_of": form.get("as_of", ""),
        "event": form.get("event", "").strip()[:200], "external": re.sub(r"[^a-z0-9_-]+", "", form.get("external", "").lower())[:40] or "import",
        "empty": form.get("empty", "").strip()[:500],
        "currency": currency if re.fullmatch(r"[A-Z]{3}", currency := form.get("currency", "").strip().upper()) else settings().currency,
    }  # fmt: skip


def _keep(row: Upload, chosen: dict[str, Any]) -> None:
    """Make a mapping of what was chosen."""
    choices = [Choice(**one) for one in chosen["choices"]]
    consent = chosen["consent"] if any(choice.role == "consent" for choice in choices) else None
    if consent and (consent["channel"] not in ADDRESS_OF or db().get(Topic, consent["topic"]) is None):
        raise InvalidError(_("Choose the channel and the topic that the consent is for."))
    words = [word.strip() for word in chosen["empty"].split(",") if word.strip()]
    plan = wizard.Plan(
        chosen["kind"], choices, _as_of(chosen["as_of"]), settings().timezone, chosen["currency"], chosen["event"], chosen["external"], consent, words
    )  # fmt: skip
    kept = {**chosen, "consent": consent}
    uploads.choose(db(), row, plan=plan, settings=kept, source_id=_source(chosen["source"]), now=clock.now())


def _source(wanted: str) -> int:
    number = read_number(wanted)
    found = None if number is None else db().get(Source, number)
    return found.id if found is not None and found.id != SYSTEM_SOURCE else load.source(db(), name=said.OWN_SOURCE)


def _as_of(day: str) -> dt.datetime:
    """The day people's details are true: today means now."""
    now = clock.now()
    try:
        date = dt.date.fromisoformat(day) if day else _here(now).date()
    except ValueError:
        raise InvalidError(_("The day of the file is written like 2026-03-07.")) from None
    if date > _here(now).date() or date.year < 1990:
        raise InvalidError(_("The day of the file lies in the future, or before 1990."))
    return now if date == _here(now).date() else dt.datetime.combine(date, dt.time(12), ZoneInfo(settings().timezone)).astimezone(dt.UTC)


def _wished(form: Mapping[str, str]) -> dict[str, Any]:
    wished: dict[str, Any] = {name: form[name] for name in ("encoding", "delimiter", "sheet") if form.get(name)}
    return {**wished, "header": form.get("header") == "yes"}


def _progress(row: Upload) -> dict[str, Any]:
    """What a page says of the work going on, and of its outcome."""
    spent = ((row.progress_at or clock.now()) - row.started_at).total_seconds() if row.started_at else 0.0
    share = min(row.position / row.total, 1.0) if row.total else 0.0
    rate = row.counts.get("read", 0) / spent if spent > 0.5 and row.status in {"running", "folding"} else 0.0
    left = spent / share - spent if 0.02 < share < 1 and spent > 1 else None
    return {"share": share, "rate": rate, "left": left, "said": said, "names": _names(row), "LEFT_OUT": LEFT_OUT}


def _names(row: Upload) -> dict[int, str]:
    return {place: name or str(_("column %(number)s", number=place + 1)) for place, name in enumerate(row.how["columns"])}


def _here(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(ZoneInfo(settings().timezone))


def _upload(number: int) -> Upload:
    row = db().get(Upload, number)
    if row is None:
        raise NotFoundError(_("There is no such import. It may have been removed."))
    return row


def _note(action: str, row: Upload, detail: dict[str, object]) -> None:
    users.audit(db(), user_id=me().user_id, action=action, subject=row.file_name, detail=detail)
