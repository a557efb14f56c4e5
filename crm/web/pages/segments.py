"""Segments: the list, the builder with its live count, who is in and why, as YAML."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import yaml
from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from werkzeug.wrappers import Response

from crm.core import clock
from crm.core.errors import InvalidError, KesherError, NotFoundError
from crm.core.ids import read_id
from crm.core.json import dumps, loads
from crm.profiles.called import CALLED
from crm.profiles.search import search
from crm.segments import evaluate, ready, store
from crm.segments import tree as trees
from crm.segments.models import List, Membership, Segment, SegmentSize
from crm.segments.refresh import place_of
from crm.web import looks, segment_offers, users
from crm.web import segment_form as forms
from crm.web.auth import MAKERS, me, requires
from crm.web.db import db, settings
from crm.web.rights import refuse_veiled
from crm.web.words import refusal


class _Yaml(yaml.SafeLoader):
    """A date stays the text rules know it as."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
bp = Blueprint("segments", __name__, url_prefix="/segments")
HOURS = 24 * 30
ALONE = {"apply", "close", "yaml"}  # what is typed into an open form is not taken along: these say themselves what becomes of it


@bp.get("")
@requires()
def index() -> str:
    """All of them, with how large each is and was."""
    rows = db().scalars(select(Segment).order_by(Segment.name)).all()
    sizes: dict[int, list[int]] = {}
    for one in db().execute(select(SegmentSize.segment_id, SegmentSize.size).order_by(SegmentSize.at.desc()).limit(5000)):
        sizes.setdefault(one[0], []).insert(0, one[1])
    there = {row.slug for row in rows}
    return render_template("segments.html", rows=rows, sizes=sizes, ready=any(slug not in there for slug, _name, _rule in ready.ready_made("ILS")))


@bp.post("/ready")
@requires(*MAKERS)
def add_ready() -> Response:
    """Make the ready segments that are not here yet."""
    there = set(db().scalars(select(Segment.slug)))
    for slug, name, rule in ready.ready_made(settings().currency):
        if slug not in there:
            store.save(db(), slug=slug, name=_(name), rule=rule, now=clock.now())
    db().commit()
    return redirect("/segments")


@bp.get("/new")
@requires(*MAKERS)
def new() -> str:
    """An empty builder."""
    return _page(None, {"all": []})


@bp.get("/<slug>")
@requires()
def show(slug: str) -> str:
    """One segment: its rule, size, people, and why somebody is in it or not."""
    segment = store.find(db(), slug)
    return _page(segment, segment.rule)


@bp.get("/<slug>.yaml")
@requires()
def as_yaml(slug: str) -> Response:
    """The segment as a file a team can review."""
    segment = store.find(db(), slug)
    said = yaml.safe_dump({"slug": segment.slug, "name": segment.name, "rule": segment.rule}, allow_unicode=True, sort_keys=False)
    return Response(said, content_type="application/yaml; charset=utf-8")


@bp.post("/save")
@requires(*MAKERS)
def save() -> Response | tuple[str, int]:
    """Keep what was built, an open form as it is filled in; its members follow in a moment."""
    name = request.form.get("name", "").strip()
    try:
        slug = request.form.get("slug", "").strip() or _free_slug(name)
        rule = _being_built()
        refuse_veiled(rule)
        segment = store.save(db(), slug=slug, name=name or slug, rule=rule, now=clock.now())
    except InvalidError as error:
        kept = store.find(db(), request.form["slug"]) if request.form.get("slug") else None
        return _page(kept, _tree(), name=name, edit=request.form.get("at", "-"), wrong=forms.refused(error), wrong_at=error.field), error.status
    users.audit(db(), user_id=me().user_id, action="segment.saved", subject=slug, detail={"version": segment.version})
    db().commit()
    flash(_("Saved. Its members are being found; those who are in it already are told nothing."), "ok")
    return redirect(f"/segments/{slug}")


