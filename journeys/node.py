"""A journey's step as a plug-in: settings, a pure decision, its ways out, a sentence. Effects are values."""

from __future__ import annotations

import datetime as dt
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from crm.core.clock import parse_duration, scaled
from crm.core.errors import SaidError
from crm.core.i18n import _l
from crm.events.models import SYSTEM_SOURCE
from crm.segments.compare import PropertyFilter

LONGEST = dt.timedelta(days=3660)  # beyond it waiting leaves the calendar, and a run that comes there breaks its journey
_UNITS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def write_duration(value: dt.timedelta) -> str:
    """`1h`, `90m`: the largest unit that says it exactly; parse_duration reads it back."""
    seconds = int(value.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def _read(value: object) -> object:
    try:
        return parse_duration(value) if isinstance(value, str) else value
    except OverflowError:
        return dt.timedelta.max


def _bounded(value: dt.timedelta) -> dt.timedelta:
    if value > LONGEST:
        raise SaidError(_l("no duration is longer than ten years"))
    return value


Duration = Annotated[
    dt.timedelta,
    BeforeValidator(_read),
    AfterValidator(_bounded),
    PlainSerializer(write_duration),
    WithJsonSchema({"type": "string", "format": "kesher-duration", "pattern": r"^\d+\s*[smhdw]$"}),
]


class Settings(BaseModel):
    """What a marketer sets; labels and limits live on the fields, the form is drawn from the JSON Schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event as triggers and nodes see it."""

    name: str
    occurred_at: dt.datetime
    accepted: int
    source_id: int
    properties: Mapping[str, Any]

    @property
    def order(self) -> tuple[dt.datetime, int]:
        """Sorts one person's events."""
        return self.occurred_at, self.accepted


@dataclass(frozen=True, slots=True)
class CartFact:
    """The run's cart as it is folded now; `changed_at` is its last activity."""

    source_id: int
    key: str
    status: str
    items: int
    value: Decimal
    currency: str
    changed_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Run:
    """All a node may know when it decides. `woken_by` is the event that woke it, None where time or the way did."""

    id: uuid.UUID
    profile_id: uuid.UUID
    node: str
    round: int
    start: RunEvent
    started_at: dt.datetime
    entered_at: dt.datetime
    due_at: dt.datetime | None
    now: dt.datetime
    woken_by: RunEvent | None = None
    cart: CartFact | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    language: str = "en"
    zone: str = "UTC"
    bucket: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)  # node -> what it brought to this run
    answer: object = None  # what the engine found to the question this node asked a moment ago; None where it asked nothing
    asked: bool = False
    time_scale: float = 1.0

    @property
    def arrived(self) -> dt.datetime:
        """Since when it really stands here: the first step counts from the start's own time, which may lie back."""
        return max(self.entered_at, self.started_at)

    def answered(self, name: str) -> RunEvent | None:
        """The event of Kesher's own that answers this very stop of the run, where it woke the run."""
        event = self.woken_by
        if event is None or event.name != name or event.source_id != SYSTEM_SOURCE:
            return None
        here = {"run_id": str(self.id), "node": self.node, "round": self.round}
        return event if all(event.properties.get(key, value) == value for key, value in here.items()) else None

    def due(self, since: dt.datetime, duration: dt.timedelta) -> dt.datetime:
        """When a duration that began at `since` is over, as `--time-scale` shortens it."""
        return since + scaled(duration, self.time_scale)


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Queue one message; `while_cart_open` has the gate ask again, at the last moment, whether the cart still waits."""

    channel: str
    template: str
    while_cart_open: bool = False


@dataclass(frozen=True, slots=True)
class SetTraits:
    """Learn traits about the profile, as an identify event of the log."""

    traits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Say in the log that something happened to the profile."""

    name: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallWebhook:
    """Call an endpoint of the settings, once for this stop of the run and not after `until`; the answer comes as an event."""

    endpoint: str
    path: str
    body: Mapping[str, Any]
    until: dt.datetime


@dataclass(frozen=True, slots=True)
class ChangeList:
    """Put the profile on a list, or take it off."""

    list: str
    add: bool


@dataclass(frozen=True, slots=True)
class Exposed:
    """The profile took this way of an experiment; the first time counts."""

    salt: str
    arm: str


@dataclass(frozen=True, slots=True)
class MakeTask:
    """Ask a person to do something by a time: this user (an address), else anybody of a role, else the lead's owner."""

    kind: str
    title: str
    due_at: dt.datetime
    owner: str
    role: str
    late_after: dt.timedelta


@dataclass(frozen=True, slots=True)
class GiveOwner:
    """Give the lead to this user (an address; empty: the rules choose), `again` also where somebody has it."""

    owner: str
    again: bool


