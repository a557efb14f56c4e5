"""Settings as one value: read once by a process, then handed down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Config:
    """What one installation is told from outside.

    `time_scale` divides durations (waits, time-outs, holds) when their due time is written; stored times stay real.
    """

    home: Path
    database_url: str
    redis_url: str
    smtp_url: str
    secret_key: str
    base_url: str = "http://127.0.0.1:8000"
    mail_from: str = "Kesher <hello@kesher.localhost>"
    mail_postal: str = ""  # the sender's postal address and phone number, for the foot of marketing mail
    time_scale: float = 1.0
    timezone: str = "Asia/Jerusalem"
    locale: str = "he"
    currency: str = "ILS"
    trusted_proxies: int = 0  # how many of our own stand in front: so many last addresses of X-Forwarded-For are theirs to say


def from_environment(environ: Mapping[str, str] | None = None) -> Config:
    """Read the `KESHER_*`, `DATABASE_URL`, `REDIS_URL` and `SMTP_URL` variables; a missing one is a KeyError.

    `kesher up` fills them in for its children, so only an operator who runs processes by hand sets all of them.
    """
    env = os.environ if environ is None else environ
    return Config(
        home=Path(env["KESHER_HOME"]),
        database_url=env["DATABASE_URL"],
        redis_url=env["REDIS_URL"],
        smtp_url=env["SMTP_URL"],
        secret_key=env["KESHER_SECRET_KEY"],
        base_url=env.get("KESHER_BASE_URL", "http://127.0.0.1:8000").rstrip("/"),
        mail_from=env.get("KESHER_MAIL_FROM", "Kesher <hello@kesher.localhost>"),
        mail_postal=env.get("KESHER_MAIL_POSTAL", ""),
        time_scale=float(env.get("KESHER_TIME_SCALE", "1")),
        timezone=env.get("KESHER_TIMEZONE", "Asia/Jerusalem"),
        locale=env.get("KESHER_LOCALE", "he"),
        currency=env.get("KESHER_CURRENCY", "ILS"),
        trusted_proxies=int(env.get("KESHER_TRUSTED_PROXIES", "0")),
    )
