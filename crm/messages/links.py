"""The signed links a message carries: what they say, how they are made and read."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from typing import Any

from crm.core.config import Config
from crm.core.crypto import Keys

OPEN, CLICK, UNSUBSCRIBE, CART, MINE = "message.open", "message.click", "message.unsubscribe", "message.cart", "message.mine"
SURVEY = "message.survey"


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the links of one message. Without a message (a preview) they lead to pages that do nothing."""

    keys: Keys
    base_url: str
    message_id: uuid.UUID | None

    def _token(self, purpose: str, **more: str) -> str:
        return self.keys.sign(purpose, {"m": _short(self.message_id)} | more)

    @property
    def pixel(self) -> str:
        """The picture whose loading says the mail was opened."""
        return f"{self.base_url}/o/{self._token(OPEN)}.gif"

    @property
    def unsubscribe(self) -> str:
        """GET shows a page, POST unsubscribes (RFC 8058)."""
        return f"{self.base_url}/u/{self._token(UNSUBSCRIBE)}"

    @property
    def restore(self) -> str:
        """Brings the cart back."""
        return f"{self.base_url}/cart/{self._token(CART)}"

    @property
    def mine(self) -> str:
        """Shows whoever got the message what is known about them."""
        return f"{self.base_url}/mine/{self._token(MINE)}"

    @property
    def survey(self) -> str:
        """Asks for a score; `?s=9` chooses one beforehand."""
        return f"{self.base_url}/nps/{self._token(SURVEY)}"

    def tracked(self, target: str) -> str:
        """A link that counts the click and goes on to `target`; other schemes and our own pages stay as they are."""
        own = tuple(f"{self.base_url}/{page}/" for page in ("u", "cart", "mine", "nps"))
        if not target.startswith(("http://", "https://")) or target.startswith(own):
            return target
        return f"{self.base_url}/c/{self._token(CLICK, u=target)}"


def links_for(config: Config, message_id: uuid.UUID | None) -> Links:
    """The links of one message of this installation."""
    return Links(Keys(config.secret_key), config.base_url, message_id)


@dataclass(frozen=True, slots=True)
class Followed:
    """What a link of ours says: the message (None in a preview) and, for a click, where to go on to."""

    message_id: uuid.UUID | None
    target: str | None = None


def read(keys: Keys, purpose: str, token: str) -> Followed | None:
    """What a token of this purpose says, or None where it is not ours."""
    value = keys.read(purpose, token) if token.isascii() and len(token) <= 8192 else None  # longer than any link we write
    return None if value is None else Followed(_long(value.get("m")), value.get("u"))


def _short(message_id: uuid.UUID | None) -> str | None:
    return base64.urlsafe_b64encode(message_id.bytes).rstrip(b"=").decode() if message_id else None


def _long(text: Any) -> uuid.UUID | None:
    return uuid.UUID(bytes=base64.urlsafe_b64decode(text + "==")) if isinstance(text, str) else None
