"""What a channel is: one class that hands one message to one provider, and the three ways that can go wrong."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from crm.core.config import Config
from crm.core.plugins import load
from crm.messages import channels


class MessageNotSentError(Exception):
    """The provider did not take the message; `str` is what it said."""


class TryLaterError(MessageNotSentError):
    """The provider is busy or out of reach; sending again is safe.

    `everything` means that no other message has a chance over this channel now either.
    """

    def __init__(self, said: str, *, everything: bool = False) -> None:
        super().__init__(said)
        self.everything = everything


class RejectedError(MessageNotSentError):
    """The provider will never take this message; do not send it again. `bounce`: because the address does not exist."""

    def __init__(self, said: str, *, bounce: bool = False) -> None:
        super().__init__(said)
        self.bounce = bounce


class UncertainError(MessageNotSentError):
    """The provider may or may not have taken the message; never send it again by itself."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A rendered message, ready for a provider. `html` may be empty where a channel knows only text."""

    message_id: uuid.UUID
    address: str
    language: str
    topic: str
    purpose: str
    subject: str
    html: str
    text: str
    unsubscribe_url: str


class Channel(ABC):
    """One way to reach a person. `address_kinds` are the identity kinds it can write to, best first."""

    kind: str
    title: ClassVar[str]
    address_kinds: ClassVar[tuple[str, ...]]
    event_prefix: ClassVar[str]  # "Email" makes the events `Email Sent`, `Email Failed`, …

    @abstractmethod
    def send(self, letter: Letter, config: Config) -> str:
        """Hand over one message; returns the provider's id for it. Raises a `MessageNotSentError` where it is not certainly taken."""


@cache
def registry() -> Mapping[str, Channel]:
    """Every channel in the folder, by kind."""
    return load(channels, Channel)  # type: ignore[type-abstract]  # the class is only compared with
