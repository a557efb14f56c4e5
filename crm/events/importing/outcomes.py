"""What becomes of each line: an event, part of one, left out, or rejected with its reason. Pure, and the same on every reading."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from crm.core.clock import parse_time
from crm.events import sums
from crm.events.address import normalise
from crm.events.importing.columns import Bad
from crm.events.importing.plan import Plan, RulePlan, convert
from crm.events.importing.readers import Line
from crm.events.importing.values import EmptyValueError, Row
from crm.events.source import HeldError, foreign
from crm.events.spec import TYPES, Call, event_name

EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)  # older times are mistakes of the file
AHEAD = dt.timedelta(hours=26)  # a zone mixed up is forgiven, next year is not
NO_IDENTITY, UNREADABLE, BAD_VALUE, OUTSIDE, FUTURE, LATE, BAD_CALL = (
    "no identity", "unreadable line", "bad value", "outside the window", "in the future", "its group was already complete", "not a call",
)  # fmt: skip
NO_EVENT, DUPLICATE = "no event is made of such lines", "exact duplicate of an earlier line"
Identities = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Made:
    """An event for the inbox, from how many lines."""

    call: Call
    lines: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was not taken."""

    line: int
    reason: str
    detail: str
    raw: Any


@dataclass(frozen=True, slots=True)
class Noted:
    """A value that was left out of a line that was taken."""

    line: int
    column: str
    detail: str
    raw: Any


Outcome = Made | Refused | Noted


@dataclass(slots=True)
class Tally:
    """Counts of lines (and of events, by name); read = accepted + rejected + left out, once the file is read."""

    read: int = 0
    accepted: int = 0
    outside: int = 0  # accepted though outside the window, because the mapping says `outside: keep`
    rejected: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)  # values left out, by column

    def as_dict(self) -> dict[str, Any]:
        """For the row of the import and its screen."""
        return {"read": self.read, "accepted": self.accepted, "outside": self.outside, "rejected": dict(self.rejected),
                "left_out": dict(self.left_out), "events": dict(self.events), "noted": dict(self.noted)}  # fmt: skip


@dataclass(slots=True)
class _Group:
    """Lines that will be one event; `seen` is the ordinal of the latest."""

    rule: RulePlan
    key: tuple[Any, ...]
    seen: int = 0
    lines: list[tuple[Line, Row]] = field(default_factory=list)


