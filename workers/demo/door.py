"""The demo's way in: HTTP like anybody's, with keys of its own, patient while the web process restarts."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from crm.core.config import Config
from crm.core.crypto import digest, new_secret
from crm.core.errors import KesherError
from crm.core.json import dumps
from crm.events import keys
from crm.web.models import ApiToken
from workers.install import write_secret

SHOP = "מתנות מכאן"
TIMEOUT_S, LONGEST_REST_S = 10.0, 15.0
GONE, BUSY, BROKEN = 401, 429, 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the demo may do: a browser's key, the shop server's key, a token for consents."""

    browser: str
    server: str
    token: str


def secrets_of(config: Config, sessions: sessionmaker[Session]) -> Secrets:
    """The demo's keys, made at the first start (or when the database no longer knows them) and kept where only we can read."""
    file = config.home / "demo" / "secrets.json"
    with sessions() as session:
        if file.exists() and _known(session, found := Secrets(**json.loads(file.read_text()))):
            return found
        made = Secrets(
            keys.create(session, source_name=SHOP, kind=keys.BROWSER),
            keys.create(session, source_name=SHOP, kind=keys.SERVER),
            new_secret("kt"),
        )
        session.add(ApiToken(name="demo", role="marketer", digest=digest(made.token)))
        file.parent.mkdir(exist_ok=True)
        write_secret(file, json.dumps(asdict(made)))
        session.commit()
    return made


def _known(session: Session, secrets: Secrets) -> bool:
    token = session.scalar(select(ApiToken.id).where(ApiToken.digest == digest(secrets.token), ApiToken.revoked_at.is_(None)))
    return token is not None and all(keys.find(session, secret=secret) for secret in (secrets.browser, secrets.server))


@dataclass(frozen=True, slots=True)
class Door:
    """POSTs that wait for a web process that is away; a refusal is logged and not repeated."""

    base_url: str
    secrets: Secrets

    def batch(self, calls: Sequence[Mapping[str, Any]], *, server: bool, sent_at: str) -> bool:
        """Send tracking calls with the server's key or the browser's."""
        key = self.secrets.server if server else self.secrets.browser
        basic = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        return self._post("/v1/batch", {"batch": list(calls), "sentAt": sent_at}, basic)

    def consent(self, address: str, *, language: str, granted: bool) -> bool:
        """Record what somebody answered to the checkout's question."""
        wording = "אשמח לקבל מבצעים בדוא״ל" if language == "he" else "Yes, send me offers by e-mail"
        proof = {"url": f"https://shop.example.com/{language}/checkout", "form": "checkout", "ip": "192.0.2.10"}
        action = {"action": "granted", "wording": wording} if granted else {"action": "refused"}
        body = {"address": address, "channel": "email", "topic": "offers", "source": "checkout", "proof": proof, **action}
        return self._post("/api/v1/consents", body, f"Bearer {self.secrets.token}")

    def products(self, items: Sequence[Mapping[str, Any]]) -> bool:
        """Tell what is sold."""
        return self._post("/api/v1/products", {"products": list(items)}, f"Bearer {self.secrets.token}")

    def _post(self, path: str, body: Mapping[str, Any], authorization: str) -> bool:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        request = urllib.request.Request(self.base_url + path, dumps(body).encode(), headers)  # noqa: S310  our own address
        rest = 0.5
        while True:
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310  the shop's own address
                    return True
            except urllib.error.HTTPError as error:
                if error.code == GONE:
                    raise KesherError("The demo's keys were revoked; start the demo again.") from error
                if error.code != BUSY and error.code < BROKEN:
                    log.warning("demo_call_refused", path=path, status=error.code, said=error.read(500).decode(errors="replace"))
                    return False
            except OSError as error:
                log.info("demo_waits_for_web", error=str(error))
            time.sleep(rest)
            rest = min(LONGEST_REST_S, rest * 2)
