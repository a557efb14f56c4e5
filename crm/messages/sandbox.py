"""Where templates run: no way out of their data, no loop without end, no value they were not given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from babel.numbers import format_currency, format_decimal
from jinja2 import StrictUndefined, Template, TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

LOOPS = 5_000  # rounds of all loops of one rendering together
RANGE = 1_000
FACTOR = 10_000  # the largest number that may stand in `*`, `**` or `%`
NAMED = 100_000  # characters of a text given a name by `set` or `with`
OUTPUT = 2_000_000  # characters
LINKS = ("https://", "http://", "mailto:", "tel:")  # what a link may be; anything else a value brings along leads nowhere
# Methods that make a text of any length in one call, or another kind of value whose methods do.
_GROWING = frozenset({"ljust", "rjust", "center", "zfill", "expandtabs", "format", "format_map", "replace", "join", "translate", "maketrans", "encode"})
_LOCALES = {"he": "he_IL", "en": "en_IL"}
_rounds: ContextVar[list[int]] = ContextVar("rounds")
_output: ContextVar[list[int]] = ContextVar("output")  # characters written so far, before any filter of a block puts them together
_tracker: ContextVar[Callable[[str], str]] = ContextVar("tracker")  # not in the template's own data: it holds the signing keys


class TemplateBrokenError(Exception):
    """The template cannot be compiled or filled in; the text says where."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's immutable sandbox with a budget for loops and growth; macros, imports and recursion are not part of the language here."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Methods that can fill the memory are out: some of text, all of numbers and bytes."""
        grows = attr in _GROWING if isinstance(obj, str) else isinstance(obj, int | float | bytes | bytearray)
        return not grows and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """`format` is judged like any other method: it is out."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Only small numbers may be multiplied."""
        if not (_small(left) and _small(right)):
            raise SecurityError(f"{operator} is for numbers up to {FACTOR}")
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for unwanted in (nodes.Macro, nodes.CallBlock, nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends):
            for found in tree.find_all(unwanted):
                raise TemplateError(f"line {found.lineno}: macros, imports and includes cannot be used in a message")
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise TemplateError(f"line {loop.lineno}: a recursive loop cannot be used in a message")
            loop.iter = _piped(loop.iter, "counted", loop.lineno)
        for named in tree.find_all(nodes.Assign):
            named.node = _piped(named.node, "bounded", named.lineno)
        for block in tree.find_all(nodes.AssignBlock):
            block.filter = _piped(block.filter, "bounded", block.lineno)
        for scope in tree.find_all(nodes.With):
            scope.values = [_piped(value, "bounded", scope.lineno) for value in scope.values]
        return tree


def _piped(value: Any, name: str, line: int) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=line)


def _small(side: Any) -> bool:
    return isinstance(side, int | float | Decimal) and -FACTOR <= float(side) <= FACTOR


def environment(*, autoescape: bool) -> Sandbox:
    """The language of templates: for HTML with escaping, for subjects and text without."""
    made = Sandbox(autoescape=autoescape, undefined=StrictUndefined, trim_blocks=autoescape, finalize=_written)
    for name in ("namespace", "lipsum", "cycler", "joiner"):
        made.globals.pop(name, None)
    made.globals["range"] = _range
    for name in ("center", "format", "indent", "wordwrap", "pprint", "tojson", "join", "replace", "batch", "slice"):
        made.filters.pop(name, None)
    made.filters |= {"counted": _counted, "bounded": _bounded, "money": _money, "number": _number, "web": web_address, "tracked": _tracked, "join": _join}
    made.filters["ltr"] = _ltr if autoescape else _isolated
    return made


def fill(template: Template, context: dict[str, Any], tracker: Callable[[str], str]) -> str:
    """Render within the budget; whatever it raises becomes a TemplateBrokenError that names line and cause.

    `tracker` turns the target of each link into the one that is written.
    """
    token, tracking, writing = _rounds.set([0]), _tracker.set(tracker), _output.set([0])
    try:
        text = template.render(context)
    except Exception as error:  # a template is somebody's program: any error in it is its own
        raise TemplateBrokenError(_where(error)) from error
    finally:
        _rounds.reset(token)
        _tracker.reset(tracking)
        _output.reset(writing)
    if len(text) > OUTPUT:
        raise TemplateBrokenError(f"the message would have {len(text)} characters; the limit is {OUTPUT}")
    return text


def _where(error: BaseException) -> str:
    line, trace = None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<template>" else line
        trace = trace.tb_next
    return f"line {line}: {error}" if line else f"{error}"


def _range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > RANGE:
        raise SecurityError(f"a range of {len(made)} is too long; the limit is {RANGE}")
    return made


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    spent = _rounds.get()
    for value in values:
        spent[0] += 1
        if spent[0] > LOOPS:
            raise SecurityError(f"more than {LOOPS} rounds of loops in one message")
        yield value


def _bounded(value: Any) -> Any:
    """A named text stays short, so that naming twice its double, again and again, cannot fill the memory."""
    if isinstance(value, str) and len(value) > NAMED:
        raise SecurityError(f"a named text of {len(value)} characters is too long; the limit is {NAMED}")
    return value


def _written(value: Any) -> Any:
    """Count what each expression writes, so that a message too long is noticed before it fills the memory."""
    written = _output.get(None)  # None while a template is compiled
    if written is not None and isinstance(value, str):
        written[0] += len(value)
        if written[0] > OUTPUT:
            raise SecurityError(f"the message would have more than {OUTPUT} characters")
    return value


def locale_of(language: str) -> str:
    """How Babel knows the language of a message."""
    return _LOCALES.get(language, language)


@pass_context
def _money(context: Context, amount: Any, currency: str | None = None) -> str:
    """`{{ item.price|money(cart.currency) }}`: an amount (Decimal text) as the reader writes it."""
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        raise SecurityError(f"{amount!r} is not an amount") from None
    return money(value, currency or context.get("currency") or "ILS", context.get("language") or "en")


@lru_cache(maxsize=8192)
def money(value: Decimal, currency: str, language: str) -> str:
    """An amount with its currency, as written in this language."""
    return format_currency(value, currency, locale=locale_of(language))


@pass_context
def _number(context: Context, value: Any) -> str:
    return format_decimal(Decimal(str(value)), locale=locale_of(context.get("language") or "en"))


def web_address(value: Any) -> str:
    """The address where it leads to the web, else nothing: values come from events anybody may send."""
    text = str(value or "").strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in {"http", "https"} and parts.netloc and not any(c.isspace() or c in "\"'<>\\" for c in text) else ""


def _ltr(value: Any) -> Markup:
    """A phone number, a code: read from left to right within Hebrew."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(value)


def _isolated(value: Any) -> str:
    """The same in plain text, by Unicode's own marks."""
    return f"\u2066{value}\u2069"


def _join(values: Iterable[Any], by: str = ", ") -> str:
    return str(by)[:20].join(str(value) for value in values)


def _tracked(target: Any) -> Markup:
    """What every link of a mail goes through: `href` values reach this filter after their own expressions."""
    plain = unescape(str(target)).strip()
    return escape(_tracker.get()(plain) if plain.startswith(LINKS) else "#")
