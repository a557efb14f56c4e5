"""Templates: installed once per wording, filled in within bounds, shown before they are sent."""

from __future__ import annotations

import re

import pytest
from jinja2 import TemplateError
from sqlalchemy import func, select

from crm.core.errors import InvalidError, NotFoundError
from crm.messages.links import Links
from crm.messages.models import Template, TemplateVersion
from crm.messages.preview import preview
from crm.messages.render import Person, language_of
from crm.messages.sandbox import TemplateBrokenError, environment, fill, web_address
from crm.messages.templates import compile_mjml, install, prepared, read, shipped_templates, text_of
from tests.messages.people import person, shop

MJML = "<mjml><mj-body><mj-section><mj-column><mj-text>{{ profile.name }}</mj-text></mj-column></mj-section></mj-body></mjml>"


def folder(tmp_path, *, subject="Ad: hi", purpose="marketing", mjml=MJML, language="en"):
    place = tmp_path / "hello"
    place.mkdir(exist_ok=True)
    (place / "template.yaml").write_text(f'topic: offers\npurpose: {purpose}\nsubject:\n  {language}: "{subject}"\n', "utf-8")
    (place / f"{language}.mjml").write_text(mjml, "utf-8")
    return tmp_path


def test_a_template_is_published_once_per_wording(session, now, tmp_path):
    assert install(session, folder(tmp_path), now).published == ["hello"]
    assert install(session, folder(tmp_path), now).published == []
    assert install(session, folder(tmp_path, subject="Ad: hi again"), now).published == ["hello"]
    assert session.scalar(select(Template.version).where(Template.name == "hello")) == 2
    assert session.scalar(select(func.count()).select_from(TemplateVersion).where(TemplateVersion.name == "hello")) == 2


def test_a_template_that_cannot_be_read_keeps_its_last_version_and_says_why(session, now, tmp_path):
    install(session, folder(tmp_path), now)
    done = install(session, folder(tmp_path, mjml="<mjml><mj-body>"), now)
    assert "not MJML" in done.problems["hello"]
    assert session.execute(select(Template.version, Template.problem).where(Template.name == "hello")).one() == (1, done.problems["hello"])
    install(session, folder(tmp_path, subject="Ad: mended"), now)
    assert session.scalar(select(Template.problem).where(Template.name == "hello")) is None


def test_a_commercial_subject_in_hebrew_says_that_it_is_one(tmp_path):
    with pytest.raises(InvalidError, match="פרסומת"):
        read(folder(tmp_path, subject="מבצע", language="he") / "hello")
    assert read(folder(tmp_path, subject="קבלה", purpose="transactional", language="he") / "hello").name == "hello"


def test_every_shipped_template_can_be_filled_in_with_its_sample(session, now):
    assert install(session, shipped_templates(), now).problems == {}
    names = list(session.scalars(select(Template.name)))
    assert "abandoned_cart" in names
    for name in names:
        for language in ("he", "en"):
            shown = preview(session, shop(), name=name, language=language)
            assert shown.problem is None and shown.language == language
            assert shown.subject and shown.html and shown.text
            assert "{{" not in shown.html + shown.text + shown.subject


def test_hebrew_mail_runs_from_right_to_left_everywhere(session, now):
    install(session, shipped_templates(), now)
    html = preview(session, shop(), name="abandoned_cart", language="he").html
    assert '<html lang="he" dir="rtl"' in html
    assert "direction:ltr" not in html and html.count("direction:rtl") >= 10
    assert "fonts.googleapis" not in html


def test_a_preview_as_a_profile_shows_that_profiles_cart_and_harmless_links(session, now):
    install(session, shipped_templates(), now)
    shown = preview(session, shop(), name="abandoned_cart", profile_id=person(session, now, firstName="Noa", language="en"))
    assert shown.subject == "Ad: your cart is waiting, Noa"
    assert "₪189.90" in shown.html
    tokens = re.findall(r"https://k\.example/(?:u|cart)/([\w.-]+)", shown.html)
    assert len(tokens) == 2
    with pytest.raises(NotFoundError):
        preview(session, shop(), name="nothing")


def test_a_derived_text_keeps_loops_in_place():
    html = compile_mjml(
        '<mjml><mj-body><mj-section><mj-column><mj-table>{% for n in data %}<tr><td>{{ n }}</td></tr>{% endfor %}</mj-table>'
        '<mj-text><a href="https://shop.example/">Shop</a></mj-text></mj-column></mj-section></mj-body></mjml>', "x",
    )  # fmt: skip
    text = fill(environment(autoescape=False).from_string(text_of(html)), {"data": ["a", "b"]}, str)
    assert [line.strip() for line in text.splitlines() if line.strip()] == ["a", "b", "Shop (https://shop.example/)"]


