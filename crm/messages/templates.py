"""Templates: folders of words, compiled once per version, installed as rows."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import mrml
import structlog
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError
from crm.core.i18n import LANGUAGES
from crm.core.json import dumps
from crm.messages.models import Template, TemplateVersion
from crm.messages.sandbox import TemplateBrokenError

log = structlog.get_logger()
COMPILER = 1  # raise when compiling changes, so that installed templates are compiled anew
HEBREW_MARK = "פרסומת"  # Israel's Communications Law, section 30A: a commercial subject begins with it
_HERE = Path(__file__).resolve()
_LINK = re.compile(r'(<a\b[^>]*?\bhref=")([^"]+)(")', re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?-->|<(head|style|script|title)\b.*?</\1>|<div style=\"display:none.*?</div>", re.DOTALL | re.IGNORECASE)
_ANCHOR = re.compile(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|tr|table|h[1-6]|li|ul)>", re.IGNORECASE)
_NO_FONTS = mrml.RenderOptions(disable_comments=True, fonts={})  # no mail of ours calls a font server


class About(BaseModel):
    """`template.yaml`."""

    model_config = ConfigDict(extra="forbid")
    channel: str = "email"
    topic: str
    purpose: str
    subject: dict[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """One template as it lies on disk, compiled: language -> {"subject", "mjml", "html", "text"}."""

    name: str
    about: About
    content: dict[str, dict[str, str]]
    sample: dict[str, Any]

    @property
    def digest(self) -> str:
        """The same words give the same digest."""
        return hashlib.sha256(dumps([COMPILER, self.about.model_dump(), self.content, self.sample]).encode()).hexdigest()


@dataclass(slots=True)
class Installed:
    """What an installation did: published names, and for each template that could not be published the sentence why."""

    published: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def shipped_templates() -> Path:
    """The templates that come with the product: beside the packages in a checkout, inside this one in a wheel."""
    inside = _HERE.parent / "shipped" / "email"
    return inside if inside.is_dir() else _HERE.parents[2] / "templates" / "email"


def install(session: Session, folder: Path, now: dt.datetime) -> Installed:
    """Publish every template of a folder whose words changed. One that cannot be read keeps its last version and says why."""
    done = Installed()
    for path in sorted(p.parent for p in folder.glob("*/template.yaml")):
        try:
            source = read(path)
        except (InvalidError, TemplateBrokenError) as error:
            done.problems[path.name] = str(error)
            log.warning("template_not_published", template=path.name, problem=str(error))
            session.execute(update(Template).where(Template.name == path.name).values(problem=str(error)))
            continue
        if publish(session, source, now):
            done.published.append(source.name)
    return done


def publish(session: Session, source: Source, now: dt.datetime) -> bool:
    """Make these words the latest version; False where they already are."""
    known = session.scalar(select(Template).where(Template.name == source.name).with_for_update())
    digest = source.digest
    if known and session.scalar(select(TemplateVersion.digest).where(TemplateVersion.name == known.name, TemplateVersion.version == known.version)) == digest:
        return False
    number = known.version + 1 if known else 1
    values = {"channel": source.about.channel, "topic": source.about.topic, "purpose": source.about.purpose, "version": number, "problem": None}
    session.execute(insert(Template).values(name=source.name, **values).on_conflict_do_update(index_elements=["name"], set_=values))
    session.execute(
        insert(TemplateVersion).values(name=source.name, version=number, content=source.content, sample=source.sample, digest=digest, published_at=now)
    )
    return True


def read(folder: Path) -> Source:
    """One template's folder: `template.yaml`, `<language>.mjml`, `<language>.txt` (else derived), `sample.yaml`."""
    try:
        about = About.model_validate(yaml.safe_load((folder / "template.yaml").read_text("utf-8")))
        sample = yaml.safe_load((folder / "sample.yaml").read_text("utf-8")) if (folder / "sample.yaml").exists() else {}
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidError(f"{folder.name}: template.yaml or sample.yaml cannot be read: {error}") from error
    languages = [path.stem for path in sorted(folder.glob("*.mjml"))]
    _check(folder.name, about, languages)
    return Source(folder.name, about, {language: _language(folder, language, about) for language in languages}, sample)


def _check(name: str, about: About, languages: Sequence[str]) -> None:
    if not languages:
        raise InvalidError(f"{name}: there is no wording; write he.mjml or en.mjml.")
    for language in languages:
        if language not in LANGUAGES:
            raise InvalidError(f"{name}: {language}.mjml: the languages are {', '.join(LANGUAGES)}.")
        if language not in about.subject:
            raise InvalidError(f"{name}: template.yaml has no subject for {language}.")
    if about.purpose == "marketing" and not about.subject.get("he", HEBREW_MARK).startswith(HEBREW_MARK):
        raise InvalidError(f"{name}: a commercial subject in Hebrew begins with {HEBREW_MARK} (Communications Law, section 30A).")


def _language(folder: Path, language: str, about: About) -> dict[str, str]:
    mjml = (folder / f"{language}.mjml").read_text("utf-8")
    html = compile_mjml(mjml, f"{folder.name}/{language}.mjml")
    written = folder / f"{language}.txt"
    text = written.read_text("utf-8") if written.exists() else text_of(html)
    return {"subject": about.subject[language], "mjml": mjml, "html": prepared(html), "text": text}


def compile_mjml(mjml: str, name: str) -> str:
    """MJML as the HTML of mail programs; its Jinja expressions pass through untouched."""
    try:
        return str(mrml.to_html(mjml, render_options=_NO_FONTS).content)
    except Exception as error:  # the compiler's errors are plain strings of many kinds
        raise TemplateBrokenError(f"{name} is not MJML: {error}") from error


def prepared(html: str) -> str:
    """Every link goes through the click counter, and the page ends with the opening pixel."""
    linked = _LINK.sub(lambda m: m[0] if m[2].startswith(("mailto:", "tel:", "#")) else f"{m[1]}{{% filter tracked %}}{m[2]}{{% endfilter %}}{m[3]}", html)
    pixel = '<img src="{{ links.pixel }}" width="1" height="1" alt="" style="display:block;border:0">'
    return linked.replace("</body>", f"{pixel}</body>") if "</body>" in linked else linked + pixel


def text_of(html: str) -> str:
    """The words of a page in the order of its source, with the target behind each link; once per version, so its Jinja tags stay in place.

    A layout engine would move a `{% for %}` out of its table, and the loop would lose its rows.
    """
    text = _UNSEEN.sub("", html)
    text = _ANCHOR.sub(lambda m: f"{m[2]} ({m[1]})", text)
    text = re.sub(r"\s+", " ", text)
    text = _BREAK.sub("\n", text)
    text = unescape(re.sub(r"<[^>]*>", " ", text))
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line) + "\n"
