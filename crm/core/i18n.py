"""Words in two languages: what plug-ins mark for translation without knowing Flask."""

from __future__ import annotations

LANGUAGES = {"he": "עברית", "en": "English"}
RIGHT_TO_LEFT = frozenset({"he", "ar", "fa"})


def _l(message: str) -> str:
    """Mark a constant for extraction; the page that shows it translates it."""
    return message


def direction(language: str) -> str:
    """`rtl` or `ltr`."""
    return "rtl" if language[:2] in RIGHT_TO_LEFT else "ltr"