def test_links_of_a_mail_are_counted_and_ours_stay(now):
    links = Links(None, "https://k.example", None)
    assert links.tracked("mailto:a@b.example") == "mailto:a@b.example"
    assert links.tracked("https://k.example/u/abc") == "https://k.example/u/abc"
    html = prepared('<a class="x" href="{{ target }}">go</a><a href="mailto:x@y.example">write</a>')
    values = {"target": "https://a.example/?b=1&c=2", "links": {"pixel": "P"}}
    made = fill(environment(autoescape=True).from_string(html), values, lambda target: f"T({target})")
    assert 'href="T(https://a.example/?b=1&amp;c=2)"' in made and 'href="mailto:x@y.example"' in made and 'src="P"' in made


LONG = "{% set x = 'ab' %}" + "{% set x = x ~ x %}" * 15


@pytest.mark.parametrize(
    "source",
    [
        "{{ nothing }}",
        "{{ profile.nothing }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ profile.clear() }}",
        "{% for a in range(1001) %}{% endfor %}",
        "{% for a in range(900) %}{% for b in range(900) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 99999999 }}",
        "{{ 9 ** 99999999 }}",
        "{{ 'x'.ljust(99999999) }}",
        "{{ '%99999999d' % 1 }}",
        "{{ '{:>99999999}'.format(1) }}",
        "{% set x = 'ab' %}" + "{% set x = x ~ x %}" * 40,
        "{% set x %}ab{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
        "{% with x = 'ab' %}" * 1 + "{% with x = x + x %}" * 30 + "{% endwith %}" * 31,
        "{{ 'x'.encode().ljust(99999999) }}",
        "{{ (1).to_bytes(99999999, 'big') }}",
        "{{ 'x'.translate({120: 'long'}) }}",
        LONG + "{% for i in range(1000) %}{{ x }}{{ x }}{% endfor %}",
        LONG + "{% filter upper %}{% for i in range(1000) %}{{ x }}{{ x }}{% endfor %}{% endfilter %}",
        "{{ 1 / 0 }}",
        "{{ 'abc'|money }}",
    ],
)
def test_a_template_that_goes_too_far_is_stopped_with_a_reason(source):
    with pytest.raises(TemplateBrokenError, match=r"."):
        fill(environment(autoescape=True).from_string(source), {"profile": {"name": "x"}}, str)


@pytest.mark.parametrize("name", ["batch(99999999, 0)", "slice(99999999)", "center(99999999)", "tojson"])
def test_filters_that_fill_the_memory_are_not_part_of_the_language(name):
    with pytest.raises(TemplateError, match="No filter named"):
        environment(autoescape=True).from_string("{{ [1]|" + name + "|list|length }}")


@pytest.mark.parametrize(
    "source",
    ["{% macro f() %}{% endmacro %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% for a in b recursive %}{% endfor %}"],
)
def test_a_message_has_no_macros_imports_or_recursion(source):
    with pytest.raises(Exception, match="cannot be used in a message"):
        environment(autoescape=True).from_string(source)


def test_a_link_made_of_a_value_cannot_become_a_script():
    html = prepared('<a href="{{ target }}">go</a>')
    for target in ("javascript:alert(1)", 'https://a.example/"onclick="x', "data:text/html,x"):
        made = fill(environment(autoescape=True).from_string(html), {"target": target, "links": {"pixel": "P"}}, str)
        assert "script:" not in made and "data:" not in made and '"onclick' not in made


def test_ordinary_naming_and_counting_works():
    naming = "{% set n = 2 * 3 %}{% set w %}<b>{{ name }}</b>{% endset %}{% with k = n + 1 %}{{ k }}{% endwith %}{{ w }}"
    counting = "{% for a in range(3) %}{{ loop.index }}{% endfor %}"
    assert fill(environment(autoescape=True).from_string(naming + counting), {"name": "&"}, str) == "7<b>&amp;</b>123"


def test_values_from_events_are_escaped():
    made = fill(environment(autoescape=True).from_string("<b>{{ name }}</b>"), {"name": "<script>x</script>"}, str)
    assert made == "<b>&lt;script&gt;x&lt;/script&gt;</b>"


@pytest.mark.parametrize(
    "value", ["javascript:alert(1)", "data:text/html,x", "//evil.example", 'https://a.example/"onerror=x', "http://", None, 5, "http://[bad"]
)
def test_only_web_addresses_become_links_and_pictures(value):
    assert web_address(value) == ""


def test_a_language_is_found_from_what_programs_call_it():
    assert [language_of({"language": said}, ["en", "he"], "en") for said in ("he", "he-IL", "iw_IL", "HE", "fr", "")] == ["he", "he", "he", "he", "en", "en"]
    assert language_of({}, ["en"], "he") == "en"


def test_a_first_name_is_what_was_given_else_the_first_word():
    assert Person("", "Dana Levi", {}).first_name == "Dana"
    assert Person("", "Dana Levi", {"first_name": "דנה"}).first_name == "דנה"
    assert Person("", "", {}).first_name == ""