@dataclass(frozen=True, slots=True)
class ChangeDeal:
    """Open a deal with the profile, or move, win or lose the open one."""

    act: str
    pipeline: str
    stage: str
    title: str
    amount: Decimal | None
    currency: str
    reason: str


Effect = SendMessage | SetTraits | SendEvent | CallWebhook | ChangeList | Exposed | MakeTask | GiveOwner | ChangeDeal


@dataclass(frozen=True, slots=True)
class Coupon:
    """A code of this pool for the run's key: the answer is the code, None where the pool is empty, False where the person had `at_most` of it."""

    pool: str
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """A place among `limit` per `period` for everybody in the journey: the answer is the time from which it is ours."""

    limit: int
    period: dt.timedelta


@dataclass(frozen=True, slots=True)
class Survey:
    """Whether this person may be asked now: the answer is the time of the last asking where that was within `not_again`, else something true."""

    name: str
    not_again: dt.timedelta


@dataclass(frozen=True, slots=True)
class Recommend:
    """Articles to offer, going on from the start's product, the cart, or what was looked at or bought last: the answer is a list of them."""

    basis: Literal["start", "cart", "viewed", "bought"]
    many: int
    cheaper: bool = False


@dataclass(frozen=True, slots=True)
class Winner:
    """Whether a way of this experiment has won: the answer is its name, else something that is none."""

    salt: str


@dataclass(frozen=True, slots=True)
class Count:
    """Events of this name, every filter satisfied: those after the run's own start, or where `since` is set, after that time."""

    event: str
    where: tuple[PropertyFilter, ...] = ()
    since: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How often the person did each of these, and in which of these segments they are: the answer is a `Looked`."""

    counts: tuple[Count, ...] = ()
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found."""

    counts: Mapping[Count, int] = field(default_factory=dict)
    segments: frozenset[str] = frozenset()


Question = Coupon | Slot | Survey | Recommend | Winner | Look


@dataclass(frozen=True, slots=True)
class Advance:
    """Leave the node by `exit`; `why` is stored with the step, `brings` is there for later nodes and templates under this node's name."""

    exit: str = "next"
    effects: tuple[Effect, ...] = ()
    why: Mapping[str, Any] = field(default_factory=dict)
    brings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Park:
    """Stay; look again at `until` (a real time) or when an event comes that the node listens to. An effect counts once for the stop."""

    until: dt.datetime
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    reason: str = "finished"
    why: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """Stay for the engine's answer, found for many runs at once; the node then decides again with `run.answer`."""

    question: Question


Step = Advance | Park | Finish | Ask


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words to translate with the values to put in; durations are written out by the page."""

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


ENDED = "Journey Ended"
DATE_REACHED = "Date Reached"  # said by journeys/dates.py for one journey
AUDIENCE = "Audience Reached"  # said by journeys/audiences.py, for one journey and occasion
REQUESTED = "Journey Requested"  # with the property `journey`: begin that one for this profile
S = TypeVar("S", bound=Settings)


class Node(ABC, Generic[S]):
    """One kind of step. No session, no clock, no network: `step` is a function of its arguments."""

    kind: str
    title: str
    icon: ClassVar[str] = "corner-down-right"
    group: ClassVar[str] = _l("Ways")  # under which heading the palette shows it
    first: ClassVar[Mapping[str, Any]] = {}  # settings a newly drawn one begins with; what only the marketer knows is left out
    effects: ClassVar[bool] = False  # it sends or changes something
    schema: ClassVar[int] = 1  # raised when settings change shape; `upgrade` then reads the older ones
    reads: ClassVar[frozenset[str]] = frozenset()  # facts to load for it: cart | traits
    settings_type: type[S]

    def upgrade(self, settings: dict[str, Any], schema: int) -> dict[str, Any]:
        """Settings written under an older schema number, in today's shape."""
        return settings

    def exits(self, settings: S) -> Mapping[str, str]:
        """The ways out: name -> words for the edge."""
        return {}

    def listens(self, settings: S) -> frozenset[str]:
        """Names of the events that wake a run parked here."""
        return frozenset()

    def keyed(self, settings: S) -> frozenset[str]:
        """The keys (`cart`, `property`) by which an event that names another than the run's is passed over."""
        return frozenset({"cart"})

    def waits(self, settings: S) -> bool:
        """Whether a run may stay here: a loop needs one such node."""
        return False

    @abstractmethod
    def step(self, settings: S, run: Run) -> Step:
        """Decide."""

    @abstractmethod
    def summary(self, settings: S) -> Sentence:
        """The node in a sentence."""
