"""Identifiers as they are stored: one spelling each, or None where the value is none."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 320
LONGEST = 254  # characters of an e-mail address
_PLAIN = re.compile(r"([\w+-]+(?:\.[\w+-]+)*)@([a-z0-9.-]+)", re.ASCII | re.IGNORECASE)


@lru_cache(maxsize=100_000)
def normalise_email(value: str) -> str | None:
    """`Dana@Example.co.IL ` becomes `dana@example.co.il`; not an address: None. No DNS is asked."""
    address = value.strip()
    plain = _PLAIN.fullmatch(address) if len(address) <= LONGEST else None
    if plain is None or "--" in plain[2]:
        return _validated(address)
    return address.lower() if _validated_host(plain[2].lower()) else None


@lru_cache(maxsize=10_000)
def _validated_host(host: str) -> bool:
    """Most addresses differ in their first half only, which the pattern has proved; validating the whole takes forty times as long."""
    return _validated(f"a@{host}") is not None


def _validated(address: str) -> str | None:
    try:
        return validate_email(address, check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        return None


@lru_cache(maxsize=100_000)
def normalise_phone(value: str, country: str = "IL") -> str | None:
    """`050-555 0142` becomes `+972505550142` (E.164); a number that cannot exist: None."""
    try:
        parsed = phonenumbers.parse(value, country)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if phonenumbers.is_valid_number(parsed) else None


def normalise(kind: str, value: Any) -> str | None:
    """The stored spelling of an identifier of this kind, or None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip().replace("\x00", "")
    if not text or len(text) > MAX_LENGTH:
        return None
    if kind == "email":
        return normalise_email(text)
    if kind in {"phone", "wa_id"}:
        return normalise_phone(f"+{text}" if kind == "wa_id" and not text.startswith("+") else text)
    return text