def _free_slug(name: str) -> str:
    """A slug of this name that no segment has."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or f"segment-{uuid.uuid4().hex[:6]}"
    taken = db().scalar(select(Segment.id).where(Segment.slug == slug))
    return f"{slug}-{uuid.uuid4().hex[:4]}" if taken else slug


@bp.post("/<slug>/delete")
@requires(*MAKERS)
def delete(slug: str) -> Response:
    """Remove a segment nothing uses."""
    if naming := store.used_by(db(), slug):
        raise InvalidError(_("It is used by these: %(names)s. Change them first.", names=", ".join(one.name for one in naming)))
    store.remove(db(), slug)
    users.audit(db(), user_id=me().user_id, action="segment.deleted", subject=slug, detail={})
    db().commit()
    return redirect("/segments")


@bp.post("/build")
@requires(*MAKERS)
def build() -> str:
    """One step of building: the changed tree, drawn again. Nothing is kept."""
    tree, edit, wrong, wrong_at = _tree(), "-", "", ""
    act, _colon, rest = request.form.get("do", "").partition(":")
    path, _colon, kind = rest.partition(":")
    try:
        tree, edit = _changed(tree if act in ALONE else _being_built(), act, path, kind)
        trees.parse(tree)
    except KesherError as error:
        tree, edit, wrong = _tree(), request.form.get("at", path), refusal(error) if act == "yaml" else forms.refused(error)
        wrong_at = error.field if isinstance(error, InvalidError) and act != "yaml" else ""
    return render_template("segment-tree.html", **_tree_values(tree, edit, wrong, wrong_at))


@bp.post("/seen")
@requires(*MAKERS)
def seen_words() -> str:
    """What to offer for the rule whose form is open, as far as it is filled in."""
    kind = request.form.get("kind", "")
    rule = forms.read_form(kind, request.form) if kind in trees.kinds() else {}
    return render_template("segment-offers.html", offers=segment_offers.offers(db(), rule))


@bp.post("/<slug>/anew")
@requires(*MAKERS)
def find_anew(slug: str) -> Response:
    """Have its members found from the beginning."""
    store.find_anew(db(), slug)
    users.audit(db(), user_id=me().user_id, action="segment.filled", subject=slug, detail={})
    db().commit()
    flash(_("Its members are being found anew; those who come or go by that are told nothing."), "ok")
    return redirect(f"/segments/{slug}")


@bp.post("/count")
@requires()
def count() -> str:
    """How many satisfy what is being built, and some of them."""
    started, session = time.perf_counter(), db()
    session.execute(text("SET LOCAL statement_timeout = '10s'"))
    values: dict[str, Any] = {"number": None, "people": [], "wrong": ""}
    try:
        tree = trees.parse(_being_built())
        now, place = clock.now(), place_of(settings())
        values["number"] = evaluate.count(session, tree, now=now, place=place)
        values["people"] = evaluate.sample(session, tree, now=now, place=place) if values["number"] else []
    except InvalidError as error:
        values["wrong"] = forms.refused(error)
    except OperationalError:
        session.rollback()
        values["wrong"] = _("Counting took longer than 10 seconds. Save the segment: its members are found in the background.")
    return render_template("segment-count.html", seconds=time.perf_counter() - started, **values)


@bp.get("/<slug>/why")
@requires()
def why(slug: str) -> str:
    """Why somebody is in it or not, and the smallest change."""
    segment, words = store.find(db(), slug), request.args.get("q", "").strip()[:200]
    asked = request.args.get("profile", "")
    found = search(db(), words, limit=6, who="all").rows if words and not asked else []
    return render_template("segment-why.html", segment=segment, words=words, found=found, answer=_answer(segment, asked) if asked else None)


@bp.get("/of/<uuid:profile_id>")
@requires()
def of(profile_id: uuid.UUID) -> str:
    """A person's segments, for their page."""
    columns = select(Segment.slug, Segment.name, Membership.since).join(Membership, Membership.segment_id == Segment.id)
    return render_template("segments-of.html", rows=db().execute(columns.where(Membership.profile_id == profile_id).order_by(Segment.name)).all())


def _answer(segment: Segment, asked: str) -> dict[str, Any]:
    profile_id = read_id(asked)
    row = db().execute(text(f"SELECT {CALLED} FROM profiles p WHERE p.id = :id AND p.merged_into IS NULL"), {"id": profile_id}).one_or_none()  # noqa: S608  our own fragment
    if profile_id is None or row is None:
        raise NotFoundError(_("There is no such profile. It may have been erased."))
    looks.at(profile_id)
    tree = trees.parse(segment.rule)
    said = evaluate.answers(db(), tree, profile_id, now=clock.now(), place=place_of(settings()))
    known = {id(leaf): answer for leaf, answer in said}
    inside = trees.holds(tree, lambda leaf: known[id(leaf)])
    change = trees.smallest_change(tree, lambda leaf: known[id(leaf)], wanted=not inside)
    since = db().scalar(select(Membership.since).where(Membership.profile_id == profile_id, Membership.segment_id == segment.id))
    checks = [(forms.words(trees.sentence(leaf)), answer) for leaf, answer in said]
    needed = None if change is None else [(forms.words(trees.sentence(leaf)), wanted) for leaf, wanted in change]
    return {"id": profile_id, "name": row[0] or _("Anonymous visitor"), "inside": inside, "since": since, "checks": checks, "change": needed}