class Reading:
    """One pass over a file. Open groups wait in order of their latest line and are complete after `group_within` lines without one."""

    def __init__(self, plan: Plan, *, file_digest: bytes, now: dt.datetime) -> None:
        self.plan, self.file, self.now, self.tally = plan, file_digest.hex()[:32], now, Tally()
        self._open: OrderedDict[int, _Group] = OrderedDict()
        self._complete: set[int] = set()  # hashes: about 60 bytes a group
        self._lines_seen: set[int] = set()
        self._told: dict[int, tuple[str, int]] = {}  # person -> time and digest of the latest traits told

    def outcomes(self, lines: Iterator[Line]) -> Iterator[Outcome]:
        """Every event and every rejection, in an order that only file and mapping decide."""
        of_line = self._call if self.plan.mapping.calls else self._line
        for line in lines:
            self.tally.read += 1
            for outcome in of_line(line):
                yield self._count(outcome)
        while self._open:
            for outcome in self._close(next(iter(self._open))):
                yield self._count(outcome)

    def _count(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Refused):
            self.tally.rejected[outcome.reason] += 1
        elif isinstance(outcome, Noted):
            self.tally.noted[outcome.column] += 1
        else:
            self.tally.accepted += outcome.lines
            self.tally.events[event_name(outcome.call)] += 1
        return outcome

    def _line(self, line: Line) -> Iterator[Outcome]:
        yield from self._close_old()
        if line.problem:
            yield Refused(line.number, UNREADABLE, line.problem, line.raw)
            return
        try:
            row = self._row(line)
            if self.plan.noting:
                yield from self._notes(line, row)
            reason = self._left_out(row)
            if reason:
                self.tally.left_out[reason] += 1
            elif self.plan.shared and not usable(self.plan.shared, [row]):
                yield Refused(line.number, NO_IDENTITY, f"{', '.join(kind for kind, _ in self.plan.shared)} missing or unusable", line.raw)
            else:
                yield from self._by_rules(line, row)
        except ValueError as error:
            yield Refused(line.number, BAD_VALUE, str(error), line.raw)

    def _row(self, line: Line) -> list[Any]:
        digest = hashlib.sha256("\x1f".join(map(str, line.cells)).encode()).hexdigest()[:24] if self.plan.digests_rows else ""
        return [*convert(self.plan, line.cells), line.number, digest]

    def _notes(self, line: Line, row: list[Any]) -> Iterator[Outcome]:
        """Say which values of columns with `bad: note` are none, and empty them."""
        for place in self.plan.noting:
            if isinstance(bad := row[place], Bad):
                row[place] = None
                yield Noted(line.number, self.plan.names[place], str(bad), line.raw)

    def _left_out(self, row: Row) -> str:
        if self.plan.mapping.drop_duplicate_lines:
            seen = hash(repr(row[:-2]))
            if seen in self._lines_seen:
                return DUPLICATE
            self._lines_seen.add(seen)
        return next((reason for reason, test in self.plan.left_out if test(row)), "")

    def _by_rules(self, line: Line, row: Row) -> Iterator[Outcome]:
        matched = False
        for number, rule in enumerate(self.plan.rules):
            if not rule.test(row):
                continue
            matched = True
            if not rule.also:
                yield from self._join_group(rule, line, row) if rule.group else (self._made(rule, [(line, row)], f"{self.file}:{line.number}", count=1),)
                return
            outcome = self._made(rule, [(line, row)], f"{self.file}:{line.number}:{number}", count=0)
            if isinstance(outcome, Refused):
                yield outcome
                return
            if rule.type != "identify" or self._news(outcome.call):
                yield outcome
        if matched:
            self.tally.accepted += 1
        else:
            self.tally.left_out[NO_EVENT] += 1

    def _news(self, call: Call) -> bool:
        """Whether an `also` identify says anything the latest one of the same person did not."""
        traits = call.traits or {}
        who = hash((call.user_id, call.anonymous_id, repr(call.external_ids), traits.get("email"), traits.get("phone")))
        said, at = hash(repr(traits)), call.timestamp or ""
        latest = self._told.get(who)
        if latest is None or at >= latest[0]:
            self._told[who] = (at, said)
        return latest is None or latest[1] != said

    def _join_group(self, rule: RulePlan, line: Line, row: Row) -> Iterator[Outcome]:
        key = tuple(row[place] for place in rule.group)
        code = hash((rule.name, key))
        if code in self._complete:
            yield Refused(line.number, LATE, f"{'/'.join(map(str, key))} had no line for {self.plan.mapping.group_within} lines; raise group_within", line.raw)
            return
        group = self._open.setdefault(code, _Group(rule, key))
        group.seen = self.tally.read
        group.lines.append((line, row))
        self._open.move_to_end(code)

    def _close_old(self) -> Iterator[Outcome]:
        limit = self.tally.read - self.plan.mapping.group_within
        while self._open and next(iter(self._open.values())).seen < limit:
            yield from self._close(next(iter(self._open)))

    def _close(self, code: int) -> Iterator[Outcome]:
        group = self._open.pop(code)
        self._complete.add(code)
        message_id = f"{self.file}:{group.rule.name}:{'/'.join(map(str, group.key))}"
        outcome = self._made(group.rule, group.lines, message_id, count=len(group.lines))
        if isinstance(outcome, Refused):
            yield from (Refused(line.number, outcome.reason, outcome.detail, line.raw) for line, _ in group.lines)
        else:
            yield outcome

    def _made(self, rule: RulePlan, lines: Sequence[tuple[Line, Row]], message_id: str, *, count: int) -> Made | Refused:
        rows, line = [row for _, row in lines], lines[0][0]
        found = usable(rule.identities, rows)
        if not found:
            return Refused(line.number, NO_IDENTITY, f"{', '.join(kind for kind, _ in rule.identities)} missing or unusable", line.raw)
        moment = self.plan.mapping.as_of if rule.time is None else rows[0][rule.time] or self.plan.mapping.as_of
        if moment is None:
            return Refused(line.number, BAD_VALUE, f"{rule.time_name} is empty", line.raw)
        if refusal := self._time_refusal(moment, count):
            return Refused(line.number, *refusal, line.raw)
        if rule.named_by is not None and not rows[0][rule.named_by]:
            return Refused(line.number, BAD_VALUE, "the event has no name", line.raw)
        try:
            return _counted(Made(self._event(rule, rows, found, moment, message_id), count))
        except (EmptyValueError, HeldError) as error:
            return Refused(line.number, BAD_VALUE, str(error), line.raw)

    def _time_refusal(self, moment: dt.datetime, lines: int) -> tuple[str, str] | None:
        window = self.plan.mapping.window
        if moment > self.now + AHEAD:
            return FUTURE, f"{moment.isoformat()} has not come yet"
        if (window.earliest and moment < window.earliest) or (window.before and moment >= window.before):
            if window.outside == "reject":
                return OUTSIDE, f"{moment.isoformat()} is not between {window.earliest or 'the beginning'} and {window.before or 'now'}"
            self.tally.outside += lines
        return (OUTSIDE, f"{moment.isoformat()} is before 1990") if moment < EARLIEST else None

    def _event(self, rule: RulePlan, rows: Sequence[Row], found: Identities, moment: dt.datetime, message_id: str) -> Call:
        ids = dict(found)
        addresses = {kind: ids[kind] for kind in ("email", "phone") if kind in ids}
        context, traits = rule.context(rows), rule.traits(rows)
        known = {**addresses, **traits}
        if known:
            context = {**context, "traits": {**context.get("traits", {}), **known}}
        return Call(
            type=rule.type,
            event=None if rule.type != "track" else rule.event if rule.named_by is None else rows[0][rule.named_by],
            name=rule.event if rule.type in {"page", "screen"} else None,
            message_id=str(rule.id(rows)) if rule.id else message_id,
            user_id=ids.get("user_id"),
            anonymous_id=ids.get("anonymous_id"),
            external_ids=[{"type": kind.partition(":")[2], "id": value} for kind, value in found if kind.startswith("external:")] or None,
            properties=rule.properties(rows) or None,
            traits=known or None if rule.type == "identify" else None,
            context=context or None,
            timestamp=moment.isoformat(),
        )

    def _call(self, line: Line) -> Iterator[Outcome]:
        if line.problem:
            yield Refused(line.number, UNREADABLE, line.problem, line.raw)
            return
        try:
            call = msgspec.convert(line.raw, Call)
        except msgspec.ValidationError as error:
            yield Refused(line.number, BAD_CALL, str(error), line.raw)
            return
        moment = parse_time(call.timestamp)
        if moment is None or call.type not in TYPES or not event_name(call):
            wrong = "timestamp" if moment is None else "type" if call.type not in TYPES else "event"
            yield Refused(line.number, BAD_CALL, f"`{wrong}` is missing or not understood", line.raw)
        elif not _names_someone(call):
            yield Refused(line.number, NO_IDENTITY, "none of userId, anonymousId, e-mail or phone is usable", line.raw)
        elif refusal := self._time_refusal(moment, 1):
            yield Refused(line.number, *refusal, line.raw)
        else:
            call.message_id, call.sent_at, call.profile_id = call.message_id or f"{self.file}:{line.number}", None, None
            try:
                yield _counted(Made(call, 1))
            except HeldError as error:
                yield Refused(line.number, BAD_VALUE, str(error), line.raw)


def _counted(made: Made) -> Made:
    """An event that is somebody else's to tell and whose sums are numbers; HeldError says what is wrong."""
    foreign(event_name(made.call))
    sums.check(event_name(made.call), made.call.properties)
    return made


def usable(identities: Sequence[tuple[str, Any]], rows: Sequence[Row]) -> Identities:
    """The identities these lines carry, in their stored spelling; what is none (a bad e-mail) is left out."""
    return [(kind, normal) for kind, value in identities if (found := value(rows)) is not None and (normal := normalise(kind, found))]


def _names_someone(call: Call) -> bool:
    said = (call.context or {}).get("traits")
    hints = {**(said if isinstance(said, dict) else {}), **(call.traits or {} if call.type == "identify" else {})}
    pairs = [("user_id", call.user_id), ("anonymous_id", call.anonymous_id), ("email", hints.get("email")), ("phone", hints.get("phone"))]
    return any(value is not None and normalise(kind, value) for kind, value in pairs)
