"""Keys derived from one secret: signed values for links, HMACs for addresses, digests for write keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from crm.core.json import dumps, loads


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of an installation; each purpose has its own, so that one leaking says nothing of another."""

    secret: str

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose."""
        return hmac.digest(self.secret.encode(), purpose.encode(), "sha256")

    def address_hash(self, kind: str, value: str) -> bytes:
        """The HMAC under which consent and suppressions know an address (already normalised)."""
        return hmac.digest(self.derive("address"), f"{kind}:{value}".encode(), "sha256")

    def sign(self, purpose: str, value: dict[str, Any]) -> str:
        """A URL-safe token that carries `value` and cannot be altered; `purpose` keeps tokens from changing roles."""
        body = dumps(value).encode()
        return _b64(body) + "." + _b64(hmac.digest(self.derive(purpose), body, "sha256")[:16])

    def read(self, purpose: str, token: str) -> dict[str, Any] | None:
        """What `sign` was given, or None where the token is not ours."""
        body_text, _, mac_text = token.partition(".")
        try:
            body, mac = _unb64(body_text), _unb64(mac_text)
        except ValueError:
            return None
        if not hmac.compare_digest(hmac.digest(self.derive(purpose), body, "sha256")[:16], mac):
            return None
        value = loads(body)
        return value if isinstance(value, dict) else None


def new_secret(prefix: str) -> str:
    """A fresh random key to show once, for example `ks_…`."""
    return f"{prefix}_{secrets.token_urlsafe(24)}"


def digest(secret: str) -> bytes:
    """How a random key is stored (it has its own entropy, so a plain hash will do)."""
    return hashlib.sha256(secret.encode()).digest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
