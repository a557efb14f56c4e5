"""What starts runs, as a plug-in: which events, for which key, how fresh they must be."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from crm.events.spec import Happened
from journeys.node import RunEvent, Sentence, Settings

S = TypeVar("S", bound=Settings)


class Trigger(ABC, Generic[S]):
    """One kind of start. `matches` is a function of its arguments."""

    kind: str
    title: str
    icon: ClassVar[str] = "bolt"
    schema: ClassVar[int] = 1
    settings_type: type[S]

    @abstractmethod
    def names(self, settings: S) -> frozenset[str]:
        """Names of the events it looks at, so that the engine looks at no others."""

    @abstractmethod
    def matches(self, settings: S, event: Happened, journey: str = "") -> bool:
        """Whether this event, by its content, starts a run of `journey` (empty: of whichever)."""

    @abstractmethod
    def keyed_by(self, settings: S) -> str:
        """What tells one profile's runs apart: `profile`, `cart`, `event` (each by itself), `property` (see `about`)."""

    def about(self, settings: S, event: RunEvent) -> str | None:
        """What a run started by this event is about, within a profile; None where the event does not say. Carts are the engine's to name."""
        return str(event.accepted) if self.keyed_by(settings) == "event" else ""

    def holds(self, settings: S, event: RunEvent) -> Mapping[str, Any] | None:
        """What must still be so when a message of a run begun by this event goes out (the message's `relevant_if`); None where nothing."""
        return None

    @abstractmethod
    def fresh_for(self, settings: S) -> dt.timedelta:
        """An event older than this starts nothing."""

    @abstractmethod
    def summary(self, settings: S) -> Sentence:
        """The start in a sentence."""
