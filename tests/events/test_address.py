"""The spelling in which identifiers are stored."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email

from crm.events.address import normalise_email

LOCALS = ("dana", "Dana.Bar+shop", "d_b-c", "a..b", ".a", "a.", "", "o'hara", "דנה", "Info", "a" * 64, "a" * 245, "a b", '"a b"', "a@b", "a\n", "İ")
HOSTS = (
    "example.com", "Example.co.IL", "example", "test", "mail.test", "localhost", "x.local", "a.invalid", "-a.com", "a-.com", "a..com", ".com", "com.", "a.1",
    "a.c1", "1.2.3.4", "[1.2.3.4]", "xn--4dbrk0ce.com", "ab--cd.com", "דואר.co.il", "a_b.com", "", "a" * 64 + ".com", ".".join(["a" * 60] * 4) + ".com",
    "a.com\n", "\u212a.com",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("local", LOCALS)
def test_the_short_way_says_of_an_address_what_the_validator_says(local: str, host: str) -> None:
    address = f"{local}@{host}"
    assert normalise_email(address) == _validator(address.strip())


def _validator(address: str) -> str | None:
    try:
        return validate_email(address, check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        return None
