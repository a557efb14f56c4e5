"""Both languages say everything, and nothing points the wrong way."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask import Flask, render_template_string
from jinja2 import nodes

from crm.messages.gate import REASONS
from crm.messages.templates import shipped_templates
from crm.segments.events import ONCE
from crm.web import names, words
from crm.web.app import create_app
from crm.web.change_words import action_word
from crm.web.phrases import event_detail, property_title, property_value, template_title, trait, trait_value
from crm.web.segment_form import rule_words
from journeys import stories
from journeys.api import bp as journeys
from journeys.backtest_api import bp as backtests

ROOT = Path(__file__).parents[2]
WEB = ROOT / "crm/web"
KEYWORDS = {"_": None, "_l": None, "gettext": None, "ngettext": (1, 2), "sentence": None}
OPTIONS = {"**/templates/**.html": {"trimmed": "true"}}
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
TEMPLATES = ("crm/web/templates", "journeys/templates", "templates")
SAFE = {"_": 1, "gettext": 1, "ngettext": 2, "pgettext": 2, "npgettext": 3}  # how many arguments are the sentence itself
SIDES = re.compile(r"(?<![\w-])(margin|padding|border|inset)-(left|right)\b|(?<![\w-])(left|right)\s*:|text-align:\s*(left|right)|float:\s*(left|right)")


@functools.cache
def said() -> set[str]:
    found = set()
    for package in ("crm", "journeys", "workers"):
        for _file, _line, message, *_more in extract_from_dir(ROOT / package, METHODS, OPTIONS, KEYWORDS, directory_filter=_ours):
            found.add(message if isinstance(message, str) else message[0])
    return found


def _ours(folder: str) -> bool:
    return not folder.endswith("node_modules")


@functools.cache
def hebrew() -> dict[str, list[str]]:
    with (WEB / "translations/he/LC_MESSAGES/messages.po").open("rb") as file:
        catalog = read_po(file, locale="he")
    return {(m.id if isinstance(m.id, str) else m.id[0]): [m.string] if isinstance(m.string, str) else list(m.string) for m in catalog if m.id and not m.fuzzy}


def test_every_sentence_has_its_hebrew() -> None:
    known = hebrew()
    missing = sorted(message for message in said() if not all(known.get(message, [""])))
    assert len(said()) > 300
    assert missing == []


def test_no_hebrew_is_kept_for_what_nobody_says_any_more() -> None:
    assert sorted(set(hebrew()) - said() - stories.shipped()) == []


def test_a_translation_has_the_slots_of_its_sentence() -> None:
    slots = re.compile(r"%\((\w+)\)s|\{(\w+)\}")
    for message, texts in hebrew().items():
        wanted = set(slots.findall(message))
        assert set(slots.findall(texts[-1])) == wanted, message
        assert all(set(slots.findall(text)) <= wanted for text in texts), message


def test_every_reason_of_the_gate_is_a_sentence() -> None:
    assert set(REASONS) <= set(words.REASONS)
    assert all(text.endswith(".") for text in words.REASONS.values())


def test_only_sentences_of_our_own_pass_a_template_unescaped(app: Flask) -> None:
    """What `_` returns is taken for safe: it may be handed nothing but a sentence that stands in the template; `word` is for the rest."""
    unescaped, seen = [], 0
    for path in sorted(path for folder in TEMPLATES for path in (ROOT / folder).rglob("*") if path.suffix in {".html", ".mjml", ".txt", ".xml"}):
        for call in app.jinja_env.parse(path.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in SAFE:
                seen += 1
                fixed = [isinstance(each, nodes.Const) for each in call.args[: SAFE[call.node.name]]]
                unescaped += [] if fixed and all(fixed) else [f"{path.relative_to(ROOT)}:{call.lineno}"]
    assert seen > 1000
    assert unescaped == []


def test_a_word_that_is_looked_up_is_translated_and_escaped(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "he"}):
        said = "{{ word(text) }} {{ _('came %(time)s', time=word(text)) }}"
        assert render_template_string(said, text="<b>100%").count("&lt;b&gt;100%") == 2
        assert render_template_string("{{ word('Admin') }}") == "ניהול"


def test_what_kesher_itself_notes_about_a_person_has_a_name_in_both_languages() -> None:
    made = {"Consent Granted", "Consent Refused", "Unsubscribed", "Email Sent", "Email Opened", "Email Link Clicked", "Journey Ended"}
    assert made <= set(words.EVENTS)


def test_styles_know_no_left_and_right() -> None:
    for path in [WEB / "static/kesher.css", *WEB.glob("templates/*.html")]:
        found = SIDES.search(path.read_text())
        assert found is None, f"{path.name}: {found}"


def test_every_style_of_ours_is_for_something_on_a_page() -> None:
    sheets = [*WEB.glob("static/*.css"), ROOT / "journeys/canvas/src/designer.css"]
    styled = {name for sheet in sheets for name in re.findall(r"\.([kd]-[a-z0-9-]+)", sheet.read_text())}
    drawn = [*WEB.rglob("*.py"), *WEB.glob("templates/**/*.html"), *WEB.glob("static/*.js"), *(ROOT / "journeys").glob("templates/**/*.html")]
    named = {name for file in [*drawn, *(ROOT / "journeys/canvas/src").glob("*.tsx")] for name in re.findall(r"[a-z0-9-]+", file.read_text())}
    assert len(styled) > 200
    assert styled - named == set()


def test_every_icon_a_page_names_is_in_the_sprite() -> None:
    there = set((WEB / "assets/icons.txt").read_text().split())
    used = set()
    for path in [*WEB.glob("templates/**/*.html"), *(ROOT / "journeys").glob("templates/**/*.html")]:
        used |= set(re.findall(r'icon\("([a-z0-9-]+)"', path.read_text()))
    used |= {sign for _title, sign, _tone in words.EVENTS.values()} | {sign for _title, _tone, sign in words.STATUSES.values()}
    used |= {sign for _title, sign in words.IDENTITIES.values()}
    assert used - there == set()


def test_what_the_api_changes_and_what_kesher_named_itself_have_words_in_hebrew(app: Flask) -> None:
    own = create_app(*app.extensions["kesher"], [journeys, backtests])
    calls = [view.operation for view in own.view_functions.values() if hasattr(view, "operation")]
    assert {f"{one.method} {one.path}" for one in calls if one.method != "GET"} == set(names.API_CALLS)
    assert {folder.name for folder in shipped_templates().iterdir() if folder.is_dir()} == set(names.TEMPLATES)
    with app.test_request_context(headers={"Accept-Language": "he"}):
        assert action_word("api POST /consents") == "הסכמה או סירוב נרשמו, דרך ה־API"
        assert action_word("user.created") != "user.created"
        assert template_title("abandoned_cart") == "עגלה נטושה, תזכורת ראשונה"
        assert template_title("our-own") == "our-own"
        assert property_title("order_id") == "מספר הזמנה" and property_title("city") == "עיר"
        assert property_title("wrapping") == '<bdi dir="ltr">wrapping</bdi>'


def test_an_event_says_what_it_was_about_whatever_it_carries(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert "Finjan" in event_detail("Product Added", {"name": "Finjan", "price": "189.00", "currency": "ILS"})
        assert "342" in event_detail("Order Completed", {"order_id": "KM-1", "total": 342, "currency": "ILS"})
        assert "machine" in event_detail("Email Opened", {"machine": True})
        assert "It came to its end." in event_detail("Journey Ended", {"journey": "abandoned_cart", "reason": "finished"})
        assert event_detail("Product Added", {"name": "<b>", "price": 1}).startswith("<bdi>&lt;b&gt;</bdi>")
        for odd in ("abc", "NaN", "1e999", [], {}, None, True, -1, 10**40):
            event_detail("Order Completed", {"total": odd, "name": odd, "price": odd, "currency": odd, "path": odd, "order_id": odd})
            trait_value(odd)


def test_an_address_that_can_be_none_says_so_beside_what_was_told(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        for name, odd in (("phone", "12"), ("phone", "<b>"), ("phone", 5), ("email", "dana"), ("email", [])):
            assert "nothing is sent to it" in trait(name, odd)[1], odd
            assert "<b>" not in trait(name, odd)[1]
        for name, value in (("phone", "050-555 0142"), ("email", "dana@example.com"), ("phone", None), ("phone", ""), ("city", "12")):
            assert trait(name, value)[1] == trait_value(value)


def test_once_is_a_word_and_no_number(app: Flask) -> None:
    rules = [{"kind": "did", "event": "Came", "op": op, "value": 1} for op in ONCE]
    with app.test_request_context(headers={"Accept-Language": "he"}):
        said = [str(rule_words(rule)) for rule in rules]
        assert not any("1" in one for one in said) and sum("פעם אחת" in one for one in said) == 4, said
        assert "3 פעמים" in re.sub("<[^>]*>", "", str(rule_words(rules[1] | {"value": 3})))


def test_codes_of_our_own_events_are_told_in_words(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "he"}):
        for key, code in (("reason", "finished"), ("channel", "email")):
            assert not re.search("[a-z]{3}", re.sub("<[^>]*>", "", str(property_value(key, code))))
        assert "abandoned_cart" in property_value("journey", "abandoned_cart")