def _changed(tree: forms.Rule, act: str, path: str, kind: str) -> tuple[forms.Rule, str]:
    """The tree after one act, and the path of the rule whose form is open."""
    here = forms.at(tree, path)
    if act == "add":
        return _added(tree, here, path, kind)
    if act == "yaml":
        return _from_yaml(), "-"
    if act in {"apply", "mode"} and ("kind" in here) != (act == "apply"):
        raise InvalidError(forms.GONE)
    made: dict[str, Callable[[], forms.Rule | None]] = {
        "remove": lambda: None,
        "mode": lambda: {"any" if "all" in here else "all": forms.children(here)},
        "not": lambda: here.get("not", {"not": here}),
        "nest": lambda: {"any": [here]},
        "apply": lambda: forms.read_form(here["kind"], request.form),
    }
    if act in made:
        return forms.change(tree, path, made[act]()), "-"
    return tree, path if act == "edit" else "-"


def _added(tree: forms.Rule, here: forms.Rule, path: str, kind: str) -> tuple[forms.Rule, str]:
    if "all" not in here and "any" not in here:
        here = {"all": [here]}
    mode = "all" if "all" in here else "any"
    fresh: forms.Rule = {"any": []} if kind == "group" else {"kind": kind} | _start(kind)
    place = ".".join(filter(None, [path, str(len(here[mode]))]))
    return forms.change(tree, path, {mode: [*here[mode], fresh]}), "-" if kind == "group" else place


def _start(kind: str) -> forms.Rule:
    if kind in {"in_segment", "colleagues"}:
        return {"segment": db().scalar(select(Segment.slug).order_by(Segment.name).limit(1)) or "none"}
    if kind == "in_list":
        return {"list": db().scalar(select(List.slug).order_by(List.name).limit(1)) or "none"}
    return dict(forms.STARTS.get(kind, {}))


def _from_yaml() -> forms.Rule:
    try:
        said = yaml.load(request.form.get("yaml", "")[:100_000], _Yaml)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a number of a thousand digits, a thousand brackets
        raise InvalidError(_("This is not YAML: %(why)s", why=str(error)[:300])) from error
    return trees.write(trees.parse(said.get("rule", said) if isinstance(said, dict) else said))


def _tree() -> forms.Rule:
    try:
        said = loads(request.form.get("tree", "{}"))
    except ValueError as error:
        raise InvalidError(_("The rules did not arrive whole; load the page again.")) from error
    trees.parse(said)
    if not isinstance(said, dict):
        raise InvalidError(_("The rules did not arrive whole; load the page again."))
    return said if set(said) & {"all", "any"} else {"all": [said]}


def _being_built() -> forms.Rule:
    """The tree with the rule whose form is open as it is filled in by now."""
    return _typed(_tree())


def _typed(tree: forms.Rule) -> forms.Rule:
    kind = request.form.get("kind", "")
    if kind not in trees.kinds():
        return tree
    return forms.change(tree, request.form.get("at", ""), forms.read_form(kind, request.form))


def _tree_values(tree: forms.Rule, edit: str = "-", wrong: str = "", wrong_at: str = "") -> dict[str, Any]:
    shown = _typed(tree) if wrong and edit != "-" else tree  # what was typed wrongly stays in its form; the tree behind it stays whole
    offers = segment_offers.offers(db(), forms.at(shown, edit)) if edit != "-" else {}
    said = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    kinds = {kind: rule.title for kind, rule in sorted(trees.kinds().items())}
    return {
        "tree": shown,
        "json": dumps(tree),
        "edit": edit,
        "wrong": wrong,
        "wrong_at": wrong_at if edit != "-" and "kind" in (held := forms.at(shown, edit)) and forms.has_line(held, wrong_at) else "",
        "forms": forms,
        "kinds": kinds,
        "offers": offers,
        "yaml": said,
        "may": me().may(*MAKERS),
    }


def _page(segment: Segment | None, rule: forms.Rule, *, name: str = "", edit: str = "-", wrong: str = "", wrong_at: str = "") -> str:
    tree = rule if set(rule) & {"all", "any"} else {"all": [rule]}
    sizes = (
        list(db().scalars(select(SegmentSize.size).where(SegmentSize.segment_id == segment.id).order_by(SegmentSize.at.desc()).limit(HOURS)))[::-1]
        if segment
        else []
    )
    users_ = store.used_by(db(), segment.slug) if segment else []
    return render_template("segment.html", segment=segment, sizes=sizes, used_by=users_, name=name, **_tree_values(tree, edit, wrong, wrong_at))
