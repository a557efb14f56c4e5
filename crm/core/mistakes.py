"""What is wrong with a value somebody set, as a sentence that can be said in any language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crm.core.errors import SaidError
from crm.core.i18n import _l

NEEDED = _l("this is needed")
UNREADABLE = _l("this cannot be read; look at how it is written")
NUMBER = _l("this must be a number")
SAID = {  # pydantic's kind of mistake -> our words; slots as pydantic names them
    "missing": NEEDED,
    "string_too_long": _l("at most %(max_length)s characters"),
    "too_short": _l("at least %(min_length)s of them"),
    "too_long": _l("at most %(max_length)s of them"),
    "greater_than": _l("this must be more than %(gt)s"),
    "greater_than_equal": _l("this must be %(ge)s or more"),
    "less_than": _l("this must be less than %(lt)s"),
    "less_than_equal": _l("this must be %(le)s or less"),
    "literal_error": _l("choose one of %(expected)s"),
    "enum": _l("choose one of %(expected)s"),
    "extra_forbidden": _l("there is no such setting; remove it"),
    "string_type": _l("this must be text"),
}
NUMBERS = ("int_", "float_", "decimal_")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A sentence with its slots; as text it is English."""

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text % self.values


def mistake(found: Mapping[str, Any]) -> Mistake:
    """The sentence for one of pydantic's errors."""
    kind, given = found["type"], found.get("ctx") or {}
    wrong = given.get("error")
    if isinstance(wrong, SaidError):
        return Mistake(wrong.said, wrong.values)
    if kind == "string_too_short":
        return Mistake(NEEDED) if given["min_length"] == 1 else Mistake(_l("at least %(min_length)s characters"), given)
    if kind == "value_error" and isinstance(wrong, ValueError):
        return Mistake(str(wrong).replace("%", "%%"))
    return Mistake(SAID.get(kind, NUMBER if kind.startswith(NUMBERS) else UNREADABLE), given)
